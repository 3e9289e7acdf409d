/** Lua 5.1 as a WebAssembly module, and its C interface. */
export type { HostFunction, HostHook } from './host-functions.ts';
export { type Library, type LibraryFunction, libraryFunction, pushLibrary } from './host-library.ts';
export {
  BYTES_PER_INSTRUCTION,
  GLOBALS_INDEX,
  LuaApi,
  LuaMemoryError,
  LuaPanicError,
  LuaStatus,
  LuaType,
  MULTIPLE_RESULTS,
  upvalueIndex,
} from './lua-api.ts';
