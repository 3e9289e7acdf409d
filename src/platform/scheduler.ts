/**
 * Deferred execution as a constructor argument. Production uses the event loop; the simulator runs callbacks from its own
 * queue in an order that the seed decides.
 */
import type { Millis } from './types.ts';

/** Cancels a pending callback; harmless when it has already run. */
export type Cancel = () => void;

export interface Scheduler {
  /** Runs `callback` once, not before `delayMs` have passed on the monotonic clock. Does not keep the process alive. */
  after(delayMs: Millis, callback: () => void): Cancel;
  /**
   * Runs `callback` once after the I/O callbacks of the current event-loop turn: the place where a turn's work is
   * gathered into one write. Cannot be cancelled.
   */
  endOfTurn(callback: () => void): void;
}

/** Node's event loop. */
export class SystemScheduler implements Scheduler {
  after(delayMs: Millis, callback: () => void): Cancel {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  }

  endOfTurn(callback: () => void): void {
    setImmediate(callback);
  }
}
