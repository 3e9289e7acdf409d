/** How many bytes a range takes on disk, asked of the database: its files know where blocks lie, so nothing is read. */

import type { Level } from '../level/index.ts';
import { keyBounds, RowKind } from '../rows/index.ts';

/**
 * Bytes of the rows of a range: newest versions, older ones. What is still in memory is not in it.
 * @param end undefined is the end of the key space
 * @returns undefined where the database cannot say
 */
export async function rangeBytesOnDisk(
  level: Level,
  start: Buffer,
  end: Buffer | undefined,
): Promise<number | undefined> {
  if (level.approximateBytes === undefined) return undefined;
  let sum = 0;
  for (const kind of [RowKind.Latest, RowKind.Version]) {
    const { gte, lt } = keyBounds(kind, start, end);
    const bytes = await level.approximateBytes(gte, lt);
    if (bytes === undefined) return undefined;
    sum += bytes;
  }
  return sum;
}
