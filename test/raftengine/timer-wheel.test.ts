import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cancel, Clock, Scheduler } from '../../src/platform/index.ts';
import { TimerWheel } from '../../src/raftengine/liveness/timer-wheel.ts';

/** Time that moves when told, and counts how many timers are armed. */
class ManualTime implements Clock, Scheduler {
  private now = 0;
  armed: { dueMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }

  monotonicMs(): number {
    return this.now;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { dueMs: this.now + delayMs, callback };
    this.armed.push(timer);
    return () => {
      this.armed = this.armed.filter((other) => other !== timer);
    };
  }

  endOfTurn(callback: () => void): void {
    callback();
  }

  nextTurn(callback: () => void): void {
    callback();
  }

  /** Runs what falls due on the way, like an idle event loop. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.armed.filter((timer) => timer.dueMs <= end).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) break;
      this.now = Math.max(this.now, next.dueMs);
      this.armed = this.armed.filter((other) => other !== next);
      next.callback();
    }
    this.now = end;
  }

  /** The event loop stands still: nothing runs until the end, then what is due. */
  stall(ms: number): void {
    this.now += ms;
    this.advance(0);
  }
}

function wheelOf(time: ManualTime): TimerWheel {
  return new TimerWheel({ clock: time, scheduler: time, tickMs: 10, slots: 16 });
}

test('a timer fires once, not before its delay, and after it within one tick', () => {
  const time = new ManualTime();
  const wheel = wheelOf(time);
  for (const delay of [1, 10, 15, 159, 160, 161, 1000]) wheel.after(delay, (nowMs) => fired.set(delay, nowMs));
  const fired = new Map<number, number>();
  time.advance(2000);
  for (const [delay, at] of fired) assert(at >= delay && at <= delay + 20, `${delay} fired at ${at}`);
  assert.equal(fired.size, 7);
  assert.equal(wheel.timers, 0);
});

test('any number of timers arms one timer of the scheduler, and an empty wheel none', () => {
  const time = new ManualTime();
  const wheel = wheelOf(time);
  const cancels = Array.from({ length: 500 }, (_, at) => wheel.every(10 + (at % 7) * 10, () => {}));
  assert.equal(time.armed.length, 1);
  time.advance(333);
  assert.equal(time.armed.length, 1);
  for (const cancel of cancels) cancel();
  assert.equal(wheel.timers, 0);
  time.advance(1000);
  assert.equal(time.armed.length, 0);
});

test('a periodic timer keeps its pace without drifting', () => {
  const time = new ManualTime();
  const wheel = wheelOf(time);
  let count = 0;
  wheel.every(30, () => {
    count += 1;
  });
  time.advance(3000);
  assert.equal(count, 100);
});

test('after a stall a periodic timer fires once and learns how late it is', () => {
  const time = new ManualTime();
  const wheel = wheelOf(time);
  const late: number[] = [];
  wheel.every(10, (_now, lateMs) => late.push(lateMs));
  time.advance(50);
  const before = late.length;
  time.stall(700);
  assert.equal(late.length, before + 1);
  assert(late.at(-1)! >= 680, `late by ${late.at(-1)}`);
  time.advance(10);
  assert.equal(late.length, before + 2);
  assert(late.at(-1)! < 10);
});

test('a cancelled timer does not fire, even when a timer of the same tick cancels it', () => {
  const time = new ManualTime();
  const wheel = wheelOf(time);
  let fired = 0;
  let cancelSecond: Cancel = () => {};
  wheel.after(20, () => {
    fired += 1;
    cancelSecond();
  });
  cancelSecond = wheel.after(20, () => {
    fired += 1;
  });
  time.advance(100);
  assert.equal(fired, 1);
});
