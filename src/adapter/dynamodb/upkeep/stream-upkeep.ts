/**
 * What streams need of the node that leads their rows: records of transactions are put among the others, so that few are to be read by every reader, and
 * what is old is deleted.
 */
import type { KeyView, ScanRow, ServedPage } from '../../../kv/index.ts';
import { type Millis, NEVER } from '../../../platform/index.ts';
import { streamLaneByTransaction, streamPrefix, streamRows, timedRecordKey } from '../rows/index.ts';
import { behind, oldRecords, transactionPlace, wholeStream } from '../streams/index.ts';
import type { Segment, TableDescriptor, TableServices } from '../tables/index.ts';
import { prefixEnd } from '../values/index.ts';

/** Records of one transaction of upkeep, and roughly their bytes. */
const MOVED_RECORDS = 64;
const MOVED_BYTES = 1024 * 1024;

/**
 * Puts records of transactions where they lie by time, in one transaction each with what is taken away.
 * @returns how many were moved; as many as at most when there may be more
 */
export async function moveRecords(
  services: TableServices,
  prefix: Buffer,
  deadlineMs: Millis,
  signal: AbortSignal,
): Promise<{ readonly hasMore: boolean }> {
  const start = streamLaneByTransaction(prefix);
  const options = { limit: MOVED_RECORDS, maxBytes: MOVED_BYTES, reverse: false, keysOnly: false };
  const pages = services.cluster.scan({ start, end: prefixEnd(start)! }, options, deadlineMs, signal);
  const page = (await pages.next()).value as ServedPage | undefined;
  await pages.return(undefined);
  if (page === undefined || page.rows.length === 0) return { hasMore: false };
  const { rows } = page;
  const moves = rows.map((row) => ({ row, place: transactionPlace(prefix, row.key, row.commitTs) }));
  const keys = moves.flatMap(({ row, place }) => [row.key, timedRecordKey(prefix, place.ts, place.number)]);
  await services.transactions.run({ keys, deadlineMs }, (view) => {
    for (const { row, place } of moves) moveRecord(view, prefix, row, place);
  });
  return { hasMore: rows.length === MOVED_RECORDS || Buffer.compare(page.end, prefixEnd(start)!) < 0 };
}

function moveRecord(view: KeyView, prefix: Buffer, { key }: ScanRow, from: ReturnType<typeof transactionPlace>): void {
  const row = view.get(key);
  // Somebody else was here.
  if (row === undefined) return;
  let place = from;
  // Two transactions of one timestamp whose ids begin alike: one in 2^15 of those, which are rare themselves.
  while (view.get(timedRecordKey(prefix, place.ts, place.number)) !== undefined) place = behind(place);
  view.put(timedRecordKey(prefix, place.ts, place.number), row.value, NEVER);
  view.delete(key);
}

/** Deletes what a segment's streams have that is too old, and all of streams that the table knows no more. */
export async function trimStreams(
  { cluster }: TableServices,
  table: TableDescriptor,
  { start: token }: Segment,
  nowMs: Millis,
  deadlineMs: Millis,
): Promise<void> {
  const all = streamRows(table.id, token);
  const kept = table.streams.map(({ generation }) => streamPrefix(table.id, token, generation)).sort(Buffer.compare);
  let from = all.start;
  for (const prefix of kept) {
    if (Buffer.compare(from, prefix) < 0) await cluster.deleteRange({ start: from, end: prefix }, deadlineMs);
    await cluster.deleteRange(oldRecords(prefix, nowMs), deadlineMs);
    from = wholeStream(prefix).end;
  }
  if (Buffer.compare(from, all.end) < 0) await cluster.deleteRange({ start: from, end: all.end }, deadlineMs);
}
