/**
 * Which process runs with a data folder: a file `pid` in it, written while the folder is locked. A process that died leaves it
 * behind, so it counts only while the lock is held.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDataFolderInUse } from '../../src/raftengine/index.ts';

const nameIn = (folder: string): string => join(folder, 'pid');

/** Notes this process as the folder's. Call with the folder's lock held. */
export const writePid = (folder: string): Promise<void> =>
  writeFile(nameIn(folder), `${process.pid}\n`, { mode: 0o600 });

/** Takes the note away; for a clean stop, before the lock is given back or right after. */
export const removePid = (folder: string): Promise<void> => rm(nameIn(folder), { force: true });

/** @returns the process that runs with the folder; undefined when none does, or it is still starting */
export async function runningPid(folder: string): Promise<number | undefined> {
  if (!(await isDataFolderInUse(folder))) return undefined;
  const text = await readFile(nameIn(folder), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const pid = Number.parseInt(text, 10);
  return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
}
