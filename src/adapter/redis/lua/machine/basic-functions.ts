/** Functions of Lua that would let a script past its limits: compiling bytes that nobody has checked, and catching what must end it. */
import {
  type Library,
  type LuaApi,
  LuaStatus,
  LuaType,
  libraryFunction,
  MULTIPLE_RESULTS,
  upvalueIndex,
} from '../engine/index.ts';
import type { Spend } from './spending.ts';

/** First byte of a compiled chunk, which nobody has checked: it could do anything. */
const BYTECODE_MARK = 0x1b;

/** An error is made, thrown and caught in the time of so many instructions; a chunk is compiled in the time of so many, and of some for each byte. */
const INSTRUCTIONS_AN_ERROR = 20_000;
const INSTRUCTIONS_A_CHUNK = 2_000;
export const INSTRUCTIONS_A_SOURCE_BYTE = 10;

/** @param abortText what every call raises once the running script must end; undefined until then */
export function basicFunctions(api: LuaApi, abortText: () => string | undefined, spend: Spend): Library {
  const compile = (state: number, source: Buffer, name: string): number => {
    spend(state, INSTRUCTIONS_A_CHUNK + source.length * INSTRUCTIONS_A_SOURCE_BYTE);
    return loadChunk(api, state, source, name);
  };
  /**
   * Stands for a script's own handler of errors. That is not called once the script must end: Lua calls it where the error is raised, which is within the
   * hook that counts, and no hook looks at what runs within one.
   */
  const handleError = libraryFunction(api, (state) => {
    if (abortText() !== undefined) return 1;
    api.pushValue(state, upvalueIndex(1));
    api.insert(state, 1);
    api.call(state, 1, 1);
    return 1;
  });
  return {
    loadstring: (state) => {
      const source = api.type(state, 1) === LuaType.String ? api.toBytes(state, 1)! : undefined;
      if (source === undefined) return api.typeError(state, 1, 'string');
      const name = api.type(state, 2) === LuaType.String ? api.textAt(state, 2) : undefined;
      return compile(state, source, name ?? source.toString('latin1'));
    },
    load: (state) => {
      if (api.type(state, 1) !== LuaType.Function) return api.typeError(state, 1, 'function');
      const name = api.type(state, 2) === LuaType.String ? api.textAt(state, 2) : '=(load)';
      const pieces: Buffer[] = [];
      for (;;) {
        api.pushValue(state, 1);
        api.call(state, 0, 1);
        const piece = api.toBytes(state, -1);
        api.pop(state, 1);
        if (piece === undefined || piece.length === 0) break;
        pieces.push(piece);
        // A text that nobody may compile is not asked for to its end.
        if (pieces[0]![0] === BYTECODE_MARK) break;
      }
      return compile(state, Buffer.concat(pieces), name);
    },
    pcall: (state) => {
      if (api.top(state) === 0) {
        api.pushBoolean(state, false);
        return 1;
      }
      const status = api.protectedCall(state, api.top(state) - 1, MULTIPLE_RESULTS, 0);
      if (status === LuaStatus.Ok) {
        api.pushBoolean(state, true);
        api.insert(state, 1);
        return api.top(state);
      }
      // Raises once more what must end the script.
      spend(state, INSTRUCTIONS_AN_ERROR);
      unwrapError(api, state);
      api.pushBoolean(state, false);
      api.insert(state, -2);
      return 2;
    },
    xpcall: (state) => {
      api.requireAny(state, 2);
      api.setTop(state, 2);
      api.pushFunction(state, handleError, 1);
      api.insert(state, 1);
      const status = api.protectedCall(state, 0, MULTIPLE_RESULTS, 1);
      if (status !== LuaStatus.Ok) spend(state, INSTRUCTIONS_AN_ERROR);
      api.pushBoolean(state, status === LuaStatus.Ok);
      api.replace(state, 1);
      return api.top(state);
    },
  };
}

/** What a script catches of an error of `redis.call` is its text, as before errors were tables. */
function unwrapError(api: LuaApi, state: number): void {
  if (api.type(state, -1) !== LuaType.Table) return;
  api.getField(state, -1, 'err');
  if (api.type(state, -1) === LuaType.String) api.replace(state, -2);
  else api.pop(state, 1);
}

function loadChunk(api: LuaApi, state: number, source: Buffer, name: string): number {
  const isBytecode = source[0] === BYTECODE_MARK;
  // The compiler says of a blank in its place what it would say of the mark.
  if (!isBytecode && api.load(state, source, name) === LuaStatus.Ok) return 1;
  if (isBytecode) api.load(state, Buffer.concat([Buffer.from(' '), source]), name);
  api.pushNil(state);
  api.insert(state, -2);
  return 2;
}
