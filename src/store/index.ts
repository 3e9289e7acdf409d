/**
 * The versioned ordered store of one group on LevelDB. A state machine applies units of writes, each with a timestamp and a log index; readers
 * ask for the newest version or for one at a timestamp; copies are cut, sent and installed as segments.
 *
 * From below: `rows` (bytes of a row) < `level` (the database, real and simulated) < `sealed` (encrypted ones) < `segments` (files of a copy) <
 * `contract` < `ranges` (deletes of whole ranges) < `bodies` (rows behind heads) < `flush` (from memory to disk) < `reads` < `counters` < `load`,
 * `folders` < `gc`, `copies` < `group` (the store put together).
 */

export type {
  BodyRow,
  BodyRules,
  ExportedVersion,
  GroupStore,
  GroupStoreOptions,
  LatestVersion,
  PreparedVersion,
  RecentChanges,
  SideRow,
  SideSource,
  StoreImport,
  StoreLimits,
  StorePressures,
  StoreRow,
  StoreWriter,
  VersionToWrite,
} from './contract/index.ts';
export { removeGroupStore } from './folders/index.ts';
export { openGroupStore } from './group/index.ts';
export {
  DiskLevelFolders,
  type LevelFolders,
  type LevelMemory,
  type LevelUse,
  measured,
  openClassicLevel,
  StoreActivity,
} from './level/index.ts';
export { CorruptSnapshotError, isSnapshotTooOld } from './rows/index.ts';
export { SealedLevel, SealedLevels } from './sealed/index.ts';
export {
  type BlockCompression,
  type CopyFacts,
  type CopyManifest,
  CutThread,
  decodeManifest,
  encodeManifest,
  type Json,
  openJson,
  pooledCompression,
  readSegment,
  type SegmentEntry,
  SegmentFolder,
  type StoreCut,
  sealJson,
} from './segments/index.ts';
