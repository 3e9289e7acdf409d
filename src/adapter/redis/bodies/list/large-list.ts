/** A list in the pages of a tree. Nothing but long values is written before `save`. */
import { ValueForm } from '../../keys/index.ts';
import { BodyRows, type Cell, Cells, type HeadPlace, type LargeHead, type NewExpiry } from '../rows/index.ts';
import { CountedTree, decodeTreeState, emptyTree, encodeTreeState, PageStore, type TreeState } from '../tree/index.ts';
import type { ListForm } from './list-form.ts';

/** Positions are all that a list has, so every page counts. */
const COUNT_LEVEL = 1;

/** See above. */
export class LargeList implements ListForm {
  readonly bits: number;
  private readonly place: HeadPlace;
  private readonly rows: BodyRows;
  private readonly state: TreeState;
  private readonly pages: PageStore;
  private readonly cells: Cells;
  private readonly tree: CountedTree;

  constructor(place: HeadPlace, head: LargeHead, bits: number) {
    const { view, bodyLimits } = place.access;
    this.place = place;
    this.bits = bits;
    this.rows = new BodyRows(view, place.key, head.incarnation);
    this.state = decodeTreeState(head.part, false);
    this.pages = new PageStore(this.rows, this.state, false);
    this.cells = new Cells(this.rows, this.state, bodyLimits, false);
    this.tree = new CountedTree(this.state, head.count, this.pages, this.cells, bodyLimits);
  }

  static create(place: HeadPlace, incarnation: Buffer, bits: number, values: readonly Buffer[]): LargeList {
    const part = encodeTreeState(emptyTree(COUNT_LEVEL, 1), false);
    const head = { form: ValueForm.Large, type: place.type, bits, incarnation, count: 0, part };
    const list = new LargeList(place, head, bits);
    list.tree.fill(values.map((value) => list.cells.make(value)));
    return list;
  }

  get count(): number {
    return this.tree.count;
  }

  at(index: number): Buffer {
    return this.cells.bytesOf(this.tree.at(index));
  }

  replaceAt(index: number, value: Buffer): void {
    this.tree.replaceAt(index, this.cells.make(value));
  }

  insertAt(index: number, values: readonly Buffer[]): void {
    // At the front from the last to the first, so that all of them are pushes.
    if (index === 0) for (const value of values.toReversed()) this.tree.insertAt(0, this.cells.make(value));
    else for (const [offset, value] of values.entries()) this.tree.insertAt(index + offset, this.cells.make(value));
  }

  removeRange(from: number, count: number): void {
    this.tree.removeRange(from, count);
  }

  walkFrom(index: number, step: 1 | -1, atMost?: number): Iterable<Buffer> {
    return this.cells.bytesOfEach(this.tree.walkFrom(index, step, atMost), atMost);
  }

  *matchesFrom(index: number, step: 1 | -1, value: Buffer): Generator<boolean> {
    for (const cell of this.tree.walkFrom(index, step)) yield this.isEqual(value, cell);
  }

  save(expiry: NewExpiry): void {
    const { place, bits, state, rows, count } = this;
    if (count > 0) this.pages.save();
    const part = encodeTreeState(state, false);
    const { incarnation } = rows;
    place.write({ form: ValueForm.Large, type: place.type, bits, incarnation, count, part }, expiry, rows.isChanged);
  }

  private isEqual(value: Buffer, cell: Cell): boolean {
    return this.cells.equals(value, cell);
  }
}
