/**
 * Interactive transactions as adapters use them: who begins one holds it, on the node where it was begun. What happens
 * between the groups is the coordinator's business.
 */
import type { HlcTimestamp, Millis } from '../../platform/index.ts';
import type { KeyView, LiveValue, ScanPage, ScanRequest } from './view.ts';

/**
 * - `serializable`: everything that was read is still so at the moment of the commit.
 * - `snapshot`: reads are of one moment, at the beginning, and show everything that was acknowledged before; of two that write the
 *   same key one fails, but two that write different keys may each have read what the other was about to change.
 */
export type TransactionIsolation = 'serializable' | 'snapshot';

export interface TransactionOptions {
  readonly isolation: TransactionIsolation;
  /** How long the beginning may take, on the monotonic clock. */
  readonly deadlineMs: Millis;
  /** Timestamp of an earlier attempt of the same work: its age decides who gives way. Left out for a first attempt. */
  readonly ageTs?: HlcTimestamp;
}

/**
 * One transaction. Keys are storage keys. Not for several callers at a time.
 *
 * Each method may fail with an error of disposition `restart` (`ConflictError` and its like): nothing of the transaction has
 * happened or will, and the work may be begun again, with `startTs` as its `ageTs`.
 */
export interface KvTransaction {
  /** 16 bytes, unlike that of any other. */
  readonly id: Buffer;
  readonly startTs: HlcTimestamp;
  /** What it was shown so far lies at or below this, deletes too, whatever becomes of it; 0n before it was shown anything. */
  readonly seenTs: HlcTimestamp;
  /** The live value as the transaction sees it, its own writes included. */
  get(key: Buffer): Promise<LiveValue | undefined>;
  /** One page as the transaction sees it, its own writes included; `next` goes on, also in another group. */
  scan(request: ScanRequest): Promise<ScanPage>;
  /** Seen by the transaction at once, by others after `commit`. @param expireTs 0n is never */
  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void | Promise<void>;
  delete(key: Buffer): void | Promise<void>;
  /**
   * @returns the timestamp that the writes have; of a transaction that only reads one that all it was shown lies at or below
   * @throws OutcomeUnknownError: call again to learn the outcome, as often as needed
   */
  commit(deadlineMs: Millis): Promise<HlcTimestamp>;
  /** Gives everything up; harmless when it is over already, unless it was committed. */
  rollback(): Promise<void>;
}

/** What begins transactions on a node. */
export interface TransactionStarter {
  /** @throws LeaderUnavailableError when no timestamp could be had in time */
  begin(options: TransactionOptions): Promise<KvTransaction>;
}

/** Transactions on a node, of several calls or of one. */
export interface Transactions extends TransactionStarter {
  /**
   * Evaluates `body` over keys of any groups as if at one moment; several times if need be, so it must not have effects
   * beside the view. `commitTs` is undefined when nothing was written; what the reply was made of lies at or below `seenTs`.
   * @param request `keys` that it will read, as far as they are known
   * @throws what `body` throws; ConflictError when it lost too often; OutcomeUnknownError when it may have happened
   */
  run<Reply>(
    request: { readonly keys: readonly Buffer[]; readonly deadlineMs: Millis },
    body: (view: KeyView) => Reply,
  ): Promise<{
    readonly reply: Reply | undefined;
    readonly commitTs: HlcTimestamp | undefined;
    readonly seenTs: HlcTimestamp;
  }>;
}
