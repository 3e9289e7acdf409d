/** Lists. */
import { ValueForm } from '../../keys/index.ts';
import { ValueType } from '../../values/index.ts';
import { type BodyAccess, HeadPlace, type NewExpiry, readHead } from '../rows/index.ts';
import { LargeList } from './large-list.ts';
import type { ListForm } from './list-form.ts';
import { PackedList } from './packed-list.ts';

/** What to look for with `positions`. */
export interface PositionSearch {
  /** Which match is the first to count, from 1; negative ones are counted from the end, and the search goes that way. */
  readonly rank: number;
  /** Most positions; infinite for all. */
  readonly count: number;
  /** Most values to compare; infinite for all. */
  readonly atMost: number;
}

/**
 * A list, in whichever form. Changes are to be saved before anybody else looks at the key, and a command opens a key once. Positions begin
 * with 0 and are within the list; commands bring what clients say into that form. Buffers that it returns are views and must not be modified;
 * those that it is given must not be modified before it is saved.
 */
export class ListBody {
  private form: ListForm;
  private readonly place: HeadPlace;

  /** @param isNew true for a body without elements that replaces whatever the key holds, false for the one that the key holds */
  constructor(access: BodyAccess, userKey: Buffer, isNew: boolean) {
    const before = isNew ? undefined : readHead(access, userKey, ValueType.List);
    this.place = new HeadPlace(access, access.storageKey(userKey), ValueType.List, before);
    const { place } = this;
    if (before?.head.form === ValueForm.Large) this.form = new LargeList(place, before.head, place.bits);
    else if (isNew) this.form = new PackedList(place, 0);
    else this.form = new PackedList(place, place.bits, before?.head.elements ?? Buffer.alloc(0));
  }

  /** Number of values; a key without values does not exist. */
  get length(): number {
    return this.form.count;
  }

  /** The value at a position; undefined outside the list. */
  at(index: number): Buffer | undefined {
    return index >= 0 && index < this.length ? this.form.at(index) : undefined;
  }

  /** Puts a value into the place of another, which must be there. */
  set(index: number, value: Buffer): void {
    this.form.replaceAt(index, value);
  }

  /** Puts values in front of the first, one after the other: the last of them becomes the first of the list. */
  pushFirst(values: readonly Buffer[]): void {
    this.form.insertAt(0, values.toReversed());
  }

  /** Puts values behind the last, one after the other. */
  pushLast(values: readonly Buffer[]): void {
    this.form.insertAt(this.length, values);
  }

  /** Removes up to `count` values from the front; the first of the list comes first. */
  popFirst(count: number): Buffer[] {
    const values = this.take(0, 1, count);
    this.removeRange(0, values.length);
    return values;
  }

  /** Removes up to `count` values from the end; the last of the list comes first. */
  popLast(count: number): Buffer[] {
    const values = this.take(this.length - 1, -1, count);
    this.removeRange(this.length - values.length, values.length);
    return values;
  }

  /** Values from one position up to another, both included, as far as there are any. */
  range(from: number, to: number): Buffer[] {
    return this.take(from, 1, to - from + 1);
  }

  /** All values from a position on, forwards or backwards. Nothing must be changed meanwhile. */
  values(from = 0, step: 1 | -1 = 1): Iterable<Buffer> {
    return this.form.walkFrom(from, step, this.length);
  }

  /** Puts a value in front of the first value that equals `pivot`, or behind it. @returns false when there is none */
  insertBeside(pivot: Buffer, value: Buffer, side: 'before' | 'after'): boolean {
    const [index] = this.positions(pivot, { rank: 1, count: 1, atMost: Number.POSITIVE_INFINITY });
    if (index === undefined) return false;
    this.form.insertAt(side === 'before' ? index : index + 1, [value]);
    return true;
  }

  /** Positions of values that equal one, in the order in which they are found. */
  positions(value: Buffer, { rank, count, atMost }: PositionSearch): number[] {
    const step = rank < 0 ? -1 : 1;
    const found: number[] = [];
    let index = step === 1 ? 0 : this.length - 1;
    let skipped = 1;
    let compared = 0;
    for (const isEqual of this.form.matchesFrom(index, step, value)) {
      if (compared++ >= atMost) break;
      if (isEqual && skipped++ >= Math.abs(rank)) found.push(index);
      if (found.length >= count) break;
      index += step;
    }
    return found;
  }

  /**
   * Removes values that equal one.
   * @param count how many: from the front when positive, from the end when negative, all when 0
   * @returns how many were removed
   */
  remove(value: Buffer, count: number): number {
    const search = { rank: count < 0 ? -1 : 1, count: count === 0 ? Number.POSITIVE_INFINITY : Math.abs(count) };
    const positions = this.positions(value, { ...search, atMost: Number.POSITIVE_INFINITY });
    if (this.isMost(positions.length)) {
      const removed = new Set(positions);
      this.replace([...this.values()].filter((_, index) => !removed.has(index)));
      return removed.size;
    }
    // From the end to the front, so that positions stay what they are.
    if (count >= 0) positions.reverse();
    for (const position of positions) this.form.removeRange(position, 1);
    return positions.length;
  }

  /** Keeps the values from one position up to another, both included. */
  trim(from: number, to: number): void {
    const kept = Math.max(0, Math.min(to, this.length - 1) - from + 1);
    if (this.isMost(this.length - kept)) {
      this.replace(this.take(from, 1, kept));
      return;
    }
    this.form.removeRange(from + kept, this.length - from - kept);
    this.form.removeRange(0, from);
  }

  /** As OBJECT ENCODING names it. */
  get encoding(): 'quicklist' {
    return 'quicklist';
  }

  /** Writes what was changed. Nothing of a body is to be relied on before. @param expiry what becomes of the key's */
  save(expiry: NewExpiry = 'keep'): void {
    this.form.save(expiry);
  }

  private take(from: number, step: 1 | -1, count: number): Buffer[] {
    const values: Buffer[] = [];
    if (count <= 0) return values;
    for (const value of this.form.walkFrom(from, step, count)) {
      values.push(value);
      if (values.length >= count) break;
    }
    return values;
  }

  private removeRange(from: number, count: number): void {
    if (!this.isMost(count)) this.form.removeRange(from, count);
    else if (from === 0) this.replace(this.take(count, 1, this.length));
    else this.replace(this.take(0, 1, from));
  }

  /** Whether writing what stays costs less than removing so many values. */
  private isMost(removed: number): boolean {
    if (!(this.form instanceof LargeList)) return false;
    return removed >= this.length || (removed * 2 > this.length && removed > this.place.access.bodyLimits.rebuildAbove);
  }

  private replace(values: readonly Buffer[]): void {
    this.form = new PackedList(this.place, this.form.bits);
    this.form.insertAt(0, values);
  }
}

/** The list of a key, without values when the key does not exist. @throws RedisError WRONGTYPE */
export const openList = (access: BodyAccess, userKey: Buffer): ListBody => new ListBody(access, userKey, false);

/** A list without values that replaces whatever the key holds when it is saved, expiry and all. */
export const newList = (access: BodyAccess, userKey: Buffer): ListBody => new ListBody(access, userKey, true);
