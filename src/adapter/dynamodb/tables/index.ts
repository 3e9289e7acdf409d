/**
 * Tables: what they are, who knows of them, and how they change. `descriptor` is what a table is, `catalog` changes it in transactions, `directory` is what
 * a node knows, `jobs` does what takes longer, `index-rows` and `expiry-rows` say which rows follow from an item.
 */

export { type ArnPlace, tableArn, tableNameOf } from './arn.ts';
export { TableCatalog } from './catalog.ts';
export { type Count, decodeCounts, encodeCounts, type TableCounts } from './counts.ts';
export {
  type CutSegment,
  decodeDescriptor,
  encodeDescriptor,
  type GlobalIndex,
  type IndexState,
  isGoing,
  isSameSegment,
  type KeyAttribute,
  type KeyAttributeType,
  type KeySchema,
  type LocalIndex,
  maintainedIndexes,
  type OnDemandLimits,
  openStream,
  type Projection,
  type Segment,
  type SegmentName,
  type StreamViewType,
  segmentEnd,
  segmentOf,
  type TableDescriptor,
  type TableStatus,
  type TableStream,
  type Throughput,
  type TimeToLive,
  ttlAttribute,
  type WarmThroughput,
} from './descriptor.ts';
export { TableDirectory } from './directory.ts';
export { expiryRanges, expiryRowKey, expirySeconds, placeOfExpiryRow } from './expiry-rows.ts';
export {
  type AnyIndex,
  encodeItem,
  hashKeyBytesIn,
  type IndexRow,
  indexRow,
  indexRows,
  isGlobal,
  itemOfIndexRow,
  itemOfRow,
  rowKeyOf,
  writeRowAsJson,
} from './index-rows.ts';
export {
  attributesOf,
  type KeyBytes,
  type KeyProblem,
  keyBytes,
  keyOf,
  keyProblem,
} from './item-keys.ts';
export { TableJobs } from './jobs.ts';
export { cutSegment, joinSegment, MAX_SEGMENTS, mayCut, mayJoin } from './segments.ts';
export { type TableRooms, tableOperations } from './table-operations.ts';
export type { TableServices } from './table-services.ts';
