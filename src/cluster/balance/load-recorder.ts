/**
 * The end of the load signals that every read and write of a leader passes. Counting one access costs a quarter of a
 * microsecond, so at most so many a second are counted one by one; at higher rates some are passed over, at random gaps so
 * that nothing periodic is missed, and those that are counted stand for the others. An access to a row of an object counts for the object.
 */
import { type KeyRules, LoadSampler, type LoadWindow, PLAIN_KEYS, type RouteTable } from '../../distribution/index.ts';
import type { AccessListener } from '../../kv/index.ts';
import type { Clock, Millis } from '../../platform/index.ts';
import type { HotRange } from '../contract/index.ts';

/** Accesses that are counted in a second: a thousandth of a core. */
export const COUNTED_PER_SECOND = 4_096;
/** An access stands for at most so many, so that a range that is hot at all is still seen well. */
const MAX_TIMES = 32;
/** The rate is looked at after so many counted accesses. */
const LOOK_EVERY = 1_024;

export interface LoadRecorderOptions {
  readonly routes: { readonly current: RouteTable };
  readonly clock: Clock;
  /** Of the choice of samples. */
  readonly seed: number;
  /** Which keys are rows of one object; left out: every key is one by itself. */
  readonly keys?: KeyRules;
}

/** See the top of the file. One for all groups of a node. */
export class LoadRecorder {
  private readonly routes: { readonly current: RouteTable };
  private readonly clock: Clock;
  private readonly keys: KeyRules;
  private readonly sampler: LoadSampler;
  /** Accesses until the next one that is counted. */
  private gap = 1;
  /** What a counted access stands for. */
  private times = 1;
  private counted = 0;
  private heard = 0;
  private lookedMs: Millis;
  private randomState: number;

  constructor(options: LoadRecorderOptions) {
    this.routes = options.routes;
    this.clock = options.clock;
    this.keys = options.keys ?? PLAIN_KEYS;
    this.randomState = options.seed >>> 0 || 1;
    this.sampler = new LoadSampler(options.clock.nowMs(), options.seed);
    this.lookedMs = options.clock.monotonicMs();
  }

  /** Hears of every access; nearly free when it is passed over. */
  readonly onAccess: AccessListener = (key, isWrite, bytes) => {
    if (--this.gap <= 0) this.count(key, isWrite, bytes);
  };

  /** Accesses so far, estimated as everything here. */
  get accesses(): number {
    return this.heard;
  }

  private count(key: Buffer, isWrite: boolean, bytes: number): void {
    const { times } = this;
    this.heard += times;
    this.sampler.record(this.routes.current, this.keys.align(key), isWrite, bytes, times);
    if (times > 1) {
      // Marsaglia's xorshift; gaps from 1 to 2 times - 1 are `times` on the average.
      let state = this.randomState;
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      this.randomState = state;
      this.gap = 1 + ((state >>> 0) % (2 * times - 1));
    } else {
      this.gap = 1;
    }
    if (++this.counted >= LOOK_EVERY) this.look();
  }

  /** Adapts what is passed over to the rate since the last look. */
  private look(): void {
    const nowMs = this.clock.monotonicMs();
    const perSecond = (this.counted * this.times * 1000) / Math.max(1, nowMs - this.lookedMs);
    this.times = Math.min(MAX_TIMES, Math.max(1, Math.ceil(perSecond / COUNTED_PER_SECOND)));
    this.counted = 0;
    this.lookedMs = nowMs;
  }

  /** The busiest ranges since the window began, busiest first, with operations a second. */
  hottest(limit: number, nowMs: Millis): readonly HotRange[] {
    const seconds = Math.max(1, nowMs - this.sampler.windowStartMs) / 1000;
    return this.sampler.hottest(limit).map(({ routeId, start, groupId, reads, writes }) => ({
      routeId,
      start,
      groupId,
      readsPerSecond: reads / seconds,
      writesPerSecond: writes / seconds,
    }));
  }

  /** Ends the window and begins the next one. */
  closeWindow(nowMs: Millis): LoadWindow {
    return this.sampler.closeWindow(nowMs);
  }
}
