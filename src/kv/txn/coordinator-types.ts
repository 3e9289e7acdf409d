/** What coordinators of transactions need from around them, what bounds them, and how they fail. */
import {
  type Clock,
  type ErrorDisposition,
  type GroupId,
  type HlcTimestamp,
  KvorumError,
  type Millis,
  type Random,
  type Scheduler,
} from '../../platform/index.ts';
import { OutcomeUnknownError } from '../../raftengine/index.ts';
import type { KvService, TxnClient } from '../contract/index.ts';
import type { ReadPins } from '../time/index.ts';
import type { TxnCounters } from './counters.ts';

/** A timestamp with the authority that it was granted under. */
export interface GrantedTimestamp {
  readonly ts: HlcTimestamp;
  readonly epoch: number;
}

/** Timestamps that order work across groups: one that is asked for after another was answered is larger. */
export interface TimestampSource {
  /** @param after the answer is larger than this too */
  timestamp(after?: HlcTimestamp): Promise<GrantedTimestamp>;
}

/** Bounds of transactions. */
export interface TransactionLimits {
  /** Groups that one transaction may touch. */
  readonly maxParticipants: number;
  /** Keys that one transaction locks, and keys and ranges that one of several calls reads. */
  readonly maxKeys: number;
  /** Keys that a function may find by what it reads, beside those that it names; it is evaluated over all of them in one turn. */
  readonly maxFoundKeys: number;
  /** Keys and values of what it writes. */
  readonly maxBytes: number;
  /** How long locks live without a heartbeat, three of which fit in. */
  readonly lockTtlMs: Millis;
  /** An interactive transaction that is older is not committed any more. */
  readonly maxAgeMs: Millis;
  /** Attempts of one piece of work that lose against others. */
  readonly maxAttempts: number;
  /** How long cleaning up goes on when nobody waits for it; what is left then is the resolver's. */
  readonly cleanupMs: Millis;
  /** Transactions that are being cleaned up at one time; those beyond are left to the resolver. */
  readonly maxCleanups: number;
}

export const DEFAULT_TRANSACTION_LIMITS: TransactionLimits = {
  maxParticipants: 64,
  maxKeys: 250_000,
  maxFoundKeys: 65_536,
  // A hundred items of 400 KB, each rewritten as a whole, with their rows in indexes.
  maxBytes: 64 * 1024 * 1024,
  lockTtlMs: 10_000,
  maxAgeMs: 300_000,
  maxAttempts: 16,
  cleanupMs: 5_000,
  maxCleanups: 1_024,
};

/** A moment to read at: what the groups that it covers had acknowledged before it was chosen is at or below `ts`. */
export interface CoveredMoment {
  readonly ts: HlcTimestamp;
  readonly covered: ReadonlySet<GroupId>;
}

/** What every coordinator of a node has in common. */
export interface CoordinatorParts {
  readonly client: TxnClient;
  readonly kv: Pick<KvService, 'groupOf' | 'stretchAt' | 'nowTs'>;
  readonly timestamps: TimestampSource;
  /** Asks the groups how far their clocks are: those may lead the oracle's. @throws when no group answers in time */
  readonly drawMoment: (deadlineMs: Millis) => Promise<CoveredMoment>;
  /** Keeps what open transactions read from being let go of; left out: they take their chance with the retention. */
  readonly pins?: Pick<ReadPins, 'pin' | 'hold'>;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly limits?: Partial<TransactionLimits>;
  /** Where attempts are booked. */
  readonly counters?: TxnCounters;
  /** Hears of damage, and of cleaning up that was left to the resolver. */
  readonly onError?: (error: unknown) => void;
}

/** The transaction was rolled back, for good: nothing happened. Its id is used up; a new attempt needs another. */
export class TransactionAbortedError extends KvorumError {
  readonly code = 'TXN_ABORTED';
  readonly disposition: ErrorDisposition = 'restart';
}

/** The transaction began so long ago that nobody could tell whether it took place before; nothing happened now. */
export class RetryTooOldError extends KvorumError {
  readonly code = 'RETRY_TOO_OLD';
  readonly disposition: ErrorDisposition = 'final';
}

/** The transaction may have taken place. `txnId` and `primary` are what to ask for its status with. */
export class TransactionUnknownError extends OutcomeUnknownError {
  readonly txnId: Buffer;
  readonly primary: Buffer;

  constructor(txnId: Buffer, primary: Buffer, cause: unknown) {
    super(`the outcome of transaction ${txnId.toString('hex')} is not known: it may or may not have been committed`);
    this.txnId = txnId;
    this.primary = primary;
    this.cause = cause;
  }
}

/** A group has lost what a transaction had locked there: damage, which has to be looked at. */
export class LostLockError extends KvorumError {
  readonly code = 'LOST_LOCK';
  readonly disposition: ErrorDisposition = 'final';
}
