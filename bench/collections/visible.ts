/** What clients could read of a store, as one number: equal on all replicas, whatever each has collected of the past. */
import { createHash } from 'node:crypto';
import { bodyOf, decodeStorageKey, incarnationIn } from '../../src/adapter/redis/keys/index.ts';
import { hlcTimestamp } from '../../src/platform/index.ts';
import { openGroupStore } from '../../src/store/group/open.ts';

const PAGE_ROWS = 4096;
const BEHIND_ALL_KEYS = Buffer.alloc(16, 0xff);
const END_OF_TIME = hlcTimestamp((1n << 63n) - 1n);

export interface VisibleState {
  readonly digest: string;
  /** Rows of keys that are there. */
  readonly rows: number;
  /** Rows that no head names, which are to be collected. */
  readonly lostRows: number;
}

/** Reads all of a store that no node has open. @param location folder of its database */
export async function visibleState(location: string): Promise<VisibleState> {
  const store = await openGroupStore({ location });
  const hash = createHash('sha256');
  let [rows, lostRows] = [0, 0];
  let head: Buffer = Buffer.alloc(0);
  let incarnation: Buffer | undefined;
  try {
    let start: Buffer | undefined = Buffer.alloc(0);
    while (start !== undefined) {
      const page = await store.scan({ start, end: BEHIND_ALL_KEYS, readTs: END_OF_TIME, limit: PAGE_ROWS });
      for (const { key, value, commitTs } of page.rows) {
        const body = bodyOf(key);
        if (body !== undefined) {
          const isNamed =
            key.subarray(0, body.headLength).equals(head) && incarnation?.equals(body.incarnation) === true;
          if (!isNamed) {
            lostRows += 1;
            continue;
          }
        } else {
          if (decodeStorageKey(key) === undefined) continue;
          head = key;
          incarnation = incarnationIn(value);
        }
        rows += 1;
        hash.update(key).update(value).update(String(commitTs));
      }
      start = page.next;
    }
  } finally {
    await store.close();
  }
  return { digest: hash.digest('hex'), rows, lostRows };
}
