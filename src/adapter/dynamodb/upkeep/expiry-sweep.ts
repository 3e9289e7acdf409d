/**
 * Deletes items whose time is over, as a client would: with their rows in indexes and with a stream record, on condition that their time is still what it
 * was. Where the rows of times are led, behind the requests of clients.
 */
import type { KeyView } from '../../../kv/index.ts';
import type { Millis } from '../../../platform/index.ts';
import { type ItemStore, type ItemWrite, keysOfWrite, writeItem } from '../items/index.ts';
import { ttlPrefix } from '../rows/index.ts';
import { expirySeconds, placeOfExpiryRow, type Segment, type TableDescriptor, ttlAttribute } from '../tables/index.ts';
import type { Item } from '../values/index.ts';

/** Items of one sweep of one segment, and how many are deleted at a time. */
const SWEPT_ITEMS = 200;
const AT_A_TIME = 8;
/** Times that are longer ago are taken for mistakes: the items stay. */
const MISTAKE_SECONDS = 5 * 365 * 24 * 60 * 60;
const TIME_BYTES = 8;

/**
 * Deletes what is due.
 * @returns whether there may be more
 */
export async function sweepExpired(
  store: ItemStore,
  table: TableDescriptor,
  segment: Segment,
  nowMs: Millis,
  deadlineMs: Millis,
  signal: AbortSignal,
): Promise<{ readonly hasMore: boolean }> {
  const prefix = ttlPrefix(table.id, segment.start);
  const nowSeconds = Math.floor(nowMs / 1000);
  const range = {
    start: timeBehind(prefix, Math.max(0, nowSeconds - MISTAKE_SECONDS)),
    end: timeBehind(prefix, nowSeconds + 1),
  };
  const options = { limit: SWEPT_ITEMS, reverse: false, keysOnly: true };
  const due: Buffer[] = [];
  for await (const { rows } of store.services.cluster.scan(range, options, deadlineMs, signal))
    for (const { key } of rows) due.push(key);
  const hasMore = due.length === SWEPT_ITEMS;
  const next = async (): Promise<void> => {
    for (let row = due.shift(); row !== undefined && !signal.aborted; row = due.shift())
      await deleteExpired(store, table, prefix, row, deadlineMs);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, next));
  return { hasMore };
}

function timeBehind(prefix: Buffer, seconds: number): Buffer {
  const time = Buffer.allocUnsafe(TIME_BYTES);
  time.writeBigUInt64BE(BigInt(seconds));
  return Buffer.concat([prefix, time]);
}

function deleteExpired(
  store: ItemStore,
  { name, id }: TableDescriptor,
  prefix: Buffer,
  row: Buffer,
  deadlineMs: Millis,
): Promise<void> {
  return store.withTable(name, deadlineMs, async (table) => {
    const attribute = ttlAttribute(table);
    // Another table of that name, or one whose times count no more: its rows go away otherwise.
    if (table.id !== id || attribute === undefined) return;
    const seconds = Number(row.readBigUInt64BE(prefix.length));
    const isDue = (item: Item): boolean => expirySeconds(attribute, item) === seconds;
    const write: ItemWrite = {
      table,
      place: placeOfExpiryRow(table, prefix, row),
      change: (before) => (before !== undefined && isDue(before) ? undefined : before),
      isUpdate: false,
      isByExpiry: true,
    };
    await store.write([...keysOfWrite(write), row], [table], deadlineMs, (view: KeyView, lane) => {
      writeItem(view, write, lane);
      // The row of an item that has another time by now, or whose segment was cut: then its own row lies elsewhere.
      if (view.get(row) !== undefined) view.delete(row);
    });
  });
}
