/**
 * Where a Redis key lives among all keys of the cluster. This is the only module that knows the mapping.
 *
 *   head      'r'  db (u8)  slot (u16, big endian)  length of the user's key (varint)  the user's key
 *   sub-row   head  kind (u8)  incarnation (8 bytes)  rest
 *
 * The slot is Redis Cluster's (CRC16 of the hash tag modulo 16384), so a range of slots is a contiguous range of storage
 * keys that can be given to a group of its own. With the length in front no head is a prefix of another key's rows: all rows
 * of a Redis key are contiguous, and its head is the first of them. The length is LEB128 in its shortest form: one byte below 128.
 */
import { type KeyRange, type KeyspaceDeclaration, KeyTextError } from '../../../distribution/index.ts';
import { varintBytes, writeVarint } from './varint.ts';

export type { KeyRange };

/** First byte of every storage key of this adapter. */
const REDIS_TAG = 0x72;
/** Bytes before the length. */
const HEADER_BYTES = 4;
/** The user's keys have less than 2^35 bytes: five bytes of length. */
const MAX_LENGTH_BYTES = 5;
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

/**
 * The slot of all keys that come about by putting bytes into the place of one; undefined when they may be in several: their hash tag must
 * be complete in front of the place.
 */
export function slotAround(pattern: Buffer, place: number): number | undefined {
  const open = pattern.indexOf(OPEN_BRACE);
  const close = open < 0 ? -1 : pattern.indexOf(CLOSE_BRACE, open + 1);
  return close > open + 1 && close < place ? slotOf(pattern) : undefined;
}

/** True when storage keys are of one database and one slot; of none, too. */
export const areOfOneSlot = (storageKeys: readonly Buffer[]): boolean =>
  storageKeys.every((key) => key.compare(storageKeys[0]!, 0, HEADER_BYTES, 0, HEADER_BYTES) === 0);

/** Where the user's key lies in the head that `storageKey` begins with; undefined when it begins with none. */
function userKeyIn(storageKey: Buffer): { readonly from: number; readonly to: number } | undefined {
  if (storageKey.length <= HEADER_BYTES || storageKey[0] !== REDIS_TAG) return undefined;
  let length = 0;
  let scale = 1;
  for (let at = HEADER_BYTES; at < storageKey.length && at < HEADER_BYTES + MAX_LENGTH_BYTES; at++) {
    const byte = storageKey[at]!;
    length += (byte & 0x7f) * scale;
    scale *= 0x80;
    if (byte >= 0x80) continue;
    // A longer form of the same length would be another key for the same user's key.
    if (byte === 0 && at > HEADER_BYTES) return undefined;
    const to = at + 1 + length;
    return to <= storageKey.length ? { from: at + 1, to } : undefined;
  }
  return undefined;
}

/** Length of the head that a storage key is or lies behind; undefined for bytes that no stored key begins with. */
export const headLengthOf = (storageKey: Buffer): number | undefined => userKeyIn(storageKey)?.to;

/** One database: maps the user's keys to storage keys. */
export class Keyspace {
  readonly db: number;

  constructor(db: number) {
    this.db = db;
  }

  /** A fresh buffer with the storage key; nothing of `userKey` is retained. */
  storageKey(userKey: Buffer): Buffer {
    const slot = slotOf(userKey);
    const lengthBytes = varintBytes(userKey.length);
    const key = Buffer.allocUnsafe(HEADER_BYTES + lengthBytes + userKey.length);
    key[0] = REDIS_TAG;
    key[1] = this.db;
    key[2] = slot >>> 8;
    key[3] = slot & 0xff;
    writeVarint(key, HEADER_BYTES, userKey.length);
    userKey.copy(key, HEADER_BYTES + lengthBytes);
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

/** A database that no client can select: scripts that were loaded, by their SHA-1. */
export const SCRIPT_DB = DATABASE_COUNT;

/** Another one: libraries of functions. */
export const FUNCTION_DB = DATABASE_COUNT + 1;
/** The key of all libraries there. */
export const LIBRARIES_KEY = Buffer.from('libraries');
/** In the same slot: whether nodes have copies of them. */
export const COPIES_KEY = Buffer.from('{libraries}copies');

/** A database that no client can select: the users of the cluster. */
export const USERS_DB = DATABASE_COUNT + 2;

/** The databases, made once; those that no client can select are behind the others. */
export const KEYSPACES: readonly Keyspace[] = Array.from({ length: USERS_DB + 1 }, (_, db) => new Keyspace(db));

/** What a storage key of this adapter stands for. */
export interface DecodedKey {
  readonly db: number;
  readonly slot: number;
  /** A view of the storage key's bytes. */
  readonly userKey: Buffer;
}

/** The inverse of `Keyspace.storageKey`; undefined for keys that are no heads of this adapter's. */
export function decodeStorageKey(storageKey: Buffer): DecodedKey | undefined {
  const place = userKeyIn(storageKey);
  if (place === undefined || place.to !== storageKey.length) return undefined;
  return {
    db: storageKey[1]!,
    slot: (storageKey[2]! << 8) | storageKey[3]!,
    userKey: storageKey.subarray(place.from, place.to),
  };
}

/** What the head stands for that a storage key is or lies behind; undefined for bytes that no stored key begins with. */
export function headOf(storageKey: Buffer): DecodedKey | undefined {
  const length = headLengthOf(storageKey);
  return length === undefined ? undefined : decodeStorageKey(storageKey.subarray(0, length));
}

/** The first storage key of a slot. */
const slotStart = (db: number, slot: number): Buffer =>
  slot >= SLOT_COUNT ? KEYSPACES[db]!.wholeDb().end : KEYSPACES[db]!.slotRange(slot, slot + 1).start;

/** `slot:N[/db]` */
function parseSlot(text: string): Buffer | undefined {
  if (!text.startsWith('slot:')) return undefined;
  const match = /^slot:(\d{1,5})(?:\/(\d{1,2}))?$/.exec(text);
  const [slot, db] = [Number(match?.[1]), Number(match?.[2] ?? 0)];
  if (match === null || slot >= SLOT_COUNT || db >= DATABASE_COUNT) {
    throw new KeyTextError(
      `'${text}' is no slot: it must be slot:N or slot:N/db, N from 0 to ${SLOT_COUNT - 1}, db from 0 to ${DATABASE_COUNT - 1}`,
    );
  }
  return slotStart(db, slot);
}

function formatSlot(key: Buffer): string | undefined {
  if (key.length !== HEADER_BYTES || key[1]! >= DATABASE_COUNT) return undefined;
  const slot = key.readUInt16BE(2);
  if (slot >= SLOT_COUNT) return undefined;
  return key[1] === 0 ? `slot:${slot}` : `slot:${slot}/${key[1]}`;
}

/** What other layers have to know of the heads of Redis. Counted under its database is each head, for DBSIZE. */
export const redisKeys: KeyspaceDeclaration = {
  name: 'redis',
  tag: REDIS_TAG,
  headLengthOf,
  counterClassOf: (key) => (headLengthOf(key) === key.length ? key[1]! : undefined),
  counterRangeOf: (counterClass) => KEYSPACES[counterClass]?.wholeDb(),
  slots: { databaseCount: DATABASE_COUNT, slotCount: SLOT_COUNT, slotStart },
  parse: parseSlot,
  format: formatSlot,
};
