/**
 * Ranges that were dropped as a whole, and what is known to be dead.
 */

export { BEHIND_ALL_NAMES, behindName, DeadRanges, type WriteWatch } from './dead-ranges.ts';
export {
  type DroppedRange,
  decodeDrop,
  encodeDrop,
  encodeDropKey,
  isDropped,
  type RangeDrop,
  RangeDrops,
} from './range-drops.ts';
