/**
 * What has been applied and is not on disk yet. A generation collects units until it is handed to a flush; then it is
 * frozen and a new one collects. Versions are immutable and chained from new to old, so a reader can walk a chain while
 * later units extend it.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import { nameOf } from '../rows/index.ts';
import type { BufferedVersion, KeptVersion } from './kept-version.ts';

/** Rough cost of a buffered version beside its bytes: its object, and what of its slab is nobody's any more. */
const OVERHEAD_BYTES = 100;
/** Of a key beside its name and versions: its object, its row's key in the batch. */
const KEY_OVERHEAD_BYTES = 120;
/** Names that are sorted in one turn, some five milliseconds. */
const SORTED_AT_ONCE = 4_096;
/** Longest run of sorted names: to merge two of half the length takes as long. A generation of the usual size has a few. */
const MAX_RUN = 32_768;

/** What is known of a key. There is one of a key while something of it is buffered: that is found without a search in each generation. */
export class KnownKey {
  /** Latin-1 text of the key. */
  readonly name: string;
  /** Its length, beside what else is looked at. */
  readonly keyBytes: number;
  /** The newest version, wherever it lies. Undefined: there is none. */
  newest: KeptVersion | undefined;
  /** The last generation's part of it that is not on disk yet; undefined when all is. */
  buffered: BufferedKey | undefined;
  /** When it was used last and what it was counted as then, for whoever keeps known keys. */
  age = 0;
  countedBytes = 0;

  constructor(name: string, newest: KeptVersion | undefined) {
    this.name = name;
    this.keyBytes = name.length;
    this.newest = newest;
  }

  /** Made anew each time: few ask, and a buffer is larger than all else that is known of a key. */
  get key(): Buffer {
    return Buffer.from(this.name, 'latin1');
  }
}

/** What somebody may still see of a key: the newest version of this timestamp and index at the latest, and all that came later. */
export interface SeenFrom {
  readonly readableFrom: HlcTimestamp;
  readonly seenIndex: number;
}

/** A key has so many versions before it is looked whether all of them are needed. */
const FIRST_TRIM = 4;

/** All that one generation holds of a key. */
export class BufferedKey {
  readonly known: KnownKey;
  readonly generation: Generation;
  newest: BufferedVersion;
  /** Goes to a V row with this generation; undefined when it is there already or needs none. */
  readonly base: KeptVersion | undefined;
  /** Expiry of the newest version below: its index row has to go. 0n when there is none. */
  readonly indexedExpireTs: HlcTimestamp;
  /**
   * Versions until it is looked which are needed: when they have doubled since the last time, for a hot key has thousands, and a look is a walk
   * over them.
   */
  private untilTrim = FIRST_TRIM - 1;

  constructor(
    known: KnownKey,
    generation: Generation,
    newest: BufferedVersion,
    base: KeptVersion | undefined,
    indexedExpireTs: HlcTimestamp,
  ) {
    this.known = known;
    this.generation = generation;
    this.newest = newest;
    this.base = base;
    this.indexedExpireTs = indexedExpireTs;
  }

  /** Another version of it was written. @returns true when it is worth a look which of them are needed */
  written(newest: BufferedVersion): boolean {
    this.newest = newest;
    return --this.untilTrim <= 0;
  }

  /**
   * Forgets what only reads below a timestamp could see.
   * @param seen a scan that is under way may know no version of a later index
   * @returns how many bytes of rows, in how many versions
   */
  trim({ readableFrom, seenIndex }: SeenFrom): { readonly bytes: number; readonly versions: number } {
    let kept = 1;
    let last = this.newest;
    for (; last.commitTs > readableFrom || last.index > seenIndex; kept++) {
      if (last.older === undefined) break;
      last = last.older;
    }
    let bytes = 0;
    let versions = 0;
    for (let { older } = last; older !== undefined; older = older.older, versions++) bytes += older.rowBytes;
    last.older = undefined;
    this.untilTrim = Math.max(FIRST_TRIM - kept, kept);
    return { bytes, versions };
  }
}

/** A set of applied units on its way to disk as one batch. */
export class Generation {
  /** In the order in which they were first written. */
  readonly list: BufferedKey[] = [];
  /** Of those that somebody has looked up: see `find`. */
  private readonly byName = new Map<string, BufferedKey>();
  private named = 0;
  /** Rows that are replaced as a whole (meta, range tombstones), by the latin-1 text of the row's key; removed without a value. */
  readonly rows = new Map<string, { readonly key: Buffer; readonly value: Buffer | undefined }>();
  /** What it takes in memory, about. */
  bytes = 0;
  /** Of rows that it may come to: no batch is larger. */
  rowBytes = 0;
  /** Of rows that were ever written to it: a crash applies as much again. */
  appliedBytes = 0;
  /** How many versions with an expiry were written. */
  expiringCount = 0;
  /** Of the first `sortedCount` names, each sorted. */
  private runs: (readonly string[])[] = [];
  private sortedCount = 0;

  add(key: BufferedKey): void {
    this.list.push(key);
    this.account(key.newest);
    const bytes = key.known.keyBytes + (key.base?.rowBytes ?? 0);
    this.bytes += bytes + KEY_OVERHEAD_BYTES;
    this.rowBytes += bytes;
  }

  /** @param name the latin-1 text of a key: one character a byte, so text order is byte order */
  find(name: string): BufferedKey | undefined {
    this.nameUpTo(this.list.length);
    return this.byName.get(name);
  }

  /** Only reads of the past ask for names, and writes go on without a map as long as nobody does. */
  private nameUpTo(count: number): void {
    for (; this.named < count; this.named++) {
      const key = this.list[this.named]!;
      this.byName.set(key.known.name, key);
    }
  }

  /** Books the cost of a version that was chained to a key. */
  account(version: BufferedVersion): void {
    this.bytes += version.rowBytes + OVERHEAD_BYTES;
    this.rowBytes += version.rowBytes;
    this.appliedBytes += version.rowBytes;
    if (version.expireTs !== 0n) this.expiringCount++;
  }

  /** Forgets versions of a key, see `BufferedKey.trim`. @returns bytes of their rows */
  trim(key: BufferedKey, seen: SeenFrom): number {
    const { bytes, versions } = key.trim(seen);
    this.bytes -= bytes + versions * OVERHEAD_BYTES;
    this.rowBytes -= bytes;
    return bytes;
  }

  /** @param name `nameOf(key)`, where that is known */
  setRow(key: Buffer, value: Buffer, name = nameOf(key)): void {
    this.rows.set(name, { key, value });
    this.bytes += key.length + value.length;
    this.rowBytes += key.length + value.length;
  }

  /** @param name `nameOf(key)`, where that is known */
  deleteRow(key: Buffer, name = nameOf(key)): void {
    this.rows.set(name, { key, value: undefined });
    this.bytes += key.length;
  }

  get isEmpty(): boolean {
    return this.list.length === 0 && this.rows.size === 0;
  }

  /**
   * Sorts names that were added since, as many as a turn has time for, and makes them known to `find`.
   * @param count of the list's keys that are to be sorted in the end
   * @returns false when there is none left
   */
  sortSome(count: number): boolean {
    const from = this.sortedCount;
    if (from >= count) return false;
    this.sortedCount = Math.min(count, from + SORTED_AT_ONCE);
    let names = this.list.slice(from, this.sortedCount).map(({ known }) => known.name);
    names.sort((a, b) => (a < b ? -1 : 1));
    // A run is merged with those that are no longer than it, so that a name is merged a few times only.
    while (this.runs.length > 0) {
      const last = this.runs.at(-1)!;
      if (last.length > names.length || last.length + names.length > MAX_RUN) break;
      this.runs.pop();
      names = merged(last, names);
    }
    this.runs.push(names);
    this.nameUpTo(this.sortedCount);
    return this.sortedCount < count;
  }

  /** All names that were sorted, in runs of which each is in order. The runs are never changed afterwards. */
  sortedRuns(): (readonly string[])[] {
    return [...this.runs];
  }
}

/** Names of two sorted lists, in order. */
function merged(one: readonly string[], other: readonly string[]): string[] {
  const names = new Array<string>(one.length + other.length);
  let fromOne = 0;
  let fromOther = 0;
  for (let at = 0; at < names.length; at++) {
    const takesOne = fromOther === other.length || (fromOne < one.length && one[fromOne]! < other[fromOther]!);
    names[at] = takesOne ? one[fromOne++]! : other[fromOther++]!;
  }
  return names;
}

/** First position in sorted names that is not before `name`. */
export function lowerBound(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (names[middle]! < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
