/**
 * Reads of one client that never go back and see what it did itself, from the replicas of this node as far as they can answer:
 * at once and without a promise when they can. Where a replica cannot, the leader is asked for the timestamp that the
 * session has read at already, as long as that is young enough: so reads of the session do not run ahead of the replicas.
 */
import type { GroupId, HlcTimestamp, Millis } from '../../platform/index.ts';
import type { LiveValue, ReadAtReply, ReadAtRequest } from '../contract/index.ts';

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
  readNow(group: GroupId, keys: readonly Buffer[], demand: SessionDemand): ValuesNow | undefined;
  readAt(request: ReadAtRequest): Promise<ReadAtReply>;
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
    if (isYoung) return this.source.readAt({ group, keys, deadlineMs, consistency: { kind: 'exact', ts: minTs } });
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
