/**
 * The ordered database below a store: LevelDB, its checked and measured forms, and the simulated one that forgets what was not synced.
 */

export { databaseBytes, type LevelUse, StoreActivity } from './activity.ts';
export { BatchMutex } from './batch-mutex.ts';
export { CheckedLevel } from './checked-level.ts';
export { KeyWalk, type WalkedVersion } from './key-walk.ts';
export {
  DiskLevelFolders,
  type Level,
  type LevelChain,
  type LevelFolders,
  type LevelIterator,
  type LevelIteratorOptions,
  type LevelLoan,
  type LevelMemory,
  type LevelOperation,
  type LevelSnapshot,
  type OpenLevel,
  openClassicLevel,
  openLentLevel,
  writeChained,
} from './level.ts';
export { crc32c } from './leveldb-files.ts';
export { measured } from './measured-level.ts';
export { loadMeta, rowsOfKind } from './rows-of-kind.ts';
