/** Writes what Redis' file format is made of. */
import { compressLzf } from './lzf.ts';
import { LENGTH_32, LENGTH_64, StringEncoding } from './rdb-reader.ts';

const TWO_32 = 2 ** 32;
/** Shorter strings are not compressed, and longer ones have to become so much shorter. */
const MIN_COMPRESSED_BYTES = 20;
const SAVED_BYTES = 4;
/** Characters of the longest 32-bit integer. */
const MAX_INTEGER_CHARACTERS = 11;

/** Bytes that grow at the end, integers little endian. */
export class RdbWriter {
  private buffer = Buffer.allocUnsafe(256);
  private size = 0;

  /** To be called before the buffer is looked at: it may be another one then. */
  private reserve(count: number): number {
    const at = this.size;
    this.size += count;
    if (this.size > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.size, this.buffer.length * 2));
      this.buffer.copy(larger, 0, 0, at);
      this.buffer = larger;
    }
    return at;
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.buffer[at] = value;
  }

  /** A whole number in `bytes` bytes, one to six; negative ones in two's complement. */
  int(value: number, bytes: number): void {
    const at = this.reserve(bytes);
    if (value < 0) this.buffer.writeIntLE(value, at, bytes);
    else this.buffer.writeUIntLE(value, at, bytes);
  }

  int64(value: bigint): void {
    const at = this.reserve(8);
    this.buffer.writeBigInt64LE(value, at);
  }

  double(value: number): void {
    const at = this.reserve(8);
    this.buffer.writeDoubleLE(value, at);
  }

  raw(bytes: Buffer): void {
    const at = this.reserve(bytes.length);
    bytes.copy(this.buffer, at);
  }

  length(value: number): void {
    if (value < 0x40) this.u8(value);
    else if (value < 0x4000) {
      this.u8(0x40 | (value >> 8));
      this.u8(value & 0xff);
    } else if (value < TWO_32) {
      this.u8(LENGTH_32);
      const at = this.reserve(4);
      this.buffer.writeUInt32BE(value, at);
    } else this.bigLength(BigInt(value));
  }

  /** A number of up to 64 bits in the form of a length; negative ones in two's complement. */
  bigLength(value: bigint): void {
    const unsigned = BigInt.asUintN(64, value);
    if (unsigned < BigInt(TWO_32)) this.length(Number(unsigned));
    else {
      this.u8(LENGTH_64);
      const at = this.reserve(8);
      this.buffer.writeBigUInt64BE(unsigned, at);
    }
  }

  /** A string in the encoding that Redis would choose. */
  string(bytes: Buffer): void {
    const integer = shortInteger(bytes);
    if (integer !== undefined) {
      this.integer(integer);
      return;
    }
    const limit = bytes.length - SAVED_BYTES;
    const compressed = bytes.length > MIN_COMPRESSED_BYTES ? compressLzf(bytes, limit) : undefined;
    if (compressed === undefined) this.length(bytes.length);
    else {
      this.u8(StringEncoding.Lzf);
      this.length(compressed.length);
      this.length(bytes.length);
    }
    this.raw(compressed ?? bytes);
  }

  private integer(value: number): void {
    const width = value >= -0x80 && value < 0x80 ? 1 : value >= -0x8000 && value < 0x8000 ? 2 : 4;
    this.u8(width === 1 ? StringEncoding.Int8 : width === 2 ? StringEncoding.Int16 : StringEncoding.Int32);
    this.int(value, width);
  }

  /** A view of what was written. */
  finish(): Buffer {
    return this.buffer.subarray(0, this.size);
  }
}

/** The 32-bit integer that bytes spell in the only way in which they can be written again. */
function shortInteger(bytes: Buffer): number | undefined {
  if (bytes.length === 0 || bytes.length > MAX_INTEGER_CHARACTERS) return undefined;
  const text = bytes.toString('latin1');
  const value = Number(text) | 0;
  return String(value) === text ? value : undefined;
}
