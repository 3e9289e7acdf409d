/**
 * A hashed timer wheel (Varghese & Lauck 1987): any number of timers behind one armed timer of the scheduler. A timer
 * hangs in slot `dueTick mod slots`; the wheel is armed for the next tick that has one. After a stall of the event loop
 * it visits every slot that was missed once, and a periodic timer fires once, not once for every missed period.
 */
import { assert, type Cancel, type Clock, type Millis, type Scheduler } from '../../platform/index.ts';

/** A timer's callback learns how late it runs, so that it can tell its own stall from somebody else's silence. */
export type WheelCallback = (nowMs: Millis, lateMs: Millis) => void;

interface Timer {
  dueTick: number;
  /** 0 for a timer that fires once. */
  readonly periodTicks: number;
  readonly callback: WheelCallback;
  slot: Set<Timer> | undefined;
}

export interface TimerWheelOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Resolution; default 10 ms, the tick of Raft. */
  readonly tickMs?: Millis;
  /** Default 512; timers further away than one round stay in their slot for several rounds. */
  readonly slots?: number;
}

/** One per node; everything periodic hangs in it. */
export class TimerWheel {
  readonly tickMs: Millis;
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly slots: Set<Timer>[] = [];
  /** Monotonic instant of tick 0. */
  private readonly originMs: Millis;
  /** Every slot up to this tick was visited. */
  private visitedTick = 0;
  private size = 0;
  private armed: { readonly tick: number; readonly cancel: Cancel } | undefined;
  private turning = false;

  constructor(options: TimerWheelOptions) {
    this.clock = options.clock;
    this.scheduler = options.scheduler;
    this.tickMs = options.tickMs ?? 10;
    for (let slot = options.slots ?? 512; slot > 0; slot--) this.slots.push(new Set());
    this.originMs = this.clock.monotonicMs();
  }

  /** Fires once, not before `delayMs` have passed. */
  after(delayMs: Millis, callback: WheelCallback): Cancel {
    return this.add(delayMs, 0, callback);
  }

  /** Fires every `periodMs` (rounded up to whole ticks), first after one period; periods missed in a stall are skipped. */
  every(periodMs: Millis, callback: WheelCallback): Cancel {
    return this.add(periodMs, Math.max(1, Math.ceil(periodMs / this.tickMs)), callback);
  }

  /** Timers that hang in the wheel. */
  get timers(): number {
    return this.size;
  }

  /** Forgets all timers. */
  stop(): void {
    for (const slot of this.slots) slot.clear();
    this.size = 0;
    this.armed?.cancel();
    this.armed = undefined;
  }

  private currentTick(): number {
    return Math.floor((this.clock.monotonicMs() - this.originMs) / this.tickMs);
  }

  private add(delayMs: Millis, periodTicks: number, callback: WheelCallback): Cancel {
    const dueTick = Math.max(
      this.visitedTick + 1,
      Math.ceil((this.clock.monotonicMs() - this.originMs + delayMs) / this.tickMs),
    );
    const timer: Timer = { dueTick, periodTicks, callback, slot: undefined };
    this.hang(timer);
    this.arm();
    return () => {
      if (timer.slot?.delete(timer)) this.size -= 1;
      timer.slot = undefined;
    };
  }

  private hang(timer: Timer): void {
    timer.slot = this.slots[timer.dueTick % this.slots.length]!;
    timer.slot.add(timer);
    this.size += 1;
  }

  /** Arms for the next non-empty slot; an empty wheel is not armed at all. */
  private arm(): void {
    if (this.turning) return;
    if (this.size === 0) {
      this.armed?.cancel();
      this.armed = undefined;
      return;
    }
    let tick = this.visitedTick + 1;
    while (this.slots[tick % this.slots.length]!.size === 0) tick += 1;
    if (this.armed !== undefined) {
      if (this.armed.tick <= tick) return;
      this.armed.cancel();
    }
    const delayMs = Math.max(0, Math.ceil(this.originMs + tick * this.tickMs - this.clock.monotonicMs()));
    this.armed = { tick, cancel: this.scheduler.after(delayMs, () => this.turn()) };
  }

  private turn(): void {
    this.armed = undefined;
    const nowTick = this.currentTick();
    const due: Timer[] = [];
    // A stall longer than a round meets every slot once.
    const last = Math.min(nowTick, this.visitedTick + this.slots.length);
    for (let tick = this.visitedTick + 1; tick <= last; tick++) {
      for (const timer of this.slots[tick % this.slots.length]!) if (timer.dueTick <= nowTick) due.push(timer);
    }
    assert(nowTick >= this.visitedTick, 'the monotonic clock does not go back');
    this.visitedTick = nowTick;
    due.sort((a, b) => a.dueTick - b.dueTick);
    this.turning = true;
    try {
      for (const timer of due) this.fire(timer, nowTick);
    } finally {
      this.turning = false;
      this.arm();
    }
  }

  private fire(timer: Timer, nowTick: number): void {
    // Cancelled by a callback that ran before it in this turn.
    if (timer.slot === undefined) return;
    timer.slot.delete(timer);
    timer.slot = undefined;
    this.size -= 1;
    const dueMs = this.originMs + timer.dueTick * this.tickMs;
    if (timer.periodTicks > 0) {
      const periods = Math.floor((nowTick - timer.dueTick) / timer.periodTicks) + 1;
      timer.dueTick += periods * timer.periodTicks;
      this.hang(timer);
    }
    const nowMs = this.clock.monotonicMs();
    timer.callback(nowMs, nowMs - dueMs);
  }
}
