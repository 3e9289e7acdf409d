/** Scans: rows in order, from pages that must leave no hole between them. */
import type { Calls, ServiceName } from './calls.ts';
import type { Endpoint } from './endpoints.ts';
import { KvorumClientError } from './errors.ts';
import { boundsOf, consistencyField, type PageMessage, timeOf, toRow } from './messages.ts';
import type { SessionToken } from './session-token.ts';
import type { ReadConsistency, ScannedPage, ScanOptions } from './types.ts';

/** Who is asked. */
export interface ScanSource {
  readonly calls: Calls;
  readonly service: ServiceName;
  /** Hears how far the pages have come, and says what they have to reach. */
  readonly session: SessionToken | undefined;
  /** The node that has the transaction, which knows itself what its pages have to reach. */
  readonly pinned?: Endpoint;
  /** Fields of every request beside the range. */
  readonly fields?: object;
}

/** Pages of a range. @throws KvorumClientError */
export async function* scanPages(source: ScanSource, options: ScanOptions): AsyncGenerator<ScannedPage> {
  const { reverse = false, keysOnly = false, signal } = options;
  let { start, end } = boundsOf(options);
  let { consistency } = options;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  if (left <= 0 || (end !== undefined && Buffer.compare(start, end) >= 0)) return;
  const { calls, service, session, pinned, fields } = source;
  const demand = pinned === undefined ? session : undefined;
  const request = (): object => ({
    ...fields,
    start,
    ...(end === undefined ? {} : { end }),
    limit: Number.isFinite(left) ? left : 0,
    reverse,
    keysOnly,
    ...consistencyField(consistency, demand),
  });
  const call = { service, method: 'Scan', ...(pinned === undefined ? {} : { pinned }) };
  for await (const page of calls.stream<PageMessage>(call, request, signal)) {
    const { servedStart, servedEnd } = page;
    if (reverse ? !isSame(servedEnd, end) : !servedStart.equals(start)) throw hole();
    // The place is moved before rows are handed out: whoever opens the stream again then gets what comes after the page.
    if (reverse) end = servedStart;
    else start = servedEnd ?? start;
    left -= page.rows.length;
    session?.take(page.sessionToken);
    const time = timeOf(page);
    // And as of the same timestamp, whoever is asked then.
    if (isOfOneMoment(consistency, demand)) consistency = { at: time.servedTs };
    yield { rows: page.rows.map(toRow), ...time };
    const isWhole = reverse ? servedStart.equals(start) : isSame(servedEnd, end);
    if (isWhole || left <= 0) return;
  }
  throw hole();
}

const isOfOneMoment = (consistency: ReadConsistency | undefined, session: SessionToken | undefined): boolean =>
  consistency === undefined ? session !== undefined : typeof consistency === 'object';

const isSame = (one: Buffer | undefined, other: Buffer | undefined): boolean =>
  one === undefined || other === undefined ? one === other : one.equals(other);

const hole = (): KvorumClientError =>
  new KvorumClientError('SCAN_INCOMPLETE', 'wait', 'the cluster left out a part of the range; scan it again');
