/**
 * What a store promises to those above it, and the limits it keeps.
 */

export { DEFAULT_STORE_LIMITS } from './limits.ts';
export type {
  BodyRow,
  BodyRules,
  ExportedVersion,
  ExportPage,
  ExportRequest,
  ExportSidesRequest,
  GarbagePass,
  GroupStore,
  GroupStoreOptions,
  ImportedCopy,
  LatestVersion,
  OverhangKey,
  PreparedVersion,
  RecentChanges,
  SidePage,
  SideRow,
  SideSource,
  StoreImport,
  StoreLimits,
  StorePressures,
  StoreRow,
  StoreScanPage,
  StoreScanRequest,
  StoreWriter,
  VersionToWrite,
} from './types.ts';
