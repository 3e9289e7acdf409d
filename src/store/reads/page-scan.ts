/**
 * Pages of a scan: L rows merged with the sorted names of the buffer, in either direction. Rows of what is dead lie on disk for as long
 * as older timestamps can be read; a scan that has walked over many of them notes where, and the next one jumps. A scan of heads
 * steps over the bodies behind them: it reads a few rows of a body, then seeks to its end.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { BodyRules, StoreRow, StoreScanPage, StoreScanRequest } from '../contract/index.ts';
import { lowerBound } from '../flush/index.ts';
import type { LevelIterator, LevelSnapshot } from '../level/index.ts';
import { BEHIND_ALL_NAMES, behindName, isDropped, type WriteWatch } from '../ranges/index.ts';
import {
  type DecodedVersion,
  decodeKey,
  decodeVersion,
  encodeVersionKey,
  keyBounds,
  nameOf,
  RowKind,
} from '../rows/index.ts';
import { type Found, findInGenerations, findInHistory, isExpired, type ReadView } from './reads.ts';

const EMPTY = Buffer.alloc(0);
const ALWAYS = 0n as HlcTimestamp;
/**
 * Rows asked of LevelDB at once: few enough to keep the event loop free, and enough for a page of a thousand with the row behind it. Where nothing is alive
 * they become more from page to page.
 */
const MAX_PAGE_ROWS = 1024;
const MIN_PAGE_ROWS = 16;
/** LevelDB's own 16 KiB would end a page after a hundred rows. */
const READ_AHEAD_BYTES = 256 * 1024;

/** Rows of a body that a scan of heads reads before it seeks: a seek costs as much as so many. */
const STEPPED_ROWS = 16;

/** A scan request whose range may reach to the end of the key space. */
export interface WalkRequest extends Omit<StoreScanRequest, 'end'> {
  readonly end: Buffer | undefined;
}

/** How a walk over a range differs from a plain scan. */
export interface WalkOptions {
  /** Expired versions are rows too. */
  readonly withExpired?: boolean;
  /** Which rows lie behind heads; left out: none do. */
  readonly bodies?: BodyRules | undefined;
  readonly pageBytes: number;
  /** So many dead rows one behind the other are worth remembering. */
  readonly deadRunRows: number;
}

/** Names of a run of one generation inside the range, consumed from one end. */
interface NameCursor {
  readonly names: readonly string[];
  at: number;
  readonly end: number;
}

/** Where nothing is alive, from the last row that was or the edge of the range to where the walk is. */
class DeadRun {
  start: string;
  end: string;
  /** What was looked at. */
  rows = 0;
  /** What was known before. */
  jumps = 0;
  sinceTs = ALWAYS;

  constructor(edge: string) {
    this.start = edge;
    this.end = edge;
  }

  /** Something is alive: another run may begin behind it. One object for all, because mostly each row is alive. */
  restart(edge: string): void {
    this.start = edge;
    this.end = edge;
    this.rows = 0;
    this.jumps = 0;
    this.sinceTs = ALWAYS;
  }

  /** Nothing is alive from here to there since then. */
  cover(start: string, end: string, sinceTs: HlcTimestamp): void {
    if (start < this.start) this.start = start;
    if (end > this.end) this.end = end;
    if (sinceTs > this.sinceTs) this.sinceTs = sinceTs;
  }
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
  private readonly maxBytes: number;
  private next: Buffer | undefined;
  /** Undefined for a walk that sees other rows than scans do. */
  private readonly watch: WriteWatch | undefined;
  private readonly run: DeadRun;
  /** What is left to walk over: names in `[from, to)`. */
  private from: string;
  private to: string;
  /** Rows behind heads, if they are to be left out. */
  private readonly leftOut: BodyRules | undefined;
  /** Of them those that were read one behind the other. */
  private stepped = 0;
  /** The walk has come to `from` without the iterator. */
  private hasSought = false;

  constructor(view: ReadView, request: WalkRequest, options: WalkOptions) {
    this.view = view;
    this.request = request;
    this.options = options;
    this.isReverse = request.reverse === true;
    this.maxBytes = Math.min(options.pageBytes, request.maxBytes ?? Number.POSITIVE_INFINITY);
    this.leftOut = request.headsOnly === true ? options.bodies : undefined;
    this.snapshot = view.level.snapshot();
    this.from = nameOf(request.start);
    this.to = request.end === undefined ? BEHIND_ALL_NAMES : nameOf(request.end);
    this.run = new DeadRun(this.isReverse ? this.to : this.from);
    this.watch = options.withExpired === true ? undefined : view.dead.watch();
  }

  /** Finds the buffered names of the range. What is buffered while they are sorted lies above the view's applied index. */
  private async openCursors(): Promise<void> {
    const within = this.view.generations.flatMap((generation) => generation.namesWithin(this.from, this.to));
    const counted = within.map((tagged) => ({ tagged, count: tagged.count }));
    for (const { tagged, count } of counted) {
      while (tagged.sortSome(count)) await this.view.nextTurn();
      for (const names of tagged.sortedRuns()) {
        const at = lowerBound(names, this.from);
        const end = lowerBound(names, this.to);
        if (at < end) this.cursors.push(this.isReverse ? { names, at: end - 1, end: at - 1 } : { names, at, end });
      }
    }
  }

  async page(): Promise<StoreScanPage> {
    const last = this.isReverse ? this.from : this.to;
    let iterator: LevelIterator | undefined;
    let pageRows = this.rowsWanted;
    try {
      await this.openCursors();
      for (;;) {
        if (this.jump()) {
          await iterator?.close();
          iterator = undefined;
          pageRows = MIN_PAGE_ROWS;
        }
        if (this.from >= this.to) break;
        iterator ??= this.rowsLeft();
        const before = this.rows.length;
        const page = await iterator.nextv(pageRows);
        // LevelDB may return fewer rows than asked for before the end: only an empty page proves it.
        if (page.length === 0) break;
        if (await this.takeRows(page)) return this.result();
        pageRows = Math.min(MAX_PAGE_ROWS, 2 * pageRows);
        // What was read and is not wanted is thrown away, after half of the work that a row makes.
        if (this.rows.length > before) pageRows = Math.min(pageRows, this.rowsWanted);
      }
      if (!this.takeBufferedBefore(undefined)) this.endRun(last);
      return this.result();
    } finally {
      if (this.watch !== undefined) this.view.dead.end(this.watch);
      await iterator?.close();
      await this.snapshot.close();
    }
  }

  /** Those that fill the page, and the one behind it. */
  private get rowsWanted(): number {
    return Math.min(MAX_PAGE_ROWS, Math.max(MIN_PAGE_ROWS, this.request.limit + 1 - this.rows.length));
  }

  private rowsLeft(): LevelIterator {
    const end = this.to === BEHIND_ALL_NAMES ? undefined : keyOf(this.to);
    const bounds = keyBounds(RowKind.Latest, keyOf(this.from), end);
    const { isReverse: reverse, snapshot } = this;
    return this.view.level.iterator({ ...bounds, reverse, snapshot, highWaterMarkBytes: READ_AHEAD_BYTES });
  }

  private result(): StoreScanPage {
    return { rows: this.rows, next: this.next };
  }

  /** Goes past a dead range that begins where the walk is. @returns true when the iterator is not where the walk is */
  private jump(): boolean {
    const { hasSought } = this;
    this.hasSought = false;
    if (this.watch === undefined) return hasSought;
    const { dead, appliedIndex } = this.view;
    const { readTs } = this.request;
    const range = this.isReverse
      ? dead.below(this.to, readTs, appliedIndex)
      : dead.from(this.from, readTs, appliedIndex);
    if (range === undefined) return hasSought;
    if (this.isReverse) this.to = range.start;
    else this.from = range.end;
    this.moveCursors();
    this.run.jumps++;
    this.run.cover(range.start, range.end, range.sinceTs);
    return true;
  }

  private moveCursors(): void {
    for (const cursor of this.cursors) {
      if (this.isReverse) cursor.at = Math.max(cursor.end, Math.min(cursor.at, lowerBound(cursor.names, this.to) - 1));
      else cursor.at = Math.min(cursor.end, Math.max(cursor.at, lowerBound(cursor.names, this.from)));
    }
  }

  /** Leaves a row behind a head out, and after many of them the rest of its body. @returns false for a head */
  private stepOver(key: Buffer, name: string): boolean {
    const body = this.leftOut?.bodyOf(key);
    if (body === undefined) {
      this.stepped = 0;
      return false;
    }
    this.endRun(this.isReverse ? behindName(name) : name);
    this.run.restart(this.isReverse ? name : behindName(name));
    if (++this.stepped < STEPPED_ROWS || this.isReverse) return true;
    this.stepped = 0;
    this.from = endOfPrefix(name.slice(0, body.headLength));
    this.run.restart(this.from);
    this.moveCursors();
    this.hasSought = true;
    return true;
  }

  /** @returns true when the page is full */
  private async takeRows(page: readonly [Buffer, Buffer][]): Promise<boolean> {
    for (const [rowKey, row] of page) {
      const key = decodeKey(rowKey, 1, rowKey.length, this.view.location);
      const name = nameOf(key);
      if (this.cursors.length > 0 && this.takeBufferedBefore(name)) return true;
      if (this.hasSought) return false;
      if (this.stepOver(key, name)) {
        if (this.hasSought) return false;
        this.passed(name);
        continue;
      }
      const { readTs } = this.request;
      let found = this.cursors.length > 0 ? findInGenerations(name, readTs, this.view) : undefined;
      let isNewest = true;
      if (found === undefined) {
        const newest = decodeVersion(row, this.view.location);
        isNewest = newest.commitTs <= readTs;
        found = isNewest ? rowOf(newest) : await findInHistory(key, readTs, this.view, this.snapshot);
      }
      if (this.cursors.length > 0) isNewest &&= this.isNewestBuffered(name, found);
      if (this.take(key, name, found, isNewest)) return true;
      this.passed(name);
    }
    return false;
  }

  private passed(name: string): void {
    if (this.isReverse) this.to = name;
    else this.from = behindName(name);
  }

  /** Takes buffered keys that come before `name` in scan order, or all that are left. @returns true when the page is full */
  private takeBufferedBefore(name: string | undefined): boolean {
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
      if (this.stepOver(keyOf(first), first)) continue;
      const found = findInGenerations(first, this.request.readTs, this.view);
      if (this.take(keyOf(first), first, found, this.isNewestBuffered(first, found))) return true;
    }
  }

  /** False when the buffer has a version of the key that is above the scan's timestamp or came later. */
  private isNewestBuffered(name: string, found: Found | undefined): boolean {
    for (const generation of this.view.generations) {
      const newest = generation.newestAt(name);
      if (newest !== undefined) return newest.commitTs === found?.commitTs;
    }
    return true;
  }

  /**
   * Adds a key when it is visible.
   * @param isNewest nothing that is above the scan's timestamp is known of the key
   * @returns true when the page was full already, so that this row begins the next one
   */
  private take(key: Buffer, name: string, found: Found | undefined, isNewest: boolean): boolean {
    const deadSince = this.deadSince(key, found);
    if (deadSince !== undefined && isNewest) {
      this.run.rows++;
      if (this.isReverse) this.run.cover(name, name, deadSince);
      else this.run.cover(name, behindName(name), deadSince);
      return false;
    }
    this.endRun(this.isReverse ? behindName(name) : name);
    this.run.restart(this.isReverse ? name : behindName(name));
    if (deadSince !== undefined) return false;
    return this.add(key, found!);
  }

  /** Since when the key has not been there; undefined when it is. */
  private deadSince(key: Buffer, found: Found | undefined): HlcTimestamp | undefined {
    if (found === undefined) return ALWAYS;
    const { dropped, ranges } = this.view;
    const { readTs } = this.request;
    if (dropped.length > 0 && isDropped(dropped, key)) return ALWAYS;
    if (found.isTombstone) return found.commitTs;
    if (!ranges.isEmpty) {
      const deletedTs = ranges.covering(key, readTs);
      if (deletedTs >= found.commitTs) return deletedTs;
    }
    return this.options.withExpired !== true && isExpired(found, readTs) ? found.expireTs : undefined;
  }

  private add(key: Buffer, found: Found): boolean {
    const { limit, keysOnly } = this.request;
    if (this.rows.length >= limit || (this.bytes >= this.maxBytes && this.rows.length > 0)) {
      this.next = this.isReverse ? (this.rows.at(-1)?.key ?? this.request.end) : key;
      return true;
    }
    const value = keysOnly === true ? EMPTY : (found.value ?? this.valueApart(key, found.commitTs));
    this.bytes += key.length + value.length;
    this.rows.push({ key, commitTs: found.commitTs, expireTs: found.expireTs, value });
    return false;
  }

  /** Notes the run when that saves the next scan something. @param edge where it ends, in the direction of the scan */
  private endRun(edge: string): void {
    const { run, watch, view } = this;
    if (watch === undefined) return;
    const isWorth = run.rows >= this.options.deadRunRows || run.jumps > 1 || (run.jumps === 1 && run.rows > 0);
    if (!isWorth) return;
    if (this.isReverse) run.cover(edge, edge, ALWAYS);
    else run.cover(run.start, edge, ALWAYS);
    const { start, end, sinceTs } = run;
    view.dead.learn({ start, end, sinceTs, index: view.appliedIndex }, watch);
  }

  private valueApart(key: Buffer, commitTs: HlcTimestamp): Buffer {
    const row = this.view.level.getSync(encodeVersionKey(key, commitTs), { snapshot: this.snapshot });
    return row === undefined ? EMPTY : decodeVersion(row, this.view.location).value;
  }
}

/** The first name that does not begin with `prefix`. */
function endOfPrefix(prefix: string): string {
  let length = prefix.length;
  while (prefix.charCodeAt(length - 1) === 0xff) length--;
  return length === 0
    ? BEHIND_ALL_NAMES
    : prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}

const keyOf = (name: string): Buffer => Buffer.from(name, 'latin1');

const rowOf = (newest: DecodedVersion): Found => (newest.isValueApart ? { ...newest, value: undefined } : newest);

/** One page of a range. The view is fixed by the call, before anything is awaited. */
export function scanPage(view: ReadView, request: WalkRequest, options: WalkOptions): Promise<StoreScanPage> {
  return new PageScan(view, request, options).page();
}
