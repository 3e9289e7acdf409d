/**
 * Turns a generation of applied units into one atomic batch, in slices: a generation of a few thousand versions takes longer
 * than a turn of the event loop should.
 */

import type { Level, LevelChain } from '../level/index.ts';
import {
  encodeExpiryKey,
  encodeSystemState,
  headerWithValueApart,
  maxEncodedBytes,
  RowKind,
  SYSTEM_KEY,
  type SystemState,
  writeDescendingOf,
  writeKey,
} from '../rows/index.ts';
import type { BufferedKey, Generation } from './apply-buffer.ts';

const EMPTY = Buffer.alloc(0);
/** What is encoded in one turn, one to three milliseconds: bytes, and as many as a row costs whatever its length. */
const SLICE_COST = 1 << 20;
const ROW_COST = 512;
const SCRATCH_BYTES = 1024;

/**
 * Writes a frozen generation and, with it, the state that it leads to.
 * @param nextTurn lets the event loop go on between slices
 */
export async function flushGeneration(
  level: Level,
  generation: Generation,
  state: SystemState,
  nextTurn: () => Promise<void>,
): Promise<void> {
  const chain = level.chain();
  let scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  let cost = 0;
  for (const buffered of generation.keys.values()) {
    const { key, newest, base } = buffered;
    const bound = maxEncodedBytes(key.length);
    if (scratch.length < bound) scratch = Buffer.allocUnsafe(bound);
    const keyBytes = writeKey(scratch, RowKind.Latest, key);
    chain.put(scratch.subarray(0, keyBytes), newest.isValueApart ? headerWithValueApart(newest.row) : newest.row);
    scratch[0] = RowKind.Version;
    // What lies apart has its V row at once, all else when it is overwritten.
    for (let version = newest.isValueApart ? newest : newest.older; version !== undefined; version = version.older) {
      chain.put(scratch.subarray(0, writeDescendingOf(scratch, version.row, keyBytes)), version.row);
      cost += ROW_COST + version.row.length;
      if (cost < SLICE_COST) continue;
      cost = 0;
      await nextTurn();
    }
    if (base !== undefined) chain.put(scratch.subarray(0, writeDescendingOf(scratch, base.row, keyBytes)), base.row);
    moveExpiry(chain, buffered);
    cost += 2 * ROW_COST + (newest.isValueApart ? 0 : newest.row.length) + (base?.row.length ?? 0);
    if (cost < SLICE_COST) continue;
    cost = 0;
    await nextTurn();
  }
  for (const { key, value } of generation.rows.values()) {
    if (value === undefined) chain.del(key);
    else chain.put(key, value);
  }
  chain.put(SYSTEM_KEY, encodeSystemState(state));
  await chain.write({ sync: true });
}

function moveExpiry(chain: LevelChain, { key, newest, indexedExpireTs }: BufferedKey): void {
  if (indexedExpireTs !== 0n && indexedExpireTs !== newest.expireTs) {
    chain.del(encodeExpiryKey(indexedExpireTs, key));
  }
  // Even when the version below had the same expiry: its index row may have been collected together with it meanwhile.
  if (newest.expireTs !== 0n) chain.put(encodeExpiryKey(newest.expireTs, key), EMPTY);
}
