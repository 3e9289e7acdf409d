/**
 * Floating-point numbers as Redis reads and prints them: with C's `strtod`, and with printf's `%.17g` and `%.Nf`. JavaScript reads other texts, prints
 * the shortest digits, and rounds a tie away from zero where C rounds it to an even digit.
 */
/** What `strtod` makes of a text. */
export interface ReadDouble {
  /** 0 when the text does not begin with a number. */
  readonly value: number;
  /** Characters that belong to the number, blanks before it included. */
  readonly length: number;
  /** The text spells a finite number that is infinite or zero as a double. */
  readonly isOutOfRange: boolean;
}

const NOTHING: ReadDouble = { value: 0, length: 0, isOutOfRange: false };
const WORDS = '(inf(?:inity)?)|(nan(?:\\([a-z0-9_]*\\))?)';
const HEXADECIMAL = '0x([0-9a-f]+\\.?[0-9a-f]*|\\.[0-9a-f]+)(?:p([+-]?\\d+))?';
const DECIMAL = '((?:\\d+\\.?\\d*|\\.\\d+)(?:e[+-]?\\d+)?)';
const NUMBER = new RegExp(`^[ \t\n\v\f\r]*([+-]?)(?:${WORDS}|${HEXADECIMAL}|${DECIMAL})`, 'i');

const SIGNIFICAND_BITS = 53;
/** Weight of the lowest bit of the smallest number. */
const MIN_EXPONENT = -1074;
/** Exponents beyond are as good as these. */
const FAR_EXPONENT = 1_000_000;

/** Reads the number that a text begins with, as C's `strtod` does. */
export function readDoublePrefix(text: string): ReadDouble {
  const match = NUMBER.exec(text);
  if (match === null) return NOTHING;
  const [{ length }, sign, infinity, nan, hexadecimal, power, decimal] = match;
  let value: number;
  let isOutOfRange = false;
  if (infinity !== undefined) value = Number.POSITIVE_INFINITY;
  else if (nan !== undefined) value = Number.NaN;
  else {
    value = hexadecimal === undefined ? Number(decimal) : readHexadecimal(hexadecimal, Number(power ?? 0));
    const isZero = !/[1-9a-f]/i.test(hexadecimal ?? decimal!.replace(/e.*/i, ''));
    isOutOfRange = value === Number.POSITIVE_INFINITY || (value === 0 && !isZero);
  }
  return { value: sign === '-' ? -value : value, length, isOutOfRange };
}

/** A number that makes up a whole argument; undefined for other text, NaN, and numbers out of the range of doubles. */
export function parseDouble(argument: Buffer): number | undefined {
  const text = argument.toString('latin1');
  const { value, length, isOutOfRange } = readDoublePrefix(text);
  if (length === 0 || length !== text.length || isOutOfRange || Number.isNaN(value)) return undefined;
  return /^[ \t\n\v\f\r]/.test(text) ? undefined : value;
}

/** The number nearest to hexadecimal digits times a power of two, ties to even. */
function readHexadecimal(digits: string, power: number): number {
  const [whole = '', fraction = ''] = digits.split('.');
  const mantissa = BigInt(`0x${whole}${fraction}`);
  const exponent = Math.max(-FAR_EXPONENT, Math.min(FAR_EXPONENT, power)) - 4 * fraction.length;
  if (mantissa === 0n) return 0;
  const bits = mantissa.toString(2).length;
  if (bits + exponent > 1024) return Number.POSITIVE_INFINITY;
  const lowest = Math.max(bits + exponent - SIGNIFICAND_BITS, MIN_EXPONENT);
  const dropped = lowest - exponent;
  if (dropped <= 0) return Number(mantissa << BigInt(-dropped)) * 2 ** lowest;
  if (dropped > bits + 1) return 0;
  const half = 1n << BigInt(dropped - 1);
  const rest = BigInt.asUintN(dropped, mantissa);
  let kept = mantissa >> BigInt(dropped);
  if (rest > half || (rest === half && (kept & 1n) === 1n)) kept++;
  return Number(kept) * 2 ** lowest;
}

/** Digits that tell every double from its neighbours. */
const DIGITS = 17;

/** Whole numbers of so many digits are their own text. */
const WHOLE_DIGITS = 15;

/** A number as printf's `%.17g` prints it; `inf`, `-inf` and `nan` are spelled out. */
export const doubleText = (value: number): string => generalText(value, DIGITS);

/** A number as printf's `%.Ng` prints it. @param precision significant digits, 1 to 17 */
export function generalText(value: number, precision: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 10 ** Math.min(precision, WHOLE_DIGITS)) {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  const [mantissa = '', power = ''] = evenly(value.toExponential(precision - 1), () => isTie(value, precision)).split(
    'e',
  );
  const exponent = Number(power);
  const sign = value < 0 ? '-' : '';
  const digits = mantissa.replace(/[-.]/g, '').replace(/0+$/, '');
  if (exponent < -4 || exponent >= precision) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const magnitude = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${magnitude}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return digits.length > exponent + 1 ? `${sign}${whole}.${digits.slice(exponent + 1)}` : `${sign}${whole}`;
}

/** Whether the digits of a number end with a 5 right behind those that are printed. */
function isTie(value: number, precision: number): boolean {
  // From 1 on a number has as many decimal digits behind the point as binary ones, and a tie has at most as many as are printed.
  if (Math.abs(value) >= 1 && !Number.isInteger(value * 2 ** precision)) return false;
  const digits = value.toExponential(60).replace(/[-.]/g, '');
  return /^50*e/.test(digits.slice(precision));
}

/** From here on numbers are whole, and JavaScript prints them with an exponent. */
const HUGE = 1e21;

/**
 * A number as printf's `%.Nf` prints it.
 * @param decimals from 1 to 17
 */
export function fixedText(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return doubleText(value);
  if (Math.abs(value) >= HUGE) return `${BigInt(value)}.${'0'.repeat(decimals)}`;
  const text = evenly(value.toFixed(decimals), () => Math.abs(value * 2 ** (decimals + 1)) % 2 === 1);
  return Object.is(value, -0) ? `-${text}` : text;
}

/** A number as Redis prints those for people: 17 decimals at most, and no zeros at the end. */
export function humanText(value: number): string {
  const text = fixedText(value, DIGITS).replace(/\.?0+$/, '');
  return text === '-0' ? '0' : text;
}

/** Takes the even one of two last digits when the number is right between them: JavaScript has taken the higher one. */
function evenly(text: string, isTie: () => boolean): string {
  const end = text.indexOf('e') < 0 ? text.length : text.indexOf('e');
  const last = text.charCodeAt(end - 1) - 0x30;
  return last % 2 === 1 && isTie() ? `${text.slice(0, end - 1)}${last - 1}${text.slice(end)}` : text;
}
