/**
 * How the load of one warm range lies within it: a share of its operations, drawn at random, is counted by piece of the
 * range and by key. The pieces are cut at keys that were seen in the window before, so that each had about the same part
 * of the load then, whatever the keys look like.
 */
import type { Route } from '../contract/index.ts';
import { KeySketch } from './key-sketch.ts';
import type { LoadDetail, TopKey } from './load-window.ts';

/** Pieces that a range is cut into. */
export const MAX_PIECES = 16;
/** Keys that are kept of a window, to cut the range at in the next one. */
const RESERVOIR_KEYS = 128;
/** A longer key is counted, but not kept: it would take more memory than it says. */
const MAX_KEPT_KEY_BYTES = 1_024;
/** Standard errors that a sampled share may be off; three leave one in a thousand. */
const STANDARD_ERRORS = 3;

/** See the top of the file. */
export class DetailCounter {
  private readonly route: Pick<Route, 'start' | 'end'>;
  private bounds: readonly Buffer[] = [];
  private readonly weights = new Float64Array(MAX_PIECES);
  private readonly sketch = new KeySketch();
  /** A uniform sample of the sampled keys. */
  private readonly reservoir: Buffer[] = [];
  private sampledOps = 0;
  private sampledWeight = 0;
  private isAligned = false;

  constructor(route: Pick<Route, 'start' | 'end'>) {
    this.route = route;
  }

  /** @param draw a fresh random number of 32 bits */
  sample(key: Buffer, weight: number, draw: number): void {
    this.sampledOps++;
    this.sampledWeight += weight;
    this.weights[this.pieceOf(key)]! += weight;
    if (key.length > MAX_KEPT_KEY_BYTES) return;
    this.sketch.add(key, weight);
    if (this.reservoir.length < RESERVOIR_KEYS) {
      this.reservoir.push(Buffer.from(key));
      return;
    }
    const at = draw % this.sampledOps;
    if (at < RESERVOIR_KEYS) this.reservoir[at] = Buffer.from(key);
  }

  private pieceOf(key: Buffer): number {
    const { bounds } = this;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (bounds[middle]!.compare(key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** What was counted. */
  result(): LoadDetail {
    const { sampledOps, sampledWeight, bounds, isAligned } = this;
    const topKeys: TopKey[] = this.sketch.heaviest().map(({ key, weight, least }) => {
      const share = weight / sampledWeight;
      const leastSampled = least / sampledWeight;
      const deviation = Math.sqrt((leastSampled * (1 - leastSampled)) / sampledOps);
      return { key, share, leastShare: Math.max(0, leastSampled - STANDARD_ERRORS * deviation) };
    });
    return { bounds, weights: [...this.weights.subarray(0, bounds.length + 1)], topKeys, sampledOps, isAligned };
  }

  /** Begins the next window, with new pieces. */
  next(): void {
    this.bounds = this.cut();
    this.weights.fill(0);
    this.sketch.clear();
    this.reservoir.length = 0;
    this.sampledOps = 0;
    this.sampledWeight = 0;
    this.isAligned = true;
  }

  /** Keys inside the range at equal steps through the sample; a key that fills several steps is named once. */
  private cut(): Buffer[] {
    const sorted = this.reservoir.sort(Buffer.compare);
    const bounds: Buffer[] = [];
    for (let piece = 1; piece < MAX_PIECES; piece++) {
      const key = sorted[Math.floor((piece * sorted.length) / MAX_PIECES)];
      if (key === undefined || Buffer.compare(key, this.route.start) <= 0) continue;
      if (bounds.length === 0 || Buffer.compare(bounds.at(-1)!, key) < 0) bounds.push(key);
    }
    return bounds;
  }
}
