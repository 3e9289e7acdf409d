/**
 * Commands that met a range which is being handed over wait at the leader, instead of being sent back to try again: the source's
 * leader wakes them when it has released the range, and they learn who has it now; the destination's wakes them when it has
 * taken it over, and they run. So a move costs a writer the time of the hand-over and two messages, not a pause of its own.
 */
import type { Cancel, Millis, Scheduler } from '../../platform/index.ts';
import { type Operation, RangeBusyError } from '../contract/index.ts';
import { complete } from './completion.ts';

/** Who waits at once, at most; others are told at once. */
const MAX_WAITERS = 10_000;

export interface RangeWaitsOptions {
  readonly scheduler: Scheduler;
  /** Monotonic. */
  readonly nowMs: () => Millis;
  /** How long a command waits, all in all. Then whoever sent it decides. */
  readonly maxWaitMs: Millis;
  /** Evaluates a command again. */
  readonly again: (operation: Operation<unknown>, tries: number) => void;
}

interface Waiter {
  readonly operation: Operation<unknown>;
  readonly tries: number;
  readonly refusal: Error;
  readonly untilMs: Millis;
}

/** Those who wait for ranges of one group. */
export class RangeWaits {
  private readonly options: RangeWaitsOptions;
  /** In the order in which they were refused. */
  private waiting: Waiter[] = [];
  /** Until when a command may wait that was woken and met a range on its way again. */
  private readonly deadlines = new WeakMap<Operation<unknown>, Millis>();
  private cancel: Cancel | undefined;

  constructor(options: RangeWaitsOptions) {
    this.options = options;
  }

  /** How many wait. */
  get size(): number {
    return this.waiting.length;
  }

  /** A command was refused: it waits when that will pass, else it is told now. */
  refused(operation: Operation<unknown>, tries: number, refusal: Error): void {
    const nowMs = this.options.nowMs();
    const untilMs = this.deadlines.get(operation) ?? nowMs + this.options.maxWaitMs;
    if (!(refusal instanceof RangeBusyError) || untilMs <= nowMs || this.waiting.length >= MAX_WAITERS) {
      this.tell(operation, refusal);
      return;
    }
    this.deadlines.set(operation, untilMs);
    this.waiting.push({ operation, tries, refusal, untilMs });
    this.cancel ??= this.options.scheduler.after(untilMs - nowMs, () => this.timeOut());
  }

  /** Should it come again, it may wait again. */
  private tell(operation: Operation<unknown>, error: Error): void {
    this.deadlines.delete(operation);
    complete(operation, error, undefined);
  }

  /** One has waited long enough. All are told, so that none that comes later runs before it. */
  private timeOut(): void {
    for (const { operation, refusal } of this.take()) this.tell(operation, refusal);
  }

  private take(): readonly Waiter[] {
    const { waiting } = this;
    this.waiting = [];
    this.cancel?.();
    this.cancel = undefined;
    return waiting;
  }

  /** What the group owns has changed: everybody looks again, in order. */
  wake(): void {
    for (const { operation, tries } of this.take()) this.options.again(operation, tries);
  }

  /** Leadership is over. */
  failAll(error: Error): void {
    for (const { operation } of this.take()) this.tell(operation, error);
  }
}
