/** A backup as what a cluster is restored from. */
import {
  type BackupGroup,
  type BackupManifest,
  type BackupPlace,
  type MomentPlan,
  type ReadChangesOptions,
  readChanges,
  readCopy,
} from '../../backup/index.ts';
import { assert, type GroupId } from '../../platform/index.ts';
import type { ArchiveSource } from './restore.ts';

/** @param backup what `BackupPlace.readable` gave */
export function backupSource(place: BackupPlace, backup: BackupManifest): ArchiveSource {
  const groupOf = (id: GroupId): BackupGroup => {
    const found = backup.groups.find(({ group }) => group === id);
    assert(found !== undefined, `the backup has group ${id}`);
    return found;
  };
  return {
    place: `backup ${backup.id} at ${place.store.place}`,
    read: async () => ({
      ...backup,
      groups: backup.groups.map(({ copySha256, ...copy }) => ({ ...copy, manifestSha256: copySha256 })),
    }),
    manifest: ({ group }) => readCopy(place, backup, groupOf(group)),
    frames: ({ group }, _segment, at) => place.readContent(groupOf(group).segments[at]!.name, backup.dataKey),
  };
}

/** A moment behind a backup, see `planMoment`. */
export function momentSource(plan: MomentPlan, options: ReadChangesOptions): ArchiveSource {
  const { at, ceilingMs, backup, chain, log } = plan;
  const source = backupSource(log.place, backup);
  return {
    ...source,
    place: `${source.place} and the changes ${chain} behind it`,
    changes: { at, ceilingMs, pages: () => readChanges(plan, options) },
  };
}
