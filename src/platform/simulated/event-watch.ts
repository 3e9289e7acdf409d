/** Which events of a simulation take the processor for long: in a real process a turn would hold the event loop as long. */
import type { Clock } from '../clock.ts';
import type { Millis } from '../types.ts';

/** The same as of a turn of the event loop of a node. */
const LONG_MS: Millis = 50;
/** Events that are kept: the longest. */
const MOST_KEPT = 20;

/** One event, with everything that it has set off before the next one. */
export interface LongEvent {
  readonly owner: string;
  readonly label: string;
  /** Of virtual time. */
  readonly atMs: Millis;
  readonly processorMs: Millis;
}

/** Takes no part in the run: what it measures depends on the machine. */
export class EventWatch {
  private readonly clock: Clock;
  private kept: LongEvent[] = [];
  private current: Omit<LongEvent, 'processorMs'> | undefined;
  private sinceMs: Millis = 0;

  /** @param clock of the machine, not of the simulation */
  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The longest first. */
  get long(): readonly LongEvent[] {
    return this.kept;
  }

  began(owner: string, label: string, atMs: Millis): void {
    this.current = { owner, label, atMs };
    this.sinceMs = this.now();
  }

  /** The event that began last, and all promises that it settled, have come to their end. */
  ended(): void {
    const { current } = this;
    if (current === undefined) return;
    this.current = undefined;
    const processorMs = this.now() - this.sinceMs;
    if (processorMs < LONG_MS) return;
    this.kept.push({ ...current, processorMs });
    this.kept = this.kept.sort((left, right) => right.processorMs - left.processorMs).slice(0, MOST_KEPT);
  }

  private now(): Millis {
    return this.clock.processorMs?.() ?? this.clock.monotonicMs();
  }
}
