/**
 * Puts JavaScript functions where WebAssembly can call them by a number. A table of functions takes exported functions of WebAssembly modules only, so
 * a module is written here that imports functions and exports the same ones again.
 */
import { leb } from './module-bytes.ts';
import { type WasmTable, wasm } from './web-assembly.ts';

/** Parameters of the functions, all i32: one (a C function of Lua, which answers a number) or two (a hook, which answers nothing). */
export type HostSignature = 'function' | 'hook';

/** A C function of Lua. @param state the thread that calls @returns how many values it has pushed */
export type HostFunction = (state: number) => number;

/** A hook of Lua. @param record what `lua_getinfo` reads */
export type HostHook = (state: number, record: number) => void;

const I32 = 0x7f;
const SECTION = { type: 1, import: 2, export: 7 } as const;

/** Adds functions to a table and answers the numbers by which WebAssembly calls them, in order. */
export function addHostFunctions(
  table: WasmTable,
  signature: HostSignature,
  functions: readonly (HostFunction | HostHook)[],
): number[] {
  const imports = Object.fromEntries(functions.map((run, index) => [String(index), run]));
  const module = new wasm.Module(passThroughModule(signature, functions.length));
  const { exports } = new wasm.Instance(module, { f: imports });
  const first = table.grow(functions.length);
  return functions.map((_, index) => {
    table.set(first + index, exports[String(index)] as CallableFunction);
    return first + index;
  });
}

function passThroughModule(signature: HostSignature, count: number): Uint8Array<ArrayBuffer> {
  const type = signature === 'function' ? [0x60, 1, I32, 1, I32] : [0x60, 2, I32, I32, 0];
  const imports: number[] = [...leb(count)];
  const exports: number[] = [...leb(count)];
  for (let index = 0; index < count; index++) {
    const name = text(String(index));
    // Kind 0 is a function, of type 0.
    imports.push(...text('f'), ...name, 0, 0);
    exports.push(...name, 0, ...leb(index));
  }
  const header = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  return Uint8Array.from([
    ...header,
    ...section(SECTION.type, [1, ...type]),
    ...section(SECTION.import, imports),
    ...section(SECTION.export, exports),
  ]);
}

const section = (id: number, bytes: readonly number[]): number[] => [id, ...leb(bytes.length), ...bytes];

const text = (characters: string): number[] => [...leb(characters.length), ...Buffer.from(characters, 'latin1')];
