/** A node's memory for stores, divided among its groups. */
import type { StoreLimits } from '../store/index.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Of a group's share: newest versions that were read or flushed lately. The rest is for applied units on their way to disk. */
const CACHE_SHARE = 3 / 4;
const LEAST_CACHE_BYTES = 256 * KIB;
/** A cache is millions of small objects: beyond this the collector of the heap costs more than the database's own cache. */
const MOST_CACHE_BYTES = 256 * MIB;
const LEAST_BUFFER_BYTES = 1 * MIB;
const MOST_BUFFER_BYTES = 32 * MIB;
/** A flush starts long before the buffer is full. */
const FLUSH_SHARE = 1 / 4;
const MOST_FLUSH_BYTES = 1 * MIB;

const between = (least: number, most: number, value: number): number =>
  Math.min(most, Math.max(least, Math.floor(value)));

/**
 * Bounds of a store that is opened as one of `groups`. Stores that were opened before keep what they have, so a node that
 * is given many groups one by one takes a little more than its budget; at its next start it takes the budget.
 */
export function storeShare(
  nodeBytes: number,
  groups: number,
): Pick<StoreLimits, 'cacheBytes' | 'bufferBytes' | 'flushBytes'> {
  const share = nodeBytes / groups;
  const bufferBytes = between(LEAST_BUFFER_BYTES, MOST_BUFFER_BYTES, share * (1 - CACHE_SHARE));
  return {
    cacheBytes: between(LEAST_CACHE_BYTES, MOST_CACHE_BYTES, share * CACHE_SHARE),
    bufferBytes,
    flushBytes: Math.min(MOST_FLUSH_BYTES, Math.floor(bufferBytes * FLUSH_SHARE)),
  };
}
