/**
 * How long calls took, in buckets whose width is a thirty-second of where they are: fine enough for percentiles, small enough for one of each command.
 * A command that was not called has none.
 */
import type { Millis } from '../../../platform/index.ts';

const NANOS_PER_MS = 1e6;
/** Buckets of an octave, as a power of two. */
const WIDTH_BITS = 5;
const PER_OCTAVE = 1 << WIDTH_BITS;
/** What takes longer than 137 s counts as that. */
const MAX_NANOS = 2 ** 37 - 1;
const BUCKETS = bucketOf(MAX_NANOS) + 1;
/** Redis' histograms begin with 1,024 ns and double. */
const FIRST_STEP_BITS = 10;
const STEPS = 21;

/** A step of the cumulative distribution. */
export interface HistogramStep {
  /** Upper end, microseconds, as Redis names it. */
  readonly micros: number;
  /** Calls that took no longer. */
  readonly calls: number;
}

export class LatencyHistogram {
  private readonly counts = new Uint32Array(BUCKETS);

  observe(tookMs: Millis): void {
    const bucket = bucketOf(Math.min(MAX_NANOS, Math.max(0, Math.round(tookMs * NANOS_PER_MS))));
    this.counts[bucket]! += 1;
  }

  get calls(): number {
    let calls = 0;
    for (const count of this.counts) calls += count;
    return calls;
  }

  /** Below how many microseconds a share of the calls has stayed. @param percent from 0 to 100 */
  percentileMicros(percent: number): number {
    const wanted = Math.max(1, Math.round((percent / 100) * this.calls));
    let calls = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      calls += this.counts[bucket]!;
      if (calls >= wanted) return (startOf(bucket + 1) - 1) / 1000;
    }
    return 0;
  }

  /** Where more calls are than at the step before. */
  steps(): HistogramStep[] {
    const found: HistogramStep[] = [];
    let bucket = 0;
    let calls = 0;
    for (let step = 0; step < STEPS; step++) {
      const before = calls;
      const edge = 2 ** (FIRST_STEP_BITS + step);
      while (bucket < BUCKETS && (startOf(bucket) <= edge || step === STEPS - 1)) calls += this.counts[bucket++]!;
      // The upper end of the bucket that a histogram of Redis has there.
      if (calls > before) found.push({ micros: Math.floor((edge + edge / 128 - 1) / 1000), calls });
    }
    return found;
  }
}

function bucketOf(nanos: number): number {
  if (nanos < PER_OCTAVE * 2) return nanos;
  const shift = highestBit(nanos) - WIDTH_BITS;
  return shift * PER_OCTAVE + Math.floor(nanos / 2 ** shift);
}

/** The smallest value of a bucket. */
function startOf(bucket: number): number {
  if (bucket < PER_OCTAVE * 2) return bucket;
  const shift = Math.floor(bucket / PER_OCTAVE) - 1;
  return (bucket - shift * PER_OCTAVE) * 2 ** shift;
}

function highestBit(value: number): number {
  return value < 2 ** 31 ? 31 - Math.clz32(value) : 62 - Math.clz32(Math.floor(value / 2 ** 31));
}
