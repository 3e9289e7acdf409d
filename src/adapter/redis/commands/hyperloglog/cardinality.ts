/** From registers to an estimate: Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, as Redis has it. */
import { MAX_COUNT, REGISTER_COUNT } from './element-hash.ts';

/** 1 / (2 ln 2) */
const ALPHA = 0.7213475204444817;

function sigma(share: number): number {
  if (share === 1) return Number.POSITIVE_INFINITY;
  let [x, y, z] = [share, 1, share];
  for (let before = Number.NaN; before !== z; ) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let [x, y, z] = [share, 1, 1 - share];
  for (let before = Number.NaN; before !== z; ) {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}

/** What C makes of a number that is no 64-bit integer: only registers that no element can have raised lead to it. */
const BEYOND_INTEGERS = -(2n ** 63n);

/** How many different elements a sketch has seen, about. @param histogram how many registers count 0, 1 and so on up to 63 */
export function cardinalityOf(histogram: Uint32Array): bigint {
  let z = REGISTER_COUNT * tau((REGISTER_COUNT - histogram[MAX_COUNT]!) / REGISTER_COUNT);
  for (let count = MAX_COUNT - 1; count >= 1; count--) {
    z += histogram[count]!;
    z *= 0.5;
  }
  z += REGISTER_COUNT * sigma(histogram[0]! / REGISTER_COUNT);
  const estimate = Math.round((ALPHA * REGISTER_COUNT * REGISTER_COUNT) / z);
  return estimate < 2 ** 63 ? BigInt(estimate) : BEYOND_INTEGERS;
}
