/**
 * What has been applied and is not on disk yet. A generation collects units until it is handed to a flush; then it is
 * frozen and a new one collects. Versions are immutable and chained from new to old, so a reader can walk a chain while
 * later units extend it.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { LatestVersion } from '../contract/index.ts';
import { encodeVersion, headerBytesOf, nameOf } from '../rows/index.ts';

/** Rough cost of a buffered version beside its bytes: objects, map slot, encoded keys of the batch. */
const OVERHEAD_BYTES = 200;
const EMPTY = Buffer.alloc(0);

/** One version in memory; it is its own `LatestVersion`, so a read from the buffer allocates nothing. */
export class BufferedVersion implements LatestVersion, BaseVersion {
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  readonly isTombstone: boolean;
  readonly value: Buffer;
  /** Header and value as they go to disk: the one copy of the value that is made. */
  readonly row: Buffer;
  /** True when the value is too long for an L row. */
  readonly isValueApart: boolean;
  /** Applied index of the unit that wrote it. */
  readonly index: number;
  /** The version before it in the same generation. */
  readonly older: BufferedVersion | undefined;

  constructor(
    commitTs: HlcTimestamp,
    expireTs: HlcTimestamp,
    isTombstone: boolean,
    value: Buffer,
    index: number,
    older: BufferedVersion | undefined,
    inlineBytes: number,
  ) {
    this.commitTs = commitTs;
    this.expireTs = expireTs;
    this.isTombstone = isTombstone;
    this.row = encodeVersion(commitTs, expireTs, isTombstone, value);
    this.value = value.length === 0 ? EMPTY : this.row.subarray(headerBytesOf(this.row));
    this.isValueApart = value.length > inlineBytes;
    this.index = index;
    this.older = older;
  }
}

/** What the generation below knew as the newest version when this generation first touched the key. */
export interface BaseVersion {
  readonly commitTs: HlcTimestamp;
  readonly isTombstone: boolean;
  readonly expireTs: HlcTimestamp;
  /** Header and value. */
  readonly row: Buffer;
  /** True when its V row exists or is written by the generation below. */
  readonly isValueApart: boolean;
}

/** All that one generation holds of a key. */
export class BufferedKey {
  readonly key: Buffer;
  newest: BufferedVersion;
  /** Goes to a V row with this generation; undefined when it is there already or needs none. */
  readonly base: BaseVersion | undefined;
  /** Expiry of the newest version below: its index row has to go. 0n when there is none. */
  readonly indexedExpireTs: HlcTimestamp;

  constructor(key: Buffer, newest: BufferedVersion, base: BaseVersion | undefined, indexedExpireTs: HlcTimestamp) {
    this.key = key;
    this.newest = newest;
    this.base = base;
    this.indexedExpireTs = indexedExpireTs;
  }
}

/** A set of applied units on its way to disk as one batch. */
export class Generation {
  /** By the latin-1 text of the key: one character a byte, so text order is byte order. */
  readonly keys = new Map<string, BufferedKey>();
  /** Rows that are replaced as a whole (meta, range tombstones), by the latin-1 text of the row's key; removed without a value. */
  readonly rows = new Map<string, { readonly key: Buffer; readonly value: Buffer | undefined }>();
  bytes = 0;
  /** How many versions with an expiry were written. */
  expiringCount = 0;
  private sorted: readonly string[] = [];
  private unsorted: string[] = [];

  add(name: string, key: BufferedKey): void {
    this.keys.set(name, key);
    this.unsorted.push(name);
    this.account(key.newest);
    this.bytes += key.key.length + (key.base?.row.length ?? 0);
  }

  /** Books the cost of a version that was chained to a key. */
  account(version: BufferedVersion): void {
    this.bytes += version.row.length + OVERHEAD_BYTES;
    if (version.expireTs !== 0n) this.expiringCount++;
  }

  setRow(key: Buffer, value: Buffer): void {
    this.rows.set(nameOf(key), { key, value });
    this.bytes += key.length + value.length;
  }

  deleteRow(key: Buffer): void {
    this.rows.set(nameOf(key), { key, value: undefined });
    this.bytes += key.length;
  }

  get isEmpty(): boolean {
    return this.keys.size === 0 && this.rows.size === 0;
  }

  /** Names in order. The array is never changed afterwards; only names added since the last call are sorted. */
  sortedNames(): readonly string[] {
    if (this.unsorted.length === 0) return this.sorted;
    const added = this.unsorted.sort((a, b) => (a < b ? -1 : 1));
    this.unsorted = [];
    const old = this.sorted;
    if (old.length === 0) {
      this.sorted = added;
      return added;
    }
    const merged: string[] = new Array(old.length + added.length);
    let fromOld = 0;
    let fromAdded = 0;
    for (let at = 0; at < merged.length; at++) {
      const takeOld = fromAdded === added.length || (fromOld < old.length && old[fromOld]! < added[fromAdded]!);
      merged[at] = takeOld ? old[fromOld++]! : added[fromAdded++]!;
    }
    this.sorted = merged;
    return merged;
  }
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
