/** What a figure depends on, and the order in which systems take turns. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { median } from './spread.ts';

const SYNCS = 100;
const SYNCED_BYTES = 4096;

/** How long the disk of a folder takes to make 4 KiB durable, the middle of a hundred times, ms. Leaves a file there. */
export function syncMs(folder: string): number {
  const file = openSync(join(folder, 'synced'), 'w');
  try {
    const bytes = Buffer.alloc(SYNCED_BYTES, 'x');
    const times = Array.from({ length: SYNCS }, () => {
      writeSync(file, bytes);
      const startMs = performance.now();
      fdatasyncSync(file);
      return performance.now() - startMs;
    });
    return median(times);
  } finally {
    closeSync(file);
  }
}

/** The machine, for result files. */
export const machine = (): Record<string, unknown> => ({
  cpu: cpus()[0]?.model,
  processors: availableParallelism(),
  memoryGib: Math.round(totalmem() / 1024 ** 3),
  kernel: release(),
  node: process.versions.node,
});

/** Each system is first, second and last equally often. */
export const rotated = <T>(items: readonly T[], by: number): T[] =>
  items.map((_, index) => items[(index + by) % items.length]!);
