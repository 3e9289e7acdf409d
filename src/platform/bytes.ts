/**
 * Writing and reading binary rows, entries and messages: big-endian, lengths first, every read bounds-checked. Layouts are declared
 * where they are used; here are the fields that they are made of. What a reader throws is its caller's: damaged bytes of
 * the catalog are another matter than those of a peer.
 */
import { type HlcTimestamp, hlcTimestamp } from './types.ts';

const TWO_32 = 0x1_0000_0000;

/** Grows as needed; `finish` or `finishView` gives the bytes, and the writer is not used afterwards. */
export class ByteWriter {
  private buffer: Buffer;
  private length = 0;

  /** @param expectedBytes exact for the hot paths: then nothing is copied */
  constructor(expectedBytes = 128) {
    this.buffer = Buffer.allocUnsafe(expectedBytes);
  }

  /** Bytes written so far. */
  get size(): number {
    return this.length;
  }

  private reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.length, this.buffer.length * 2));
      this.buffer.copy(larger, 0, 0, at);
      this.buffer = larger;
    }
    return at;
  }

  u8(value: number): this {
    const at = this.reserve(1);
    this.buffer[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.reserve(2);
    this.buffer.writeUInt16BE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.reserve(4);
    this.buffer.writeUInt32BE(value, at);
    return this;
  }

  /** A whole number below 2^53 in eight bytes. */
  u53(value: number): this {
    const at = this.reserve(8);
    this.buffer.writeUInt32BE(Math.floor(value / TWO_32), at);
    this.buffer.writeUInt32BE(value >>> 0, at + 4);
    return this;
  }

  u64(value: bigint): this {
    const at = this.reserve(8);
    this.buffer.writeBigUInt64BE(value, at);
    return this;
  }

  /** A fraction, exactly as it is. */
  f64(value: number): this {
    const at = this.reserve(8);
    this.buffer.writeDoubleBE(value, at);
    return this;
  }

  /** Bytes without a length. */
  raw(value: Buffer): this {
    const at = this.reserve(value.length);
    this.buffer.set(value, at);
    return this;
  }

  /** The length, then the bytes. */
  bytes(value: Buffer): this {
    return this.u32(value.length).raw(value);
  }

  text(value: string): this {
    const bytes = Buffer.byteLength(value);
    return this.u32(bytes).utf8(value, bytes);
  }

  /** A text without its length. @param bytes how many it has in UTF-8 */
  utf8(value: string, bytes: number): this {
    const at = this.reserve(bytes);
    // Without any but ASCII it is copied as it is.
    this.buffer.write(value, at, bytes, bytes === value.length ? 'latin1' : 'utf8');
    return this;
  }

  /** A value that may be absent: a flag, then the bytes. */
  optional(value: Buffer | undefined): this {
    return value === undefined ? this.u8(0) : this.u8(1).bytes(value);
  }

  /** What was written, in a buffer of that size: to be kept. */
  finish(): Buffer {
    return this.length === this.buffer.length ? this.buffer : Buffer.from(this.buffer.subarray(0, this.length));
  }

  /** What was written, as the beginning of a buffer that may be twice as large: to be sent and forgotten. */
  finishView(): Buffer {
    return this.buffer.subarray(0, this.length);
  }
}

/** Class of the errors that a reader throws. */
export type CorruptBytesError = new (message: string) => Error;

/** Reads what `ByteWriter` wrote. */
export class ByteReader {
  protected readonly buffer: Buffer;
  protected offset = 0;
  private readonly what: string;
  private readonly errorClass: CorruptBytesError;

  /**
   * @param what names the row or message in errors, with its article
   * @param errorClass thrown for bytes that cannot have been written so
   */
  constructor(buffer: Buffer, what: string, errorClass: CorruptBytesError) {
    this.buffer = buffer;
    this.what = what;
    this.errorClass = errorClass;
  }

  private advance(count: number): number {
    const at = this.offset;
    if (at + count > this.buffer.length) throw this.corrupt('ends inside a field');
    this.offset = at + count;
    return at;
  }

  /** The error for this row or message. */
  corrupt(problem: string): Error {
    return new this.errorClass(`${this.what} ${problem}`);
  }

  /** True when nothing is left. */
  get isAtEnd(): boolean {
    return this.offset === this.buffer.length;
  }

  /** Reads the codec byte that every row begins with. */
  version(known: number): void {
    const found = this.u8();
    if (found !== known) throw this.corrupt(`has codec ${found}, and this program knows ${known}`);
  }

  /** Reads the codec byte of a row that has been written in several ways. */
  versionUpTo(newest: number): number {
    const found = this.u8();
    if (found < 1 || found > newest) throw this.corrupt(`has codec ${found}, and this program knows 1 to ${newest}`);
    return found;
  }

  u8(): number {
    return this.buffer[this.advance(1)]!;
  }

  u16(): number {
    return this.buffer.readUInt16BE(this.advance(2));
  }

  u32(): number {
    return this.buffer.readUInt32BE(this.advance(4));
  }

  u53(): number {
    const at = this.advance(8);
    const value = this.buffer.readUInt32BE(at) * TWO_32 + this.buffer.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) throw this.corrupt('has a number above 2^53');
    return value;
  }

  u64(): bigint {
    return this.buffer.readBigUInt64BE(this.advance(8));
  }

  /** A fraction from 0 to 1. */
  share(): number {
    const value = this.buffer.readDoubleBE(this.advance(8));
    if (!(value >= 0 && value <= 1)) throw this.corrupt(`has a share of ${value}`);
    return value;
  }

  timestamp(): HlcTimestamp {
    return hlcTimestamp(this.u64());
  }

  /** Passes over so many bytes. @returns where they begin in `buffer` */
  protected passed(count: number): number {
    return this.advance(count);
  }

  /** So many bytes as a text. */
  utf8(count: number): string {
    const at = this.advance(count);
    return this.buffer.toString('utf8', at, at + count);
  }

  /** A copy of so many bytes. */
  raw(count: number): Buffer {
    const at = this.advance(count);
    return Buffer.from(this.buffer.subarray(at, at + count));
  }

  /** Bytes with their length, as a copy: to be kept, while the buffer that they came in may be large. */
  bytes(): Buffer {
    return this.raw(this.u32());
  }

  /** Bytes with their length, as a view of the buffer. */
  view(): Buffer {
    const length = this.u32();
    const at = this.advance(length);
    return this.buffer.subarray(at, at + length);
  }

  /** Passes over bytes with their length. */
  skipBytes(): void {
    this.advance(this.u32());
  }

  /** All that is left, as a view of the buffer. */
  rest(): Buffer {
    const at = this.offset;
    this.offset = this.buffer.length;
    return this.buffer.subarray(at);
  }

  text(): string {
    return this.utf8(this.u32());
  }

  /** 0 or 1. */
  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw this.corrupt(`has flag ${value}`);
    return value === 1;
  }

  optional(): Buffer | undefined {
    return this.flag() ? this.bytes() : undefined;
  }

  /** One of a closed list of names, stored as its place in the list. */
  oneOf<Name extends string>(names: readonly Name[]): Name {
    const at = this.u8();
    const name = names[at];
    if (name === undefined) throw this.corrupt(`has unknown value ${at}`);
    return name;
  }

  /** Fails when bytes are left over. */
  end(): void {
    if (!this.isAtEnd) throw this.corrupt('has bytes after its end');
  }
}
