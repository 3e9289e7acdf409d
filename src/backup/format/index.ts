/**
 * What backups are made of: the place and what lies where in it, the manifest, keys and sealed objects.
 */

export { DataKey, sealedBytes } from './data-key.ts';
export { BackupBusyError, BackupDamagedError, BackupError, BackupKeyError } from './errors.ts';
export {
  type BackupFacts,
  type BackupGroup,
  type BackupManifest,
  type BackupObject,
  backupIdOf,
  isBackupId,
  objectsOf,
} from './manifest.ts';
export { BackupPlace, type PlaceKey } from './place.ts';
