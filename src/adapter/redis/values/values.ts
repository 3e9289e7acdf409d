/**
 * How a stored value says which type it is of, and the typed accessors that commands use.
 *
 *   head row   type (u8)  flags (u8)  form (u8)  what the type and its form need
 *
 * A string has no flags; in the form `Packed` its bytes follow as they are. Hashes have one flag, see `field-expiries.ts`. A reader that meets a
 * flag or a form that it does not know refuses: a later program wrote it.
 */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { VALUE_HEADER_BYTES, ValueForm } from '../keys/index.ts';
import { errors, RedisError } from '../protocol/index.ts';
import { expiriesOf, FIELD_EXPIRIES, FIELD_EXPIRIES_BYTES, withKeyExpiry } from './field-expiries.ts';

/** First byte of a stored value. Disk values: never renumber; a new data type adds a row here and its name below. */
export const ValueType = {
  String: 0,
  Hash: 1,
  List: 2,
  Set: 3,
  ZSet: 4,
  Stream: 5,
} as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

const NO_FLAGS = 0;

/** What TYPE answers and SCAN's TYPE option compares with. */
const VALUE_TYPE_NAMES: Readonly<Record<number, string>> = {
  [ValueType.String]: 'string',
  [ValueType.Hash]: 'hash',
  [ValueType.List]: 'list',
  [ValueType.Set]: 'set',
  [ValueType.ZSet]: 'zset',
  [ValueType.Stream]: 'stream',
};

/** The error of a value whose bytes this program cannot read because a later one wrote them. */
export const writtenLater = (): RedisError =>
  new RedisError('ERR the value was written by a newer version of kvorum in a form that this one does not know');

/** Name of a stored value's type as TYPE answers it. */
export function typeNameOf(storedValue: Buffer): string {
  return VALUE_TYPE_NAMES[storedValue[0]!] ?? 'unknown';
}

/** The way to read the values of one database. */
export interface ValueReader {
  readonly view: Pick<KeyView, 'get'>;
  /** Storage key of a user's key in the selected database. Remembers keys by identity, so asking again is cheap. */
  storageKey(userKey: Buffer): Buffer;
  /** A key was looked for; left out: nobody counts. */
  noteRead?(isThere: boolean): void;
}

/** The way to the values of one database. */
export interface ValueAccess extends ValueReader {
  /** Reads and writes by storage key; prefer the accessors below. */
  readonly view: Pick<KeyView, 'ts' | 'get' | 'put' | 'putJoined' | 'delete'>;
}

/** A stored value taken apart. */
export interface TypedValue {
  readonly type: number;
  readonly form: ValueForm;
  /** A view of the stored bytes behind the head; must not be modified. */
  readonly payload: Buffer;
  /** Of the key: that of its row may be earlier, see `field-expiries.ts`. 0n is never. */
  readonly expireTs: HlcTimestamp;
  /** When the last field of a hash expires, 0n when some field does not; undefined when no field has an expiry. */
  readonly lastFieldTs: HlcTimestamp | undefined;
  readonly commitTs: HlcTimestamp;
}

/** Reads a key of whatever type; undefined when it does not exist. */
export function readValue(ctx: ValueReader, userKey: Buffer): TypedValue | undefined {
  const live = ctx.view.get(ctx.storageKey(userKey));
  ctx.noteRead?.(live !== undefined);
  if (live === undefined) return undefined;
  const { value } = live;
  const type = value[0]!;
  const form = value[2];
  const isKnownForm = form === ValueForm.Packed || form === ValueForm.Large;
  const { commitTs } = live;
  if (value[1] === NO_FLAGS && isKnownForm) {
    const payload = value.subarray(VALUE_HEADER_BYTES);
    return { type, form, payload, expireTs: live.expireTs, lastFieldTs: undefined, commitTs };
  }
  if (value[1] !== FIELD_EXPIRIES || type !== ValueType.Hash || !isKnownForm) throw writtenLater();
  const payload = value.subarray(VALUE_HEADER_BYTES, value.length - FIELD_EXPIRIES_BYTES);
  const { ofKey, ofLastField } = expiriesOf(live);
  return { type, form, payload, expireTs: ofKey, lastFieldTs: ofLastField, commitTs };
}

/** Reads a key that must hold one type or not exist. @throws RedisError WRONGTYPE when it holds another */
export function readTyped(ctx: ValueReader, userKey: Buffer, type: ValueType): TypedValue | undefined {
  const value = readValue(ctx, userKey);
  if (value !== undefined && value.type !== type) throw errors.wrongType();
  return value;
}

/** What every string in the form `Packed` begins with. */
const STRING_HEAD = Buffer.alloc(VALUE_HEADER_BYTES);
writeValueHeader(STRING_HEAD, ValueType.String, ValueForm.Packed);

/**
 * Writes a string whatever was there before. `expireTs` 0n is never. A value that has expired as it is written is a deletion: nobody would ever
 * read it.
 * @param payload nobody modifies it any more
 */
export function writeString(ctx: ValueAccess, userKey: Buffer, payload: Buffer, expireTs: HlcTimestamp): void {
  const key = ctx.storageKey(userKey);
  if (expireTs !== 0n && expireTs <= ctx.view.ts) {
    ctx.view.delete(key);
    return;
  }
  const { view } = ctx;
  if (view.putJoined !== undefined) view.putJoined(key, STRING_HEAD, payload, expireTs);
  else view.put(key, Buffer.concat([STRING_HEAD, payload]), expireTs);
}

/** Gives a key another expiry, which is in the future; its value and the expiries of its fields stay. @param live what the key holds */
export function writeExpiry(
  { view }: Pick<ValueAccess, 'view'>,
  storageKey: Buffer,
  live: Pick<LiveValue, 'value' | 'expireTs'>,
  expireTs: HlcTimestamp,
): void {
  const row = withKeyExpiry(live, expireTs);
  view.put(storageKey, row.value, row.expireTs);
}

/** Writes the bytes that every stored value begins with; what follows begins at `VALUE_HEADER_BYTES`. */
export function writeValueHeader(target: Buffer, type: ValueType, form: ValueForm, flags: number = NO_FLAGS): void {
  target[0] = type;
  target[1] = flags;
  target[2] = form;
}

/** Deletes a key. @returns false when it did not exist */
export function deleteKey(ctx: ValueAccess, userKey: Buffer): boolean {
  const key = ctx.storageKey(userKey);
  if (ctx.view.get(key) === undefined) return false;
  ctx.view.delete(key);
  return true;
}
