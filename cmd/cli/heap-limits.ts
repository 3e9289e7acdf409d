/** How much garbage a node's process lets come together before its whole heap is marked. */
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { memoryLimitBytes } from '../../src/config/index.ts';

const MIB = 1024 ** 2;
/** Garbage that may be there at a time: a sixteenth of the memory that there is, within bounds. */
const SHARE = 1 / 16;
const LEAST_BYTES = 64 * MIB;
const MOST_BYTES = 256 * MIB;
const LEAST_PERCENT = 10;
const MOST_PERCENT = 400;

/**
 * Call once, before the node starts. By itself V8 marks the whole heap whenever 64 MiB have come together outside of it: with values of a few
 * KiB, each a buffer or more, that is ten times a second and a third of all processor time. Here what is outside counts as
 * part of the heap, and the heap may grow by the garbage that is allowed, whatever lives in it.
 */
export function relaxHeapLimits(): void {
  const allowedBytes = Math.max(LEAST_BYTES, Math.min(MOST_BYTES, memoryLimitBytes() * SHARE));
  const setGrowth = (): void => {
    const { used_heap_size: heapBytes, external_memory: outsideBytes } = getHeapStatistics();
    const percent = Math.round((100 * allowedBytes) / (heapBytes + outsideBytes));
    setFlagsFromString(`--heap-growing-percent=${Math.max(LEAST_PERCENT, Math.min(MOST_PERCENT, percent))}`);
  };
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setGrowth();
  // V8 takes the flag when it has marked, so each time counts what was alive the time before.
  const observer = new PerformanceObserver((list) => {
    const isMajor = (entry: unknown): boolean =>
      (entry as { detail: { kind: number } }).detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
    if (list.getEntries().some(isMajor)) setGrowth();
  });
  observer.observe({ entryTypes: ['gc'] });
}
