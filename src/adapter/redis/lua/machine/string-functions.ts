/**
 * Functions of strings that do much within one instruction, so that the count of instructions does not see it: `while true do ('x'):rep(1e8) end` would hold a
 * node up for as long as it likes.
 */
import { BYTES_PER_INSTRUCTION, type Library, type LuaApi } from '../engine/index.ts';
import type { Spend } from './spending.ts';
import { stringSearch } from './string-search.ts';

/** @param maxBytes memory of the machine */
export function stringFunctions(api: LuaApi, maxBytes: number, spend: Spend): Library {
  return {
    ...stringSearch(api, spend),
    rep: (state) => {
      const bytes = api.checkBytes(state, 1);
      const count = Math.max(0, Math.trunc(api.checkNumber(state, 2)));
      const length = bytes.length === 0 ? 0 : bytes.length * count;
      if (!(length <= maxBytes)) return api.raiseText(state, 'not enough memory');
      spend(state, length / BYTES_PER_INSTRUCTION);
      api.pushBytes(state, Buffer.alloc(length, bytes));
      return 1;
    },
  };
}
