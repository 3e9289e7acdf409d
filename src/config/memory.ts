/** How much memory a node takes, and of it its stores, when nobody says. */
import { totalmem } from 'node:os';

const MIB = 1024 ** 2;
/** What a node stays within: a share of the machine, */
const NODE_SHARE = 1 / 2;
const NODE_MOST_BYTES = 2048 * MIB;
/** and no less than a node needs that holds nothing, with room for a large value. */
export const NODE_LEAST_BYTES = 384 * MIB;
/** What the stores take of it; the rest is for the log's cache, connections, the heap and what is on its way through all of them. */
const STORE_SHARE = 1 / 4;
const STORE_LEAST_BYTES = 32 * MIB;
/** Followers that are a little behind, and entries that are applied, are read from there. */
const LOG_SHARE = 1 / 32;
const LOG_LEAST_BYTES = 8 * MIB;

/** Memory that this process may use: the container's limit where there is one, else the machine's. */
export function memoryLimitBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/**
 * Half of the memory that there is, at least 384 MiB and at most 2 GiB, in whole MiB.
 * @param nodesHere nodes that share the machine
 */
export function nodeMemoryBytes(nodesHere = 1, machineBytes = memoryLimitBytes()): number {
  const share = Math.floor((machineBytes * NODE_SHARE) / nodesHere / MIB) * MIB;
  return Math.max(NODE_LEAST_BYTES, Math.min(NODE_MOST_BYTES, share));
}

/** Bytes of the log's latest entries that stay in memory: a thirty-second part. */
export const logMemoryBytes = (nodeBytes: number): number =>
  Math.max(LOG_LEAST_BYTES, Math.floor(nodeBytes * LOG_SHARE));

/** A quarter of what the node stays within, at least 32 MiB, in whole MiB. */
export const storeMemoryBytes = (nodeBytes: number): number =>
  Math.max(STORE_LEAST_BYTES, Math.floor((nodeBytes * STORE_SHARE) / MIB) * MIB);
