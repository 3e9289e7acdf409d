/** What a node takes of its machine beside processor time: memory, disk, open files, as Linux tells. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Linux counts blocks of files in these, whatever the file system does. */
const BLOCK_BYTES = 512;

/** Bytes that a folder takes, as the file system counts them. Files that go while it looks are nobody's loss. */
export function usedBytes(folder: string): number {
  let bytes = 0;
  let entries: string[] = [];
  try {
    entries = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return 0;
  }
  for (const entry of entries) {
    try {
      const facts = statSync(join(folder, entry));
      if (facts.isFile()) bytes += facts.blocks * BLOCK_BYTES;
    } catch {}
  }
  return bytes;
}

/** Memory of a process. */
export interface ProcessMemory {
  /** What only its end gives back: heap, buffers, stacks. */
  readonly ownBytes: number;
  /** Pages of files that are mapped: the program, and tables of LevelDB. The system takes them away when it needs them, like the rest of its cache. */
  readonly mappedBytes: number;
}

/** Memory of a process now; nothing when it is gone. */
export function memoryOf(pid: number): ProcessMemory {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const bytes = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return { ownBytes: bytes('RssAnon'), mappedBytes: bytes('RssFile') + bytes('RssShmem') };
  } catch {
    return { ownBytes: 0, mappedBytes: 0 };
  }
}

/** Files and connections that a process has open; 0 when it is gone. */
export function openFileCount(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}
