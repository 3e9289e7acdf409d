/** Small files that are read, and replaced, as a whole: after a crash there is the old one or the new one. */
import { dirname } from 'node:path';
import type { Disk } from './disk.ts';

/** @returns undefined when there is no such file */
export async function readWholeFile(disk: Disk, path: string): Promise<Buffer | undefined> {
  try {
    const file = await disk.open(path);
    try {
      return await file.read(0, await file.size());
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Puts a file in the place of the one that is there, if any; stable when it settles. One at a time for a path. */
export async function replaceWholeFile(disk: Disk, path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}.tmp`;
  await disk.remove(temporary);
  const file = await disk.open(temporary, { create: true });
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncFolder(dirname(path));
}
