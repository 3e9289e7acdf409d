/** How JavaScript functions become functions of Lua, in libraries. */
import { type LuaApi, LuaMemoryError } from './lua-api.ts';

/** A function of a library. @returns how many values it has pushed */
export type LibraryFunction = (state: number) => number;

/** What a library has under a name: a function, a number, a text. */
export type LibraryEntry = LibraryFunction | number | string;

/** Names of a library and what they stand for. */
export type Library = Readonly<Record<string, LibraryEntry>>;

/**
 * Turns what a function throws into what Lua can unwind. Lua's own unwinding (a number) goes on. Anything else that nobody declared is a defect: it passes
 * through all of Lua, which is not usable then.
 */
const unwinding =
  (api: LuaApi, run: LibraryFunction): LibraryFunction =>
  (state) => {
    api.onHostCall(state);
    try {
      return run(state);
    } catch (thrown) {
      if (thrown instanceof LuaMemoryError) return api.raiseText(state, 'not enough memory');
      throw thrown;
    }
  };

/** Makes a function known that is in no library. @returns the number that `pushFunction` takes */
export const libraryFunction = (api: LuaApi, run: LibraryFunction): number =>
  api.addFunctions([unwinding(api, run)])[0]!;

/** Pushes a table with a library's entries. */
export function pushLibrary(api: LuaApi, state: number, library: Library): void {
  const entries = Object.entries(library);
  const functions = entries.flatMap(([, entry]) => (typeof entry === 'function' ? [unwinding(api, entry)] : []));
  const numbers = api.addFunctions(functions);
  api.newTable(state, 0, entries.length);
  for (const [name, entry] of entries) {
    if (typeof entry === 'function') api.pushFunction(state, numbers.shift()!);
    else if (typeof entry === 'number') api.pushNumber(state, entry);
    else api.pushText(state, entry);
    api.setField(state, -2, name);
  }
}
