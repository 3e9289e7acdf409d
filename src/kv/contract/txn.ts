/**
 * What a coordinator asks of a group, answered by the group's leader from its own log. `TxnGroup` is that leader's end,
 * `TxnClient` the same from any node, over `KvService.forward` under the service name 'txn'.
 *
 * Everything can be asked again: an answer that was lost is given again, whatever the group has done meanwhile. Beside the
 * answers below a question fails with `NotLeaderError`, `NotOwnerError` (nothing happened: ask the group that has the key
 * now), `RangeBusyError`, `BusyError` (nothing happened: wait), `OutcomeUnknownError` (ask again).
 */
import type { GroupId, HlcTimestamp, Millis } from '../../platform/index.ts';
import type { LiveValue, ScanPage, ScanRequest } from './view.ts';

/** Service name under which group leaders answer. */
export const TXN_SERVICE = 'txn';

/** Length of a transaction's id: random, made by its coordinator, the same in every repetition of a request. */
export const TXN_ID_BYTES = 16;

/** Who somebody is that holds or wants a lock; enough to ask for its status. */
export interface TxnIdentity {
  /** `TXN_ID_BYTES` bytes. */
  readonly txnId: Buffer;
  /** Key of the record: the transaction's status is decided by the group that owns this key. */
  readonly primary: Buffer;
  /** Age of the transaction: the same for all attempts of one piece of work, each of which has an id of its own. */
  readonly startTs: HlcTimestamp;
}

export type LockKind = 'read' | 'put' | 'delete';

/** One key that a transaction locks. */
export interface KeyIntent {
  readonly key: Buffer;
  readonly kind: LockKind;
  /** Of a put, else empty. */
  readonly value: Buffer;
  /** Of a put; 0n is never. */
  readonly expireTs: HlcTimestamp;
  /** The version that was read, 0n for "there was none"; undefined when the key was not read. */
  readonly expected: HlcTimestamp | undefined;
  /**
   * Instead of `expected`: nobody has written the key since, whatever it is now. A key that is absent, as it was then, may have come and
   * gone. The entry's own timestamp is above it too.
   */
  readonly notAboveTs?: HlcTimestamp;
}

/** A range that was read: no key of it may change while it is locked. */
export interface RangeIntent {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
}

export interface PrepareRequest extends TxnIdentity {
  /** Groups of the transaction, at the primary; empty elsewhere. */
  readonly participants: readonly GroupId[];
  /** Authority epoch that the transaction's timestamps are drawn under. */
  readonly authorityEpoch: number;
  /** So long after the entry, by the group's own time, others may end the transaction, unless it is pushed on. */
  readonly lockTtlMs: Millis;
  /** Each key once. */
  readonly keys: readonly KeyIntent[];
}

/** Locks a range and then looks whether it still is as it was read at `readTs`. */
export interface LockRangeRequest extends TxnIdentity, RangeIntent {
  readonly authorityEpoch: number;
  readonly lockTtlMs: Millis;
  readonly readTs: HlcTimestamp;
}

/** Locks of a transaction that are to end. */
export interface FinishRequest extends TxnIdentity {
  /** True at the primary's group: `writes` holds the primary, and the record is written in the same entry. */
  readonly isPrimary: boolean;
  /** Participants for the record; empty elsewhere. */
  readonly participants: readonly GroupId[];
  /** Keys that were locked for a put or a delete. */
  readonly writes: readonly Buffer[];
  /** Keys that were only read. */
  readonly reads: readonly Buffer[];
  readonly ranges: readonly RangeIntent[];
}

export interface CommitRequest extends FinishRequest {
  /** From the oracle, drawn after the last PREPARE was answered; not below any `minCommitTs`. */
  readonly commitTs: HlcTimestamp;
}

/** A lock as those see it whom it stops. */
export interface LockFacts extends TxnIdentity {
  readonly key: Buffer;
  readonly kind: LockKind | 'range';
  /** Of a range lock, else undefined. */
  readonly end: Buffer | undefined;
  readonly minCommitTs: HlcTimestamp;
  /** As of the PREPARE; the primary's may have been pushed on. */
  readonly deadlineTs: HlcTimestamp;
}

/** - `committed`, `rolledBack`: the transaction has this status already, for good. */
export type TxnStatus =
  | { readonly kind: 'committed'; readonly commitTs: HlcTimestamp }
  | { readonly kind: 'rolledBack' };

/**
 * - `prepared`: all locks are in force.
 * - `changed`: what was read is not so any more; roll back and read afresh.
 * - `locked`: a lock of another, and the asker has to give way (it is younger, or has waited for 1 s).
 * - `tooOld`: the transaction began so long ago that its record may be forgotten.
 * - `wrongAuthority`: the group listens to another oracle, see time.md.
 */
export type PrepareReply =
  | { readonly kind: 'prepared'; readonly minCommitTs: HlcTimestamp }
  | { readonly kind: 'changed'; readonly key: Buffer }
  | { readonly kind: 'locked'; readonly lock: LockFacts }
  | { readonly kind: 'tooOld' }
  | { readonly kind: 'wrongAuthority' }
  | TxnStatus;

/**
 * - `committed`: now or earlier, at this timestamp.
 * - `tsTooLow`: nothing happened; draw another timestamp, not below this.
 * - `notFound`: neither a lock nor a trace of the transaction at `key`. At the primary nothing was ever prepared; at another
 *   group it is damage that has to be reported.
 */
export type CommitReply =
  | TxnStatus
  | { readonly kind: 'tsTooLow'; readonly minCommitTs: HlcTimestamp }
  | { readonly kind: 'notFound'; readonly key: Buffer };

/**
 * - `pending`: it may still be decided, at the latest after `deadlineTs`.
 * - `forgotten`: there is no record, and there may have been one; leave the locks alone and report it.
 */
export type StatusReply =
  | TxnStatus
  | { readonly kind: 'pending'; readonly deadlineTs: HlcTimestamp }
  | { readonly kind: 'forgotten' };

/** - `pushed`: the primary lock lives until `deadlineTs` at least. */
export type PushReply =
  | { readonly kind: 'pushed'; readonly deadlineTs: HlcTimestamp }
  | TxnStatus
  | { readonly kind: 'notFound' };

/** A lock of a transaction whose status is known. */
export interface Verdict {
  readonly txnId: Buffer;
  /** Start of a range lock. */
  readonly key: Buffer;
  /** Of a range lock, else undefined. */
  readonly end: Buffer | undefined;
  readonly status: TxnStatus;
}

export interface TxnReadRequest {
  readonly keys: readonly Buffer[];
  /** Snapshot to read; left out: the newest state. Waits for write locks that may commit at or below it. */
  readonly readTs?: HlcTimestamp;
  /** Of the newest state: also says what is known of keys that are not there. */
  readonly withAbsences?: boolean;
}

/** What a group knows of keys that are not there. */
export interface Absences {
  /** By position of the key; undefined where a key is there. */
  readonly keys: readonly (KeyAbsence | undefined)[];
  /** Nothing that was written above this has been collected: while it is below a moment, whatever came since can be seen. */
  readonly collectedTs: HlcTimestamp;
}

/**
 * - `deletedTs`: when the key was deleted; 0n when it never was, or with a range, or has expired, or when that is not known any more.
 * - `writtenTs`: when it was last written, in whatever way; 0n when nothing is left of it.
 */
export interface KeyAbsence {
  readonly deletedTs: HlcTimestamp;
  readonly writtenTs: HlcTimestamp;
}

export interface TxnReadReply {
  /** By position; undefined for what is not there. `commitTs` is the version to expect. */
  readonly rows: readonly (LiveValue | undefined)[];
  /** When it was asked for. */
  readonly absences?: Absences;
  /** What was seen lies at or below this, deletes too: whoever reads at it, or later, sees no less. */
  readonly seenTs: HlcTimestamp;
}

/** A group's leader, as transactions see it. See the head of the file for how questions fail. */
export interface TxnGroup {
  /** @throws LockedError when a key stays locked for 1 s; SnapshotTooOldError */
  read(request: TxnReadRequest): Promise<TxnReadReply>;
  /**
   * One page at `readTs`, or at one that the leader chooses above everything acknowledged; ends where the group's keys end.
   * @throws LockedError; SnapshotTooOldError
   */
  scan(request: ScanRequest, readTs: HlcTimestamp | undefined): Promise<ScanPage>;
  /** Locks all keys or none. An older transaction waits for locks of younger ones up to 1 s. */
  prepare(request: PrepareRequest): Promise<PrepareReply>;
  /**
   * Everything in one group: checked and committed in one entry, without locks, at a timestamp of the group's own; leaves a record.
   * One that was refused leaves a record too: the same question, late or doubled, is answered `rolledBack`.
   */
  commitOnePhase(request: PrepareRequest): Promise<PrepareReply>;
  /** `prepared`: the range is as it was read and stays so. After any other answer a lock may be there: abort it. */
  lockRange(request: LockRangeRequest): Promise<PrepareReply>;
  commit(request: CommitRequest): Promise<CommitReply>;
  /** `rolledBack`: it is now for good, whatever is still on its way. `committed`: too late. */
  abort(request: FinishRequest): Promise<TxnStatus>;
  /** The transaction's status at its primary. Decides it when the lock has expired or was never there. */
  status(txn: TxnIdentity): Promise<StatusReply>;
  /** The coordinator lives: the primary lock lives for so long from now. */
  push(txn: TxnIdentity, lockTtlMs: Millis): Promise<PushReply>;
  /** Ends locks by statuses that were asked for. Locks that are gone, or another's, are left alone. @returns how many ended */
  resolve(verdicts: readonly Verdict[]): Promise<number>;
  /** Locks of this group whose deadline has passed, at most `limit`, for the resolver. */
  expiredLocks(limit: number): readonly LockFacts[];
}

/** The same from any node; `group` is the one asked. `expiredLocks` is the leader's own matter. */
export type TxnClient = {
  readonly [Question in Exclude<keyof TxnGroup, 'expiredLocks'>]: (
    group: GroupId,
    ...question: Parameters<TxnGroup[Question]>
  ) => ReturnType<TxnGroup[Question]>;
};
