/** The library `bit`: operations on the 32 bits of numbers. */
import type { Library, LuaApi } from '../engine/index.ts';

/** Adding it leaves the lowest 32 bits of a whole number in the lowest bits of the sum's mantissa, halves rounded to even. */
const BIAS = 2 ** 52 + 2 ** 51;
const double = new DataView(new ArrayBuffer(8));

function toBits(number: number): number {
  double.setFloat64(0, number + BIAS);
  return double.getInt32(4);
}

/** The library's functions. */
export function bitLibrary(api: LuaApi): Library {
  const argument = (state: number, index: number): number => toBits(api.checkNumber(state, index));
  const answer = (state: number, bits: number): number => {
    api.pushNumber(state, bits | 0);
    return 1;
  };
  const folded =
    (combine: (left: number, right: number) => number) =>
    (state: number): number => {
      let bits = argument(state, 1);
      for (let index = api.top(state); index > 1; index--) bits = combine(bits, argument(state, index));
      return answer(state, bits);
    };
  const shifted =
    (shift: (bits: number, by: number) => number) =>
    (state: number): number => {
      const bits = argument(state, 1);
      return answer(state, shift(bits, argument(state, 2) & 31));
    };
  return {
    tobit: (state) => answer(state, argument(state, 1)),
    bnot: (state) => answer(state, ~argument(state, 1)),
    band: folded((left, right) => left & right),
    bor: folded((left, right) => left | right),
    bxor: folded((left, right) => left ^ right),
    lshift: shifted((bits, by) => bits << by),
    rshift: shifted((bits, by) => bits >>> by),
    arshift: shifted((bits, by) => bits >> by),
    rol: shifted((bits, by) => (bits << by) | (bits >>> ((32 - by) & 31))),
    ror: shifted((bits, by) => (bits >>> by) | (bits << ((32 - by) & 31))),
    bswap: (state) => {
      const bits = argument(state, 1);
      return answer(state, (bits << 24) | ((bits & 0xff00) << 8) | ((bits >>> 8) & 0xff00) | (bits >>> 24));
    },
    tohex: (state) => {
      const bits = argument(state, 1);
      const wanted = api.isNone(state, 2) ? 8 : argument(state, 2);
      const digits = Math.min(8, Math.abs(wanted));
      const hex = (bits >>> 0)
        .toString(16)
        .padStart(8, '0')
        .slice(8 - digits);
      api.pushText(state, wanted < 0 ? hex.toUpperCase() : hex);
      return 1;
    },
  };
}
