/** How much garbage a node's process lets come together before its whole heap is marked, and that it gives memory back when it rests. */
import { constants, type EventLoopUtilization, PerformanceObserver, performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ownMemoryBytes } from '../../src/platform/index.ts';

const MIB = 1024 ** 2;
/** Garbage that may be there at a time: a sixteenth of what the node stays within, within bounds. */
const SHARE = 1 / 16;
const LEAST_BYTES = 32 * MIB;
const MOST_BYTES = 256 * MIB;
/** From this share of the limit on the rest is all that garbage may take: what else is there cannot be told to shrink. */
const CALM_SHARE = 7 / 8;
const LEAST_PERCENT = 10;
const MOST_PERCENT = 400;
/** How often to look whether the process rests. */
const LOOK_MS = 2_000;
/**
 * It rests when its event loop was at work for less of the time than this. That is not processor time: where a machine is busy, a node that is in the middle
 * of something gets little of it.
 */
const RESTING_SHARE = 0.25;
/** And did so at so many looks one behind the other. */
const RESTING_LOOKS = 2;
/** What the process must take more than after the last collection at rest: it holds everybody up for a tenth of a second, on a busy machine for a whole one. */
const WORTH_BYTES = 32 * MIB;
/**
 * Marking more than this at once would keep clients waiting: V8 is brought to mark it bit by bit first. It marks about a MiB in a millisecond, and does so
 * twice when it is asked for all that can be had.
 */
const MOST_MARKED_BYTES = 48 * MIB;
/**
 * What is allocated for that after a look, without being touched. V8 marks for up to 10 ms at each, so what waits for the process gets its turn in between.
 */
const PRESS_BYTES = 2 * MIB;
/** At most in all. V8 may let the heap grow to five times of what lived when it marked it in the middle of its growth. */
const PRESS_MOST_BYTES = 2048 * MIB;
const PRESS_PAUSE_MS = 10;

/** What garbage may take of the limit. @param ownBytes what the process takes now, see `ownMemoryBytes` */
export function allowedGarbage(limitBytes: number, ownBytes: number): number {
  const most = Math.max(LEAST_BYTES, Math.min(MOST_BYTES, limitBytes * SHARE));
  const left = limitBytes - ownBytes;
  return left >= limitBytes * (1 - CALM_SHARE) ? most : Math.max(LEAST_BYTES, Math.min(most, left));
}

/** What the markings of this process have seen. */
interface Markings {
  count: number;
  /** What lived in the heap at the last one. */
  livingBytes: number;
}

/**
 * Call once, before the node starts. By itself V8 marks the whole heap whenever 64 MiB have come together outside of it: with values of a few
 * KiB, each a buffer or more, that is ten times a second and a third of all processor time. Here what is outside counts as
 * part of the heap, and the heap may grow by the garbage that is allowed, whatever lives in it. After work it is collected once
 * when the process rests, because V8 begins only when something is allocated, and keeps the pages that it has emptied.
 * @param limitBytes what the process is to stay within
 */
export function keepHeapWithin(limitBytes: number): void {
  const markings: Markings = { count: 0, livingBytes: 0 };
  const setGrowth = (): void => {
    const { used_heap_size: heapBytes, external_memory: outsideBytes } = getHeapStatistics();
    markings.livingBytes = heapBytes;
    const allowedBytes = allowedGarbage(limitBytes, ownMemoryBytes());
    const percent = Math.round((100 * allowedBytes) / (heapBytes + outsideBytes));
    setFlagsFromString(`--heap-growing-percent=${Math.max(LEAST_PERCENT, Math.min(MOST_PERCENT, percent))}`);
  };
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setGrowth();
  // V8 takes the flag when it has marked, so each time counts what was alive the time before.
  const observer = new PerformanceObserver((list) => {
    const isMajor = (entry: unknown): boolean =>
      (entry as { detail: { kind: number } }).detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
    if (!list.getEntries().some(isMajor)) return;
    markings.count++;
    setGrowth();
  });
  observer.observe({ entryTypes: ['gc'] });
  collectAtRest(markings);
}

/** Tells at each look whether the event loop has been at rest for long enough. */
export class Rest {
  private before: EventLoopUtilization;
  private looks = 0;

  constructor(now: EventLoopUtilization) {
    this.before = now;
  }

  /** A look. @param now of the event loop, since the process began */
  isLasting(now: EventLoopUtilization): boolean {
    const activeMs = now.active - this.before.active;
    const idleMs = now.idle - this.before.idle;
    this.before = now;
    this.looks = activeMs < (activeMs + idleMs) * RESTING_SHARE ? this.looks + 1 : 0;
    return this.looks >= RESTING_LOOKS;
  }
}

function collectAtRest(markings: Markings): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort' }) => void;
  const rest = new Rest(performance.eventLoopUtilization());
  /** What the process took when there was least to be had. */
  let leastBytes = ownMemoryBytes();
  /** Markings when pressing began; undefined while nobody presses. */
  let pressedAt: number | undefined;
  let isPressing = false;
  setInterval(() => {
    if (isPressing) return;
    const ownBytes = ownMemoryBytes();
    leastBytes = Math.min(leastBytes, ownBytes);
    if (!rest.isLasting(performance.eventLoopUtilization()) || ownBytes - leastBytes < WORTH_BYTES) return;
    if (markings.livingBytes <= MOST_MARKED_BYTES) collect({ type: 'major', flavor: 'last-resort' });
    else {
      pressedAt ??= markings.count;
      if (markings.count === pressedAt) {
        isPressing = true;
        void press(markings).then(() => {
          isPressing = false;
        });
        return;
      }
      // It was marked and so much does live: there is nothing to be had.
    }
    pressedAt = undefined;
    leastBytes = ownMemoryBytes();
  }, LOOK_MS).unref();
}

/** Brings V8 to mark the heap; ends early when it has. */
async function press(markings: Markings): Promise<void> {
  const before = markings.count;
  // Held: those that nobody has count no more as soon as the young part of the heap is collected.
  const held: Buffer[] = [];
  while (held.length * PRESS_BYTES < PRESS_MOST_BYTES && markings.count === before) {
    held.push(Buffer.allocUnsafeSlow(PRESS_BYTES));
    await delay(PRESS_PAUSE_MS, undefined, { ref: false });
  }
}
