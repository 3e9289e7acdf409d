/**
 * When the elements of a large hash expire: a counted tree with a key for each element that does, in the order of time.
 *
 *   key  unix time in milliseconds (6 bytes, big endian)  name
 *
 * What has expired at a timestamp is the beginning of the tree. How much that is takes one descent, so the hash knows how many of its elements are
 * there without a purge; and a writer finds what is to be purged.
 */
import { assert, type Millis } from '../../../../platform/index.ts';
import { type BodyLimits, type BodyRows, Cells, type RowNumbers } from '../rows/index.ts';
import { CountedTree, PageStore, type TreeState } from '../tree/index.ts';

/** What a head says of its elements' expiries. */
export interface StoredExpiries {
  /** How many elements have one. */
  readonly count: number;
  /** The earliest. */
  readonly firstMs: Millis;
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

/** The time in a key. */
export const timeIn = (key: Buffer): Millis => key.readUIntBE(0, TIME_BYTES);
/** The name in a key, a view. */
export const nameIn = (key: Buffer): Buffer => key.subarray(TIME_BYTES);

/** See above. Pages are written by `save`. */
export class ElementExpiries {
  private readonly state: TreeState;
  private readonly pages: PageStore;
  private readonly cells: Cells;
  private readonly tree: CountedTree;
  /** Undefined when it has to be looked up. */
  private first: Millis | undefined;

  constructor(stored: StoredExpiries, rows: BodyRows, numbers: RowNumbers, limits: BodyLimits) {
    this.state = stored.tree;
    this.first = stored.count === 0 ? undefined : stored.firstMs;
    this.pages = new PageStore(rows, numbers, true);
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

  /** Elements that have expired, the earliest first. Nothing must be changed meanwhile. */
  *dueNames(nowMs: Millis): Generator<Buffer> {
    for (const cell of this.tree.walkFrom(0, 1)) {
      const key = this.cells.bytesOf(cell);
      if (timeIn(key) > nowMs) return;
      yield nameIn(key);
    }
  }

  save(): void {
    this.pages.save();
  }

  /** What the head is to say; undefined when nothing expires any more. @param next of the body */
  toStore(next: number): StoredExpiries | undefined {
    return this.count === 0 ? undefined : { count: this.count, firstMs: this.firstMs, tree: { ...this.state, next } };
  }
}
