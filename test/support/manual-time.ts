/** Time that only moves when a test says so: a clock, and a scheduler whose turns and timers the test runs by hand. */
import type { Cancel, Clock, Scheduler } from '../../src/platform/index.ts';

/** Time that only moves when told to. */
export class ManualClock implements Clock {
  wallMs: number;
  monotonic: number;
  private sleptMs = 0;

  constructor(wallMs = 1_700_000_000_000, monotonicMs = 1000) {
    this.wallMs = wallMs;
    this.monotonic = monotonicMs;
  }

  nowMs(): number {
    return Math.floor(this.wallMs);
  }

  monotonicMs(): number {
    return this.monotonic;
  }

  /** In steps, as systems count it. */
  uptimeMs(): number {
    return Math.floor((this.monotonic + this.sleptMs) / 10) * 10;
  }

  advance(ms: number): void {
    this.wallMs += ms;
    this.monotonic += ms;
  }

  /** The machine sleeps for so long: its monotonic clock stands still. */
  sleep(ms: number): void {
    this.wallMs += ms;
    this.sleptMs += ms;
  }
}

/** Turns and timers that the test runs by hand. */
export class ManualScheduler implements Scheduler {
  private readonly clock: ManualClock;
  private turn: (() => void)[] = [];
  private later: (() => void)[] = [];
  private timers: { atMs: number; callback: () => void; isDone: boolean }[] = [];

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { atMs: this.clock.monotonicMs() + delayMs, callback, isDone: false };
    this.timers.push(timer);
    return () => {
      timer.isDone = true;
    };
  }

  endOfTurn(callback: () => void): void {
    this.turn.push(callback);
  }

  /** Turns of I/O are the test's to make: what waits for the next one runs once this one is over. */
  nextTurn(callback: () => void): void {
    this.later.push(callback);
  }

  /** Begins the next turn and ends it. */
  passTurn(): void {
    const callbacks = this.later;
    this.later = [];
    for (const callback of callbacks) callback();
    this.endTurn();
  }

  /** Runs what waits for the end of the turn, and what that adds. */
  endTurn(): void {
    while (this.turn.length > 0) {
      const callbacks = this.turn;
      this.turn = [];
      for (const callback of callbacks) callback();
    }
  }

  /** Timers that have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.timers.filter((timer) => !timer.isDone).length;
  }

  /** Moves time and fires due timers in order. */
  advance(ms: number): void {
    const untilMs = this.clock.monotonicMs() + ms;
    while (this.fireNext(untilMs));
    this.clock.advance(untilMs - this.clock.monotonicMs());
  }

  /** As `advance`; after every timer promises settle and I/O has its turn. */
  async advanceSettling(ms: number): Promise<void> {
    const untilMs = this.clock.monotonicMs() + ms;
    while (this.fireNext(untilMs)) await new Promise((resolve) => setImmediate(resolve));
    this.clock.advance(untilMs - this.clock.monotonicMs());
  }

  /** Fires the first timer that is due by then. @returns false when there is none */
  private fireNext(untilMs: number): boolean {
    this.timers = this.timers.filter((timer) => !timer.isDone);
    const [due] = this.timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
    if (due === undefined) return false;
    this.clock.advance(Math.max(0, due.atMs - this.clock.monotonicMs()));
    due.isDone = true;
    due.callback();
    this.endTurn();
    return true;
  }
}
