/**
 * Reads records of a shard in the order in which their changes were committed.
 *
 * Records whose commit timestamp was known when they were written lie by it. Those of transactions over groups lie by transaction, and the version of
 * their row says when it was committed; they are moved among the others later. A read takes the second kind first, all of it, at a moment R. Then it takes the
 * first kind. What was moved in between is seen twice and answered once; were it the other way round, it would not be seen at all. Everything that was
 * committed at R or before is in what was read, since a read waits for what is being committed. What is later than R is left for the next read.
 */

import type { KvCluster, ScanRow } from '../../../kv/index.ts';
import { type HlcTimestamp, hlcTimestamp, type Millis } from '../../../platform/index.ts';
import {
  CorruptRowError,
  decodeStreamRecord,
  type StreamRecord,
  streamLaneByTime,
  streamLaneByTransaction,
  timedRecordKey,
} from '../rows/index.ts';
import { prefixEnd } from '../values/index.ts';
import { behind, comparePlaces, endOf, type Place } from './sequence.ts';

/** Records of a transaction are numbered from here, others below. */
const TRANSACTION_NUMBERS = 2 ** 31;
/** Bits of a transaction's id that its records' numbers have, above the number within the transaction. */
const ID_BITS = 15;
const WITHIN_BITS = 16;
const TXN_ID_BYTES = 16;
/** Of a page of the scan. */
const PAGE_BYTES = 1024 * 1024;

export interface PlacedRecord {
  readonly place: Place;
  readonly record: StreamRecord;
  /** Of the record's row. */
  readonly bytes: number;
}

export interface ShardPage {
  readonly records: readonly PlacedRecord[];
  /** Where the next read begins. */
  readonly next: Place;
  /** Nothing that was committed before this read is left. */
  readonly isAtEnd: boolean;
}

/** Timestamp and number in the key of a record of the first kind. */
function timedPlace(prefix: Buffer, key: Buffer): Place {
  const at = prefix.length + 1;
  if (key.length !== at + 12) throw new CorruptRowError('the key of a stream record has another length');
  return { ts: hlcTimestamp(key.readBigUInt64BE(at)), number: key.readUInt32BE(at + 8) };
}

/** The place of a record of the second kind: that of its row's version, told apart by bits of the transaction and its number there. */
export function transactionPlace(prefix: Buffer, key: Buffer, commitTs: HlcTimestamp): Place {
  const at = prefix.length + 1;
  if (key.length !== at + TXN_ID_BYTES + 2) throw new CorruptRowError('the key of a stream record has another length');
  const id = key.readUInt16BE(at) & (2 ** ID_BITS - 1);
  const within = key.readUInt16BE(at + TXN_ID_BYTES);
  return { ts: commitTs, number: TRANSACTION_NUMBERS + id * 2 ** WITHIN_BITS + within };
}

interface Lane {
  readonly rows: readonly ScanRow[];
  /** The moment of the first page: everything that was committed by then is in the rows, as far as they go. */
  readonly ts: HlcTimestamp;
  /** The rows end before their range does. */
  readonly isCut: boolean;
}

/** @param limit rows, at least one */
async function readLane(
  cluster: KvCluster,
  range: { readonly start: Buffer; readonly end: Buffer },
  limit: number,
  deadlineMs: Millis,
  signal: AbortSignal,
): Promise<Lane> {
  const rows: ScanRow[] = [];
  let ts: HlcTimestamp | undefined;
  let bytes = 0;
  const options = { limit, maxBytes: PAGE_BYTES, reverse: false, keysOnly: false };
  for await (const page of cluster.scan(range, options, deadlineMs, signal)) {
    ts ??= page.ts;
    rows.push(...page.rows);
    bytes += page.rows.reduce((sum, row) => sum + row.value.length, 0);
    if (bytes >= PAGE_BYTES) return { rows, ts, isCut: true };
  }
  return { rows, ts: ts ?? hlcTimestamp(0n), isCut: rows.length >= limit };
}

/** All records that wait to be moved, in pages: there are few, as they are moved every second. */
async function readTransactions(
  cluster: KvCluster,
  prefix: Buffer,
  deadlineMs: Millis,
  signal: AbortSignal,
): Promise<{ readonly rows: readonly ScanRow[]; readonly ts: HlcTimestamp }> {
  const start = streamLaneByTransaction(prefix);
  const rows: ScanRow[] = [];
  let ts: HlcTimestamp | undefined;
  const options = { limit: undefined, maxBytes: PAGE_BYTES, reverse: false, keysOnly: false };
  for await (const page of cluster.scan({ start, end: prefixEnd(start)! }, options, deadlineMs, signal)) {
    ts ??= page.ts;
    rows.push(...page.rows);
  }
  return { rows, ts: ts ?? hlcTimestamp(0n) };
}

/** Which records of a shard are read. */
export interface ShardPart {
  readonly prefix: Buffer;
  /** The first. */
  readonly from: Place;
  /** Those of this timestamp and later ones are another shard's; undefined when there are none. */
  readonly untilTs?: HlcTimestamp | undefined;
  /** How many at most; fewer when they have a megabyte. */
  readonly limit: number;
}

/** Reads records at a place and behind it. */
export async function readShard(
  cluster: KvCluster,
  { prefix, from, untilTs, limit }: ShardPart,
  deadlineMs: Millis,
  signal: AbortSignal,
): Promise<ShardPage> {
  const transactions = await readTransactions(cluster, prefix, deadlineMs, signal);
  const isOver = untilTs !== undefined && transactions.ts >= untilTs;
  const until = isOver ? endOf(hlcTimestamp(untilTs - 1n)) : endOf(transactions.ts);
  const range = { start: timedRecordKey(prefix, from.ts, from.number), end: prefixEnd(streamLaneByTime(prefix))! };
  const timed = await readLane(cluster, range, limit, deadlineMs, signal);
  const found = new Map<string, { readonly place: Place; readonly value: Buffer }>();
  const add = (place: Place, value: Buffer): void => {
    found.set(`${place.ts}:${place.number}`, { place, value });
  };
  for (const { key, value } of timed.rows) add(timedPlace(prefix, key), value);
  // Behind the last row of a cut lane there may be others that come before a transaction's record.
  const last = timed.isCut ? timedPlace(prefix, timed.rows.at(-1)!.key) : undefined;
  const bound = last !== undefined && comparePlaces(last, until) < 0 ? last : until;
  for (const { key, value, commitTs } of transactions.rows) add(transactionPlace(prefix, key, commitTs), value);
  const inOrder = [...found.values()]
    .filter(({ place }) => comparePlaces(place, from) >= 0 && comparePlaces(place, bound) <= 0)
    .sort((a, b) => comparePlaces(a.place, b.place));
  const records: PlacedRecord[] = [];
  let bytes = 0;
  for (const { place, value } of inOrder) {
    if (records.length === limit || bytes >= PAGE_BYTES)
      return { records, next: behind(records.at(-1)!.place), isAtEnd: false };
    records.push({ place, record: decodeStreamRecord(value), bytes: value.length });
    bytes += value.length;
  }
  const next = behind(bound);
  const isAll = last === undefined || comparePlaces(last, until) >= 0;
  return {
    records,
    next: comparePlaces(next, from) < 0 ? from : next,
    isAtEnd: isAll && (untilTs === undefined || isOver),
  };
}

/** Where the newest record lies; undefined when there is none. */
export async function lastPlace(
  cluster: KvCluster,
  prefix: Buffer,
  deadlineMs: Millis,
  signal: AbortSignal,
): Promise<Place | undefined> {
  const transactions = await readTransactions(cluster, prefix, deadlineMs, signal);
  const start = streamLaneByTime(prefix);
  const options = { limit: 1, reverse: true, keysOnly: true };
  let last: Place | undefined;
  for await (const { rows } of cluster.scan({ start, end: prefixEnd(start)! }, options, deadlineMs, signal))
    for (const { key } of rows) last = timedPlace(prefix, key);
  for (const { key, commitTs } of transactions.rows) {
    const place = transactionPlace(prefix, key, commitTs);
    if (last === undefined || comparePlaces(last, place) < 0) last = place;
  }
  return last;
}
