/**
 * Listpacks: short elements one behind the other, each with its length in front and behind, so that they can be walked both ways.
 *
 *   bytes of all (u32)  elements (u16; 65,535 for more than can be said)  (encoding  content  length of both, backwards)*  0xff
 */
import { RdbFormatError } from './errors.ts';
import { RdbWriter } from './rdb-writer.ts';

const HEADER_BYTES = 6;
const END = 0xff;
const UNKNOWN_COUNT = 0xffff;
/** Characters of the longest 64-bit integer. */
const MAX_INTEGER_CHARACTERS = 20;

/** What an element takes: `width` bytes of an integer behind the encoding, or a string. */
const INTEGER_WIDTHS: Readonly<Record<number, number>> = { 241: 2, 242: 3, 243: 4, 244: 8 };
const STRING_32 = 0xf0;

/** Bytes that the length of an element takes behind it. */
function backLengthBytes(length: number): number {
  if (length < 128) return 1;
  if (length < 16_384) return 2;
  if (length < 2_097_152) return 3;
  return length < 268_435_456 ? 4 : 5;
}

/** The elements of a listpack; strings are views. @throws RdbFormatError */
export function readListpack(bytes: Buffer): Buffer[] {
  if (bytes.length <= HEADER_BYTES || bytes.readUInt32LE(0) !== bytes.length || bytes.at(-1) !== END) throw damaged();
  const elements: Buffer[] = [];
  const last = bytes.length - 1;
  let at = HEADER_BYTES;
  while (at < last) {
    const start = at;
    const first = bytes[at]!;
    if (first < 0x80) {
      elements.push(Buffer.from(String(first)));
      at += 1;
    } else if (first < 0xc0) at = takeString(bytes, at + 1, first & 0x3f, last, elements);
    else if (first < 0xe0) {
      const value = ((first & 0x1f) << 8) | (bytes[at + 1] ?? 0);
      elements.push(Buffer.from(String(value < 0x1000 ? value : value - 0x2000)));
      at += 2;
    } else if (first < 0xf0)
      at = takeString(bytes, at + 2, ((first & 0x0f) << 8) | (bytes[at + 1] ?? 0), last, elements);
    else if (first === STRING_32) {
      if (at + 5 > last) throw damaged();
      at = takeString(bytes, at + 5, bytes.readUInt32LE(at + 1), last, elements);
    } else {
      const width = INTEGER_WIDTHS[first];
      if (width === undefined || at + 1 + width > last) throw damaged();
      const value = width === 8 ? bytes.readBigInt64LE(at + 1) : bytes.readIntLE(at + 1, width);
      elements.push(Buffer.from(String(value)));
      at += 1 + width;
    }
    at += backLengthBytes(at - start);
  }
  const count = bytes.readUInt16LE(4);
  if (at !== last || (count !== UNKNOWN_COUNT && count !== elements.length)) throw damaged();
  return elements;
}

/** @returns the offset behind it */
function takeString(bytes: Buffer, from: number, length: number, last: number, elements: Buffer[]): number {
  if (length > last - from) throw damaged();
  elements.push(bytes.subarray(from, from + length));
  return from + length;
}

const damaged = (): RdbFormatError => new RdbFormatError('a listpack is damaged');

/** The 64-bit integer that bytes spell in the only way in which they can be written again. */
function integerIn(bytes: Buffer): bigint | undefined {
  if (bytes.length === 0 || bytes.length > MAX_INTEGER_CHARACTERS) return undefined;
  const text = bytes.toString('latin1');
  if (!/^(0|-?[1-9][0-9]*)$/.test(text)) return undefined;
  const value = BigInt(text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

/** Writes elements into a listpack. */
export class ListpackWriter {
  private readonly writer = new RdbWriter();
  private count = 0;
  /** Bytes of all, the end included. */
  size = HEADER_BYTES + 1;

  constructor() {
    this.writer.int(0, HEADER_BYTES);
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  add(element: Buffer): void {
    const { writer } = this;
    const integer = integerIn(element);
    const length = integer === undefined ? this.string(element) : this.integer(integer);
    const back = backLengthBytes(length);
    for (let part = back - 1; part >= 0; part--) {
      const bits = Math.floor(length / 128 ** part) % 128;
      writer.u8(part === back - 1 ? bits : bits | 0x80);
    }
    this.size += length + back;
    this.count++;
  }

  /** @returns bytes written */
  private string(bytes: Buffer): number {
    const { writer } = this;
    const { length } = bytes;
    if (length < 0x40) writer.u8(0x80 | length);
    else if (length < 0x1000) {
      writer.u8(0xe0 | (length >> 8));
      writer.u8(length & 0xff);
    } else {
      writer.u8(STRING_32);
      writer.int(length, 4);
    }
    writer.raw(bytes);
    return length + (length < 0x40 ? 1 : length < 0x1000 ? 2 : 5);
  }

  /** @returns bytes written */
  private integer(value: bigint): number {
    const { writer } = this;
    const small = Number(value);
    if (small >= 0 && small < 0x80) {
      writer.u8(small);
      return 1;
    }
    if (small >= -0x1000 && small < 0x1000) {
      const bits = small < 0 ? small + 0x2000 : small;
      writer.u8(0xc0 | (bits >> 8));
      writer.u8(bits & 0xff);
      return 2;
    }
    for (const [encoding, width] of [
      [0xf1, 2],
      [0xf2, 3],
      [0xf3, 4],
    ] as const) {
      if (small < -(2 ** (8 * width - 1)) || small >= 2 ** (8 * width - 1)) continue;
      writer.u8(encoding);
      writer.int(small, width);
      return 1 + width;
    }
    writer.u8(0xf4);
    writer.int64(value);
    return 9;
  }

  finish(): Buffer {
    this.writer.u8(END);
    const bytes = this.writer.finish();
    bytes.writeUInt32LE(this.size, 0);
    bytes.writeUInt16LE(Math.min(this.count, UNKNOWN_COUNT), 4);
    return bytes;
  }
}
