/** What can be wrong with backups and their places. */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

/** A backup or its place cannot be used for what was asked. Nothing was changed. */
export class BackupError extends KvorumError {
  readonly code = 'BACKUP';
  readonly disposition: ErrorDisposition = 'final';
}

/** Somebody else is at work at the place of the backups. */
export class BackupBusyError extends KvorumError {
  readonly code = 'BACKUP_BUSY';
  readonly disposition: ErrorDisposition = 'wait';
}

/** An object of a backup is not what was written. */
export class BackupDamagedError extends KvorumError {
  readonly code = 'BACKUP_DAMAGED';
  readonly disposition: ErrorDisposition = 'final';
}

/** The key that a backup needs is not there. */
export class BackupKeyError extends KvorumError {
  readonly code = 'BACKUP_KEY';
  readonly disposition: ErrorDisposition = 'final';
}
