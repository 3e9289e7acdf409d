/**
 * Backups outside of the cluster as leased work: one node makes a backup at a time, the leaders of the groups store their copies, and the notes
 * say how far it is. See docs/design/control-plane/backups.md.
 */

export { ARCHIVE_FEATURE, archiveHold, archiveViewOf } from './archive-view.ts';
export type { BackupSurroundings } from './endpoint.ts';
export { BACKUP_FEATURE, NodeBackups, type NodeBackupsOptions } from './node-backups.ts';
export { decodeBackupNotes } from './notes.ts';
export { backupSettingsOf, isScheduled } from './settings.ts';
export { BACKUP_UNIT } from './work.ts';
