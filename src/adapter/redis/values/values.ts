/**
 * How a stored value says which type it is of, and the typed accessors that commands use.
 *
 *   head row   type (u8)  flags (u8)  form (u8)  what the type and its form need
 *
 * A string has no flags and one form, its bytes as they are. A reader that meets a flag or a form that it does not know refuses:
 * a later program wrote it.
 */
import type { KeyView } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { VALUE_HEADER_BYTES, ValueForm } from '../keys/index.ts';
import { errors, RedisError } from '../protocol/index.ts';

/** First byte of a stored value. Disk values: never renumber; a new data type adds a row here and its name below. */
export const ValueType = {
  String: 0,
} as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

const NO_FLAGS = 0;

/** What TYPE answers and SCAN's TYPE option compares with. */
const VALUE_TYPE_NAMES: Readonly<Record<number, string>> = { [ValueType.String]: 'string' };

const WRITTEN_LATER = 'ERR the value was written by a newer version of kvorum in a form that this one does not know';

/** Name of a stored value's type as TYPE answers it. */
export function typeNameOf(storedValue: Buffer): string {
  return VALUE_TYPE_NAMES[storedValue[0]!] ?? 'unknown';
}

/** The way to the values of one database. */
export interface ValueAccess {
  /** Reads and writes by storage key; prefer the accessors below. */
  readonly view: KeyView;
  /** Storage key of a user's key in the selected database. Remembers keys by identity, so asking again is cheap. */
  storageKey(userKey: Buffer): Buffer;
}

/** A stored value taken apart. */
export interface TypedValue {
  readonly type: number;
  /** A view of the stored bytes behind the head; must not be modified. */
  readonly payload: Buffer;
  /** 0n is never. */
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
}

/** Reads a key of whatever type; undefined when it does not exist. */
export function readValue(ctx: ValueAccess, userKey: Buffer): TypedValue | undefined {
  const live = ctx.view.get(ctx.storageKey(userKey));
  if (live === undefined) return undefined;
  const { value } = live;
  if (value[1] !== NO_FLAGS || value[2] !== ValueForm.Packed) throw new RedisError(WRITTEN_LATER);
  return {
    type: value[0]!,
    payload: value.subarray(VALUE_HEADER_BYTES),
    expireTs: live.expireTs,
    commitTs: live.commitTs,
  };
}

/** @throws RedisError WRONGTYPE when the key holds another type */
export function readString(ctx: ValueAccess, userKey: Buffer): TypedValue | undefined {
  const value = readValue(ctx, userKey);
  if (value !== undefined && value.type !== ValueType.String) throw errors.wrongType();
  return value;
}

/**
 * Writes a value of a type; the payload is copied. `expireTs` 0n is never. A value that has expired as it is written is a
 * deletion: nobody would ever read it.
 */
export function writeValue(
  ctx: ValueAccess,
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
  const stored = Buffer.allocUnsafe(VALUE_HEADER_BYTES + payload.length);
  stored[0] = type;
  stored[1] = NO_FLAGS;
  stored[2] = ValueForm.Packed;
  payload.copy(stored, VALUE_HEADER_BYTES);
  ctx.view.put(key, stored, expireTs);
}

/** Writes a string whatever was there before; the payload is copied. `expireTs` 0n is never. */
export function writeString(ctx: ValueAccess, userKey: Buffer, payload: Buffer, expireTs: HlcTimestamp): void {
  writeValue(ctx, userKey, ValueType.String, payload, expireTs);
}

/** Deletes a key. @returns false when it did not exist */
export function deleteKey(ctx: ValueAccess, userKey: Buffer): boolean {
  const key = ctx.storageKey(userKey);
  if (ctx.view.get(key) === undefined) return false;
  ctx.view.delete(key);
  return true;
}
