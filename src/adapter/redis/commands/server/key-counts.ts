/** How many keys there are, as INFO and MEMORY STATS show it. */
import type { ScanContext } from '../../command/index.ts';
import { DATABASE_COUNT } from '../../keys/index.ts';

/** Where the leaders do not answer within this time a database counts as empty. */
const COUNT_TIMEOUT_MS = 1_000;

/** @returns the number of keys of each database, in their order */
export const keyCounts = (ctx: ScanContext): Promise<number[]> =>
  Promise.all(Array.from({ length: DATABASE_COUNT }, (_, db) => ctx.count(db, COUNT_TIMEOUT_MS).catch(() => 0)));
