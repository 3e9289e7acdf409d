/**
 * What backups are made of: the place and what lies where in it, the manifest, keys and sealed objects.
 */

export {
  assertFollows,
  attemptOf,
  ChangeLog,
  newAttempt,
  newPartName,
  type StoredPart,
  type StoredStep,
} from './change-log.ts';
export { decodePart, encodePart, type PartTally } from './change-part.ts';
export type { ChangePart, ChangeStep } from './change-step.ts';
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
