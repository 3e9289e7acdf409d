/**
 * How the catalog changes: each operation is a pure function from the state to the rows to write.
 */

export { type CatalogOp, type NodeOp, planCatalog } from './catalog.ts';
export type { PlanContext } from './catalog-draft.ts';
export {
  type CreateMergeOp,
  type CreateMoveOp,
  isAbortable,
  type JobResult,
  removedNode,
  type SetGroupOp,
  saysOtherThan,
  storableNode,
  type TransitionJobOp,
} from './catalog-jobs.ts';
export {
  alignedCuts,
  type BatchSplitOp,
  type BootstrapOp,
  type BootstrapRange,
  MAX_BATCH_SPLITS,
  MAX_BOOTSTRAP_RANGES,
  type MergeOp,
  type RoutesResult,
  type SplitOp,
} from './catalog-routes.ts';
export {
  advanceCatalog,
  type CatalogMutation,
  type CatalogState,
  clusterStateOf,
  EMPTY_CATALOG,
  loadCatalog,
  loadCatalogSteps,
  tombstoneName,
} from './catalog-state.ts';
export { DRAIN_FEATURE, withdrawalOf } from './catalog-withdrawals.ts';
export { MAX_LEASE_MS, MAX_WORK_PROGRESS_BYTES } from './catalog-work.ts';
export { DEFAULT_RETENTION, type RetentionPolicy } from './change-log.ts';
export {
  CAPABILITIES,
  FEATURES,
  type FeatureStanding,
  featureStanding,
  hasFeature,
  isFeatureActive,
  nodesWithout,
} from './features.ts';
export { SETTINGS, type SwitchValue, settingOf, switchOf } from './settings.ts';
