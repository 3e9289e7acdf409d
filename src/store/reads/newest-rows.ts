/** Point reads of newest versions below the buffer: the cache, then LevelDB's L row, then the V row of a long value. */

import type { LatestVersion, StoreLimits } from '../contract/index.ts';
import type { BaseVersion, BufferedVersion } from '../flush/index.ts';
import { type Level, type LevelOperation, StoreActivity } from '../level/index.ts';
import {
  CorruptStoreError,
  decodeKey,
  decodeVersion,
  maxEncodedBytes,
  nameOf,
  RowKind,
  writeDescending,
  writeKey,
} from '../rows/index.ts';
import { AbsentKeys } from './absent-keys.ts';
import { type RecentVersion, RecentVersions } from './recent-versions.ts';

/** Share of the cache that one version may take; longer ones would drive out too much for being read once. */
const MAX_KEPT_SHARE = 1 / 512;

/** Reads what L rows hold, synchronously. */
export class NewestRows {
  private readonly location: string;
  private readonly level: () => Level;
  /** What L rows on disk hold, for keys that are in no generation; with the value also where that lies apart. */
  private readonly recent: RecentVersions;
  private readonly maxKeptBytes: number;
  private readonly absent = new AbsentKeys();
  private readonly activity: StoreActivity;
  /** Encoded key of the point read that is being made. */
  private scratch: Buffer = Buffer.allocUnsafeSlow(1024);

  /** @param activity where hits and misses are booked */
  constructor(location: string, limits: StoreLimits, level: () => Level, activity = new StoreActivity()) {
    this.location = location;
    this.level = level;
    this.recent = new RecentVersions(limits.cacheBytes);
    this.maxKeptBytes = limits.cacheBytes * MAX_KEPT_SHARE;
    this.activity = activity;
  }

  /** Encodes a key with kind L into `scratch`. @returns its length */
  private encodeScratch(key: Buffer): number {
    const bound = maxEncodedBytes(key.length);
    if (this.scratch.length < bound) this.scratch = Buffer.allocUnsafeSlow(bound);
    return writeKey(this.scratch, RowKind.Latest, key);
  }

  /** Header of the newest version, and its value where it is inline or was read before. @param name latin-1 text of the key */
  header(key: Buffer, name: string): RecentVersion | undefined {
    const known = this.recent.get(name);
    if (known !== undefined || this.absent.has(name)) {
      this.activity.cacheHits++;
      return known;
    }
    this.activity.cacheMisses++;
    const newest = this.stored(key, name);
    if (newest !== undefined && !newest.isValueApart) this.recent.set(name, newest);
    return newest;
  }

  /** The same for a key that is about to be overwritten. */
  beforeWrite(key: Buffer, name: string): BaseVersion | undefined {
    return this.recent.peek(name) ?? (this.absent.has(name) ? undefined : this.stored(key, name));
  }

  private stored(key: Buffer, name: string): RecentVersion | undefined {
    const row = this.level().getSync(this.scratch.subarray(0, this.encodeScratch(key)));
    if (row === undefined) this.absent.add(name);
    return row === undefined ? undefined : decodeVersion(row, this.location);
  }

  /** The same with its value, wherever that lies. @throws CorruptStoreError */
  whole(key: Buffer, name: string): LatestVersion | undefined {
    const newest = this.header(key, name);
    if (newest === undefined || !newest.isValueApart || newest.value.length > 0) return newest;
    const keyBytes = this.encodeScratch(key);
    this.scratch[0] = RowKind.Version;
    const end = writeDescending(this.scratch, newest.commitTs, keyBytes);
    const apart = this.level().getSync(this.scratch.subarray(0, end));
    if (apart === undefined) throw new CorruptStoreError(this.location, 'lost a value');
    const whole = { ...decodeVersion(apart, this.location), isValueApart: true };
    if (apart.length <= this.maxKeptBytes) this.recent.set(name, whole);
    return whole;
  }

  /** Mirrors the L row that a flush has written. */
  flushed(name: string, version: BufferedVersion): void {
    const { commitTs, isTombstone, expireTs, value, row, isValueApart, older } = version;
    this.absent.delete(name);
    if (isValueApart && row.length > this.maxKeptBytes) this.recent.delete(name);
    // What came before it in the generation must not stay in memory with it.
    else
      this.recent.set(
        name,
        older === undefined ? version : { commitTs, isTombstone, expireTs, value, row, isValueApart },
      );
  }

  /** Forgets the L rows that a batch has removed. */
  removed(operations: readonly LevelOperation[]): void {
    for (const { key } of operations) {
      if (key[0] === RowKind.Latest) this.recent.delete(nameOf(decodeKey(key, 1, key.length, this.location)));
    }
  }

  clear(): void {
    this.absent.clear();
    this.recent.clear();
  }
}
