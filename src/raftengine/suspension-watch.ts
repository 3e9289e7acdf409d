/**
 * Notices that the machine was suspended: its wall clock went on and its monotonic clock did not, and leases are measured by
 * that one. Node.js has no CLOCK_BOOTTIME; but a wall clock that was set ahead looks the same and costs one round only.
 */
import type { Clock, Millis } from '../platform/index.ts';

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
