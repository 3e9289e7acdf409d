/**
 * A machine that was suspended: its wall clock went on and its monotonic clock did not. Node.js cannot read CLOCK_BOOTTIME,
 * so both clocks are compared; a wall clock that was set ahead looks the same, and makes everybody more careful only.
 */
import type { Clock } from './clock.ts';
import type { Millis } from './types.ts';

/** Clocks are read one after the other and rounded; less than this is within any margin of a lease. */
const LEAST_MS: Millis = 50;

/** See the top of the file. Asked several times an election timeout, so that clocks which drift apart are not taken for one. */
export class SuspensionWatch {
  private readonly clock: Clock;
  private leadMs: Millis;

  constructor(clock: Clock) {
    this.clock = clock;
    this.leadMs = this.lead();
  }

  /** For how long the machine may have been suspended since the last call; 0 when it was not. */
  look(): Millis {
    const before = this.leadMs;
    this.leadMs = this.lead();
    const sleptMs = this.leadMs - before;
    return sleptMs >= LEAST_MS ? sleptMs : 0;
  }

  /** By how much the wall clock leads the monotonic one. */
  private lead(): Millis {
    return this.clock.nowMs() - this.clock.monotonicMs();
  }
}

/** Elapsed time of this node, to measure ages by. */
export interface Elapsed {
  /** Milliseconds from an arbitrary origin, the time that the machine slept included. */
  elapsedMs(): Millis;
}

/**
 * Measures how old something is. Never counts less than has passed, as long as the wall clock is not set back while the
 * machine sleeps; more when it is set ahead. Deadlines and timers go by the monotonic clock, which has another origin.
 */
export class ElapsedClock implements Elapsed {
  private readonly clock: Clock;
  private readonly watch: SuspensionWatch;
  private sleptMs: Millis = 0;

  /** @param clock the machine's own, which nobody corrects: a wall clock that is held back hides that the machine slept */
  constructor(clock: Clock) {
    this.clock = clock;
    this.watch = new SuspensionWatch(clock);
  }

  elapsedMs(): Millis {
    this.sleptMs += this.watch.look();
    return this.clock.monotonicMs() + this.sleptMs;
  }
}
