/** What is read when a store is opened: the state row, named values and range tombstones. */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { SideRow } from '../contract/index.ts';
import type { Uncounted } from '../counters/index.ts';
import { decodeSideRow } from '../flush/index.ts';
import { type Level, loadMeta, rowsOfKind } from '../level/index.ts';
import { decodeDrop, isDropped, type RangeDrop } from '../ranges/index.ts';
import {
  CorruptStoreError,
  decodeFloor,
  decodeKey,
  decodeSystemState,
  FLOOR_KEY,
  type RangeTombstone,
  RangeTombstones,
  RowKind,
  STORE_FORMAT,
  SYSTEM_KEY,
  type SystemState,
  UnknownStoreFormatError,
} from '../rows/index.ts';

export interface LoadedStore {
  /** The database has no row at all. */
  readonly isEmpty: boolean;
  readonly state: SystemState;
  /** Reads below it are refused, whatever the threshold is. */
  readonly floor: HlcTimestamp;
  readonly meta: Map<string, Buffer>;
  readonly ranges: RangeTombstones;
  /** Side rows that are held in memory, those of ranges that are being dropped left out. */
  readonly sides: readonly SideRow[];
  /** Ranges that are being dropped, oldest first. */
  readonly drops: readonly RangeDrop[];
  /** Whose keys have not been counted, in the order of application. */
  readonly uncounted: readonly Uncounted[];
}

const FRESH: SystemState = {
  appliedIndex: 0,
  gcThreshold: NEVER,
  maxCommitTs: NEVER,
  counters: new Map(),
};
/** @throws UnknownStoreFormatError, CorruptStoreError */
export async function loadStore(level: Level, location: string): Promise<LoadedStore> {
  const systemRow = level.getSync(SYSTEM_KEY);
  if (systemRow === undefined) {
    const iterator = level.iterator({ limit: 1 });
    const rows = await iterator.nextv(1);
    await iterator.close();
    if (rows.length > 0) throw new CorruptStoreError(location, 'holds rows but no state row');
    return {
      isEmpty: true,
      state: FRESH,
      floor: NEVER,
      meta: new Map(),
      ranges: RangeTombstones.empty,
      sides: [],
      drops: [],
      uncounted: [],
    };
  }
  const state = decodeSystemState(systemRow, location);
  if (state.format !== STORE_FORMAT) throw new UnknownStoreFormatError(location, state.format, STORE_FORMAT);
  const floorRow = level.getSync(FLOOR_KEY);
  const floor = floorRow === undefined ? NEVER : decodeFloor(floorRow, location);
  const meta = await loadMeta(level);
  let ranges = RangeTombstones.empty;
  const uncounted: Uncounted[] = [];
  for await (const [key, value] of rowsOfKind(level, RowKind.Range)) {
    if (key.length < 11 || value.length < 1 || value[0]! > 1) {
      throw new CorruptStoreError(location, 'holds a damaged range delete');
    }
    const range: RangeTombstone = {
      ts: key.readBigUInt64BE(1) as HlcTimestamp,
      start: decodeKey(key, 9, key.length, location),
      end: Buffer.from(value.subarray(1)),
    };
    ranges = ranges.with(range);
    if (value[0] === 1) uncounted.push({ kind: 'delete', range });
  }
  const drops: RangeDrop[] = [];
  for await (const [key, value] of rowsOfKind(level, RowKind.Drop)) drops.push(decodeDrop(key, value, location));
  for (const range of drops) if (!range.isCounted) uncounted.push({ kind: 'drop', range });
  // Stable: of equal age deletes come first, as they do within a unit.
  uncounted.sort((a, b) => (a.range.ts < b.range.ts ? -1 : a.range.ts > b.range.ts ? 1 : 0));
  const sides: SideRow[] = [];
  for await (const [key, value] of rowsOfKind(level, RowKind.ResidentSide)) {
    const side = decodeSideRow(key, value, location);
    if (!isDropped(drops, side.key)) sides.push(side);
  }
  return { isEmpty: false, state, floor, meta, ranges, sides, drops, uncounted };
}
