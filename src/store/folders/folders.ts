/**
 * The folders of one store. The live database, the one before it and a copy on its way in lie beside each other, and a swap is two
 * renames. A folder that goes away is renamed first: what an interrupted removal leaves has lost its name already, so whatever
 * has the name of a database is a whole one.
 */
import type { Disk } from '../../platform/index.ts';
import type { LevelFolders } from '../level/index.ts';

/** The store that was live before a swap, until the new one has been opened. */
export const rollbackOf = (location: string): string => `${location}.rollback`;
/** A copy on its way in. */
export const incomingOf = (location: string): string => `${location}.incoming`;
/** A database that is being removed. */
export const goneOf = (location: string): string => `${location}.gone`;
/** Segments that a copy on its way in is built of. */
export const receivedOf = (location: string): string => `${location}.received`;
/** Copies on their way out. */
export const cutsOf = (location: string): string => `${location}.cut`;

/** Removes what has the name of a database; absent is fine. One at a time. */
async function retire(name: string, location: string, folders: LevelFolders): Promise<void> {
  if (!(await folders.exists(name))) return;
  await folders.remove(goneOf(location));
  await folders.rename(name, goneOf(location));
  await folders.remove(goneOf(location));
}

/** Makes room for a swap. When this fails, nothing has been done to the live database. */
export async function prepareSwap(location: string, folders: LevelFolders): Promise<void> {
  // Left by a swap before this one. Found later, it would be taken for the predecessor of this one.
  await retire(rollbackOf(location), location, folders);
  await folders.remove(goneOf(location));
}

/** Swaps the copy in for the live database; both are closed, and `prepareSwap` was called. */
export async function swapIn(location: string, folders: LevelFolders): Promise<void> {
  await folders.rename(location, rollbackOf(location));
  await folders.rename(incomingOf(location), location);
}

/** The swapped-in database is good: forgets the one before. */
export const forgetPredecessor = (location: string, folders: LevelFolders): Promise<void> =>
  retire(rollbackOf(location), location, folders);

/**
 * Makes the predecessor live again, wherever a swap has stopped. The swapped-in database, closed, goes away.
 * @throws when it is not known what is live now
 */
export async function putBack(location: string, folders: LevelFolders): Promise<void> {
  if (!(await folders.exists(rollbackOf(location)))) return;
  if (await folders.exists(location)) await folders.rename(location, goneOf(location));
  await folders.rename(rollbackOf(location), location);
  // Its space is wanted, but whatever is left goes at the next occasion.
  await folders.remove(goneOf(location)).catch(() => {});
}

/**
 * After a crash: a missing store whose predecessor is still there is put back; a copy on its way in is worthless as a database,
 * while its segments are kept for the next attempt; copies on their way out are over, and so is what was being removed.
 * @returns true when a predecessor lies beside a live store: the swap was done, and is finished when the store has been
 *   opened, or undone when it cannot be
 */
export async function recoverFolders(location: string, folders: LevelFolders, disk: Disk): Promise<boolean> {
  await disk.remove(cutsOf(location));
  await folders.remove(incomingOf(location));
  await folders.remove(goneOf(location));
  if (!(await folders.exists(rollbackOf(location)))) return false;
  if (await folders.exists(location)) return true;
  await folders.rename(rollbackOf(location), location);
  return false;
}

/** Deletes a store that is closed, or was never opened, with everything that lies beside it. */
export async function removeGroupStore(location: string, folders: LevelFolders, disk: Disk): Promise<void> {
  for (const folder of [receivedOf(location), cutsOf(location)]) await disk.remove(folder);
  await folders.remove(incomingOf(location));
  // The predecessor first: alone it would be put back.
  for (const name of [rollbackOf(location), location]) await retire(name, location, folders);
  await folders.remove(goneOf(location));
}
