/**
 * The bytes of a row: keys, values, checksums, the state row. What is on disk; never renumber.
 */

export {
  type DecodedVersion,
  decodeExpiryKey,
  decodeKey,
  decodeSystemState,
  decodeVersion,
  encodeExpiryKey,
  encodeKey,
  encodeMetaKey,
  encodeRangeKey,
  encodeSystemState,
  encodeVersion,
  encodeVersionKey,
  headerBytesOf,
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
  versionTsOf,
  writeDescending,
  writeDescendingOf,
  writeKey,
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
export { type RangeTombstone, RangeTombstones } from './range-tombstones.ts';
