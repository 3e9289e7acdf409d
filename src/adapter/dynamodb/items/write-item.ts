/**
 * The one body of all writes: Put, Update, Delete, members of batches and transactions, deletion by expiry. It reads the fence and the item, asks what
 * the item is to be, and writes the item, its rows in indexes, its expiry row and its stream record through one view: in one group that is one entry,
 * over several one transaction. Synchronous; may run again.
 */
import type { KeyView } from '../../../kv/index.ts';
import { type HlcTimestamp, NEVER } from '../../../platform/index.ts';
import { validationError } from '../errors/index.ts';
import {
  decodeFence,
  encodeStreamRecord,
  fenceKey,
  itemBytesIn,
  streamPrefix,
  timedRecordKey,
  tokenOf,
  transactionRecordKey,
} from '../rows/index.ts';
import {
  encodeItem,
  expiryRowKey,
  type IndexRow,
  indexRows,
  itemOfRow,
  type KeyBytes,
  keyOf,
  keyProblem,
  maintainedIndexes,
  openStream,
  rowKeyOf,
  segmentOf,
  type TableDescriptor,
  ttlAttribute,
} from '../tables/index.ts';
import {
  areEqualItems,
  type Item,
  indexWriteUnits,
  isNestedTooDeep,
  itemSize,
  MAX_ITEM_BYTES,
  writeUnits,
} from '../values/index.ts';
import { AlreadyWrittenError, StaleTableError } from './errors.ts';
import { indexKeyError } from './key-errors.ts';

const NO_BYTES = Buffer.alloc(0);
/** Records that are moved from the lane of transactions are numbered from here. */
const RECORD_NUMBERS = 2 ** 31;

/** How stream records of one attempt are ordered: by the timestamp where it is known, else by the version that their rows will have. */
export type StreamLane =
  | { readonly kind: 'time'; readonly ts: HlcTimestamp }
  /** 16 bytes that nobody else has. */
  | { readonly kind: 'transaction'; readonly id: Buffer };

/** What is to be done to one item. */
export interface ItemWrite {
  readonly table: TableDescriptor;
  readonly place: KeyBytes;
  /**
   * What the item is to be; undefined for none. Pure.
   * @throws DynamoError when it may not be done: nothing is
   */
  readonly change: (before: Item | undefined) => Item | undefined;
  /** What the item is to be does not depend on what it is, and nobody is told of that. */
  readonly isBlind?: boolean;
  /** What is said of items that become too large. */
  readonly isUpdate: boolean;
  readonly isByExpiry?: boolean;
  /** Kept with the item, so that a repeated attempt is told from another write. */
  readonly invocation?: Invocation | undefined;
}

/** One call of an SDK, whose attempts are requests of their own. */
export interface Invocation {
  /** `INVOCATION_BYTES` of the hash of its id. */
  readonly hash: Buffer;
  /** An attempt before this one may have been done. */
  readonly isRepeated: boolean;
}

/** What a write costs. */
export interface WriteCosts {
  readonly table: number;
  /** By the names of indexes that were touched. */
  readonly globalIndexes: ReadonlyMap<string, number>;
  readonly localIndexes: ReadonlyMap<string, number>;
}

export interface WrittenItem {
  readonly before: Item | undefined;
  readonly after: Item | undefined;
  readonly costs: WriteCosts;
}

/** Numbers of the records that one node writes; they rise within a timestamp. */
let lastRecord = 0;
const nextRecord = (): number => {
  lastRecord = (lastRecord + 1) % RECORD_NUMBERS;
  return lastRecord;
};

/** The fence that a write of an item has to see. */
export const fenceOf = (table: TableDescriptor, place: KeyBytes): Buffer =>
  fenceKey(table.id, segmentOf(table, tokenOf(place.hashKey)).start);

/** The keys that a write reads; those that it writes beside them follow from the item. */
export const keysOfWrite = ({ table, place }: Pick<ItemWrite, 'table' | 'place'>): Buffer[] => [
  rowKeyOf(table, place),
  fenceOf(table, place),
];

/** @throws StaleTableError when a fence is of another version of the table, or is not there */
export function checkFenceRow({ version }: TableDescriptor, fence: { readonly value: Buffer } | undefined): void {
  if (fence === undefined || decodeFence(fence.value).version !== version) throw new StaleTableError();
}

/** @throws StaleTableError when the fence is of another version of the table */
export const checkFence = (view: KeyView, table: TableDescriptor, place: KeyBytes): void =>
  checkFenceRow(table, view.get(fenceOf(table, place)));

/** The item as it is. */
export function readItemRow(view: KeyView, table: TableDescriptor, place: KeyBytes): Item | undefined {
  const key = rowKeyOf(table, place);
  const row = view.get(key);
  return row === undefined ? undefined : itemOfRow(table, key, row.value).item;
}

/** See the top of the file. @param number place among the writes of one transaction @throws StaleTableError, DynamoError */
export function writeItem(
  view: KeyView,
  write: ItemWrite,
  lane: StreamLane,
  isTransactional = false,
  number = 0,
): WrittenItem {
  const { table, place } = write;
  checkFence(view, table, place);
  const key = rowKeyOf(table, place);
  const row = view.get(key);
  if (write.isBlind === true && isPlain(table)) return replaceItem(view, write, key, row?.value, isTransactional);
  const stored = row === undefined ? undefined : itemOfRow(table, key, row.value);
  const { invocation } = write;
  if (invocation?.isRepeated === true && stored?.record.invocation?.equals(invocation.hash) === true) {
    throw new AlreadyWrittenError(row!.commitTs);
  }
  const before = stored?.item;
  const after = write.change(before);
  const beforeBytes = stored?.record.itemBytes ?? 0;
  const afterBytes = after === undefined ? 0 : itemSize(after);
  if (after !== undefined) checkItem(table, after, afterBytes, write.isUpdate);
  const units = writeUnits(Math.max(beforeBytes, afterBytes), isTransactional);
  const isSame = before === undefined ? after === undefined : after !== undefined && areEqualItems(before, after);
  let indexes = NO_INDEX_COSTS;
  if (after !== undefined && (!isSame || invocation !== undefined)) {
    view.put(key, encodeItem(table, after, afterBytes, invocation?.hash), NEVER);
  } else if (after === undefined && before !== undefined) view.delete(key);
  if (!isSame) {
    indexes = writeIndexes(view, indexRows(table, place, before), indexRows(table, place, after), isTransactional);
    writeExpiry(view, expiryRowKey(table, place, before), expiryRowKey(table, place, after));
    writeRecord(view, write, lane, number, before, after);
  }
  return { before, after, costs: { table: units, globalIndexes: indexes.global, localIndexes: indexes.local } };
}

/** True when nothing follows from items of a table: no rows of indexes, no expiry, no records. */
const isPlain = (table: TableDescriptor): boolean =>
  table.localIndexes.length === 0 &&
  maintainedIndexes(table).length === 0 &&
  ttlAttribute(table) === undefined &&
  openStream(table) === undefined;

/** Writes an item in the place of one that nobody has to look at: its row says how large it was. */
function replaceItem(
  view: KeyView,
  { table, change, isUpdate, invocation }: ItemWrite,
  key: Buffer,
  row: Buffer | undefined,
  isTransactional: boolean,
): WrittenItem {
  const after = change(undefined)!;
  const bytes = itemSize(after);
  checkItem(table, after, bytes, isUpdate);
  const value = encodeItem(table, after, bytes, invocation?.hash);
  if (invocation !== undefined || row?.equals(value) !== true) view.put(key, value, NEVER);
  const units = writeUnits(Math.max(row === undefined ? 0 : itemBytesIn(row), bytes), isTransactional);
  const { global, local } = NO_INDEX_COSTS;
  return { before: undefined, after, costs: { table: units, globalIndexes: global, localIndexes: local } };
}

/** @throws DynamoError when an item may not be in its table */
export function checkItem(table: TableDescriptor, item: Item, bytes: number, isUpdate: boolean): void {
  if (bytes > MAX_ITEM_BYTES) {
    throw validationError(
      isUpdate
        ? 'Item size to update has exceeded the maximum allowed size'
        : 'Item size has exceeded the maximum allowed size',
    );
  }
  for (const value of item.values()) {
    if (isNestedTooDeep(value)) {
      throw validationError(
        'Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit',
      );
    }
  }
  for (const index of [...table.localIndexes, ...maintainedIndexes(table)]) {
    for (const attribute of [...index.key.hash, ...index.key.range]) {
      const problem = item.has(attribute.name) ? keyProblem({ hash: [attribute], range: [] }, item) : undefined;
      if (problem !== undefined) throw indexKeyError(problem, index, isUpdate);
    }
  }
}

/** Units by the names of indexes. */
interface IndexCosts {
  readonly global: ReadonlyMap<string, number>;
  readonly local: ReadonlyMap<string, number>;
}

const NO_INDEX_COSTS: IndexCosts = { global: new Map(), local: new Map() };

/** Rows go by their keys: what is not there any more is deleted, what is new or other is put. */
function writeIndexes(
  view: KeyView,
  before: readonly IndexRow[],
  after: readonly IndexRow[],
  isTransactional: boolean,
): IndexCosts {
  if (before.length === 0 && after.length === 0) return NO_INDEX_COSTS;
  const units = { global: new Map<string, number>(), local: new Map<string, number>() };
  const olds = new Map(before.map((row) => [row.index, row]));
  const news = new Map(after.map((row) => [row.index, row]));
  for (const index of new Set([...olds.keys(), ...news.keys()])) {
    const [old, now] = [olds.get(index), news.get(index)];
    const isMoved = old === undefined || now === undefined || !old.key.equals(now.key);
    const isOther = isMoved || !old.value.equals(now.value);
    if (!isOther) continue;
    if (isMoved && old !== undefined) view.delete(old.key);
    if (now !== undefined) view.put(now.key, now.value, NEVER);
    const cost = indexWriteUnits(old?.bytes, now?.bytes, isMoved ? 'key' : 'projected', isTransactional);
    ('state' in index ? units.global : units.local).set(index.name, cost);
  }
  return units;
}

function writeExpiry(view: KeyView, before: Buffer | undefined, after: Buffer | undefined): void {
  if (before !== undefined && after?.equals(before) !== true) view.delete(before);
  if (after !== undefined && before?.equals(after) !== true) view.put(after, NO_BYTES, NEVER);
}

function writeRecord(
  view: KeyView,
  { table, place, isByExpiry = false }: ItemWrite,
  lane: StreamLane,
  number: number,
  before: Item | undefined,
  after: Item | undefined,
): void {
  const stream = openStream(table);
  if (stream === undefined) return;
  const { viewType, generation } = stream;
  const prefix = streamPrefix(table.id, segmentOf(table, tokenOf(place.hashKey)).start, generation);
  const record = encodeStreamRecord({
    key: keyOf(table.key, (after ?? before)!),
    wasThere: before !== undefined,
    isThere: after !== undefined,
    isByExpiry,
    oldImage: viewType === 'OLD_IMAGE' || viewType === 'NEW_AND_OLD_IMAGES' ? before : undefined,
    newImage: viewType === 'NEW_IMAGE' || viewType === 'NEW_AND_OLD_IMAGES' ? after : undefined,
  });
  const key =
    lane.kind === 'time'
      ? timedRecordKey(prefix, lane.ts, nextRecord())
      : transactionRecordKey(prefix, lane.id, number);
  view.put(key, record, NEVER);
}
