/** A token bucket over bytes: at most a quarter of a second's worth at once, and no more than the rate in the long run. */
import type { Clock } from './clock.ts';
import type { Scheduler } from './scheduler.ts';
import { sleep } from './sleep.ts';
import type { Millis } from './types.ts';

export class ByteRateLimit {
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly bytesPerMs: number;
  private readonly burstBytes: number;
  private tokens: number;
  private filledAtMs: Millis;

  /** @param bytesPerSecond at least 1 */
  constructor(clock: Clock, scheduler: Scheduler, bytesPerSecond: number) {
    this.clock = clock;
    this.scheduler = scheduler;
    this.bytesPerMs = bytesPerSecond / 1000;
    this.burstBytes = bytesPerSecond / 4;
    this.tokens = this.burstBytes;
    this.filledAtMs = clock.monotonicMs();
  }

  /** Settles when `bytes` may be sent. Debt is allowed, so that a frame larger than the burst passes too. */
  async take(bytes: number): Promise<void> {
    const nowMs = this.clock.monotonicMs();
    this.tokens = Math.min(this.burstBytes, this.tokens + (nowMs - this.filledAtMs) * this.bytesPerMs) - bytes;
    this.filledAtMs = nowMs;
    const waitMs = this.tokens >= 0 ? 0 : -this.tokens / this.bytesPerMs;
    // Even without a debt the event loop gets its turn between two frames.
    await sleep(this.scheduler, waitMs);
  }
}
