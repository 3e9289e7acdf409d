/**
 * Finding elements of a counted tree, by position or by key, and walking from them.
 *
 * The elements are those of the first leaf, then those of the tree, then those of the last leaf. Each part may be missing.
 */
import { assert } from '../../../../platform/index.ts';
import type { Cell, Cells } from '../rows/index.ts';
import { type Inner, type Leaf, sumOf } from './page.ts';
import type { PageStore } from './page-store.ts';
import { type End, FIRST, LAST, type TreeState } from './tree-state.ts';

/** One page on the way from the root to a leaf, and which of its children the way takes. */
export interface Step {
  readonly page: Inner;
  readonly index: number;
}

/**
 * How many leaves a walk asks for ahead, where pages come from afar, if nobody has said how many elements it will take: few at first, because it
 * may end soon, then four times as many each time. So a walk over all of a large body takes a dozen rounds.
 */
const AHEAD = { first: 4, factor: 4, most: 4_096 } as const;

/** Which of the three parts a leaf is in. */
export type Part = 'first' | 'tree' | 'last';

/** A place in a leaf: of an element, or right behind the last one. */
export interface Place {
  readonly part: Part;
  /** From the root down; empty outside the tree. */
  readonly path: readonly Step[];
  readonly leaf: Leaf;
  readonly at: number;
}

/** Elements of a leaf, and children of a page, that are counted on when pages are asked for beforehand. */
const FEWEST_ELEMENTS = 8;

/** Reads a tree. `CountedTree` changes it. */
export class TreeReader {
  count: number;
  protected readonly state: TreeState;
  protected readonly pages: PageStore;
  protected readonly cells: Cells;

  constructor(state: TreeState, count: number, pages: PageStore, cells: Cells) {
    this.state = state;
    this.count = count;
    this.pages = pages;
    this.cells = cells;
  }

  /** The element at a position from 0 to `count - 1`. */
  at(index: number): Cell {
    const place = this.placeAt(index);
    return place.leaf.cellAt(place.at);
  }

  /** How many elements are below a key, which need not be there. */
  rankOf(key: Buffer): number {
    if (this.count === 0) return 0;
    const place = this.placeOf(key);
    if (place.part === 'first') return place.at;
    const [first, last] = this.state.fingers;
    if (place.part === 'last') return this.count - last.count + place.at;
    return first.count + this.sizeBefore(place.path) + place.at;
  }

  /**
   * Elements from a position on, forwards or backwards. Nothing must be changed meanwhile.
   * @param atMost how many will be taken: so many are asked for beforehand where pages come from afar. Left out: a part at a time
   */
  walkFrom(index: number, step: 1 | -1, atMost?: number): Iterable<Cell> {
    if (index < 0 || index >= this.count) return [];
    const left = step === 1 ? this.count - index : index + 1;
    if (atMost !== undefined && Math.min(atMost, left) * 2 > this.count) this.prefetchAll();
    return this.walk(this.placeAt(index), step, atMost ?? left);
  }

  /** Elements that are not below a key, forwards, or those that are, backwards from it. @param atMost as of `walkFrom` */
  walkFromKey(key: Buffer, step: 1 | -1, atMost = Number.POSITIVE_INFINITY): Iterable<Cell> {
    if (this.count === 0) return [];
    const place = this.placeOf(key);
    return this.walk(step === 1 ? place : { ...place, at: place.at - 1 }, step, atMost);
  }

  /** The bytes of the element of an ordered tree that begins with a prefix; undefined when there is none. */
  find(prefix: Buffer): Buffer | undefined {
    return this.placeWith(prefix)?.bytes;
  }

  /** How many elements the first leaf has, and the last of them. There must be an element. */
  firstLeaf(): { readonly size: number; readonly last: Cell } {
    const { leaf } = this.placeAt(0);
    return { size: leaf.size, last: leaf.cellAt(leaf.size - 1) };
  }

  /** Says that all pages are about to be read. */
  prefetchAll(): void {
    const { pages, state } = this;
    if (!pages.isAfar) return;
    let numbers = [state.root];
    for (let level = state.levels - 1; level > 0; level--) {
      pages.prefetch(numbers);
      numbers = numbers.flatMap((number) => pages.inner(number).children);
    }
    pages.prefetch([...numbers, ...state.fingers.map(({ page }) => page)]);
  }

  /** Says that the places of these keys are about to be looked for. */
  prefetchKeys(keys: readonly Buffer[]): void {
    const { pages, state } = this;
    if (!pages.isAfar || this.count === 0) return;
    const [first, last] = state.fingers;
    const inTree = keys.filter((key) => this.partOf(key) === 'tree');
    let ways = new Map(inTree.length === 0 ? [] : [[state.root, inTree]]);
    for (let level = state.levels - 1; level > 0 && ways.size > 0; level--) {
      pages.prefetch([...ways.keys()]);
      const below: typeof ways = new Map();
      for (const [number, those] of ways) {
        const page = pages.inner(number);
        for (const key of those) {
          const child = page.children[this.childFor(page, key)]!;
          const others = below.get(child);
          if (others === undefined) below.set(child, [key]);
          else others.push(key);
        }
      }
      ways = below;
    }
    pages.prefetch([...ways.keys(), ...(inTree.length < keys.length ? [first.page, last.page] : [])]);
  }

  /** Leaves from the one with a number on, forwards; from the first when there is none of that number. */
  *leavesFrom(number: number): Generator<Leaf> {
    if (this.count === 0) return;
    const found = number === 0 ? undefined : this.pages.findLeaf(number);
    const from = found === undefined ? this.placeAt(0) : this.placeOf(this.cells.bytesOf(found.cellAt(0)));
    for (const { leaf } of this.placesFrom(from, 1)) yield leaf;
  }

  /** Elements below the root. */
  protected get treeCount(): number {
    return this.count - this.state.fingers[0].count - this.state.fingers[1].count;
  }

  protected placeAt(index: number): Place {
    assert(index >= 0 && index < this.count, 'a position is within the elements');
    const [first, last] = this.state.fingers;
    if (index < first.count) return this.inFinger(FIRST, index);
    if (index >= this.count - last.count) return this.inFinger(LAST, index - (this.count - last.count));
    return this.descendTo(index - first.count);
  }

  /** Where a key is, or would be put. There must be an element. */
  protected placeOf(key: Buffer): Place {
    const part = this.partOf(key);
    const path = part === 'tree' ? this.pathOf(key) : [];
    const leaf = this.pages.leaf(
      part === 'tree' ? this.leafBelow(path) : this.state.fingers[part === 'first' ? 0 : 1].page,
    );
    return { part, path, leaf, at: this.lowerBound(leaf, key) };
  }

  /** Where the element is that begins with a prefix; undefined when there is none. */
  protected placeWith(prefix: Buffer): { readonly place: Place; readonly bytes: Buffer } | undefined {
    if (this.count === 0) return undefined;
    const place = this.placeOf(prefix);
    if (place.at >= place.leaf.size) return undefined;
    const bytes = this.cells.bytesOf(place.leaf.cellAt(place.at));
    return bytes.subarray(0, prefix.length).equals(prefix) ? { place, bytes } : undefined;
  }

  /** The way to the leaf that a key belongs to, if it belongs into the tree. */
  private pathOf(key: Buffer): Step[] {
    return this.descend((page) => this.childFor(page, key));
  }

  /** The child of a page that a key belongs below. */
  private childFor(page: Inner, key: Buffer): number {
    let [from, to] = [0, page.children.length - 1];
    while (from < to) {
      const middle = (from + to + 1) >>> 1;
      if (page.compare(key, middle, this.cells) >= 0) from = middle;
      else to = middle - 1;
    }
    return from;
  }

  /** The way to the first or the last leaf of the tree. */
  protected pathToEnd(end: End): Step[] {
    return this.descend(({ children }) => (end === FIRST ? 0 : children.length - 1));
  }

  protected leafBelow(path: readonly Step[]): number {
    const last = path.at(-1);
    return last === undefined ? this.state.root : last.page.children[last.index]!;
  }

  protected isCounting(level: number): boolean {
    return level >= this.state.countLevel;
  }

  /** Elements below a page. */
  protected sizeOf(number: number, level: number): number {
    if (level === 0) return this.pages.cellsIn(number);
    return this.sizeOfChildren(this.pages.inner(number), 0);
  }

  /** Elements below the children of a page from one on, up to another. */
  protected sizeOfChildren(page: Inner, from: number, to: number = page.children.length): number {
    if (this.isCounting(page.level)) return sumOf(this.pages.counts(page).slice(from, to));
    if (this.pages.isAfar) this.pages.prefetch(page.children.slice(from, to));
    let size = 0;
    for (let index = from; index < to; index++) size += this.sizeOf(page.children[index]!, page.level - 1);
    return size;
  }

  /** @param atMost how many elements will be taken, about */
  private *walk(from: Place, step: 1 | -1, atMost: number): Generator<Cell> {
    let { at } = from;
    for (const place of this.placesFrom(from, step, atMost)) {
      const { leaf } = place;
      if (place !== from) at = step === 1 ? 0 : leaf.size - 1;
      for (; at >= 0 && at < leaf.size; at += step) yield leaf.cellAt(at);
    }
  }

  /** The leaves from one on, in the order of the walk. @param atMost how many elements will be taken, about */
  private *placesFrom(from: Place, step: 1 | -1, atMost = Number.POSITIVE_INFINITY): Generator<Place> {
    let window: number = atMost === Number.POSITIVE_INFINITY ? AHEAD.first : AHEAD.most;
    /** Leaves ahead that were asked for. */
    let asked = 0;
    let left = atMost;
    for (let place: Place | undefined = from; place !== undefined; place = this.neighbour(place, step)) {
      yield place;
      left -= place.leaf.size;
      if (asked > 0) asked--;
      if (!this.pages.isAfar || asked > 0 || left <= 0 || place.part !== 'tree') continue;
      asked = Math.min(window, Math.ceil(left / FEWEST_ELEMENTS));
      this.pages.prefetch(this.ahead(place.path, 0, step, asked));
      window = Math.min(window * AHEAD.factor, AHEAD.most);
    }
  }

  /** Numbers of the pages of a level that come after a way, in the order of the walk; the pages above them are read. */
  private ahead(path: readonly Step[], level: number, step: 1 | -1, atMost: number): number[] {
    const way = path.find(({ page }) => page.level === level + 1);
    if (way === undefined) return [];
    const inOrder = (children: readonly number[]): readonly number[] => (step === 1 ? children : children.toReversed());
    const { children } = way.page;
    const numbers = [...inOrder(step === 1 ? children.slice(way.index + 1) : children.slice(0, way.index))];
    if (numbers.length < atMost) {
      const parents = this.ahead(path, level + 1, step, Math.ceil((atMost - numbers.length) / FEWEST_ELEMENTS));
      this.pages.prefetch(parents);
      for (const parent of parents) numbers.push(...inOrder(this.pages.inner(parent).children));
    }
    return numbers.slice(0, atMost);
  }

  /** The leaf beside another one. */
  private neighbour({ part, path }: Place, step: 1 | -1): Place | undefined {
    if (part === 'tree') {
      for (let depth = path.length - 1; depth >= 0; depth--) {
        const index = path[depth]!.index + step;
        if (index < 0 || index >= path[depth]!.page.children.length) continue;
        return this.inTree(this.extend([...path.slice(0, depth), { page: path[depth]!.page, index }], step));
      }
    }
    const isLeaving = step === 1 ? part === 'last' : part === 'first';
    if (isLeaving) return undefined;
    if (part !== 'tree' && this.state.root !== 0) return this.inTree(this.pathToEnd(step === 1 ? FIRST : LAST));
    const end = step === 1 ? LAST : FIRST;
    return this.state.fingers[end].page === 0 ? undefined : this.inFinger(end, 0);
  }

  /** Completes a way down to the leaf that is nearest to where it comes from. */
  private extend(path: Step[], step: 1 | -1): Step[] {
    for (let last = path.at(-1)!; last.page.level > 1; last = path.at(-1)!) {
      const page = this.pages.inner(last.page.children[last.index]!);
      path.push({ page, index: step === 1 ? 0 : page.children.length - 1 });
    }
    return path;
  }

  private inTree(path: readonly Step[]): Place {
    return { part: 'tree', path, leaf: this.pages.peekLeaf(this.leafBelow(path)), at: 0 };
  }

  private inFinger(end: End, at: number): Place {
    // A pop looks at it, and then takes from it.
    const leaf = this.pages.leaf(this.state.fingers[end].page);
    return { part: end === FIRST ? 'first' : 'last', path: [], leaf, at };
  }

  private partOf(key: Buffer): Part {
    const { fingers, separators, root } = this.state;
    const [hasFirst, hasLast] = [fingers[0].page !== 0, fingers[1].page !== 0];
    if (hasLast && (!(hasFirst || root !== 0) || this.cells.compare(key, separators[1]) >= 0)) return 'last';
    if (hasFirst && (root === 0 || this.cells.compare(key, separators[0]) < 0)) return 'first';
    return 'tree';
  }

  private descend(choose: (page: Inner) => number): Step[] {
    const path: Step[] = [];
    let number = this.state.root;
    for (let level = this.state.levels - 1; level > 0; level--) {
      const page = this.pages.inner(number);
      assert(page.level === level, 'a page of a tree is at its level');
      const index = choose(page);
      path.push({ page, index });
      number = page.children[index]!;
    }
    return path;
  }

  /** @param position among the elements of the tree */
  private descendTo(position: number): Place {
    let [left, total] = [position, this.treeCount];
    const path = this.descend((page) => {
      const found = this.childAt(page, left, total);
      left = found.left;
      total = found.size;
      return found.index;
    });
    return { part: 'tree', path, leaf: this.pages.peekLeaf(this.leafBelow(path)), at: left };
  }

  /**
   * The child of a page that has its element number `position`, and the position below that child. Where children are not counted they are read
   * from the nearer end of the page.
   * @param total elements below the page
   */
  private childAt(page: Inner, position: number, total: number): { index: number; left: number; size: number } {
    const counts = this.isCounting(page.level) ? this.pages.counts(page) : undefined;
    if (counts === undefined && this.pages.isAfar) this.pages.prefetch(page.children);
    const sizeOf = (index: number): number => counts?.[index] ?? this.sizeOf(page.children[index]!, page.level - 1);
    if (counts !== undefined || position * 2 < total) {
      let left = position;
      for (let index = 0; ; index++) {
        const size = sizeOf(index);
        if (left < size) return { index, left, size };
        left -= size;
      }
    }
    let behind = total - position - 1;
    for (let index = page.children.length - 1; ; index--) {
      const size = sizeOf(index);
      if (behind < size) return { index, left: size - 1 - behind, size };
      behind -= size;
    }
  }

  /** Elements of the tree before the leaf at the end of a way. */
  private sizeBefore(path: readonly Step[]): number {
    let before = 0;
    let total: number | undefined = this.treeCount;
    for (const { page, index } of path) {
      if (this.isCounting(page.level)) {
        const counts = this.pages.counts(page);
        before += sumOf(counts.slice(0, index));
        total = counts[index]!;
      } else {
        const isNearEnd = total !== undefined && index * 2 > page.children.length;
        before += isNearEnd ? total! - this.sizeOfChildren(page, index) : this.sizeOfChildren(page, 0, index);
        total = undefined;
      }
    }
    return before;
  }

  /** The first place in a leaf whose cell is not below a key. */
  private lowerBound(leaf: Leaf, key: Buffer): number {
    let [from, to] = [0, leaf.size];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (leaf.compare(key, middle, this.cells) > 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
