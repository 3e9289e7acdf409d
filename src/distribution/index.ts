/** Who owns a key: the directory of ranges, its catalog, its watchers, and each group's own table of spans. */

export * from './balance/index.ts';
export { ByteReader, ByteWriter } from './bytes.ts';
export * from './catalog.ts';
export { type CatalogPlan, MAX_FINISHED_JOBS, type PlanContext } from './catalog-draft.ts';
export { type BootstrapGroup, MAX_FOUNDERS, MAX_GROUPS } from './catalog-groups.ts';
export {
  type CreateMergeOp,
  type CreateMoveOp,
  isAbortable,
  type JobResult,
  type PutNodeOp,
  type RemoveNodeOp,
  removedNode,
  type SetGroupOp,
  type TransitionJobOp,
} from './catalog-jobs.ts';
export * from './catalog-keys.ts';
export {
  alignedCuts,
  type BatchSplitOp,
  type BootstrapOp,
  type BootstrapRange,
  MAX_BATCH_SPLITS,
  MAX_BOOTSTRAP_RANGES,
  type MergeOp,
  type RoutesResult,
  type SplitItem,
  type SplitOp,
} from './catalog-routes.ts';
export * from './catalog-rows.ts';
export {
  advanceCatalog,
  type CatalogMutation,
  type CatalogState,
  documentOf,
  EMPTY_CATALOG,
  type FinishedJob,
  loadCatalog,
  loadCatalogSteps,
  tombstoneName,
} from './catalog-state.ts';
export { MAX_LEASE_MS, MAX_WORK, MAX_WORK_PROGRESS_BYTES } from './catalog-work.ts';
export { ChangeLog, DEFAULT_RETENTION, type RetentionPolicy } from './change-log.ts';
export * from './cluster-rows.ts';
export type {
  ClusterDocument,
  FeatureOp,
  FeatureRow,
  GroupOp,
  GroupRow,
  RemovedNode,
  SettingOp,
  SettingRow,
  WorkOp,
  WorkRow,
} from './cluster-types.ts';
export * from './errors.ts';
export { CAPABILITIES, FEATURES, type Feature, isFeatureActive, nodesWithout } from './features.ts';
export * from './keyspaces.ts';
export { DEFAULT_HISTORY_VERSIONS, RouteEngine } from './route-engine.ts';
export { RouteTable, RouteTableLoader } from './route-table.ts';
export { SETTINGS, type SettingName, type SwitchValue, settingOf, switchOf } from './settings.ts';
export * from './span-codec.ts';
export { JOB_ENDS, type JobEnd, MAX_SPANS, type SpanIntersection, SpanTable } from './span-table.ts';
export { applySpanCommand, type SpanStep } from './span-transitions.ts';
export * from './span-types.ts';
export * from './types.ts';
export * from './watch-messages.ts';
export { type WatchProblem, WatchReceiver, type WatchStep } from './watch-receiver.ts';
export { WATCH_LIMITS, WatchSession } from './watch-session.ts';
