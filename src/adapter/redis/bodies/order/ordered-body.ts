/** Sorted sets. */
import { finish } from '../../../../platform/index.ts';
import { ValueForm } from '../../keys/index.ts';
import { ValueType } from '../../values/index.ts';
import { type BodyAccess, BodyBit, HeadPlace, type NewExpiry, readHead } from '../rows/index.ts';
import { LargeOrder } from './large-order.ts';
import type { OrderForm } from './order-form.ts';
import { PackedOrder } from './packed-order.ts';
import {
  isAtLeast,
  isAtMost,
  type KeyWindow,
  type LexRange,
  lexWindow,
  type OrderedRange,
  scoreWindow,
} from './ranges.ts';
import { memberOf, orderKey, scoreOf } from './score.ts';

/** Looking for more elements at random, one after the other, takes too many rounds where pages come from afar. */
const MANY_DRAWS = 16;

export interface ScoredMember {
  readonly member: Buffer;
  readonly score: number;
}

/** Which elements of a range are wanted. */
export interface RangeOptions {
  /** From the highest to the lowest; positions of a range by rank are counted from the highest then. */
  readonly isReverse?: boolean;
  /** How many to leave out at the beginning. */
  readonly offset?: number;
  /** Most elements. */
  readonly limit?: number;
}

const scored = (key: Buffer): ScoredMember => ({ member: memberOf(key), score: scoreOf(key) });

/**
 * A sorted set, in whichever form. Changes are to be saved before anybody else looks at the key, and a command opens a key once. Scores are
 * numbers, infinite ones among them; -0 is kept as 0. Buffers that it returns are views and must not be modified; those that it is given must
 * not be modified before it is saved.
 */
export class OrderedBody {
  private form: OrderForm;
  private readonly place: HeadPlace;

  /** @param isNew true for a body without elements that replaces whatever the key holds, false for the one that the key holds */
  constructor(access: BodyAccess, userKey: Buffer, isNew: boolean) {
    const before = isNew ? undefined : readHead(access, userKey, ValueType.ZSet);
    this.place = new HeadPlace(access, access.storageKey(userKey), ValueType.ZSet, before);
    const { place } = this;
    if (before?.head.form === ValueForm.Large) this.form = new LargeOrder(place, before.head, place.bits);
    else if (isNew) this.form = new PackedOrder(place, 0);
    else this.form = new PackedOrder(place, place.bits, before?.head.elements ?? Buffer.alloc(0));
  }

  /** Number of members; a key without members does not exist. */
  get size(): number {
    return this.form.count;
  }

  /** Says that these members are about to be looked at: where rows come from afar, theirs come together. */
  prefetch(members: readonly Buffer[]): void {
    if (this.place.isAfar) this.form.prefetch(members);
  }

  /** Says that these members are about to be given scores. */
  prefetchChanges(changes: readonly ScoredMember[]): void {
    if (!this.place.isAfar) return;
    const members = changes.map(({ member }) => member);
    this.form.prefetch(members);
    const before = members.flatMap((member) => this.form.keyOf(member) ?? []);
    this.form.prefetchKeys([...before, ...changes.map(({ member, score }) => orderKey(score, member))]);
  }

  /** Says that these members are about to be removed. */
  prefetchRemovals(members: readonly Buffer[]): void {
    if (!this.place.isAfar) return;
    this.form.prefetch(members);
    this.form.prefetchKeys(members.flatMap((member) => this.form.keyOf(member) ?? []));
  }

  score(member: Buffer): number | undefined {
    const key = this.form.keyOf(member);
    return key === undefined ? undefined : scoreOf(key);
  }

  /** Gives a member a score, which must not be NaN. */
  set(member: Buffer, score: number): 'added' | 'changed' | 'same' {
    return this.change(member, () => score)!;
  }

  /**
   * Gives a member a score that depends on the one it has.
   * @param scoreAfter gets the score, undefined when the member is not there, and answers a number or, to leave everything as it is, undefined
   */
  change(
    member: Buffer,
    scoreAfter: (score: number | undefined) => number | undefined,
  ): 'added' | 'changed' | 'same' | undefined {
    const before = this.form.keyOf(member);
    const score = scoreAfter(before === undefined ? undefined : scoreOf(before));
    if (score === undefined) return undefined;
    const key = orderKey(score, member);
    if (before?.equals(key)) return 'same';
    if (before !== undefined) {
      this.form.move(member, before, key);
      return 'changed';
    }
    this.form.add(member, key);
    const { orderMembers, orderBytes } = this.place.access.encodings;
    if (member.length > orderBytes) this.form.bits |= BodyBit.LongElement;
    if (this.size > orderMembers) this.form.bits |= BodyBit.Many;
    return 'added';
  }

  /** @returns how many of the members were there */
  delete(members: readonly Buffer[]): number {
    return finish(this.deleteInParts(members));
  }

  /** The same, with a stop wherever others may have their turn. The body is saved afterwards. */
  *deleteInParts(members: readonly Buffer[]): Generator<void, number> {
    if (this.isMost(members.length)) {
      const present = new Set<string>();
      for (const member of members) {
        if (this.form.keyOf(member) !== undefined) present.add(latin1(member));
        yield;
      }
      if (this.isMost(present.size)) {
        const { size } = this;
        this.replace(present.size === size ? [] : this.keysWithout(present));
        return present.size;
      }
    }
    let deleted = 0;
    for (const member of members) {
      const key = this.form.keyOf(member);
      if (key !== undefined) {
        this.form.remove(member, key);
        deleted++;
      }
      yield;
    }
    return deleted;
  }

  /** The position of a member, from the lowest or from the highest; undefined when it is not there. */
  rank(member: Buffer, isReverse = false): number | undefined {
    const key = this.form.keyOf(member);
    if (key === undefined) return undefined;
    const rank = this.form.rankOf(key);
    return isReverse ? this.size - 1 - rank : rank;
  }

  /** The elements of a range. Nothing must be changed meanwhile. */
  *range(range: OrderedRange, options: RangeOptions = {}): Generator<ScoredMember> {
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    if (left <= 0) return;
    for (const key of this.keysIn(range, options)) {
      yield scored(key);
      if (--left <= 0) return;
    }
  }

  /** How many elements a range has. */
  count(range: OrderedRange): number {
    return this.positionsOf(range).count;
  }

  /** Removes the elements of a range. @returns how many there were */
  removeRange(range: OrderedRange): number {
    const { from, count } = this.positionsOf(range);
    this.removePositions(from, count);
    return count;
  }

  /** Removes up to `count` elements from the lowest on. */
  popMin(count: number): ScoredMember[] {
    const popped = this.take(0, 1, count);
    this.removePositions(0, popped.length);
    return popped;
  }

  /** Removes up to `count` elements from the highest on. */
  popMax(count: number): ScoredMember[] {
    const popped = this.take(this.size - 1, -1, count);
    this.removePositions(this.size - popped.length, popped.length);
    return popped;
  }

  /** All elements from the lowest to the highest. */
  *entries(): Generator<ScoredMember> {
    for (const key of this.form.walkFrom(0, 1, this.size)) yield scored(key);
  }

  /** One element, each with the same chance; undefined when there is none. */
  random(): ScoredMember | undefined {
    return this.size === 0 ? undefined : this.at(this.place.access.random.int(this.size));
  }

  /** Elements that may be the same, each drawn for itself. */
  randomRepeated(count: number): ScoredMember[] {
    const { random } = this.place.access;
    const { size } = this;
    if (size === 0) return [];
    if (count >= MANY_DRAWS) this.form.prefetchAll();
    const all = count * 3 > size ? [...this.entries()] : undefined;
    return Array.from({ length: count }, () => all?.[random.int(size)] ?? this.at(random.int(size)));
  }

  /** Different elements, each choice of `count` with the same chance, in random order; all of them when there are not more. */
  randomDistinct(count: number): ScoredMember[] {
    const { random } = this.place.access;
    const { size } = this;
    if (count * 3 <= size) {
      const positions = new Set<number>();
      while (positions.size < count) positions.add(random.int(size));
      if (count >= MANY_DRAWS) this.form.prefetchAll();
      return [...positions].map((position) => this.at(position));
    }
    const all = [...this.entries()];
    const chosen = Math.min(count, size);
    for (let index = 0; index < chosen; index++) {
      const other = index + random.int(size - index);
      [all[index], all[other]] = [all[other]!, all[index]!];
    }
    all.length = chosen;
    return all;
  }

  /**
   * A part of all elements and the cursor to go on with. Members that are there from the first call with cursor 0 to the one that answers cursor
   * 0 are returned, some perhaps twice, but for those whose score is lowered meanwhile: a scan goes from low scores to high ones.
   * @param cursor 0 or what a call answered; anything else is harmless
   */
  scan(cursor: number, atLeast: number): { readonly cursor: number; readonly entries: readonly ScoredMember[] } {
    const part = this.form.scan(cursor, atLeast);
    return { cursor: part.cursor, entries: part.keys.map(scored) };
  }

  /** As OBJECT ENCODING names it. */
  get encoding(): 'listpack' | 'skiplist' {
    return (this.form.bits & (BodyBit.LongElement | BodyBit.Many)) === 0 ? 'listpack' : 'skiplist';
  }

  /** Writes what was changed. Nothing of a body is to be relied on before. @param expiry what becomes of the key's */
  save(expiry: NewExpiry = 'keep'): void {
    this.form.save(expiry);
  }

  private at(position: number): ScoredMember {
    return this.take(position, 1, 1)[0]!;
  }

  private take(from: number, step: 1 | -1, count: number): ScoredMember[] {
    const taken: ScoredMember[] = [];
    if (count <= 0) return taken;
    for (const key of this.form.walkFrom(from, step, count)) {
      taken.push(scored(key));
      if (taken.length >= count) break;
    }
    return taken;
  }

  private *keysIn(range: OrderedRange, { isReverse = false, offset = 0, limit }: RangeOptions): Generator<Buffer> {
    const step = isReverse ? -1 : 1;
    const window = this.windowOf(range);
    if (window === undefined) {
      const { from, count } = this.positionsOf(range, isReverse);
      let left = count - offset;
      for (const key of left <= 0
        ? []
        : this.form.walkFrom(isReverse ? from + count - 1 - offset : from + offset, step, left)) {
        yield key;
        if (--left <= 0) return;
      }
      return;
    }
    const { lower, upper } = window;
    const start = isReverse ? upper : lower;
    let keys = offset === 0 ? this.form.walkFromKey(start, step, limit) : undefined;
    keys ??= this.form.walkFrom(
      isReverse ? this.form.rankOf(start) - 1 - offset : this.form.rankOf(start) + offset,
      step,
      limit,
    );
    for (const key of keys) {
      if (isReverse ? Buffer.compare(key, lower) < 0 : Buffer.compare(key, upper) >= 0) return;
      yield key;
    }
  }

  /** The keys that a range begins and ends with; undefined when it is one of positions. */
  private windowOf(range: OrderedRange): KeyWindow | undefined {
    if (range.by === 'score') return scoreWindow(range);
    if (range.by === 'rank' || this.size === 0) return undefined;
    const [lowest, highest] = [this.at(0), this.at(this.size - 1)];
    return lowest.score === highest.score ? lexWindow(range, lowest.score) : undefined;
  }

  /** Positions from the lowest element that a range has. */
  private positionsOf(range: OrderedRange, isReverse = false): { from: number; count: number } {
    const window = this.windowOf(range);
    if (window !== undefined) {
      const from = this.form.rankOf(window.lower);
      return { from, count: Math.max(0, this.form.rankOf(window.upper) - from) };
    }
    if (range.by === 'lex') return this.mixedLexPositions(range, isReverse);
    const { from, to } = range.by === 'rank' ? range : { from: 0, to: -1 };
    const [first, last] = [Math.max(0, from), Math.min(to, this.size - 1)];
    const count = Math.max(0, last - first + 1);
    return { from: isReverse ? this.size - first - count : first, count };
  }

  /**
   * A range of members where scores differ has no meaning. It is what Redis makes of it in a small set: the members from the first one that is
   * not before the lower end, up to the next one that is behind the upper end.
   */
  private mixedLexPositions({ min, max }: LexRange, isReverse: boolean): { from: number; count: number } {
    const keys = [...this.form.walkFrom(0, 1, this.size)].map(memberOf);
    const nothing = { from: 0, count: 0 };
    if (keys.length === 0 || !isAtLeast(keys.at(-1)!, min) || !isAtMost(keys[0]!, max)) return nothing;
    if (isReverse) {
      const to = keys.findLastIndex((member) => isAtMost(member, max));
      let from = to;
      while (from >= 0 && isAtLeast(keys[from]!, min)) from--;
      return { from: from + 1, count: to - from };
    }
    const from = keys.findIndex((member) => isAtLeast(member, min));
    let to = from;
    while (to < keys.length && isAtMost(keys[to]!, max)) to++;
    return { from, count: to - from };
  }

  private removePositions(from: number, count: number): void {
    if (!this.isMost(count)) {
      this.form.removeRange(from, count);
      return;
    }
    // What is behind the removed part is reached by its position: the part itself is not read.
    const kept = from === 0 ? [] : this.keysBefore(from);
    for (const key of this.form.walkFrom(from + count, 1, this.size)) kept.push(key);
    this.replace(kept);
  }

  private keysBefore(position: number): Buffer[] {
    const keys: Buffer[] = [];
    for (const key of this.form.walkFrom(0, 1, position)) if (keys.push(key) >= position) break;
    return keys;
  }

  private *keysWithout(members: ReadonlySet<string>): Generator<Buffer> {
    for (const key of this.form.walkFrom(0, 1, this.size)) if (!members.has(latin1(memberOf(key)))) yield key;
  }

  /** Whether writing what stays costs less than removing so many elements. */
  private isMost(removed: number): boolean {
    if (!(this.form instanceof LargeOrder)) return false;
    return removed >= this.size || (removed * 2 > this.size && removed > this.place.access.bodyLimits.rebuildAbove);
  }

  private replace(keys: Iterable<Buffer>): void {
    const nextNumber = this.form instanceof LargeOrder ? this.form.nextNumber : 1;
    const form = new PackedOrder(this.place, this.form.bits, undefined, nextNumber);
    for (const key of keys) form.add(memberOf(key), key);
    this.form = form;
  }
}

const latin1 = (bytes: Buffer): string => bytes.toString('latin1');

/** The sorted set of a key, without members when the key does not exist. @throws RedisError WRONGTYPE */
export const openOrdered = (access: BodyAccess, userKey: Buffer): OrderedBody =>
  new OrderedBody(access, userKey, false);

/** A sorted set without members that replaces whatever the key holds when it is saved, expiry and all. */
export const newOrdered = (access: BodyAccess, userKey: Buffer): OrderedBody => new OrderedBody(access, userKey, true);
