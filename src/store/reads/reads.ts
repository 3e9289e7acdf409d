/**
 * Reads at a timestamp. A view is taken synchronously and shows the state of that moment, whatever is applied or flushed
 * while the read waits for LevelDB: the generations of the buffer are walked with the applied index as a bound, and what
 * lies below them is read from a level snapshot.
 */
import type { HlcTimestamp, LogIndex } from '../../platform/index.ts';
import type { StoreRow } from '../contract/index.ts';
import type { Generation } from '../flush/index.ts';
import type { Level, LevelSnapshot } from '../level/index.ts';
import { type DeadRanges, type DroppedRange, isDropped } from '../ranges/index.ts';
import {
  decodeVersion,
  encodeKey,
  encodeVersionKey,
  maxEncodedBytes,
  nameOf,
  type RangeTombstones,
  RowKind,
  writeDescending,
  writeKey,
} from '../rows/index.ts';

const EMPTY = Buffer.alloc(0);

/** What a read sees. */
export interface ReadView {
  readonly location: string;
  readonly level: Level;
  /** Newest first. */
  readonly generations: readonly Generation[];
  readonly ranges: RangeTombstones;
  /** Ranges that are being dropped: their keys are not there. */
  readonly dropped: readonly DroppedRange[];
  readonly appliedIndex: LogIndex;
  /** Lets the event loop go on between slices of work. */
  readonly nextTurn: () => Promise<void>;
  /** What scans may jump over, and where they note what they walked over for nothing. */
  readonly dead: DeadRanges;
}

/** A version that was found, before it is judged. */
export interface Found {
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  readonly isTombstone: boolean;
  /** Undefined when it has to be fetched from the V row. */
  readonly value: Buffer | undefined;
}

/** Newest version at or below `readTs` in the buffer, as of the view's applied index. */
export function findInGenerations(name: string, readTs: HlcTimestamp, view: ReadView): Found | undefined {
  for (const generation of view.generations) {
    const found = generation.seen(name, readTs, view.appliedIndex);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Newest version at or below `readTs` among the V rows. */
export async function findInHistory(
  key: Buffer,
  readTs: HlcTimestamp,
  view: ReadView,
  snapshot: LevelSnapshot | undefined,
): Promise<Found | undefined> {
  const lt = Buffer.allocUnsafe(maxEncodedBytes(key.length));
  const keyBytes = writeKey(lt, RowKind.Version, key);
  const gte = Buffer.from(lt.subarray(0, writeDescending(lt, readTs, keyBytes)));
  // The terminator's 0x01 raised by one ends exactly the rows of this key.
  lt[keyBytes - 1] = 2;
  const iterator = view.level.iterator({ gte, lt: lt.subarray(0, keyBytes), limit: 1, snapshot });
  try {
    const [row] = await iterator.nextv(1);
    return row === undefined ? undefined : decodeVersion(row[1], view.location);
  } finally {
    await iterator.close();
  }
}

/** No longer there at `readTs`. */
export const isExpired = (found: Found, readTs: HlcTimestamp): boolean =>
  found.expireTs !== 0n && found.expireTs <= readTs;

/** Whether the buffer has more names than a turn has time for, of which none was ever looked up. */
export const hasManyUnnamed = (key: Buffer, { generations }: ReadView): boolean =>
  generations.some((generation) => generation.unnamedWith(nameOf(key)) !== undefined);

/** As `readAt`, of what there is at the call, once all names of the buffer can be looked up; to be run as a scan is. */
export async function readWhenNamed(key: Buffer, readTs: HlcTimestamp, view: ReadView): Promise<StoreRow | undefined> {
  const snapshot = view.level.snapshot();
  try {
    for (const generation of view.generations) await generation.unnamedWith(nameOf(key))?.nameAll(view.nextTurn);
    return await readAt(key, readTs, view, snapshot);
  } finally {
    await snapshot.close();
  }
}

/**
 * One key at a timestamp. Everything that decides what it sees happens before the first await.
 * @param snapshot of the database as the view has it; left out: it is the one that there is
 */
export async function readAt(
  key: Buffer,
  readTs: HlcTimestamp,
  view: ReadView,
  snapshot?: LevelSnapshot,
): Promise<StoreRow | undefined> {
  if (view.dropped.length > 0 && isDropped(view.dropped, key)) return undefined;
  const rowOf = (rowKey: Buffer): Buffer | undefined =>
    snapshot === undefined ? view.level.getSync(rowKey) : view.level.getSync(rowKey, { snapshot });
  let found = findInGenerations(nameOf(key), readTs, view);
  if (found === undefined) {
    const row = rowOf(encodeKey(RowKind.Latest, key));
    if (row !== undefined) {
      const newest = decodeVersion(row, view.location);
      if (newest.commitTs > readTs) found = await findInHistory(key, readTs, view, snapshot);
      else if (!newest.isValueApart) found = newest;
      else {
        const apart = rowOf(encodeVersionKey(key, newest.commitTs));
        if (apart !== undefined) found = decodeVersion(apart, view.location);
      }
    }
  }
  if (found === undefined || found.isTombstone || isExpired(found, readTs)) return undefined;
  if (view.ranges.covering(key, readTs) >= found.commitTs) return undefined;
  return { key, commitTs: found.commitTs, expireTs: found.expireTs, value: found.value ?? EMPTY };
}
