export { createTxnClient, serveTxns, TXN_TIMEOUT_MS, type TxnClientOptions } from './coordinator-client.ts';
export {
  type CoordinatorParts,
  DEFAULT_TRANSACTION_LIMITS,
  type GrantedTimestamp,
  type Isolation,
  LostLockError,
  RetryTooOldError,
  type TimestampSource,
  TransactionAbortedError,
  type TransactionLimits,
  TransactionUnknownError,
} from './coordinator-types.ts';
export {
  DEFAULT_RESOLVER_LIMITS,
  FateResolver,
  ForgottenFateError,
  type LedGroup,
  type ResolverLimits,
  type ResolverParts,
} from './resolver.ts';
export { type RunRequest, type RunResult, TransactionRunner } from './transaction-runner.ts';
