/**
 * The data plane: what happens to a key between the adapter that was asked and the log and store that keep it.
 *
 * A command takes this way through the rooms: `service` finds the group, `forward` sends it to the group's leader, `leader` evaluates it over
 * a view and gathers what a turn of the event loop brings into one entry, `entry` has the bytes of that entry, `apply` makes it state on
 * every replica. `time` gives timestamps, `ranges` carries ranges between groups, `txn` spans groups, `oracle` orders what spans them, `reads`
 * lets replicas answer, `admission` holds writes back. `client` takes keys of the whole cluster to their groups, for any adapter. `contract` has
 * the interfaces that all of them and the floors above speak.
 *
 * The rooms import in this direction only: contract, admission < time, entry < forward, ranges < apply < leader < txn < reads, oracle < service,
 * client.
 */

export {
  isHeldBack,
  NodeAdmission,
  type NodeAdmissionOptions,
  type PressedMachine,
  WriteBackpressureError,
} from './admission/index.ts';
export { describeGroup, GroupStateMachine, snapshotFacts } from './apply/index.ts';
export {
  type AnswerTime,
  type BatchOutcome,
  COMPARISONS,
  type ConditionTarget,
  ConsistentReads,
  expiryOf,
  HistoryGoneError,
  KvCluster,
  type KvCondition,
  type KvOperation,
  type KvRange,
  type KvResult,
  type KvStep,
  keysOf,
  MAX_ANSWER_BYTES,
  newestIn,
  newestOf,
  type ScanOptions,
  type ServedPage,
  type StoredValue,
  serveKeys,
  stepAnywhere,
  storedValue,
  timeOf,
} from './client/index.ts';
export {
  type AnswerBytes,
  AwaitedKeys,
  type BackfillPage,
  type CapturePage,
  type CapturePoint,
  type ChangeListener,
  type Consistency,
  CrossGroupError,
  EvaluationTooLongError,
  type ImportState,
  isCrossGroup,
  type KeyView,
  type KvService,
  type KvTransaction,
  LeaderUnavailableError,
  type LiveValue,
  type LockFacts,
  type LongEvaluation,
  type LongEvaluator,
  type LongOutcome,
  MoveNotYetError,
  MoveRefusedError,
  NotOwnerError,
  type Operation,
  OvertakenError,
  RangeBusyError,
  type ReadAtReply,
  type ReadRow,
  type ReadStats,
  RemoteError,
  type ScanPage,
  type ScanRequest,
  type ScanRow,
  SnapshotUncoveredError,
  type SpanClient,
  type SpanReply,
  type SpanRequest,
  TimestampAheadError,
  TooManyWaitersError,
  type Transactions,
  type TxnClient,
  type TxnIdentity,
  type TxnStatus,
  WaitEndedError,
  type WaitingLine,
  type WaitState,
} from './contract/index.ts';
export { encodeAppliedMeta, encodeConf, encodeSetGc, encodeTxnFloor, MetaName } from './entry/index.ts';
export {
  type Departures,
  decodeError,
  encodeError,
  forwarded,
  GroupRouter,
  type GroupRouterOptions,
  type ProxyStats,
  type RemoteForm,
  submit,
} from './forward/index.ts';
export {
  type AccessListener,
  type ExecutorStats,
  type ExpiryWork,
  GroupExecutor,
  RowsView,
  statusAt,
} from './leader/index.ts';
export {
  OracleChannel,
  OracleClient,
  type OracleClientStats,
  OracleLeader,
  OracleShadow,
  type OracleStatus,
  type ShadowStats,
  serveOracle,
} from './oracle/index.ts';
export { ForwardingSpanClient, serveSpans } from './ranges/index.ts';
export {
  createReplicaReads,
  encodeToken,
  type PointReads,
  type PointView,
  ReadSession,
  ReadSnapshot,
  type ReplicaReads,
  type SessionSource,
  SnapshotTransaction,
} from './reads/index.ts';
export { createKvService, type GroupLocation, type KvServiceOptions, type NodeKvService } from './service/index.ts';
export {
  type Authority,
  type AuthorityMode,
  caughtUpAfter,
  clockAt,
  DEFAULT_CLOCK_LIMITS,
  type FenceCommand,
  NodeClock,
  type NodeClockStatus,
  type ReadPin,
  ReadPins,
  reachedTs,
} from './time/index.ts';
export {
  createTxnClient,
  LockResolver,
  serveTxns,
  TransactionRunner,
  TXN_OUTCOMES,
  TXN_WAYS,
  TxnCounters,
} from './txn/index.ts';
