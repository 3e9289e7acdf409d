/**
 * Reads at a timestamp. A view is taken synchronously and shows the state of that moment, whatever is applied or flushed
 * while the read waits for LevelDB: the generations of the buffer are walked with the applied index as a bound, and what
 * lies below them is read from a level snapshot.
 */
import type { HlcTimestamp, LogIndex } from '../platform/index.ts';
import { type BufferedKey, type Generation, lowerBound } from './apply-buffer.ts';
import {
  decodeKey,
  decodeVersion,
  encodeKey,
  encodeVersionKey,
  headerBytesOf,
  keyBounds,
  maxEncodedBytes,
  nameOf,
  RowKind,
  writeDescending,
  writeKey,
} from './codec.ts';
import type { Level, LevelSnapshot } from './level.ts';
import { type DroppedRange, isDropped } from './range-drops.ts';
import type { RangeTombstones } from './range-tombstones.ts';
import type { StoreRow, StoreScanPage, StoreScanRequest } from './types.ts';

const EMPTY = Buffer.alloc(0);
/** Rows asked of LevelDB at once: few enough to keep the event loop free. */
const MAX_PAGE_ROWS = 1000;
const MIN_PAGE_ROWS = 16;

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
}

/** A version that was found, before it is judged. */
interface Found {
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  readonly isTombstone: boolean;
  /** Undefined when it has to be fetched from the V row. */
  readonly value: Buffer | undefined;
}

/** Newest version at or below `readTs` that a generation knows of, as of the view's applied index. */
function findBuffered(buffered: BufferedKey, readTs: HlcTimestamp, view: ReadView): Found | undefined {
  for (let version = buffered.newest; version !== undefined; version = version.older!) {
    if (version.index <= view.appliedIndex && version.commitTs <= readTs) return version;
  }
  const base = buffered.base;
  if (base === undefined || base.commitTs > readTs) return undefined;
  return {
    commitTs: base.commitTs,
    expireTs: base.expireTs,
    isTombstone: base.isTombstone,
    value: base.row.subarray(headerBytesOf(base.row)),
  };
}

function findInGenerations(name: string, readTs: HlcTimestamp, view: ReadView): Found | undefined {
  for (const generation of view.generations) {
    const buffered = generation.keys.get(name);
    const found = buffered && findBuffered(buffered, readTs, view);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Newest version at or below `readTs` among the V rows. */
async function findInHistory(
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

const isExpired = (found: Found, readTs: HlcTimestamp): boolean => found.expireTs !== 0n && found.expireTs <= readTs;

/** One key at a timestamp. Everything that decides what it sees happens before the first await. */
export async function readAt(key: Buffer, readTs: HlcTimestamp, view: ReadView): Promise<StoreRow | undefined> {
  if (view.dropped.length > 0 && isDropped(view.dropped, key)) return undefined;
  let found = findInGenerations(nameOf(key), readTs, view);
  if (found === undefined) {
    const row = view.level.getSync(encodeKey(RowKind.Latest, key));
    if (row !== undefined) {
      const newest = decodeVersion(row, view.location);
      if (newest.commitTs > readTs) found = await findInHistory(key, readTs, view, undefined);
      else if (!newest.isValueApart) found = newest;
      else {
        const apart = view.level.getSync(encodeVersionKey(key, newest.commitTs));
        if (apart !== undefined) found = decodeVersion(apart, view.location);
      }
    }
  }
  if (found === undefined || found.isTombstone || isExpired(found, readTs)) return undefined;
  if (view.ranges.covering(key, readTs) >= found.commitTs) return undefined;
  return { key, commitTs: found.commitTs, expireTs: found.expireTs, value: found.value ?? EMPTY };
}

/** A scan request whose range may reach to the end of the key space. */
export interface WalkRequest extends Omit<StoreScanRequest, 'end'> {
  readonly end: Buffer | undefined;
}

/** How a walk over a range differs from a plain scan. */
export interface WalkOptions {
  /** Expired versions are rows too. */
  readonly withExpired?: boolean;
  readonly pageBytes: number;
}

/** Names of one generation inside the range, consumed from one end. */
interface NameCursor {
  readonly names: readonly string[];
  at: number;
  readonly end: number;
}

/** One page of a scan; a class because its parts share the position in the merge. */
class PageScan {
  private readonly view: ReadView;
  private readonly request: WalkRequest;
  private readonly options: WalkOptions;
  private readonly isReverse: boolean;
  private readonly snapshot: LevelSnapshot;
  private readonly cursors: NameCursor[] = [];
  private readonly rows: StoreRow[] = [];
  private bytes = 0;
  private next: Buffer | undefined;

  constructor(view: ReadView, request: WalkRequest, options: WalkOptions) {
    this.view = view;
    this.request = request;
    this.options = options;
    this.isReverse = request.reverse === true;
    this.snapshot = view.level.snapshot();
    const start = nameOf(request.start);
    const end = request.end && nameOf(request.end);
    for (const generation of view.generations) {
      const names = generation.sortedNames();
      const from = lowerBound(names, start);
      const to = end === undefined ? names.length : lowerBound(names, end);
      if (from < to)
        this.cursors.push(this.isReverse ? { names, at: to - 1, end: from - 1 } : { names, at: from, end: to });
    }
  }

  async run(): Promise<StoreScanPage> {
    const { start, end, limit } = this.request;
    const iterator = this.view.level.iterator({
      ...keyBounds(RowKind.Latest, start, end),
      reverse: this.isReverse,
      snapshot: this.snapshot,
    });
    try {
      const pageRows = Math.min(MAX_PAGE_ROWS, Math.max(MIN_PAGE_ROWS, limit + 1));
      for (;;) {
        const page = await iterator.nextv(pageRows);
        for (const [rowKey, row] of page) {
          const key = decodeKey(rowKey, 1, rowKey.length, this.view.location);
          const name = this.cursors.length > 0 ? nameOf(key) : '';
          if (this.cursors.length > 0 && (await this.takeBufferedBefore(name))) return this.page();
          if (await this.takeRow(key, name, row)) return this.page();
        }
        // LevelDB may return fewer rows than asked for before the end: only an empty page proves it.
        if (page.length === 0) break;
      }
      await this.takeBufferedBefore(undefined);
      return this.page();
    } finally {
      await iterator.close();
      await this.snapshot.close();
    }
  }

  private page(): StoreScanPage {
    return { rows: this.rows, next: this.next };
  }

  /** Takes buffered keys that come before `name` in scan order, or all that are left. @returns true when the page is full */
  private async takeBufferedBefore(name: string | undefined): Promise<boolean> {
    for (;;) {
      let first: string | undefined;
      for (const cursor of this.cursors) {
        if (cursor.at === cursor.end) continue;
        const candidate = cursor.names[cursor.at]!;
        if (first === undefined || (this.isReverse ? candidate > first : candidate < first)) first = candidate;
      }
      if (first === undefined) return false;
      if (name !== undefined && (this.isReverse ? first < name : first > name)) return false;
      for (const cursor of this.cursors) {
        if (cursor.at !== cursor.end && cursor.names[cursor.at] === first) cursor.at += this.isReverse ? -1 : 1;
      }
      // A key that LevelDB has too is taken with its row.
      if (first === name) return false;
      const found = findInGenerations(first, this.request.readTs, this.view);
      if (found !== undefined && (await this.take(Buffer.from(first, 'latin1'), found))) return true;
    }
  }

  private async takeRow(key: Buffer, name: string, row: Buffer): Promise<boolean> {
    const { readTs } = this.request;
    let found = this.cursors.length > 0 ? findInGenerations(name, readTs, this.view) : undefined;
    if (found === undefined) {
      const newest = decodeVersion(row, this.view.location);
      if (newest.commitTs > readTs) found = await findInHistory(key, readTs, this.view, this.snapshot);
      else found = newest.isValueApart ? { ...newest, value: undefined } : newest;
    }
    return found !== undefined && this.take(key, found);
  }

  /** Adds a row when it is visible. @returns true when the page was full already, so that this row begins the next one */
  private take(key: Buffer, found: Found): boolean {
    const { readTs, limit, keysOnly } = this.request;
    if (this.view.dropped.length > 0 && isDropped(this.view.dropped, key)) return false;
    if (found.isTombstone || (this.options.withExpired !== true && isExpired(found, readTs))) return false;
    if (!this.view.ranges.isEmpty && this.view.ranges.covering(key, readTs) >= found.commitTs) return false;
    if (this.rows.length >= limit || (this.bytes >= this.options.pageBytes && this.rows.length > 0)) {
      this.next = this.isReverse ? (this.rows.at(-1)?.key ?? this.request.end) : key;
      return true;
    }
    const value = keysOnly === true ? EMPTY : (found.value ?? this.valueApart(key, found.commitTs));
    this.bytes += key.length + value.length;
    this.rows.push({ key, commitTs: found.commitTs, expireTs: found.expireTs, value });
    return false;
  }

  private valueApart(key: Buffer, commitTs: HlcTimestamp): Buffer {
    const row = this.view.level.getSync(encodeVersionKey(key, commitTs), { snapshot: this.snapshot });
    return row === undefined ? EMPTY : decodeVersion(row, this.view.location).value;
  }
}

/** One page of a range. The view is fixed by the call, before anything is awaited. */
export function scanPage(view: ReadView, request: WalkRequest, options: WalkOptions): Promise<StoreScanPage> {
  return new PageScan(view, request, options).run();
}
