/** How much memory the stores of a node take when nobody says. */
import { totalmem } from 'node:os';

const MIB = 1024 ** 2;
const MOST_BYTES = 1024 * MIB;
const LEAST_BYTES = 32 * MIB;
/** The rest is for the log's cache, connections, the heap and the system's page cache. */
const SHARE = 1 / 4;

/** Memory that this process may use: the container's limit where there is one, else the machine's. */
export function memoryLimitBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/**
 * A quarter of the memory limit, at least 32 MiB and at most 1 GiB a node, in whole MiB.
 * @param nodesHere nodes that share the machine
 */
export function storeMemoryBytes(nodesHere = 1, limitBytes = memoryLimitBytes()): number {
  const share = Math.floor((limitBytes * SHARE) / nodesHere / MIB) * MIB;
  return Math.max(LEAST_BYTES, Math.min(MOST_BYTES, share));
}
