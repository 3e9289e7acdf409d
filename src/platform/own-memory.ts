/**
 * How much memory only this process can give back. What else is resident are pages of files that are mapped: the program, and up to 2 GiB of
 * the databases' tables, which the system takes away when it needs them, as it does with the rest of its cache. A node with much data has many
 * of those, and is not short of memory.
 */
import { readFileSync } from 'node:fs';

const BYTES_PER_KIB = 1024;

/** Heap, buffers and stacks of this process, bytes, by what Linux says; elsewhere all that is resident. */
export function ownMemoryBytes(): number {
  try {
    const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
    if (kib !== undefined) return Number(kib) * BYTES_PER_KIB;
  } catch {
    // Not Linux.
  }
  return process.memoryUsage.rss();
}
