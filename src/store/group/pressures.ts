/** How a store is: what waits in memory, and what of its files is of no use. */
import type { StoreLimits, StorePressures } from '../contract/index.ts';
import type { Flusher } from '../flush/index.ts';
import type { GarbageCollector, HistoryBytes } from '../gc/index.ts';
import type { Level } from '../level/index.ts';

/** What a store's parts tell. */
export interface PressureParts {
  readonly flusher: Pick<Flusher, 'bufferedBytes' | 'bufferedHistoryBytes' | 'isOutOfSpace'>;
  readonly collector: Pick<GarbageCollector, 'lastPass' | 'isUnderWay'>;
  readonly limits: Pick<StoreLimits, 'bufferBytes'>;
  /** Undefined while the database is not open. */
  readonly level: Level | undefined;
  readonly history: Pick<HistoryBytes, 'sinceLastPass' | 'removedBytes'>;
}

/** All of it together. */
export function pressuresOf(parts: PressureParts): StorePressures {
  const { flusher, collector, limits, level, history } = parts;
  const { lastPass, isUnderWay } = collector;
  // What may never be written is nothing that a pass could remove.
  const writtenBytes = Math.max(0, history.sinceLastPass - flusher.bufferedHistoryBytes);
  const files = level?.property?.('leveldb.num-files-at-level0');
  return {
    bufferedBytes: flusher.bufferedBytes,
    bufferLimitBytes: limits.bufferBytes,
    isOutOfSpace: flusher.isOutOfSpace,
    overhangBytes: (lastPass?.keptBytes ?? 0) + (lastPass?.unreachableBytes ?? 0) + writtenBytes,
    lastPass,
    isCollecting: isUnderWay,
    removedBytes: history.removedBytes,
    levelZeroFiles: files === undefined ? undefined : Number(files),
  };
}
