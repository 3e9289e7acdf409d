/**
 * The vocabulary of the data plane: views of keys, operations, transactions, consistency of reads, transfer of ranges, and the
 * errors of all of them. Interfaces and plain data; nothing here does anything.
 */

export type { ChangeListener } from './changes.ts';
export {
  CeilingExpiredError,
  ConflictError,
  CorruptEntryError,
  CrossGroupError,
  EvaluationTooLongError,
  isCrossGroup,
  LeaderUnavailableError,
  LockedError,
  NotOwnerError,
  OvertakenError,
  RangeBusyError,
  RemoteError,
  SnapshotUncoveredError,
  TimestampAheadError,
} from './errors.ts';
export type { LongEvaluation, LongEvaluator, LongOutcome, ReadRow } from './long-evaluation.ts';
export { readRange, writeRange } from './range-codec.ts';
export type {
  BackfillPage,
  BackfillRequest,
  CapturePage,
  CapturePoint,
  CaptureRequest,
  ImportOutcome,
  ImportRequest,
  ImportState,
  JobState,
  SideChange,
  SpanClient,
  SpanExecutor,
  SpanReply,
  SpanRequest,
} from './range-transfer.ts';
export { MoveNotYetError, MoveRefusedError } from './range-transfer-errors.ts';
export { ReadCounters } from './read-counters.ts';
export {
  type Claim,
  type ClosedNotice,
  type Consistency,
  InvalidConsistencyError,
  type ReadAtReply,
  type ReadAtRequest,
  type ReadRange,
  type ReadStats,
  type ReplicasOf,
} from './reads.ts';
export { type AnswerBytes, type ForwardHandler, type KeyStretch, type KvService, wholeAnswer } from './service.ts';
export type { KvTransaction, TransactionOptions, TransactionStarter, Transactions } from './transactions.ts';
export {
  type Absences,
  type CommitReply,
  type CommitRequest,
  type FinishRequest,
  type KeyAbsence,
  type KeyIntent,
  type LockFacts,
  type LockKind,
  type LockRangeRequest,
  type PrepareReply,
  type PrepareRequest,
  type PushReply,
  type RangeIntent,
  type StatusReply,
  TXN_ID_BYTES,
  TXN_SERVICE,
  type TxnClient,
  type TxnGroup,
  type TxnIdentity,
  type TxnReadReply,
  type TxnReadRequest,
  type TxnStatus,
  type Verdict,
} from './txn.ts';
export type { KeyView, LiveValue, Operation, ScanPage, ScanRequest, ScanRow } from './view.ts';
export { AwaitedKeys, TooManyWaitersError, WaitEndedError, type WaitingLine, type WaitState } from './waiting.ts';
