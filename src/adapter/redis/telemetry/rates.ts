/** How fast counters rise: samples of the last seconds, taken by whoever comes by once in a while. */
import type { Millis } from '../../../platform/index.ts';

interface Sample<Counters> {
  readonly atMs: Millis;
  readonly counters: Counters;
}

/** @template Name what is counted */
export class Rates<Name extends string> {
  /** The newest, and the one before: rates go back to that. */
  private newest: Sample<Readonly<Record<Name, number>>> | undefined;
  private older: Sample<Readonly<Record<Name, number>>> | undefined;

  /** @param nowMs monotonic */
  sample(nowMs: Millis, counters: Readonly<Record<Name, number>>): void {
    this.older = this.newest;
    this.newest = { atMs: nowMs, counters };
  }

  /** Forgets the samples: counters begin anew. */
  reset(): void {
    this.newest = undefined;
    this.older = undefined;
  }

  /** By how much a counter has risen a second, since the sample before the newest. @param now what it is */
  perSecond(name: Name, now: number, nowMs: Millis): number {
    const since = this.older ?? this.newest;
    if (since === undefined || nowMs <= since.atMs) return 0;
    return Math.max(0, ((now - since.counters[name]) * 1000) / (nowMs - since.atMs));
  }
}
