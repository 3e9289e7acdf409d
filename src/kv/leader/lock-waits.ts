/**
 * Who waits at a leader for locks of transactions: commands that met one, transactions that are older than the holder, scans.
 * All of them go on in the turn in which the lock is gone, or are told after a while that it is not.
 */
import type { Cancel, Millis, Scheduler } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import { factsOf, type Lock, type LockTable } from '../apply/index.ts';
import { LockedError, type LockFacts, type Operation } from '../contract/index.ts';

/** How long anybody waits for locks, all in all. */
export const MAX_LOCK_WAIT_MS: Millis = 1000;
/** A lock that is waited for so long may be a dead coordinator's: its status is asked for. */
const MET_AFTER_MS: Millis = 20;
/** Who waits at once, at most. */
const MAX_WAITERS = 100_000;

export interface LockWaitsOptions {
  readonly locks: LockTable;
  readonly scheduler: Scheduler;
  /** Monotonic: the group's own time may stand still while it leads the clocks. */
  readonly nowMs: () => Millis;
  /** Evaluates a command again. */
  readonly again: (operation: Operation<unknown>, tries: number) => void;
  /** Completes a command that has waited in vain. */
  readonly refuse: (operation: Operation<unknown>, error: Error) => void;
  /** A lock is gone, in the middle of apply. */
  readonly onGone: (lock: Lock) => void;
}

type Waiter = (error: Error | undefined) => void;

/** Those who wait for one lock. */
interface Queue {
  readonly waiters: Set<Waiter>;
  readonly cancelMet: Cancel;
}

export class LockWaits {
  private readonly options: LockWaitsOptions;
  private readonly queues = new Map<Lock, Queue>();
  /** Until when a command may wait that has met a lock before. */
  private readonly deadlines = new WeakMap<Operation<unknown>, Millis>();
  private gone: Lock[] = [];
  private count = 0;
  private onMet: ((lock: LockFacts) => void) | undefined;

  constructor(options: LockWaitsOptions) {
    this.options = options;
    options.locks.onGone((lock) => {
      this.take(lock);
      options.onGone(lock);
    });
  }

  /** The one who asks for the status of a lock that somebody waits for; told once while they wait. */
  onLockMet(listener: (lock: LockFacts) => void): void {
    this.onMet = listener;
  }

  /** How many wait. */
  get size(): number {
    return this.count;
  }

  /** Until when somebody who begins to wait now may wait, all in all. */
  deadlineMs(): Millis {
    return this.options.nowMs() + MAX_LOCK_WAIT_MS;
  }

  /** A command waits for a lock that it met; it is evaluated again, or completed with `LockedError`. */
  park(operation: Operation<unknown>, tries: number, lock: Lock): void {
    const untilMs = this.startClock(operation);
    this.wait(lock, untilMs - this.options.nowMs(), (error) => {
      if (error === undefined) this.options.again(operation, tries);
      else this.options.refuse(operation, error);
    });
  }

  /** A command waits for locks from now on, if it does not already. @returns until when it may */
  startClock(operation: Operation<unknown>): Millis {
    let untilMs = this.deadlines.get(operation);
    if (untilMs === undefined) {
      untilMs = this.deadlineMs();
      this.deadlines.set(operation, untilMs);
    }
    return untilMs;
  }

  /** Settles when the lock is gone. @throws LockedError, NotLeaderError */
  until(lock: Lock, untilMs: Millis): Promise<void> {
    return new Promise((resolve, reject) => {
      this.wait(lock, untilMs - this.options.nowMs(), (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  private wait(lock: Lock, forMs: Millis, done: Waiter): void {
    if (!this.options.locks.has(lock)) {
      // It ended in this very turn.
      this.options.scheduler.endOfTurn(() => done(undefined));
      return;
    }
    if (forMs <= 0 || this.count >= MAX_WAITERS) {
      done(forMs <= 0 ? new LockedError(factsOf(lock)) : new BusyError('too many wait for locks; try again later'));
      return;
    }
    const queue = this.queueOf(lock);
    this.count++;
    const cancel = this.options.scheduler.after(forMs, () => {
      queue.waiters.delete(waiter);
      if (queue.waiters.size === 0) this.close(lock, queue);
      this.count--;
      done(new LockedError(factsOf(lock)));
    });
    const waiter: Waiter = (error) => {
      cancel();
      this.count--;
      done(error);
    };
    queue.waiters.add(waiter);
  }

  private queueOf(lock: Lock): Queue {
    let queue = this.queues.get(lock);
    if (queue === undefined) {
      const cancelMet = this.options.scheduler.after(MET_AFTER_MS, () => this.onMet?.(factsOf(lock)));
      queue = { waiters: new Set(), cancelMet };
      this.queues.set(lock, queue);
    }
    return queue;
  }

  private close(lock: Lock, queue: Queue): void {
    queue.cancelMet();
    this.queues.delete(lock);
  }

  /** Called in the middle of apply, so the waiters go on when the turn ends. */
  private take(lock: Lock): void {
    if (!this.queues.has(lock)) return;
    this.gone.push(lock);
    if (this.gone.length === 1) this.options.scheduler.endOfTurn(() => this.wake());
  }

  private wake(): void {
    const gone = this.gone;
    this.gone = [];
    for (const lock of gone) this.release(lock, undefined);
  }

  private release(lock: Lock, error: Error | undefined): void {
    const queue = this.queues.get(lock);
    if (queue === undefined) return;
    this.close(lock, queue);
    for (const waiter of queue.waiters) waiter(error);
  }

  /** Leadership is over. */
  failAll(error: Error): void {
    for (const lock of [...this.queues.keys()]) this.release(lock, error);
  }
}
