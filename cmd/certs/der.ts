/**
 * DER, the encoding of certificates (ITU-T X.690), as much of it as certificates need. A value is a tag, a length and its contents; what is
 * read has been read by OpenSSL before, so the reader only finds its way.
 */
import { assert } from '../../src/platform/index.ts';

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Lengths up to here are one byte; longer ones say first how many bytes they have. */
const LONGEST_SHORT = 0x7f;

function bytesOf(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return bytes;
}

function lengthBytes(count: number): Buffer {
  if (count <= LONGEST_SHORT) return Buffer.of(count);
  const bytes = bytesOf(count);
  return Buffer.of(0x80 | bytes.length, ...bytes);
}

function encode(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const contents = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag), lengthBytes(contents.length), contents]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => encode(TAG.sequence, ...parts);
export const setOf = (part: Uint8Array): Buffer => encode(TAG.set, part);
export const octetString = (contents: Uint8Array): Buffer => encode(TAG.octetString, contents);
export const utf8String = (text: string): Buffer => encode(TAG.utf8String, Buffer.from(text, 'utf8'));
export const TRUE: Buffer = encode(TAG.boolean, Buffer.of(0xff));
export const NULL: Buffer = Buffer.of(0x05, 0);

/** @param unusedBits at the end of the last byte */
export const bitString = (contents: Uint8Array, unusedBits = 0): Buffer =>
  encode(TAG.bitString, Buffer.of(unusedBits), contents);

/** A tag of the context, around a whole value or in the place of its own tag. */
export const tagged = (number: number, contents: Uint8Array, form: 'explicit' | 'implicit'): Buffer =>
  encode((form === 'explicit' ? 0xa0 : 0x80) | number, contents);

/** A whole number that is not negative, most significant byte first. */
export function integer(magnitude: Uint8Array): Buffer {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const shortest = first === -1 ? Buffer.of(0) : Buffer.from(magnitude.subarray(first));
  // The highest bit would be a sign.
  return encode(TAG.integer, shortest[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), shortest]) : shortest);
}

/** An object identifier such as `2.5.29.17`. */
export function oid(text: string): Buffer {
  const [first, second, ...rest] = text.split('.').map(Number) as [number, number, ...number[]];
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left % 128) | 0x80);
    return groups;
  });
  return encode(TAG.oid, Buffer.from(bytes));
}

/** A moment in whole seconds; RFC 5280 §4.1.2.5 writes years from 2050 on in another form. */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`;
  return date.getUTCFullYear() < 2050
    ? encode(TAG.utcTime, Buffer.from(digits.slice(2), 'latin1'))
    : encode(TAG.generalizedTime, Buffer.from(digits, 'latin1'));
}

/** A value that was read. */
export interface Element {
  readonly tag: number;
  readonly contents: Buffer;
  /** Tag and length included. */
  readonly whole: Buffer;
}

/** The values that stand one behind the other in `bytes`, such as the contents of a sequence. */
export function elementsIn(bytes: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at]!;
    const lead = bytes[at + 1]!;
    const lengthSize = lead > LONGEST_SHORT ? lead & 0x7f : 0;
    const start = at + 2 + lengthSize;
    const length = lengthSize === 0 ? lead : bytes.readUIntBE(at + 2, lengthSize);
    const end = start + length;
    assert(end <= bytes.length, 'a value of DER ends within what it is in');
    elements.push({ tag, contents: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}
