/**
 * Reads what Redis' file format is made of. Every length is held against what is left, and strings are views of the input, so no bytes make it
 * allocate more than a multiple of them.
 */
import { parseDouble } from '../protocol/index.ts';
import { RdbEndError, RdbFormatError } from './errors.ts';
import { decompressLzf } from './lzf.ts';

/** First byte of lengths of 32 and 64 bits. Those below begin with the bits 00 (6 bits) or 01 (14 bits). */
export const LENGTH_32 = 0x80;
export const LENGTH_64 = 0x81;
/** What stands in the place of a string's length: how its bytes are encoded instead. */
export const StringEncoding = { Int8: 0xc0, Int16: 0xc1, Int32: 0xc2, Lzf: 0xc3 } as const;

const TWO_32 = 2 ** 32;

export class RdbReader {
  private readonly bytes: Buffer;
  private at = 0;
  /** Bytes that decompressed strings may still take. */
  private room: number;

  /** @param maxDecompressedBytes of all compressed strings together */
  constructor(bytes: Buffer, maxDecompressedBytes: number) {
    this.bytes = bytes;
    this.room = maxDecompressedBytes;
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  private advance(count: number): number {
    const { at } = this;
    if (count > this.bytes.length - at) throw new RdbEndError();
    this.at = at + count;
    return at;
  }

  /** Bytes that were read. */
  get position(): number {
    return this.at;
  }

  /** Passes bytes over. */
  skip(count: number): void {
    this.advance(count);
  }

  u8(): number {
    return this.bytes[this.advance(1)]!;
  }

  /** A fraction of eight bytes. */
  double(): number {
    return this.bytes.readDoubleLE(this.advance(8));
  }

  /** A whole number of four bytes. */
  int32(): number {
    return this.bytes.readInt32LE(this.advance(4));
  }

  /** A whole number of eight bytes. */
  int64(): bigint {
    return this.bytes.readBigInt64LE(this.advance(8));
  }

  /** A view of the next bytes. */
  take(count: number): Buffer {
    const at = this.advance(count);
    return this.bytes.subarray(at, at + count);
  }

  /** A length or a count. */
  length(): number {
    const first = this.u8();
    const value = this.lengthAfter(first);
    if (value === undefined) throw new RdbFormatError(`${first} is no length`);
    return value;
  }

  /** A number of up to 64 bits in the form of a length. */
  bigLength(): bigint {
    if (this.bytes[this.at] !== LENGTH_64) return BigInt(this.length());
    this.u8();
    return this.bytes.readBigUInt64BE(this.advance(8));
  }

  /** Undefined when the first byte says that something else follows. */
  private lengthAfter(first: number): number | undefined {
    if (first < 0x40) return first;
    if (first < LENGTH_32) return ((first & 0x3f) << 8) | this.u8();
    if (first === LENGTH_32) return this.bytes.readUInt32BE(this.advance(4));
    if (first !== LENGTH_64) return undefined;
    const at = this.advance(8);
    const value = this.bytes.readUInt32BE(at) * TWO_32 + this.bytes.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) throw new RdbFormatError('a length is above 2^53');
    return value;
  }

  /** A string in any of its encodings. */
  string(): Buffer {
    const first = this.u8();
    const length = this.lengthAfter(first);
    if (length !== undefined) return this.take(length);
    switch (first) {
      case StringEncoding.Int8:
        return Buffer.from(String(this.bytes.readInt8(this.advance(1))));
      case StringEncoding.Int16:
        return Buffer.from(String(this.bytes.readInt16LE(this.advance(2))));
      case StringEncoding.Int32:
        return Buffer.from(String(this.bytes.readInt32LE(this.advance(4))));
      case StringEncoding.Lzf: {
        const compressed = this.length();
        const result = this.length();
        const bytes = this.take(compressed);
        this.room -= result;
        if (this.room < 0) throw new RdbFormatError('compressed strings take too much room');
        return decompressLzf(bytes, result);
      }
      default:
        throw new RdbFormatError(`a string begins with ${first}`);
    }
  }

  /** Passes a string over, without decompressing it. */
  skipString(): void {
    const first = this.u8();
    const length = this.lengthAfter(first);
    if (length !== undefined) this.skip(length);
    else if (first === StringEncoding.Lzf) {
      const compressed = this.length();
      this.length();
      this.skip(compressed);
    } else if (first >= StringEncoding.Int8 && first <= StringEncoding.Int32)
      this.skip(1 << (first - StringEncoding.Int8));
    else throw new RdbFormatError(`a string begins with ${first}`);
  }

  /** A fraction as text with its length in a byte, as the first form of sorted sets has it. */
  doubleText(): number {
    const length = this.u8();
    if (length === 255) return Number.NEGATIVE_INFINITY;
    if (length === 254) return Number.POSITIVE_INFINITY;
    if (length === 253) return Number.NaN;
    return requireDouble(this.take(length));
  }
}

/** @throws RdbFormatError when it is not a number; NaN is one */
export function requireDouble(bytes: Buffer): number {
  const value = parseDouble(bytes);
  if (value !== undefined) return value;
  if (bytes.toString('latin1').toLowerCase() === 'nan') return Number.NaN;
  throw new RdbFormatError('a score is no number');
}
