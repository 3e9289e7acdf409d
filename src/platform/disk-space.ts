/** How much room a file system has, and which errors say that it has none. */
import { statfs } from 'node:fs/promises';

/** Space of a file system, as far as this process may use it. */
export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Space of the file system that a folder lies on. @throws the system's error, such as ENOENT */
export async function diskSpaceOf(folder: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** True when a write failed because the disk, or what this user may take of it, is full: the one failure that passes by itself. */
export function isOutOfSpace(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown };
    if (code === 'ENOSPC' || code === 'EDQUOT') return true;
    // LevelDB hands on the words of the system, not its numbers.
    if (/no space left on device|disk quota exceeded/i.test(at.message)) return true;
  }
  return false;
}
