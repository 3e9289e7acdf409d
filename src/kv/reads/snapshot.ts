/**
 * Reads of any keys, in any groups, as of one timestamp: what a transaction that only reads is made of. Everything that is
 * committed at or below the timestamp is seen, in all groups alike, and nothing else: a replica answers what is closed there,
 * a leader first makes sure that nothing comes below. So the parts of a transaction over several groups are seen together or not at all.
 *
 * The timestamp decides how fresh it is:
 * - everything acknowledged before the call: each group's leader draws a timestamp, then the oracle one above all of those. A
 *   commit that one group acknowledged lies below what that group draws later; one over several groups is acknowledged with a timestamp of
 *   the oracle, and lies below what that grants later.
 * - a bound, or a session: the largest timestamp that is closed in all groups, by the replicas here, as long as it is young enough;
 *   else the first.
 * A group that was not asked at the beginning (the directory did not know it, or it was not answered for) may have
 * acknowledged more than the timestamp covers. When such a group is met the read begins again, unless something was handed out already.
 */
import {
  type Clock,
  type Elapsed,
  type GroupId,
  type HlcTimestamp,
  KvorumError,
  type Millis,
  NEVER,
} from '../../platform/index.ts';
import { isSnapshotTooOld } from '../../store/index.ts';
import {
  type Consistency,
  InvalidConsistencyError,
  isCrossGroup,
  type KvService,
  type LiveValue,
  type ReadAtReply,
  type ScanPage,
  type ScanRequest,
  SnapshotUncoveredError,
} from '../contract/index.ts';
import type { GroupRouter } from '../forward/index.ts';
import type { ReadPin, ReadPins } from '../time/index.ts';
import type { NodeClaims } from './claims.ts';
import { type AskLeader, MAX_SESSION_AGE_MS } from './leader-endpoint.ts';
import type { ReplicaReader } from './reader.ts';
import { decodeToken, encodeToken } from './token.ts';

/** Groups that are asked at a time. */
const GROUPS_AT_A_TIME = 64;
/** A group that draws nothing within this is left out: most reads do not need it. */
const DRAW_TIMEOUT_MS: Millis = 500;
/** And for so long it is not even asked, unless it is needed. */
const SILENT_MS: Millis = 2_000;
/** Keys that are read of one group in one request. */
const KEYS_AT_ONCE = 512;

export interface SnapshotOptions {
  readonly consistency: Consistency;
  /** Groups that will be read, as far as they are known; undefined: any. */
  readonly groups?: readonly GroupId[] | undefined;
  /** The timestamp is told before anything is read, so it must not change. */
  readonly isFixed?: boolean;
  /** Replicas could not do it a moment ago: leaders are asked at once. */
  readonly asksLeaders?: boolean;
  /** For the beginning, monotonic. */
  readonly deadlineMs: Millis;
}

export interface SnapshotReaderOptions {
  readonly reader: Pick<ReplicaReader, 'readAt'>;
  readonly askLeader: AskLeader;
  readonly claims: Pick<NodeClaims, 'of'>;
  readonly router: GroupRouter;
  readonly kv: Pick<KvService, 'dataGroups'>;
  /** A timestamp of the cluster's oracle above `after`; undefined where there is none, and then nothing spans groups. */
  readonly oracleTs: (after: HlcTimestamp) => Promise<HlcTimestamp | undefined>;
  /** Keeps what a snapshot reads from being let go of; left out: it takes its chance with the retention. */
  readonly pins?: Pick<ReadPins, 'hold'> | undefined;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly elapsed: Elapsed;
  readonly cluster: () => bigint;
}

/** A timestamp and what is known of it. */
interface Chosen {
  readonly ts: HlcTimestamp;
  /** What was acknowledged before, elapsed time, must be in the answer; undefined: whatever there is. */
  readonly neededMs: Millis | undefined;
  /** Groups that were asked: everything that they had acknowledged by `neededMs` is at or below `ts`. */
  readonly covered: ReadonlySet<GroupId>;
}

interface DrawnMoment extends Chosen {
  readonly neededMs: Millis;
}

/** One timestamp, and reads as of it, which is pinned until it is released. Reads may run side by side. */
export class ReadSnapshot {
  private readonly options: SnapshotReaderOptions;
  private readonly choose: (group: GroupId | undefined) => Promise<Chosen>;
  private chosen: Chosen;
  private pin: ReadPin | undefined;
  /** The timestamp is known outside. */
  private isFixed: boolean;
  private oldestMs: Millis = Number.POSITIVE_INFINITY;
  private isAgeKnown = true;
  private readonly session: HlcTimestamp | undefined;

  /** See `SnapshotReader.begin`. */
  constructor(
    options: SnapshotReaderOptions,
    chosen: Chosen,
    choose: (group: GroupId | undefined) => Promise<Chosen>,
    session: HlcTimestamp | undefined,
    isFixed: boolean,
  ) {
    this.options = options;
    this.chosen = chosen;
    this.choose = choose;
    this.session = session;
    this.isFixed = isFixed;
    this.pin = options.pins?.hold(chosen.ts, 'snapshot');
  }

  /** Nothing more is read. @param afterMs somebody may go on at its timestamp within this */
  release(afterMs?: Millis): void {
    this.pin?.release(afterMs);
  }

  /** What is read at. Unless it was asked for as fixed it may still rise before the first answer. */
  get ts(): HlcTimestamp {
    return this.chosen.ts;
  }

  /** Everything acknowledged longer ago than this is in all answers so far; undefined: nobody knows. */
  get stalenessMs(): Millis | undefined {
    if (!this.isAgeKnown) return undefined;
    const nowMs = this.options.elapsed.elapsedMs();
    const { neededMs, covered } = this.chosen;
    if (this.oldestMs !== Number.POSITIVE_INFINITY) return nowMs - this.oldestMs;
    return neededMs !== undefined && covered.size > 0 ? nowMs - neededMs : undefined;
  }

  /** For the next read of the session. */
  get token(): string {
    const { session } = this;
    return encodeToken(this.options.cluster(), session !== undefined && session > this.ts ? session : this.ts);
  }

  /** Values by the place of their key. @throws SnapshotUncoveredError; as `ReplicaReader.readAt` */
  async get(keys: readonly Buffer[], deadlineMs: Millis): Promise<readonly (LiveValue | undefined)[]> {
    for (;;) {
      const { chosen } = this;
      const { ts } = chosen;
      this.pin?.renew();
      const values = new Array<LiveValue | undefined>(keys.length);
      const parts = this.parts(keys);
      try {
        const replies = await Promise.all(parts.map((part) => this.getPart(keys, part, ts, values, deadlineMs)));
        if (await this.holds(replies, ts)) return values;
      } catch (error) {
        await this.mayBegin(error, chosen);
      }
    }
  }

  /** Places of keys, cut by group. */
  private parts(keys: readonly Buffer[]): number[][] {
    const parts: number[][] = [];
    for (const places of this.options.router.byGroup(keys).values()) {
      for (let at = 0; at < places.length; at += KEYS_AT_ONCE) parts.push(places.slice(at, at + KEYS_AT_ONCE));
    }
    return parts;
  }

  private async getPart(
    keys: readonly Buffer[],
    places: readonly number[],
    ts: HlcTimestamp,
    values: (LiveValue | undefined)[],
    deadlineMs: Millis,
  ): Promise<Answered[]> {
    const own = places.map((place) => keys[place]!);
    try {
      const answered = await this.options.router.at(own, { deadlineMs, isRead: true }, (group) =>
        this.read(group, { keys: own }, ts, deadlineMs),
      );
      for (const [at, place] of places.entries()) values[place] = answered.reply.values[at];
      return [answered];
    } catch (error) {
      // A range was cut and moved meanwhile: its keys are in several groups now.
      if (places.length === 1 || !isCrossGroup(error)) throw error;
      const each = await Promise.all(places.map((place) => this.getPart(keys, [place], ts, values, deadlineMs)));
      return each.flat();
    }
  }

  /**
   * A page from the start of the range, or backwards from its end: all that there is up to `next`.
   * @throws SnapshotUncoveredError; as `ReplicaReader.readAt`
   */
  async scan(request: ScanRequest, deadlineMs: Millis, signal?: AbortSignal): Promise<ScanPage> {
    for (;;) {
      const { chosen } = this;
      const { ts } = chosen;
      this.pin?.renew();
      try {
        const { answered, page } = await this.page(request, ts, deadlineMs, signal);
        if (await this.holds([[answered]], ts)) return page;
      } catch (error) {
        await this.mayBegin(error, chosen);
      }
    }
  }

  /**
   * What was closed here may be let go of elsewhere before it is asked for: as long as nobody was told the timestamp, another one is chosen.
   * @throws the error when that does not help
   */
  private async mayBegin(error: unknown, { ts, neededMs }: Chosen): Promise<void> {
    if (!isSnapshotTooOld(error) || neededMs === undefined || this.isFixed) throw error;
    if (ts === this.chosen.ts) await this.chooseAgain(undefined);
  }

  private page(
    request: ScanRequest,
    ts: HlcTimestamp,
    deadlineMs: Millis,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly answered: Answered; readonly page: ScanPage }> {
    const { router } = this.options;
    const routing = { deadlineMs, isRead: true, signal };
    if (request.reverse === true) {
      return router.at([request.start], routing, async () => {
        // Hints are about the start of the range; here its end is asked for, so the directory alone decides.
        const last = router.lastStretch(request.start, request.end);
        const answered = await this.read(last.group, { range: { ...request, start: last.start } }, ts, deadlineMs);
        const isWhole = last.start.equals(request.start);
        return { answered, page: pageOf(answered, ts, isWhole ? undefined : last.start) };
      });
    }
    return router.at([request.start], routing, async (group, stretch) => {
      // A group that was named in a refusal knows its own end; the directory's may be that of another range.
      const isCut = stretch?.end !== undefined && Buffer.compare(stretch.end, request.end) < 0;
      const end = isCut ? stretch.end! : request.end;
      const answered = await this.read(group, { range: { ...request, end } }, ts, deadlineMs);
      return { answered, page: pageOf(answered, ts, isCut ? end : undefined) };
    });
  }

  private async read(
    group: GroupId,
    what: { readonly keys: readonly Buffer[] } | { readonly range: ScanRequest },
    ts: HlcTimestamp,
    deadlineMs: Millis,
  ): Promise<Answered> {
    const reply = await this.options.reader.readAt({ group, consistency: { kind: 'exact', ts }, deadlineMs, ...what });
    return { group, reply, atMs: this.options.elapsed.elapsedMs() };
  }

  /** True when the answers are what was promised; false when the timestamp was chosen anew, for everything. */
  private async holds(answers: readonly Answered[][], ts: HlcTimestamp): Promise<boolean> {
    if (ts !== this.chosen.ts) return false;
    const { neededMs, covered } = this.chosen;
    for (const { group, reply, atMs } of answers.flat()) {
      const coveredMs = reply.stalenessMs === undefined ? undefined : atMs - reply.stalenessMs;
      const isCovered =
        covered.has(group) || neededMs === undefined || (coveredMs !== undefined && coveredMs >= neededMs);
      if (!isCovered) {
        await this.chooseAgain(group);
        return false;
      }
      const provenMs = covered.has(group) ? Math.max(neededMs!, coveredMs ?? neededMs!) : coveredMs;
      if (provenMs === undefined) this.isAgeKnown = false;
      else if (provenMs < this.oldestMs) this.oldestMs = provenMs;
    }
    this.isFixed = true;
    return true;
  }

  private async chooseAgain(group: GroupId | undefined): Promise<void> {
    const chosen = this.isFixed ? undefined : await this.choose(group);
    // Another read may have been answered meanwhile.
    if (chosen === undefined || this.isFixed) {
      throw new SnapshotUncoveredError('what was met was not asked for at the beginning; begin again');
    }
    this.chosen = chosen;
    this.pin?.release();
    this.pin = this.options.pins?.hold(chosen.ts, 'snapshot');
    this.oldestMs = Number.POSITIVE_INFINITY;
    this.isAgeKnown = true;
  }
}

interface Answered {
  readonly group: GroupId;
  readonly reply: ReadAtReply;
  readonly atMs: Millis;
}

/** @param beyond where the range goes on behind what the group was asked for */
function pageOf({ reply }: Answered, ts: HlcTimestamp, beyond: Buffer | undefined): ScanPage {
  const { rows, next } = reply.page!;
  return { rows, next: next ?? beyond, readTs: ts };
}

/** Begins reads as of one timestamp. */
export class SnapshotReader {
  private readonly options: SnapshotReaderOptions;
  /** Groups that drew nothing, until when they are left out. */
  private readonly silentUntilMs = new Map<GroupId, Millis>();

  constructor(options: SnapshotReaderOptions) {
    this.options = options;
  }

  /** @throws InvalidConsistencyError; LeaderUnavailableError and the like when no timestamp could be had in time */
  async begin(options: SnapshotOptions): Promise<ReadSnapshot> {
    const { consistency, deadlineMs } = options;
    const session = consistency.kind === 'session' ? decodeToken(consistency.token, this.options.cluster()) : undefined;
    const minTs = consistency.kind === 'linearizable' ? (consistency.minTs ?? NEVER) : (session ?? NEVER);
    const groups = options.groups ?? this.options.kv.dataGroups();
    const strong = (other: GroupId | undefined) =>
      this.strong(other === undefined || groups.includes(other) ? groups : [...groups, other], minTs, deadlineMs);
    const isFixed = options.isFixed === true;
    // A timestamp that cannot change later is right for groups without a replica here only when their leaders have drawn.
    const needsLeaders = options.asksLeaders === true || (isFixed && groups.some((group) => !this.isHere(group)));
    const chosen =
      (needsLeaders && consistency.kind !== 'exact' ? undefined : this.closed(consistency, groups, session)) ??
      (await strong(undefined));
    return new ReadSnapshot(this.options, chosen, strong, session, isFixed);
  }

  private isHere(group: GroupId): boolean {
    return this.options.claims.of(group) !== undefined;
  }

  /** What is closed here is old enough, or asked for by name; undefined: leaders have to be asked. */
  private closed(
    consistency: Consistency,
    groups: readonly GroupId[],
    session: HlcTimestamp | undefined,
  ): Chosen | undefined {
    const nowMs = this.options.elapsed.elapsedMs();
    switch (consistency.kind) {
      case 'exact':
        return { ts: consistency.ts, neededMs: undefined, covered: new Set() };
      case 'linearizable':
        return undefined;
      case 'bounded':
        if (!(consistency.maxStalenessMs >= 0)) throw new InvalidConsistencyError('a staleness is not negative');
        return this.closedSince(groups, nowMs - consistency.maxStalenessMs, NEVER);
      case 'session':
        return session === undefined ? undefined : this.closedSince(groups, nowMs - MAX_SESSION_AGE_MS, session);
    }
  }

  /** The largest timestamp, `minTs` at least, that the replicas here can answer at and that covers everything up to a moment. */
  private closedSince(groups: readonly GroupId[], neededMs: Millis, minTs: HlcTimestamp): Chosen | undefined {
    const own = groups.flatMap((group) => this.options.claims.of(group) ?? []);
    let ts: HlcTimestamp | undefined;
    for (const claims of own) {
      const closedTs = claims.current()?.closedTs;
      if (closedTs === undefined) return undefined;
      if (ts === undefined || closedTs < ts) ts = closedTs;
    }
    if (ts === undefined) return undefined;
    const chosen = ts > minTs ? ts : minTs;
    const isYoung = own.every((claims) => (claims.coveredAt(chosen) ?? Number.NEGATIVE_INFINITY) >= neededMs);
    // What each answer covers is looked at when it is there: these are only likely to.
    return isYoung ? { ts: chosen, neededMs, covered: new Set() } : undefined;
  }

  /** Above everything that was acknowledged before, in all groups that answer. */
  private async strong(groups: readonly GroupId[], minTs: HlcTimestamp, deadlineMs: Millis): Promise<Chosen> {
    const drawn = await this.draw(groups, minTs, deadlineMs);
    const granted = await this.options.oracleTs(drawn.ts);
    return { ...drawn, ts: granted ?? drawn.ts };
  }

  /**
   * The largest of the timestamps that the groups' leaders draw: everything that those who answered have acknowledged is at or
   * below it, but for what spans groups, which is below what the oracle grants later.
   * @throws LeaderUnavailableError and the like when none of the groups answers
   */
  async draw(groups: readonly GroupId[], minTs: HlcTimestamp, deadlineMs: Millis): Promise<DrawnMoment> {
    const { askLeader, clock, elapsed } = this.options;
    const nowMs = clock.monotonicMs();
    const neededMs = elapsed.elapsedMs();
    const drawUntilMs = Math.min(deadlineMs, nowMs + DRAW_TIMEOUT_MS);
    const covered = new Set<GroupId>();
    let ts = minTs;
    let failure: unknown;
    // One that is known to be silent is not waited for again and again, unless it is all there is.
    const asked = groups.filter((group) => (this.silentUntilMs.get(group) ?? 0) <= nowMs);
    const waiting = asked.length === 0 ? [...groups] : asked;
    const drawNext = async (): Promise<void> => {
      for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
        const question = { group, moment: { kind: 'now', ts: minTs }, body: { kind: 'nothing' } } as const;
        try {
          const { servedTs } = await askLeader(question, groups.length === 1 ? deadlineMs : drawUntilMs);
          covered.add(group);
          this.silentUntilMs.delete(group);
          if (servedTs > ts) ts = servedTs;
        } catch (error) {
          if (!(error instanceof KvorumError)) throw error;
          failure = error;
          this.silentUntilMs.set(group, clock.monotonicMs() + SILENT_MS);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(GROUPS_AT_A_TIME, groups.length) }, drawNext));
    if (covered.size === 0 && failure !== undefined) throw failure;
    return { ts, neededMs, covered };
  }
}
