/** Scans: rows in order, from pages that must leave no hole between them. */
import type { Call, Calls } from './calls.ts';
import { KvorumClientError } from './errors.ts';
import { boundsOf, type PageMessage, toRow } from './messages.ts';
import type { ScanOptions, StoredRow } from './types.ts';

/** Rows of a range. @param fields of every request beside the range @throws KvorumClientError */
export async function* scanRows(
  calls: Calls,
  call: Pick<Call, 'service' | 'pinned'>,
  options: ScanOptions,
  fields: object = {},
): AsyncGenerator<StoredRow> {
  const { reverse = false, keysOnly = false, signal } = options;
  let { start, end } = boundsOf(options);
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  if (left <= 0 || (end !== undefined && Buffer.compare(start, end) >= 0)) return;
  const request = (): object => ({
    ...fields,
    start,
    ...(end === undefined ? {} : { end }),
    limit: Number.isFinite(left) ? left : 0,
    reverse,
    keysOnly,
  });
  for await (const page of calls.stream<PageMessage>({ ...call, method: 'Scan' }, request, signal)) {
    const { servedStart, servedEnd } = page;
    if (reverse ? !isSame(servedEnd, end) : !servedStart.equals(start)) throw hole();
    // The place is moved before rows are handed out: whoever opens the stream again then gets what comes after the page.
    if (reverse) end = servedStart;
    else start = servedEnd ?? start;
    left -= page.rows.length;
    for (const row of page.rows) yield toRow(row);
    const isWhole = reverse ? servedStart.equals(start) : isSame(servedEnd, end);
    if (isWhole || left <= 0) return;
  }
  throw hole();
}

const isSame = (one: Buffer | undefined, other: Buffer | undefined): boolean =>
  one === undefined || other === undefined ? one === other : one.equals(other);

const hole = (): KvorumClientError =>
  new KvorumClientError('SCAN_INCOMPLETE', 'wait', 'the cluster left out a part of the range; scan it again');
