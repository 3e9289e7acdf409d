/** The consistency block of reads: which level a request asks for, and reads at it. */
import {
  type Consistency,
  encodeToken,
  GroupRouter,
  type GroupRouterOptions,
  type LiveValue,
  physicalMs,
  type ReplicaReads,
} from '../../kv/index.ts';
import type { HlcTimestamp, Millis } from '../../platform/index.ts';
import { type ConsistencyMessage, fromTimestamp, toTimestamp, valueMessage } from './kv-messages.ts';

/** Undefined: linearizable, as if nothing had been said. */
export function consistencyOf(message: ConsistencyMessage | null | undefined): Consistency | undefined {
  if (message === undefined || message === null) return undefined;
  const { maxStalenessMs, exact, sessionToken } = message;
  if (maxStalenessMs !== undefined) return { kind: 'bounded', maxStalenessMs: Number(maxStalenessMs) };
  if (exact !== undefined && exact !== null) return { kind: 'exact', ts: toTimestamp(exact) };
  if (sessionToken !== undefined) return { kind: 'session', token: sessionToken.toString('base64') };
  return undefined;
}

interface Read {
  readonly value: LiveValue | undefined;
  readonly servedTs: HlcTimestamp;
  readonly stalenessMs: Millis | undefined;
  readonly token: string;
}

/** Reads of keys that may be answered by replicas of this node. */
export class ConsistentReads {
  private readonly reads: ReplicaReads;
  private readonly router: GroupRouter;

  constructor(reads: ReplicaReads, options: GroupRouterOptions) {
    this.reads = reads;
    this.router = new GroupRouter(options);
  }

  /** @throws as `ReplicaReads.readAt` */
  private async one(key: Buffer, consistency: Consistency, deadlineMs: Millis): Promise<Read> {
    return this.router.at([key], { deadlineMs, isRead: true }, async (group) => {
      const { values, servedTs, stalenessMs, token } = await this.reads.readAt({
        group,
        keys: [key],
        consistency,
        deadlineMs,
      });
      return { value: values[0], servedTs, stalenessMs, token };
    });
  }

  /** Answers `Get`. */
  async get(key: Buffer, consistency: Consistency, deadlineMs: Millis): Promise<object> {
    const read = await this.one(key, consistency, deadlineMs);
    return { value: messageOf(read.value), ...this.tail([read]) };
  }

  /** Answers `BatchGet`: each key by itself; the oldest of them decides what is said of all. */
  async batchGet(keys: readonly Buffer[], consistency: Consistency, deadlineMs: Millis): Promise<object> {
    const reads = await Promise.all(keys.map((key) => this.one(key, consistency, deadlineMs)));
    return { values: reads.map(({ value }) => ({ value: messageOf(value) })), ...this.tail(reads) };
  }

  private tail(reads: readonly Read[]): object {
    let oldest: HlcTimestamp | undefined;
    let stalenessMs: Millis | undefined = 0;
    let token = Buffer.alloc(0);
    for (const read of reads) {
      if (oldest === undefined || read.servedTs < oldest) oldest = read.servedTs;
      stalenessMs =
        read.stalenessMs === undefined || stalenessMs === undefined
          ? undefined
          : Math.max(stalenessMs, read.stalenessMs);
      const bytes = Buffer.from(read.token, 'base64');
      // Tokens of one cluster are in the order of what they demand.
      if (Buffer.compare(bytes, token) > 0) token = bytes;
    }
    return {
      ...(oldest === undefined ? {} : { servedTs: fromTimestamp(oldest) }),
      ...(stalenessMs === undefined ? {} : { stalenessMs: Math.ceil(stalenessMs) }),
      sessionToken: token,
    };
  }

  /** What a session has to show from here on that has written at `ts`. */
  written(ts: HlcTimestamp): { readonly sessionToken: Buffer } {
    return { sessionToken: Buffer.from(encodeToken(this.reads.cluster(), ts), 'base64') };
  }
}

const messageOf = (live: LiveValue | undefined): object | null =>
  live === undefined
    ? null
    : valueMessage({
        value: live.value,
        version: live.commitTs,
        expiresAtMs: live.expireTs === 0n ? 0 : physicalMs(live.expireTs),
      });
