/**
 * The Lua 5.1 interpreter as a WebAssembly module. The file comes from the package `wasmoon-lua5.1`; of that package nothing but the file is
 * used: its own JavaScript decodes strings as UTF-8, which Redis' strings are not. The file is pinned by its SHA-256, because `lua-api.ts` relies on
 * what it exports and on how it was built, and because two of its functions are changed here: those that go over a string of any length within one
 * instruction of Lua.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { KvorumError } from '../../../../platform/index.ts';
import { changeFunctions, type FunctionChange } from './module-change.ts';
import { type WasmModule, wasm } from './web-assembly.ts';

const FILE_SHA256 = 'cba969b97e8a319eba8996b5df488aed5cdd22a56f2de53b42598e474014e610';

/** Instructions of WebAssembly. */
const Op = { End: 0x0b, Call: 0x10, Drop: 0x1a, LocalGet: 0x20 } as const;
/** Imports that nothing else calls, by their numbers: `environ_get` and `_emscripten_system`. */
const ENVIRON_GET = 14;
const SYSTEM = 18;
/** The C library's `strcmp`, which `strcoll` is too: Lua's `<` of strings. */
const STRCMP = 503;
/** What Lua reads numbers in strings with (`luaO_str2d`). */
const READ_NUMBER = 347;
/** How the local variables of that function are declared, which its code follows. */
const READ_NUMBER_LOCALS = [0x03, 0x04, 0x7f, 0x02, 0x7e, 0x01, 0x7c];

/** Comparing strings becomes a matter of the surroundings; a number is shown to them before it is read. */
const CHANGES = new Map<number, FunctionChange>([
  [STRCMP, { code: [0, Op.LocalGet, 0, Op.LocalGet, 1, Op.Call, ENVIRON_GET, Op.End], takesPlaceOf: 'everything' }],
  [
    READ_NUMBER,
    { code: [...READ_NUMBER_LOCALS, Op.LocalGet, 0, Op.Call, SYSTEM, Op.Drop], takesPlaceOf: READ_NUMBER_LOCALS },
  ],
]);

/** The interpreter's file is not the one that this program was made for. */
export class LuaBinaryError extends KvorumError {
  readonly code = 'LUA_BINARY';
  readonly disposition = 'final';
}

let compiled: WasmModule | undefined;

/**
 * The compiled interpreter; compiled at the first call (about 20 ms), then kept.
 * @throws LuaBinaryError when the installed file is another one
 */
export function luaBinary(): WasmModule {
  compiled ??= compile();
  return compiled;
}

function compile(): WasmModule {
  // The package's entry point lies beside the file.
  const folder = dirname(createRequire(import.meta.url).resolve('wasmoon-lua5.1'));
  const bytes = readFileSync(join(folder, 'liblua5.1.wasm'));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== FILE_SHA256) {
    throw new LuaBinaryError(
      `the Lua interpreter in ${folder} has SHA-256 ${sha256}, expected ${FILE_SHA256}: run npm ci`,
    );
  }
  return new wasm.Module(changeFunctions(bytes, CHANGES));
}
