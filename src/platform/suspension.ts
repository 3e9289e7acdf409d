/**
 * A machine that was suspended: its wall clock went on and its monotonic clock did not. Node.js has no clock that counts both and is cheap, so the two are
 * compared. A wall clock that was set looks the same, so the system is asked then how long it has been up, sleeps included. Whoever must not trust what is
 * old takes the longer of both answers; whoever compares clocks takes the system's.
 */
import type { Clock } from './clock.ts';
import type { Millis } from './types.ts';

/** Clocks are read one after the other and rounded; less than this is within any margin of a lease. */
const LEAST_MS: Millis = 50;
/** Some systems count the time that they are up in whole seconds. */
const UPTIME_GRAIN_MS: Millis = 1_000;

/** See the top of the file. Asked several times an election timeout, so that clocks which drift apart are not taken for one. */
export class SuspensionWatch {
  private readonly clock: Clock;
  private leadMs: Millis;
  private uptimeLeadMs: Millis;
  private toldMs: Millis = 0;

  constructor(clock: Clock) {
    this.clock = clock;
    this.leadMs = this.lead();
    this.uptimeLeadMs = this.uptimeLead();
  }

  /** For how long the machine may have been suspended since the last call; 0 when it was not. */
  look(): Millis {
    const before = this.leadMs;
    this.leadMs = this.lead();
    const gainedMs = this.leadMs - before;
    if (Math.abs(gainedMs) < LEAST_MS) return 0;
    const sleptMs = this.ask(gainedMs);
    this.toldMs += sleptMs;
    return Math.max(gainedMs, sleptMs, 0);
  }

  /** For how long it was suspended since the first call, as the system tells; 0 where it does not. */
  get sleptMs(): Millis {
    return this.toldMs;
  }

  /** For how long the machine slept while its wall clock gained so much. */
  private ask(gainedMs: Millis): Millis {
    const before = this.uptimeLeadMs;
    this.uptimeLeadMs = this.uptimeLead();
    const sleptMs = this.uptimeLeadMs - before;
    if (sleptMs < LEAST_MS) return 0;
    // The wall clock counts more finely.
    if (Math.abs(sleptMs - gainedMs) <= UPTIME_GRAIN_MS) return Math.max(0, gainedMs);
    return sleptMs > UPTIME_GRAIN_MS ? sleptMs : 0;
  }

  /** By how much the wall clock leads the monotonic one. */
  private lead(): Millis {
    return this.clock.nowMs() - this.clock.monotonicMs();
  }

  private uptimeLead(): Millis {
    const uptimeMs = this.clock.uptimeMs?.();
    return uptimeMs === undefined ? 0 : uptimeMs - this.clock.monotonicMs();
  }
}

/**
 * The monotonic clock, and the time that the machine slept as far as the system tells it. No setting of the wall clock moves it, so clocks are compared
 * by it. Where the system does not tell, it stands still while the machine sleeps.
 */
export class BootClock {
  private readonly clock: Clock;
  private readonly watch: SuspensionWatch;

  constructor(clock: Clock) {
    this.clock = clock;
    this.watch = new SuspensionWatch(clock);
  }

  /** Fractional milliseconds from an arbitrary origin. */
  bootMs(): Millis {
    this.watch.look();
    return this.at(this.clock.monotonicMs());
  }

  /** What it showed at a moment of the monotonic clock, unless the machine has slept since it was last looked at. */
  at(monotonicMs: Millis): Millis {
    return monotonicMs + this.watch.sleptMs;
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
