/**
 * What the interpreter asks of its surroundings. Scripts have no files, no processes, no environment and no clock, so nearly everything answers
 * that there is no such thing; what is left is growing the memory, up to a limit, and the pair of functions that unwinds the stack when Lua raises an
 * error.
 */
import type { WasmImports, WasmMemory, WasmTable } from './web-assembly.ts';

/** Errors as the C library numbers them, negative when a system call answers them. */
const ENOSYS = 52;
const EBADF = 8;

const PAGE_BYTES = 65_536;

/** Thrown by the interpreter to unwind to the nearest protected call. Any other exception goes through all of Lua, which is not usable then. */
const UNWIND = Number.POSITIVE_INFINITY;

/** The exports that imports need; set when the instance is there. */
export interface ImportedInstance {
  memory: WasmMemory;
  table: WasmTable;
  stackSave(): number;
  stackRestore(pointer: number): void;
  setThrew(threw: number, value: number): void;
}

/** @param instance filled by the caller before anything runs @param maxBytes what the interpreter's memory may grow to */
export function luaImports(instance: ImportedInstance, maxBytes: number): WasmImports {
  const refuse = (): number => -ENOSYS;
  const nothing = (): number => 0;
  return {
    env: {
      exit: () => {
        throw new Error('the Lua interpreter wants to exit');
      },
      // A call that can be unwound to: what the C library calls setjmp.
      invoke_vii: (index: number, first: number, second: number): void => {
        const stack = instance.stackSave();
        try {
          (instance.table.get(index) as (first: number, second: number) => void)(first, second);
        } catch (thrown) {
          instance.stackRestore(stack);
          if (thrown !== UNWIND) throw thrown;
          instance.setThrew(1, 0);
        }
      },
      _emscripten_throw_longjmp: () => {
        throw UNWIND;
      },
      emscripten_memcpy_js: (to: number, from: number, bytes: number): void => {
        new Uint8Array(instance.memory.buffer).copyWithin(to, from, from + bytes);
      },
      emscripten_resize_heap: (bytes: number): number => {
        const size = bytes >>> 0;
        if (size > maxBytes) return 0;
        const held = instance.memory.buffer.byteLength;
        // Growing by a quarter at least, so that a script that fills its memory does not grow it a page at a time.
        const wanted = Math.min(maxBytes, Math.max(size, held + (held >> 2)));
        try {
          instance.memory.grow(Math.ceil((wanted - held) / PAGE_BYTES));
          return 1;
        } catch {
          return 0;
        }
      },
      emscripten_date_now: nothing,
      _emscripten_get_now_is_monotonic: nothing,
      _emscripten_system: refuse,
      _tzset_js: nothing,
      _mktime_js: refuse,
      _localtime_js: nothing,
      _gmtime_js: nothing,
      strftime: nothing,
      __syscall_openat: refuse,
      __syscall_fcntl64: refuse,
      __syscall_ioctl: refuse,
      __syscall_dup3: refuse,
      __syscall_unlinkat: refuse,
      __syscall_rmdir: refuse,
      __syscall_renameat: refuse,
      __syscall_readlinkat: refuse,
    },
    wasi_snapshot_preview1: {
      fd_write: () => EBADF,
      fd_read: () => EBADF,
      fd_close: () => EBADF,
      fd_seek: () => EBADF,
      environ_sizes_get: (countAt: number, bytesAt: number): number => {
        const memory = new DataView(instance.memory.buffer);
        memory.setUint32(countAt, 0, true);
        memory.setUint32(bytesAt, 0, true);
        return 0;
      },
      environ_get: nothing,
    },
  };
}
