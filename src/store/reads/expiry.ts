/** Finds keys whose time has come: in the buffer by a look at each, below it by the index rows. */
import { type HlcTimestamp, hlcTimestamp } from '../../platform/index.ts';
import type { LatestVersion } from '../contract/index.ts';
import { decodeExpiryKey, encodeExpiryKey, nameOf, RowKind } from '../rows/index.ts';
import type { ReadView } from './reads.ts';

const EMPTY = Buffer.alloc(0);
const ROWS_AT_ONCE = 256;

/**
 * Up to `limit` keys whose newest version expires at or before `atTs`.
 * @param latest the store's newest version of a key, at the moment of the call
 */
export async function findExpired(
  { level, generations }: ReadView,
  latest: (key: Buffer) => LatestVersion | undefined,
  atTs: HlcTimestamp,
  limit: number,
): Promise<{ readonly key: Buffer; readonly commitTs: HlcTimestamp }[]> {
  const found = new Map<string, { key: Buffer; commitTs: HlcTimestamp }>();
  // What an index row or an older generation says is a hint: the newest version decides.
  const consider = (key: Buffer): void => {
    const newest = latest(key);
    if (newest === undefined || newest.isTombstone || newest.expireTs === 0n || newest.expireTs > atTs) return;
    found.set(nameOf(key), { key, commitTs: newest.commitTs });
  };
  for (const generation of generations) {
    for (const { key } of generation.expiring(atTs)) {
      if (found.size >= limit) break;
      consider(key);
    }
  }
  const iterator = level.iterator({
    gte: Buffer.from([RowKind.Expiry]),
    lt: encodeExpiryKey(hlcTimestamp(atTs + 1n), EMPTY),
  });
  try {
    while (found.size < limit) {
      const page = await iterator.nextv(ROWS_AT_ONCE);
      if (page.length === 0) break;
      for (const [row] of page) {
        if (found.size < limit) consider(decodeExpiryKey(row).key);
      }
    }
  } finally {
    await iterator.close();
  }
  return [...found.values()];
}
