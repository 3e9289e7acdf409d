/** A node's memory for stores, divided among its groups. */
import {
  type GroupStoreOptions,
  type LevelMemory,
  measured,
  openClassicLevel,
  type SealedLevels,
  type StoreActivity,
  type StoreLimits,
} from '../store/index.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** What one store may take, and how it divides that. */
interface Part {
  readonly share: number;
  readonly leastBytes: number;
  readonly mostBytes: number;
}

/** Newest versions that were read or flushed lately: millions of small objects, too many of which cost the heap's collector more than they save. */
const CACHE: Part = { share: 1 / 2, leastBytes: 256 * KIB, mostBytes: 256 * MIB };
/** Applied units on their way to disk. */
const BUFFER: Part = { share: 1 / 8, leastBytes: 1 * MIB, mostBytes: 32 * MIB };
/** Decompressed blocks of the database. */
const BLOCKS: Part = { share: 1 / 4, leastBytes: 256 * KIB, mostBytes: 128 * MIB };
/** The database holds up to two of them. */
const WRITES: Part = { share: 1 / 16, leastBytes: 512 * KIB, mostBytes: 16 * MIB };

/** The buffer takes so much of the cache when versions wait in it: their keys are known besides. */
const LENT_SHARE = 3 / 4;

/** A flush starts long before the buffer is full. */
const FLUSH_SHARE = 1 / 4;
const MOST_FLUSH_BYTES = 1 * MIB;

const bytesOf = (part: Part, storeBytes: number): number =>
  Math.min(part.mostBytes, Math.max(part.leastBytes, Math.floor(storeBytes * part.share)));

/** Bounds of one store. */
export interface StoreShare {
  readonly limits: Pick<StoreLimits, 'cacheBytes' | 'bufferBytes' | 'lentBytes' | 'flushBytes'>;
  readonly level: LevelMemory;
}

/**
 * Bounds of a store that is opened as one of `groups`. Stores that were opened before keep what they have, so a node that
 * is given many groups one by one takes more than its budget until its next start; at a start all groups count for each.
 */
export function storeShare(nodeBytes: number, groups: number): StoreShare {
  const storeBytes = nodeBytes / groups;
  const batchBytes = bytesOf(BUFFER, storeBytes);
  const cacheBytes = bytesOf(CACHE, storeBytes);
  const lentBytes = Math.floor(cacheBytes * LENT_SHARE);
  return {
    limits: {
      cacheBytes,
      bufferBytes: batchBytes + lentBytes,
      lentBytes,
      flushBytes: Math.min(MOST_FLUSH_BYTES, Math.floor(batchBytes * FLUSH_SHARE)),
    },
    level: { blockCacheBytes: bytesOf(BLOCKS, storeBytes), writeBufferBytes: bytesOf(WRITES, storeBytes) },
  };
}

/** How to open a store that is one of `open`; what it does is booked. */
export function shareOf<Store extends Pick<GroupStoreOptions, 'openLevel' | 'limits'>>(
  parts: {
    readonly store: Store;
    readonly storeMemoryBytes?: number;
    readonly sealedLevels?: SealedLevels | undefined;
    readonly clock: Parameters<typeof measured>[1];
  },
  open: number,
  activity: StoreActivity,
): Store {
  const { store, storeMemoryBytes, sealedLevels, clock } = parts;
  const share = storeMemoryBytes === undefined ? undefined : storeShare(storeMemoryBytes, open);
  const openInside = store.openLevel ?? ((location: string) => openClassicLevel(location, share?.level));
  const openLevel = sealedLevels === undefined ? openInside : sealedLevels.over(openInside);
  const limits = { ...share?.limits, ...store.limits };
  return { ...store, openLevel: measured(openLevel, clock, activity), limits };
}
