/**
 * Keys of the whole cluster for whatever protocol: `KvCluster` takes steps, batches and scans to the groups that have their keys,
 * `stepAnywhere` makes a transaction of a step over several groups, `ConsistentReads` reads at the level that a caller asks for.
 * Keys are storage keys: an adapter puts its own tag in front and knows nothing of groups.
 */

export { type BatchOutcome, KvCluster, newestIn, type ScanOptions, type ServedPage } from './cluster.ts';
export { type AnswerTime, ConsistentReads, timeOf } from './consistent-reads.ts';
export { serveKeys } from './endpoint.ts';
export { HistoryGoneError } from './errors.ts';
export {
  COMPARISONS,
  type ConditionTarget,
  expiryOf,
  type KvCondition,
  type KvOperation,
  type KvRange,
  type KvResult,
  type KvStep,
  keysOf,
  MAX_ANSWER_BYTES,
  newestOf,
  type StoredValue,
  storedValue,
} from './operations.ts';
export { stepAnywhere } from './step-anywhere.ts';
