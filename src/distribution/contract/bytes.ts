/** Writing and reading the binary rows and messages of this folder: big-endian, lengths first, every read bounds-checked. */
import { type HlcTimestamp, hlcTimestamp } from '../../platform/index.ts';
import { CatalogCorruptError } from './errors.ts';

const TWO_32 = 0x1_0000_0000;

/** Grows as needed; `finish` gives the bytes. */
export class ByteWriter {
  private buffer: Buffer;
  private length = 0;

  constructor(expectedBytes = 128) {
    this.buffer = Buffer.allocUnsafe(expectedBytes);
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

  bytes(value: Buffer): this {
    return this.u32(value.length).raw(value);
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  /** A value that may be absent: a flag, then the bytes. */
  optional(value: Buffer | undefined): this {
    return value === undefined ? this.u8(0) : this.u8(1).bytes(value);
  }

  finish(): Buffer {
    return Buffer.from(this.buffer.subarray(0, this.length));
  }
}

/** Reads what `ByteWriter` wrote; `what` names the row or message in errors. */
export class ByteReader {
  private readonly buffer: Buffer;
  private readonly what: string;
  private offset = 0;

  constructor(buffer: Buffer, what: string) {
    this.buffer = buffer;
    this.what = what;
  }

  private advance(count: number): number {
    const at = this.offset;
    if (at + count > this.buffer.length) throw this.corrupt('ends inside a field');
    this.offset = at + count;
    return at;
  }

  /** The error for this row or message. */
  corrupt(problem: string): CatalogCorruptError {
    return new CatalogCorruptError(`a ${this.what} ${problem}`);
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

  raw(count: number): Buffer {
    const at = this.advance(count);
    return Buffer.from(this.buffer.subarray(at, at + count));
  }

  /** A copy: rows are kept for long, the buffer that they came in may be large. */
  bytes(): Buffer {
    return this.raw(this.u32());
  }

  text(): string {
    return this.bytes().toString('utf8');
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

  /** @throws CatalogCorruptError when bytes are left over */
  end(): void {
    if (this.offset !== this.buffer.length) throw this.corrupt('has bytes after its end');
  }
}
