/**
 * The Lua 5.1 interpreter as a WebAssembly module. The file comes from the package `wasmoon-lua5.1`; of that package nothing but the file is
 * used: its own JavaScript decodes strings as UTF-8, which Redis' strings are not. The file is pinned by its SHA-256, because `lua-api.ts` relies on
 * what it exports and on how it was built.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { KvorumError } from '../../../../platform/index.ts';
import { type WasmModule, wasm } from './web-assembly.ts';

const FILE_SHA256 = 'cba969b97e8a319eba8996b5df488aed5cdd22a56f2de53b42598e474014e610';

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
  return new wasm.Module(bytes);
}
