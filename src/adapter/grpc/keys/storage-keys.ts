/**
 * Where the keys of RawKV and TransactionalKV live among all keys of the cluster: `'k'` and the key. This is the only
 * module that knows it. One byte in front keeps their order, so that a range of keys is a range of storage keys that can be
 * split off and moved; it keeps them apart from the keys of Redis (`'r'`) and from the reserved ones (0x00). Values are
 * stored as they are.
 */
import type { KvRange } from '../../../kv/index.ts';
import { invalid } from '../calls.ts';

/** First byte of every storage key of these services. */
const KV_TAG = 0x6b;
/** A key is part of every entry, page and lock that has to do with it: longer ones would cost everybody. */
export const MAX_KEY_BYTES = 32 * 1024;

/** First storage key behind those of these services. */
const AFTER_ALL = Buffer.from([KV_TAG + 1]);

/** @throws RequestError INVALID_ARGUMENT for a key that is too long */
export function storageKey(key: Buffer): Buffer {
  if (key.length > MAX_KEY_BYTES) {
    throw invalid(`a key has at most ${MAX_KEY_BYTES} bytes, not ${key.length}`);
  }
  const stored = Buffer.allocUnsafe(key.length + 1);
  stored[0] = KV_TAG;
  key.copy(stored, 1);
  return stored;
}

/** The key of a storage key of these services; a view of its bytes. */
export const userKey = (stored: Buffer): Buffer => stored.subarray(1);

/** @param end undefined is behind the last key @throws RequestError INVALID_ARGUMENT */
export function storageRange(start: Buffer, end: Buffer | undefined): KvRange {
  return { start: storageKey(start), end: end === undefined ? AFTER_ALL : storageKey(end) };
}

/** The end of a range as callers know it: undefined behind the last key. */
export const userEnd = (end: Buffer): Buffer | undefined => (end.equals(AFTER_ALL) ? undefined : userKey(end));
