/** What both forms of a hash or a set can do. A set is a hash whose values have no bytes. */
import type { NewExpiry } from '../rows/index.ts';

export interface NamedEntry {
  readonly name: Buffer;
  readonly value: Buffer;
}

/** A part of all names, and where to go on. */
export interface NameScan {
  /** 0 at the end. */
  readonly cursor: number;
  readonly names: readonly Buffer[];
}

/** Names with values. Buffers that it returns are views and must not be modified. */
export interface NamedForm {
  readonly count: number;
  /** Sticky facts, without the armed bit. */
  bits: number;
  get(name: Buffer): Buffer | undefined;
  /** Says that these names are about to be looked for. */
  prefetch(names: readonly Buffer[]): void;
  /** @returns true when the name is new */
  set(name: Buffer, value: Buffer): boolean;
  /** @returns false when it was not there */
  delete(name: Buffer): boolean;
  /** All names, each once; the form must not be changed meanwhile. */
  names(): Iterable<Buffer>;
  entries(): Iterable<NamedEntry>;
  /** One of the names, each with the same chance; there must be one. */
  random(): Buffer;
  /** At least `atLeast` names more if there are so many. Begins with cursor 0. */
  scan(cursor: number, atLeast: number): NameScan;
  save(expiry: NewExpiry): void;
}

/** The value of every member of a set. */
export const NO_VALUE: Buffer = Buffer.alloc(0);
