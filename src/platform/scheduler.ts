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
 * Runs `callback` once at the end of the turn, also of one that has taken so long that what is gathered there waits for the next: for answers, which are
 * not to wait with that.
 */
export function atEndOfTurn(scheduler: Scheduler, callback: () => void): void {
  let isDone = false;
  const once = (): void => {
    if (isDone) return;
    isDone = true;
    callback();
  };
  scheduler.endOfTurn(once);
  scheduler.nextTurn(once);
}

/** A turn that took longer leaves what is still queued at its end to the next one. */
const LONG_TURN_MS: Millis = 20;

/**
 * Node's event loop. Callbacks that are handed to `endOfTurn` by an `endOfTurn` callback still run at the end of the same
 * turn, after all that were there before them: a layer that gathers its work then can hand it down to the next layer,
 * which gathers too, without another pass through the event loop. After `maxGenerations` the rest waits for the next
 * turn, so that I/O is never starved; so it does once a turn has taken long, counted from the first callback that it was handed:
 * the steps of a large command (evaluating, encoding, writing, applying) would else be one pause, in which no heartbeat is
 * sent or heard. Each turn runs one generation at least.
 */
export class SystemScheduler implements Scheduler {
  private static readonly maxGenerations = 8;
  private readonly nowMs: () => Millis;
  private queue: (() => void)[] = [];
  private draining = false;
  private scheduled = false;
  private scheduledAtMs: Millis = 0;
  /** The turn before ended with this queue because it had taken long. */
  private hasYielded = false;

  /** @param nowMs monotonic */
  constructor(nowMs: () => Millis = () => performance.now()) {
    this.nowMs = nowMs;
  }

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
    this.scheduledAtMs = this.nowMs();
    setImmediate(this.drain);
  }

  private readonly drain = (): void => {
    this.scheduled = false;
    this.draining = true;
    let mustRun = this.hasYielded;
    this.hasYielded = false;
    let generation: (() => void)[] = [];
    let next = 0;
    try {
      for (let left = SystemScheduler.maxGenerations; left > 0 && this.queue.length > 0; left--) {
        if (!mustRun && this.nowMs() - this.scheduledAtMs > LONG_TURN_MS) {
          this.hasYielded = true;
          break;
        }
        mustRun = false;
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
