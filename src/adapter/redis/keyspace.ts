/**
 * Where a Redis key lives among all keys of the cluster, and how its value says which type it is of. This is the only
 * module that knows either mapping.
 *
 * Storage key: `'r'`, one byte of database, two bytes (big endian) of hash slot, the user's key. The slot is Redis
 * Cluster's (CRC16 of the hash tag modulo 16384), so a range of slots is a contiguous range of storage keys that can be
 * given to a group of its own.
 *
 * Value: one byte of type, then the type's own payload.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { CommandContext } from './command.ts';
import { errors } from './reply.ts';

/** First byte of every storage key of this adapter. */
const REDIS_TAG = 0x72;
/** Bytes before the user's key. */
const HEADER_BYTES = 4;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Number of databases that SELECT knows, as in Redis by default. */
export const DATABASE_COUNT = 16;
/** Number of hash slots, as in Redis Cluster. */
export const SLOT_COUNT = 16384;

const CRC16_TABLE: Uint16Array = makeCrc16Table();

/** Table of CRC-16/XMODEM (polynomial 0x1021, no reflection, initial value 0). */
function makeCrc16Table(): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    table[byte] = crc & 0xffff;
  }
  return table;
}

/** Hash slot of a user's key: of the part between the first `{` and the next `}` when that is not empty, else of all of it. */
export function slotOf(userKey: Buffer): number {
  let from = 0;
  let to = userKey.length;
  const open = userKey.indexOf(OPEN_BRACE);
  if (open >= 0) {
    const close = userKey.indexOf(CLOSE_BRACE, open + 1);
    if (close > open + 1) {
      from = open + 1;
      to = close;
    }
  }
  let crc = 0;
  for (let offset = from; offset < to; offset++) {
    crc = ((crc << 8) & 0xffff) ^ CRC16_TABLE[(crc >>> 8) ^ userKey[offset]!]!;
  }
  return crc & (SLOT_COUNT - 1);
}

/** A half-open range of storage keys. */
export interface KeyRange {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
}

/** One database: maps the user's keys to storage keys. */
export class Keyspace {
  readonly db: number;

  constructor(db: number) {
    this.db = db;
  }

  /** A fresh buffer with the storage key; nothing of `userKey` is retained. */
  storageKey(userKey: Buffer): Buffer {
    const slot = slotOf(userKey);
    const key = Buffer.allocUnsafe(HEADER_BYTES + userKey.length);
    key[0] = REDIS_TAG;
    key[1] = this.db;
    key[2] = slot >>> 8;
    key[3] = slot & 0xff;
    userKey.copy(key, HEADER_BYTES);
    return key;
  }

  /** All storage keys of this database. */
  wholeDb(): KeyRange {
    return { start: Buffer.from([REDIS_TAG, this.db]), end: Buffer.from([REDIS_TAG, this.db + 1]) };
  }

  /** Storage keys of slots `from` (inclusive) to `to` (exclusive, at most `SLOT_COUNT`). */
  slotRange(from: number, to: number): KeyRange {
    return { start: this.slotStart(from), end: to >= SLOT_COUNT ? this.wholeDb().end : this.slotStart(to) };
  }

  private slotStart(slot: number): Buffer {
    return Buffer.from([REDIS_TAG, this.db, slot >>> 8, slot & 0xff]);
  }
}

/** The databases, made once. */
export const KEYSPACES: readonly Keyspace[] = Array.from({ length: DATABASE_COUNT }, (_, db) => new Keyspace(db));

/** What a storage key of this adapter stands for. */
export interface DecodedKey {
  readonly db: number;
  readonly slot: number;
  /** A view of the storage key's bytes. */
  readonly userKey: Buffer;
}

/** The inverse of `Keyspace.storageKey`; undefined for keys that are not this adapter's. */
export function decodeStorageKey(storageKey: Buffer): DecodedKey | undefined {
  if (storageKey.length < HEADER_BYTES || storageKey[0] !== REDIS_TAG) return undefined;
  return {
    db: storageKey[1]!,
    slot: (storageKey[2]! << 8) | storageKey[3]!,
    userKey: storageKey.subarray(HEADER_BYTES),
  };
}

/** The counter that a storage key is counted under, for DBSIZE: its database; undefined for keys that are not this adapter's. */
export function counterClassOf(storageKey: Buffer): number | undefined {
  return storageKey.length >= HEADER_BYTES && storageKey[0] === REDIS_TAG ? storageKey[1]! : undefined;
}

/** All storage keys that a counter class can have. */
export function counterRangeOf(counterClass: number): KeyRange | undefined {
  return KEYSPACES[counterClass]?.wholeDb();
}

/** First byte of a stored value. Disk values: never renumber; a new data type adds a row here and its name below. */
export const ValueType = {
  String: 0,
} as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

/** What TYPE answers and SCAN's TYPE option compares with. */
const VALUE_TYPE_NAMES: Readonly<Record<number, string>> = { [ValueType.String]: 'string' };

/** Name of a stored value's type as TYPE answers it. */
export function typeNameOf(storedValue: Buffer): string {
  return VALUE_TYPE_NAMES[storedValue[0]!] ?? 'unknown';
}

/** A stored value taken apart. */
export interface TypedValue {
  readonly type: number;
  /** A view of the stored bytes behind the type byte; must not be modified. */
  readonly payload: Buffer;
  /** 0n is never. */
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
}

/** Reads a key of whatever type; undefined when it does not exist. */
export function readValue(ctx: CommandContext, userKey: Buffer): TypedValue | undefined {
  const live = ctx.view.get(ctx.storageKey(userKey));
  if (live === undefined) return undefined;
  return {
    type: live.value[0]!,
    payload: live.value.subarray(1),
    expireTs: live.expireTs,
    commitTs: live.commitTs,
  };
}

/** @throws RedisError WRONGTYPE when the key holds another type */
export function readString(ctx: CommandContext, userKey: Buffer): TypedValue | undefined {
  const value = readValue(ctx, userKey);
  if (value !== undefined && value.type !== ValueType.String) throw errors.wrongType();
  return value;
}

/**
 * Writes a value of a type; the payload is copied. `expireTs` 0n is never. A value that has expired as it is written is a
 * deletion: nobody would ever read it.
 */
export function writeValue(
  ctx: CommandContext,
  userKey: Buffer,
  type: ValueType,
  payload: Buffer,
  expireTs: HlcTimestamp,
): void {
  const key = ctx.storageKey(userKey);
  if (expireTs !== 0n && expireTs <= ctx.view.ts) {
    ctx.view.delete(key);
    return;
  }
  const stored = Buffer.allocUnsafe(payload.length + 1);
  stored[0] = type;
  payload.copy(stored, 1);
  ctx.view.put(key, stored, expireTs);
}

/** Writes a string whatever was there before; the payload is copied. `expireTs` 0n is never. */
export function writeString(ctx: CommandContext, userKey: Buffer, payload: Buffer, expireTs: HlcTimestamp): void {
  writeValue(ctx, userKey, ValueType.String, payload, expireTs);
}

/** Deletes a key. @returns false when it did not exist */
export function deleteKey(ctx: CommandContext, userKey: Buffer): boolean {
  const key = ctx.storageKey(userKey);
  if (ctx.view.get(key) === undefined) return false;
  ctx.view.delete(key);
  return true;
}
