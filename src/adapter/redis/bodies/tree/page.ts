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
import { ByteReader, type Cell, cellBytes, NO_CELL, readCell, skipCell, writeCell } from '../rows/index.ts';

/**
 * The cells of a page: taken out of its row one by one as they are looked at, because a look-up needs a few of them, and all together when they are to
 * be changed.
 */
class PageCells {
  private readonly row: Buffer;
  /** Where each cell begins in the row. */
  private readonly starts: readonly number[];
  private taken: Cell[] | undefined;

  /** @param taken the cells of a page without a row */
  constructor(row: Buffer, starts: readonly number[], taken?: Cell[]) {
    this.row = row;
    this.starts = starts;
    this.taken = taken;
  }

  get size(): number {
    return this.taken?.length ?? this.starts.length;
  }

  /** @param index from 0 to `size - 1` */
  at(index: number): Cell {
    return this.taken === undefined ? this.read(this.starts[index]!) : this.taken[index]!;
  }

  /** May be changed in place. */
  all(): Cell[] {
    this.taken ??= this.starts.map((start) => this.read(start));
    return this.taken;
  }

  private read(start: number): Cell {
    return readCell(new ByteReader(this.row, start));
  }
}

const NO_ROW = Buffer.alloc(0);

/** A page of elements. */
export class Leaf {
  readonly number: number;
  /** What the cells take, bytes. */
  bytes: number;
  /** Whether its rows exist. */
  isStored: boolean;
  private readonly elements: PageCells;

  constructor(number: number, elements: PageCells, bytes: number, isStored: boolean) {
    this.number = number;
    this.elements = elements;
    this.bytes = bytes;
    this.isStored = isStored;
  }

  /** A page that has no row yet. */
  static of(number: number, cells: Cell[]): Leaf {
    return new Leaf(number, new PageCells(NO_ROW, [], cells), bytesOfCells(cells), false);
  }

  get size(): number {
    return this.elements.size;
  }

  /** @param index from 0 to `size - 1` */
  cellAt(index: number): Cell {
    return this.elements.at(index);
  }

  /** All elements, to be changed in place. */
  get cells(): Cell[] {
    return this.elements.all();
  }
}

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
  private readonly borders: PageCells;

  constructor(
    number: number,
    level: number,
    children: number[],
    borders: PageCells,
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
    return new Inner(number, level, children, new PageCells(NO_ROW, [], separators), counts, false);
  }

  /** What separates a child of an ordered tree from the one before it. */
  separatorAt(index: number): Cell {
    return this.borders.at(index);
  }

  /** As many as children, to be changed in place; those of a list are empty. */
  get separators(): Cell[] {
    return this.borders.all();
  }
}

const LEAF_LEVEL = 0;

export const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

export const bytesOfCells = (cells: readonly Cell[]): number => cells.reduce((sum, cell) => sum + cellBytes(cell), 0);

/** Bytes of a leaf's row. */
export function leafSize(leaf: Leaf): number {
  return 1 + varintBytes(leaf.size) + leaf.bytes;
}

/** The row of a leaf. */
export function encodeLeaf(leaf: Leaf): Buffer {
  const row = Buffer.allocUnsafe(leafSize(leaf));
  row[0] = LEAF_LEVEL;
  let at = writeVarint(row, 1, leaf.cells.length);
  for (const cell of leaf.cells) at = writeCell(row, at, cell);
  return row;
}

/** Reads what `encodeLeaf` wrote; cells are views. */
export function decodeLeaf(number: number, row: Buffer): Leaf {
  const reader = new ByteReader(row);
  assert(reader.byte() === LEAF_LEVEL, 'a leaf is where a leaf must be');
  const count = reader.varint();
  const starts: number[] = [];
  for (let index = 0; index < count; index++) {
    starts.push(reader.offset);
    skipCell(reader);
  }
  return new Leaf(number, new PageCells(row, starts), row.length - 1 - varintBytes(count), true);
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
    return new Inner(number, level, children, new PageCells(row, [], separators), counts, true);
  }
  const starts: number[] = [];
  for (let index = 0; index < count; index++) {
    children.push(reader.varint());
    starts.push(reader.offset);
    skipCell(reader);
  }
  return new Inner(number, level, children, new PageCells(row, starts), undefined, true);
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
