/**
 * How a sketch lies in a string: byte for byte as in Redis, so that sketches can be read with GET, written with SET and moved between both.
 *
 *   "HYLL"  encoding (u8)  3 zero bytes  cardinality (u64, little endian; the highest bit: it is out of date)  registers
 *
 * Dense registers are 16,384 numbers of 6 bits, the lowest bits of a byte first. Sparse ones are runs:
 *
 *   00llllll           l + 1 registers are 0
 *   01llllll llllllll  l + 1 registers are 0
 *   1vvvvvll           l + 1 registers are v + 1
 */
import { RedisError } from '../../protocol/index.ts';
import { REGISTER_COUNT } from './element-hash.ts';

const MAGIC: Buffer = Buffer.from('HYLL');

/** Bytes in front of the registers. */
export const HEADER_BYTES = 16;
/** Where the encoding is. */
export const ENCODING_AT = 4;
/** Where the cardinality is; its last byte says whether it is out of date. */
export const CARDINALITY_AT = 8;
export const STALE_AT = 15;
export const STALE_BIT = 0x80;

/** How registers are written. Values of Redis. */
export const SketchEncoding = { Dense: 0, Sparse: 1 } as const;

/** Bits of a dense register. */
const REGISTER_BITS = 6;
const REGISTER_MASK = 0x3f;
/** Bytes of a dense sketch. */
export const DENSE_BYTES = HEADER_BYTES + (REGISTER_COUNT * REGISTER_BITS) / 8;

/** The error of a string that is no sketch at all. */
export const notASketch = (): RedisError => new RedisError('WRONGTYPE Key is not a valid HyperLogLog string value.');

/** The error of a sketch whose registers make no sense. */
export const corruptedSketch = (): RedisError => new RedisError('INVALIDOBJ Corrupted HLL object detected');

/** Whether a string of a length that begins with `header` may be a sketch. */
export function isSketch(header: Buffer, length: number): boolean {
  if (length < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC)) return false;
  const encoding = header[ENCODING_AT];
  return encoding === SketchEncoding.Sparse || (encoding === SketchEncoding.Dense && length === DENSE_BYTES);
}

/** A new dense sketch with the header of another. */
export function denseLike(header: Buffer): Buffer {
  const dense = Buffer.alloc(DENSE_BYTES);
  header.copy(dense, 0, 0, HEADER_BYTES);
  dense[ENCODING_AT] = SketchEncoding.Dense;
  return dense;
}

/** A sketch of nothing. */
export function emptySketch(): Buffer {
  const sketch = Buffer.alloc(HEADER_BYTES + 2);
  MAGIC.copy(sketch);
  sketch[ENCODING_AT] = SketchEncoding.Sparse;
  writeZeros(sketch, HEADER_BYTES, REGISTER_COUNT);
  return sketch;
}

/** Where a dense register begins in its sketch, in bytes, and how many bits of that byte are others'. */
export const denseByte = (register: number): number => HEADER_BYTES + ((register * REGISTER_BITS) >> 3);
const denseShift = (register: number): number => (register * REGISTER_BITS) & 7;

/** A dense register out of its byte and the next. */
export const denseIn = (register: number, first: number, second: number): number =>
  ((first | (second << 8)) >> denseShift(register)) & REGISTER_MASK;

/** The two bytes of a dense register with another count in it, in one number, the first byte lowest. */
export function withDense(register: number, first: number, second: number, count: number): number {
  const shift = denseShift(register);
  return ((first | (second << 8)) & ~(REGISTER_MASK << shift)) | (count << shift);
}

/** Longest runs that a sparse sketch can write. */
const SHORT_ZEROS = 64;
const VALUE_RUN = 4;
/** The largest count of a sparse register. */
export const SPARSE_MAX_COUNT = 32;

/** Writes a run of zeros in the shortest form. @returns the offset behind it */
export function writeZeros(target: Buffer, at: number, length: number): number {
  const rest = length - 1;
  if (length <= SHORT_ZEROS) {
    target[at] = rest;
    return at + 1;
  }
  target[at] = 0x40 | (rest >> 8);
  target[at + 1] = rest & 0xff;
  return at + 2;
}

/** Whether two runs of the same count fit into one. */
export const fitsValueRun = (length: number): boolean => length <= VALUE_RUN;

/** Writes a run of a count. @returns the offset behind it */
export function writeValues(target: Buffer, at: number, count: number, length: number): number {
  target[at] = 0x80 | ((count - 1) << 2) | (length - 1);
  return at + 1;
}

/** Whether a run that begins with a byte has a count above 0. */
export const isValueRun = (first: number): boolean => (first & 0x80) !== 0;
/** Whether a run that begins with a byte takes another one. */
export const isLongRun = (first: number): boolean => (first & 0xc0) === 0x40;
/** What the registers of a run count. */
export const countOfRun = (first: number): number => (isValueRun(first) ? ((first >> 2) & 0x1f) + 1 : 0);

/** Registers of a run by its byte and the next. */
export function lengthOfRun(first: number, second: number): number {
  if (isValueRun(first)) return (first & 3) + 1;
  return isLongRun(first) ? (((first & 0x3f) << 8) | second) + 1 : (first & 0x3f) + 1;
}
