/** Pages of one tree while a command works with it: each is read once, and written once, by `save`. */
import { assert } from '../../../../platform/index.ts';
import { type BodyRows, type Cell, RowKind, type RowNumbers } from '../rows/index.ts';
import { cellsInLeaf, decodeCounts, decodeInner, encodeCounts, encodeInner, Inner, isLeafRow, Leaf } from './page.ts';
import type { TreeState } from './tree-state.ts';

/** Whoever changes a page says so with one of the `touch` methods. */
export class PageStore {
  readonly isOrdered: boolean;
  private readonly rows: BodyRows;
  private readonly state: TreeState;
  private readonly numbers: RowNumbers;
  private readonly leaves = new Map<number, Leaf>();
  private readonly inners = new Map<number, Inner>();
  private readonly changedLeaves = new Set<Leaf>();
  private readonly changedInners = new Set<Inner>();
  private readonly changedCounts = new Set<Inner>();

  /** @param numbers where new pages get their numbers from: the state, or that of the body which the tree is a part of */
  constructor(rows: BodyRows, state: TreeState, numbers: RowNumbers, isOrdered: boolean) {
    this.rows = rows;
    this.state = state;
    this.numbers = numbers;
    this.isOrdered = isOrdered;
  }

  /** Whether it is worth saying which pages will be read. */
  get isAfar(): boolean {
    return this.rows.isAfar;
  }

  /** Says that pages are about to be read. */
  prefetch(numbers: readonly number[]): void {
    this.rows.prefetch(() =>
      numbers
        .filter((number) => number !== 0 && !this.leaves.has(number) && !this.inners.has(number))
        .map((number) => this.rows.numberedKey(RowKind.TreePage, number)),
    );
  }

  /** A leaf that may be changed. */
  leaf(number: number): Leaf {
    return this.keep(this.peekLeaf(number));
  }

  /** Makes a leaf that was only looked at one that may be changed. */
  keep(leaf: Leaf): Leaf {
    this.leaves.set(leaf.number, leaf);
    return leaf;
  }

  /** A leaf that is only looked at, and not kept: a walk through a large body must not hold all of it. */
  peekLeaf(number: number): Leaf {
    return this.leaves.get(number) ?? Leaf.decode(number, this.row(RowKind.TreePage, number));
  }

  /** A leaf by a number that came from outside; undefined when there is none. */
  findLeaf(number: number): Leaf | undefined {
    const known = this.leaves.get(number);
    if (known !== undefined || number >= this.numbers.next) return known;
    const row = this.rows.get(this.rows.numberedKey(RowKind.TreePage, number));
    return row !== undefined && isLeafRow(row) ? Leaf.decode(number, row) : undefined;
  }

  cellsIn(number: number): number {
    return this.leaves.get(number)?.size ?? cellsInLeaf(this.row(RowKind.TreePage, number));
  }

  inner(number: number): Inner {
    let page = this.inners.get(number);
    if (page === undefined) {
      page = decodeInner(number, this.row(RowKind.TreePage, number), this.isOrdered);
      this.inners.set(number, page);
    }
    return page;
  }

  /** The counts of a page whose level counts. */
  counts(page: Inner): number[] {
    if (page.counts !== undefined) return page.counts;
    if (this.isRoot(page)) page.counts = [...this.state.rootCounts];
    else {
      page.storedCounts = this.row(RowKind.TreeCounts, page.number);
      page.counts = decodeCounts(page.storedCounts);
    }
    return page.counts;
  }

  newLeaf(cells: Cell[]): Leaf {
    const leaf = Leaf.of(this.numbers.next++, cells);
    this.leaves.set(leaf.number, leaf);
    this.touchLeaf(leaf);
    return leaf;
  }

  newInner(level: number, children: number[], separators: Cell[], counts: number[] | undefined): Inner {
    const page = Inner.of(this.numbers.next++, level, children, separators, counts);
    this.inners.set(page.number, page);
    this.touchInner(page);
    if (counts !== undefined) this.touchCounts(page);
    return page;
  }

  touchLeaf(leaf: Leaf): void {
    this.changedLeaves.add(leaf);
  }

  /** Children or separators have changed. */
  touchInner(page: Inner): void {
    this.changedInners.add(page);
  }

  touchCounts(page: Inner): void {
    if (this.isOrdered) this.changedCounts.add(page);
    else this.changedInners.add(page);
  }

  dropLeaf(leaf: Leaf): void {
    this.leaves.delete(leaf.number);
    this.changedLeaves.delete(leaf);
    if (leaf.isStored) this.rows.delete(this.rows.numberedKey(RowKind.TreePage, leaf.number));
  }

  /**
   * The page is about to be the root, and its counts go into the head.
   * @param isCounting whether its level counts
   */
  raise(page: Inner, isCounting: boolean): void {
    if (!isCounting || !this.isOrdered) return;
    this.counts(page);
    this.touchCounts(page);
  }

  /** Before another page is the root, when this one is. @param isCounting whether the page's level counts */
  dropInner(page: Inner, isCounting: boolean): void {
    this.inners.delete(page.number);
    this.changedInners.delete(page);
    this.changedCounts.delete(page);
    if (!page.isStored) return;
    this.rows.delete(this.rows.numberedKey(RowKind.TreePage, page.number));
    if (isCounting && this.isOrdered && (!this.isRoot(page) || page.storedCounts !== undefined)) this.dropCounts(page);
  }

  private isRoot(page: Inner): boolean {
    return page.number === this.state.root;
  }

  private dropCounts(page: Inner): void {
    page.storedCounts = undefined;
    this.rows.delete(this.rows.numberedKey(RowKind.TreeCounts, page.number));
  }

  /** Writes what was changed, all but the state. */
  save(): void {
    for (const leaf of this.changedLeaves) this.put(RowKind.TreePage, leaf, leaf.row());
    for (const page of this.changedInners) this.put(RowKind.TreePage, page, encodeInner(page, this.isOrdered));
    for (const page of this.changedCounts) {
      if (this.isRoot(page)) {
        this.state.rootCounts = page.counts!;
        if (page.storedCounts !== undefined) this.dropCounts(page);
        continue;
      }
      // Above where the ways of a removed and an added element meet, counts are what they were.
      const row = encodeCounts(page.counts!);
      if (page.storedCounts?.equals(row)) continue;
      page.storedCounts = row;
      this.put(RowKind.TreeCounts, page, row);
    }
    this.changedLeaves.clear();
    this.changedInners.clear();
    this.changedCounts.clear();
  }

  private put(kind: RowKind, page: Leaf | Inner, row: Buffer): void {
    page.isStored = true;
    this.rows.put(this.rows.numberedKey(kind, page.number), row);
  }

  private row(kind: RowKind, number: number): Buffer {
    const row = this.rows.get(this.rows.numberedKey(kind, number));
    assert(row !== undefined, 'a page of a tree is missing');
    return row;
  }
}
