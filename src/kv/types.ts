/**
 * What an adapter sees of the key-value layer. Commands are synchronous functions over a `KeyView`; where they run, how
 * their effects are replicated and when their reply may leave is decided here, not in the adapter.
 */
import type { HlcTimestamp } from '../platform/index.ts';

/** A live value: neither deleted nor expired at the view's timestamp. */
export interface LiveValue {
  readonly value: Buffer;
  /** When it expires; 0n is never. */
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
}

/**
 * The state that one command reads and writes. Reads see the command's own writes, then those of commands before it that
 * are still on their way through Raft, then applied state. A command may be run again from the start (conflict at apply),
 * so it must not have side effects outside the view.
 */
export interface KeyView {
  /** Timestamp that reads are made at, that TTLs are judged against, and that writes are committed at. */
  readonly ts: HlcTimestamp;
  /** The key's live value, or undefined. The buffer must not be modified. */
  get(key: Buffer): LiveValue | undefined;
  /** Writes a value; `expireTs` 0n means no expiry. Buffers must not be modified afterwards. */
  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void;
  delete(key: Buffer): void;
  /** Deletes every key in `[start, end)` that exists at `ts`. */
  deleteRange(start: Buffer, end: Buffer): void;
}

/** One command on its way: evaluated once or more, completed exactly once. */
export interface Operation<Reply> {
  /** Synchronous; may throw, which is then the outcome and leaves no effects. */
  evaluate(view: KeyView): Reply;
  /** Called once: with the reply when everything it depends on is durable and applied, or with the error. */
  complete(error: Error | undefined, reply: Reply | undefined): void;
}

/** One row of a scan. */
export interface ScanRow extends LiveValue {
  readonly key: Buffer;
}

export interface ScanRequest {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
  readonly limit: number;
  /** Leave values empty where the store can save the work. */
  readonly keysOnly?: boolean;
}

/** Milliseconds of a timestamp. */
export const physicalMs = (ts: HlcTimestamp): number => Number(ts >> 16n);
