/** How many items a table and its indexes have, and their bytes, as they were counted last: a document of the table, JSON behind a format byte. */
import { CorruptRowError } from '../rows/index.ts';

export interface Count {
  readonly items: number;
  readonly bytes: number;
}

export interface TableCounts extends Count {
  /** By the names of indexes. */
  readonly indexes: ReadonlyMap<string, Count>;
}

const FORMAT = 1;

interface StoredCounts extends Count {
  readonly indexes: readonly (Count & { readonly name: string })[];
}

/** Encodes counts. */
export function encodeCounts({ items, bytes, indexes }: TableCounts): Buffer {
  const stored: StoredCounts = { items, bytes, indexes: [...indexes].map(([name, count]) => ({ name, ...count })) };
  return Buffer.concat([Buffer.of(FORMAT), Buffer.from(JSON.stringify(stored), 'utf8')]);
}

/** @throws CorruptRowError */
export function decodeCounts(bytes: Buffer): TableCounts {
  if (bytes[0] !== FORMAT)
    throw new CorruptRowError(`counts of a table have format ${bytes[0]}, and this program knows ${FORMAT}`);
  const stored = JSON.parse(bytes.toString('utf8', 1)) as StoredCounts;
  const indexes = stored.indexes.map(({ name, ...count }) => [name, count] as const);
  return { items: stored.items, bytes: stored.bytes, indexes: new Map(indexes) };
}
