export * from './admin/index.ts';
export * from './admission/index.ts';
export * from './balance/index.ts';
export * from './catalog/index.ts';
export { type DecodedEntry, decodeEntry } from './decoded-entry.ts';
export * from './errors.ts';
export { GroupExecutor } from './executor.ts';
export {
  DEFAULT_EXECUTOR_LIMITS,
  type ExecutorLimits,
  type ExecutorStats,
  type GroupExecutorOptions,
} from './executor-options.ts';
export * from './forward-counters.ts';
export { decodeError, encodeError } from './forward-errors.ts';
export { DEFAULT_PROXY_LIMITS, type ProxyLimits, type ProxyStats } from './forward-types.ts';
export { forwarded } from './forwarded.ts';
export * from './gc/index.ts';
export { type ArchivedGroup, GroupArchive, type GroupArchiveOptions, MomentNotClosedError } from './group-archive.ts';
export { type ClockLimits, DEFAULT_CLOCK_LIMITS, GroupClock } from './group-clock.ts';
export { decodeAppliedMeta, encodeAppliedMeta, encodeConf, MetaName } from './group-meta.ts';
export { GroupRouter, type GroupRouterOptions, type RemoteForm, type RoutingOptions, submit } from './group-router.ts';
export { type SnapshotFacts, snapshotFacts } from './group-snapshot.ts';
export { Hlc, MAX_FORWARD_SKEW_MS, timestampOfMs } from './hlc.ts';
export { DEFAULT_MAINTENANCE, type MaintenanceOptions } from './maintenance.ts';
export * from './move/index.ts';
export { NodeClock, type NodeClockStatus } from './node-clock.ts';
export * from './oracle/index.ts';
export * from './reads/counters.ts';
export * from './reads/index.ts';
export { createKvService, type KvGroup, type KvServiceOptions, type NodeKvService } from './service.ts';
export {
  type BatchResult,
  type EntryResult,
  GroupStateMachine,
  type GroupStateMachineOptions,
  type UnitRefusal,
} from './state-machine.ts';
export { createTxnClient, serveTxns, TXN_TIMEOUT_MS, type TxnClientOptions } from './txn/coordinator-client.ts';
export {
  type CoordinatorParts,
  DEFAULT_TRANSACTION_LIMITS,
  type GrantedTimestamp,
  LostLockError,
  RetryTooOldError,
  type TimestampSource,
  TransactionAbortedError,
  type TransactionLimits,
  TransactionUnknownError,
} from './txn/coordinator-types.ts';
export * from './txn/counters.ts';
export { fateAt } from './txn/fate-lookup.ts';
export {
  DEFAULT_RESOLVER_LIMITS,
  FateResolver,
  ForgottenFateError,
  type LedGroup,
  type ResolverLimits,
  type ResolverParts,
} from './txn/resolver.ts';
export { type RunRequest, type RunResult, TransactionRunner } from './txn/transaction-runner.ts';
export * from './txn-api.ts';
export * from './types.ts';
export type { AccessListener } from './view.ts';
export * from './work/index.ts';
