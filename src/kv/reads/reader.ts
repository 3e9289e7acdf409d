/** Reads from this node's replica where that can be proved to be right, else from the group's leader. */
import type { Clock, GroupId, HlcTimestamp, KvorumError, Millis, Scheduler } from '../../platform/index.ts';
import type { GroupStore, LatestVersion } from '../../store/index.ts';
import type { LiveValue, ScanPage } from '../types.ts';
import type { NodeClaims, ReadableReplica, Refusal, ReplicaClaims } from './claims.ts';
import type { SessionDemand, SessionSource, ValuesNow } from './session.ts';
import { decodeToken, encodeToken } from './token.ts';
import {
  type Consistency,
  InvalidConsistencyError,
  type ReadAtReply,
  type ReadAtRequest,
  type ReadStats,
} from './types.ts';

/** What the leader answers. */
export interface LeaderAnswer {
  readonly servedTs: HlcTimestamp;
  readonly values: readonly (LiveValue | undefined)[];
  readonly page: ScanPage | undefined;
}

/** Asks the leader of a group, wherever it is, for a linearizable read, or for one at `at`. */
export type AskLeader = (
  request: ReadAtRequest,
  /** What is served at lies above it. */
  minTs: HlcTimestamp | undefined,
  at: HlcTimestamp | undefined,
) => Promise<LeaderAnswer>;

/** Bounds of reads from replicas. */
export interface ReadLimits {
  /** A read waits so long for its replica to catch up before it is forwarded. */
  readonly waitMs: Millis;
  /** Between looks at whether it has. */
  readonly pollMs: Millis;
}

export const DEFAULT_READ_LIMITS: ReadLimits = { waitMs: 50, pollMs: 5 };

export interface ReplicaReaderOptions {
  readonly claims: NodeClaims;
  readonly replicaOf: (group: GroupId) => ReadableReplica | undefined;
  readonly askLeader: AskLeader;
  /** True when this node leads the group: then asking the leader costs no message. */
  readonly leads: (group: GroupId) => boolean;
  readonly clock: Clock;
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
  /** What was acknowledged before must be covered; monotonic. */
  readonly coveredMs: Millis | undefined;
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
  private served = 0;
  private forwarded = 0;
  private lockRedirects = 0;

  constructor(options: ReplicaReaderOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_READ_LIMITS, ...options.limits };
  }

  stats(): ReadStats {
    return { served: this.served, forwarded: this.forwarded, lockRedirects: this.lockRedirects };
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
    const { clock } = this.options;
    const demand = this.demandOf(consistency);
    if (demand !== undefined && !this.options.leads(group)) {
      const here = await this.readHere(request, demand);
      if (here !== undefined) {
        this.served++;
        const stalenessMs = here.coveredMs === undefined ? undefined : clock.monotonicMs() - here.coveredMs;
        return this.reply(here, here.servedTs, stalenessMs, consistency, true);
      }
    }
    this.forwarded++;
    const startedMs = clock.monotonicMs();
    const minTs = consistency.kind === 'linearizable' ? consistency.minTs : demand?.minTs;
    const answer = await this.options.askLeader(request, minTs, demand?.at);
    const stalenessMs = demand?.at === undefined ? clock.monotonicMs() - startedMs : undefined;
    return this.reply(answer, answer.servedTs, stalenessMs, consistency, false);
  }

  /** Reads keys at once where the replica here has all it takes; see `ReadSession`. */
  readNow(group: GroupId, keys: readonly Buffer[], demand: SessionDemand): ValuesNow | undefined {
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
    this.served++;
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

  /** Undefined: only the leader can say. @throws InvalidConsistencyError */
  private demandOf(consistency: Consistency): Demand | undefined {
    switch (consistency.kind) {
      case 'linearizable':
        return undefined;
      case 'bounded': {
        const { maxStalenessMs } = consistency;
        if (!(maxStalenessMs >= 0)) throw new InvalidConsistencyError('a staleness is not negative');
        const coveredMs = this.options.clock.monotonicMs() - maxStalenessMs;
        return { at: undefined, minTs: undefined, coveredMs };
      }
      case 'exact':
        return { at: consistency.ts, minTs: undefined, coveredMs: undefined };
      case 'session': {
        const minTs = decodeToken(consistency.token, this.options.cluster());
        return minTs === undefined ? undefined : { at: undefined, minTs, coveredMs: undefined };
      }
    }
  }

  private async readHere(request: ReadAtRequest, demand: Demand): Promise<Served | undefined> {
    const { claims, clock, scheduler, replicaOf } = this.options;
    const untilMs = Math.min(clock.monotonicMs() + this.limits.waitMs, request.deadlineMs);
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
        // An older exact read is as old as its own timestamp, and nobody knows what was acknowledged when.
        const coveredMs = demand.at === undefined ? claim.coveredMs : undefined;
        return this.readClosed(request, own, replica.store, ts, coveredMs);
      }
      if (clock.monotonicMs() >= untilMs) return undefined;
      await new Promise<void>((resolve) => scheduler.after(this.limits.pollMs, resolve));
    }
  }

  private async readClosed(
    request: ReadAtRequest,
    own: ReplicaClaims,
    store: GroupStore,
    ts: HlcTimestamp,
    coveredMs: Millis | undefined,
  ): Promise<Served | undefined> {
    const keys = 'keys' in request ? request.keys : undefined;
    const refuse = (): Refusal | undefined =>
      'keys' in request
        ? own.refuseKeys(request.keys, ts)
        : own.refuseRange(request.range.start, request.range.end, ts);
    if (this.isRefused(refuse())) return undefined;
    if (coveredMs !== undefined && own.missesForeign(keys, ts)) return undefined;
    const values: (LiveValue | undefined)[] = [];
    let page: ScanPage | undefined;
    try {
      if ('range' in request) page = { ...(await store.scan({ ...request.range, readTs: ts })), readTs: ts };
      else for (const key of request.keys) values.push(await valueAt(store, key, ts));
    } catch (error) {
      // The history was let go meanwhile; the leader says what is left.
      if ((error as KvorumError).code === 'SNAPSHOT_TOO_OLD') return undefined;
      throw error;
    }
    // What a move took away while it was read may have been deleted under the read.
    if (this.isRefused(refuse())) return undefined;
    return { values, page, servedTs: ts, coveredMs };
  }

  private isRefused(refusal: Refusal | undefined): boolean {
    if (refusal === 'locked') this.lockRedirects++;
    return refusal !== undefined;
  }
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
