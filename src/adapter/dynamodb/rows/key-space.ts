/**
 * Where rows lie. All keys of the adapter begin with `d`; everything in them is big-endian and ordered.
 *
 *   64 00 ..                                    the adapter's own rows: names, descriptors, jobs, documents of tables
 *   64 01..ff ..                                tables: table u24, index u8, token u32, kind u8, and what the kind has
 *
 * Index 00 is the table itself, the others are its global indexes. A table with all its indexes is one range, the rows of one partition key are
 * one range of that, and the token in front spreads partitions evenly, so that a range may be cut between any two of them.
 *
 * The bytes are on disk: golden files hold them, and they are never changed.
 */
import { crc32 } from 'node:zlib';
import { assert, type HlcTimestamp } from '../../../platform/index.ts';

/** First byte of every storage key of the adapter. */
export const DYNAMODB_TAG = 0x64;

/** Table numbers: their first byte is the placement bucket, 1 to 255. */
export const FIRST_TABLE = 0x01_00_00;
export const LAST_TABLE = 0xff_ff_ff;
/** Number of the table itself among its indexes. */
export const BASE_INDEX = 0;
/** Global indexes of a table have numbers up to this one. */
export const LAST_INDEX = 0xff;
/** Tokens are below this. */
export const TOKEN_COUNT = 0x1_0000_0000;

/** What lies behind a token. */
const HEADS = 0x00;
const PARTITIONS = 0x01;
/** What heads there are. */
const FENCE = 0x01;
const STREAM = 0x02;
const TTL = 0x03;
/** What lies behind the partition key of a table. */
const ITEM = 0x01;
const LOCAL_INDEX = 0x02;
/** Lanes of a stream. */
const LANE_BY_TIME = 0x41;
const LANE_BY_TRANSACTION = 0x42;

/** Bytes of tag, table, index, token, kind. */
const PREFIX_BYTES = 10;
const NO_BYTES = Buffer.alloc(0);

/** A half-open range of storage keys. */
export interface RowRange {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
}

/**
 * Where a partition lies among all: 32 bits that are spread evenly, of the encoded hash key.
 * @param hashKey components in order
 */
export function tokenOf(hashKey: Buffer): number {
  // Murmur3's finish: CRC-32 alone keeps similar keys beside each other.
  let hash = crc32(hashKey);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function prefixOf(table: number, index: number, token: number, kind: number, moreBytes: number): Buffer {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + moreBytes);
  key[0] = DYNAMODB_TAG;
  key.writeUIntBE(table, 1, 3);
  key[4] = index;
  key.writeUInt32BE(token, 5);
  key[9] = kind;
  return key;
}

/** All rows of all tables. */
export const TABLE_ROWS: RowRange = { start: Buffer.of(DYNAMODB_TAG, 1), end: Buffer.of(DYNAMODB_TAG + 1) };

/** The range of a table with all its indexes. */
export function tableRange(table: number): RowRange {
  assert(table >= FIRST_TABLE && table <= LAST_TABLE, `a table has the number ${table}`);
  const start = Buffer.of(DYNAMODB_TAG, 0, 0, 0);
  start.writeUIntBE(table, 1, 3);
  if (table === LAST_TABLE) return { start, end: Buffer.of(DYNAMODB_TAG + 1) };
  const end = Buffer.of(DYNAMODB_TAG, 0, 0, 0);
  end.writeUIntBE(table + 1, 1, 3);
  return { start, end };
}

/** The range of a table's own rows, or of one global index. */
export function indexRange(table: number, index: number): RowRange {
  const { start, end } = tableRange(table);
  return {
    start: Buffer.concat([start, Buffer.of(index)]),
    end: index === LAST_INDEX ? end : Buffer.concat([start, Buffer.of(index + 1)]),
  };
}

/**
 * The range of some tokens: everything of their partitions, and the heads at the first.
 * @param endToken exclusive; `TOKEN_COUNT` is the end
 */
export function tokenRange(table: number, index: number, startToken: number, endToken: number): RowRange {
  return {
    start: prefixOf(table, index, startToken, HEADS, 0).subarray(0, PREFIX_BYTES - 1),
    end:
      endToken === TOKEN_COUNT
        ? indexRange(table, index).end
        : prefixOf(table, index, endToken, HEADS, 0).subarray(0, PREFIX_BYTES - 1),
  };
}

/** The token in a row of a table; undefined for bounds that have none. */
export const tokenIn = (key: Buffer): number | undefined =>
  key[0] === DYNAMODB_TAG && key[1] !== 0 && key.length >= PREFIX_BYTES - 1 ? key.readUInt32BE(5) : undefined;

/** All rows of a key's token, whatever their kind: a range may be cut before and behind them. */
export const tokenPrefixIn = (key: Buffer): Buffer | undefined =>
  tokenIn(key) === undefined ? undefined : key.subarray(0, PREFIX_BYTES - 1);

/** All rows of one partition of a table or of a global index begin with this. @param hashKey its encoded components */
export function partitionPrefix(table: number, index: number, hashKey: Buffer): Buffer {
  const key = prefixOf(table, index, tokenOf(hashKey), PARTITIONS, hashKey.length);
  hashKey.copy(key, PREFIX_BYTES);
  return key;
}

/** The items of a partition begin with this; behind it is the sort key. */
export const itemPrefix = (table: number, hashKey: Buffer): Buffer =>
  Buffer.concat([partitionPrefix(table, BASE_INDEX, hashKey), Buffer.of(ITEM)]);

/** The row of an item. @param sortKey encoded; empty for tables without one */
export const itemKey = (table: number, hashKey: Buffer, sortKey: Buffer): Buffer =>
  Buffer.concat([partitionPrefix(table, BASE_INDEX, hashKey), Buffer.of(ITEM), sortKey]);

/** Rows of a local index in a partition begin with this; behind it are the index's sort key and the table's. */
export const localIndexPrefix = (table: number, hashKey: Buffer, localIndex: number): Buffer =>
  Buffer.concat([partitionPrefix(table, BASE_INDEX, hashKey), Buffer.of(LOCAL_INDEX, localIndex)]);

/** The row of an item in a local index. */
export const localIndexKey = (
  table: number,
  hashKey: Buffer,
  localIndex: number,
  indexSortKey: Buffer,
  sortKey: Buffer,
): Buffer => Buffer.concat([localIndexPrefix(table, hashKey, localIndex), indexSortKey, sortKey]);

/** Rows of a global index in a partition begin with this; behind it are the index's sort key, the table's hash key and its sort key. */
export const globalIndexPrefix = (table: number, index: number, indexHashKey: Buffer): Buffer =>
  Buffer.concat([partitionPrefix(table, index, indexHashKey), Buffer.of(ITEM)]);

/** The row of an item in a global index. */
export const globalIndexKey = (
  table: number,
  index: number,
  indexHashKey: Buffer,
  rest: { readonly indexSortKey: Buffer; readonly hashKey: Buffer; readonly sortKey: Buffer },
): Buffer =>
  Buffer.concat([globalIndexPrefix(table, index, indexHashKey), rest.indexSortKey, rest.hashKey, rest.sortKey]);

/** What lies in a partition under a key. */
export type PartitionRow =
  | { readonly kind: 'item' }
  | { readonly kind: 'localIndex'; readonly localIndex: number }
  | { readonly kind: 'head' };

/**
 * What a row of the table itself or of an index is, and where its keys begin.
 * @param hashKeyBytes how long the encoded hash key is that lies at `HASH_KEY_OFFSET`
 */
export function partitionRowAt(key: Buffer, hashKeyBytes: number): PartitionRow {
  if (key[PREFIX_BYTES - 1] !== PARTITIONS) return { kind: 'head' };
  const kind = key[PREFIX_BYTES + hashKeyBytes];
  if (kind === LOCAL_INDEX) return { kind: 'localIndex', localIndex: key[PREFIX_BYTES + hashKeyBytes + 1]! };
  return { kind: 'item' };
}

/** True for heads, which lie among the partitions of a table. */
export const isHeadRow = (key: Buffer): boolean => key[PREFIX_BYTES - 1] !== PARTITIONS;

/** Where the hash key begins in rows of partitions. */
export const HASH_KEY_OFFSET = PREFIX_BYTES;

/** The first key of the partitions behind a token's heads. */
export const partitionsStart = (table: number, index: number, token: number): Buffer =>
  prefixOf(table, index, token, PARTITIONS, 0);

/** The fence of a segment. @param token where the segment begins */
export function fenceKey(table: number, token: number): Buffer {
  const key = prefixOf(table, BASE_INDEX, token, HEADS, 1);
  key[PREFIX_BYTES] = FENCE;
  return key;
}

/** Every row of a segment's stream begins with this. @param generation 0 to 255, another each time that a stream is switched on */
export function streamPrefix(table: number, token: number, generation: number): Buffer {
  const key = prefixOf(table, BASE_INDEX, token, HEADS, 2);
  key[PREFIX_BYTES] = STREAM;
  key[PREFIX_BYTES + 1] = generation;
  return key;
}

/** Where the records lie whose commit timestamp was known when they were written. */
export const streamLaneByTime = (prefix: Buffer): Buffer => Buffer.concat([prefix, Buffer.of(LANE_BY_TIME)]);

/** A stream record whose commit timestamp was known when it was written. */
export function timedRecordKey(prefix: Buffer, ts: HlcTimestamp, number: number): Buffer {
  const tail = Buffer.allocUnsafe(13);
  tail[0] = LANE_BY_TIME;
  tail.writeBigUInt64BE(ts, 1);
  tail.writeUInt32BE(number, 9);
  return Buffer.concat([prefix, tail]);
}

/** Where the records of transactions over groups lie: the version of such a row says when it was committed. */
export const streamLaneByTransaction = (prefix: Buffer): Buffer =>
  Buffer.concat([prefix, Buffer.of(LANE_BY_TRANSACTION)]);

/** All that all streams of a segment have. */
export function streamRows(table: number, token: number): RowRange {
  const start = streamPrefix(table, token, 0).subarray(0, PREFIX_BYTES + 1);
  const end = Buffer.from(start);
  end[PREFIX_BYTES] = STREAM + 1;
  return { start, end };
}

/** A stream record of a transaction over groups. @param txnId 16 bytes */
export function transactionRecordKey(prefix: Buffer, txnId: Buffer, number: number): Buffer {
  const tail = Buffer.allocUnsafe(2);
  tail.writeUInt16BE(number);
  return Buffer.concat([prefix, Buffer.of(LANE_BY_TRANSACTION), txnId, tail]);
}

/** Rows of items that go away by themselves begin with this, in the order of their time. */
export function ttlPrefix(table: number, token: number): Buffer {
  const key = prefixOf(table, BASE_INDEX, token, HEADS, 1);
  key[PREFIX_BYTES] = TTL;
  return key;
}

/** @param expirySeconds Unix seconds */
export function ttlKey(
  table: number,
  token: number,
  expirySeconds: number,
  item: { readonly hashKey: Buffer; readonly sortKey: Buffer },
): Buffer {
  const time = Buffer.allocUnsafe(8);
  time.writeBigUInt64BE(BigInt(expirySeconds));
  return Buffer.concat([ttlPrefix(table, token), time, item.hashKey, item.sortKey]);
}

const own = (letter: string, rest: Buffer = NO_BYTES): Buffer =>
  Buffer.concat([Buffer.of(DYNAMODB_TAG, 0, letter.charCodeAt(0)), rest]);

const numberBytes = (table: number): Buffer => {
  const bytes = Buffer.allocUnsafe(3);
  bytes.writeUIntBE(table, 0, 3);
  return bytes;
};

/** Which table has a name. */
export const nameKey = (name: string): Buffer => own('n', Buffer.from(name, 'latin1'));
/** All names, in their order. */
export const NAME_ROWS: RowRange = { start: own('n'), end: own('o') };
/** The name in a row of names. */
export const nameIn = (key: Buffer): string => key.toString('latin1', 3);
/** What a table is. */
export const descriptorKey = (table: number): Buffer => own('t', numberBytes(table));
/** All descriptors. */
export const DESCRIPTOR_ROWS: RowRange = { start: own('t'), end: own('u') };
/** Rises with every change of a table: what nodes watch. */
export const CATALOG_VERSION_KEY: Buffer = own('v');
/** How many tables each placement bucket has, and its last number. */
export const PLACEMENT_KEY: Buffer = own('i');
/** What is being done with a table. */
export const jobKey = (table: number): Buffer => own('j', numberBytes(table));
/** All jobs. */
export const JOB_ROWS: RowRange = { start: own('j'), end: own('k') };
/** The table in the key of a job. */
export const tableOfJob = (key: Buffer): number => key.readUIntBE(3, 3);
/** A document of a table, kept for the calls that describe it. @param kind one letter */
export const documentKey = (table: number, kind: 'tags' | 'counts' | 'policy'): Buffer =>
  own('g', Buffer.concat([numberBytes(table), Buffer.from(kind, 'latin1')]));
/** All documents of a table. */
export const documentRange = (table: number): RowRange => ({
  start: own('g', numberBytes(table)),
  end: table === LAST_TABLE ? own('h') : own('g', numberBytes(table + 1)),
});
/** A stream of a table that was deleted, by the names of both. */
export const leftStreamKey = (table: string, label: string): Buffer =>
  own('s', Buffer.from(`${table}\0${label}`, 'latin1'));
/** All of them, or those of one name of tables, in their order. */
export const leftStreamRows = (table?: string): RowRange =>
  table === undefined
    ? { start: own('s'), end: own('t') }
    : { start: leftStreamKey(table, ''), end: own('s', Buffer.from(`${table}\x01`, 'latin1')) };
/** The names in such a key. */
export function leftStreamIn(key: Buffer): { readonly table: string; readonly label: string } {
  const [table, label] = key.toString('latin1', 3).split('\0');
  return { table: table!, label: label! };
}
/** What became of a transaction that has a client's token. @param tokenHash 32 bits; they spread the rows. */
export function requestTokenKey(tokenHash: number, token: Buffer): Buffer {
  const hash = Buffer.allocUnsafe(4);
  hash.writeUInt32BE(tokenHash);
  // Behind the own rows and before those of tables, whose first byte is 1 at least and whose second may be anything.
  return own('x', Buffer.concat([hash, token]));
}
