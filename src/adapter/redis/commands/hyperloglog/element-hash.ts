/**
 * Which register of a sketch an element counts in, and how far: the low 14 bits of its hash are the register, and the place of the lowest one bit
 * among the other 50 is what is counted. The hash is MurmurHash64A, little endian, with the seed that Redis has: sketches travel between both.
 */

/** Registers of a sketch. */
export const REGISTER_COUNT = 16_384;
const REGISTER_BITS = 14;
/** The most that a register counts: of a hash whose other 50 bits are all zero. */
export const MAX_COUNT = 51;

const SEED = 0xadc83b19;
const FACTOR_HIGH = 0xc6a4a793;
const FACTOR_LOW = 0x5bd1e995;
const LOW_LOW = FACTOR_LOW & 0xffff;
const LOW_HIGH = FACTOR_LOW >>> 16;

// The two halves of a 64-bit number: BigInt would allocate at every step.
let high = 0;
let low = 0;

/** Multiplies `high`, `low` by the factor of the hash, modulo 2^64. */
function multiply(): void {
  const [a0, a1] = [low & 0xffff, low >>> 16];
  const lowest = a0 * LOW_LOW;
  const middle = a0 * LOW_HIGH + a1 * LOW_LOW + (lowest >>> 16);
  const upper = a1 * LOW_HIGH + Math.floor(middle / 0x1_0000);
  high = (upper + Math.imul(high, FACTOR_LOW) + Math.imul(low, FACTOR_HIGH)) | 0;
  low = ((middle & 0xffff) << 16) | (lowest & 0xffff);
}

/** `x ^= x >>> 47` */
function fold(): void {
  low ^= high >>> 15;
}

function hash(bytes: Buffer): void {
  const { length } = bytes;
  high = 0;
  low = length | 0;
  multiply();
  let [hashHigh, hashLow] = [high, low ^ SEED];
  const whole = length - (length % 8);
  for (let at = 0; at < whole; at += 8) {
    low = bytes.readInt32LE(at);
    high = bytes.readInt32LE(at + 4);
    multiply();
    fold();
    multiply();
    high ^= hashHigh;
    low ^= hashLow;
    multiply();
    [hashHigh, hashLow] = [high, low];
  }
  high = hashHigh;
  low = hashLow;
  if (whole < length) {
    for (let at = length - 1; at >= whole; at--) {
      const shift = (at - whole) * 8;
      if (shift >= 32) high ^= bytes[at]! << (shift - 32);
      else low ^= bytes[at]! << shift;
    }
    multiply();
  }
  fold();
  multiply();
  fold();
}

/** Number of zero bits below the lowest one bit of a number that is not 0. */
const trailingZeros = (bits: number): number => 31 - Math.clz32(bits & -bits);

/** What an element says: a register and what is to be counted in it, at least 1. */
export interface Observation {
  readonly register: number;
  readonly count: number;
}

/** What an element adds to a sketch. */
export function observe(element: Buffer): Observation {
  hash(element);
  const register = low & (REGISTER_COUNT - 1);
  const rest = low >>> REGISTER_BITS;
  if (rest !== 0) return { register, count: trailingZeros(rest) + 1 };
  const count = high === 0 ? MAX_COUNT : 32 - REGISTER_BITS + trailingZeros(high) + 1;
  return { register, count };
}
