/** The clocks of a simulated machine: off by a skew, running too fast or too slow, and moved by hand. */
import { assert } from '../assert.ts';
import type { Clock } from '../clock.ts';
import type { Millis } from '../types.ts';
import type { Simulation } from './simulation.ts';

/** Wall clock of a machine without skew when the simulation starts: 2030-01-01T00:00:00Z. */
export const SIMULATION_EPOCH_MS = 1_893_456_000_000;

/** A machine counts the time that it is up in steps of this. */
const UPTIME_GRAIN_MS: Millis = 10;

export class SimClock implements Clock {
  private readonly simulation: Simulation;
  /** Local milliseconds per true millisecond. */
  private rate = 1;
  /** Both clocks at the true time `baseMs`. */
  private baseMs: Millis;
  private monotonicAtBaseMs: Millis;
  private wallAtBaseMs: Millis;
  private sleptMs: Millis = 0;

  /** @param monotonicOriginMs the machine's monotonic clock now: it means nothing on another machine */
  constructor(simulation: Simulation, monotonicOriginMs: Millis = 0) {
    this.simulation = simulation;
    this.baseMs = simulation.nowMs();
    this.monotonicAtBaseMs = monotonicOriginMs;
    this.wallAtBaseMs = SIMULATION_EPOCH_MS + this.baseMs;
  }

  nowMs(): Millis {
    return Math.floor(this.wallAtBaseMs + this.elapsedMs());
  }

  monotonicMs(): Millis {
    return this.monotonicAtBaseMs + this.elapsedMs();
  }

  uptimeMs(): Millis {
    return Math.floor((this.monotonicMs() + this.sleptMs) / UPTIME_GRAIN_MS) * UPTIME_GRAIN_MS;
  }

  /** Moves the wall clock; negative goes back. The monotonic clock does not notice. */
  jumpWall(byMs: Millis): void {
    this.wallAtBaseMs += byMs;
  }

  /** The machine sleeps for so long: its wall clock goes on, its monotonic clock does not. To be said when it falls asleep. */
  sleep(forMs: Millis): void {
    this.monotonicAtBaseMs -= forMs * this.rate;
    this.sleptMs += forMs * this.rate;
  }

  /** Makes both clocks run `ppm` parts per million too fast (negative: too slow) from now on. */
  setDriftPpm(ppm: number): void {
    assert(ppm > -1_000_000, 'a clock cannot run backwards');
    const elapsed = this.elapsedMs();
    this.monotonicAtBaseMs += elapsed;
    this.wallAtBaseMs += elapsed;
    this.baseMs = this.simulation.nowMs();
    this.rate = 1 + ppm / 1_000_000;
  }

  /** True milliseconds that `localMs` of this machine's clock take. */
  trueMs(localMs: Millis): Millis {
    return localMs / this.rate;
  }

  private elapsedMs(): Millis {
    return (this.simulation.nowMs() - this.baseMs) * this.rate;
  }
}
