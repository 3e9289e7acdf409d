/**
 * The bytes of a row: keys, values, checksums, the state row. What is on disk; never renumber.
 */

export {
  CHECKSUM_BYTES,
  type DecodedVersion,
  decodeExpiryKey,
  decodeFloor,
  decodeKey,
  decodeSystemState,
  decodeVersion,
  encodeExpiryKey,
  encodeFloor,
  encodeKey,
  encodeMetaKey,
  encodeRangeKey,
  encodeSystemState,
  encodeVersion,
  encodeVersionKey,
  expiryIn,
  FLOOR_KEY,
  headerBytes,
  headerBytesFor,
  headerWithValueApart,
  keyBounds,
  maxEncodedBytes,
  nameOf,
  openRow,
  RowKind,
  STORE_FORMAT,
  SYSTEM_KEY,
  type SystemState,
  sealedBytes,
  sealInto,
  sealRow,
  versionBytes,
  versionTsOf,
  writeDescending,
  writeDescendingOf,
  writeKey,
  writeName,
  writeVersion,
} from './codec.ts';
export {
  assertReadable,
  CorruptSnapshotError,
  CorruptStoreError,
  isSnapshotTooOld,
  openFailure,
  StoreClosedError,
  StoreFailedError,
  UnknownStoreFormatError,
} from './errors.ts';
export { NameMap } from './name-map.ts';
export { type RangeTombstone, RangeTombstones } from './range-tombstones.ts';
export { RowMemory } from './row-memory.ts';
export { isAbove, isSame, joined, lowerHalf, upperHalf } from './timestamp-halves.ts';
