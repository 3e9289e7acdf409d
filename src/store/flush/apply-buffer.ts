/**
 * What has been applied and is not on disk yet. A generation collects units until it is handed to a flush; then it is
 * frozen and a new one collects. A write makes no object that stays: it changes what is known of its key in place, and the version is a record of the
 * generation's table, chained from new to old, so a reader can walk a chain while later units extend it.
 */
import { type HlcTimestamp, type LogIndex, NEVER } from '../../platform/index.ts';
import { isAbove, isSame, nameOf } from '../rows/index.ts';
import { isHeaderAt, isTombstoneAt, isValueApartAt, KeptVersion } from './kept-version.ts';
import { TaggedNames } from './tagged-names.ts';
import { NO_VERSION, VersionTable } from './version-table.ts';

/** Cost of a buffered version beside its bytes: its record, and what of its slab is nobody's any more. */
const OVERHEAD_BYTES = 40;
/** Of a key beside its name and versions: its places in lists, its row's key in the batch, what it keeps of the slab that it lay in before. */
const KEY_OVERHEAD_BYTES = 120;
/** A key has so many versions before it is looked whether all of them are needed. */
const FIRST_TRIM = 4;

const NO_SLAB = Buffer.alloc(0);

/** First byte of a key by its latin-1 text; of the empty key 0. */
const tagOf = (name: string): number => name.charCodeAt(0) | 0;

/** What is known of a key. There is one of a key while something of it is buffered: that is found without a search in each generation. */
export class KnownKey {
  /** Latin-1 text of the key. */
  readonly name: string;
  /** Of the newest version, wherever it lies: as in `KeptVersion`. */
  private upper = 0;
  private lower = 0;
  private place = 0;
  /** Length of its row; 0 when there is none. */
  rowBytes = 0;
  /** The last generation that has a part of it and is not on disk yet; undefined when all is there. */
  generation: Generation | undefined = undefined;
  /** Where in that generation's list. */
  slot = 0;
  /**
   * What the newest version's row lies in, when all is on disk. Until then the generation has it: a field of an old object that points at a young one is
   * looked at by each collection of young objects, and most slabs that are written to are young.
   */
  private slab: Buffer = NO_SLAB;
  /** Which of the generation's slabs it is, else. */
  private slabNumber = 0;
  /**
   * Versions until that generation looks which are needed: when they have doubled since the last time, for a hot key has thousands, and a look is a walk
   * over them.
   */
  untilTrim = 0;
  /** When it was used last and what it was counted as then, for whoever keeps known keys. */
  age = 0;
  countedBytes = 0;
  /** The unit that it is held for, or was, for them too. */
  heldFor = 0;

  constructor(name: string, newest: KeptVersion | undefined) {
    this.name = name;
    if (newest !== undefined) this.read(newest);
  }

  /** The newest version was read from the disk. */
  read(newest: KeptVersion): void {
    this.take(newest);
    this.slab = newest.slab;
  }

  private take({ upper, lower, place, rowBytes }: KeptVersion): void {
    this.upper = upper;
    this.lower = lower;
    this.place = place;
    this.rowBytes = rowBytes;
  }

  /** A generation begins to have a part of it. */
  enter(generation: Generation, slot: number): void {
    this.generation = generation;
    this.slot = slot;
    this.slab = NO_SLAB;
    this.untilTrim = FIRST_TRIM - 1;
  }

  /** A version was written to its generation: from here on it is the newest. @param slabNumber of the generation's slabs */
  written(version: KeptVersion, slabNumber: number): void {
    this.take(version);
    this.slabNumber = slabNumber;
  }

  /** Its generation is on disk. */
  leave(): void {
    this.slab = this.slabOfNewest;
    this.generation = undefined;
  }

  private get slabOfNewest(): Buffer {
    return this.generation === undefined ? this.slab : this.generation.versions.slab(this.slabNumber);
  }

  /** The newest version, which stays what it is; undefined: there is none. */
  get newest(): KeptVersion | undefined {
    if (this.rowBytes === 0) return undefined;
    return new KeptVersion(this.upper, this.lower, this.slabOfNewest, this.place, this.rowBytes);
  }

  /** Whether the newest version has a value. */
  get isPut(): boolean {
    return this.rowBytes !== 0 && !isTombstoneAt(this.place);
  }

  /** True when the value of the newest version is too long for an L row. */
  get isValueApart(): boolean {
    return isValueApartAt(this.place);
  }

  /** True when only the header of the newest version was read, because its value lies apart. */
  get lacksValue(): boolean {
    return this.isValueApart && isHeaderAt(this.place, this.rowBytes);
  }

  /** Whether the newest version was written after a timestamp; false when there is none. */
  isAbove(ts: HlcTimestamp): boolean {
    return this.rowBytes !== 0 && isAbove(this.upper, this.lower, ts);
  }

  /** Whether the newest version was written before a timestamp; true when there is none. */
  isBelow(ts: HlcTimestamp): boolean {
    return !this.isAbove(ts) && !this.isAt(ts);
  }

  /** Whether the newest version has this timestamp. */
  isAt(ts: HlcTimestamp): boolean {
    return this.rowBytes !== 0 && isSame(this.upper, this.lower, ts);
  }

  /** Whether the newest version has the timestamp of this one. */
  isOf({ upper, lower }: KeptVersion): boolean {
    return this.rowBytes !== 0 && this.upper === upper && this.lower === lower;
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

/** A set of applied units on its way to disk as one batch. */
export class Generation {
  /** Keys that it has versions of, in the order in which they were first written; the others are named by where they lie in it. */
  readonly list: KnownKey[] = [];
  /** Number of each key's newest version. */
  private readonly newest: number[] = [];
  /** The last version of a chain may be one from before: what goes to a V row because it is overwritten here. */
  readonly versions = new VersionTable();
  /** Expiry of the newest version from before, of keys where it had one: its index row has to go. */
  private readonly indexedExpiry = new Map<number, HlcTimestamp>();
  /** By the first byte of the key. */
  private readonly names: (TaggedNames | undefined)[] = [];
  /** Rows that are replaced as a whole (meta, range tombstones), by the latin-1 text of the row's key; removed without a value. */
  readonly rows = new Map<string, { readonly key: Buffer; readonly value: Buffer | undefined }>();
  /** What it takes in memory, about. */
  bytes = 0;
  /** Of rows that it may come to: no batch is larger. */
  rowBytes = 0;
  /** Of rows that it comes to at least: when nobody can ask any more for what was overwritten. */
  newestBytes = 0;
  /** Of rows that were ever written to it: a crash applies as much again. */
  appliedBytes = 0;
  /** How many versions with an expiry were written. */
  private expiringCount = 0;

  /**
   * The first version of a key that it has.
   * @param base goes to a V row with it; undefined when it is there already or needs none
   * @param indexedExpireTs of the newest version before; 0n when there is none
   */
  add(
    known: KnownKey,
    version: KeptVersion,
    index: LogIndex,
    base: KeptVersion | undefined,
    indexedExpireTs: HlcTimestamp,
  ): void {
    const { name } = known;
    this.bytes += name.length + KEY_OVERHEAD_BYTES;
    this.rowBytes += name.length;
    this.newestBytes += name.length;
    let older = NO_VERSION;
    if (base !== undefined) {
      older = this.versions.addBase(base);
      this.count(base.rowBytes);
    }
    known.enter(this, this.list.push(known) - 1);
    const tag = tagOf(name);
    this.names[tag] ??= new TaggedNames(this.list);
    this.names[tag].add(known.slot);
    if (indexedExpireTs !== NEVER) this.indexedExpiry.set(known.slot, indexedExpireTs);
    this.newest.push(this.written(known, version, index, older));
  }

  /** Another version of a key that it has. @returns true when it is worth a look which of them are needed */
  overwrite(known: KnownKey, version: KeptVersion, index: LogIndex): boolean {
    const before = this.newest[known.slot]!;
    this.newestBytes -= this.versions.rowBytes(before);
    // The last write of a timestamp wins, and nobody has seen the one before it.
    const isSame = known.isOf(version);
    const older = isSame ? this.versions.older(before) : before;
    if (isSame) this.remove(before);
    this.newest[known.slot] = this.written(known, version, index, older);
    return --known.untilTrim <= 0;
  }

  private written(known: KnownKey, version: KeptVersion, index: LogIndex, older: number): number {
    this.count(version.rowBytes);
    this.newestBytes += version.rowBytes;
    this.appliedBytes += version.rowBytes;
    if (version.expires) this.expiringCount++;
    const number = this.versions.add(version, index, older);
    known.written(version, this.versions.slabNumber(number));
    return number;
  }

  private count(rowBytes: number): void {
    this.bytes += rowBytes + OVERHEAD_BYTES;
    this.rowBytes += rowBytes;
  }

  /** @returns bytes of its row */
  private remove(number: number): number {
    const rowBytes = this.versions.rowBytes(number);
    this.bytes -= rowBytes + OVERHEAD_BYTES;
    this.rowBytes -= rowBytes;
    this.versions.remove(number);
    return rowBytes;
  }

  /** Applied index of a key's newest version. */
  indexOf(slot: number): LogIndex {
    return this.versions.index(this.newest[slot]!);
  }

  /**
   * Forgets what only reads below a timestamp could see of a key.
   * @param seen a scan that is under way may know no version of a later index
   * @returns bytes of rows
   */
  trim(known: KnownKey, { readableFrom, seenIndex }: SeenFrom): number {
    const { versions } = this;
    let kept = 1;
    let last = this.newest[known.slot]!;
    for (; versions.isAbove(last, readableFrom) || versions.index(last) > seenIndex; kept++) {
      const older = versions.older(last);
      if (older === NO_VERSION) break;
      last = older;
    }
    let number = versions.older(last);
    versions.setOlder(last, NO_VERSION);
    let bytes = 0;
    while (number !== NO_VERSION) {
      const older = versions.older(number);
      bytes += this.remove(number);
      number = older;
    }
    known.untilTrim = Math.max(FIRST_TRIM - kept, kept);
    return bytes;
  }

  /** Number of a key's newest version. */
  newestOf(slot: number): number {
    return this.newest[slot]!;
  }

  /** Expiry of the newest version from before this generation; 0n when there was none. */
  indexedExpireTs(slot: number): HlcTimestamp {
    return this.indexedExpiry.size === 0 ? NEVER : (this.indexedExpiry.get(slot) ?? NEVER);
  }

  /** Keys whose newest version here expires until a timestamp. */
  *expiring(atTs: HlcTimestamp): Iterable<KnownKey> {
    if (this.expiringCount === 0) return;
    for (const [slot, known] of this.list.entries()) {
      const expireTs = this.versions.expireTs(this.newest[slot]!);
      if (expireTs !== NEVER && expireTs <= atTs) yield known;
    }
  }

  /**
   * The newest version of a key at or below a timestamp, of units up to an index, that it has or knows to have been there before.
   * @param name the latin-1 text of a key: one character a byte, so text order is byte order
   */
  seen(name: string, readTs: HlcTimestamp, appliedIndex: LogIndex): KeptVersion | undefined {
    const { versions } = this;
    for (let number = this.find(name); number !== NO_VERSION; number = versions.older(number)) {
      if (!versions.isAbove(number, readTs) && versions.index(number) <= appliedIndex) return versions.version(number);
    }
    return undefined;
  }

  /** The version of a key with exactly this timestamp. */
  versionAt(name: string, commitTs: HlcTimestamp): KeptVersion | undefined {
    const { versions } = this;
    for (let number = this.find(name); number !== NO_VERSION; number = versions.older(number)) {
      if (versions.isAt(number, commitTs)) return versions.version(number);
    }
    return undefined;
  }

  /** The newest version of a key that it has. */
  newestAt(name: string): KeptVersion | undefined {
    const number = this.find(name);
    return number === NO_VERSION ? undefined : this.versions.version(number);
  }

  private find(name: string): number {
    const slot = this.names[tagOf(name)]?.slotOf(name);
    return slot === undefined ? NO_VERSION : this.newest[slot]!;
  }

  /** Names that are to be made known before a key is looked up here, over many turns; undefined when there are few. */
  unnamedWith(name: string): TaggedNames | undefined {
    const names = this.names[tagOf(name)];
    return names?.areManyUnnamed === true ? names : undefined;
  }

  /** The names that may lie from one to another. */
  namesWithin(from: string, to: string): TaggedNames[] {
    return this.names.slice(tagOf(from), tagOf(to) + 1).filter((names) => names !== undefined);
  }

  /** @param name `nameOf(key)`, where that is known */
  setRow(key: Buffer, value: Buffer, name = nameOf(key)): void {
    this.rows.set(name, { key, value });
    this.bytes += key.length + value.length;
    this.rowBytes += key.length + value.length;
    this.newestBytes += key.length + value.length;
  }

  /** @param name `nameOf(key)`, where that is known */
  deleteRow(key: Buffer, name = nameOf(key)): void {
    this.rows.set(name, { key, value: undefined });
    this.bytes += key.length;
  }

  /** Rows of versions that are not the newest of their key. */
  get historyBytes(): number {
    return this.rowBytes - this.newestBytes;
  }

  get isEmpty(): boolean {
    return this.list.length === 0 && this.rows.size === 0;
  }
}
