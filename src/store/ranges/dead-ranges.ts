/**
 * What scans need not look at again: ranges in which no key is alive, from a timestamp on. A range delete makes one, and so does a scan
 * that has walked over a long run of dead rows; a value that is written into one cuts it in two. Everything here is a hint that
 * may be forgotten at any time: rows of the dead stay on disk for as long as older timestamps can be read, and without the
 * hint each scan would walk over them.
 *
 * A range holds for a read whose timestamp is at or above the moment since which all in it is dead, and whose view is at or
 * above the applied index that the range was learned at: what was written into it later has cut it.
 *
 * Names are the latin-1 texts of keys, so text order is byte order.
 */
import type { HlcTimestamp, LogIndex } from '../../platform/index.ts';

/** Above every name: the end of the key space. */
export const BEHIND_ALL_NAMES = '\u0100';
/** The name that comes next in order. */
export const behindName = (name: string): string => `${name}\0`;

/** Ranges that are remembered; about 200 bytes each. */
const MAX_RANGES = 4096;
/** Names that are written while a scan walks; beyond that it learns nothing. */
const MAX_WATCHED_NAMES = 16_384;

/** No key of `[start, end)` is alive at or above `sinceTs`. */
export interface DeadRange {
  readonly start: string;
  readonly end: string;
  readonly sinceTs: HlcTimestamp;
  /** Applied index at which that was so. */
  readonly index: LogIndex;
}

interface Remembered extends DeadRange {
  /** When it was of use last, in uses of all. */
  usedAt: number;
}

/** Collects what is written while somebody walks; from `watch` to `end`. */
export interface WriteWatch {
  /** Undefined when it became too much. */
  names: string[] | undefined;
}

/** The dead ranges of one store. */
export class DeadRanges {
  private readonly maxRanges: number;
  /** In order; they do not overlap. */
  private ranges: Remembered[] = [];
  private readonly watches = new Set<WriteWatch>();
  private uses = 0;

  constructor(maxRanges = MAX_RANGES) {
    this.maxRanges = maxRanges;
  }

  get size(): number {
    return this.ranges.length;
  }

  /** Position of the first range that ends behind `name`. */
  private position(name: string): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ranges[middle]!.end <= name) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The range that a walk upwards at `name` may jump over. */
  from(name: string, readTs: HlcTimestamp, index: LogIndex): DeadRange | undefined {
    const range = this.ranges[this.position(name)];
    return range !== undefined && range.start <= name ? this.usable(range, readTs, index) : undefined;
  }

  /** The range that a walk downwards from below `name` may jump over. */
  below(name: string, readTs: HlcTimestamp, index: LogIndex): DeadRange | undefined {
    const at = this.position(name);
    const range = this.ranges[at];
    if (range !== undefined && range.start < name) return this.usable(range, readTs, index);
    const before = this.ranges[at - 1];
    return before?.end === name ? this.usable(before, readTs, index) : undefined;
  }

  private usable(range: Remembered, readTs: HlcTimestamp, index: LogIndex): DeadRange | undefined {
    if (range.sinceTs > readTs || range.index > index) return undefined;
    range.usedAt = ++this.uses;
    return range;
  }

  /** A value was written: call for each before anybody can read it. */
  written(name: string): void {
    for (const watch of this.watches) {
      if (watch.names === undefined) continue;
      if (watch.names.length >= MAX_WATCHED_NAMES) watch.names = undefined;
      else watch.names.push(name);
    }
    if (this.ranges.length > 0) this.cut(name);
  }

  private cut(name: string): void {
    const at = this.position(name);
    const range = this.ranges[at];
    if (range === undefined || range.start > name) return;
    const pieces: Remembered[] = [];
    if (range.start < name) pieces.push({ ...range, end: name });
    const next = behindName(name);
    if (next < range.end) pieces.push({ ...range, start: next });
    // A range that would be one too many was cut often, so it is short.
    if (this.ranges.length - 1 + pieces.length > this.maxRanges) pieces.length = 0;
    this.ranges.splice(at, 1, ...pieces);
  }

  /** Notes what is written from now on, for `learn`. */
  watch(): WriteWatch {
    const watch: WriteWatch = { names: [] };
    this.watches.add(watch);
    return watch;
  }

  end(watch: WriteWatch): void {
    this.watches.delete(watch);
  }

  /** Somebody who began to watch at the range's index has seen it dead. */
  learn(range: DeadRange, watch: WriteWatch): void {
    if (watch.names === undefined) return;
    this.add(range);
    for (const name of watch.names) if (name >= range.start && name < range.end) this.cut(name);
  }

  /** All of it is dead as of now: nothing was written since its index. */
  add({ start, end, sinceTs, index }: DeadRange): void {
    if (start >= end) return;
    const from = this.position(start);
    let to = from;
    const pieces: Remembered[] = [];
    let behind: Remembered | undefined;
    for (; to < this.ranges.length && this.ranges[to]!.start < end; to++) {
      const other = this.ranges[to]!;
      if (other.start < start) pieces.push({ ...other, end: start });
      if (other.end > end) behind = { ...other, start: end };
    }
    pieces.push({ start, end, sinceTs, index, usedAt: ++this.uses });
    if (behind !== undefined) pieces.push(behind);
    this.ranges.splice(from, to - from, ...pieces);
    while (this.ranges.length > this.maxRanges) this.forgetOne();
  }

  private forgetOne(): void {
    let oldest = 0;
    for (const [at, { usedAt }] of this.ranges.entries()) if (usedAt < this.ranges[oldest]!.usedAt) oldest = at;
    this.ranges.splice(oldest, 1);
  }

  /** Other rows took the place of all that is here. */
  clear(): void {
    this.ranges = [];
    for (const watch of this.watches) watch.names = undefined;
  }
}
