/**
 * Spikes of latency by what caused them: how long something took that took too long, the worst of each second, the last 160 of each event. As in
 * Redis nothing is recorded while `latency-monitor-threshold` is 0.
 */
import type { Millis } from '../../../platform/index.ts';

/** What is watched here. The names are Redis' where Redis has the same thing. */
export type LatencyEvent = 'command' | 'fast-command' | 'aof-fsync-always';

const MAX_SAMPLES = 160;

export interface LatencySample {
  /** Unix seconds. */
  readonly atSeconds: number;
  readonly tookMs: number;
}

/** What is known of one event. */
export interface LatencySeries {
  /** Oldest first; one at least. */
  readonly samples: readonly LatencySample[];
  /** The longest since the last reset. */
  readonly longestMs: number;
}

export class LatencyEvents {
  private readonly byName = new Map<string, LatencySeries>();

  /** Books an event that took long. @param tookMs whole milliseconds count */
  add(event: LatencyEvent, tookMs: Millis, atSeconds: number): void {
    const sample = { atSeconds, tookMs: Math.floor(tookMs) };
    const known = this.byName.get(event);
    const before = known?.samples ?? [];
    const last = before.at(-1);
    const rest = last?.atSeconds === atSeconds ? before.slice(0, -1) : before;
    const worst = rest === before || last!.tookMs < sample.tookMs ? sample : last!;
    this.byName.set(event, {
      samples: [...rest.slice(1 - MAX_SAMPLES), worst],
      longestMs: Math.max(known?.longestMs ?? 0, sample.tookMs),
    });
  }

  find(name: string): LatencySeries | undefined {
    return this.byName.get(name);
  }

  all(): ReadonlyMap<string, LatencySeries> {
    return this.byName;
  }

  /** Forgets an event. @returns whether it was known */
  forget(name: string): boolean {
    return this.byName.delete(name);
  }
}
