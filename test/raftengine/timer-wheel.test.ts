import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cancel } from '../../src/platform/index.ts';
import { TimerWheel } from '../../src/raftengine/liveness/timer-wheel.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';

/** Time that moves when told. */
class WheelTime {
  readonly clock = new ManualClock(0, 0);
  readonly scheduler = new ManualScheduler(this.clock);

  nowMs(): number {
    return this.clock.monotonicMs();
  }

  advance(ms: number): void {
    this.scheduler.advance(ms);
  }

  /** The event loop stands still: nothing runs until the end, then what is due. */
  stall(ms: number): void {
    this.clock.advance(ms);
    this.scheduler.advance(0);
  }
}

function wheelOf({ clock, scheduler }: WheelTime): TimerWheel {
  return new TimerWheel({ clock, scheduler, tickMs: 10, slots: 16 });
}

test('a timer fires once, not before its delay, and after it within one tick', () => {
  const time = new WheelTime();
  const wheel = wheelOf(time);
  for (const delay of [1, 10, 15, 159, 160, 161, 1000]) wheel.after(delay, (nowMs) => fired.set(delay, nowMs));
  const fired = new Map<number, number>();
  time.advance(2000);
  for (const [delay, at] of fired) assert(at >= delay && at <= delay + 20, `${delay} fired at ${at}`);
  assert.equal(fired.size, 7);
  assert.equal(wheel.timers, 0);
});

test('any number of timers arms one timer of the scheduler, and an empty wheel none', () => {
  const time = new WheelTime();
  const wheel = wheelOf(time);
  const cancels = Array.from({ length: 500 }, (_, at) => wheel.every(10 + (at % 7) * 10, () => {}));
  assert.equal(time.scheduler.pendingTimers, 1);
  time.advance(333);
  assert.equal(time.scheduler.pendingTimers, 1);
  for (const cancel of cancels) cancel();
  assert.equal(wheel.timers, 0);
  time.advance(1000);
  assert.equal(time.scheduler.pendingTimers, 0);
});

test('a periodic timer keeps its pace without drifting', () => {
  const time = new WheelTime();
  const wheel = wheelOf(time);
  let count = 0;
  wheel.every(30, () => {
    count += 1;
  });
  time.advance(3000);
  assert.equal(count, 100);
});

test('after a stall a periodic timer fires once and learns how late it is', () => {
  const time = new WheelTime();
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
  const time = new WheelTime();
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
