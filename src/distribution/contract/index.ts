/**
 * Routes, groups, nodes and jobs as plain data, their rows' bytes and keys, and the errors of the catalog.
 */

export {
  CATALOG_END,
  CATALOG_START,
  type CatalogKey,
  deltaKey,
  featureKey,
  groupKey,
  isReservedKey,
  jobHistoryKey,
  jobKey,
  META_KEY,
  nodeKey,
  parseCatalogKey,
  RESERVED_END,
  routeKey,
  settingKey,
  tombstoneKey,
  workKey,
} from './catalog-keys.ts';
export {
  type CatalogMeta,
  decodeDelta,
  decodeJob,
  decodeMeta,
  decodeNode,
  decodeRoute,
  type Endpoint,
  encodeDelta,
  encodeJob,
  encodeMeta,
  encodeNode,
  encodeRoute,
  JOB_PHASES,
  type JobPhase,
  type JobRow,
  MAX_ENDPOINTS,
  MAX_PROGRESS_BYTES,
  type NodeRow,
  readRoute,
  writeRoute,
} from './catalog-rows.ts';
export {
  decodeFeature,
  decodeGroup,
  decodeSetting,
  decodeWork,
  encodeFeature,
  encodeGroup,
  encodeSetting,
  encodeWork,
} from './cluster-rows.ts';
export type {
  ClusterState,
  FeatureOp,
  FeatureRow,
  GroupOp,
  GroupRow,
  SettingOp,
  SettingRow,
  WorkOp,
  WorkRow,
} from './cluster-types.ts';
export {
  CatalogCorruptError,
  CatalogError,
  type CatalogErrorCode,
  InvalidCursorError,
  type ItemRefusal,
  RouteTableError,
} from './errors.ts';
export type {
  CatalogDelta,
  CatalogIncarnation,
  CatalogVersion,
  DeltaCause,
  JobId,
  Route,
  RouteId,
  RouteMutation,
} from './types.ts';
