/**
 * An element inside a page: its bytes, or where they are.
 *
 *   inline  length * 2 (varint)  bytes
 *   long    length * 2 + 1 (varint)  number of its row (varint)  length of the prefix (varint)  prefix
 *
 * Bytes that are long lie in a row of their own, which is written once: changes of the page do not write them again. Where cells are
 * in order, the page keeps the first bytes, so that a comparison seldom reads the row.
 */
import { assert } from '../../../../platform/index.ts';
import { varintBytes, writeVarint } from '../../keys/index.ts';
import type { BodyLimits } from './access.ts';
import { type BodyRows, RowKind } from './body-rows.ts';
import { ByteReader } from './byte-reader.ts';

/** An element whose bytes have a row of their own. */
export class LongCell {
  readonly number: number;
  readonly length: number;
  /** The first bytes; none where order does not matter. */
  readonly prefix: Buffer;

  constructor(number: number, length: number, prefix: Buffer) {
    this.number = number;
    this.length = length;
    this.prefix = prefix;
  }
}

/** Bytes are themselves. */
export type Cell = Buffer | LongCell;

/** Cells whose bytes are asked for together. */
const CELLS_TOGETHER = 256;

/** Stands where a page has no separator. */
export const NO_CELL: Cell = Buffer.alloc(0);

/** Bytes that a cell takes in a page. */
export function cellBytes(cell: Cell): number {
  if (!(cell instanceof LongCell)) return varintBytes(cell.length * 2) + cell.length;
  const { number, length, prefix } = cell;
  return varintBytes(length * 2 + 1) + varintBytes(number) + varintBytes(prefix.length) + prefix.length;
}

/** @returns the offset behind the cell */
export function writeCell(target: Buffer, at: number, cell: Cell): number {
  if (cell instanceof LongCell) {
    let offset = writeVarint(target, at, cell.length * 2 + 1);
    offset = writeVarint(target, offset, cell.number);
    offset = writeVarint(target, offset, cell.prefix.length);
    return offset + cell.prefix.copy(target, offset);
  }
  const offset = writeVarint(target, at, cell.length * 2);
  return offset + cell.copy(target, offset);
}

/** Reads what `writeCell` wrote; inline bytes are views. */
export function readCell(reader: ByteReader): Cell {
  const header = reader.varint();
  const length = Math.floor(header / 2);
  if (header % 2 === 0) return reader.take(length);
  const number = reader.varint();
  return new LongCell(number, length, reader.take(reader.varint()));
}

/** Above every length that is one byte in a cell's header. */
const SHORT_HEADER = 0x80;

/** Where the cell ends that begins at an offset of a row. */
export function cellEnd(row: Buffer, at: number): number {
  const short = row[at]!;
  if (short < SHORT_HEADER && short % 2 === 0) return at + 1 + short / 2;
  const reader = new ByteReader(row, at);
  const header = reader.varint();
  if (header % 2 === 0) return reader.offset + header / 2;
  reader.varint();
  const prefixBytes = reader.varint();
  return reader.offset + prefixBytes;
}

/** Keys are mostly told apart by their first bytes, where a loop is faster than a call. */
const LOOP_BYTES = 16;

/** The order of a key and a part of other bytes. */
function compareBytes(key: Buffer, bytes: Buffer, from: number, to: number): number {
  const common = Math.min(LOOP_BYTES, key.length, to - from);
  for (let at = 0; at < common; at++) {
    const difference = key[at]! - bytes[from + at]!;
    if (difference !== 0) return difference;
  }
  return key.compare(bytes, from + common, to, common);
}

/** Draws numbers of rows. */
export interface RowNumbers {
  /** The next number that was never used in the incarnation; its owner keeps it. */
  next: number;
}

/** Makes, reads, compares and frees the cells of one body. */
export class Cells {
  private readonly rows: BodyRows;
  private readonly numbers: RowNumbers;
  private readonly inlineBytes: number;
  private readonly prefixBytes: number;

  /** @param isOrdered whether cells are compared, and keep a prefix */
  constructor(rows: BodyRows, numbers: RowNumbers, limits: BodyLimits, isOrdered: boolean) {
    this.rows = rows;
    this.numbers = numbers;
    this.inlineBytes = limits.inlineBytes;
    this.prefixBytes = isOrdered ? limits.prefixBytes : 0;
  }

  /** A cell for bytes; writes their row when they are long. */
  make(bytes: Buffer): Cell {
    if (bytes.length <= this.inlineBytes) return bytes;
    const number = this.numbers.next++;
    this.rows.put(this.rows.numberedKey(RowKind.Long, number), Buffer.from(bytes));
    return new LongCell(number, bytes.length, bytes.subarray(0, this.prefixBytes));
  }

  bytesOf(cell: Cell): Buffer {
    if (!(cell instanceof LongCell)) return cell;
    const bytes = this.rows.get(this.rows.numberedKey(RowKind.Long, cell.number));
    assert(bytes !== undefined && bytes.length === cell.length, 'the row of a long element is missing');
    return bytes;
  }

  /** Says that the bytes of cells are about to be asked for. */
  prefetch(cells: () => readonly Cell[]): void {
    this.rows.prefetch(() =>
      cells().flatMap((cell) => (cell instanceof LongCell ? [this.rows.numberedKey(RowKind.Long, cell.number)] : [])),
    );
  }

  /**
   * The bytes of cells one by one; where rows come from afar, those of many cells are asked for together.
   * @param atMost how many will be taken
   */
  *bytesOfEach(cells: Iterable<Cell>, atMost = Number.POSITIVE_INFINITY): Generator<Buffer> {
    if (!this.rows.isAfar) {
      for (const cell of cells) yield this.bytesOf(cell);
      return;
    }
    const size = Math.min(atMost, CELLS_TOGETHER);
    let together: Cell[] = [];
    for (const cell of cells) {
      if (together.push(cell) < size) continue;
      yield* this.bytesOfMany(together);
      together = [];
    }
    yield* this.bytesOfMany(together);
  }

  private *bytesOfMany(cells: readonly Cell[]): Generator<Buffer> {
    this.prefetch(() => cells);
    for (const cell of cells) yield this.bytesOf(cell);
  }

  /** Deletes the row of a cell that is in no page any more. */
  free(cell: Cell): void {
    if (cell instanceof LongCell) this.rows.delete(this.rows.numberedKey(RowKind.Long, cell.number));
  }

  /** The order of a key and a cell, as `Buffer.compare` says it. */
  compare(key: Buffer, cell: Cell): number {
    if (!(cell instanceof LongCell)) return Buffer.compare(key, cell);
    const { prefix } = cell;
    const byPrefix = key.compare(prefix, 0, prefix.length, 0, Math.min(prefix.length, key.length));
    return byPrefix !== 0 ? byPrefix : Buffer.compare(key, this.bytesOf(cell));
  }

  /** The order of a key and the cell that begins at an offset of a row. */
  compareIn(key: Buffer, row: Buffer, at: number): number {
    const short = row[at]!;
    return short < SHORT_HEADER && short % 2 === 0
      ? compareBytes(key, row, at + 1, at + 1 + short / 2)
      : this.compare(key, readCell(new ByteReader(row, at)));
  }

  equals(bytes: Buffer, cell: Cell): boolean {
    return bytes.length === cell.length && bytes.equals(this.bytesOf(cell));
  }

  /** The shortest cell that separates two neighbours: above `left`, and not above `right`. */
  separator(left: Cell, right: Cell): Cell {
    const [below, above] = [this.bytesOf(left), this.bytesOf(right)];
    let common = 0;
    while (common < below.length && below[common] === above[common]) common++;
    assert(common < above.length, 'neighbours of an ordered tree are in order');
    return this.make(above.subarray(0, common + 1));
  }
}
