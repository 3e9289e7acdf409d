/**
 * Where operations wait that the leader of a group cannot evaluate now: for room or a timestamp, for locks, for ranges that are being
 * handed over, for earlier operations of their own source that wait, and for keys that somebody else writes.
 */
import type { Millis, Scheduler } from '../../platform/index.ts';
import type { Lock, LockTable } from '../apply/index.ts';
import type { Operation } from '../contract/index.ts';
import { ComingLocks } from './coming-locks.ts';
import { complete } from './completion.ts';
import { KeyWaits } from './key-waits.ts';
import { LockWaits } from './lock-waits.ts';
import { OperationQueue, type QueueExits } from './operation-queue.ts';
import type { ParkedOptions } from './parked.ts';
import { RangeWaits } from './range-waits.ts';
import { SourceOrder } from './source-order.ts';

export interface OperationWaitsOptions extends QueueExits {
  readonly locks: LockTable;
  readonly scheduler: Scheduler;
  readonly nowMs: () => Millis;
  readonly maxRangeWaitMs: Millis;
  readonly maxWaiters: number;
  /** Something may be evaluated again. */
  readonly onReady: () => void;
}

/** See the top of the file. */
export class OperationWaits {
  /** For room in flight, or for a timestamp. */
  readonly queue: OperationQueue;
  /** For locks; transactions and scans wait there too. */
  readonly locks: LockWaits;
  /** For locks that are in the log and not applied. */
  readonly coming: ComingLocks;
  /** Behind operations of their own source. */
  readonly order: SourceOrder;
  /** For keys to be written. */
  readonly keys: KeyWaits;
  /** What becomes of those that wait for anything else. */
  readonly parking: ParkedOptions;
  private readonly ranges: RangeWaits;
  private readonly onReady: () => void;

  constructor(options: OperationWaitsOptions) {
    this.onReady = options.onReady;
    const again = (operation: Operation<unknown>, tries: number): void => {
      this.queue.addRetry(operation, tries);
      options.onReady();
    };
    const refuse = (operation: Operation<unknown>, error: Error): void => {
      complete(operation, error, undefined);
      this.order.left(operation);
    };
    this.queue = new OperationQueue({
      mayRetry: () => options.mayRetry(),
      mayStart: (isPassing) => options.mayStart(isPassing),
      evaluate: (operation, tries) => options.evaluate(operation, tries),
      refuse,
    });
    this.parking = { again, refuse };
    const patience = { scheduler: options.scheduler, nowMs: options.nowMs, again, refuse };
    this.keys = new KeyWaits({
      scheduler: options.scheduler,
      nowMs: options.nowMs,
      maxWaiters: options.maxWaiters,
      mayServe: () => options.mayRetry(),
      evaluate: (operation) => options.evaluate(operation, 1),
      onReady: () => options.onReady(),
    });
    this.locks = new LockWaits({ ...patience, locks: options.locks, onGone: (lock) => this.keys.lockGone(lock) });
    this.coming = new ComingLocks(patience);
    this.ranges = new RangeWaits({ ...patience, maxWaitMs: options.maxRangeWaitMs });
    this.order = new SourceOrder({ ...patience, onHeld: (operation) => this.locks.startClock(operation) });
  }

  /** Whether an operation need not stand behind those that wait for room: it only reads, and its source has asked for nothing that waits there. */
  mayPass(operation: Operation<unknown>): boolean {
    return operation.isWrite === false && !this.queue.holdsBefore(operation);
  }

  /** An operation that waited is evaluated again, before those that wait behind it. */
  again(operation: Operation<unknown>, tries: number): void {
    this.queue.addRetry(operation, tries);
    this.left(operation);
    this.onReady();
  }

  /** An operation met a lock. */
  forLock(operation: Operation<unknown>, tries: number, lock: Lock): void {
    this.order.waits(operation);
    this.locks.park(operation, tries, lock);
  }

  /** An operation may be refused for locks that are on their way. */
  forComing(operation: Operation<unknown>, tries: number): void {
    this.order.waits(operation);
    this.coming.park(operation, tries);
  }

  /** An operation met a range that the group does not serve, or not now. What its source asks for later refuses itself. */
  forRange(operation: Operation<unknown>, tries: number, refusal: Error): void {
    this.ranges.refused(operation, tries, refusal);
    this.left(operation);
  }

  /** An operation does not wait for locks any more. */
  left(operation: Operation<unknown>): void {
    if (this.order.size > 0) this.order.left(operation);
  }

  /** What the group owns has changed. */
  rangesChanged(): void {
    this.ranges.wake();
    this.keys.wakeAll();
  }

  /** Leadership is over. */
  failAll(error: Error): void {
    this.locks.failAll(error);
    this.coming.failAll(error);
    this.ranges.failAll(error);
    this.order.failAll(error);
    this.keys.failAll(error);
    this.queue.refuseAll(error);
  }
}
