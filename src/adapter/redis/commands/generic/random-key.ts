/**
 * RANDOMKEY: each key with the same chance. Keys are spread evenly over slots, but a slot has any number of them, and a walk that begins at a
 * random place favours what lies behind a gap. So slots are taken together to windows that have about as many keys as a page, and one
 * draw is a window and a place in it, of as many places as a window has room for. Places without a key are drawn again.
 */
import type { ScanContext } from '../../command/index.ts';
import { decodeStorageKey, type KeyRange, SLOT_COUNT } from '../../keys/index.ts';
import type { Reply } from '../../protocol/index.ts';

/** Keys of a window on the average, and its places: hardly any window has so many keys unless they share a hash tag. */
const WINDOW_KEYS = 64;
const WINDOW_PLACES = 2 * WINDOW_KEYS;
/** With so few keys all of them are looked at. */
const FEW_KEYS = 1_000;
/** Keys of a window that are looked at: those of one slot that lie behind them are not drawn. */
const MAX_WINDOW_KEYS = 16_384;
/** Draws before any key will do: nearly all have expired, or share a few slots. */
const MAX_DRAWS = 64;

/** Keys of a range in order, at most `limit`. */
async function keysIn(ctx: ScanContext, range: KeyRange, limit: number): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  let start: Buffer | undefined = range.start;
  while (start !== undefined && keys.length < limit) {
    const part = Math.min(FEW_KEYS, limit - keys.length);
    const page = await ctx.page({ start, end: range.end, limit: part, pattern: undefined, typeName: undefined });
    for (const key of page.storageKeys) keys.push(key);
    start = page.next;
  }
  return keys;
}

const userKeyOf = (storageKey: Buffer): Buffer => decodeStorageKey(storageKey)!.userKey;

/** One of the keys behind a random slot. */
async function anyKey(ctx: ScanContext): Promise<Reply> {
  const whole = ctx.keyspace.wholeDb();
  const { start } = ctx.keyspace.slotRange(ctx.random.int(SLOT_COUNT), SLOT_COUNT);
  for (const range of [{ start, end: whole.end }, whole]) {
    const keys = await keysIn(ctx, range, MAX_WINDOW_KEYS);
    if (keys.length > 0) return userKeyOf(keys[ctx.random.int(keys.length)]!);
  }
  return null;
}

/** A key by chance, nil when there is none. */
export async function randomKey(ctx: ScanContext): Promise<Reply> {
  const { keyspace, random } = ctx;
  const count = await ctx.count(keyspace.db);
  if (count <= FEW_KEYS) {
    const keys = await keysIn(ctx, keyspace.wholeDb(), 2 * FEW_KEYS);
    return keys.length === 0 ? null : userKeyOf(keys[random.int(keys.length)]!);
  }
  const slots = Math.max(1, Math.floor((SLOT_COUNT * WINDOW_KEYS) / count));
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const first = random.int(Math.ceil(SLOT_COUNT / slots)) * slots;
    const window = keyspace.slotRange(first, Math.min(SLOT_COUNT, first + slots));
    const keys = await keysIn(ctx, window, WINDOW_PLACES + 1);
    const isCrowded = keys.length > WINDOW_PLACES;
    const all = isCrowded ? await keysIn(ctx, window, MAX_WINDOW_KEYS) : keys;
    const key = all[random.int(isCrowded ? all.length : WINDOW_PLACES)];
    if (key !== undefined) return userKeyOf(key);
  }
  return anyKey(ctx);
}
