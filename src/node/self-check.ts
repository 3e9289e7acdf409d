/** A node measures what it stands on: its disk, its event loop, its memory. On request alone; it takes under half a second. */
import { mkdir, open, rm, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { OwnExamination } from '../cluster/index.ts';
import { ownMemoryBytes } from '../platform/index.ts';

export interface SelfCheckOptions {
  /** The node's data folder. */
  readonly folder: string;
  /** Settings that should be equal on all nodes. */
  readonly shared: Readonly<Record<string, string | number>>;
  /** What is dangerous in the node's configuration, each a sentence. */
  readonly remarks: readonly string[];
}

const SYNC_COUNT = 8;
const SYNC_BYTES = 4096;
const LAG_SAMPLES = 20;
const LAG_PERIOD_MS = 10;

/** Makes what measures; a measurement that cannot be made is left at 0, for the others still tell something. */
export function selfCheckOf({ folder, shared, remarks }: SelfCheckOptions): () => Promise<OwnExamination> {
  return async () => {
    const [syncs, disk, lags] = [await syncTimes(folder), await diskSpace(folder), await loopLags()];
    return {
      runtime: `Node.js ${process.versions.node}`,
      platform: `${process.platform} ${process.arch}`,
      syncCount: syncs.length,
      syncMedianMs: median(syncs),
      syncMaxMs: Math.max(0, ...syncs),
      diskFreeBytes: disk.freeBytes,
      diskTotalBytes: disk.totalBytes,
      loopLagMedianMs: median(lags),
      loopLagMaxMs: Math.max(0, ...lags),
      memoryUsedBytes: ownMemoryBytes(),
      memoryLimitBytes: process.constrainedMemory() || totalmem(),
      shared: Object.entries(shared).map(([name, value]) => `${name}=${value}`),
      remarks: [...remarks],
    };
  };
}

const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[values.length >> 1] ?? 0;

/** How long the disk takes for small synced writes, in a file beside the node's own. */
async function syncTimes(folder: string): Promise<number[]> {
  const times: number[] = [];
  const scratch = join(folder, 'examination');
  try {
    await mkdir(scratch, { recursive: true });
    const file = await open(join(scratch, 'sync'), 'w');
    try {
      const page = Buffer.alloc(SYNC_BYTES, 1);
      for (let at = 0; at < SYNC_COUNT; at++) {
        const startedMs = performance.now();
        await file.write(page, 0, page.length, at * page.length);
        await file.datasync();
        times.push(performance.now() - startedMs);
      }
    } finally {
      await file.close();
    }
  } catch {
    // A disk that is full or broken is told by what depends on it; here there is nothing to measure.
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return times;
}

async function diskSpace(folder: string): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
  try {
    const { bsize, bavail, blocks } = await statfs(folder);
    return { freeBytes: bsize * bavail, totalBytes: bsize * blocks };
  } catch {
    return { freeBytes: 0, totalBytes: 0 };
  }
}

/** By how much timers come late. */
async function loopLags(): Promise<number[]> {
  const lags: number[] = [];
  for (let sample = 0; sample < LAG_SAMPLES; sample++) {
    const startedMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, LAG_PERIOD_MS));
    lags.push(Math.max(0, performance.now() - startedMs - LAG_PERIOD_MS));
  }
  return lags;
}
