/**
 * The libraries of functions that a cluster has, as one value. Layout (integers big endian, `bytes` is u32 length + bytes):
 *
 *   u8 format  u32 libraries  { bytes name  bytes code  u32 functions  { bytes name  u8 has a description  bytes description  u8 flags } }
 *
 * Libraries stand in the order in which they were loaded. What their functions are called is stored so that a list of them runs no code.
 */
import { ByteReader, ByteWriter } from '../../../platform/index.ts';
import { FUNCTION_FLAGS, type FunctionDeclaration } from '../lua/index.ts';
import { RedisError } from '../protocol/index.ts';

/** Raised when the layout changes; a node refuses what it does not know. */
const FORMAT = 1;
/** All libraries together: they are read as a whole, and every node that calls one keeps them. */
const MAX_BYTES = 4 * 1024 * 1024;
const MIB = 1024 * 1024;

export interface StoredLibrary {
  readonly name: string;
  /** As it was loaded, first line included. */
  readonly code: Buffer;
  readonly functions: readonly FunctionDeclaration[];
}

/** A function and the library that has it. */
export interface StoredFunction {
  readonly library: StoredLibrary;
  readonly declaration: FunctionDeclaration;
}

export class LibrarySet {
  static readonly EMPTY = new LibrarySet([]);
  readonly libraries: readonly StoredLibrary[];
  /** By name in lower case. */
  private readonly functions = new Map<string, StoredFunction>();

  private constructor(libraries: readonly StoredLibrary[]) {
    this.libraries = libraries;
    for (const library of libraries) {
      for (const declaration of library.functions) {
        this.functions.set(declaration.name.toLowerCase(), { library, declaration });
      }
    }
  }

  library(name: string): StoredLibrary | undefined {
    return this.libraries.find((library) => library.name === name);
  }

  /** Finds a function; the case of its name does not matter. */
  function(name: string): StoredFunction | undefined {
    return this.functions.get(name.toLowerCase());
  }

  without(name: string): LibrarySet {
    return new LibrarySet(this.libraries.filter((library) => library.name !== name));
  }

  /** Adds libraries; those of the same name must be gone. @throws RedisError when a function has the name of another library's */
  with(added: readonly StoredLibrary[]): LibrarySet {
    for (const { functions } of added) {
      const taken = functions.find(({ name }) => this.function(name) !== undefined);
      if (taken !== undefined) throw new RedisError(`ERR Function ${taken.name} already exists`);
    }
    return new LibrarySet([...this.libraries, ...added]);
  }

  /** @throws RedisError when they take too much */
  encode(): Buffer {
    const writer = new ByteWriter(1024);
    writer.u8(FORMAT).u32(this.libraries.length);
    for (const { name, code, functions } of this.libraries) {
      writer.bytes(Buffer.from(name)).bytes(code).u32(functions.length);
      for (const declaration of functions) {
        const { description, flags } = declaration;
        writer.bytes(Buffer.from(declaration.name)).u8(description === undefined ? 0 : 1);
        writer.bytes(Buffer.from(description ?? ''));
        writer.u8(FUNCTION_FLAGS.reduce((bits, flag, bit) => bits | (flags.includes(flag) ? 1 << bit : 0), 0));
      }
    }
    const bytes = writer.finishView();
    if (bytes.length > MAX_BYTES) throw new RedisError(`ERR all libraries together may take ${MAX_BYTES / MIB} MiB`);
    return bytes;
  }

  /** The inverse of `encode`; keeps no view of `bytes`. @throws RangeError when they are cut short; RedisError for a later format */
  static decode(bytes: Buffer): LibrarySet {
    const reader = new ByteReader(bytes, 'libraries of functions', RangeError);
    if (reader.u8() !== FORMAT) throw new RedisError('ERR the libraries were written by a newer version of kvorum');
    const text = (): string => reader.view().toString();
    const libraries = Array.from({ length: reader.u32() }, (): StoredLibrary => {
      const name = text();
      const code = Buffer.from(reader.view());
      const functions = Array.from({ length: reader.u32() }, (): FunctionDeclaration => {
        const called = text();
        const hasDescription = reader.u8() === 1;
        const description = text();
        const bits = reader.u8();
        return {
          name: called,
          description: hasDescription ? description : undefined,
          flags: FUNCTION_FLAGS.filter((_, bit) => (bits & (1 << bit)) !== 0),
        };
      });
      return { name, code, functions };
    });
    return new LibrarySet(libraries);
  }
}
