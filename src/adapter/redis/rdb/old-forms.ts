/** The compact forms that Redis had before listpacks, and sets of integers. They are read only, but for the latter. */
import { RdbFormatError } from './errors.ts';
import { RdbWriter } from './rdb-writer.ts';

const END = 0xff;

const damaged = (what: string): RdbFormatError => new RdbFormatError(`${what} is damaged`);

/**
 * The elements of a ziplist; strings are views.
 *
 *   bytes of all (u32)  offset of the last element (u32)  elements (u16)
 *   (length of the element before (1 byte, or 0xfe and 4)  encoding  content)*  0xff
 *
 * @throws RdbFormatError
 */
export function readZiplist(bytes: Buffer): Buffer[] {
  const headerBytes = 10;
  const what = 'a ziplist';
  if (bytes.length <= headerBytes || bytes.readUInt32LE(0) !== bytes.length || bytes.at(-1) !== END)
    throw damaged(what);
  const last = bytes.length - 1;
  const elements: Buffer[] = [];
  let at = headerBytes;
  const take = (from: number, length: number): void => {
    if (length > last - from) throw damaged(what);
    elements.push(bytes.subarray(from, from + length));
    at = from + length;
  };
  const takeInteger = (from: number, width: number): void => {
    if (width > last - from) throw damaged(what);
    const value = width === 8 ? bytes.readBigInt64LE(from) : bytes.readIntLE(from, width);
    elements.push(Buffer.from(String(value)));
    at = from + width;
  };
  while (at < last) {
    at += bytes[at] === 0xfe ? 5 : 1;
    if (at >= last) throw damaged(what);
    const encoding = bytes[at]!;
    if (encoding < 0x40) take(at + 1, encoding);
    else if (encoding < 0x80) take(at + 2, ((encoding & 0x3f) << 8) | (bytes[at + 1] ?? 0));
    else if (encoding === 0x80) {
      if (at + 5 > last) throw damaged(what);
      take(at + 5, bytes.readUInt32BE(at + 1));
    } else if (encoding === 0xc0) takeInteger(at + 1, 2);
    else if (encoding === 0xd0) takeInteger(at + 1, 4);
    else if (encoding === 0xe0) takeInteger(at + 1, 8);
    else if (encoding === 0xf0) takeInteger(at + 1, 3);
    else if (encoding === 0xfe) takeInteger(at + 1, 1);
    else if (encoding > 0xf0 && encoding < 0xfe) {
      elements.push(Buffer.from(String(encoding - 0xf1)));
      at += 1;
    } else throw damaged(what);
  }
  const count = bytes.readUInt16LE(8);
  if (count !== 0xffff && count !== elements.length) throw damaged(what);
  return elements;
}

/**
 * Fields and values of a zipmap, one after the other; they are views.
 *
 *   fields (u8)  (length (1 byte, or 0xfe and 4)  field  length  free bytes (u8)  value  free bytes)*  0xff
 *
 * @throws RdbFormatError
 */
export function readZipmap(bytes: Buffer): Buffer[] {
  const what = 'a zipmap';
  if (bytes.length < 2 || bytes.at(-1) !== END) throw damaged(what);
  const last = bytes.length - 1;
  const parts: Buffer[] = [];
  let at = 1;
  while (at < last) {
    let length = bytes[at++]!;
    if (length === 0xfe) {
      if (at + 4 > last) throw damaged(what);
      length = bytes.readUInt32LE(at);
      at += 4;
    } else if (length === END) throw damaged(what);
    const isValue = parts.length % 2 === 1;
    const free = isValue ? (bytes[at++] ?? 0) : 0;
    if (length + free > last - at) throw damaged(what);
    parts.push(bytes.subarray(at, at + length));
    at += length + free;
  }
  if (parts.length % 2 === 1) throw damaged(what);
  return parts;
}

/**
 * The integers of a set, in ascending order.
 *
 *   bytes an integer (u32)  integers (u32)  integers
 *
 * @throws RdbFormatError
 */
export function readIntset(bytes: Buffer): Buffer[] {
  const width = bytes.length < 8 ? 0 : bytes.readUInt32LE(0);
  const isKnown = width === 2 || width === 4 || width === 8;
  if (!isKnown || bytes.readUInt32LE(4) * width !== bytes.length - 8) throw damaged('an intset');
  const members: Buffer[] = [];
  let before: bigint | undefined;
  for (let at = 8; at < bytes.length; at += width) {
    const value = width === 8 ? bytes.readBigInt64LE(at) : BigInt(bytes.readIntLE(at, width));
    if (before !== undefined && value <= before) throw damaged('an intset');
    before = value;
    members.push(Buffer.from(String(value)));
  }
  return members;
}

/** The inverse of `readIntset`; the members may come in any order. */
export function writeIntset(members: readonly bigint[]): Buffer {
  const sorted = [...members].sort((left, right) => (left < right ? -1 : 1));
  const fits = (bits: number): boolean => sorted.every((value) => BigInt.asIntN(bits, value) === value);
  const width = fits(16) ? 2 : fits(32) ? 4 : 8;
  const writer = new RdbWriter();
  writer.int(width, 4);
  writer.int(sorted.length, 4);
  for (const value of sorted) {
    if (width === 8) writer.int64(value);
    else writer.int(Number(value), width);
  }
  return writer.finish();
}
