/** All rows of a counted tree, with everything that must hold for them. */
import { assert } from '../../../../platform/index.ts';
import {
  type BodyLimits,
  type BodyRows,
  type Cell,
  Cells,
  DEFAULT_BODY_LIMITS,
  RowKind,
  rowsOfCells,
  type WalkedRow,
  walkedRow,
} from '../rows/index.ts';
import { decodeCounts, decodeInner, type Inner, Leaf } from './page.ts';
import { FIRST, LAST, type TreeState } from './tree-state.ts';

/** A row of a tree; that of a leaf with the bytes of its elements. */
export interface WalkedPage extends WalkedRow {
  readonly elements?: readonly Buffer[];
}

/** Keys from `low` on and below `high`; undefined is no bound. */
interface Bounds {
  readonly low: Buffer | undefined;
  readonly high: Buffer | undefined;
}

/**
 * @param limits what the tree was always written with; left out when that is not known
 * @throws AssertionError when something does not fit together
 */
export function walkTree(
  rows: BodyRows,
  state: TreeState,
  count: number,
  isOrdered: boolean,
  limits?: BodyLimits,
): Generator<WalkedPage> {
  return new TreeWalk(rows, state, isOrdered, limits).walk(count);
}

class TreeWalk {
  private readonly rows: BodyRows;
  private readonly state: TreeState;
  private readonly isOrdered: boolean;
  private readonly limits: BodyLimits | undefined;
  private readonly cells: Cells;
  private readonly pages = new Set<number>();
  private previous: Buffer | undefined;

  constructor(rows: BodyRows, state: TreeState, isOrdered: boolean, limits: BodyLimits | undefined) {
    this.rows = rows;
    this.state = state;
    this.isOrdered = isOrdered;
    this.limits = limits;
    this.cells = new Cells(rows, state, limits ?? DEFAULT_BODY_LIMITS, isOrdered);
  }

  *walk(count: number): Generator<WalkedPage> {
    const { fingers, separators, root, levels } = this.state;
    const [first, last] = fingers;
    assert((root !== 0) === levels > 0, 'a tree has a root and levels, or neither');
    assert(root === 0 || (first.page !== 0 && last.page !== 0), 'while there is a tree there are both fingers');
    const isUsed = this.isOrdered ? [root !== 0, last.page !== 0 && first.page !== 0] : [false, false];
    for (const end of [FIRST, LAST])
      assert(separators[end].length > 0 === isUsed[end]!, 'separators separate two things');
    yield* rowsOfCells(this.rows, separators);
    const [low, high] = separators.map((cell) => (cell.length > 0 ? this.cells.bytesOf(cell) : undefined));
    const behindFirst = low ?? high;
    this.askFor([first.page, root, last.page]);
    let total = 0;
    if (first.page !== 0) {
      const size = yield* this.leaf(first.page, { low: undefined, high: behindFirst });
      assert(size === first.count, 'a head counts the elements of the first leaf');
      total += size;
    }
    if (root !== 0) total += yield* this.page(root, levels - 1, { low, high });
    if (last.page !== 0) {
      const size = yield* this.leaf(last.page, { low: high, high: undefined });
      assert(size === last.count, 'a head counts the elements of the last leaf');
      total += size;
    }
    assert(total === count, 'a head counts its elements');
  }

  private *page(number: number, level: number, bounds: Bounds): Generator<WalkedPage, number> {
    if (level === 0) {
      const size = yield* this.leaf(number, bounds);
      return size;
    }
    const row = this.pageRow(number);
    yield row;
    const page = decodeInner(number, row.value, this.isOrdered);
    assert(page.level === level, 'a page of a tree is at its level');
    const isCounting = level >= this.state.countLevel;
    let { counts } = page;
    if (this.isOrdered && isCounting && number === this.state.root) counts = [...this.state.rootCounts];
    else if (this.isOrdered && isCounting) {
      const countsRow = walkedRow(this.rows, this.rows.numberedKey(RowKind.TreeCounts, number), 'the counts of a page');
      yield countsRow;
      counts = decodeCounts(countsRow.value);
    }
    this.checkInner(page, row.value.length, isCounting);
    assert(!isCounting || counts?.length === page.children.length, 'a page counts what is below each child');
    this.askFor(page.children, this.isOrdered && level > this.state.countLevel);
    yield* rowsOfCells(this.rows, page.separators);
    const separators = page.separators.map((cell) => (cell.length > 0 ? this.cells.bytesOf(cell) : undefined));
    let total = 0;
    for (const [index, child] of page.children.entries()) {
      const low = index === 0 ? bounds.low : separators[index];
      const size = yield* this.page(child, level - 1, { low, high: separators[index + 1] ?? bounds.high });
      assert(!isCounting || counts![index] === size, 'a count is the number of elements below its child');
      total += size;
    }
    return total;
  }

  private *leaf(number: number, { low, high }: Bounds): Generator<WalkedPage, number> {
    const row = this.pageRow(number);
    const { cells } = Leaf.decode(number, row.value);
    assert(cells.length > 0, 'a leaf has elements');
    assert(this.limits === undefined || row.value.length <= this.limits.pageBytes, 'a leaf is not too large');
    yield* rowsOfCells(this.rows, cells);
    const elements = cells.map((cell: Cell) => this.cells.bytesOf(cell));
    for (const element of this.isOrdered ? elements : []) {
      const { previous } = this;
      assert(previous === undefined || Buffer.compare(previous, element) < 0, 'the keys of a tree are in order');
      assert(low === undefined || Buffer.compare(low, element) <= 0, 'a key is not below its separator');
      assert(high === undefined || Buffer.compare(element, high) < 0, 'a key is below the next separator');
      this.previous = element;
    }
    yield { ...row, elements };
    return cells.length;
  }

  /** Says that pages, and with them what they count, are about to be read. */
  private askFor(numbers: readonly number[], withCounts = false): void {
    const those = numbers.filter((number) => number !== 0);
    const kinds = withCounts ? [RowKind.TreePage, RowKind.TreeCounts] : [RowKind.TreePage];
    this.rows.prefetch(() => kinds.flatMap((kind) => those.map((number) => this.rows.numberedKey(kind, number))));
  }

  private checkInner({ children, separators }: Inner, bytes: number, isCounting: boolean): void {
    assert(children.length > 0, 'a page has children');
    for (const [index, separator] of separators.entries())
      assert(separator.length > 0 === (this.isOrdered && index > 0), 'every child but the first has a separator');
    if (this.limits === undefined) return;
    assert(bytes <= this.limits.pageBytes, 'a page of children is not too large');
    assert(
      isCounting || children.length <= this.limits.childrenWithoutCounts,
      'a page without counts has few children',
    );
  }

  private pageRow(number: number): WalkedRow {
    assert(number < this.state.next, 'the next number was never used');
    assert(!this.pages.has(number), 'a page is in its tree once');
    this.pages.add(number);
    return walkedRow(this.rows, this.rows.numberedKey(RowKind.TreePage, number), 'a page of its tree');
  }
}
