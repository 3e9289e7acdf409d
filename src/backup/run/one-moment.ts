/**
 * Copies of all groups that are of one moment. The latest of the moments that the groups name is taken, and each group is closed at it before
 * it is copied. Ranges that change hands meanwhile would be in two copies or in none: the catalog has to stay as it is, and the copies are
 * made again when it does not.
 */
import type { GroupId, HlcTimestamp } from '../../platform/index.ts';
import { BackupError } from '../format/index.ts';
import { forEachOf } from './in-parallel.ts';

/** The cluster, as it is asked for copies. */
export interface CopiedCluster<Copy> {
  /** Groups that are there, by id. */
  groups(): Promise<readonly GroupId[]>;
  /** What would change when ranges change hands. */
  catalog(): Promise<{ readonly version: number; readonly jobs: readonly number[] }>;
  /** A moment at or after everything that the group acknowledged. */
  point(group: GroupId): Promise<HlcTimestamp>;
  /** What was there at a moment has to stay readable; undefined: what still is, for no moment is known yet. @returns ends that */
  hold?(at: HlcTimestamp | undefined): () => void;
  copy(group: GroupId, at: HlcTimestamp): Promise<Copy>;
}

/** Copies, with what they are of. */
export interface Copies<Copy> {
  readonly at: HlcTimestamp;
  readonly catalogVersion: number;
  /** In the order of the groups. */
  readonly copies: readonly Copy[];
}

export interface OneMomentOptions {
  /** Groups that are copied at a time. */
  readonly parallel: number;
  /** Told of each group before it is copied. */
  readonly onGroup?: (group: GroupId, done: number, total: number) => void;
}

/** How often all begins again because ranges changed hands. */
const MAX_ATTEMPTS = 3;

/**
 * See the top of the file.
 * @throws BackupError when ranges go on changing hands; what the cluster says
 */
export async function copyAtOneMoment<Copy>(
  cluster: CopiedCluster<Copy>,
  options: OneMomentOptions,
): Promise<Copies<Copy>> {
  for (let attempt = 1; ; attempt++) {
    const copies = await copyOnce(cluster, options);
    if (copies !== undefined) return copies;
    if (attempt === MAX_ATTEMPTS) {
      throw new BackupError('ranges changed hands during each attempt; try again when the cluster is at rest');
    }
  }
}

/** The latest of the moments that groups name. */
export async function latestPoint(
  cluster: Pick<CopiedCluster<unknown>, 'point'>,
  groups: readonly GroupId[],
): Promise<HlcTimestamp> {
  let at = await cluster.point(groups[0]!);
  for (const group of groups.slice(1)) {
    const point = await cluster.point(group);
    if (point > at) at = point;
  }
  return at;
}

/** The latest point, and that what was there then stays: the past may be kept for a shorter time than it takes to find it. */
async function heldPoint(
  cluster: Pick<CopiedCluster<unknown>, 'point' | 'hold'>,
  groups: readonly GroupId[],
): Promise<{ readonly at: HlcTimestamp; readonly release: () => void }> {
  const releaseAll = cluster.hold?.(undefined);
  try {
    const at = await latestPoint(cluster, groups);
    return { at, release: cluster.hold?.(at) ?? (() => undefined) };
  } finally {
    releaseAll?.();
  }
}

async function copyOnce<Copy>(
  cluster: CopiedCluster<Copy>,
  { parallel, onGroup }: OneMomentOptions,
): Promise<Copies<Copy> | undefined> {
  const before = await cluster.catalog();
  if (before.jobs.length > 0) {
    throw new BackupError(`ranges are changing hands (jobs ${before.jobs.join(', ')}); try again when they are done`);
  }
  const groups = await cluster.groups();
  const { at, release } = await heldPoint(cluster, groups);
  const copies: Copy[] = new Array(groups.length);
  try {
    await forEachOf(groups, parallel, async (group, place) => {
      onGroup?.(group, place, groups.length);
      copies[place] = await cluster.copy(group, at);
    });
  } finally {
    release();
  }
  const after = await cluster.catalog();
  const isSame = after.version === before.version && after.jobs.length === 0;
  if (!isSame || (await cluster.groups()).length !== groups.length) return undefined;
  return { at, catalogVersion: after.version, copies };
}
