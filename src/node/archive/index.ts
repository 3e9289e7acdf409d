export {
  type Archive,
  type ArchiveCheck,
  type ArchivedCopy,
  ArchiveError,
  ArchiveWriter,
  type CopyParts,
  listArchives,
  verifyArchive,
} from './archive-folder.ts';
export { backupSource, momentSource } from './backup-source.ts';
export {
  type ArchiveSource,
  folderSource,
  type RestoreOptions,
  type RestoreReport,
  restoreArchive,
} from './restore.ts';
export { type SavedCluster, type SaveOptions, saveArchive } from './save.ts';
