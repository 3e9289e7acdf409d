/**
 * Turns a generation of applied units into one atomic batch, in slices: a generation of a few thousand versions takes longer
 * than a turn of the event loop should.
 */

import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { Level, LevelChain } from '../level/index.ts';
import {
  encodeExpiryKey,
  encodeFloor,
  encodeSystemState,
  FLOOR_KEY,
  headerWithValueApart,
  maxEncodedBytes,
  RowKind,
  SYSTEM_KEY,
  type SystemState,
  writeDescendingOf,
  writeName,
} from '../rows/index.ts';
import type { Generation } from './apply-buffer.ts';
import type { Slices } from './slices.ts';
import { NO_VERSION, type VersionTable } from './version-table.ts';

const EMPTY = Buffer.alloc(0);
/** What a row costs whatever its length, in bytes. */
const ROW_COST = 512;
const SCRATCH_BYTES = 1024;
const TIMESTAMP_BYTES = 8;

/**
 * Writes a frozen generation and, with it, the state that it leads to.
 * @param readableFrom nobody reads below it: versions that were overwritten by then are left out
 * @returns bytes of what was left out
 */
export async function flushGeneration(
  level: Level,
  generation: Generation,
  state: SystemState,
  readableFrom: HlcTimestamp,
  slices: Slices,
): Promise<number> {
  const chain = level.chain();
  const names = new RowNames();
  const { list, versions } = generation;
  const rows = new RowBytes(versions);
  let leftOut = 0;
  for (let slot = 0; slot < list.length; slot++) {
    const newest = generation.newestOf(slot);
    names.set(list[slot]!.name);
    const isValueApart = versions.isValueApart(newest);
    const newestRow = rows.of(newest);
    chain.put(names.latest(), isValueApart ? headerWithValueApart(newestRow) : newestRow);
    // What lies apart has its V row at once, all else when it is overwritten.
    if (isValueApart) chain.put(names.version(newestRow), newestRow);
    const cost = 2 * ROW_COST + newestRow.length;
    // Each is what reads see until the timestamp of the one after it.
    let after = newest;
    for (let number = versions.older(newest); number !== NO_VERSION; number = versions.older(number)) {
      if (versions.isAbove(after, readableFrom)) {
        const row = rows.of(number);
        chain.put(names.version(row), row);
      } else leftOut += versions.rowBytes(number);
      after = number;
      if (slices.isOver(ROW_COST + versions.rowBytes(number))) await slices.next();
    }
    moveExpiry(chain, generation, slot);
    if (slices.isOver(cost)) await slices.next();
  }
  for (const { key, value } of generation.rows.values()) {
    if (value === undefined) chain.del(key);
    else chain.put(key, value);
  }
  // The state is that of the generation's end, the threshold that versions were left out by may have come later.
  if (readableFrom > state.gcThreshold) chain.put(FLOOR_KEY, encodeFloor(readableFrom));
  chain.put(SYSTEM_KEY, encodeSystemState(state));
  await chain.write({ sync: true });
  return leftOut;
}

/** Keys of the rows of one key, in memory that is used again: a batch copies them. */
class RowNames {
  private scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  private keyBytes = 0;
  /** Parts of `scratch`. Most keys are as long as the one before them, and making a view costs as much as writing it. */
  private latestView = this.scratch.subarray(0, 0);
  private versionView = this.scratch.subarray(0, TIMESTAMP_BYTES);

  /** @param name latin-1 text of the key */
  set(name: string): void {
    const bound = maxEncodedBytes(name.length);
    const isLarger = this.scratch.length < bound;
    if (isLarger) this.scratch = Buffer.allocUnsafe(bound);
    const keyBytes = writeName(this.scratch, RowKind.Latest, name);
    if (keyBytes === this.keyBytes && !isLarger) return;
    this.keyBytes = keyBytes;
    this.latestView = this.scratch.subarray(0, keyBytes);
    this.versionView = this.scratch.subarray(0, keyBytes + TIMESTAMP_BYTES);
  }

  /** Of the newest version; until the next call. */
  latest(): Buffer {
    this.scratch[0] = RowKind.Latest;
    return this.latestView;
  }

  /** Of the version with this row; until the next call. */
  version(row: Buffer): Buffer {
    this.scratch[0] = RowKind.Version;
    writeDescendingOf(this.scratch, row, this.keyBytes);
    return this.versionView;
  }
}

/** Rows of versions, in memory that is used again. */
class RowBytes {
  private readonly versions: VersionTable;
  private scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  /** Part of `scratch`, for the reason that `RowNames` has. */
  private view = this.scratch.subarray(0, 0);

  constructor(versions: VersionTable) {
    this.versions = versions;
  }

  /** Until the next call. */
  of(version: number): Buffer {
    const { versions } = this;
    const rowAlone = versions.rowAlone(version);
    if (rowAlone !== undefined) return rowAlone;
    const rowBytes = versions.rowBytes(version);
    if (rowBytes > this.scratch.length) this.scratch = Buffer.allocUnsafe(rowBytes);
    if (rowBytes !== this.view.length) this.view = this.scratch.subarray(0, rowBytes);
    versions.copyRow(version, this.view);
    return this.view;
  }
}

function moveExpiry(chain: LevelChain, generation: Generation, slot: number): void {
  const expireTs = generation.versions.expireTs(generation.newestOf(slot));
  const before = generation.indexedExpireTs(slot);
  if (before === NEVER && expireTs === NEVER) return;
  const { key } = generation.list[slot]!;
  if (before !== NEVER && before !== expireTs) chain.del(encodeExpiryKey(before, key));
  // Even when the version below had the same expiry: its index row may have been collected together with it meanwhile.
  if (expireTs !== NEVER) chain.put(encodeExpiryKey(expireTs, key), EMPTY);
}
