/**
 * What the interpreter asks of its surroundings. Scripts have no files, no processes, no environment and no clock, so nearly everything answers
 * that there is no such thing; what is left is growing the memory, up to a limit, the pair of functions that unwinds the stack when Lua raises an
 * error, and what goes over any number of bytes within one instruction, which is told.
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
  /** The memory as it is now. */
  view(): Uint8Array;
  /** Told of bytes that were gone over within an instruction; may throw, which ends the interpreter. */
  wentOver(bytes: number): void;
}

/** Bytes that are compared before they are told of. */
const COMPARED_AT_ONCE = 65_536;
/** Numbers that are shorter are read without a word. */
const SHORT_NUMBER = 32;
/** A byte of a number takes as long to read as so many to copy. */
const NUMBER_BYTE_COST = 32;

/** Compares two strings of C. @returns what `strcmp` does */
function compare(instance: ImportedInstance, first: number, second: number): number {
  const memory = instance.view();
  for (let from = 0; ; from += COMPARED_AT_ONCE) {
    const end = from + COMPARED_AT_ONCE;
    for (let at = from; at < end; at++) {
      const byte = memory[first + at]!;
      const other = memory[second + at]!;
      if (byte !== other || byte === 0) {
        instance.wentOver(at - from);
        return byte - other;
      }
    }
    instance.wentOver(COMPARED_AT_ONCE);
  }
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
        instance.view().copyWithin(to, from, from + bytes);
        instance.wentOver(bytes);
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
      // Called with each string that is read as a number, see `luaBinary`.
      _emscripten_system: (text: number): number => {
        const memory = instance.view();
        let length = 0;
        while (length < SHORT_NUMBER && memory[text + length] !== 0) length++;
        if (length === SHORT_NUMBER) instance.wentOver((memory.indexOf(0, text) - text) * NUMBER_BYTE_COST);
        return 0;
      },
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
      // Called to compare strings, see `luaBinary`; nothing has an environment.
      environ_get: (first: number, second: number): number => compare(instance, first, second),
    },
  };
}
