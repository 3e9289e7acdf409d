/**
 * Operations that wait at a group's leader until a key is written. They are in memory and on the leader alone: when it leads no longer they go back
 * to whoever submitted them, and nothing of them has happened.
 *
 * An operation is evaluated and put here in one step, so that no write can pass between. It is evaluated again, the oldest of a line first, when a
 * whole command, transaction or script has written one of its keys; that comes before the next operation, so that its effects are in the same entry
 * behind those of the writer. Keys are taken in the order in which they became ready.
 */
import type { Cancel, Millis, Scheduler } from '../../platform/index.ts';
import type { Lock } from '../apply/index.ts';
import { nameOf } from '../apply/index.ts';
import { type AwaitedKeys, type Operation, TooManyWaitersError, WaitEndedError } from '../contract/index.ts';
import { complete } from './completion.ts';
import { isInRange } from './overlay.ts';
import { type Place, WaitingQueue } from './waiting-queue.ts';

/** How long nobody else in line is served when one has only been told that there is something. */
export const PRECEDENCE_MS: Millis = 50;
/** Most evaluations between two turns of the event loop; a transaction may wake more than one turn has time for. */
const MAX_SERVED_A_TURN = 4096;

export interface KeyWaitsOptions {
  readonly scheduler: Scheduler;
  readonly nowMs: () => Millis;
  /** Most operations that wait; more are refused with `TooManyWaitersError`. */
  readonly maxWaiters: number;
  /** Whether an operation may be evaluated now. */
  readonly mayServe: () => boolean;
  readonly evaluate: (operation: Operation<unknown>) => void;
  /** Keys have become ready outside of an evaluation. */
  readonly onReady: () => void;
}

/** An operation that waits or has waited. */
interface Waiter {
  readonly sinceMs: Millis;
  readonly ordinal: number;
  awaited: AwaitedKeys;
  /** Its places, one a key; empty while it does not wait. */
  places: Place[];
}

/** See the top of the file. */
export class KeyWaits {
  private readonly options: KeyWaitsOptions;
  /** Queues by key, then by the name of the line. */
  private readonly queues = new Map<string, Map<string, WaitingQueue>>();
  private readonly waiters = new Map<Operation<unknown>, Waiter>();
  /** Age and number of those that are being evaluated or are on their way in an entry: they may come back. */
  private readonly known = new WeakMap<Operation<unknown>, Waiter>();
  /** Keys that were written, in that order. */
  private readonly ready = new Set<string>();
  /** Keys with somebody who was told and may come; the end of their time. */
  private readonly held = new Map<string, Cancel>();
  private ordinals = 0;
  private isServing = false;
  private isReadyTold = false;

  constructor(options: KeyWaitsOptions) {
    this.options = options;
  }

  /** How many wait. */
  get size(): number {
    return this.waiters.size;
  }

  get hasReady(): boolean {
    return this.ready.size > 0;
  }

  /** True when the operation has waited here before. */
  knows(operation: Operation<unknown>): boolean {
    return this.known.has(operation);
  }

  /**
   * An operation has found nothing: it waits, where it did before or behind those that are older.
   * @returns true when it begins to
   */
  wait(operation: Operation<unknown>, awaited: AwaitedKeys): boolean {
    if (this.waiters.has(operation)) return false;
    if (this.waiters.size >= this.options.maxWaiters) {
      complete(operation, new TooManyWaitersError(), undefined);
      return false;
    }
    let waiter = this.known.get(operation);
    if (waiter === undefined) {
      const sinceMs = this.options.nowMs() - (operation.wait?.waitedMs ?? 0);
      waiter = { sinceMs, ordinal: this.ordinals++, awaited, places: [] };
      this.known.set(operation, waiter);
    }
    waiter.awaited = awaited;
    this.enter(operation, waiter);
    return true;
  }

  private enter(operation: Operation<unknown>, waiter: Waiter): void {
    const { sinceMs, ordinal, awaited } = waiter;
    this.waiters.set(operation, waiter);
    for (const key of new Set(awaited.keys.map(nameOf))) {
      const place = { key, operation, sinceMs, ordinal, isLeft: false };
      waiter.places.push(place);
      this.queueOf(key, awaited.line.name).add(place);
    }
  }

  private queueOf(key: string, line: string): WaitingQueue {
    let lines = this.queues.get(key);
    if (lines === undefined) {
      lines = new Map();
      this.queues.set(key, lines);
    }
    let queue = lines.get(line);
    if (queue === undefined) {
      queue = new WaitingQueue();
      lines.set(line, queue);
    }
    return queue;
  }

  /** The operation does not wait any more. @returns false when it did not */
  leave(operation: Operation<unknown>): boolean {
    const waiter = this.waiters.get(operation);
    if (waiter === undefined) return false;
    this.waiters.delete(operation);
    const { awaited, places } = waiter;
    waiter.places = [];
    for (const place of places) {
      const lines = this.queues.get(place.key)!;
      const queue = lines.get(awaited.line.name)!;
      queue.leave(place);
      if (queue.size > 0) continue;
      lines.delete(awaited.line.name);
      if (lines.size === 0) this.queues.delete(place.key);
    }
    return true;
  }

  /**
   * An operation that was served has had no effect: it waits again in its old place, and its keys are looked at.
   * @returns false for one that never waited
   */
  putBack(operation: Operation<unknown>): boolean {
    const waiter = this.known.get(operation);
    if (waiter === undefined) return false;
    if (!this.waiters.has(operation)) this.enter(operation, waiter);
    this.wake(operation);
    return true;
  }

  /** Its keys are looked at as if they had been written. */
  wake(operation: Operation<unknown>): void {
    for (const { key } of this.waiters.get(operation)?.places ?? []) this.ready.add(key);
  }

  /** Ends the wait of an operation that is marked as ended. One on its way gets its outcome, or ends when it is to be evaluated again. */
  end(operation: Operation<unknown>): void {
    if (this.leave(operation)) complete(operation, new WaitEndedError(), undefined);
  }

  /** An operation has written keys. */
  written(writes: readonly { readonly name: string }[], ranges: readonly { start: Buffer; end: Buffer }[]): void {
    if (this.waiters.size === 0) return;
    for (const { name } of writes) this.keyWritten(name);
    for (const { start, end } of ranges) this.rangeWritten(start, end);
  }

  private keyWritten(name: string): void {
    if (this.queues.has(name)) this.ready.add(name);
  }

  private rangeWritten(start: Buffer, end: Buffer | undefined): void {
    for (const name of this.queues.keys()) {
      const key = Buffer.from(name, 'latin1');
      if (end === undefined ? Buffer.compare(key, start) >= 0 : isInRange(key, start, end)) this.ready.add(name);
    }
  }

  /** A transaction has let go of a lock, and may have written: called in the middle of apply. */
  lockGone(lock: Lock): void {
    if (this.waiters.size === 0) return;
    if (lock.end !== undefined) this.rangeWritten(lock.key, lock.end);
    else this.keyWritten(nameOf(lock.key));
    this.tellReady();
  }

  /** Keys that had expired were deleted. */
  purged(keys: readonly Buffer[]): void {
    if (this.waiters.size === 0) return;
    for (const key of keys) this.keyWritten(nameOf(key));
    this.tellReady();
  }

  /** Everybody is looked at: what the group owns has changed. */
  wakeAll(): void {
    for (const name of this.queues.keys()) this.ready.add(name);
    this.tellReady();
  }

  private tellReady(): void {
    if (this.ready.size === 0 || this.isReadyTold) return;
    this.isReadyTold = true;
    this.options.scheduler.endOfTurn(() => {
      this.isReadyTold = false;
      this.options.onReady();
    });
  }

  /** Evaluates what may go on, until nothing is ready. Does nothing when it is under way already. */
  serve(): void {
    if (this.isServing) return;
    this.isServing = true;
    let left = MAX_SERVED_A_TURN;
    for (const name of this.ready) {
      if (left <= 0 || !this.options.mayServe()) break;
      this.ready.delete(name);
      if (!this.held.has(name)) left = this.serveKey(name, left);
    }
    this.isServing = false;
    // Later in the same turn they would only make the same entry larger.
    if (left <= 0 && this.ready.size > 0) this.options.scheduler.nextTurn(() => this.options.onReady());
  }

  /** Runs something whose operations wake nobody before it is over. */
  quietly(work: () => void): void {
    const before = this.isServing;
    this.isServing = true;
    work();
    this.isServing = before;
  }

  private serveKey(name: string, mayServe: number): number {
    let left = mayServe;
    const key = Buffer.from(name, 'latin1');
    for (const queue of [...(this.queues.get(name)?.values() ?? [])]) {
      for (const { operation } of queue.waiting()) {
        const { wait } = operation;
        if (wait === undefined || wait.isSuspended) continue;
        if (left <= 0 || !this.options.mayServe()) {
          this.ready.add(name);
          return left;
        }
        left--;
        const { takesTurns } = this.waiters.get(operation)!.awaited.line;
        wait.readyKey = key;
        this.options.evaluate(operation);
        wait.readyKey = undefined;
        if (this.waiters.has(operation)) {
          if (takesTurns) break;
        } else if (wait.isNotice) {
          this.hold(name);
          return left;
        }
      }
    }
    return left;
  }

  private hold(name: string): void {
    const cancel = this.options.scheduler.after(PRECEDENCE_MS, () => {
      this.held.delete(name);
      if (!this.queues.has(name)) return;
      this.ready.add(name);
      this.options.onReady();
    });
    this.held.set(name, cancel);
  }

  /** Leadership is over. */
  failAll(error: Error): void {
    for (const cancel of this.held.values()) cancel();
    this.held.clear();
    this.ready.clear();
    for (const operation of [...this.waiters.keys()]) {
      this.leave(operation);
      complete(operation, error, undefined);
    }
  }
}
