/**
 * Saves a whole cluster into a folder: one moment for all groups, and a copy of each that is closed at it.
 */
import { copyAtOneMoment } from '../../backup/index.ts';
import type { Disk, GroupId, HlcTimestamp, Millis } from '../../platform/index.ts';
import { type Archive, type ArchivedCopy, ArchiveWriter, type CopyParts } from './archive-folder.ts';

/** The cluster, as a save asks it. */
export interface SavedCluster {
  /** Groups that are there, by id. */
  groups(): Promise<readonly GroupId[]>;
  /** What would change when ranges change hands. */
  catalog(): Promise<{ readonly version: number; readonly jobs: readonly number[] }>;
  /** A moment at or after everything that the group acknowledged. */
  point(group: GroupId): Promise<HlcTimestamp>;
  copy(group: GroupId, at: HlcTimestamp, have: readonly string[]): CopyParts;
}

export interface SaveOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly cluster: SavedCluster;
  readonly wallMs: Millis;
  /** Of the program, for the archive. */
  readonly version: string;
  readonly onGroup?: (group: GroupId, done: number, total: number) => void;
}

/**
 * Saves the cluster. What came whole stays for another save into the same folder when this one breaks.
 * @throws ArchiveError when the folder is not empty; BackupError when ranges go on changing hands; what the cluster says
 */
export async function saveArchive({ disk, folder, cluster, wallMs, version, onGroup }: SaveOptions): Promise<Archive> {
  const writer = await ArchiveWriter.begin(disk, folder);
  const { at, catalogVersion, copies } = await copyAtOneMoment<ArchivedCopy>(
    {
      groups: () => cluster.groups(),
      catalog: () => cluster.catalog(),
      point: (group) => cluster.point(group),
      copy: async (group, moment) => writer.add(group, cluster.copy(group, moment, await writer.have(group))),
    },
    { parallel: 1, ...(onGroup === undefined ? {} : { onGroup }) },
  );
  return writer.finish({ createdMs: wallMs, version, at, catalogVersion }, copies);
}
