/** A tree of a stream: entries, names or what is pending, each found by what it begins with. */
import { type BodyLimits, type BodyRows, Cells, type RowNumbers } from '../rows/index.ts';
import { CountedTree, PageStore, type TreeState } from '../tree/index.ts';
import type { CountedState } from './stream-rows.ts';

/** What trees of a stream are made with. */
export interface TreeParts {
  readonly rows: BodyRows;
  /** Where the rows of the body get their numbers from. */
  readonly numbers: RowNumbers;
  readonly limits: BodyLimits;
}

/** Elements must not be changed while a walk is under way. Pages are written by `save`. */
export class ElementTree {
  private readonly state: TreeState;
  private readonly pages: PageStore;
  private readonly cells: Cells;
  private readonly tree: CountedTree;

  constructor({ count, state }: CountedState, { rows, numbers, limits }: TreeParts) {
    this.state = state;
    this.pages = new PageStore(rows, state, numbers, true);
    this.cells = new Cells(rows, numbers, limits, true);
    this.tree = new CountedTree(state, count, this.pages, this.cells, limits);
  }

  get count(): number {
    return this.tree.count;
  }

  /** The first element; undefined when there is none. */
  get first(): Buffer | undefined {
    return this.count === 0 ? undefined : this.cells.bytesOf(this.tree.at(0));
  }

  get last(): Buffer | undefined {
    return this.count === 0 ? undefined : this.cells.bytesOf(this.tree.at(this.count - 1));
  }

  /** How many elements the first leaf has, and the last of them. There must be an element. */
  firstLeaf(): { readonly size: number; readonly last: Buffer } {
    const { size, last } = this.tree.firstLeaf();
    return { size, last: this.cells.bytesOf(last) };
  }

  find(prefix: Buffer): Buffer | undefined {
    return this.tree.find(prefix);
  }

  /** Says that elements that begin so are about to be looked for. */
  prefetch(prefixes: readonly Buffer[]): void {
    this.tree.prefetchKeys(prefixes);
  }

  /** Elements that are not below a key, forwards. @param atMost how many will be taken, about */
  from(key: Buffer, atMost?: number): Iterable<Buffer> {
    return this.cells.bytesOfEach(this.tree.walkFromKey(key, 1, atMost), atMost);
  }

  /** Elements that are below a key, or with `undefined` all, backwards. */
  before(key: Buffer | undefined, atMost?: number): Iterable<Buffer> {
    const walk =
      key === undefined ? this.tree.walkFrom(this.count - 1, -1, atMost) : this.tree.walkFromKey(key, -1, atMost);
    return this.cells.bytesOfEach(walk, atMost);
  }

  all(): Iterable<Buffer> {
    return this.cells.bytesOfEach(this.tree.walkFrom(0, 1, this.count), this.count);
  }

  /** Adds an element above all that there are. */
  append(element: Buffer): void {
    this.tree.insertAt(this.count, this.cells.make(element));
  }

  /** Adds an element that is not there. */
  insert(element: Buffer): void {
    this.tree.insertKey(element);
  }

  /** Adds elements in order, where there are none. */
  fill(elements: Iterable<Buffer>): void {
    const { cells } = this;
    this.tree.fill(
      (function* () {
        for (const element of elements) yield cells.make(element);
      })(),
    );
  }

  /** @returns what it was; undefined when there is none */
  remove(prefix: Buffer): Buffer | undefined {
    return this.tree.removeWith(prefix);
  }

  /** @returns false when there is none */
  replace(prefix: Buffer, element: Buffer): boolean {
    return this.tree.replaceWith(prefix, element);
  }

  removeFirst(count: number): void {
    this.tree.removeRange(0, count);
  }

  /** What is to be stored of it beside its pages. */
  get stored(): CountedState {
    return { count: this.count, state: this.state };
  }

  save(): void {
    this.pages.save();
  }
}
