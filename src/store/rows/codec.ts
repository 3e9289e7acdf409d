/**
 * Bytes of the store. One ordered key space, divided by the first byte:
 *
 *   L <escaped key>                newest version of a key: header, and the value when it is short
 *   V <escaped key> <~ts: 8 BE>    an older version, or the newest one when its value is long: header and value
 *   X <expireTs: 8 BE> <key>       the newest version of `key` expires then; empty value
 *   R <ts: 8 BE> <escaped start>   range tombstone: flags, end
 *   F                              reads below this timestamp (8 BE) are refused: versions that only they see were not written
 *   D <applied index: 8 BE> <n>    a range that is being dropped: flags, newest timestamp, start, end
 *   J, K <escaped key> <name>      side row of a key; K rows are held in memory as well
 *   M <name>                       named value of the state machine
 *   S                              format, applied index, thresholds, counters
 *
 * Escaping keeps the order of keys and makes no encoded key a prefix of another: 0x00 becomes 0x00 0xFF, and 0x00 0x01 ends
 * it. `~ts` is the complement, so that the newest version of a key comes first.
 *
 * A version header is flags (1), commitTs (8 BE), and expireTs (8 BE) when the version expires. L and V rows have the same
 * layout, so moving an overwritten version from L to V moves its bytes as they are.
 *
 * Each row's value ends with the crc32 of key and value (4 BE), which `CheckedLevel` adds and takes off.
 */
import { crc32 } from 'node:zlib';
import { type HlcTimestamp, hlcTimestamp, NEVER } from '../../platform/index.ts';
import { CorruptStoreError } from './errors.ts';

/** First bytes of rows. Disk values: never renumber. */
export const RowKind = {
  Drop: 0x44,
  Floor: 0x46,
  Side: 0x4a,
  ResidentSide: 0x4b,
  Latest: 0x4c,
  Meta: 0x4d,
  Range: 0x52,
  System: 0x53,
  Version: 0x56,
  Expiry: 0x58,
} as const;

export const STORE_FORMAT = 3;
export const SYSTEM_KEY = Buffer.from([RowKind.System]);
export const FLOOR_KEY = Buffer.from([RowKind.Floor]);

const FLAG_TOMBSTONE = 1;
const FLAG_EXPIRES = 2;
/** The value is in the V row of the same timestamp. */
const FLAG_VALUE_APART = 4;
const KNOWN_FLAGS = FLAG_TOMBSTONE | FLAG_EXPIRES | FLAG_VALUE_APART;

const HEADER_BYTES = 9;
const HEADER_WITH_EXPIRY_BYTES = 17;
/** Below this length a loop is faster than a native search for zero bytes. */
const LOOP_BYTES = 96;
const EMPTY = Buffer.alloc(0);

/** At the end of each row's value. */
export const CHECKSUM_BYTES = 4;

/** A value as it is stored under this row key. */
export function sealRow(key: Buffer, value: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(value.length + CHECKSUM_BYTES);
  value.copy(sealed);
  sealed.writeUInt32BE(crc32(value, crc32(key)), value.length);
  return sealed;
}

/** What `sealInto` writes. */
export const sealedBytes = (key: Buffer, value: Buffer): number => key.length + value.length + CHECKSUM_BYTES;

/**
 * Writes row key, value and checksum one behind the other: one look at them all.
 * @param content the part of `into` that row key and value fill
 */
export function sealInto(into: Buffer, content: Buffer, key: Buffer, value: Buffer): void {
  into.set(key, 0);
  into.set(value, key.length);
  const at = key.length + value.length;
  const checksum = crc32(content);
  into[at] = checksum >>> 24;
  into[at + 1] = checksum >>> 16;
  into[at + 2] = checksum >>> 8;
  into[at + 3] = checksum;
}

/**
 * The value inside a stored one. The state row of another format is given as it is: formats before 2 had no checksums.
 * @throws CorruptStoreError when it is not what was stored under this key
 */
export function openRow(key: Buffer, sealed: Buffer, location: string): Buffer {
  const length = sealed.length - CHECKSUM_BYTES;
  const value = length < 0 ? undefined : sealed.subarray(0, length);
  if (value === undefined || crc32(value, crc32(key)) !== sealed.readUInt32BE(length)) {
    if (key.equals(SYSTEM_KEY) && sealed.length >= 2 && sealed.readUInt16BE(0) !== STORE_FORMAT) return sealed;
    throw new CorruptStoreError(location, 'holds a row that does not match its checksum');
  }
  return value;
}

/** A key as a string, one character a byte: a fast key of a map, and ordered like the bytes. */
export const nameOf = (key: Buffer): string => (key as Buffer & { latin1Slice(): string }).latin1Slice();

/** Upper bound of the encoded length of a key with its kind byte and a timestamp. */
export const maxEncodedBytes = (keyBytes: number): number => 2 * keyBytes + 11;

/** Writes kind and escaped key with its terminator. @returns the offset behind it */
export function writeKey(into: Buffer, kind: number, key: Buffer): number {
  into[0] = kind;
  let at = 1;
  if (key.length <= LOOP_BYTES) {
    for (let from = 0; from < key.length; from++) {
      const byte = key[from]!;
      into[at++] = byte;
      if (byte === 0) into[at++] = 0xff;
    }
  } else {
    let from = 0;
    for (;;) {
      const zero = key.indexOf(0, from);
      const end = zero === -1 ? key.length : zero + 1;
      at += key.copy(into, at, from, end);
      if (zero === -1) break;
      into[at++] = 0xff;
      from = end;
    }
  }
  into[at] = 0;
  into[at + 1] = 1;
  return at + 2;
}

/** `writeKey` of the key with this latin-1 text. */
export function writeName(into: Buffer, kind: number, name: string): number {
  if (name.length > LOOP_BYTES) return writeKey(into, kind, Buffer.from(name, 'latin1'));
  into[0] = kind;
  let at = 1;
  for (let from = 0; from < name.length; from++) {
    const byte = name.charCodeAt(from);
    into[at++] = byte;
    if (byte === 0) into[at++] = 0xff;
  }
  into[at] = 0;
  into[at + 1] = 1;
  return at + 2;
}

/** Encodes into memory of its own. */
export function encodeKey(kind: number, key: Buffer): Buffer {
  const into = Buffer.allocUnsafe(maxEncodedBytes(key.length));
  return into.subarray(0, writeKey(into, kind, key));
}

/** Writes the complement of a timestamp. */
export function writeDescending(into: Buffer, ts: HlcTimestamp, offset: number): number {
  return into.writeBigUInt64BE(BigInt.asUintN(64, ~ts), offset);
}

/**
 * Bounds of the rows of one kind that belong to keys of a range.
 * @param end undefined is the end of the key space
 */
export const keyBounds = (kind: number, start: Buffer, end: Buffer | undefined): { gte: Buffer; lt: Buffer } => ({
  gte: encodeKey(kind, start),
  lt: end === undefined ? Buffer.from([kind + 1]) : encodeKey(kind, end),
});

/** Writes the complement of the timestamp that a version's row carries. @returns the offset behind it */
export function writeDescendingOf(into: Buffer, row: Buffer, offset: number): number {
  for (let at = 0; at < 8; at++) into[offset + at] = row[1 + at]! ^ 0xff;
  return offset + 8;
}

/** Row key of one version: newer versions of a key sort before older ones. */
export function encodeVersionKey(key: Buffer, ts: HlcTimestamp): Buffer {
  const into = Buffer.allocUnsafe(maxEncodedBytes(key.length));
  return into.subarray(0, writeDescending(into, ts, writeKey(into, RowKind.Version, key)));
}

/** Timestamp at the end of a V row's key. */
export const versionTsOf = (row: Buffer): HlcTimestamp =>
  hlcTimestamp(BigInt.asUintN(64, ~row.readBigUInt64BE(row.length - 8)));

/**
 * The logical key inside `row[from, to)`, terminator included in the interval.
 * @throws CorruptStoreError when the escaping is broken
 */
export function decodeKey(row: Buffer, from: number, to: number, location: string): Buffer {
  const end = to - 2;
  if (end < from || row[end] !== 0 || row[end + 1] !== 1) {
    throw new CorruptStoreError(location, 'holds a key without its end');
  }
  let zeros = 0;
  for (let at = row.indexOf(0, from); at !== -1 && at < end; at = row.indexOf(0, at + 2)) {
    if (row[at + 1] !== 0xff || at + 1 >= end) throw new CorruptStoreError(location, 'holds a badly escaped key');
    zeros++;
  }
  // A copy in both cases: a slice would pin the whole page that the row was read with.
  const key = Buffer.allocUnsafe(end - from - zeros);
  let at = 0;
  for (let source = from; source < end; source++) {
    const byte = row[source]!;
    key[at++] = byte;
    if (byte === 0) source++;
  }
  return key;
}

/** The versions of a unit have one timestamp, and arithmetic with bigints is slow. */
let writtenTs = NEVER;
const writtenBytes = Buffer.alloc(8);

function writeTimestamp(into: Buffer, ts: HlcTimestamp, offset: number): void {
  if (ts !== writtenTs) {
    writtenTs = ts;
    writtenBytes.writeBigUInt64BE(ts, 0);
  }
  for (let at = 0; at < 8; at++) into[offset + at] = writtenBytes[at]!;
}

/** Length of a row that holds header and value together. */
export const versionBytes = (expireTs: HlcTimestamp, value: Buffer): number => headerBytesFor(expireTs) + value.length;

/** Writes a row that holds header and value together. */
export function writeVersion(
  into: Buffer,
  offset: number,
  commitTs: HlcTimestamp,
  expireTs: HlcTimestamp,
  isTombstone: boolean,
  value: Buffer,
): void {
  const expires = expireTs !== NEVER;
  into[offset] = (isTombstone ? FLAG_TOMBSTONE : 0) | (expires ? FLAG_EXPIRES : 0);
  writeTimestamp(into, commitTs, offset + 1);
  if (expires) into.writeBigUInt64BE(expireTs, offset + HEADER_BYTES);
  into.set(value, offset + headerBytesFor(expireTs));
}

/** Bytes of a row that holds header and value together. */
export function encodeVersion(
  commitTs: HlcTimestamp,
  expireTs: HlcTimestamp,
  isTombstone: boolean,
  value: Buffer,
): Buffer {
  const row = Buffer.allocUnsafe(versionBytes(expireTs, value));
  writeVersion(row, 0, commitTs, expireTs, isTombstone, value);
  return row;
}

/** Length of the header of a version. */
export const headerBytes = (expires: boolean): number => (expires ? HEADER_WITH_EXPIRY_BYTES : HEADER_BYTES);

/** Where the value of a row starts. */
export const headerBytesFor = (expireTs: HlcTimestamp): number => headerBytes(expireTs !== NEVER);

const headerBytesOf = (row: Buffer): number => headerBytes((row[0]! & FLAG_EXPIRES) !== 0);

/** The header of a whole row, pointing to the V row for the value. */
export function headerWithValueApart(row: Buffer): Buffer {
  const header = Buffer.from(row.subarray(0, headerBytesOf(row)));
  header[0]! |= FLAG_VALUE_APART;
  return header;
}

/** One version as it was read. */
export interface DecodedVersion {
  readonly commitTs: HlcTimestamp;
  readonly isTombstone: boolean;
  readonly expireTs: HlcTimestamp;
  /** Empty when it lies apart. */
  readonly value: Buffer;
  readonly isValueApart: boolean;
  /** The bytes that it was decoded from. */
  readonly row: Buffer;
}

/** When the version whose row begins at `offset` expires; only of one that does. */
export const expiryIn = (row: Buffer, offset: number): HlcTimestamp =>
  row.readBigUInt64BE(offset + HEADER_BYTES) as HlcTimestamp;

/** @throws CorruptStoreError on unknown flags or a short row */
export function decodeVersion(row: Buffer, location: string): DecodedVersion {
  const flags = row[0]!;
  const valueAt = headerBytesOf(row);
  if ((flags & ~KNOWN_FLAGS) !== 0 || row.length < valueAt) {
    throw new CorruptStoreError(location, `holds a version with flags ${flags} and ${row.length} bytes`);
  }
  return {
    commitTs: row.readBigUInt64BE(1) as HlcTimestamp,
    isTombstone: (flags & FLAG_TOMBSTONE) !== 0,
    expireTs: valueAt === HEADER_BYTES ? NEVER : expiryIn(row, 0),
    value: row.length === valueAt ? EMPTY : row.subarray(valueAt),
    isValueApart: (flags & FLAG_VALUE_APART) !== 0,
    row,
  };
}

/** Row key of the expiry index: what expires first sorts first. */
export function encodeExpiryKey(expireTs: HlcTimestamp, key: Buffer): Buffer {
  const row = Buffer.allocUnsafe(9 + key.length);
  row[0] = RowKind.Expiry;
  row.writeBigUInt64BE(expireTs, 1);
  key.copy(row, 9);
  return row;
}

export const decodeExpiryKey = (row: Buffer): { expireTs: HlcTimestamp; key: Buffer } => ({
  expireTs: hlcTimestamp(row.readBigUInt64BE(1)),
  key: Buffer.from(row.subarray(9)),
});

/** Row key of a deleted range that starts at `start`. */
export function encodeRangeKey(ts: HlcTimestamp, start: Buffer): Buffer {
  const escaped = encodeKey(RowKind.Range, start);
  const row = Buffer.allocUnsafe(escaped.length + 8);
  row[0] = RowKind.Range;
  row.writeBigUInt64BE(ts, 1);
  escaped.copy(row, 9, 1);
  return row;
}

export const encodeMetaKey = (name: string): Buffer => Buffer.concat([Buffer.from([RowKind.Meta]), Buffer.from(name)]);

/** Everything that the store itself remembers beside the rows. */
export interface SystemState {
  readonly appliedIndex: number;
  readonly gcThreshold: HlcTimestamp;
  readonly maxCommitTs: HlcTimestamp;
  readonly counters: ReadonlyMap<number, number>;
}

/** The value of the floor row. */
export function encodeFloor(ts: HlcTimestamp): Buffer {
  const row = Buffer.alloc(8);
  row.writeBigUInt64BE(ts, 0);
  return row;
}

/** @throws CorruptStoreError */
export function decodeFloor(row: Buffer, location: string): HlcTimestamp {
  if (row.length !== 8) throw new CorruptStoreError(location, 'has a damaged floor row');
  return hlcTimestamp(row.readBigUInt64BE(0));
}

const SYSTEM_FIXED_BYTES = 32;
const COUNTER_BYTES = 12;

/** The value of the system row. */
export function encodeSystemState(state: SystemState): Buffer {
  const row = Buffer.alloc(SYSTEM_FIXED_BYTES + COUNTER_BYTES * state.counters.size);
  row.writeUInt16BE(STORE_FORMAT, 0);
  row.writeUInt32BE(state.counters.size, 4);
  row.writeBigUInt64BE(BigInt(state.appliedIndex), 8);
  row.writeBigUInt64BE(state.gcThreshold, 16);
  row.writeBigUInt64BE(state.maxCommitTs, 24);
  let at = SYSTEM_FIXED_BYTES;
  for (const [counterClass, count] of [...state.counters].sort((a, b) => a[0] - b[0])) {
    at = row.writeUInt32BE(counterClass, at);
    at = row.writeBigInt64BE(BigInt(count), at);
  }
  return row;
}

/** @throws UnknownStoreFormatError, CorruptStoreError */
export function decodeSystemState(row: Buffer, location: string): SystemState & { readonly format: number } {
  const format = row.length >= 2 ? row.readUInt16BE(0) : 0;
  if (format !== STORE_FORMAT)
    return { format, appliedIndex: 0, gcThreshold: NEVER, maxCommitTs: NEVER, counters: new Map() };
  const size = row.length >= SYSTEM_FIXED_BYTES ? row.readUInt32BE(4) : 0;
  if (row.length !== SYSTEM_FIXED_BYTES + COUNTER_BYTES * size || row.readUInt16BE(2) !== 0) {
    throw new CorruptStoreError(location, 'has a damaged state row');
  }
  const counters = new Map<number, number>();
  for (let at = SYSTEM_FIXED_BYTES; at < row.length; at += COUNTER_BYTES) {
    counters.set(row.readUInt32BE(at), Number(row.readBigInt64BE(at + 4)));
  }
  return {
    format,
    appliedIndex: Number(row.readBigUInt64BE(8)),
    gcThreshold: hlcTimestamp(row.readBigUInt64BE(16)),
    maxCommitTs: hlcTimestamp(row.readBigUInt64BE(24)),
    counters,
  };
}
