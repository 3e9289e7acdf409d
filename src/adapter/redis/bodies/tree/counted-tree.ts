/**
 * A sequence of any length in pages of bounded size, in the order of its keys or in the order in which it was put together.
 *
 * It is a B+tree that knows how many elements are below the children of its pages, so that positions and ranks need one descent. Two things are
 * unusual. The first and the last leaf are fingers: they are outside the tree, and the head has their numbers. A push or a pop at an end changes
 * one leaf and the head; only a full leaf goes into the tree, and only when a finger is used up another leaf comes out. And in an ordered tree
 * the pages right above the leaves do not count, so that an insert somewhere writes its leaf and short rows of counts; a rank then reads half of
 * the leaves below one page at most.
 *
 * A page that is too large is cut in the middle, at an end behind the full page. A page below a quarter is joined with a neighbour below the
 * same parent when both fit into three quarters. Fingers may be as small as they like. While there is a tree there are both fingers.
 */
import { assert } from '../../../../platform/index.ts';
import { type BodyLimits, type Cell, type Cells, cellBytes, NO_CELL } from '../rows/index.ts';
import { childSize, type Inner, innerSize, type Leaf, leafSize, sumOf } from './page.ts';
import type { PageStore } from './page-store.ts';
import { type Place, type Step, TreeReader } from './tree-reader.ts';
import { type End, FIRST, LAST, type TreeState } from './tree-state.ts';

/** Where a page that has become too large is cut: behind what was there, before it, or in the middle. */
type Cut = 'middle' | 'keepLeft' | 'keepRight';

/** Most bytes in front of the children of a page: level, and number of children. */
const INNER_HEADER_BYTES = 3;

/** Changes a tree. Pages are written by `PageStore.save`; the state is part of the head. */
export class CountedTree extends TreeReader {
  private readonly limits: BodyLimits;

  constructor(state: TreeState, count: number, pages: PageStore, cells: Cells, limits: BodyLimits) {
    super(state, count, pages, cells);
    this.limits = limits;
  }

  /** Puts an element into a tree without keys, in front of the one at `index` or at the end. */
  insertAt(index: number, cell: Cell): void {
    assert(index >= 0 && index <= this.count, 'a position is within the elements or behind them');
    if (index === 0) this.push(FIRST, cell);
    else if (index === this.count) this.push(LAST, cell);
    else this.put(this.placeAt(index), cell);
  }

  /** Puts a key, which must be new, into an ordered tree. */
  insertKey(key: Buffer): void {
    const cell = this.cells.make(key);
    if (this.count === 0) {
      this.push(FIRST, cell);
      return;
    }
    const place = this.placeOf(key);
    if (place.part === 'first' && place.at === 0) this.push(FIRST, cell);
    else if (place.part === 'last' && place.at === place.leaf.size) this.push(LAST, cell);
    else this.put(place, cell);
  }

  /** @returns false when the key is not there */
  removeKey(key: Buffer): boolean {
    if (this.count === 0) return false;
    const place = this.placeOf(key);
    const { leaf, at } = place;
    if (at >= leaf.size || !this.cells.equals(key, leaf.cellAt(at))) return false;
    this.cut(place, 1);
    return true;
  }

  /**
   * Removes the element of an ordered tree that begins with a prefix.
   * @returns its bytes; undefined when there is none
   */
  removeWith(prefix: Buffer): Buffer | undefined {
    const found = this.placeWith(prefix);
    if (found !== undefined) this.cut(found.place, 1);
    return found?.bytes;
  }

  /**
   * Puts another element into the place of the one that begins with a prefix, as it does itself. No other element may begin so.
   * @returns false when there is none
   */
  replaceWith(prefix: Buffer, key: Buffer): boolean {
    const found = this.placeWith(prefix);
    if (found !== undefined) this.replace(found.place, this.cells.make(key));
    return found !== undefined;
  }

  /** Puts another element into the place of one. */
  replaceAt(index: number, cell: Cell): void {
    this.replace(this.placeAt(index), cell);
  }

  private replace(place: Place, cell: Cell): void {
    const leaf = this.pages.keep(place.leaf);
    this.cells.free(leaf.cellAt(place.at));
    leaf.splice(place.at, 1, [cell]);
    this.pages.touchLeaf(leaf);
    this.fitLeaf(place, leaf);
  }

  /** Removes the elements from one position on, leaf by leaf. */
  removeRange(from: number, count: number): void {
    for (let left = count; left > 0; ) left -= this.cut(this.placeAt(from), left);
  }

  /** Fills a tree without elements. */
  fill(cells: Iterable<Cell>): void {
    assert(this.count === 0, 'only an empty tree is filled');
    const leaves: Leaf[] = [];
    let batch: Cell[] = [];
    let bytes = 0;
    // A count takes more bytes than it does now only when there are more cells than a page has bytes.
    const room = this.limits.pageBytes - 3;
    for (const cell of cells) {
      this.count++;
      const size = cellBytes(cell);
      if (bytes + size > room && batch.length > 0) {
        leaves.push(this.pages.newLeaf(batch));
        batch = [];
        bytes = 0;
      }
      batch.push(cell);
      bytes += size;
    }
    if (batch.length > 0) leaves.push(this.pages.newLeaf(batch));
    const { fingers, separators } = this.state;
    const [first, last] = [leaves[0], leaves.length > 1 ? leaves.at(-1)! : undefined];
    if (first !== undefined) fingers[0] = { page: first.number, count: first.size };
    if (last !== undefined) {
      fingers[1] = { page: last.number, count: last.size };
      separators[1] = this.between(leaves.at(-2)!, last);
    }
    if (leaves.length > 2) this.buildAbove(leaves);
  }

  /** Builds the pages over all leaves but the first and the last. */
  private buildAbove(leaves: readonly Leaf[]): void {
    let row = leaves.slice(1, -1).map((leaf, index) => ({
      number: leaf.number,
      separator: this.between(leaves[index]!, leaf),
      size: leaf.size,
    }));
    this.state.separators[0] = row[0]!.separator;
    this.state.levels = 1;
    for (; row.length > 1; this.state.levels++) {
      const level = this.state.levels;
      const above: typeof row = [];
      let page: Inner | undefined;
      for (const { number, separator, size } of row) {
        if (page !== undefined) {
          this.insertChild(page, page.children.length, number, separator, size);
          if (!this.isTooLarge(page)) {
            above.at(-1)!.size += size;
            continue;
          }
          page.children.pop();
          page.separators.pop();
          page.counts?.pop();
        }
        page = this.pages.newInner(level, [number], [NO_CELL], this.isCounting(level) ? [size] : undefined);
        above.push({ number: page.number, separator, size });
      }
      row = above;
    }
    this.state.root = row[0]!.number;
  }

  /** Puts an element at an end. */
  private push(end: End, cell: Cell): void {
    const { fingers, root } = this.state;
    const other = fingers[otherEnd(end)];
    // While there is one leaf only, it serves both ends.
    const isAlone = fingers[end].page === 0 && root === 0 && other.page !== 0;
    const finger = isAlone ? other : fingers[end];
    const leaf = finger.page === 0 ? undefined : this.pages.leaf(finger.page);
    this.count++;
    if (leaf !== undefined && this.hasRoom(leaf, cell)) {
      this.insertCell(leaf, end === FIRST ? 0 : leaf.size, cell);
      finger.count++;
      return;
    }
    const added = this.pages.newLeaf([cell]);
    const boundary =
      leaf === undefined ? NO_CELL : end === FIRST ? this.between(added, leaf) : this.between(leaf, added);
    fingers[end] = { page: added.number, count: 1 };
    if (isAlone) this.state.separators[1] = boundary;
    else if (leaf !== undefined) this.evict(end, leaf, boundary);
  }

  /** Puts an element into a leaf that is there. */
  private put(place: Place, cell: Cell): void {
    const leaf = this.pages.keep(place.leaf);
    this.insertCell(leaf, place.at, cell);
    this.count++;
    if (place.part === 'tree') this.addCount(place.path, 1);
    else this.state.fingers[endOf(place)].count++;
    this.fitLeaf(place, leaf);
  }

  /** Removes up to `atMost` elements of one leaf. @returns how many */
  private cut(place: Place, atMost: number): number {
    const leaf = this.pages.keep(place.leaf);
    const removed = Math.min(atMost, leaf.size - place.at);
    // Whoever removes until nothing is left would never end: a transaction may be evaluated over rows that were read at different moments.
    assert(removed > 0, 'a leaf has the elements that are counted in it');
    for (let index = place.at; index < place.at + removed; index++) this.cells.free(leaf.cellAt(index));
    leaf.splice(place.at, removed, []);
    this.pages.touchLeaf(leaf);
    this.count -= removed;
    if (place.part === 'tree') this.addCount(place.path, -removed);
    else this.state.fingers[endOf(place)].count -= removed;
    this.fitLeaf(place, leaf);
    return removed;
  }

  /** Makes a leaf that has changed one that may be. */
  private fitLeaf(place: Place, leaf: Leaf): void {
    const isTooLarge = leafSize(leaf) > this.limits.pageBytes;
    if (place.part !== 'tree') {
      if (isTooLarge) this.splitFinger(endOf(place), leaf);
      else if (leaf.size === 0) this.dropFinger(endOf(place), leaf);
      return;
    }
    const { path } = place;
    if (isTooLarge) {
      const right = this.splitLeaf(leaf);
      this.addSibling(path, path.length - 1, right.number, this.between(leaf, right), right.size, 'middle');
    } else if (leaf.size === 0) {
      this.pages.dropLeaf(leaf);
      this.cells.free(this.removeChild(path, path.length - 1));
      this.freeUnusedSeparators();
    } else if (leafSize(leaf) * 4 < this.limits.pageBytes) this.joinLeaf(path);
  }

  // Fingers

  private splitFinger(end: End, leaf: Leaf): void {
    const { fingers } = this.state;
    const right = this.splitLeaf(leaf);
    const [kept, evicted] = end === FIRST ? [leaf, right] : [right, leaf];
    fingers[end] = { page: kept.number, count: kept.size };
    this.evict(end, evicted, this.between(leaf, right));
  }

  private dropFinger(end: End, leaf: Leaf): void {
    this.pages.dropLeaf(leaf);
    this.state.fingers[end] = { page: 0, count: 0 };
    this.freeUnusedSeparators();
    const { fingers, root } = this.state;
    // The next pop finds its leaf where it looks for it.
    if (root !== 0) this.pull(end);
    else if (fingers[otherEnd(end)].page === 0) assert(this.count === 0, 'without leaves there are no elements');
  }

  /**
   * Puts a leaf that was a finger into the tree, at its end.
   * @param boundary what separates it from the finger that is there now
   */
  private evict(end: End, leaf: Leaf, boundary: Cell): void {
    const { state } = this;
    const { separators, fingers } = state;
    const size = leaf.size;
    const other = otherEnd(end);
    if (state.root === 0) {
      if (fingers[other].page === 0) {
        fingers[other] = { page: leaf.number, count: size };
        separators[1] = boundary;
        return;
      }
      state.root = leaf.number;
      state.levels = 1;
      if (end === LAST) separators[0] = separators[1];
      separators[end] = boundary;
      return;
    }
    const former = separators[end];
    separators[end] = boundary;
    if (state.levels === 1) {
      const sizes = [size, this.treeCount - size];
      this.growRoot(
        end === FIRST ? [leaf.number, state.root] : [state.root, leaf.number],
        former,
        end === FIRST ? sizes : sizes.reverse(),
      );
      return;
    }
    const path = this.pathToEnd(end);
    const { page } = path.at(-1)!;
    this.addCount(path.slice(0, -1), size);
    this.insertChild(page, end === FIRST ? 0 : page.children.length, leaf.number, former, size);
    if (this.isTooLarge(page)) this.splitInner(path, path.length - 1, end === FIRST ? 'keepRight' : 'keepLeft');
  }

  /** Takes the leaf at an end out of the tree, to be the finger that is missing there. */
  private pull(end: End): void {
    const { state } = this;
    const path = this.pathToEnd(end);
    const page = this.leafBelow(path);
    const count = this.pages.cellsIn(page);
    this.addCount(path, -count);
    state.fingers[end] = { page, count };
    const boundary = this.removeChild(path, path.length - 1);
    if (state.root !== 0) state.separators[end] = boundary;
    else if (end === LAST) {
      state.separators[1] = state.separators[0];
      state.separators[0] = NO_CELL;
    }
    this.freeUnusedSeparators();
  }

  /** A separator without two things to separate is not kept. */
  private freeUnusedSeparators(): void {
    const { fingers, separators, root } = this.state;
    const [hasFirst, hasLast] = [fingers[0].page !== 0, fingers[1].page !== 0];
    const isUsed = [hasFirst && root !== 0, hasLast && (hasFirst || root !== 0)];
    for (const end of [FIRST, LAST]) {
      if (isUsed[end]) continue;
      this.cells.free(separators[end]);
      separators[end] = NO_CELL;
    }
  }

  // The tree

  /** Counts more elements, or with a negative number less, below each step of a way. */
  private addCount(path: readonly Step[], more: number): void {
    for (const { page, index } of path) {
      if (!this.isCounting(page.level)) continue;
      this.pages.counts(page)[index]! += more;
      this.pages.touchCounts(page);
    }
  }

  /** Adds the right half of a child that was split; what is below the child was counted with it. */
  private addSibling(
    path: readonly Step[],
    depth: number,
    number: number,
    separator: Cell,
    size: number,
    cut: Cut,
  ): void {
    if (depth < 0) {
      this.growRoot([this.state.root, number], separator, [this.treeCount - size, size]);
      return;
    }
    const { page, index } = path[depth]!;
    if (this.isCounting(page.level)) this.pages.counts(page)[index]! -= size;
    this.insertChild(page, index + 1, number, separator, size);
    if (this.isTooLarge(page)) this.splitInner(path, depth, cut);
  }

  private growRoot(children: number[], separator: Cell, sizes: number[]): void {
    const { state } = this;
    const level = state.levels++;
    state.root = this.pages.newInner(
      level,
      children,
      [NO_CELL, separator],
      this.isCounting(level) ? sizes : undefined,
    ).number;
  }

  /** @param separator what separates the child from the one before it; of the first child, from the one behind it */
  private insertChild(page: Inner, at: number, number: number, separator: Cell, size: number): void {
    page.children.splice(at, 0, number);
    if (at === 0) {
      page.separators.unshift(NO_CELL);
      page.separators[1] = separator;
    } else page.separators.splice(at, 0, separator);
    this.pages.touchInner(page);
    if (!this.isCounting(page.level)) return;
    this.pages.counts(page).splice(at, 0, size);
    this.pages.touchCounts(page);
  }

  private splitInner(path: readonly Step[], depth: number, cut: Cut): void {
    const { page } = path[depth]!;
    const { children } = page;
    const at = this.placeToCut(page, cut);
    const counts = this.isCounting(page.level) ? this.pages.counts(page).splice(at) : undefined;
    const right = this.pages.newInner(page.level, children.splice(at), page.separators.splice(at), counts);
    const separator = right.separators[0]!;
    right.separators[0] = NO_CELL;
    this.pages.touchInner(page);
    if (counts !== undefined) this.pages.touchCounts(page);
    const size = this.isCounting(page.level + 1) ? this.sizeOfChildren(right, 0) : 0;
    this.addSibling(path, depth - 1, right.number, separator, size, cut);
  }

  /**
   * Takes a child out of its page, and pages that are left without children out of theirs.
   * @returns the separator that separates nothing any more
   */
  private removeChild(path: readonly Step[], depth: number): Cell {
    if (depth < 0) {
      this.state.root = 0;
      this.state.levels = 0;
      return NO_CELL;
    }
    const { page, index } = path[depth]!;
    if (this.isCounting(page.level)) {
      this.pages.counts(page).splice(index, 1);
      this.pages.touchCounts(page);
    }
    page.children.splice(index, 1);
    this.pages.touchInner(page);
    if (page.children.length === 0) {
      this.pages.dropInner(page, this.isCounting(page.level));
      return this.removeChild(path, depth - 1);
    }
    // The first child has no separator: the second one's goes, and it is the first.
    const [separator] = page.separators.splice(Math.max(index, 1), 1);
    this.fitInner(path, depth);
    return separator!;
  }

  /** Makes a page that has lost children one that may be. */
  private fitInner(path: readonly Step[], depth: number): void {
    if (depth === 0) {
      this.shrinkRoot();
      return;
    }
    const { page } = path[depth]!;
    if (!this.isSmall(page)) return;
    const parent = path[depth - 1]!;
    for (const left of [parent.index - 1, parent.index]) {
      if (left < 0 || left + 1 >= parent.page.children.length) continue;
      const [below, above] = [left, left + 1].map((index) => this.pages.inner(parent.page.children[index]!)) as [
        Inner,
        Inner,
      ];
      if (!this.fitTogether(below, above, parent.page.separators[left + 1]!)) continue;
      if (this.isCounting(page.level)) {
        this.pages.counts(below).push(...this.pages.counts(above));
        this.pages.touchCounts(below);
      }
      below.children.push(...above.children);
      below.separators.push(this.uniteChildren(parent.page, left), ...above.separators.slice(1));
      this.pages.touchInner(below);
      this.pages.dropInner(above, this.isCounting(page.level));
      this.fitInner(path, depth - 1);
      return;
    }
  }

  private shrinkRoot(): void {
    const { state } = this;
    while (state.levels > 1) {
      const root = this.pages.inner(state.root);
      if (root.children.length > 1) return;
      const child = root.children[0]!;
      const level = root.level - 1;
      if (level > 0) this.pages.raise(this.pages.inner(child), this.isCounting(level));
      this.pages.dropInner(root, this.isCounting(root.level));
      state.root = child;
      state.levels--;
    }
  }

  private joinLeaf(path: readonly Step[]): void {
    const parent = path.at(-1);
    if (parent === undefined) return;
    for (const left of [parent.index - 1, parent.index]) {
      if (left < 0 || left + 1 >= parent.page.children.length) continue;
      const [below, above] = [left, left + 1].map((index) => this.pages.leaf(parent.page.children[index]!)) as [
        Leaf,
        Leaf,
      ];
      if (leafSize(below) + above.bytes > this.joinedBytes) continue;
      below.splice(below.size, 0, above.cells);
      this.pages.touchLeaf(below);
      this.pages.dropLeaf(above);
      this.cells.free(this.uniteChildren(parent.page, left));
      this.fitInner(path, path.length - 1);
      return;
    }
  }

  /** Makes one child of two, whose pages are one now. @returns what separated them */
  private uniteChildren(page: Inner, left: number): Cell {
    page.children.splice(left + 1, 1);
    this.pages.touchInner(page);
    if (this.isCounting(page.level)) {
      const counts = this.pages.counts(page);
      counts[left]! += counts.splice(left + 1, 1)[0]!;
      this.pages.touchCounts(page);
    }
    return page.separators.splice(left + 1, 1)[0]!;
  }

  // Sizes

  /** Most bytes of two pages that become one. */
  private get joinedBytes(): number {
    return (this.limits.pageBytes * 3) / 4;
  }

  /** Most children: where they are not counted, so many as a rank may read; otherwise as many as fit. */
  private mostChildren(page: Inner): number {
    return this.isCounting(page.level) ? Number.POSITIVE_INFINITY : this.limits.childrenWithoutCounts;
  }

  private isTooLarge(page: Inner): boolean {
    return (
      page.children.length > this.mostChildren(page) || innerSize(page, this.pages.isOrdered) > this.limits.pageBytes
    );
  }

  private isSmall(page: Inner): boolean {
    const isShort = innerSize(page, this.pages.isOrdered) * 4 < this.limits.pageBytes;
    return isShort && (this.isCounting(page.level) || page.children.length * 4 <= this.mostChildren(page));
  }

  private fitTogether(below: Inner, above: Inner, separator: Cell): boolean {
    const { isOrdered } = this.pages;
    return (
      innerSize(below, isOrdered) + cellBytes(separator) + innerSize(above, isOrdered) <= this.joinedBytes &&
      (below.children.length + above.children.length) * 4 <= this.mostChildren(below) * 3
    );
  }

  private hasRoom(leaf: Leaf, cell: Cell): boolean {
    // One byte more, in case that the number of cells takes it.
    return leafSize(leaf) + cellBytes(cell) + 1 <= this.limits.pageBytes;
  }

  private insertCell(leaf: Leaf, at: number, cell: Cell): void {
    leaf.splice(at, 0, [cell]);
    this.pages.touchLeaf(leaf);
  }

  /** Moves the upper half of a leaf into a new one. */
  private splitLeaf(leaf: Leaf): Leaf {
    const { cells } = leaf;
    const at = middle(cells.map(cellBytes));
    const right = this.pages.newLeaf(cells.slice(at));
    leaf.splice(at, leaf.size - at, []);
    this.pages.touchLeaf(leaf);
    return right;
  }

  private placeToCut(page: Inner, cut: Cut): number {
    const { children, separators } = page;
    const sizes = children.map((_, index) => childSize(page, index, this.pages.isOrdered));
    const wanted = cut === 'keepLeft' ? children.length - 1 : cut === 'keepRight' ? 1 : children.length >>> 1;
    const byBytes = middle(sizes);
    // A page that has too many children is cut by their number. What stays together may have grown: another number in front is longer.
    if (cut === 'middle' && children.length <= this.mostChildren(page)) return byBytes;
    const left = sumOf(sizes.slice(0, wanted));
    const right = sumOf(sizes.slice(wanted)) - cellBytes(separators[wanted]!) + cellBytes(NO_CELL);
    return Math.max(left, right) + INNER_HEADER_BYTES <= this.limits.pageBytes ? wanted : byBytes;
  }

  private between(left: Leaf, right: Leaf): Cell {
    return this.pages.isOrdered ? this.cells.separator(left.cellAt(left.size - 1), right.cellAt(0)) : NO_CELL;
  }
}

const otherEnd = (end: End): End => (end === FIRST ? LAST : FIRST);

const endOf = (place: Place): End => (place.part === 'first' ? FIRST : LAST);

/** Where to cut sizes into two parts, neither empty, so that the larger is as small as can be. */
function middle(sizes: readonly number[]): number {
  const total = sumOf(sizes);
  let [at, left] = [1, sizes[0]!];
  while (
    at < sizes.length - 1 &&
    Math.max(left + sizes[at]!, total - left - sizes[at]!) <= Math.max(left, total - left)
  ) {
    left += sizes[at++]!;
  }
  return at;
}
