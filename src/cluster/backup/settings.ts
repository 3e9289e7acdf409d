/** What the cluster is set to do about backups. */
import type { Retention } from '../../backup/index.ts';
import { type ClusterState, settingOf } from '../../distribution/index.ts';
import type { Millis } from '../../platform/index.ts';

/** Where scheduled backups go, how often, what is kept, and how fast each node stores. */
export interface BackupSettings extends Retention {
  /** Empty: nowhere. */
  readonly place: string;
  /** 0: never. */
  readonly everyMs: Millis;
  readonly bytesPerSecond: number;
}

/** As the settings say. */
export function backupSettingsOf(state: Pick<ClusterState, 'settings'>): BackupSettings {
  return {
    place: settingOf(state, 'backup.place'),
    everyMs: Number(settingOf(state, 'backup.everyMs')),
    keepCount: Number(settingOf(state, 'backup.keepCount')),
    keepMs: Number(settingOf(state, 'backup.keepMs')),
    bytesPerSecond: Number(settingOf(state, 'backup.bytesPerSecond')),
  };
}

/** How changes are archived, which they are at the place of the scheduled backups. */
export interface ArchiveSettings {
  readonly place: string;
  /** Between steps. */
  readonly everyMs: Millis;
  /** So long the past is kept for an archive that does not get on. */
  readonly holdMs: Millis;
}

/** As the settings say; undefined: changes are not archived. */
export function archiveSettingsOf(state: Pick<ClusterState, 'settings'>): ArchiveSettings | undefined {
  const place = settingOf(state, 'backup.place');
  const everyMs = Number(settingOf(state, 'backup.archiveEveryMs'));
  if (place === '' || everyMs === 0) return undefined;
  return { place, everyMs, holdMs: Number(settingOf(state, 'backup.archiveHoldMs')) };
}

/** Whether backups are made by themselves. */
export const isScheduled = ({ place, everyMs }: BackupSettings): boolean => place !== '' && everyMs > 0;
