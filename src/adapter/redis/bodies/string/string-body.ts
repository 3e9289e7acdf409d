/** Strings. */
import { type HlcTimestamp, NEVER } from '../../../../platform/index.ts';
import { VALUE_HEADER_BYTES, ValueForm } from '../../keys/index.ts';
import { readTyped, type TypedValue, ValueType, writeString, writeValueHeader } from '../../values/index.ts';
import {
  type BodyAccess,
  BodyRows,
  decodeHead,
  drawIncarnation,
  HeadPlace,
  type LargeHead,
  type NewExpiry,
} from '../rows/index.ts';
import { Chunks, chunkBytesFor, decodeChunkBytes, type StringPart } from './chunks.ts';

const NO_BYTES: Buffer = Buffer.alloc(0);

/** The chunks of a large string as they are stored. */
function storedChunks(access: Pick<BodyAccess, 'view'>, headKey: Buffer, head: LargeHead): Chunks {
  const rows = new BodyRows(access.view, headKey, head.incarnation);
  return new Chunks(rows, head.count, decodeChunkBytes(head.part), true);
}

/** The way to strings that are only read. */
export type StringAccess = Pick<BodyAccess, 'view' | 'storageKey'>;

/** All bytes of a string that was read, whatever its form. The view must not be modified. */
export function wholeOf(access: StringAccess, userKey: Buffer, value: TypedValue): Buffer {
  if (value.form === ValueForm.Packed) return value.payload;
  const head = decodeHead(value) as LargeHead;
  return storedChunks(access, access.storageKey(userKey), head).slice(0, head.count);
}

/**
 * Reads a string as a whole, the form not to be seen: its payload are its bytes.
 * @returns undefined when the key does not exist
 * @throws RedisError WRONGTYPE when the key holds another type
 */
export function readString(access: StringAccess, userKey: Buffer): TypedValue | undefined {
  const value = readTyped(access, userKey, ValueType.String);
  if (value === undefined || value.form === ValueForm.Packed) return value;
  return { ...value, form: ValueForm.Packed, payload: wholeOf(access, userKey, value) };
}

/**
 * A string, in whichever form, for commands that read or change parts of it. A string above a few KiB becomes chunks when a part of it is
 * changed, and such commands then cost what they touch. What is written as a whole is one row, up to `MAX_WHOLE_ROW_BYTES`. Changes are to be
 * saved before anybody else looks at the key, and a command opens a key once. Buffers that it returns are views and must not be modified; those that
 * it is given may be.
 */
export class StringBody {
  private readonly access: BodyAccess;
  private readonly key: Buffer;
  /** What the key held; undefined when it did not exist. */
  private readonly before: TypedValue | undefined;
  /** All bytes while it is in one piece. */
  private plain: Buffer = NO_BYTES;
  /** The row whose payload `plain` is, once that was changed. */
  private stored: Buffer | undefined;
  /** Its chunks while it is large. */
  private chunks: Chunks | undefined;
  /** Nothing of it comes from before it was opened. */
  private isWhole: boolean;
  private isTouched = false;
  /** Its head, once it was saved as a large one. */
  private place: HeadPlace | undefined;

  /** @throws RedisError WRONGTYPE */
  constructor(access: BodyAccess, userKey: Buffer) {
    this.access = access;
    this.before = readTyped(access, userKey, ValueType.String);
    this.key = access.storageKey(userKey);
    const { before } = this;
    this.isWhole = before === undefined;
    if (before === undefined) return;
    if (before.form === ValueForm.Packed) this.plain = before.payload;
    else this.chunks = storedChunks(access, this.key, decodeHead(before) as LargeHead);
  }

  /** Whether the key existed when it was opened. */
  get exists(): boolean {
    return this.before !== undefined;
  }

  /** Bytes. */
  get length(): number {
    return this.chunks === undefined ? this.plain.length : this.chunks.length;
  }

  /** The byte at an offset; 0 behind the end. */
  byteAt(offset: number): number {
    if (this.chunks === undefined) return this.plain[offset] ?? 0;
    return offset < this.chunks.length ? this.chunks.slice(offset, offset + 1)[0]! : 0;
  }

  /** Bytes from `from` to below `to`, as far as there are any. */
  slice(from: number, to: number): Buffer {
    if (this.chunks === undefined) return this.plain.subarray(from, to);
    return this.chunks.slice(from, Math.min(to, this.chunks.length));
  }

  /** All bytes. */
  whole(): Buffer {
    return this.slice(0, this.length);
  }

  /** The parts that bytes from `from` to below `to` lie in, in order and without gaps, for those who can do with one after the other. */
  parts(from: number, to: number): Iterable<StringPart> {
    const end = Math.min(to, this.length);
    if (this.chunks !== undefined) return this.chunks.parts(from, end);
    return from >= end ? [] : [{ at: from, length: end - from, bytes: this.plain.subarray(from, end) }];
  }

  /** Overwrites a part; what lies between the end and the part becomes zeros. */
  write(offset: number, bytes: Buffer): void {
    const end = offset + bytes.length;
    this.isTouched = true;
    if (this.chunks === undefined && !this.staysPlain(offset, end)) this.becomeLarge(end);
    if (this.chunks === undefined) {
      bytes.copy(this.changedPlain(end), offset);
      return;
    }
    this.resize(end);
    this.chunks.write(offset, bytes);
  }

  /** Adds bytes to the end. */
  append(bytes: Buffer): void {
    this.write(this.length, bytes);
  }

  /** Makes it longer with zeros when it is shorter. */
  grow(length: number): void {
    if (length <= this.length) return;
    this.isTouched = true;
    if (this.chunks === undefined && !this.staysPlain(length, length)) this.becomeLarge(length);
    if (this.chunks === undefined) {
      this.changedPlain(length);
      return;
    }
    this.resize(length);
    this.chunks.length = length;
  }

  /** Writes all of it anew, in one piece. */
  replace(bytes: Buffer): void {
    this.chunks = undefined;
    this.stored = undefined;
    this.plain = NO_BYTES;
    this.isWhole = true;
    bytes.copy(this.changedPlain(bytes.length));
  }

  /** Writes what was changed. The expiry stays, unless another one is given. */
  save(expiry: NewExpiry = 'keep'): void {
    const { before, chunks, stored } = this;
    const expireTs = expiry === 'keep' ? (before?.expireTs ?? NEVER) : expiry;
    if (chunks === undefined) {
      if (stored !== undefined) this.access.view.put(this.key, stored, expireTs);
      this.stored = undefined;
      return;
    }
    chunks.save();
    const stays = before?.form === ValueForm.Large;
    this.place ??= new HeadPlace(
      this.access,
      this.key,
      ValueType.String,
      stays ? { head: decodeHead(before), expireTs: before.expireTs } : undefined,
    );
    this.place.write(chunks.head(), stays ? expiry : expireTs, this.isTouched);
    this.isTouched = false;
  }

  /**
   * Whether it stays in one piece when it is written from `offset` to `end`: while it is short, when that is all of it, and as long as not every
   * node can read chunks.
   */
  private staysPlain(offset: number, end: number): boolean {
    const { length } = this.plain;
    const { bodyLimits, mayCreateBodies } = this.access;
    if (Math.max(end, length) <= bodyLimits.plainStringBytes || (this.isWhole && offset <= length)) return true;
    return !mayCreateBodies;
  }

  /** Its bytes in a row that may be changed, of at least a length. */
  private changedPlain(length: number): Buffer {
    if (this.stored !== undefined && length <= this.plain.length) return this.plain;
    const { plain } = this;
    this.stored = Buffer.allocUnsafe(VALUE_HEADER_BYTES + Math.max(length, plain.length));
    writeValueHeader(this.stored, ValueType.String, ValueForm.Packed);
    this.stored.fill(0, VALUE_HEADER_BYTES + plain.copy(this.stored, VALUE_HEADER_BYTES));
    this.plain = this.stored.subarray(VALUE_HEADER_BYTES);
    return this.plain;
  }

  private newRows(): BodyRows {
    return new BodyRows(this.access.view, this.key, drawIncarnation(this.access, ValueType.String));
  }

  private becomeLarge(end: number): void {
    const chunkBytes = chunkBytesFor(Math.max(end, this.plain.length), this.access.bodyLimits);
    this.chunks = new Chunks(this.newRows(), 0, chunkBytes, false);
    this.chunks.write(0, this.plain);
    this.plain = NO_BYTES;
    this.stored = undefined;
    this.isWhole = false;
  }

  /** Takes larger chunks when there would be too many for a length. */
  private resize(length: number): void {
    const chunks = this.chunks!;
    if (Math.max(length, chunks.length) <= chunks.chunkBytes * this.access.bodyLimits.maxChunks) return;
    this.chunks = chunks.resized(this.newRows(), chunkBytesFor(length, this.access.bodyLimits));
  }
}

/**
 * A string that is written as a whole is one row up to here. A longer one is chunks from the start: what has rows of its own can travel, be
 * written and be flushed in parts.
 */
export const MAX_WHOLE_ROW_BYTES = 4 * 1024 * 1024;

/** Writes a string as a whole, whatever the key held. @param bytes nobody modifies them any more @param expireTs when it expires, 0n for never */
export function writeWhole(access: BodyAccess, userKey: Buffer, bytes: Buffer, expireTs: HlcTimestamp): void {
  const isGone = expireTs !== NEVER && expireTs <= access.view.ts;
  if (bytes.length <= MAX_WHOLE_ROW_BYTES || isGone || !access.mayCreateBodies) {
    writeString(access, userKey, bytes, expireTs);
    return;
  }
  const key = access.storageKey(userKey);
  const rows = new BodyRows(access.view, key, drawIncarnation(access, ValueType.String));
  const chunks = new Chunks(rows, 0, chunkBytesFor(bytes.length, access.bodyLimits), false);
  chunks.fill(bytes);
  new HeadPlace(access, key, ValueType.String, undefined).write(chunks.head(), expireTs, true);
}

/** Opens the string of a key; an absent one is empty. @throws RedisError WRONGTYPE when the key holds another type */
export const openString = (access: BodyAccess, userKey: Buffer): StringBody => new StringBody(access, userKey);
