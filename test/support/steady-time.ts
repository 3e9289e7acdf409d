/**
 * Real time without the moments in which this process stood still. What a test gives a second to happen gets a second of
 * work, however busy the machine is: a limit that runs out then tells of the program, not of the machine.
 */
import { type Cancel, type Clock, type Scheduler, SystemScheduler } from '../../src/platform/index.ts';

const TICK_MS = 5;
/** A longer step is the machine's doing. */
const MAX_STEP_MS = 20;

/** Clock and scheduler in one; `stop` when the test is over. */
export class SteadyTime implements Clock, Scheduler {
  private readonly turns = new SystemScheduler();
  private readonly ticker: NodeJS.Timeout;
  private readonly timers = new Set<{ readonly dueMs: number; readonly callback: () => void }>();
  private lastMs = performance.now();
  private passedMs = 0;

  constructor() {
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    this.ticker.unref();
  }

  nowMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    const nowMs = performance.now();
    this.passedMs += Math.min(nowMs - this.lastMs, MAX_STEP_MS);
    this.lastMs = nowMs;
    return this.passedMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { dueMs: this.monotonicMs() + delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  endOfTurn(callback: () => void): void {
    this.turns.endOfTurn(callback);
  }

  nextTurn(callback: () => void): void {
    this.turns.nextTurn(callback);
  }

  stop(): void {
    clearInterval(this.ticker);
  }

  private tick(): void {
    const nowMs = this.monotonicMs();
    const due = [...this.timers].filter(({ dueMs }) => dueMs <= nowMs).sort((a, b) => a.dueMs - b.dueMs);
    for (const timer of due) if (this.timers.delete(timer)) timer.callback();
  }
}
