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
  /** From the end of a turn: runs `callback` once in the turn after it, when I/O that is ready by then has been taken. */
  nextTurn(callback: () => void): void;
}

/**
 * Node's event loop. Callbacks that are handed to `endOfTurn` by an `endOfTurn` callback still run at the end of the same
 * turn, after all that were there before them: a layer that gathers its work then can hand it down to the next layer,
 * which gathers too, without another pass through the event loop. After `maxGenerations` the rest waits for the next
 * turn, so that I/O is never starved.
 */
export class SystemScheduler implements Scheduler {
  private static readonly maxGenerations = 8;
  private queue: (() => void)[] = [];
  private draining = false;
  private scheduled = false;

  after(delayMs: Millis, callback: () => void): Cancel {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  }

  endOfTurn(callback: () => void): void {
    this.queue.push(callback);
    if (!this.draining) this.schedule();
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback);
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.drain);
  }

  private readonly drain = (): void => {
    this.scheduled = false;
    this.draining = true;
    let generation = this.queue;
    let next = 0;
    try {
      for (let left = SystemScheduler.maxGenerations; left > 0 && this.queue.length > 0; left--) {
        generation = this.queue;
        this.queue = [];
        for (next = 0; next < generation.length; ) generation[next++]!();
      }
    } finally {
      // A callback that throws takes down nobody but itself: the others keep their turn.
      this.draining = false;
      if (next < generation.length) this.queue = [...generation.slice(next), ...this.queue];
      if (this.queue.length > 0) this.schedule();
    }
  };
}
