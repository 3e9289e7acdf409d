/**
 * Integers as Redis reads them: 64-bit signed, in canonical decimal form only (no plus sign, no leading zero, no blanks,
 * no `-0`). Most integers are short and are parsed without bigints.
 */
import { errors, type RedisError } from './reply.ts';

export const INT64_MAX = 2n ** 63n - 1n;
export const INT64_MIN = -(2n ** 63n);
const INT32_MAX = 2n ** 31n - 1n;
const INT32_MIN = -(2n ** 31n);

/** `-` and 19 digits. */
const MAX_CHARACTERS = 20;
/** Every integer of so many digits, and the sum of two of them, is a safe integer. */
const SAFE_DIGITS = 15;
const MINUS = 0x2d;
const ZERO = 0x30;

/** The integer that `text` spells canonically when it has at most 15 digits, else NaN. */
export function parseShortInteger(text: Buffer): number {
  const { length } = text;
  const negative = length > 0 && text[0] === MINUS;
  const from = negative ? 1 : 0;
  const digits = length - from;
  if (digits < 1 || digits > SAFE_DIGITS) return Number.NaN;
  if (text[from] === ZERO) return length === 1 ? 0 : Number.NaN;
  let value = 0;
  for (let index = from; index < length; index++) {
    const digit = text[index]! - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}

/** The 64-bit integer that `text` spells canonically, else undefined. */
export function parseInteger(text: Buffer): bigint | undefined {
  const short = parseShortInteger(text);
  if (!Number.isNaN(short)) return BigInt(short);
  if (text.length > MAX_CHARACTERS) return undefined;
  const spelled = text.toString('latin1');
  if (!/^-?[1-9][0-9]*$/.test(spelled)) return undefined;
  const value = BigInt(spelled);
  return value >= INT64_MIN && value <= INT64_MAX ? value : undefined;
}

/** @throws what `error` makes, by default `ERR value is not an integer or out of range` */
export function requireInteger(text: Buffer, error: () => RedisError = errors.notInteger): bigint {
  const value = parseInteger(text);
  if (value === undefined) throw error();
  return value;
}

/**
 * An integer that is used as a position in a string: values beyond what a position can be are brought to the nearest
 * safe integer, which every string is shorter than.
 * @throws RedisError `ERR value is not an integer or out of range`
 */
export function requirePosition(text: Buffer): number {
  const short = parseShortInteger(text);
  if (!Number.isNaN(short)) return short;
  const value = requireInteger(text);
  return value < 0n ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
}

/**
 * True for two negative positions in the wrong order. Such a range is empty even where both would be brought to the
 * first byte.
 */
export function isBackwards(start: Buffer, end: Buffer): boolean {
  const [from, to] = [requireInteger(start), requireInteger(end)];
  return from < 0n && to < 0n && from > to;
}

export const isInt32 = (value: bigint): boolean => value >= INT32_MIN && value <= INT32_MAX;

/** An integer of 32 bits. @throws RedisError with the text that the argument calls for */
export function requireInt32(text: Buffer, outOfRange: () => RedisError): number {
  const value = requireInteger(text);
  if (!isInt32(value)) throw outOfRange();
  return Number(value);
}
