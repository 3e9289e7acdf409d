/**
 * Segments follow the groups: where rows of a table's items begin to be another group's, a segment is to begin, so that heads and items are led together and a
 * write of an item is one entry again. Until it does, such writes are transactions over two groups. So nobody has to be asked before a range is cut or moved,
 * whoever does it and why.
 */
import type { KvService } from '../../../kv/index.ts';
import type { Millis } from '../../../platform/index.ts';
import { BASE_INDEX, fenceKey, indexRange, tokenIn, tokenPrefixIn } from '../rows/index.ts';
import { cutSegment, mayCut, segmentOf, type TableCatalog, type TableDescriptor } from '../tables/index.ts';

/** The tokens at which a table's items go over into another group and no segment begins. */
export function missingSegments(kv: Pick<KvService, 'stretchAt'>, table: TableDescriptor): number[] {
  const { start, end } = indexRange(table.id, BASE_INDEX);
  const tokens: number[] = [];
  for (let at = kv.stretchAt(start).end; at !== undefined && Buffer.compare(at, end) < 0; at = kv.stretchAt(at).end) {
    const token = tokenIn(at);
    // A cut in the middle of a partition has its heads on one side in any case.
    const isAtToken = token !== undefined && tokenPrefixIn(at)!.length === at.length;
    if (isAtToken && segmentOf(table, token).start !== token) tokens.push(token);
  }
  return tokens;
}

/**
 * Lets one segment of a table begin where it should: the one after it comes with another look.
 * @returns the table as it is then; undefined when nothing was to be done here
 */
export async function followRanges(
  kv: KvService,
  catalog: TableCatalog,
  table: TableDescriptor,
  nowMs: Millis,
  deadlineMs: Millis,
): Promise<TableDescriptor | undefined> {
  const token = missingSegments(kv, table).find((one) => mayCut(table, one));
  if (token === undefined) return undefined;
  // Whoever leads the heads that there are does it.
  if (!kv.servesLocally(kv.groupOf(fenceKey(table.id, segmentOf(table, token).start)))) return undefined;
  return catalog.changeById(table.id, deadlineMs, (before, tasks) => cutSegment(before, tasks, token, nowMs));
}
