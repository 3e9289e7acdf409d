/** What both forms of a list can do. */
import type { NewExpiry } from '../rows/index.ts';

/** Values by position, from 0. Buffers that it returns are views and must not be modified. */
export interface ListForm {
  readonly count: number;
  /** Sticky facts, without the armed bit. */
  readonly bits: number;
  /** The value at a position that there is. */
  at(index: number): Buffer;
  replaceAt(index: number, value: Buffer): void;
  /** Puts values, in their order, in front of the one at `index`, or at the end. */
  insertAt(index: number, values: readonly Buffer[]): void;
  removeRange(from: number, count: number): void;
  /** Values from a position on, forwards or backwards; none when there is no such position. */
  walkFrom(index: number, step: 1 | -1, atMost?: number): Iterable<Buffer>;
  /** Whether each value from a position on is the one looked for; without reading long values of other lengths. */
  matchesFrom(index: number, step: 1 | -1, value: Buffer): Iterable<boolean>;
  save(expiry: NewExpiry): void;
}
