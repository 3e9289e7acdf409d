/**
 * The versions of one generation, as records of small integers outside of V8's heap: an object a version lives through two collections of young objects, is
 * moved by both, and dies old, which costs more than to write what it says. A version has a number; versions of a key are linked from new to old.
 *
 * What a record says never changes while somebody may come to it, but that it may become the oldest of its key. A version that nobody can ask for any more
 * is removed and its number used again, so nobody but the generation keeps a number beyond the turn in which it got it: a read begins at the newest version
 * each time, and holds what it found as a `KeptVersion`. Of a generation that is frozen nothing is removed.
 */
import type { HlcTimestamp, LogIndex } from '../../platform/index.ts';
import { isAbove, isSame } from '../rows/index.ts';
import { expiryAt, isValueApartAt, KeptVersion, offsetOf } from './kept-version.ts';

/** In place of the number of a version, where there is none. */
export const NO_VERSION = -1;

/** Fields of a record. */
const UPPER = 0;
const LOWER = 1;
const SLAB = 2;
const PLACE = 3;
const ROW_BYTES = 4;
const OLDER = 5;
const INDEX_LOW = 6;
const INDEX_HIGH = 7;
const FIELD_BITS = 3;
const INDEX_UNIT = 2 ** 32;

/** Records of one piece of memory: growing never copies more than half of that. */
const CHUNK_BITS = 12;
const CHUNK_MASK = (1 << CHUNK_BITS) - 1;
const FIRST_RECORDS = 32;

/** See the top of the file. */
export class VersionTable {
  private readonly chunks: Int32Array[] = [];
  private count = 0;
  /** The first record that can be used again; they are linked like versions. */
  private firstFree = NO_VERSION;
  /** What rows lie in; undefined where none of them is left. */
  private readonly slabs: (Buffer | undefined)[] = [];
  /** How many rows lie in each. */
  private readonly rowsOf: number[] = [];
  /** The slab that was written to last, and its number. */
  private current: Buffer | undefined;
  private currentNumber = -1;

  /** @param older of the same key; `NO_VERSION` for none @returns its number */
  add(version: KeptVersion, index: LogIndex, older: number): number {
    if (this.current !== version.slab) {
      if (this.current !== undefined && this.rowsOf[this.currentNumber] === 0)
        this.slabs[this.currentNumber] = undefined;
      this.current = version.slab;
      this.currentNumber = this.take(version.slab);
    }
    return this.record(version, index, older, this.currentNumber);
  }

  /** A version that was there before all of this generation. @returns its number */
  addBase(version: KeptVersion): number {
    return this.record(version, 0, NO_VERSION, this.take(version.slab));
  }

  private take(slab: Buffer): number {
    this.rowsOf.push(0);
    return this.slabs.push(slab) - 1;
  }

  private record(version: KeptVersion, index: LogIndex, older: number, slab: number): number {
    const number = this.reserve();
    const chunk = this.chunks[number >> CHUNK_BITS]!;
    const at = (number & CHUNK_MASK) << FIELD_BITS;
    chunk[at + UPPER] = version.upper;
    chunk[at + LOWER] = version.lower;
    chunk[at + SLAB] = slab;
    chunk[at + PLACE] = version.place;
    chunk[at + ROW_BYTES] = version.rowBytes;
    chunk[at + OLDER] = older;
    chunk[at + INDEX_LOW] = index;
    chunk[at + INDEX_HIGH] = index / INDEX_UNIT;
    this.rowsOf[slab]!++;
    return number;
  }

  private reserve(): number {
    const { firstFree } = this;
    if (firstFree !== NO_VERSION) {
      this.firstFree = this.field(firstFree, OLDER);
      return firstFree;
    }
    const number = this.count++;
    const from = (number & CHUNK_MASK) << FIELD_BITS;
    const last = this.chunks[number >> CHUNK_BITS];
    if (last === undefined) {
      const records = number === 0 ? FIRST_RECORDS : CHUNK_MASK + 1;
      this.chunks.push(new Int32Array(records << FIELD_BITS));
    } else if (from === last.length) {
      const larger = new Int32Array(2 * last.length);
      larger.set(last);
      this.chunks[number >> CHUNK_BITS] = larger;
    }
    return number;
  }

  /** Nobody comes to a version any more: what it took is used again. */
  remove(number: number): void {
    const slab = this.field(number, SLAB);
    if (--this.rowsOf[slab]! === 0 && slab !== this.currentNumber) this.slabs[slab] = undefined;
    this.setOlder(number, this.firstFree);
    this.firstFree = number;
  }

  private field(number: number, field: number): number {
    return this.chunks[number >> CHUNK_BITS]![((number & CHUNK_MASK) << FIELD_BITS) + field]!;
  }

  /** The version of the same key before it; `NO_VERSION` also where nobody can ask for that one any more. */
  older(number: number): number {
    return this.field(number, OLDER);
  }

  setOlder(number: number, older: number): void {
    this.chunks[number >> CHUNK_BITS]![((number & CHUNK_MASK) << FIELD_BITS) + OLDER] = older;
  }

  /** Applied index of the unit that wrote it; 0 for what was there before. */
  index(number: number): LogIndex {
    return this.field(number, INDEX_HIGH) * INDEX_UNIT + (this.field(number, INDEX_LOW) >>> 0);
  }

  rowBytes(number: number): number {
    return this.field(number, ROW_BYTES);
  }

  isAbove(number: number, ts: HlcTimestamp): boolean {
    return isAbove(this.field(number, UPPER), this.field(number, LOWER), ts);
  }

  isAt(number: number, ts: HlcTimestamp): boolean {
    return isSame(this.field(number, UPPER), this.field(number, LOWER), ts);
  }

  isValueApart(number: number): boolean {
    return isValueApartAt(this.field(number, PLACE));
  }

  expireTs(number: number): HlcTimestamp {
    return expiryAt(this.slabOf(number), this.field(number, PLACE));
  }

  /** For whoever reads it: it stays what it is. */
  version(number: number): KeptVersion {
    return new KeptVersion(
      this.field(number, UPPER),
      this.field(number, LOWER),
      this.slabOf(number),
      this.field(number, PLACE),
      this.field(number, ROW_BYTES),
    );
  }

  /** Its row, if nothing else lies where that does; else undefined. */
  rowAlone(number: number): Buffer | undefined {
    const slab = this.slabOf(number);
    return slab.length === this.rowBytes(number) ? slab : undefined;
  }

  /** Writes its row to the beginning of `into`. */
  copyRow(number: number, into: Buffer): void {
    const at = offsetOf(this.field(number, PLACE));
    this.slabOf(number).copy(into, 0, at, at + this.rowBytes(number));
  }

  /** Number of the slab that its row lies in. */
  slabNumber(number: number): number {
    return this.field(number, SLAB);
  }

  /** @param slabNumber of a slab with a version that is still there */
  slab(slabNumber: number): Buffer {
    return this.slabs[slabNumber]!;
  }

  private slabOf(number: number): Buffer {
    return this.slabs[this.field(number, SLAB)]!;
  }
}
