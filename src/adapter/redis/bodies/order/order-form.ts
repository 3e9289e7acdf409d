/** What both forms of a sorted set can do: members, and their keys (score and member) in order. */
import type { NewExpiry } from '../rows/index.ts';

/** A part of all keys, and where to go on. */
export interface KeyScan {
  /** 0 at the end. */
  readonly cursor: number;
  readonly keys: readonly Buffer[];
}

/** Buffers that it returns are views and must not be modified. */
export interface OrderForm {
  readonly count: number;
  /** Sticky facts, without the armed bit. */
  bits: number;
  /** Says that the keys of these members are about to be asked for. */
  prefetch(members: readonly Buffer[]): void;
  /** Says that these keys are about to be added or removed. */
  prefetchKeys(keys: readonly Buffer[]): void;
  /** Says that all keys are about to be read. */
  prefetchAll(): void;
  /** The key of a member; undefined when it is not there. */
  keyOf(member: Buffer): Buffer | undefined;
  /** Adds a member that is not there. */
  add(member: Buffer, key: Buffer): void;
  /** Gives a member another key. */
  move(member: Buffer, from: Buffer, to: Buffer): void;
  remove(member: Buffer, key: Buffer): void;
  /** How many keys are below one, which need not be there. */
  rankOf(key: Buffer): number;
  /**
   * Keys from a position on, forwards or backwards; none when there is no such position.
   * @param atMost how many will be taken, about; left out when that is not known
   */
  walkFrom(index: number, step: 1 | -1, atMost?: number): Iterable<Buffer>;
  /** Keys that are not below one, forwards; or those that are, backwards. @param atMost as of `walkFrom` */
  walkFromKey(key: Buffer, step: 1 | -1, atMost?: number): Iterable<Buffer>;
  removeRange(from: number, count: number): void;
  /** At least `atLeast` keys more if there are so many. Begins with cursor 0. */
  scan(cursor: number, atLeast: number): KeyScan;
  save(expiry: NewExpiry): void;
}
