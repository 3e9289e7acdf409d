/**
 * What a head says of its tree.
 *
 *   lowest level that counts (u8)  levels (u8)  root (varint)  next number (varint)  first leaf: number, count (varints)  last leaf: the same
 *   ordered trees: the two separators (cells); when the level of the root counts: the number of its children (varint), counts (varints)
 */
import { varintBytes, writeVarint } from '../../keys/index.ts';
import { ByteReader, type Cell, cellBytes, NO_CELL, type RowNumbers, readCell, writeCell } from '../rows/index.ts';

/** A leaf outside the tree, at one of its ends; page 0 is none. */
export interface Finger {
  page: number;
  count: number;
}

/** 0 for the first leaf, 1 for the last. */
export type End = 0 | 1;
export const FIRST: End = 0;
export const LAST: End = 1;

/** Everything about a tree that is not in its pages. */
export interface TreeState extends RowNumbers {
  readonly countLevel: number;
  /** 0 without a tree between the fingers; with 1 the root is a leaf. */
  levels: number;
  /** Page number; 0 is none. */
  root: number;
  readonly fingers: [Finger, Finger];
  /**
   * Of an ordered tree: what separates the first leaf from the tree, and the last leaf from what is before it. Empty where there are not
   * two things to separate.
   */
  readonly separators: [Cell, Cell];
  /**
   * Of an ordered tree whose root counts: elements below each of its children. They change with every element, as the head does, so that a row
   * of their own would be one more to read and write each time. Other pages have one.
   */
  rootCounts: readonly number[];
}

/** Whether a head has the counts of the root. */
export const hasRootCounts = ({ levels, countLevel }: TreeState, isOrdered: boolean): boolean =>
  isOrdered && levels > 1 && levels > countLevel;

/** A tree without elements. @param next first number that its rows may have */
export const emptyTree = (countLevel: number, next: number): TreeState => ({
  countLevel,
  levels: 0,
  root: 0,
  next,
  fingers: [
    { page: 0, count: 0 },
    { page: 0, count: 0 },
  ],
  separators: [NO_CELL, NO_CELL],
  rootCounts: [],
});

/** Reads what `encodeTreeState` wrote. */
export function decodeTreeState(part: Buffer, isOrdered: boolean): TreeState {
  const reader = new ByteReader(part);
  const finger = (): Finger => ({ page: reader.varint(), count: reader.varint() });
  const state: TreeState = {
    countLevel: reader.byte(),
    levels: reader.byte(),
    root: reader.varint(),
    next: reader.varint(),
    fingers: [finger(), finger()],
    separators: isOrdered ? [readCell(reader), readCell(reader)] : [NO_CELL, NO_CELL],
    rootCounts: [],
  };
  if (hasRootCounts(state, isOrdered)) {
    state.rootCounts = Array.from({ length: reader.varint() }, () => reader.varint());
  }
  return state;
}

/** The bytes behind the common part of a head. */
export function encodeTreeState(state: TreeState, isOrdered: boolean): Buffer {
  const [first, last] = state.fingers;
  const numbers = [state.root, state.next, first.page, first.count, last.page, last.count];
  const counts = hasRootCounts(state, isOrdered) ? [state.rootCounts.length, ...state.rootCounts] : [];
  let size = 2;
  for (const number of numbers) size += varintBytes(number);
  if (isOrdered) for (const separator of state.separators) size += cellBytes(separator);
  for (const count of counts) size += varintBytes(count);
  const part = Buffer.allocUnsafe(size);
  part[0] = state.countLevel;
  part[1] = state.levels;
  let at = 2;
  for (const number of numbers) at = writeVarint(part, at, number);
  if (isOrdered) for (const separator of state.separators) at = writeCell(part, at, separator);
  for (const count of counts) at = writeVarint(part, at, count);
  return part;
}
