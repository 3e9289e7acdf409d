/**
 * Functions of Lua's own that go over whole tables and strings without an instruction of Lua. They stay what they are, and count: before they run,
 * since nothing can look at them meanwhile.
 */
import { BYTES_PER_INSTRUCTION, type HostFunction, type LuaApi, LuaType } from '../engine/index.ts';
import type { ScriptRun } from './script-run.ts';
import type { Spend } from './spending.ts';

/** An element is moved, joined or compared in the time of so many instructions. */
const MOVE = 4;
const JOIN = 12;
const COMPARISON = 8;
const VISIT = 20;
/** What a call costs where nobody knows how much there is to go over: the clock is looked at after every second. */
const UNKNOWN = 10_000;
/** Strings that are shorter are cut without a word. */
const LONG_BYTES = 65_536;

/** What a call will cost, in instructions. */
type Cost = (state: number) => number;

/** Functions by the libraries that they are in, `_G` for none. */
export type NativeFunctions = Readonly<Record<string, Readonly<Record<string, HostFunction>>>>;

/** The interpreter's libraries must be open. @param current what runs */
export function nativeFunctions(api: LuaApi, current: () => ScriptRun | undefined, spend: Spend): NativeFunctions {
  const { state: main } = api;
  const counting = (library: string, name: string, cost: Cost): HostFunction => {
    api.getGlobal(main, library);
    api.getField(main, -1, name);
    const run = api.nativeAt(main, -1);
    api.pop(main, 2);
    return (state) => {
      spend(state, cost(state));
      return run(state);
    };
  };
  // Asking for the length of a number turns it into a string, which the texts of errors would show.
  const count = (state: number): number => (api.type(state, 1) === LuaType.Table ? api.lengthOf(state, 1) : 0);
  const elements =
    (each: number): Cost =>
    (state) =>
      UNKNOWN + count(state) * each;
  /** Elements behind the place that is named, if one is. */
  const behind =
    (arguments_: number): Cost =>
    (state) =>
      api.top(state) < arguments_ ? MOVE : Math.max(0, count(state) - api.toNumber(state, 2)) * MOVE;
  const collect = counting('_G', 'collectgarbage', () => UNKNOWN);
  return {
    _G: {
      collectgarbage: (state) => {
        current()?.lookAtClock();
        return collect(state);
      },
    },
    table: {
      concat: counting('table', 'concat', (state) => count(state) * JOIN),
      foreach: counting('table', 'foreach', elements(VISIT)),
      foreachi: counting('table', 'foreachi', elements(VISIT)),
      insert: counting('table', 'insert', behind(3)),
      maxn: counting('table', 'maxn', elements(VISIT)),
      remove: counting('table', 'remove', behind(2)),
      sort: counting('table', 'sort', (state) => {
        const sorted = count(state);
        return sorted * Math.log2(sorted + 1) * COMPARISON;
      }),
    },
    string: {
      sub: counting('string', 'sub', (state) => {
        const length = api.lengthOf(state, 1);
        return length < LONG_BYTES
          ? 0
          : cut(length, api.toNumber(state, 2), api.top(state) < 3 ? -1 : api.toNumber(state, 3)) /
              BYTES_PER_INSTRUCTION;
      }),
    },
  };
}

/** Bytes from one place to another, which count from the end when they are negative. */
function cut(length: number, from: number, to: number): number {
  const place = (at: number): number => (at < 0 ? at + length + 1 : at);
  return Math.max(0, Math.min(length, place(to)) - Math.max(1, place(from)) + 1);
}
