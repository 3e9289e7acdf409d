/**
 * The floating-point format of INCRBYFLOAT: Redis adds in C's `long double`, on x86-64 the 80-bit extended format with a
 * 64-bit significand, and prints with 17 decimals and no trailing zeros. A JavaScript number has 53 bits and would print
 * 0.30000000000000004 where Redis prints 0.3, so the format is computed here with integers: a value is
 * `mantissa * 2^exponent`, and whatever is parsed or added is rounded to 64 significant bits, ties to even.
 */

/** A finite extended-precision value, or an infinity. */
export type LongDouble =
  | { readonly mantissa: bigint; readonly exponent: number }
  | typeof Number.POSITIVE_INFINITY
  | typeof Number.NEGATIVE_INFINITY;

export const ZERO_LONG_DOUBLE: LongDouble = { mantissa: 0n, exponent: 0 };

const SIGNIFICAND_BITS = 64;
/** Weight of the lowest bit of the smallest subnormal. */
const MIN_EXPONENT = -16445;
/** Finite values are below 2 to this power. */
const MAX_BIT_POSITION = 16384;
/** Decimal orders of magnitude outside of which every value over- or underflows. */
const MAX_DECIMAL_ORDER = 4933;
const MIN_DECIMAL_ORDER = -4952;
/** Redis reads at most so many bytes as a number. */
const MAX_CHARACTERS = 5 * 1024 - 1;
const DECIMALS = 17;
const TEN_TO_DECIMALS = 10n ** BigInt(DECIMALS);

const DECIMAL = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:e([+-]?[0-9]+))?$/i;
const HEXADECIMAL = /^([+-]?)0x([0-9a-f]*)(?:\.([0-9a-f]*))?(?:p([+-]?[0-9]+))?$/i;
const INFINITY = /^([+-]?)inf(?:inity)?$/i;

/** Reads what C's `strtold` takes as a whole; undefined for other text, NaN, and values out of the format's range. */
export function parseLongDouble(bytes: Buffer): LongDouble | undefined {
  if (bytes.length === 0 || bytes.length > MAX_CHARACTERS) return undefined;
  const text = bytes.toString('latin1');
  const infinity = INFINITY.exec(text);
  if (infinity !== null) return infinity[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return parseHexadecimal(text) ?? parseDecimal(text);
}

function parseDecimal(text: string): LongDouble | undefined {
  const match = DECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = '', power = '0'] = match;
  if (whole === '' && fraction === '') return undefined;
  const digits = (whole + fraction).replace(/^0+/, '');
  if (digits === '') return { mantissa: 0n, exponent: 0 };
  const exponent10 = Number(power) - fraction.length;
  const order = digits.length + exponent10;
  if (order > MAX_DECIMAL_ORDER || order < MIN_DECIMAL_ORDER) return undefined;
  const scale = 10n ** BigInt(Math.abs(exponent10));
  const magnitude = exponent10 >= 0 ? rounded(BigInt(digits) * scale, 1n, 0) : rounded(BigInt(digits), scale, 0);
  return signed(magnitude, sign === '-');
}

function parseHexadecimal(text: string): LongDouble | undefined {
  const match = HEXADECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = '', power = '0'] = match;
  if (whole === '' && fraction === '') return undefined;
  const digits = BigInt(`0x${whole}${fraction}`);
  if (digits === 0n) return { mantissa: 0n, exponent: 0 };
  const exponent = Number(power) - 4 * fraction.length;
  if (Math.abs(exponent) > 2 * MAX_BIT_POSITION + 4 * MAX_CHARACTERS) return undefined;
  return signed(rounded(digits, 1n, exponent), sign === '-');
}

function signed(magnitude: LongDouble | undefined, negative: boolean): LongDouble | undefined {
  if (magnitude === undefined || typeof magnitude === 'number' || !negative) return magnitude;
  return { mantissa: -magnitude.mantissa, exponent: magnitude.exponent };
}

/** Number of bits of a positive integer. */
function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return hex.length * 4 - (Math.clz32(Number.parseInt(hex[0]!, 16)) - 28);
}

/**
 * The nearest value to `numerator / denominator * 2^exponent`, both positive; undefined when it over- or underflows.
 */
function rounded(numerator: bigint, denominator: bigint, exponent: number): LongDouble | undefined {
  // The quotient's bit length is this or one more; one bit too many is seen below and corrected.
  const quotientBits = bitLength(numerator) - bitLength(denominator);
  let shift = Math.min(SIGNIFICAND_BITS - quotientBits, exponent - MIN_EXPONENT);
  let quotient = roundedQuotient(numerator, denominator, shift);
  if (bitLength(quotient) > SIGNIFICAND_BITS) {
    shift -= 1;
    quotient = roundedQuotient(numerator, denominator, shift);
  }
  if (quotient === 0n || bitLength(quotient) + exponent - shift > MAX_BIT_POSITION) return undefined;
  return { mantissa: quotient, exponent: exponent - shift };
}

/** `numerator * 2^shift / denominator`, rounded to an integer, ties to even. */
function roundedQuotient(numerator: bigint, denominator: bigint, shift: number): bigint {
  const dividend = shift >= 0 ? numerator << BigInt(shift) : numerator;
  const divisor = shift >= 0 ? denominator : denominator << BigInt(-shift);
  const quotient = dividend / divisor;
  const twice = (dividend - quotient * divisor) * 2n;
  return twice > divisor || (twice === divisor && (quotient & 1n) === 1n) ? quotient + 1n : quotient;
}

/** The rounded sum; undefined when it is not finite. */
export function addLongDoubles(left: LongDouble, right: LongDouble): LongDouble | undefined {
  if (typeof left === 'number' || typeof right === 'number') return undefined;
  const exponent = Math.min(left.exponent, right.exponent);
  const sum =
    (left.mantissa << BigInt(left.exponent - exponent)) + (right.mantissa << BigInt(right.exponent - exponent));
  if (sum === 0n) return { mantissa: 0n, exponent: 0 };
  return signed(rounded(sum < 0n ? -sum : sum, 1n, exponent), sum < 0n);
}

/** Prints with at most 17 decimals, without trailing zeros and without an exponent, as INCRBYFLOAT replies. */
export function formatLongDouble(value: LongDouble): string {
  if (typeof value === 'number') return value > 0 ? 'inf' : '-inf';
  const negative = value.mantissa < 0n;
  const magnitude = negative ? -value.mantissa : value.mantissa;
  const scaled = magnitude === 0n ? 0n : roundedQuotient(magnitude * TEN_TO_DECIMALS, 1n, value.exponent);
  const digits = scaled.toString().padStart(DECIMALS + 1, '0');
  const fraction = digits.slice(-DECIMALS).replace(/0+$/, '');
  const text = digits.slice(0, -DECIMALS) + (fraction === '' ? '' : `.${fraction}`);
  return negative && text !== '0' ? `-${text}` : text;
}
