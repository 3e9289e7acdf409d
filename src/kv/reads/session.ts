/**
 * Reads of one client that never go back and see what it did itself, from the replicas of this node as far as they can answer:
 * at once and without a promise when they can. Where a replica cannot, the leader is asked for the timestamp that the
 * session has read at already, as long as that is young enough: so reads of the session do not run ahead of the replicas.
 */
import type { GroupId, HlcTimestamp, Millis } from '../../platform/index.ts';
import { isSnapshotTooOld } from '../../store/index.ts';
import { nameOf } from '../apply/index.ts';
import type { Consistency, KeyView, LiveValue, ReadAtReply, ReadAtRequest } from '../contract/index.ts';
import { BufferedView } from '../txn/index.ts';

/** Rounds of reading: each brings the keys that the evaluation before has missed. */
const MAX_READ_ROUNDS = 256;
/** Keys that are read at once for one evaluation; with more the event loop would be kept too long. */
const MAX_READ_NOW = 4_096;

/** Keys that one evaluation may find beside those that it was given; with more the leader is to answer, which has a way for that. */
const MAX_FOUND = 20_000;

/** What a read of a session must reach. */
export interface SessionDemand {
  readonly minTs: HlcTimestamp | undefined;
  /** What was acknowledged before must be in it; elapsed time. */
  readonly coveredMs: Millis;
}

/** Values at one closed timestamp. */
export interface ValuesNow {
  readonly values: readonly (LiveValue | undefined)[];
  readonly servedTs: HlcTimestamp;
  readonly coveredMs: Millis;
}

/** The replicas of a node, as a session reads them. */
export interface SessionSource {
  /** Now, as ages are measured; see `ElapsedClock`. */
  elapsedMs(): Millis;
  /** @param kind what reads are counted as */
  readNow(
    group: GroupId,
    keys: readonly Buffer[],
    demand: SessionDemand,
    kind?: Consistency['kind'],
  ): ValuesNow | undefined;
  readAt(request: ReadAtRequest): Promise<ReadAtReply>;
}

/** What a function over a view has answered. */
export interface Evaluated<Reply> {
  readonly reply: Reply;
}

/** Values of one group at one moment, and more of them for as long as the replica here can say what they were. */
class ValuesHere extends Map<string, LiveValue | undefined> {
  private readonly read: (keys: readonly Buffer[]) => ValuesNow | undefined;
  readonly servedTs: HlcTimestamp;

  constructor(keys: readonly Buffer[], first: ValuesNow, read: (keys: readonly Buffer[]) => ValuesNow | undefined) {
    super(keys.map((key, at) => [nameOf(key), first.values[at]]));
    this.servedTs = first.servedTs;
    this.read = read;
  }

  load(key: Buffer): boolean {
    if (this.size >= MAX_READ_NOW) return false;
    const now = this.read([key]);
    if (now === undefined || now.servedTs !== this.servedTs) return false;
    this.set(nameOf(key), now.values[0]);
    return true;
  }
}

export class ReadSession {
  private readonly source: SessionSource;
  private readonly maxStalenessMs: Millis;
  /** What was read last; nothing is read below. */
  private minTs: HlcTimestamp | undefined;
  /** The group that was read at `minTs`, and what that covers there. */
  private group: GroupId | undefined;
  private coveredMs: Millis = Number.NEGATIVE_INFINITY;
  /** What the client did past the session ended then. */
  private actedMs: Millis = Number.NEGATIVE_INFINITY;

  constructor(source: SessionSource, maxStalenessMs: Millis) {
    this.source = source;
    this.maxStalenessMs = maxStalenessMs;
  }

  /** The client was answered something by a leader: from now on reads show it. */
  acted(): void {
    this.actedMs = this.source.elapsedMs();
  }

  private neededMs(): Millis {
    return Math.max(this.source.elapsedMs() - this.maxStalenessMs, this.actedMs);
  }

  /**
   * Runs a function that only reads over what the replica here has of a group, at once and as of one moment.
   * @param keys that it will probably read; others are read when they are met
   * @returns undefined when the replica cannot, or not all that is asked for
   * @throws what the function throws
   */
  evaluateNow<Reply>(
    group: GroupId,
    keys: readonly Buffer[],
    body: (view: KeyView) => Reply,
  ): Evaluated<Reply> | undefined {
    const first = keys.length > MAX_READ_NOW ? undefined : this.readNow(group, keys);
    if (first === undefined) return undefined;
    const values = new ValuesHere(keys, first, (more) => this.readNow(group, more));
    const evaluated = evaluateOver(values, first.servedTs, body);
    return 'missing' in evaluated ? undefined : evaluated;
  }

  /**
   * The same with the leader's help where the replica needs it; all that is read is read as of one moment.
   * @returns undefined when the function asks for too much
   * @throws what the function throws; as `ReplicaReader.readAt`
   */
  async evaluate<Reply>(
    group: GroupId,
    keys: readonly Buffer[],
    deadlineMs: Millis,
    body: (view: KeyView) => Reply,
  ): Promise<Evaluated<Reply> | undefined> {
    try {
      return await this.evaluateAtOnce(group, keys, deadlineMs, body);
    } catch (error) {
      if (!isSnapshotTooOld(error)) throw error;
      // What the rounds have read at was let go of meanwhile: the next moment is a new one.
      this.coveredMs = Number.NEGATIVE_INFINITY;
      return this.evaluateAtOnce(group, keys, deadlineMs, body);
    }
  }

  /** All as of one moment. @throws SnapshotTooOldError besides, when that is gone before everything was read */
  private async evaluateAtOnce<Reply>(
    group: GroupId,
    keys: readonly Buffer[],
    deadlineMs: Millis,
    body: (view: KeyView) => Reply,
  ): Promise<Evaluated<Reply> | undefined> {
    const first = await this.read(group, keys, deadlineMs);
    const consistency = { kind: 'exact', ts: first.servedTs } as const;
    const values = new Map(keys.map((key, at) => [nameOf(key), first.values[at]]));
    for (let round = 0; round < MAX_READ_ROUNDS; round++) {
      const evaluated = evaluateOver(values, first.servedTs, body);
      if (!('missing' in evaluated)) return evaluated;
      const { missing } = evaluated;
      if (values.size + missing.length > keys.length + MAX_FOUND) return undefined;
      const more = await this.source.readAt({ group, keys: missing, deadlineMs, consistency });
      for (const [at, key] of missing.entries()) values.set(nameOf(key), more.values[at]);
    }
    return undefined;
  }

  /** Reads keys of one group at once; undefined when the replica here cannot. */
  readNow(group: GroupId, keys: readonly Buffer[]): ValuesNow | undefined {
    const now = this.source.readNow(group, keys, { minTs: this.minTs, coveredMs: this.neededMs() });
    if (now !== undefined) this.took(group, now.servedTs, now.coveredMs);
    return now;
  }

  /** Reads keys of one group. @throws as `ReplicaReader.readAt` */
  async read(group: GroupId, keys: readonly Buffer[], deadlineMs: Millis): Promise<ReadAtReply> {
    const { minTs } = this;
    const isYoung = minTs !== undefined && group === this.group && this.coveredMs >= this.neededMs();
    if (isYoung) {
      try {
        return await this.source.readAt({ group, keys, deadlineMs, consistency: { kind: 'exact', ts: minTs } });
      } catch (error) {
        // The past is kept for less than a session may be behind.
        if (!isSnapshotTooOld(error)) throw error;
      }
    }
    const startedMs = this.source.elapsedMs();
    const reply = await this.source.readAt({ group, keys, deadlineMs, consistency: { kind: 'linearizable', minTs } });
    this.took(group, reply.servedTs, startedMs);
    return reply;
  }

  private took(group: GroupId, servedTs: HlcTimestamp, coveredMs: Millis): void {
    if (this.minTs !== undefined && servedTs < this.minTs) return;
    this.minTs = servedTs;
    this.group = group;
    this.coveredMs = coveredMs;
  }
}

/** @throws what the function throws */
function evaluateOver<Reply>(
  values: ReadonlyMap<string, LiveValue | undefined>,
  ts: HlcTimestamp,
  body: (view: KeyView) => Reply,
): Evaluated<Reply> | { readonly missing: readonly Buffer[] } {
  const view = new BufferedView(ts, values);
  try {
    const reply = body(view);
    return view.missing === undefined ? { reply } : { missing: view.missing };
  } catch (error) {
    if (view.missing !== undefined) return { missing: view.missing };
    throw error;
  }
}
