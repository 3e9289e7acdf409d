/**
 * Coroutines whose making counts. Each has a count of instructions of its own, so that a script which makes one after the other would never be looked at,
 * and a thread of Lua takes far longer to make than an instruction.
 */
import { type Library, type LibraryFunction, type LuaApi, LuaType } from '../engine/index.ts';
import type { Spend } from './spending.ts';

/** A thread is made, run and collected in the time of so many. */
const INSTRUCTIONS_A_THREAD = 2_000;

/** The two functions that take the place of those in `coroutine`. The interpreter's libraries must be open. */
export function coroutineFunctions(api: LuaApi, spend: Spend): Library {
  const counted = (name: string): LibraryFunction => {
    api.getGlobal(api.state, 'coroutine');
    api.getField(api.state, -1, name);
    const original = api.reference(api.state);
    api.pop(api.state, 1);
    return (state) => {
      if (api.type(state, 1) !== LuaType.Function || api.isHostFunction(state, 1))
        return api.argumentError(state, 1, 'Lua function expected');
      spend(state, INSTRUCTIONS_A_THREAD);
      api.setTop(state, 1);
      api.pushReference(state, original);
      api.insert(state, 1);
      api.call(state, 1, 1);
      return 1;
    };
  };
  return { create: counted('create'), wrap: counted('wrap') };
}
