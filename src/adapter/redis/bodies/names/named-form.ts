/** What both forms of a hash or a set can do. A set is a hash whose values have no bytes, and whose elements never expire. */
import type { Millis } from '../../../../platform/index.ts';
import type { NewExpiry } from '../rows/index.ts';

/** Of an element that never expires; others have a unix time in milliseconds, from which on they are not there. */
export const NO_EXPIRY: Millis = 0;

/** What becomes of the expiry of an element whose value is set: it stays, if the element is there, or it is this. */
export type ElementExpiry = Millis | 'keep';

export interface NamedEntry {
  readonly name: Buffer;
  readonly value: Buffer;
  readonly expireMs: Millis;
}

/** A part of all names, and where to go on. */
export interface NameScan {
  /** 0 at the end. */
  readonly cursor: number;
  readonly names: readonly Buffer[];
}

/**
 * Names with values. What has expired at the view's timestamp is not there, for no method, also while it is still stored. Buffers that it returns
 * are views and must not be modified.
 */
export interface NamedForm {
  readonly count: number;
  /** Sticky facts, without the armed bit. */
  bits: number;
  get(name: Buffer): Buffer | undefined;
  /** Undefined when the name is not there. */
  expiryOf(name: Buffer): Millis | undefined;
  /** Storage keys of the rows that looking for names reads. */
  rowsOf(names: readonly Buffer[]): Buffer[];
  /** @returns true when the name is new */
  set(name: Buffer, value: Buffer, expiry: ElementExpiry): boolean;
  /** Of a name that is there; its value stays. */
  setExpiry(name: Buffer, expireMs: Millis): void;
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
