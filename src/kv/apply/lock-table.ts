/**
 * The locks of a group in memory: what the side rows say, in a shape that can be asked quickly. Changed by apply alone. A
 * group has few locks at a time, so questions about ranges look at all of them.
 */
import { assert, type HlcTimestamp } from '../../platform/index.ts';
import type { SideRow } from '../../store/index.ts';
import { decodeLock, isLockName, type Lock, nameOf } from './lock-rows.ts';

const isWrite = (lock: Lock): boolean => lock.kind === 'put' || lock.kind === 'delete';
const isWithin = (key: Buffer, start: Buffer, end: Buffer | undefined): boolean =>
  Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0);

/** Nobody's id: every lock is another's. */
export const NOBODY: Buffer = Buffer.alloc(0);

export class LockTable {
  /** Locks of each key: one writer or some readers. */
  private readonly keys = new Map<string, Lock[]>();
  private ranges: Lock[] = [];
  private count = 0;
  private listener: ((lock: Lock) => void) | undefined;

  /** Locks of every kind; 0 lets everybody pass. */
  get size(): number {
    return this.count;
  }

  /** Range locks, in no order. */
  get rangeLocks(): readonly Lock[] {
    return this.ranges;
  }

  /** Hears of every lock that ends here, or leaves with its range; in the middle of apply, so it may only take note. */
  onGone(listener: (lock: Lock) => void): void {
    this.listener = listener;
  }

  /** Every lock, in no order. */
  *all(): Iterable<Lock> {
    for (const locks of this.keys.values()) yield* locks;
    yield* this.ranges;
  }

  /** Takes over the rows of a store. */
  reload(rows: Iterable<SideRow>): void {
    const before = [...this.all()];
    this.keys.clear();
    this.ranges = [];
    this.count = 0;
    for (const row of rows) if (isLockName(row.name)) this.add(decodeLock(row));
    for (const lock of before) this.listener?.(lock);
  }

  /** Takes note of a side row that was set or removed. */
  follow(key: Buffer, name: Buffer, value: Buffer | undefined): void {
    if (!isLockName(name)) return;
    const before = this.named(key, name);
    if (before !== undefined) this.remove(before);
    if (value !== undefined)
      this.add(decodeLock({ key: Buffer.from(key), name: Buffer.from(name), value: Buffer.from(value) }));
  }

  private named(key: Buffer, name: Buffer): Lock | undefined {
    const locks = this.keys.get(nameOf(key)) ?? [];
    return [...locks, ...this.ranges].find((lock) => lock.key.equals(key) && lock.rowName.equals(name));
  }

  add(lock: Lock): void {
    this.count++;
    if (lock.end !== undefined) {
      this.ranges.push(lock);
      return;
    }
    const others = this.keys.get(lock.keyName);
    if (others === undefined) this.keys.set(lock.keyName, [lock]);
    else others.push(lock);
  }

  remove(lock: Lock): void {
    this.count--;
    if (lock.end !== undefined) this.ranges = this.ranges.filter((one) => one !== lock);
    else {
      const locks = this.keys.get(lock.keyName)!;
      if (locks.length === 1) this.keys.delete(lock.keyName);
      else locks.splice(locks.indexOf(lock), 1);
    }
    assert(this.count >= 0, 'a lock ends once');
    this.listener?.(lock);
  }

  /** Forgets the locks of a range that leaves. */
  drop(start: Buffer, end: Buffer | undefined): void {
    if (this.count === 0) return;
    for (const lock of [...this.all()]) if (isWithin(lock.key, start, end)) this.remove(lock);
  }

  has(lock: Lock): boolean {
    return lock.end === undefined ? this.keys.get(lock.keyName)?.includes(lock) === true : this.ranges.includes(lock);
  }

  /** The lock that a transaction holds on a key. @param name `nameOf(key)`, for whoever has it */
  own(key: Buffer, txnId: Buffer, name = nameOf(key)): Lock | undefined {
    const locks = this.keys.get(name);
    if (locks === undefined) return undefined;
    for (const lock of locks) if (lock.txnId.equals(txnId)) return lock;
    return undefined;
  }

  /** Range locks of a transaction that begin in `[start, end)`. */
  ownRanges(start: Buffer, end: Buffer, txnId: Buffer): Lock[] {
    return this.ranges.filter((lock) => lock.txnId.equals(txnId) && isWithin(lock.key, start, end));
  }

  /** The write lock that keeps others than `txnId` from reading a key. @param name `nameOf(key)`, for whoever has it */
  againstRead(key: Buffer, txnId: Buffer = NOBODY, name = nameOf(key)): Lock | undefined {
    const locks = this.keys.get(name);
    return locks?.find((lock) => isWrite(lock) && !lock.txnId.equals(txnId));
  }

  /** The lock, of whatever kind, that keeps others than `txnId` from writing a key. @param name `nameOf(key)`, for whoever has it */
  againstWrite(key: Buffer, txnId: Buffer = NOBODY, name = nameOf(key)): Lock | undefined {
    const lock = this.keys.get(name)?.find((one) => !one.txnId.equals(txnId));
    return lock ?? this.ranges.find((one) => isWithin(key, one.key, one.end) && !one.txnId.equals(txnId));
  }

  /** A write lock within a range that may be committed at or below `upToTs`. */
  againstScan(start: Buffer, end: Buffer, upToTs: HlcTimestamp, txnId: Buffer = NOBODY): Lock | undefined {
    for (const locks of this.keys.values()) {
      for (const lock of locks) {
        const isMet = isWrite(lock) && lock.minCommitTs <= upToTs && isWithin(lock.key, start, end);
        if (isMet && !lock.txnId.equals(txnId)) return lock;
      }
    }
    return undefined;
  }

  /** A lock that a range delete would run over. */
  againstRangeWrite(start: Buffer, end: Buffer): Lock | undefined {
    for (const locks of this.keys.values()) if (isWithin(locks[0]!.key, start, end)) return locks[0];
    return this.ranges.find((lock) => Buffer.compare(lock.key, end) < 0 && Buffer.compare(start, lock.end!) < 0);
  }

  /** The smallest timestamp at which a version may still be committed here; undefined when no key is locked for writing. */
  oldestMinCommitTs(): HlcTimestamp | undefined {
    let oldest: HlcTimestamp | undefined;
    for (const locks of this.keys.values()) {
      for (const lock of locks) if (oldest === undefined || lock.minCommitTs < oldest) oldest = lock.minCommitTs;
    }
    return oldest;
  }
}
