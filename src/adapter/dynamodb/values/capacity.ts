/** What reads and writes cost in the units of the service. Sizes are those of `itemSize`. */

const READ_UNIT_BYTES = 4096;
const WRITE_UNIT_BYTES = 1024;

/** How a read or write is done, which its price depends on. */
export type ReadKind = 'eventual' | 'consistent' | 'transactional';

const READ_FACTORS: Readonly<Record<ReadKind, number>> = { eventual: 0.5, consistent: 1, transactional: 2 };

/** @param bytes of the item, or of all that a page has read; 0 for an item that is not there, which costs as much as a small one */
export const readUnits = (bytes: number, kind: ReadKind): number =>
  Math.max(1, Math.ceil(bytes / READ_UNIT_BYTES)) * READ_FACTORS[kind];

/** @param bytes of the larger one of the item before and the item after; 0 when there is neither */
export const writeUnits = (bytes: number, isTransactional: boolean): number =>
  Math.max(1, Math.ceil(bytes / WRITE_UNIT_BYTES)) * (isTransactional ? 2 : 1);

/**
 * What an index costs in one write of an item.
 * @param oldBytes of its entry before, undefined when it had none
 * @param newBytes of its entry afterwards, undefined when it has none
 * @param change of the entry: nothing, what is projected, or its key, which is a delete and a put
 */
export function indexWriteUnits(
  oldBytes: number | undefined,
  newBytes: number | undefined,
  change: 'none' | 'projected' | 'key',
  isTransactional: boolean,
): number {
  if (change === 'none') return 0;
  if (change === 'projected') return writeUnits(Math.max(oldBytes ?? 0, newBytes ?? 0), isTransactional);
  const removed = oldBytes === undefined ? 0 : writeUnits(oldBytes, isTransactional);
  const added = newBytes === undefined ? 0 : writeUnits(newBytes, isTransactional);
  return removed + added;
}
