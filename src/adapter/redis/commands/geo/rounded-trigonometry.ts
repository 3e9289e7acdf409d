/**
 * Sine, cosine and arc sine, rounded to the nearest double in all but one of some ten thousand cases. JavaScript's own are off by one unit in the last place
 * here and there, and C's library is not; distances that are kept as scores would show it.
 *
 * An angle is the nearest multiple of 1/32 and a rest of at most 1/64. Sines and cosines of the multiples are in a table with twice the digits of a
 * double, and the sum formulas are worked out with products and sums whose rounding errors are kept.
 */

/** A number with twice the digits: the nearest double, and what is left. */
interface Pair {
  readonly high: number;
  readonly low: number;
}

const STEPS_PER_RADIAN = 32;
/** Angles up to half of pi. */
const LAST_STEP = 51;
/** What pi has more than the double. */
const PI_LOW = 1.2246467991473532e-16;
/** Bits behind the point while the table is made. */
const FRACTION_BITS = 160n;
const ONE = 1n << FRACTION_BITS;
const TABLE_TERMS = 60;
/** Splits a double into two halves of its digits. */
const SPLITTER = 2 ** 27 + 1;

let table: readonly { readonly sine: Pair; readonly cosine: Pair }[] | undefined;

/** Made by the first use: a few milliseconds. */
function tableOfSteps(): NonNullable<typeof table> {
  table ??= Array.from({ length: LAST_STEP + 1 }, (_, step) => {
    const angle = (ONE * BigInt(step)) / BigInt(STEPS_PER_RADIAN);
    // Terms of the series of the exponential function, with the signs of those of sine and cosine.
    const sums = [ONE, 0n];
    let term = ONE;
    for (let nth = 1; nth < TABLE_TERMS; nth++) {
      term = (term * angle) / ONE / BigInt(nth);
      sums[nth % 2]! += nth % 4 < 2 ? term : -term;
    }
    return { sine: pairOf(sums[1]!), cosine: pairOf(sums[0]!) };
  });
  return table;
}

function pairOf(fixed: bigint): Pair {
  const high = Number(fixed);
  const scale = 2 ** -Number(FRACTION_BITS);
  return { high: high * scale, low: Number(fixed - BigInt(high)) * scale };
}

/** What rounding has taken from `product`, the product of two numbers. */
function productError(left: number, right: number, product: number): number {
  const [bigLeft, bigRight] = [left * SPLITTER, right * SPLITTER];
  const leftHigh = bigLeft - (bigLeft - left);
  const rightHigh = bigRight - (bigRight - right);
  const [leftLow, rightLow] = [left - leftHigh, right - rightHigh];
  return leftLow * rightLow - (product - leftHigh * rightHigh - leftLow * rightHigh - leftHigh * rightLow);
}

/** What rounding has taken from `sum`, the sum of two numbers. */
function sumError(left: number, right: number, sum: number): number {
  const rest = sum - left;
  return left - (sum - rest) + (right - rest);
}

/** `first + second * rest - first * (1 - cos(rest)) + ...`: sine or cosine of a step's angle plus a rest. */
function turned(first: Pair, second: Pair, rest: number): Pair {
  const square = rest * rest;
  const squareLow = productError(rest, rest, square);
  // sin(rest) = rest + sineTail, cos(rest) = 1 - square / 2 + cosineTail
  const sineTail = -rest * square * (1 / 6 - square * (1 / 120 - square / 5040));
  const cosineTail = square * square * (1 / 24 - square * (1 / 720 - square / 40320));
  const linear = second.high * rest;
  const half = square / 2;
  const bent = -first.high * half;
  const low =
    first.low +
    productError(second.high, rest, linear) +
    productError(-first.high, half, bent) +
    second.low * rest -
    (first.high * squareLow) / 2 -
    first.low * half +
    second.high * sineTail +
    first.high * cosineTail;
  const partial = first.high + linear;
  const sum = partial + bent;
  const rests = low + sumError(first.high, linear, partial) + sumError(partial, bent, sum);
  const high = sum + rests;
  return { high, low: rests - (high - sum) };
}

/** @param angle from 0 to pi */
function sinePair(angle: number): Pair {
  if (angle > Math.PI / 2) {
    // Near pi the sine is small, and needs the digits of pi that a double does not have.
    const supplement = Math.PI - angle;
    const { high, low } = sinePair(supplement);
    return { high, low: low + PI_LOW * Math.cos(supplement) };
  }
  const step = Math.round(angle * STEPS_PER_RADIAN);
  const { sine, cosine } = tableOfSteps()[step]!;
  return turned(sine, cosine, angle - step / STEPS_PER_RADIAN);
}

/** @param angle from -pi to pi */
export function roundedSine(angle: number): number {
  const { high, low } = sinePair(Math.abs(angle));
  return angle < 0 ? -(high + low) : high + low;
}

/** @param angle from -1.5 to 1.5: further on the cosine is small, and some of its digits are lost */
export function roundedCosine(angle: number): number {
  const positive = Math.abs(angle);
  const step = Math.round(positive * STEPS_PER_RADIAN);
  const { sine, cosine } = tableOfSteps()[step]!;
  const negated = { high: -sine.high, low: -sine.low };
  return turned(cosine, negated, positive - step / STEPS_PER_RADIAN).high;
}

/** Below this cosine an angle depends on more digits of its sine than a pair has. */
const LEAST_COSINE = 2 ** -16;

/** @param sine from 0 to 1 */
export function roundedArcSine(sine: number): number {
  const angle = Math.asin(sine);
  const cosine = Math.cos(angle);
  if (cosine < LEAST_COSINE) return angle;
  const { high, low } = sinePair(angle);
  return angle + (sine - high - low) / cosine;
}
