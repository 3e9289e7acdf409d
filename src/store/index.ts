export { type LevelUse, StoreActivity } from './activity.ts';
export {
  CorruptSnapshotError,
  CorruptStoreError,
  SnapshotTooOldError,
  StoreClosedError,
  StoreFailedError,
  StoreUnavailableError,
  UnknownStoreFormatError,
} from './errors.ts';
export { removeGroupStore } from './folders.ts';
export {
  DiskLevelFolders,
  type Level,
  type LevelFolders,
  type LevelMemory,
  type OpenLevel,
  openClassicLevel,
} from './level.ts';
export { DEFAULT_STORE_LIMITS } from './limits.ts';
export { measured } from './measured-level.ts';
export { openGroupStore } from './open.ts';
export {
  type BlockCompression,
  type CopyFacts,
  type CopyManifest,
  CutThread,
  decodeManifest,
  encodeManifest,
  inlineCompression,
  type Json,
  openJson,
  pooledCompression,
  readSegment,
  type SegmentEntry,
  SegmentFolder,
  type StoreCut,
  sealJson,
  segmentName,
} from './segments/index.ts';
export { SimulatedLevels } from './simulated-level.ts';
export type * from './types.ts';
