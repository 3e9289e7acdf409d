/**
 * `math.random` and `math.randomseed` of scripts: the 48-bit linear congruential generator that POSIX calls lrand48, as in Redis, so that a script that
 * sets a seed gets the numbers that it gets there. Who has set no seed goes on from the chance of whoever evaluates.
 */
import type { Random } from '../../../../platform/index.ts';
import type { Library, LuaApi } from '../engine/index.ts';

const FACTOR = 0x5_deec_e66dn;
const INCREMENT = 0xbn;
const MASK = (1n << 48n) - 1n;
/** The lower 16 bits that srand48 begins with. */
const SEED_LOW = 0x330en;
/** What the seed counts, above those. */
const SEED_UNIT = 0x1_0000n;
const HIGHEST = 0x7fff_ffff;

export class RandomNumbers {
  private place = SEED_LOW;

  /** Goes on from an unpredictable place. */
  shuffle(random: Random): void {
    this.place = (BigInt(random.int(1 << 24)) << 24n) | BigInt(random.int(1 << 24));
  }

  /** @param number of which the lower 32 bits count */
  seed(number: number): void {
    this.place = BigInt.asUintN(32, wholeOf(number)) * SEED_UNIT + SEED_LOW;
  }

  /** From 0 to below 1. */
  next(): number {
    this.place = (this.place * FACTOR + INCREMENT) & MASK;
    return (Number(this.place >> 17n) % HIGHEST) / HIGHEST;
  }
}

const wholeOf = (number: number): bigint => (Number.isFinite(number) ? BigInt(Math.trunc(number)) : 0n);

/** The two functions that take the place of those in `math`. */
export function randomLibrary(api: LuaApi, numbers: RandomNumbers): Library {
  return {
    random: (state) => {
      const share = numbers.next();
      const count = api.top(state);
      if (count === 0) {
        api.pushNumber(state, share);
        return 1;
      }
      if (count > 2) return api.raiseHere(state, 'wrong number of arguments');
      const low = count === 1 ? 1 : Math.trunc(api.checkNumber(state, 1));
      const high = Math.trunc(api.checkNumber(state, count));
      if (low > high) return api.argumentError(state, count, 'interval is empty');
      api.pushNumber(state, Math.floor(share * (high - low + 1)) + low);
      return 1;
    },
    randomseed: (state) => {
      numbers.seed(api.checkNumber(state, 1));
      return 0;
    },
  };
}
