/**
 * Rows of indexes as a function of the item, and items out of rows. Whoever writes an item, fills an index or checks one asks here, so that there
 * is one answer to what an index has.
 */
import {
  decodeItemRecord,
  encodeItemRecord,
  globalIndexKey,
  HASH_KEY_OFFSET,
  type ItemJson,
  type ItemRecord,
  itemKey,
  localIndexKey,
  writeItemJson,
} from '../rows/index.ts';
import { type AttributeValue, type Item, itemSize } from '../values/index.ts';
import {
  type GlobalIndex,
  type KeySchema,
  type LocalIndex,
  maintainedIndexes,
  type Projection,
  type TableDescriptor,
} from './descriptor.ts';
import { attributesOf, type KeyBytes, keyBytes, keyProblem, readComponents } from './item-keys.ts';

export type AnyIndex = LocalIndex | GlobalIndex;

/** One row of an index. */
export interface IndexRow {
  readonly index: AnyIndex;
  readonly key: Buffer;
  readonly value: Buffer;
  /** DynamoDB's size of what is projected. */
  readonly bytes: number;
}

/** True for indexes of the whole table. */
export const isGlobal = (index: AnyIndex): index is GlobalIndex => 'state' in index;

/** Row and part of an item that it says by its keys. */
const ITEM_MARK_BYTES = 1;
const LOCAL_MARK_BYTES = 2;

/** By the schema of a table and that of an index, or of the table again. */
const namesOfKeys = new WeakMap<KeySchema, WeakMap<KeySchema, ReadonlySet<string>>>();

/** Names that a row's key has. */
function keyNames(table: KeySchema, index: KeySchema = table): ReadonlySet<string> {
  let ofTable = namesOfKeys.get(table);
  if (ofTable === undefined) {
    ofTable = new WeakMap();
    namesOfKeys.set(table, ofTable);
  }
  let names = ofTable.get(index);
  if (names === undefined) {
    names = new Set([...attributesOf(table), ...attributesOf(index)].map(({ name }) => name));
    ofTable.set(index, names);
  }
  return names;
}

/** What an index has of an item. */
export function projected(table: KeySchema, index: KeySchema, projection: Projection, item: Item): Item {
  if (projection.kind === 'ALL') return item;
  const ofKeys = keyNames(table, index);
  const names = projection.kind === 'INCLUDE' ? new Set([...ofKeys, ...projection.names]) : ofKeys;
  const part = new Map<string, AttributeValue>();
  for (const [name, value] of item) if (names.has(name)) part.set(name, value);
  return part;
}

/** The row that an index has for an item; undefined when it has none: one of its key attributes is missing, or cannot be a key. */
export function indexRow(table: TableDescriptor, index: AnyIndex, place: KeyBytes, item: Item): IndexRow | undefined {
  if (keyProblem(index.key, item) !== undefined) return undefined;
  const { hashKey, sortKey: indexSortKey } = keyBytes(index.key, item);
  const key = isGlobal(index)
    ? globalIndexKey(table.id, index.number, hashKey, { indexSortKey, ...place })
    : localIndexKey(table.id, place.hashKey, index.number, indexSortKey, place.sortKey);
  const part = projected(table.key, index.key, index.projection, item);
  const bytes = itemSize(part);
  return { index, key, bytes, value: encodeItemRecord(part, keyNames(table.key, index.key), bytes) };
}

/** The rows of an item in all indexes that are maintained. @param item undefined for one that is not there */
export function indexRows(table: TableDescriptor, place: KeyBytes, item: Item | undefined): IndexRow[] {
  if (item === undefined) return [];
  const rows: IndexRow[] = [];
  for (const index of [...table.localIndexes, ...maintainedIndexes(table)]) {
    const row = indexRow(table, index, place, item);
    if (row !== undefined) rows.push(row);
  }
  return rows;
}

/** The row of an item in its table. */
export const rowKeyOf = (table: TableDescriptor, place: KeyBytes): Buffer =>
  itemKey(table.id, place.hashKey, place.sortKey);

/** The value of an item's row. */
export const encodeItem = (
  table: TableDescriptor,
  item: Item,
  bytes: number,
  invocation?: Buffer | undefined,
): Buffer => encodeItemRecord(item, keyNames(table.key), bytes, invocation);

/** The attributes that the key of an item's row has. */
function keysOfRow({ key: { hash, range } }: TableDescriptor, key: Buffer): Map<string, AttributeValue> {
  const keys = new Map<string, AttributeValue>();
  const end = readComponents(key, HASH_KEY_OFFSET, hash, keys);
  readComponents(key, end + ITEM_MARK_BYTES, range, keys);
  return keys;
}

/** An item out of its row: its keys come from the row's key. @throws CorruptRowError */
export function itemOfRow(table: TableDescriptor, key: Buffer, value: Buffer): { item: Item; record: ItemRecord } {
  const record = decodeItemRecord(value, keysOfRow(table, key));
  return { item: record.attributes, record };
}

/** Appends `itemOfRow` as answers have it. @throws CorruptRowError */
export const writeRowAsJson = (json: ItemJson, table: TableDescriptor, key: Buffer, value: Buffer): void =>
  writeItemJson(json, keysOfRow(table, key), value);

/** What an index has of an item, out of its row. @throws CorruptRowError */
export function itemOfIndexRow(
  table: TableDescriptor,
  index: AnyIndex,
  key: Buffer,
  value: Buffer,
): { item: Item; record: ItemRecord } {
  const keys = new Map<string, AttributeValue>();
  let at = readComponents(key, HASH_KEY_OFFSET, index.key.hash, keys);
  at = readComponents(key, at + (isGlobal(index) ? ITEM_MARK_BYTES : LOCAL_MARK_BYTES), index.key.range, keys);
  // Rows of a local index lie in their partition, whose key stands in front.
  if (isGlobal(index)) at = readComponents(key, at, table.key.hash, keys);
  readComponents(key, at, table.key.range, keys);
  const record = decodeItemRecord(value, keys);
  return { item: record.attributes, record };
}

/** How long the encoded hash key is that begins a row of a table or an index. */
export const hashKeyBytesIn = (key: Buffer, { hash }: KeySchema): number =>
  readComponents(key, HASH_KEY_OFFSET, hash, new Map()) - HASH_KEY_OFFSET;
