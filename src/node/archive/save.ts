/**
 * Saves a whole cluster: one moment for all groups, and a copy of each that is closed at it. Ranges that change hands
 * meanwhile would be in two copies or in none, so a save wants the catalog to stay as it is, and begins again when it does not.
 */
import type { Disk, GroupId, HlcTimestamp, Millis } from '../../platform/index.ts';
import { type Archive, type ArchivedCopy, ArchiveError, ArchiveWriter, type CopyParts } from './archive-folder.ts';

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

/** How often a save begins again because ranges changed hands. */
const MAX_ATTEMPTS = 3;

/**
 * Saves the cluster. What came whole stays for another save into the same folder when this one breaks.
 * @throws ArchiveError when the folder is not empty, or ranges go on changing hands; what the cluster says
 */
export async function saveArchive(options: SaveOptions): Promise<Archive> {
  for (let attempt = 1; ; attempt++) {
    const archive = await saveOnce(options);
    if (archive !== undefined) return archive;
    if (attempt === MAX_ATTEMPTS) {
      throw new ArchiveError('ranges changed hands during each attempt; save again when the cluster is at rest');
    }
  }
}

async function saveOnce({
  disk,
  folder,
  cluster,
  wallMs,
  version,
  onGroup,
}: SaveOptions): Promise<Archive | undefined> {
  const writer = await ArchiveWriter.begin(disk, folder);
  const before = await cluster.catalog();
  if (before.jobs.length > 0) {
    throw new ArchiveError(`ranges are changing hands (jobs ${before.jobs.join(', ')}); save when they are done`);
  }
  const groups = await cluster.groups();
  let at = await cluster.point(groups[0]!);
  for (const group of groups.slice(1)) {
    const point = await cluster.point(group);
    if (point > at) at = point;
  }
  const copies: ArchivedCopy[] = [];
  for (const [done, group] of groups.entries()) {
    onGroup?.(group, done, groups.length);
    copies.push(await writer.add(group, cluster.copy(group, at, await writer.have(group))));
  }
  const after = await cluster.catalog();
  const isSame = after.version === before.version && after.jobs.length === 0;
  if (!isSame || (await cluster.groups()).length !== groups.length) return undefined;
  return writer.finish({ createdMs: wallMs, version, at, catalogVersion: after.version });
}
