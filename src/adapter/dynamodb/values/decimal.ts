/**
 * Numbers of 38 significant digits between 1E-130 and 9.99..E+125, and zero. A number is its canonical text everywhere: a plain decimal without
 * exponent, without needless zeros, never `-0`. Arithmetic is exact or refused, never rounded.
 *
 * Inside, a number that is not zero is ±d₁.d₂d₃… × 10^E with d₁ ≠ 0 and no zeros at its end.
 */
import { validationError } from '../errors/index.ts';

/** A number taken apart; zero has no digits. */
export interface Decimal {
  readonly isNegative: boolean;
  /** `d₁d₂…` without zeros at either end. */
  readonly digits: string;
  /** E: that of the first digit. */
  readonly exponent: number;
}

const MAX_DIGITS = 38;
const MAX_EXPONENT = 125;
const MIN_EXPONENT = -130;
/** What is written with more digits than this has an exponent that no number can have, whatever comes before it. */
const MAX_EXPONENT_DIGITS = 9;
/** Integers of so many characters, sign included, are added as they are. */
const MAX_FAST_CHARACTERS = 15;

const ZERO: Decimal = { isNegative: false, digits: '', exponent: 0 };

const OVERFLOW = 'Number overflow. Attempting to store a number with magnitude larger than supported range';
const UNDERFLOW = 'Number underflow. Attempting to store a number with magnitude smaller than supported range';
const TOO_MANY_DIGITS = 'Attempting to store more than 38 significant digits in a Number';

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** Where the digits that begin at `from` end. */
function digitsEnd(text: string, from: number): number {
  let at = from;
  while (isDigit(text.charCodeAt(at))) at++;
  return at;
}

/**
 * The canonical text of a number as clients may write it: a sign, digits with or without a point, an exponent.
 * Costs nothing that the text is not long, whatever exponent it names.
 * @throws DynamoError ValidationException: no number, out of range, more than 38 significant digits
 */
export function canonicalNumber(text: string): string {
  return isPlainInteger(text) ? text : formatDecimal(parseNumber(text));
}

/** Integers that are canonical as they stand, which most are. */
function isPlainInteger(text: string): boolean {
  if (text.length > MAX_FAST_CHARACTERS) return false;
  const start = text.charCodeAt(0) === 0x2d ? 1 : 0;
  const first = text.charCodeAt(start);
  if (!(first >= 0x31 && first <= 0x39)) return text === '0';
  return digitsEnd(text, start + 1) === text.length;
}

function parseNumber(text: string): Decimal {
  const sign = text.charCodeAt(0);
  const wholeStart = sign === 0x2b || sign === 0x2d ? 1 : 0;
  const wholeEnd = digitsEnd(text, wholeStart);
  const hasPoint = text.charCodeAt(wholeEnd) === 0x2e;
  const fractionStart = hasPoint ? wholeEnd + 1 : wholeEnd;
  const fractionEnd = hasPoint ? digitsEnd(text, fractionStart) : wholeEnd;
  if (wholeEnd - wholeStart + fractionEnd - fractionStart === 0) throw notANumber(text);
  const power = fractionEnd === text.length ? 0 : exponentAt(text, fractionEnd);
  const all = text.slice(wholeStart, wholeEnd) + text.slice(fractionStart, fractionEnd);
  let first = 0;
  while (first < all.length && all.charCodeAt(first) === 0x30) first++;
  if (first === all.length) return ZERO;
  let end = all.length;
  while (all.charCodeAt(end - 1) === 0x30) end--;
  const exponent = wholeEnd - wholeStart - 1 - first + power;
  if (exponent > MAX_EXPONENT) throw validationError(OVERFLOW);
  if (exponent < MIN_EXPONENT) throw validationError(UNDERFLOW);
  if (end - first > MAX_DIGITS) throw validationError(TOO_MANY_DIGITS);
  return { isNegative: sign === 0x2d, digits: all.slice(first, end), exponent };
}

function exponentAt(text: string, at: number): number {
  const mark = text.charCodeAt(at);
  if (mark !== 0x65 && mark !== 0x45) throw notANumber(text);
  const sign = text.charCodeAt(at + 1);
  const start = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1;
  if (start === text.length || digitsEnd(text, start) !== text.length) throw notANumber(text);
  let first = start;
  while (first < text.length - 1 && text.charCodeAt(first) === 0x30) first++;
  const power =
    text.length - first > MAX_EXPONENT_DIGITS ? 10 ** MAX_EXPONENT_DIGITS : Number(text.slice(first, text.length));
  return sign === 0x2d ? -power : power;
}

const notANumber = (text: string): Error =>
  validationError(`The parameter cannot be converted to a numeric value${text === '' ? '' : `: ${text}`}`);

/** @param text canonical */
export function parseCanonical(text: string): Decimal {
  if (text === '0') return ZERO;
  const isNegative = text.charCodeAt(0) === 0x2d;
  const start = isNegative ? 1 : 0;
  const point = text.indexOf('.', start);
  if (point < 0) {
    let end = text.length;
    while (text.charCodeAt(end - 1) === 0x30) end--;
    return { isNegative, digits: text.slice(start, end), exponent: text.length - start - 1 };
  }
  if (text.charCodeAt(start) !== 0x30)
    return { isNegative, digits: text.slice(start, point) + text.slice(point + 1), exponent: point - start - 1 };
  let first = point + 1;
  while (text.charCodeAt(first) === 0x30) first++;
  return { isNegative, digits: text.slice(first), exponent: point - first };
}

/** The canonical text. */
export function formatDecimal({ isNegative, digits, exponent }: Decimal): string {
  if (digits === '') return '0';
  const sign = isNegative ? '-' : '';
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return `${sign}${digits}${'0'.repeat(exponent + 1 - digits.length)}`;
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

/**
 * Order of two canonical texts by their values.
 * @returns below, at or above zero
 */
export function compareNumbers(a: string, b: string): number {
  if (a === b) return 0;
  const isNegative = a.charCodeAt(0) === 0x2d;
  if (isNegative !== (b.charCodeAt(0) === 0x2d)) return isNegative ? -1 : 1;
  return isNegative ? -compareMagnitudes(a.slice(1), b.slice(1)) : compareMagnitudes(a, b);
}

/** With as many digits before the point, the digits decide from left to right; the shorter text of two that begin alike is the smaller number. */
function compareMagnitudes(a: string, b: string): number {
  const order = wholeLength(a) - wholeLength(b);
  return order === 0 ? (a < b ? -1 : 1) : order;
}

function wholeLength(text: string): number {
  const point = text.indexOf('.');
  return point < 0 ? text.length : point;
}

/**
 * The exact sum of two canonical texts, as a canonical text.
 * @throws DynamoError ValidationException: the sum needs more than 38 digits or is out of range
 */
export function addNumbers(a: string, b: string): string {
  if (a.length <= MAX_FAST_CHARACTERS && b.length <= MAX_FAST_CHARACTERS && !a.includes('.') && !b.includes('.'))
    return String(Number(a) + Number(b));
  const left = parseCanonical(a);
  const right = parseCanonical(b);
  const scale = Math.min(lastPower(left), lastPower(right));
  const sum = scaled(left, scale) + scaled(right, scale);
  const text = (sum < 0n ? -sum : sum).toString();
  if (text === '0') return '0';
  const digits = withoutTrailingZeros(text);
  const exponent = text.length - 1 + scale;
  // The service calls it an overflow too when digits would be lost.
  if (exponent > MAX_EXPONENT || digits.length > MAX_DIGITS) throw validationError(OVERFLOW);
  if (exponent < MIN_EXPONENT) throw validationError(UNDERFLOW);
  return formatDecimal({ isNegative: sum < 0n, digits, exponent });
}

/** The exact difference; like `addNumbers`. */
export const subtractNumbers = (a: string, b: string): string => addNumbers(a, negated(b));

function negated(text: string): string {
  if (text === '0') return text;
  return text.charCodeAt(0) === 0x2d ? text.slice(1) : `-${text}`;
}

/** The power of ten of the last digit. */
const lastPower = ({ digits, exponent }: Decimal): number => exponent - Math.max(digits.length - 1, 0);

function scaled(number: Decimal, scale: number): bigint {
  if (number.digits === '') return 0n;
  const magnitude = BigInt(number.digits) * 10n ** BigInt(lastPower(number) - scale);
  return number.isNegative ? -magnitude : magnitude;
}

function withoutTrailingZeros(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0x30) end--;
  return text.slice(0, end);
}
