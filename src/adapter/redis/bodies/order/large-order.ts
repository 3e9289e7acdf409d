/**
 * A sorted set with a row for each member and its keys in a counted tree.
 *
 *   element  flags (u8)  score (8 bytes, as in the key)
 *
 * Pages and the head are written by `save`, elements at once.
 */
import { assert } from '../../../../platform/index.ts';
import { writtenLater } from '../../values/index.ts';
import type { HeadPlace, LargeHead } from '../rows/index.ts';
import { emptyTreeHead, TreeBody } from '../tree/index.ts';
import type { KeyScan, OrderForm } from './order-form.ts';
import { memberOf, SCORE_BYTES } from './score.ts';

/** A reader refuses flags that it does not know. */
const NO_FLAGS = 0;

/** The score in an element's row, as it is in the key. @throws RedisError when a later program wrote it */
export function scoreBytesIn(row: Buffer): Buffer {
  if (row[0] !== NO_FLAGS) throw writtenLater();
  assert(row.length === 1 + SCORE_BYTES, 'a member has a score');
  return row.subarray(1);
}

/** See above. */
export class LargeOrder extends TreeBody implements OrderForm {
  constructor(place: HeadPlace, head: LargeHead, bits: number) {
    super(place, head, bits, true);
  }

  /**
   * @param keys in order
   * @param nextNumber first number that a row may have
   */
  static create(
    place: HeadPlace,
    incarnation: Buffer,
    bits: number,
    keys: readonly Buffer[],
    nextNumber: number,
  ): LargeOrder {
    const { countLevel } = place.access.bodyLimits;
    const head = emptyTreeHead(place, { incarnation, bits, countLevel, nextNumber, isOrdered: true });
    const order = new LargeOrder(place, head, bits);
    for (const key of keys) order.putElement(memberOf(key), key);
    order.tree.fill(keys.map((key) => order.cells.make(key)));
    return order;
  }

  /** First number that no row of the body has had. */
  get nextNumber(): number {
    return this.state.next;
  }

  prefetch(members: readonly Buffer[]): void {
    const { rows } = this;
    rows.prefetch(() => members.map((member) => rows.elementKey(member)));
  }

  prefetchKeys(keys: readonly Buffer[]): void {
    this.tree.prefetchKeys(keys);
  }

  prefetchAll(): void {
    this.tree.prefetchAll();
  }

  keyOf(member: Buffer): Buffer | undefined {
    const row = this.rows.get(this.rows.elementKey(member));
    return row === undefined ? undefined : Buffer.concat([scoreBytesIn(row), member]);
  }

  add(member: Buffer, key: Buffer): void {
    this.putElement(member, key);
    this.tree.insertKey(key);
  }

  move(member: Buffer, from: Buffer, to: Buffer): void {
    this.takeKey(from);
    this.add(member, to);
  }

  remove(member: Buffer, key: Buffer): void {
    this.rows.delete(this.rows.elementKey(member));
    this.takeKey(key);
  }

  rankOf(key: Buffer): number {
    return this.tree.rankOf(key);
  }

  walkFromKey(key: Buffer, step: 1 | -1, atMost?: number): Iterable<Buffer> {
    return this.cells.bytesOfEach(this.tree.walkFromKey(key, step, atMost), atMost);
  }

  removeRange(from: number, count: number): void {
    let left = count;
    for (const key of this.walkFrom(from, 1, count)) {
      if (left-- <= 0) break;
      this.rows.delete(this.rows.elementKey(memberOf(key)));
    }
    this.tree.removeRange(from, count);
  }

  /**
   * Leaf by leaf in order. The cursor is the number of the next leaf: numbers are never used again, so a leaf that is gone is noticed, and the
   * scan begins again.
   */
  scan(cursor: number, atLeast: number): KeyScan {
    const keys: Buffer[] = [];
    for (const leaf of this.tree.leavesFrom(cursor)) {
      if (keys.length > 0 && keys.length >= atLeast) return { cursor: leaf.number, keys };
      for (const cell of leaf.cells) keys.push(this.cells.bytesOf(cell));
    }
    return { cursor: 0, keys };
  }

  private putElement(member: Buffer, key: Buffer): void {
    const row = Buffer.allocUnsafe(1 + SCORE_BYTES);
    row[0] = NO_FLAGS;
    key.copy(row, 1, 0, SCORE_BYTES);
    this.rows.put(this.rows.elementKey(member), row);
  }

  private takeKey(key: Buffer): void {
    assert(this.tree.removeKey(key), 'the key of every member is in the tree');
  }
}
