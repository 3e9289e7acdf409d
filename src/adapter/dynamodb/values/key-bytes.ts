/**
 * Key attributes as bytes whose order is the order of the values. Every component ends by itself, so components follow each other in a key, and a
 * condition on a prefix of them is a range of bytes.
 *
 *   strings, binaries   the bytes, 00 as 00 FF, then 00 01
 *   zero                80
 *   positive numbers    81, E + 130, digits in pairs as 1..100 (a last single one with 0 behind it), then 00
 *   negative numbers    7F, then the other bytes of the positive form complemented
 *
 * What is on disk is made of these bytes: they stay as they are.
 */
import type { ByteWriter, CorruptBytesError } from '../../../platform/index.ts';
import type { ScalarValue } from './attribute.ts';
import { formatDecimal, parseCanonical } from './decimal.ts';

const NEGATIVE = 0x7f;
const ZERO = 0x80;
const POSITIVE = 0x81;
const EXPONENT_BIAS = 130;
const NUMBER_END = 0x00;
const ESCAPE = 0x00;
const ESCAPED = 0xff;
const COMPONENT_END = 0x01;
/** Sign, exponent, 19 pairs, end. */
export const MAX_NUMBER_BYTES = 22;

const codeZero = 0x30;

/** @param text canonical */
export function numberBytes(text: string): Buffer {
  if (text === '0') return Buffer.of(ZERO);
  const { isNegative, digits, exponent } = parseCanonical(text);
  const pairs = (digits.length + 1) >> 1;
  const bytes = Buffer.allocUnsafe(pairs + 3);
  bytes[0] = POSITIVE;
  bytes[1] = exponent + EXPONENT_BIAS;
  for (let pair = 0; pair < pairs; pair++) {
    const tens = digits.charCodeAt(2 * pair) - codeZero;
    const units = 2 * pair + 1 < digits.length ? digits.charCodeAt(2 * pair + 1) - codeZero : 0;
    bytes[pair + 2] = tens * 10 + units + 1;
  }
  bytes[pairs + 2] = NUMBER_END;
  if (isNegative) {
    bytes[0] = NEGATIVE;
    for (let at = 1; at < bytes.length; at++) bytes[at] = 0xff - bytes[at]!;
  }
  return bytes;
}

/** A component that was read, and where the next one begins. */
export interface KeyComponent<Value> {
  readonly value: Value;
  readonly end: number;
}

/**
 * Reads what `numberBytes` wrote, as a canonical text.
 * @param errorClass thrown for bytes that cannot have been written so
 */
export function readNumberBytes(bytes: Buffer, at: number, errorClass: CorruptBytesError): KeyComponent<string> {
  const sign = bytes[at];
  if (sign === ZERO) return { value: '0', end: at + 1 };
  if (sign !== POSITIVE && sign !== NEGATIVE) throw new errorClass(`a number begins with byte ${sign}`);
  const flip = sign === NEGATIVE ? 0xff : 0;
  let digits = '';
  let end = at + 2;
  for (; ; end++) {
    if (end >= bytes.length || end - at >= MAX_NUMBER_BYTES) throw new errorClass('a number has no end');
    const pair = bytes[end]! ^ flip;
    if (pair === NUMBER_END) break;
    if (pair > 100) throw new errorClass(`a number has the pair of digits ${pair}`);
    digits += pair <= 10 ? `0${pair - 1}` : String(pair - 1);
  }
  if (digits.endsWith('0')) digits = digits.slice(0, -1);
  if (digits === '' || digits.startsWith('0') || digits.endsWith('0'))
    throw new errorClass('a number is not in its normal form');
  const exponent = (bytes[at + 1]! ^ flip) - EXPONENT_BIAS;
  return { value: formatDecimal({ isNegative: sign === NEGATIVE, digits, exponent }), end: end + 1 };
}

function escaped(raw: Buffer): Buffer {
  let zeros = 0;
  for (const byte of raw) if (byte === ESCAPE) zeros++;
  if (zeros === 0) return raw;
  const bytes = Buffer.allocUnsafe(raw.length + zeros);
  let at = 0;
  for (const byte of raw) {
    bytes[at++] = byte;
    if (byte === ESCAPE) bytes[at++] = ESCAPED;
  }
  return bytes;
}

const END_MARK = Buffer.of(ESCAPE, COMPONENT_END);

const rawBytes = (value: ScalarValue & { readonly type: 'S' | 'B' }): Buffer =>
  value.type === 'S' ? Buffer.from(value.value, 'utf8') : value.value;

/** One attribute of a key. */
export function keyComponent(value: ScalarValue): Buffer {
  if (value.type === 'N') return numberBytes(value.value);
  return Buffer.concat([escaped(rawBytes(value)), END_MARK]);
}

/** Like `keyComponent`, behind what was written before. */
export function writeKeyComponent(writer: ByteWriter, value: ScalarValue): void {
  if (value.type === 'N') writer.raw(numberBytes(value.value));
  else writer.raw(escaped(rawBytes(value))).raw(END_MARK);
}

/** What the component of every value that begins with this one begins with. */
export const keyComponentPrefix = (value: ScalarValue & { readonly type: 'S' | 'B' }): Buffer =>
  escaped(rawBytes(value));

/**
 * Reads one attribute of a key.
 * @param errorClass thrown for bytes that cannot have been written so
 */
export function readKeyComponent(
  bytes: Buffer,
  at: number,
  type: ScalarValue['type'],
  errorClass: CorruptBytesError,
): KeyComponent<ScalarValue> {
  if (type === 'N') {
    const { value, end } = readNumberBytes(bytes, at, errorClass);
    return { value: { type, value }, end };
  }
  const { value, end } = readEscaped(bytes, at, errorClass);
  return { value: type === 'S' ? { type, value: value.toString('utf8') } : { type, value }, end };
}

function readEscaped(bytes: Buffer, start: number, errorClass: CorruptBytesError): KeyComponent<Buffer> {
  let at = start;
  let zeros = 0;
  for (;;) {
    at = bytes.indexOf(ESCAPE, at);
    const mark = at < 0 ? undefined : bytes[at + 1];
    if (mark === COMPONENT_END) break;
    if (mark !== ESCAPED) throw new errorClass('a part of a key has no end');
    zeros++;
    at += 2;
  }
  const value = Buffer.allocUnsafe(at - start - zeros);
  let written = 0;
  for (let from = start; from < at; from++) {
    value[written++] = bytes[from]!;
    if (bytes[from] === ESCAPE) from++;
  }
  return { value, end: at + 2 };
}

/**
 * The least bytes that are above everything that begins with `prefix`.
 * @returns undefined when there are none: the prefix is empty or all FF
 */
export function prefixEnd(prefix: Buffer): Buffer | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1]! += 1;
  return end;
}
