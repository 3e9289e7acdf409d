/**
 * Time as a constructor argument. `nowMs` may jump in both directions (operators and NTP move it); it is only ever used
 * to propose timestamps. `monotonicMs` never goes back and drives every timeout and lease.
 */
import { uptime } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Millis } from './types.ts';

export interface Clock {
  /** Wall clock, whole unix milliseconds. */
  nowMs(): Millis;
  /** Monotonic clock, fractional milliseconds from an arbitrary origin. */
  monotonicMs(): Millis;
  /** Processor time that the thread has taken, fractional milliseconds from an arbitrary origin; absent where it cannot be told. */
  processorMs?(): Millis;
  /**
   * For how long the machine has been up, the time that it slept included, within a second; absent where it cannot be told. It is a system call, so it is
   * asked when there is a reason.
   */
  uptimeMs?(): Millis;
}

/** The machine's clocks. */
export class SystemClock implements Clock {
  nowMs(): Millis {
    return Date.now();
  }

  monotonicMs(): Millis {
    return performance.now();
  }

  processorMs(): Millis {
    // Node has it from 23.9 on.
    const used = process.threadCpuUsage?.();
    return used === undefined ? performance.now() : (used.user + used.system) / 1_000;
  }

  uptimeMs(): Millis {
    return uptime() * 1_000;
  }
}
