/**
 * The bytes of a large hash or set apart from its pages.
 *
 *   element of a hash  flags (u8)  page of the roster (varint)  with flag 2: when it expires, unix ms (6 bytes, big endian)
 *                      value, or with flag 1 the number of its row (varint)
 *   element of a set   flags (u8)  page of the roster (varint)
 *   part of the head   pages of the roster (varint)  cap (varint)  next number of a row (varint)
 *   the same, where elements expire
 *                      pages of the roster (varint)  cap (varint)  how many expire (varint)  the earliest, unix ms (varint)
 *                      when the alarm rings, unix ms (varint)  tree of expiries, whose next number is that of the body
 *
 * A value that does not fit into a row of the size of a page has a row of its own: filling up a page of the roster writes elements again, and
 * must not write long values.
 */
import type { Millis } from '../../../../platform/index.ts';
import { varintBytes, writeVarint } from '../../keys/index.ts';
import { writtenLater } from '../../values/index.ts';
import { ByteReader, type LargeHead, type RowNumbers } from '../rows/index.ts';
import { decodeTreeState, encodeTreeState } from '../tree/index.ts';
import type { StoredExpiries } from './element-expiries.ts';
import { NO_EXPIRY, NO_VALUE } from './named-form.ts';
import type { RosterState } from './roster.ts';

/** The value is in a row of its own. Disk values: never change; a reader refuses flags that it does not know. */
const LONG_VALUE = 0x01;
/** The element expires. */
const EXPIRES = 0x02;
const EXPIRY_BYTES = 6;
/** Most bytes in front of the value in the row of an element that does not expire. */
const ELEMENT_HEADER_BYTES = 8;

/** An element's row: the page of its name, when it expires, and its value or the number of the value's row. */
export interface Element {
  readonly page: number;
  readonly expireMs: Millis;
  readonly value: Buffer;
  /** 0 when the value is in the element's row. */
  readonly valueRow: number;
}

/** What the head of a large hash or set says beyond what all heads say. */
export interface NamesPart extends RosterState, RowNumbers {
  /** Left out when no element expires. */
  expiries?: StoredExpiries | undefined;
}

/** Reads what `encodeNamesPart` wrote. */
export function decodeNamesPart({ part, lastFieldTs }: Pick<LargeHead, 'part' | 'lastFieldTs'>): NamesPart {
  const reader = new ByteReader(part);
  const [pages, cap] = [reader.varint(), reader.varint()];
  if (lastFieldTs === undefined) return { pages, cap, next: reader.varint() };
  const [count, firstMs, alarmMs] = [reader.varint(), reader.varint(), reader.varint()];
  const tree = decodeTreeState(reader.rest(), true);
  return { pages, cap, next: tree.next, expiries: { count, firstMs, alarmMs, tree } };
}

/** The bytes behind the common part of a head. */
export function encodeNamesPart({ pages, cap, next, expiries }: NamesPart): Buffer {
  const numbers = [pages, cap];
  if (expiries === undefined) numbers.push(next);
  else numbers.push(expiries.count, expiries.firstMs, expiries.alarmMs);
  let size = 0;
  for (const number of numbers) size += varintBytes(number);
  const part = Buffer.allocUnsafe(size);
  let at = 0;
  for (const number of numbers) at = writeVarint(part, at, number);
  return expiries === undefined ? part : Buffer.concat([part, encodeTreeState(expiries.tree, true)]);
}

/** Most bytes in front of the value in an element's row. */
export const headerBytesOf = (expireMs: Millis): number =>
  expireMs === NO_EXPIRY ? ELEMENT_HEADER_BYTES : ELEMENT_HEADER_BYTES + EXPIRY_BYTES;

/** An element's row taken apart. @throws RedisError when a later program wrote it */
export function decodeElement(row: Buffer): Element {
  const reader = new ByteReader(row);
  const flags = reader.byte();
  if ((flags & ~(LONG_VALUE | EXPIRES)) !== 0) throw writtenLater();
  const page = reader.varint();
  const expireMs = (flags & EXPIRES) === 0 ? NO_EXPIRY : reader.take(EXPIRY_BYTES).readUIntBE(0, EXPIRY_BYTES);
  return (flags & LONG_VALUE) !== 0
    ? { page, expireMs, value: NO_VALUE, valueRow: reader.varint() }
    : { page, expireMs, value: reader.rest(), valueRow: 0 };
}

/** The bytes of an element's row. */
export function encodeElement({ page, expireMs, value, valueRow }: Element): Buffer {
  const expiryBytes = expireMs === NO_EXPIRY ? 0 : EXPIRY_BYTES;
  const size = valueRow === 0 ? value.length : varintBytes(valueRow);
  const row = Buffer.allocUnsafe(1 + varintBytes(page) + expiryBytes + size);
  row[0] = (valueRow === 0 ? 0 : LONG_VALUE) | (expiryBytes === 0 ? 0 : EXPIRES);
  let at = writeVarint(row, 1, page);
  if (expiryBytes > 0) at = row.writeUIntBE(expireMs, at, EXPIRY_BYTES);
  if (valueRow === 0) value.copy(row, at);
  else writeVarint(row, at, valueRow);
  return row;
}
