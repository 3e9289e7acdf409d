/** Point reads of newest versions: what is known, the buffer's among it, then LevelDB's L row, then the V row of a long value. */

import type { LatestVersion, StoreLimits } from '../contract/index.ts';
import { type Generation, KeptVersion, KnownKey } from '../flush/index.ts';
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
import { KnownKeys } from './known-keys.ts';
import { type KeyNotes, PresentKeys } from './present-keys.ts';

/** Share of the cache that one version may take; longer ones would drive out too much for being read once. */
const MAX_KEPT_SHARE = 1 / 512;
/** Beside the cache, as a share of it: what is known of the keys of the whole database. */
const PRESENT_SHARE = 1 / 8;

export interface NewestRowsOptions {
  readonly location: string;
  readonly limits: Pick<StoreLimits, 'cacheBytes'>;
  /** The database has no key yet. */
  readonly isEmpty: boolean;
  readonly level: () => Level;
  /** What is not on disk yet. */
  readonly generations: () => readonly Generation[];
  /** What of the cache's memory is lent. */
  readonly lentBytes: () => number;
  /** Called before anything of the disk is shown. @throws when that must not be */
  readonly assertUsable: () => void;
  /** Where hits and misses are booked. */
  readonly activity?: StoreActivity | undefined;
}

/** Reads newest versions, synchronously. */
export class NewestRows {
  private readonly location: string;
  private readonly level: () => Level;
  private readonly known: KnownKeys;
  private readonly present: PresentKeys;
  private readonly generations: () => readonly Generation[];
  private readonly maxKeptBytes: number;
  private readonly activity: StoreActivity;
  private readonly assertUsable: () => void;
  /** Encoded key of the point read that is being made. */
  private scratch: Buffer = Buffer.allocUnsafeSlow(1024);

  constructor(options: NewestRowsOptions) {
    const {
      location,
      limits,
      isEmpty,
      level,
      generations,
      lentBytes,
      assertUsable,
      activity = new StoreActivity(),
    } = options;
    this.location = location;
    this.assertUsable = assertUsable;
    this.level = level;
    this.known = new KnownKeys(() => limits.cacheBytes - lentBytes(), generations);
    this.present = new PresentKeys(limits.cacheBytes * PRESENT_SHARE, isEmpty);
    this.generations = generations;
    this.maxKeptBytes = limits.cacheBytes * MAX_KEPT_SHARE;
    this.activity = activity;
  }

  /** Encodes a key with kind L into `scratch`. @returns its length */
  private encodeScratch(key: Buffer): number {
    const bound = maxEncodedBytes(key.length);
    if (this.scratch.length < bound) this.scratch = Buffer.allocUnsafeSlow(bound);
    return writeKey(this.scratch, RowKind.Latest, key);
  }

  isBuffered(name: string): boolean {
    return this.known.find(name)?.generation !== undefined;
  }

  /**
   * Looks up what the next unit has to know of a key that it writes, and goes on knowing it until `release`: its newest version, perhaps without the value
   * when that lies apart.
   */
  hold(key: Buffer, name: string): KnownKey {
    let known = this.known.find(name);
    if (known === undefined) {
      this.assertUsable();
      known = new KnownKey(name, this.stored(key, name));
    }
    this.known.hold(known);
    return known;
  }

  /** A unit has ended. */
  release(): void {
    this.known.release();
  }

  /**
   * What is known of a key, to be changed: its newest version without the value when that lies apart.
   * @param before what `hold` has found, if it was asked
   */
  toWrite(key: Buffer, name: string, before?: KnownKey): KnownKey {
    const found = before !== undefined && this.known.isHeld(before) ? before : this.known.find(name);
    if (found !== undefined) {
      if (found.rowBytes === 0) this.present.add(name);
      return found;
    }
    const known = new KnownKey(name, this.stored(key, name));
    if (known.rowBytes === 0) this.present.add(name);
    this.known.keep(known);
    return known;
  }

  private stored(key: Buffer, name: string): KeptVersion | undefined {
    if (!this.present.mayHave(name)) return undefined;
    // First: it may take another scratch.
    const keyBytes = this.encodeScratch(key);
    const row = this.level().getSync(this.scratch.subarray(0, keyBytes));
    if (row === undefined) return undefined;
    const version = decodeVersion(row, this.location);
    return KeptVersion.read(version, version.isValueApart);
  }

  /** The newest version with its value, wherever that lies. @param name latin-1 text of the key @throws CorruptStoreError */
  whole(key: Buffer, name: string): LatestVersion | undefined {
    const known = this.known.find(name);
    if (known?.generation !== undefined) return known.newest;
    this.assertUsable();
    if (known !== undefined && !known.lacksValue) {
      this.activity.cacheHits++;
      return known.newest;
    }
    this.activity.cacheMisses++;
    const stored = known === undefined ? this.stored(key, name) : known.newest;
    const newest = stored?.isValueApart === true ? this.apart(key, stored) : stored;
    if (newest?.isValueApart !== true || newest.rowBytes <= this.maxKeptBytes) {
      if (known === undefined) this.known.keep(new KnownKey(name, newest));
      else this.learn(known, newest!);
    }
    return newest;
  }

  /** The value of a held key was read, too. */
  private learn(known: KnownKey, newest: KeptVersion): void {
    known.read(newest);
    this.known.count(known);
  }

  private apart(key: Buffer, { commitTs }: KeptVersion): KeptVersion {
    const keyBytes = this.encodeScratch(key);
    this.scratch[0] = RowKind.Version;
    const end = writeDescending(this.scratch, commitTs, keyBytes);
    const apart = this.level().getSync(this.scratch.subarray(0, end));
    if (apart === undefined) throw new CorruptStoreError(this.location, 'lost a value');
    return KeptVersion.read(decodeVersion(apart, this.location), true);
  }

  /** A generation is on disk, with this key of it. */
  flushed(generation: Generation, known: KnownKey): void {
    // Overwritten meanwhile, by the next generation.
    if (known.generation !== generation) return;
    known.leave();
    if (known.isValueApart && known.rowBytes > this.maxKeptBytes) this.known.delete(known.name);
    else this.known.count(known);
  }

  /** Forgets the L rows that a batch has removed. */
  removed(operations: readonly LevelOperation[]): void {
    for (const { key } of operations) {
      if (key[0] === RowKind.Latest) this.known.delete(nameOf(decodeKey(key, 1, key.length, this.location)));
    }
  }

  /** A walk over all keys of the database begins, see `PresentKeys`. @param expectedKeys about how many there are */
  beginWalk(expectedKeys: number): KeyNotes | undefined {
    return this.present.beginWalk(() => this.bufferedNames(), expectedKeys);
  }

  private *bufferedNames(): Iterable<string> {
    for (const { list } of this.generations()) for (const { name } of list) yield name;
  }

  /** Forgets what it keeps of the disk. */
  clear(): void {
    this.known.clear();
  }

  /** Another database took the place of the one that it knew. */
  forget(): void {
    this.clear();
    this.present.forget();
  }
}
