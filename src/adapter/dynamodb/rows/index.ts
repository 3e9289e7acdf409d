/** Rows: where everything of the adapter lies in the key space, and the bytes of items and fences. What is on disk is declared here, golden files hold it. */

export { CorruptRowError } from './errors.ts';
export { decodeFence, encodeFence, type Fence } from './fence.ts';
export { ItemJson, writeItemJson } from './item-json.ts';
export {
  decodeItemRecord,
  encodeItemRecord,
  INVOCATION_BYTES,
  type ItemRecord,
  itemBytesIn,
} from './item-record.ts';
export {
  BASE_INDEX,
  CATALOG_VERSION_KEY,
  DESCRIPTOR_ROWS,
  DYNAMODB_TAG,
  descriptorKey,
  documentKey,
  documentRange,
  FIRST_TABLE,
  fenceKey,
  globalIndexKey,
  globalIndexPrefix,
  HASH_KEY_OFFSET,
  indexRange,
  isHeadRow,
  itemKey,
  itemPrefix,
  JOB_ROWS,
  jobKey,
  LAST_INDEX,
  LAST_TABLE,
  leftStreamIn,
  leftStreamKey,
  leftStreamRows,
  localIndexKey,
  localIndexPrefix,
  NAME_ROWS,
  nameIn,
  nameKey,
  type PartitionRow,
  PLACEMENT_KEY,
  partitionPrefix,
  partitionRowAt,
  partitionsStart,
  type RowRange,
  requestTokenKey,
  streamLaneByTime,
  streamLaneByTransaction,
  streamPrefix,
  streamRows,
  TABLE_ROWS,
  TOKEN_COUNT,
  tableOfJob,
  tableRange,
  timedRecordKey,
  tokenIn,
  tokenOf,
  tokenPrefixIn,
  tokenRange,
  transactionRecordKey,
  ttlKey,
  ttlPrefix,
} from './key-space.ts';
export { dynamodbKeyspace } from './keyspace.ts';
export { decodeLeftStream, encodeLeftStream, type LeftStream } from './left-stream.ts';
export { decodeStreamRecord, encodeStreamRecord, type StreamRecord } from './stream-record.ts';
export { ATTRIBUTE_TYPES, ValueReader, writeAttributes, writeText, writeValue, writeVarint } from './value-codec.ts';
