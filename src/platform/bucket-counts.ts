/**
 * How often a quantity fell into each of a few fixed ranges: what hot paths keep instead of a library's histogram. One
 * observation is a short walk over numbers and three additions; nothing is allocated.
 */
import { assert } from './assert.ts';

/** Upper bounds for waits that a client feels, milliseconds. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000,
];

/** Counts by range; ranges are closed above, and the last one has no end. */
export class BucketCounts {
  /** Ascending. */
  readonly bounds: readonly number[];
  /** One more than there are bounds. */
  readonly counts: Float64Array;
  /** Of everything that was observed. */
  sum = 0;

  /** @param bounds inclusive upper ends of the ranges, ascending, in the unit of what is observed */
  constructor(bounds: readonly number[] = LATENCY_BOUNDS_MS) {
    assert(
      bounds.every((bound, at) => at === 0 || bounds[at - 1]! < bound),
      'bounds ascend',
    );
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** Books one value. */
  observe(value: number): void {
    const { bounds } = this;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.counts[at]! += 1;
    this.sum += value;
  }

  /** Values booked since the start. */
  get total(): number {
    let total = 0;
    for (const count of this.counts) total += count;
    return total;
  }
}

/** One counter a name, all at zero. */
export const zeroCounts = <Name extends string>(names: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
