/**
 * What is done with backups: made of one moment, stored, verified, taken away. Pure of the cluster, which is an argument.
 */

export { type CleanUp, type CleanUpOptions, cleanUp, expiredBackups, type Retention } from './clean-up.ts';
export { type CopiedCluster, type Copies, copyAtOneMoment, type OneMomentOptions } from './one-moment.ts';
export { type UploadOptions, type UploadProgress, uploadCopy } from './upload-copy.ts';
export { type BackupCheck, readCopy, type VerifyBackupOptions, verifyBackup } from './verify-backup.ts';
export { type WriteBackupOptions, writeBackup } from './write-backup.ts';
