/** Virtual time that goes on by itself: to the next timer, once nothing else can happen. Ends of turns are timers too. */
import type { Cancel, Clock, Scheduler } from '../../src/platform/index.ts';

/** See the file's head. */
export class VirtualTime implements Clock, Scheduler {
  private timeMs = 1_700_000_000_000;
  private timers: { atMs: number; order: number; callback: () => void }[] = [];
  private orders = 0;
  /** By so much the time of day was put back. */
  backMs = 0;

  nowMs(): number {
    return Math.floor(this.timeMs) - this.backMs;
  }

  monotonicMs(): number {
    return this.timeMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { atMs: this.timeMs + delayMs, order: this.orders++, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  }

  endOfTurn(callback: () => void): void {
    this.after(0, callback);
  }

  nextTurn(callback: () => void): void {
    this.after(0, callback);
  }

  /** Lets everything that is ready happen, then goes to the next timer at most `maxMs` away. */
  async step(maxMs = 1_000): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (!this.fireNext(this.timeMs + maxMs)) this.timeMs += maxMs;
  }

  /** Goes to the first timer, when there is one until then. @returns false when there is none */
  fireNext(untilMs = Number.POSITIVE_INFINITY): boolean {
    const [next] = this.timers.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    if (next === undefined || next.atMs > untilMs) return false;
    this.timers.shift();
    this.timeMs = Math.max(this.timeMs, next.atMs);
    next.callback();
    return true;
  }

  /** Steps until a condition holds. @throws when it does not within `limitMs` of virtual time */
  async until(what: string, condition: () => boolean, limitMs = 120_000): Promise<void> {
    const endMs = this.timeMs + limitMs;
    while (!condition()) {
      if (this.timeMs > endMs) throw new Error(`waited in vain until ${what}`);
      await this.step(50);
    }
  }

  /** The outcome of a promise, with time going on until it has one. */
  async outcome<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await this.until('a promise settles', () => isSettled);
    return promise;
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.timeMs + ms;
    while (this.timeMs < endMs) await this.step(Math.min(50, endMs - this.timeMs));
  }
}
