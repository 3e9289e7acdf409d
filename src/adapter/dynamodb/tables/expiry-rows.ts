/** Rows that say when items are to go away by themselves: as with indexes, a function of the item. */
import { type RowRange, tokenOf, ttlKey, ttlPrefix } from '../rows/index.ts';
import type { Item } from '../values/index.ts';
import { segmentOf, type TableDescriptor, ttlAttribute } from './descriptor.ts';
import { type KeyBytes, readComponents } from './item-keys.ts';

/** Times beyond it are no times: the largest that JavaScript knows. */
const LAST_SECOND = 8_640_000_000_000;

/** Bytes of the time behind the prefix. */
const TIME_BYTES = 8;

/** When an item is to go, in Unix seconds; undefined when it says no time. */
export function expirySeconds(attribute: string, item: Item): number | undefined {
  const value = item.get(attribute);
  if (value?.type !== 'N') return undefined;
  const seconds = Math.floor(Number(value.value));
  return seconds > 0 && seconds <= LAST_SECOND ? seconds : undefined;
}

/** The expiry row of an item; undefined when it has none. */
export function expiryRowKey(table: TableDescriptor, place: KeyBytes, item: Item | undefined): Buffer | undefined {
  const attribute = ttlAttribute(table);
  const seconds = attribute === undefined || item === undefined ? undefined : expirySeconds(attribute, item);
  if (seconds === undefined) return undefined;
  return ttlKey(table.id, segmentOf(table, tokenOf(place.hashKey)).start, seconds, place);
}

/** The item that an expiry row is of. @param prefix of the rows of its segment */
export function placeOfExpiryRow(table: TableDescriptor, prefix: Buffer, row: Buffer): KeyBytes {
  const hashAt = prefix.length + TIME_BYTES;
  const sortAt = readComponents(row, hashAt, table.key.hash, new Map());
  return { hashKey: row.subarray(hashAt, sortAt), sortKey: row.subarray(sortAt) };
}

/** All expiry rows of a table, segment by segment. */
export function expiryRanges(table: TableDescriptor): RowRange[] {
  return table.segments.map(({ start }) => {
    const prefix = ttlPrefix(table.id, start);
    const end = Buffer.from(prefix);
    end[end.length - 1]!++;
    return { start: prefix, end };
  });
}
