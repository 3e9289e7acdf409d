/** A list in the pages of a tree. Nothing but long values is written before `save`. */
import type { Cell, HeadPlace, LargeHead } from '../rows/index.ts';
import { emptyTreeHead, TreeBody } from '../tree/index.ts';
import type { ListForm } from './list-form.ts';

/** Positions are all that a list has, so every page counts. */
const COUNT_LEVEL = 1;

/** See above. */
export class LargeList extends TreeBody implements ListForm {
  constructor(place: HeadPlace, head: LargeHead, bits: number) {
    super(place, head, bits, false);
  }

  static create(place: HeadPlace, incarnation: Buffer, bits: number, values: readonly Buffer[]): LargeList {
    const head = emptyTreeHead(place, { incarnation, bits, countLevel: COUNT_LEVEL, nextNumber: 1, isOrdered: false });
    const list = new LargeList(place, head, bits);
    list.tree.fill(values.map((value) => list.cells.make(value)));
    return list;
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

  *matchesFrom(index: number, step: 1 | -1, value: Buffer): Generator<boolean> {
    for (const cell of this.tree.walkFrom(index, step)) yield this.isEqual(value, cell);
  }

  private isEqual(value: Buffer, cell: Cell): boolean {
    return this.cells.equals(value, cell);
  }
}
