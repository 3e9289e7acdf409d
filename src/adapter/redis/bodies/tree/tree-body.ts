/** What lists and sorted sets have in common when they are in the pages of a tree. */
import { ValueForm } from '../../keys/index.ts';
import { BodyRows, Cells, type HeadPlace, type LargeHead, type NewExpiry } from '../rows/index.ts';
import { CountedTree } from './counted-tree.ts';
import { PageStore } from './page-store.ts';
import { decodeTreeState, emptyTree, encodeTreeState, type TreeState } from './tree-state.ts';

export abstract class TreeBody {
  bits: number;
  protected readonly rows: BodyRows;
  protected readonly state: TreeState;
  protected readonly cells: Cells;
  protected readonly tree: CountedTree;
  private readonly place: HeadPlace;
  private readonly pages: PageStore;
  private readonly isOrdered: boolean;

  /** @param isOrdered the elements are in the order of their bytes, not of positions alone */
  constructor(place: HeadPlace, head: LargeHead, bits: number, isOrdered: boolean) {
    const { view, bodyLimits } = place.access;
    this.place = place;
    this.bits = bits;
    this.isOrdered = isOrdered;
    this.rows = new BodyRows(view, place.key, head.incarnation);
    this.state = decodeTreeState(head.part, isOrdered);
    this.pages = new PageStore(this.rows, this.state, this.state, isOrdered);
    this.cells = new Cells(this.rows, this.state, bodyLimits, isOrdered);
    this.tree = new CountedTree(this.state, head.count, this.pages, this.cells, bodyLimits);
  }

  get count(): number {
    return this.tree.count;
  }

  walkFrom(index: number, step: 1 | -1, atMost?: number): Iterable<Buffer> {
    return this.cells.bytesOfEach(this.tree.walkFrom(index, step, atMost), atMost);
  }

  save(expiry: NewExpiry): void {
    const { place, bits, state, rows, count } = this;
    if (count > 0) this.pages.save();
    const part = encodeTreeState(state, this.isOrdered);
    const { incarnation } = rows;
    place.write({ form: ValueForm.Large, type: place.type, bits, incarnation, count, part }, expiry, rows.isChanged);
  }
}

/** What is new of a body in a tree. */
interface NewTree {
  readonly incarnation: Buffer;
  readonly bits: number;
  readonly countLevel: number;
  /** First number that a row may have. */
  readonly nextNumber: number;
  readonly isOrdered: boolean;
}

/** The head of a body without elements. */
export function emptyTreeHead(
  place: HeadPlace,
  { incarnation, bits, countLevel, nextNumber, isOrdered }: NewTree,
): LargeHead {
  const part = encodeTreeState(emptyTree(countLevel, nextNumber), isOrdered);
  return { form: ValueForm.Large, type: place.type, bits, incarnation, count: 0, part };
}
