/**
 * The chunks of a large string.
 *
 *   'c'  incarnation  number (6 bytes)  ->  bytes
 *   what a string's head needs: bytes of a chunk (varint)
 *
 * Chunk n has the bytes of the string from n times the size of a chunk on. What a row lacks up to the size, and up to the end of the string, is
 * zeros; a row that is not there is zeros altogether. So a bit that is set far behind the end costs one short row.
 *
 * A string has a bounded number of chunks, so whatever reads all of it or copies it touches a bounded number of rows. One that grows beyond the bound
 * is written anew with chunks of twice the size.
 */
import { assert } from '../../../../platform/index.ts';
import { ValueForm, varintBytes, writeVarint } from '../../keys/index.ts';
import { ValueType } from '../../values/index.ts';
import { type BodyLimits, type BodyRows, ByteReader, type LargeHead, RowKind, type WalkedRow } from '../rows/index.ts';

/** How much larger the chunks become. */
const GROWTH = 2;

/** Rows that are kept once they were read: more than a sketch has. */
const KEPT_CHUNKS = 32;

const NO_BYTES: Buffer = Buffer.alloc(0);

/** Bytes of a chunk for a string of a length. */
export function chunkBytesFor(length: number, { chunkBytes, maxChunks }: BodyLimits): number {
  let bytes = chunkBytes;
  while (length > bytes * maxChunks) bytes *= GROWTH;
  return bytes;
}

/** What the head of a large string needs. */
function encodeChunkBytes(chunkBytes: number): Buffer {
  const part = Buffer.allocUnsafe(varintBytes(chunkBytes));
  writeVarint(part, 0, chunkBytes);
  return part;
}

/** Bytes of a chunk, as the head says. */
export function decodeChunkBytes(part: Buffer): number {
  const chunkBytes = new ByteReader(part).varint();
  assert(chunkBytes > 0, 'a chunk has bytes');
  return chunkBytes;
}

/** Keys of the chunks `first` to `last`. */
const chunkKeys = (rows: BodyRows, first: number, last: number): Buffer[] =>
  Array.from({ length: last - first + 1 }, (_, nth) => rows.numberedKey(RowKind.Chunk, first + nth));

/** Zeros that bytes are compared with: a comparison looks at many at a time. */
const ZEROS: Buffer = Buffer.alloc(64 * 1024);

function isZero(bytes: Buffer): boolean {
  if (bytes.length === 0) return true;
  if (bytes[0] !== 0) return false;
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length);
    if (!part.equals(ZEROS.subarray(0, part.length))) return false;
  }
  return true;
}

/** A part of a string. */
export interface StringPart {
  /** Where it begins in the string. */
  readonly at: number;
  readonly length: number;
  /** Its first bytes; all others of it are zeros. */
  readonly bytes: Buffer;
}

/** The chunks of one incarnation as they are stored, and as they are to be. */
export class Chunks {
  length: number;
  readonly rows: BodyRows;
  readonly chunkBytes: number;
  /** Chunks that differ from their rows; their buffers are nobody else's. */
  private readonly changed = new Map<number, Buffer>();
  /** Rows that were read, so that whoever goes from byte to byte does not read them again and again. */
  private readonly read = new Map<number, Buffer>();
  /** False while none of the rows exists. */
  private isStored: boolean;

  constructor(rows: BodyRows, length: number, chunkBytes: number, isStored: boolean) {
    this.rows = rows;
    this.length = length;
    this.chunkBytes = chunkBytes;
    this.isStored = isStored;
  }

  /** A view of a chunk's bytes as far as there are any. */
  private chunk(number: number): Buffer {
    const known = this.changed.get(number) ?? this.read.get(number);
    if (known !== undefined || !this.isStored) return known ?? NO_BYTES;
    const bytes = this.rows.get(this.rows.numberedKey(RowKind.Chunk, number)) ?? NO_BYTES;
    if (this.read.size >= KEPT_CHUNKS) this.read.clear();
    this.read.set(number, bytes);
    return bytes;
  }

  /** The parts that bytes from `from` to below `to` lie in, in order and without gaps. */
  *parts(from: number, to: number): Generator<StringPart> {
    const { chunkBytes } = this;
    if (from >= to) return;
    const [first, last] = [Math.floor(from / chunkBytes), Math.floor((to - 1) / chunkBytes)];
    if (last > first && this.isStored) this.rows.prefetch(() => chunkKeys(this.rows, first, last));
    for (let number = first; number <= last; number++) {
      const start = number * chunkBytes;
      const at = Math.max(from, start);
      const length = Math.min(to, start + chunkBytes) - at;
      yield { at, length, bytes: this.chunk(number).subarray(at - start, at - start + length) };
    }
  }

  /** Bytes from `from` to below `to`, which lie within the string. */
  slice(from: number, to: number): Buffer {
    if (from >= to) return NO_BYTES;
    const number = Math.floor(from / this.chunkBytes);
    const start = number * this.chunkBytes;
    if (to <= start + this.chunkBytes) {
      const part = this.chunk(number).subarray(from - start, to - start);
      if (part.length === to - from) return part;
    }
    const bytes = Buffer.allocUnsafe(to - from);
    for (const part of this.parts(from, to)) {
      const at = part.at - from;
      bytes.fill(0, at + part.bytes.copy(bytes, at), at + part.length);
    }
    return bytes;
  }

  /** Overwrites a part; the string becomes as long as that needs. */
  write(offset: number, bytes: Buffer): void {
    const { chunkBytes } = this;
    const end = offset + bytes.length;
    this.length = Math.max(this.length, end);
    for (let at = offset; at < end; ) {
      const number = Math.floor(at / chunkBytes);
      const within = at - number * chunkBytes;
      const length = Math.min(end - at, chunkBytes - within);
      this.overwrite(number, within, bytes.subarray(at - offset, at - offset + length));
      at += length;
    }
  }

  private overwrite(number: number, within: number, bytes: Buffer): void {
    const old = this.chunk(number);
    const end = within + bytes.length;
    const before = old.subarray(within, end);
    if (before.equals(bytes.subarray(0, before.length)) && isZero(bytes.subarray(before.length))) return;
    let target = old;
    if (old.length < end || !this.changed.has(number)) {
      target = Buffer.allocUnsafe(Math.max(old.length, end));
      target.fill(0, old.copy(target));
      this.changed.set(number, target);
    }
    bytes.copy(target, within);
  }

  /** Writes all of a string whose rows do not exist yet, as views of `bytes`, which nobody modifies from now on. */
  fill(bytes: Buffer): void {
    const { rows, chunkBytes } = this;
    assert(!this.isStored && this.changed.size === 0, 'a string is filled once');
    for (let number = 0, at = 0; at < bytes.length; number++, at += chunkBytes) {
      const chunk = bytes.subarray(at, at + chunkBytes);
      if (!isZero(chunk)) rows.put(rows.numberedKey(RowKind.Chunk, number), chunk);
    }
    this.length = bytes.length;
    this.isStored = true;
  }

  /** The same string in chunks of another size, under another incarnation. */
  resized(rows: BodyRows, chunkBytes: number): Chunks {
    const resized = new Chunks(rows, 0, chunkBytes, false);
    for (const { at, bytes } of this.parts(0, this.length)) resized.write(at, bytes);
    resized.length = this.length;
    return resized;
  }

  /** The head that names them. */
  head(): LargeHead {
    return {
      form: ValueForm.Large,
      type: ValueType.String,
      bits: 0,
      incarnation: this.rows.incarnation,
      count: this.length,
      part: encodeChunkBytes(this.chunkBytes),
    };
  }

  /** Writes the rows of what was changed. */
  save(): void {
    for (const [number, bytes] of this.changed) this.rows.put(this.rows.numberedKey(RowKind.Chunk, number), bytes);
    this.changed.clear();
    this.read.clear();
    this.isStored = true;
  }
}

/** All rows of a large string. @throws AssertionError when they do not fit together */
export function* walkChunks(rows: BodyRows, length: number, chunkBytes: number): Generator<WalkedRow> {
  const count = Math.ceil(length / chunkBytes);
  rows.prefetch(() => chunkKeys(rows, 0, count - 1));
  for (let number = 0; number < count; number++) {
    const key = rows.numberedKey(RowKind.Chunk, number);
    const value = rows.get(key);
    if (value === undefined) continue;
    const most = Math.min(chunkBytes, length - number * chunkBytes);
    assert(value.length > 0 && value.length <= most, 'a chunk lies within its string');
    yield { key, value };
  }
}
