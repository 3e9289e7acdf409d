/** Reads from this node's replica where that can be proved to be right, else from the group's leader. */
import {
  type Cancel,
  type Clock,
  type Elapsed,
  type GroupId,
  type HlcTimestamp,
  KvorumError,
  type Millis,
  NEVER,
  physicalMs,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import { type GroupStore, isSnapshotTooOld, type LatestVersion } from '../../store/index.ts';
import {
  type Claim,
  type Consistency,
  InvalidConsistencyError,
  type LiveValue,
  type ReadAtReply,
  type ReadAtRequest,
  ReadCounters,
  type ReadStats,
  type ScanPage,
} from '../contract/index.ts';
import type { NodeClaims, ReadableReplica, Refusal, ReplicaClaims } from './claims.ts';
import type { AskLeader, Moment, ReadBody } from './leader-endpoint.ts';
import type { ReadIndexClient } from './read-index.ts';
import type { SessionDemand, SessionSource, ValuesNow } from './session.ts';
import { decodeToken, encodeToken } from './token.ts';

/** Bounds of reads from replicas. */
export interface ReadLimits {
  /** A read waits so long for its replica to catch up before it is forwarded. */
  readonly waitMs: Millis;
  /** The same for one whose leader has said how far that is. */
  readonly indexWaitMs: Millis;
  /** Between looks at whether it has. */
  readonly pollMs: Millis;
}

export const DEFAULT_READ_LIMITS: ReadLimits = { waitMs: 50, indexWaitMs: 200, pollMs: 2 };

export interface ReplicaReaderOptions {
  readonly claims: NodeClaims;
  readonly replicaOf: (group: GroupId) => ReadableReplica | undefined;
  readonly askLeader: AskLeader;
  readonly readIndex: ReadIndexClient;
  /** True when this node leads the group: then asking the leader costs no message. */
  readonly leads: (group: GroupId) => boolean;
  readonly clock: Clock;
  readonly elapsed: Elapsed;
  readonly scheduler: Scheduler;
  /** Names the cluster in tokens. */
  readonly cluster: () => bigint;
  readonly limits?: Partial<ReadLimits>;
}

/** What a claim must offer. */
interface Demand {
  /** Undefined: whatever is closed. */
  readonly at: HlcTimestamp | undefined;
  readonly minTs: HlcTimestamp | undefined;
  /** What was acknowledged before must be covered; elapsed time. */
  readonly coveredMs: Millis | undefined;
  /** How long the replica may take to get there. */
  readonly waitMs: Millis;
  /** The leader has said how far that is. */
  readonly isAsked?: boolean;
}

interface Served {
  readonly values: readonly (LiveValue | undefined)[];
  readonly page: ScanPage | undefined;
  readonly servedTs: HlcTimestamp;
  readonly coveredMs: Millis | undefined;
}

export class ReplicaReader implements SessionSource {
  private readonly options: ReplicaReaderOptions;
  private readonly limits: ReadLimits;
  private readonly counters = new ReadCounters();

  constructor(options: ReplicaReaderOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_READ_LIMITS, ...options.limits };
  }

  stats(): Omit<ReadStats, 'pointRounds' | 'pointReads'> {
    const { counters } = this;
    const kinds = Object.values(counters.kinds);
    return {
      counters,
      served: kinds.reduce((sum, { replica }) => sum + replica, 0),
      forwarded: kinds.reduce((sum, { leader }) => sum + leader, 0),
      lockRedirects: counters.lockRedirects,
      indexRounds: this.options.readIndex.rounds,
    };
  }

  /** True when a read of the group can be tried here: there is a replica, and something is closed. */
  mayServe(group: GroupId): boolean {
    return this.options.claims.of(group)?.current() !== undefined;
  }

  /**
   * Reads keys of one group, or a page of a range of it.
   * @throws what the leader answers: NotOwnerError, RangeBusyError, LockedError, LeaderUnavailableError; SnapshotTooOldError
   * for an exact timestamp below what is kept; InvalidConsistencyError
   */
  async readAt(request: ReadAtRequest): Promise<ReadAtReply> {
    const { group, consistency } = request;
    const { elapsed, askLeader } = this.options;
    const startedMs = elapsed.elapsedMs();
    if (!this.options.leads(group)) {
      const demand = await this.demandOf(request, startedMs);
      const here = demand === undefined ? undefined : await this.readHere(request, demand);
      if (here !== undefined) {
        this.counters.kinds[consistency.kind].replica++;
        const stalenessMs = here.coveredMs === undefined ? undefined : elapsed.elapsedMs() - here.coveredMs;
        if (stalenessMs !== undefined) this.counters.stalenessMs.observe(stalenessMs);
        return this.reply(here, here.servedTs, stalenessMs, consistency, true);
      }
    }
    this.counters.kinds[consistency.kind].leader++;
    const body: ReadBody =
      'keys' in request ? { kind: 'keys', keys: request.keys } : { kind: 'range', range: request.range };
    const answer = await askLeader({ group, moment: this.momentOf(consistency), body }, request.deadlineMs);
    const stalenessMs = answer.ageMs === undefined ? undefined : elapsed.elapsedMs() - startedMs + answer.ageMs;
    return this.reply(answer, answer.servedTs, stalenessMs, consistency, false);
  }

  elapsedMs(): Millis {
    return this.options.elapsed.elapsedMs();
  }

  /** Reads keys at once where the replica here has all it takes; see `ReadSession`. */
  readNow(
    group: GroupId,
    keys: readonly Buffer[],
    demand: SessionDemand,
    kind: Consistency['kind'] = 'session',
  ): ValuesNow | undefined {
    const { claims, replicaOf } = this.options;
    const own = claims.of(group);
    const claim = own?.current();
    const store = replicaOf(group)?.store;
    if (own === undefined || claim === undefined || store === undefined) return undefined;
    const ts = claim.closedTs;
    const isEnough = claim.coveredMs >= demand.coveredMs && (demand.minTs === undefined || demand.minTs <= ts);
    if (!isEnough || this.isRefused(own.refuseKeys(keys, ts)) || own.missesForeign(keys, ts)) return undefined;
    const values: (LiveValue | undefined)[] = [];
    for (const key of keys) {
      const latest = store.latest(key);
      if (latest !== undefined && latest.commitTs > ts) return undefined;
      values.push(latest === undefined || !isLive(latest, ts) ? undefined : latest);
    }
    this.counters.kinds[kind].replica++;
    this.counters.stalenessMs.observe(this.options.elapsed.elapsedMs() - claim.coveredMs);
    return { values, servedTs: ts, coveredMs: claim.coveredMs };
  }

  private reply(
    { values, page }: Pick<Served, 'values' | 'page'>,
    servedTs: HlcTimestamp,
    stalenessMs: Millis | undefined,
    consistency: Consistency,
    isReplica: boolean,
  ): ReadAtReply {
    const before = consistency.kind === 'session' ? decodeToken(consistency.token, this.options.cluster()) : undefined;
    const token = encodeToken(this.options.cluster(), before !== undefined && before > servedTs ? before : servedTs);
    return { values, page, servedTs, stalenessMs, token, isReplica };
  }

  /** What a claim must offer; undefined: only the leader can say. @throws InvalidConsistencyError */
  private async demandOf(request: ReadAtRequest, startedMs: Millis): Promise<Demand | undefined> {
    const { consistency, group, deadlineMs } = request;
    const { waitMs, indexWaitMs } = this.limits;
    switch (consistency.kind) {
      case 'linearizable': {
        const isHere = consistency.anyReplica === true && this.options.replicaOf(group) !== undefined;
        if (!isHere || !(await this.hearIndex(group, consistency.minTs, deadlineMs))) return undefined;
        return { at: undefined, minTs: consistency.minTs, coveredMs: startedMs, waitMs: indexWaitMs, isAsked: true };
      }
      case 'bounded':
        return { at: undefined, minTs: undefined, coveredMs: startedMs - boundOf(consistency), waitMs };
      case 'exact':
        return { at: consistency.ts, minTs: undefined, coveredMs: undefined, waitMs };
      case 'session': {
        const minTs = decodeToken(consistency.token, this.options.cluster());
        // What it has seen a leader answer no replica has closed yet: the leader is asked at once.
        return minTs === undefined ? undefined : { at: undefined, minTs, coveredMs: undefined, waitMs: 0 };
      }
    }
  }

  /** Asks the leader how far the replica has to have come. @returns false when that cannot be said: it is asked for the values */
  private async hearIndex(group: GroupId, minTs: HlcTimestamp | undefined, deadlineMs: Millis): Promise<boolean> {
    const { readIndex, clock, scheduler } = this.options;
    let cancel: Cancel = () => undefined;
    // Others who wait for the same answer may have more time.
    const isLate = new Promise<false>((resolve) => {
      cancel = scheduler.after(Math.max(0, deadlineMs - clock.monotonicMs()), () => resolve(false));
    });
    try {
      return await Promise.race([readIndex.ask(group, minTs ?? NEVER, deadlineMs).then(() => true), isLate]);
    } catch (error) {
      if (!(error instanceof KvorumError)) throw error;
      return false;
    } finally {
      cancel();
    }
  }

  /** Which moment the leader is asked for. @throws InvalidConsistencyError */
  private momentOf(consistency: Consistency): Moment {
    switch (consistency.kind) {
      case 'linearizable':
        return { kind: 'now', ts: consistency.minTs ?? NEVER };
      case 'bounded':
        boundOf(consistency);
        return { kind: 'now', ts: NEVER };
      case 'exact':
        return { kind: 'at', ts: consistency.ts };
      case 'session': {
        const minTs = decodeToken(consistency.token, this.options.cluster());
        return minTs === undefined ? { kind: 'now', ts: NEVER } : { kind: 'session', ts: minTs };
      }
    }
  }

  private async readHere(request: ReadAtRequest, demand: Demand): Promise<Served | undefined> {
    const { claims, clock, scheduler, replicaOf } = this.options;
    const untilMs = Math.min(clock.monotonicMs() + demand.waitMs, request.deadlineMs);
    for (;;) {
      const own = claims.of(request.group);
      const replica = replicaOf(request.group);
      if (own === undefined || replica === undefined) return undefined;
      const claim = own.current();
      const isEnough =
        claim !== undefined &&
        (demand.at === undefined || demand.at <= claim.closedTs) &&
        (demand.minTs === undefined || demand.minTs <= claim.closedTs) &&
        (demand.coveredMs === undefined || claim.coveredMs >= demand.coveredMs);
      if (isEnough) {
        const ts = demand.at ?? claim.closedTs;
        const keys = 'keys' in request ? request.keys : undefined;
        // Nobody knows how old what was acknowledged elsewhere is. Those who asked for an age must be told one.
        const isKnown = !own.missesForeign(keys, ts);
        if (!isKnown && demand.coveredMs !== undefined) return undefined;
        const coveredMs = demand.at === undefined ? claim.coveredMs : own.coveredAt(ts);
        return this.readClosed(request, own, replica.store, ts, isKnown ? coveredMs : undefined);
      }
      if (clock.monotonicMs() >= untilMs || isFarAhead(demand, claim)) return undefined;
      await sleep(scheduler, this.limits.pollMs);
    }
  }

  private async readClosed(
    request: ReadAtRequest,
    own: ReplicaClaims,
    store: GroupStore,
    ts: HlcTimestamp,
    coveredMs: Millis | undefined,
  ): Promise<Served | undefined> {
    const refuse = (): Refusal | undefined =>
      'keys' in request
        ? own.refuseKeys(request.keys, ts)
        : own.refuseRange(request.range.start, request.range.end, ts);
    if (this.isRefused(refuse())) return undefined;
    const values: (LiveValue | undefined)[] = [];
    let page: ScanPage | undefined;
    try {
      if ('range' in request) page = { ...(await store.scan({ ...request.range, readTs: ts })), readTs: ts };
      else for (const key of request.keys) values.push(await valueAt(store, key, ts));
    } catch (error) {
      // The history was let go meanwhile; the leader says what is left.
      if (isSnapshotTooOld(error)) return undefined;
      throw error;
    }
    // What a move took away while it was read may have been deleted under the read.
    if (this.isRefused(refuse())) return undefined;
    return { values, page, servedTs: ts, coveredMs };
  }

  private isRefused(refusal: Refusal | undefined): boolean {
    if (refusal === 'locked') this.counters.lockRedirects++;
    return refusal !== undefined;
  }
}

/** Leaders close more often than this. */
const CLOSING_STEP_MS: Millis = 250;

/** @throws InvalidConsistencyError */
function boundOf({ maxStalenessMs }: { readonly maxStalenessMs: Millis }): Millis {
  if (maxStalenessMs >= 0) return maxStalenessMs;
  throw new InvalidConsistencyError('a staleness is not negative');
}

/** True when what is closed does not get there within the wait: it moves on as time does, in steps. */
function isFarAhead({ at, coveredMs, waitMs, isAsked }: Demand, claim: Claim | undefined): boolean {
  if (isAsked === true || claim === undefined) return false;
  const reachMs = waitMs + CLOSING_STEP_MS;
  if (at !== undefined && physicalMs(at) - physicalMs(claim.closedTs) > reachMs) return true;
  return coveredMs !== undefined && coveredMs - claim.coveredMs > reachMs;
}

/** The live value of a key at a timestamp; without waiting when nothing newer was written. */
async function valueAt(store: GroupStore, key: Buffer, ts: HlcTimestamp): Promise<LiveValue | undefined> {
  const latest = store.latest(key);
  if (latest === undefined) return undefined;
  if (latest.commitTs > ts) return store.get(key, ts);
  return isLive(latest, ts) ? latest : undefined;
}

const isLive = (version: LatestVersion, ts: HlcTimestamp): boolean =>
  !version.isTombstone && (version.expireTs === 0n || version.expireTs > ts);
