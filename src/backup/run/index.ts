/**
 * What is done with backups: made of one moment, stored, verified, taken away; and with the changes between them. Pure of the cluster, which is an
 * argument.
 */

export {
  type ChangeWindow,
  changeWindows,
  leadsOnFrom,
  type MomentPlan,
  planMoment,
  readableBackups,
} from './change-windows.ts';
export { type CleanUp, type CleanUpOptions, cleanUp, expiredBackups, type Retention } from './clean-up.ts';
export { type CopiedCluster, type Copies, copyAtOneMoment, type OneMomentOptions } from './one-moment.ts';
export { type ChangesCheck, type ReadChangesOptions, readChanges, verifyChanges } from './read-changes.ts';
export { type ReadGroupChanges, type StoreChangesOptions, storeChanges } from './store-changes.ts';
export { type UploadOptions, type UploadProgress, uploadCopy } from './upload-copy.ts';
export { type BackupCheck, readCopy, type VerifyBackupOptions, verifyBackup } from './verify-backup.ts';
export { type WriteBackupOptions, writeBackup } from './write-backup.ts';
export {
  beginChain,
  type ChangedCluster,
  type ChangesOrder,
  resumeChain,
  type StoredChanges,
  type WriteStepOptions,
  writeStep,
} from './write-step.ts';
