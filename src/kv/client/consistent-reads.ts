/** Reads at the level of consistency that a caller asks for, by whoever may answer at it. */

import type { GroupId, HlcTimestamp, Millis, Random } from '../../platform/index.ts';
import { isSnapshotTooOld } from '../../store/index.ts';
import {
  type Consistency,
  isCrossGroup,
  type LiveValue,
  type ReadAtReply,
  type ReadAtRequest,
  type ScanRequest,
} from '../contract/index.ts';
import { encodeToken, type ReadSnapshot, type ReplicaReads, SnapshotTransaction } from '../reads/index.ts';
import type { KvCluster, PageSource, ScanOptions, ServedPage } from './cluster.ts';
import { HistoryGoneError } from './errors.ts';
import { type KvRange, type StoredValue, storedValue } from './operations.ts';

const TRANSACTION_ID_BYTES = 16;
/** A scan that was cut off is opened again within this, here or at another node, and goes on at its timestamp. */
const REOPENED_WITHIN_MS: Millis = 15_000;

/** What an answer says of time. */
export interface AnswerTime {
  readonly servedTs: HlcTimestamp;
  readonly stalenessMs: Millis | undefined;
  readonly token: string;
}

/** A value as it was at a moment. */
export interface TimedValue {
  readonly value: StoredValue | undefined;
  readonly time: AnswerTime;
}

/** Values in the order of their keys. */
export interface TimedValues {
  readonly values: readonly (StoredValue | undefined)[];
  /** Undefined without keys. */
  readonly time: AnswerTime | undefined;
}

/** Reads that may be answered by replicas of this node, and what all answers say of time. */
export class ConsistentReads {
  private readonly reads: ReplicaReads;
  private readonly cluster: KvCluster;
  private readonly random: Random;

  constructor(reads: ReplicaReads, cluster: KvCluster, random: Random) {
    this.reads = reads;
    this.cluster = cluster;
    this.random = random;
  }

  /** Keys of one group, each in its place. @throws as `ReplicaReads.readAt` */
  private ofOneGroup(keys: readonly Buffer[], consistency: Consistency, deadlineMs: Millis): Promise<ReadAtReply> {
    const read = this.cluster.router.at(keys, { deadlineMs, isRead: true }, (group) =>
      this.reads.readAt({ group, keys, consistency, deadlineMs }),
    );
    return consistency.kind === 'exact' ? read.catch(tooOldForGood) : read;
  }

  /** True when a read of the group can be tried on a replica of this node. */
  mayServe(group: GroupId): boolean {
    return this.reads.mayServe(group);
  }

  /** What one group has, for who finds the groups himself. @throws as `ReplicaReads.readAt` */
  ofGroup(request: ReadAtRequest): Promise<ReadAtReply> {
    return this.reads.readAt(request);
  }

  /** Keys of one group as the replica here has them; undefined when that is older than `maxStalenessMs`, or cannot be said at once. */
  now(group: GroupId, keys: readonly Buffer[], maxStalenessMs: Millis): readonly (LiveValue | undefined)[] | undefined {
    const demand = { minTs: undefined, coveredMs: this.reads.elapsedMs() - maxStalenessMs };
    return this.reads.readNow(group, keys, demand, 'bounded')?.values;
  }

  /** One key. */
  async get(key: Buffer, consistency: Consistency, deadlineMs: Millis): Promise<TimedValue> {
    const read = await this.ofOneGroup([key], consistency, deadlineMs);
    return { value: stored(read.values[0]), time: read };
  }

  /** Several keys: linearizable ones group by group, all others as of one timestamp. */
  async batchGet(keys: readonly Buffer[], consistency: Consistency, deadlineMs: Millis): Promise<TimedValues> {
    if (consistency.kind === 'linearizable') return this.batchFresh(keys, consistency, deadlineMs);
    const groups = [...this.cluster.router.byGroup(keys).keys()];
    const snapshot = await this.reads.snapshot({ consistency, groups, deadlineMs });
    try {
      const values = await snapshot.get(keys, deadlineMs).catch(tooOldForGood);
      return { values: values.map(stored), time: timeOf(snapshot) };
    } finally {
      snapshot.release();
    }
  }

  private async batchFresh(
    keys: readonly Buffer[],
    consistency: Consistency,
    deadlineMs: Millis,
  ): Promise<TimedValues> {
    const values = new Array<LiveValue | undefined>(keys.length);
    const readPlaces = async (places: readonly number[]): Promise<ReadAtReply[]> => {
      const own = places.map((place) => keys[place]!);
      try {
        const reply = await this.ofOneGroup(own, consistency, deadlineMs);
        for (const [at, place] of places.entries()) values[place] = reply.values[at];
        return [reply];
      } catch (error) {
        // A range was cut and moved meanwhile.
        if (places.length === 1 || !isCrossGroup(error)) throw error;
        return (await Promise.all(places.map((place) => readPlaces([place])))).flat();
      }
    };
    const parts = [...this.cluster.router.byGroup(keys).values()];
    const replies = (await Promise.all(parts.map(readPlaces))).flat();
    return { values: values.map(stored), time: replies.length === 0 ? undefined : oldestOf(replies) };
  }

  /** Pages of a scan; with a bound, a timestamp or a session all as of one timestamp. */
  async *scan(
    range: KvRange,
    options: ScanOptions,
    consistency: Consistency,
    deadlineMs: Millis,
    signal: AbortSignal,
  ): AsyncGenerator<ServedPage> {
    if (consistency.kind === 'linearizable') {
      yield* this.cluster.scan(range, options, deadlineMs, signal, this.freshPages(consistency));
      return;
    }
    const groups = this.cluster.router.groupsOf(range.start, range.end);
    const untilMs = this.cluster.pageDeadline(deadlineMs);
    const snapshot = await this.reads.snapshot({ consistency, groups, deadlineMs: untilMs });
    let isThrough = false;
    try {
      yield* this.cluster.scan(range, options, deadlineMs, signal, snapshotPages(snapshot));
      isThrough = true;
    } finally {
      snapshot.release(isThrough ? 0 : REOPENED_WITHIN_MS);
    }
  }

  /** Each page by whichever replica is here. */
  private freshPages(consistency: Consistency): PageSource {
    return {
      ofGroup: async (group: GroupId, range: ScanRequest, deadlineMs: Millis) => {
        const reply = await this.reads.readAt({ group, range, consistency, deadlineMs });
        return { page: { ...reply.page!, readTs: reply.servedTs }, stalenessMs: reply.stalenessMs };
      },
    };
  }

  /** Begins a transaction that only reads. @param asksLeaders replicas could not answer an earlier attempt */
  async begin(consistency: Consistency, asksLeaders: boolean, deadlineMs: Millis): Promise<SnapshotTransaction> {
    const snapshot = await this.reads.snapshot({ consistency, isFixed: true, asksLeaders, deadlineMs });
    const clock = { monotonicMs: () => this.cluster.deadline(0) };
    return new SnapshotTransaction(this.random.bytes(TRANSACTION_ID_BYTES), snapshot, clock);
  }

  /** What a session has to show from here on that has read or written at `ts`. */
  tokenOf(ts: HlcTimestamp): string {
    return encodeToken(this.reads.cluster(), ts);
  }
}

/** All as of the snapshot's timestamp. */
const snapshotPages = (snapshot: ReadSnapshot): PageSource => ({
  ofRange: async (request: ScanRequest, deadlineMs: Millis, signal: AbortSignal) => {
    const page = await snapshot.scan(request, deadlineMs, signal).catch(tooOldForGood);
    return { page, stalenessMs: snapshot.stalenessMs };
  },
});

/** Whoever has named a timestamp, or was given pages of it, is not helped by another one. */
function tooOldForGood(error: unknown): never {
  if (!isSnapshotTooOld(error)) throw error;
  throw new HistoryGoneError('the history at that timestamp is not kept any more');
}

/** What an answer out of a snapshot says of time. */
export const timeOf = (snapshot: ReadSnapshot): AnswerTime => ({
  servedTs: snapshot.ts,
  stalenessMs: snapshot.stalenessMs,
  token: snapshot.token,
});

/** Of several answers together: as old as the oldest; a session goes on from the newest. */
function oldestOf(replies: readonly ReadAtReply[]): AnswerTime {
  let { servedTs, stalenessMs, token } = replies[0]!;
  for (const reply of replies) {
    if (reply.servedTs < servedTs) servedTs = reply.servedTs;
    if (stalenessMs !== undefined) {
      stalenessMs = reply.stalenessMs === undefined ? undefined : Math.max(stalenessMs, reply.stalenessMs);
    }
    // Tokens of one cluster are in the order of what they demand.
    if (Buffer.compare(Buffer.from(reply.token, 'base64'), Buffer.from(token, 'base64')) > 0) token = reply.token;
  }
  return { servedTs, stalenessMs, token };
}

const stored = (live: LiveValue | undefined): StoredValue | undefined =>
  live === undefined ? undefined : storedValue(live);
