/**
 * Locks that are on their way through the log of the group that a node leads: the PREPAREs and commits in one phase that were proposed and are
 * not applied yet. An operation that is proposed behind them and writes a key of theirs, or relies on one that they write, would be refused at
 * apply and run again, behind operations that were asked for later. So it waits until they are applied, and then sees whether there is a lock.
 */
import { nameOf } from '../apply/index.ts';
import type { KeyIntent, Operation, RangeIntent } from '../contract/index.ts';
import { Parked, type ParkedOptions } from './parked.ts';

/** What an operation is about to have proposed. */
export interface Effects {
  readonly writes: readonly { readonly name: string; readonly key: Buffer }[];
  readonly ranges: readonly RangeIntent[];
  readonly readKeys: readonly Buffer[];
}

/** What of a key is coming: a lock, or a version without one, which keeps nobody from writing. */
const Coming = { Read: 1, Write: 2, Version: 3 } as const;
type Coming = (typeof Coming)[keyof typeof Coming];

/** See the top of the file. */
export class ComingLocks {
  /** Parts of the entry on its way. */
  private parts = 0;
  private readonly keys = new Map<string, Coming>();
  private readonly keyBytes: Buffer[] = [];
  private ranges: RangeIntent[] = [];
  private readonly parked: Parked;

  constructor(options: ParkedOptions) {
    this.parked = new Parked(options);
  }

  /** While it is 0 nothing needs to be asked here. */
  get size(): number {
    return this.parts;
  }

  /** A PREPARE is being proposed, behind everything that was evaluated before. `ended` must follow. */
  begin(intents: readonly KeyIntent[], ranges: readonly RangeIntent[], isOnePhase: boolean): void {
    this.parts++;
    for (const { key, kind } of intents) {
      // What a commit in one phase has only read is free again when it is applied.
      if (kind === 'read' && isOnePhase) continue;
      const name = nameOf(key);
      this.keys.set(name, kind === 'read' ? Coming.Read : isOnePhase ? Coming.Version : Coming.Write);
      this.keyBytes.push(key);
    }
    this.ranges.push(...ranges);
  }

  /** A PREPARE was applied, or never will be. */
  ended(): void {
    if (--this.parts > 0) return;
    this.keys.clear();
    this.keyBytes.length = 0;
    this.ranges = [];
    this.parked.release();
  }

  /** True when what an operation does may be refused for something that is coming. */
  meets({ writes, ranges, readKeys }: Effects): boolean {
    for (const { name, key } of writes) {
      const coming = this.keys.get(name);
      if (coming === Coming.Read || coming === Coming.Write || this.ranges.some((range) => isWithin(key, range)))
        return true;
    }
    for (const key of readKeys) {
      const coming = this.keys.get(nameOf(key));
      if (coming === Coming.Write || coming === Coming.Version) return true;
    }
    return ranges.some(
      (range) =>
        this.keyBytes.some((key) => isWithin(key, range)) ||
        this.ranges.some((one) => Buffer.compare(one.start, range.end) < 0 && Buffer.compare(range.start, one.end) < 0),
    );
  }

  /** An operation comes again when everything that is on its way now has been applied. */
  park(operation: Operation<unknown>, tries: number): void {
    this.parked.add(operation, tries, 'transactions');
  }

  /** Leadership is over. */
  failAll(error: Error): void {
    this.parked.failAll(error);
  }
}

const isWithin = (key: Buffer, { start, end }: RangeIntent): boolean =>
  Buffer.compare(start, key) <= 0 && Buffer.compare(key, end) < 0;
