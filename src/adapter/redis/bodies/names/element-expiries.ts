/**
 * When the elements of a large hash expire: a counted tree with a key for each element that does, in the order of time.
 *
 *   key  unix time in milliseconds (6 bytes, big endian)  name
 *
 * What has expired at a timestamp is the beginning of the tree. How much that is takes one descent, so the hash knows how many of its elements are
 * there without a purge; and a writer finds what is to be purged.
 *
 * A hash that nobody writes to any more has an alarm: a row that expires some time after its first element. The leader of the key, which looks for
 * expired rows all the time, then purges the hash. An alarm that rings too early does no harm, so it is seldom written.
 */
import { assert, type Millis, timestampOfMs } from '../../../../platform/index.ts';
import { ALARM_VALUE, alarmKeyOf, type BodyLimits, type BodyRows, Cells, type RowNumbers } from '../rows/index.ts';
import { CountedTree, PageStore, type TreeState } from '../tree/index.ts';
import { NO_EXPIRY } from './named-form.ts';

/** What a head says of its elements' expiries. */
export interface StoredExpiries {
  /** How many elements have one. */
  readonly count: number;
  /** The earliest. */
  readonly firstMs: Millis;
  /** When the alarm rings; `NO_EXPIRY` when there is none. */
  readonly alarmMs: Millis;
  /** Its next number is that of the body. */
  readonly tree: TreeState;
}

const TIME_BYTES = 6;

function keyOf(expireMs: Millis, name: Buffer): Buffer {
  const key = Buffer.allocUnsafe(TIME_BYTES + name.length);
  key.writeUIntBE(expireMs, 0, TIME_BYTES);
  name.copy(key, TIME_BYTES);
  return key;
}

const NO_NAME = Buffer.alloc(0);

/** How long after its first element has expired a hash is purged, at least, and half of how long at most. */
const ALARM_SLACK_MS = 60_000;
/** The time in a key. */
export const timeIn = (key: Buffer): Millis => key.readUIntBE(0, TIME_BYTES);
/** The name in a key, a view. */
export const nameIn = (key: Buffer): Buffer => key.subarray(TIME_BYTES);

/** See above. Pages are written by `save`. */
export class ElementExpiries {
  private readonly rows: BodyRows;
  private readonly state: TreeState;
  private readonly pages: PageStore;
  private readonly cells: Cells;
  private readonly tree: CountedTree;
  /** Undefined when it has to be looked up. */
  private first: Millis | undefined;
  private alarmMs: Millis;

  constructor(stored: StoredExpiries, rows: BodyRows, numbers: RowNumbers, limits: BodyLimits) {
    this.rows = rows;
    this.state = stored.tree;
    this.alarmMs = stored.alarmMs;
    this.first = stored.count === 0 ? undefined : stored.firstMs;
    this.pages = new PageStore(rows, stored.tree, numbers, true);
    this.cells = new Cells(rows, numbers, limits, true);
    this.tree = new CountedTree(stored.tree, stored.count, this.pages, this.cells, limits);
  }

  /** How many elements have an expiry, those that have expired among them. */
  get count(): number {
    return this.tree.count;
  }

  /** The earliest; there must be one. */
  get firstMs(): Millis {
    this.first ??= timeIn(this.cells.bytesOf(this.tree.at(0)));
    return this.first;
  }

  /** The latest; there must be one. */
  get lastMs(): Millis {
    return timeIn(this.cells.bytesOf(this.tree.at(this.count - 1)));
  }

  /** Says that these expiries are about to be added or removed. */
  prefetch(expiring: readonly { readonly name: Buffer; readonly expireMs: Millis }[]): void {
    this.tree.prefetchKeys(expiring.map(({ name, expireMs }) => keyOf(expireMs, name)));
  }

  add(name: Buffer, expireMs: Millis): void {
    if (this.count === 0) this.first = expireMs;
    else if (this.first !== undefined) this.first = Math.min(this.first, expireMs);
    this.tree.insertKey(keyOf(expireMs, name));
  }

  remove(name: Buffer, expireMs: Millis): void {
    assert(this.tree.removeKey(keyOf(expireMs, name)), 'every expiry of an element is in the tree');
    if (expireMs === this.first) this.first = undefined;
  }

  /** How many elements have expired. */
  dueAt(nowMs: Millis): number {
    return this.count === 0 || this.firstMs > nowMs ? 0 : this.tree.rankOf(keyOf(nowMs + 1, NO_NAME));
  }

  /** Elements that have expired, the earliest first, so many at most. Nothing must be changed meanwhile. */
  *dueNames(nowMs: Millis, atMost = Number.POSITIVE_INFINITY): Generator<Buffer> {
    const count = Math.min(this.dueAt(nowMs), atMost);
    let left = count;
    for (const key of this.cells.bytesOfEach(this.tree.walkFrom(0, 1, count), count)) {
      if (left-- === 0) return;
      yield nameIn(key);
    }
  }

  save(): void {
    this.pages.save();
  }

  /**
   * Sees to it that the alarm rings in time. Where the hash ends by itself by then, none is needed.
   * @param endMs when that is, `NO_EXPIRY` for never
   * @param slackMs how long it may take from the first expiry on
   */
  setAlarm(nowMs: Millis, endMs: Millis, slackMs: Millis = ALARM_SLACK_MS): void {
    const firstMs = Math.max(this.firstMs, nowMs);
    const latestMs = firstMs + 2 * slackMs;
    const isSet = this.alarmMs > nowMs && this.alarmMs <= latestMs;
    if (isSet || (endMs !== NO_EXPIRY && endMs <= latestMs)) return;
    this.alarmMs = firstMs + slackMs;
    this.rows.put(alarmKeyOf(this.rows), ALARM_VALUE, timestampOfMs(this.alarmMs));
  }

  /** Takes the alarm away. */
  clearAlarm(): void {
    if (this.alarmMs !== NO_EXPIRY) this.rows.delete(alarmKeyOf(this.rows));
    this.alarmMs = NO_EXPIRY;
  }

  /** What the head is to say; undefined when nothing expires any more. @param next of the body */
  toStore(next: number): StoredExpiries | undefined {
    const { count, alarmMs, state } = this;
    return count === 0 ? undefined : { count, firstMs: this.firstMs, alarmMs, tree: { ...state, next } };
  }
}
