/**
 * The pages of a tree and their bytes.
 *
 *   leaf             0 (u8)  number of cells (varint)  cell*
 *   inner, ordered   level (u8)  number of children (varint)  (child (varint)  separator (cell))*
 *     its counts     count of each child (varint)*, a row of its own, for levels that count
 *   inner, a list's  level (u8)  number of children (varint)  (child (varint)  count (varint))*
 *
 * The counts of an ordered tree change with every insert, its separators only with a split: apart they are a short row to write. The first
 * separator of a page is empty; every other one is at most the first key below its child, and above all keys before that.
 */
import { assert } from '../../../../platform/index.ts';
import { varintBytes, writeVarint } from '../../keys/index.ts';
import { ByteReader, type Cell, type Cells, cellBytes, cellEnd, NO_CELL, readCell, writeCell } from '../rows/index.ts';

const LEAF_LEVEL = 0;
/** Most bytes in front of the cells of a leaf: level, and number of cells. */
const LEAF_HEADER_ROOM = 4;

const leafHeaderBytes = (count: number): number => 1 + varintBytes(count);

/**
 * A page of elements. They stay as its row has them: they are found, compared, added and removed in its bytes, without being taken out. The bytes
 * are never changed, because rows that were read and elements that were given out are views of them: a change makes new ones.
 */
export class Leaf {
  readonly number: number;
  /** Whether its rows exist. */
  isStored: boolean;
  private buffer: Buffer;
  /** Where each cell begins in `buffer`, and where the last one ends. */
  private bounds: number[];
  /** Whether there is room for the header of a row in front of the cells, and nobody else has these bytes. */
  private hasHeaderRoom: boolean;

  private constructor(number: number, buffer: Buffer, bounds: number[], isStored: boolean) {
    this.number = number;
    this.buffer = buffer;
    this.bounds = bounds;
    this.isStored = isStored;
    this.hasHeaderRoom = !isStored;
  }

  /** A page that has no row yet. */
  static of(number: number, cells: readonly Cell[]): Leaf {
    const buffer = Buffer.allocUnsafe(LEAF_HEADER_ROOM + bytesOfCells(cells));
    const bounds = [LEAF_HEADER_ROOM];
    for (const cell of cells) bounds.push(writeCell(buffer, bounds.at(-1)!, cell));
    return new Leaf(number, buffer, bounds, false);
  }

  /** Reads what `row` gave; cells are views. */
  static decode(number: number, row: Buffer): Leaf {
    const count = cellsInLeaf(row);
    const bounds = new Array<number>(count + 1);
    let end = leafHeaderBytes(count);
    for (let index = 0; index < count; index++) {
      bounds[index] = end;
      end = cellEnd(row, end);
    }
    bounds[count] = end;
    assert(end === row.length, 'a leaf has its cells and nothing behind them');
    return new Leaf(number, row, bounds, true);
  }

  get size(): number {
    return this.bounds.length - 1;
  }

  /** What the cells take, bytes. */
  get bytes(): number {
    return this.bounds[this.size]! - this.bounds[0]!;
  }

  /** @param index from 0 to `size - 1` */
  cellAt(index: number): Cell {
    return readCell(new ByteReader(this.buffer, this.bounds[index]!));
  }

  /** All elements. */
  get cells(): Cell[] {
    return Array.from({ length: this.size }, (_, index) => this.cellAt(index));
  }

  /** The order of a key and an element. */
  compare(key: Buffer, index: number, cells: Cells): number {
    return cells.compareIn(key, this.buffer, this.bounds[index]!);
  }

  /** Puts elements into the place of `removed` others from `at` on. */
  splice(at: number, removed: number, added: readonly Cell[]): void {
    const { buffer, bounds } = this;
    const [start, from, to, end] = [bounds[0]!, bounds[at]!, bounds[at + removed]!, bounds[this.size]!];
    const before = from - start;
    const target = Buffer.allocUnsafe(LEAF_HEADER_ROOM + before + bytesOfCells(added) + end - to);
    target.set(buffer.subarray(start, from), LEAF_HEADER_ROOM);
    const after: number[] = [];
    const shiftBefore = LEAF_HEADER_ROOM - start;
    for (let index = 0; index < at; index++) after.push(bounds[index]! + shiftBefore);
    let offset = LEAF_HEADER_ROOM + before;
    for (const cell of added) {
      after.push(offset);
      offset = writeCell(target, offset, cell);
    }
    target.set(buffer.subarray(to, end), offset);
    for (let index = at + removed; index < bounds.length; index++) after.push(bounds[index]! + offset - to);
    this.buffer = target;
    this.bounds = after;
    this.hasHeaderRoom = true;
  }

  /** The bytes to be stored. */
  row(): Buffer {
    if (!this.hasHeaderRoom) this.splice(0, 0, []);
    this.hasHeaderRoom = false;
    const { buffer, bounds, size } = this;
    const at = bounds[0]! - leafHeaderBytes(size);
    buffer[at] = LEAF_LEVEL;
    writeVarint(buffer, at + 1, size);
    return buffer.subarray(at, bounds[size]!);
  }
}

/**
 * The separators of a page: taken out of its row one by one as they are looked at, because a look-up needs a few of them, and all together when they
 * are to be changed.
 */
class Separators {
  private readonly row: Buffer;
  /** Where each begins in the row. */
  private readonly starts: readonly number[];
  private taken: Cell[] | undefined;

  /** @param taken those of a page without a row */
  constructor(row: Buffer, starts: readonly number[], taken?: Cell[]) {
    this.row = row;
    this.starts = starts;
    this.taken = taken;
  }

  compare(key: Buffer, index: number, cells: Cells): number {
    return this.taken === undefined
      ? cells.compareIn(key, this.row, this.starts[index]!)
      : cells.compare(key, this.taken[index]!);
  }

  /** May be changed in place. */
  all(): Cell[] {
    this.taken ??= this.starts.map((start) => readCell(new ByteReader(this.row, start)));
    return this.taken;
  }
}

const NO_ROW = Buffer.alloc(0);

/** A page of children. */
export class Inner {
  readonly number: number;
  /** 1 is right above the leaves. */
  readonly level: number;
  readonly children: number[];
  /** Elements below each child; undefined where the level does not count, or where they were not read yet. */
  counts: number[] | undefined;
  /** The row of counts as it was read. */
  storedCounts: Buffer | undefined;
  /** Whether its rows exist. */
  isStored: boolean;
  private readonly borders: Separators;

  constructor(
    number: number,
    level: number,
    children: number[],
    borders: Separators,
    counts: number[] | undefined,
    isStored: boolean,
  ) {
    this.number = number;
    this.level = level;
    this.children = children;
    this.borders = borders;
    this.counts = counts;
    this.isStored = isStored;
  }

  /** A page that has no row yet. */
  static of(
    number: number,
    level: number,
    children: number[],
    separators: Cell[],
    counts: number[] | undefined,
  ): Inner {
    return new Inner(number, level, children, new Separators(NO_ROW, [], separators), counts, false);
  }

  /** The order of a key and what separates a child of an ordered tree from the one before it. */
  compare(key: Buffer, index: number, cells: Cells): number {
    return this.borders.compare(key, index, cells);
  }

  /** As many as children, to be changed in place; those of a list are empty. */
  get separators(): Cell[] {
    return this.borders.all();
  }
}

export const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

const bytesOfCells = (cells: readonly Cell[]): number => cells.reduce((sum, cell) => sum + cellBytes(cell), 0);

/** Bytes of a leaf's row. */
export function leafSize(leaf: Leaf): number {
  return leafHeaderBytes(leaf.size) + leaf.bytes;
}

/** How many cells a leaf has, without taking it apart. */
export function cellsInLeaf(row: Buffer): number {
  const reader = new ByteReader(row);
  assert(reader.byte() === LEAF_LEVEL, 'a leaf is where a leaf must be');
  return reader.varint();
}

export const isLeafRow = (row: Buffer): boolean => row[0] === LEAF_LEVEL;

/** What a count is taken to need at least: it may grow in its place, and the page must not become too large by that. */
const COUNT_BYTES = 4;

/** Bytes of one child in its page; in a list with room for its count to grow. */
export const childSize = (page: Inner, index: number, isOrdered: boolean): number =>
  varintBytes(page.children[index]!) +
  (isOrdered ? cellBytes(page.separators[index]!) : Math.max(COUNT_BYTES, varintBytes(page.counts![index]!)));

/** Bytes of the row of children, of a list's at most. */
export function innerSize(page: Inner, isOrdered: boolean): number {
  let size = 1 + varintBytes(page.children.length);
  for (let index = 0; index < page.children.length; index++) size += childSize(page, index, isOrdered);
  return size;
}

/** The row of children, with separators or, in a list, counts. */
export function encodeInner(page: Inner, isOrdered: boolean): Buffer {
  const row = Buffer.allocUnsafe(innerSize(page, isOrdered));
  row[0] = page.level;
  let at = writeVarint(row, 1, page.children.length);
  for (let index = 0; index < page.children.length; index++) {
    at = writeVarint(row, at, page.children[index]!);
    at = isOrdered ? writeCell(row, at, page.separators[index]!) : writeVarint(row, at, page.counts![index]!);
  }
  return row.subarray(0, at);
}

/** Reads what `encodeInner` wrote; separators are views. */
export function decodeInner(number: number, row: Buffer, isOrdered: boolean): Inner {
  const reader = new ByteReader(row);
  const level = reader.byte();
  assert(level !== LEAF_LEVEL, 'a page of children is where one must be');
  const count = reader.varint();
  const children: number[] = [];
  if (!isOrdered) {
    const counts: number[] = [];
    for (let index = 0; index < count; index++) {
      children.push(reader.varint());
      counts.push(reader.varint());
    }
    const separators = children.map(() => NO_CELL);
    return new Inner(number, level, children, new Separators(row, [], separators), counts, true);
  }
  const starts: number[] = [];
  for (let index = 0; index < count; index++) {
    children.push(reader.varint());
    starts.push(reader.offset);
    reader.goTo(cellEnd(row, reader.offset));
  }
  return new Inner(number, level, children, new Separators(row, starts), undefined, true);
}

/** The row of counts of a page of an ordered tree. */
export function encodeCounts(counts: readonly number[]): Buffer {
  const row = Buffer.allocUnsafe(counts.reduce((size, count) => size + varintBytes(count), 0));
  let at = 0;
  for (const count of counts) at = writeVarint(row, at, count);
  return row;
}

/** Reads what `encodeCounts` wrote. */
export function decodeCounts(row: Buffer): number[] {
  const reader = new ByteReader(row);
  const counts: number[] = [];
  while (!reader.isAtEnd) counts.push(reader.varint());
  return counts;
}
