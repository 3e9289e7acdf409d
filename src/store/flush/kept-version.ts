/** Versions in memory: what is read of them without a look at their bytes, and where those lie. */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { LatestVersion } from '../contract/index.ts';
import {
  type DecodedVersion,
  expiryIn,
  headerBytes,
  headerBytesFor,
  joined,
  lowerHalf,
  RowMemory,
  upperHalf,
  versionBytes,
  writeVersion,
} from '../rows/index.ts';

const rowMemory = new RowMemory();

/** What a version says. */
export type VersionContent = Pick<LatestVersion, 'commitTs' | 'expireTs' | 'isTombstone' | 'value'>;

/** Bits of a place below the offset. */
const TOMBSTONE = 1;
const VALUE_APART = 2;
const EXPIRES = 4;
const FLAG_BITS = 3;

/** Whether what lies at a place is a delete. */
export const isTombstoneAt = (place: number): boolean => (place & TOMBSTONE) !== 0;

/** Whether the value of what lies at a place is too long for an L row. */
export const isValueApartAt = (place: number): boolean => (place & VALUE_APART) !== 0;

/** Whether the row at a place is a header without a value. */
export const isHeaderAt = (place: number, rowBytes: number): boolean =>
  rowBytes === headerBytes((place & EXPIRES) !== 0);

/** Where in its slab a row begins. */
export const offsetOf = (place: number): number => place >> FLAG_BITS;

/** When what lies at a place expires. */
export const expiryAt = (slab: Buffer, place: number): HlcTimestamp =>
  (place & EXPIRES) === 0 ? NEVER : expiryIn(slab, offsetOf(place));

/**
 * One version as somebody holds it; it is its own `LatestVersion`. What the store remembers of a version are the same five fields, in a `KnownKey` or in a
 * `VersionTable`: this is made when one is asked for and mostly gone soon after, and it stays what it is whatever becomes of those.
 */
export class KeptVersion implements LatestVersion {
  /** Of the commit timestamp, see `timestamp-halves.ts`. */
  readonly upper: number;
  readonly lower: number;
  /** Header and value as they go to disk lie in it: the one copy of the value that is made. */
  readonly slab: Buffer;
  /** Where in `slab`, and what the version is. */
  readonly place: number;
  readonly rowBytes: number;
  private view: Buffer | undefined = undefined;

  constructor(upper: number, lower: number, slab: Buffer, place: number, rowBytes: number) {
    this.upper = upper;
    this.lower = lower;
    this.slab = slab;
    this.place = place;
    this.rowBytes = rowBytes;
  }

  /** Takes a version that was read along. @param isValueApart what its L row says */
  static read({ commitTs, expireTs, isTombstone, row }: DecodedVersion, isValueApart: boolean): KeptVersion {
    const at = rowMemory.keep(row);
    return KeptVersion.at(rowMemory.slab, at, commitTs, expireTs, isTombstone, isValueApart, row.length);
  }

  /** Writes a version, as one row. @param isValueApart true when that is too long for an L row */
  static written({ commitTs, expireTs, isTombstone, value }: VersionContent, isValueApart: boolean): KeptVersion {
    const rowBytes = versionBytes(expireTs, value);
    const at = rowMemory.reserve(rowBytes);
    writeVersion(rowMemory.slab, at, commitTs, expireTs, isTombstone, value);
    return KeptVersion.at(rowMemory.slab, at, commitTs, expireTs, isTombstone, isValueApart, rowBytes);
  }

  private static at(
    slab: Buffer,
    at: number,
    commitTs: HlcTimestamp,
    expireTs: HlcTimestamp,
    isTombstone: boolean,
    isValueApart: boolean,
    rowBytes: number,
  ): KeptVersion {
    const flags = (isTombstone ? TOMBSTONE : 0) | (isValueApart ? VALUE_APART : 0) | (expireTs === NEVER ? 0 : EXPIRES);
    return new KeptVersion(upperHalf(commitTs), lowerHalf(commitTs), slab, (at << FLAG_BITS) | flags, rowBytes);
  }

  get commitTs(): HlcTimestamp {
    return joined(this.upper, this.lower);
  }

  get expireTs(): HlcTimestamp {
    return expiryAt(this.slab, this.place);
  }

  get expires(): boolean {
    return (this.place & EXPIRES) !== 0;
  }

  get isTombstone(): boolean {
    return isTombstoneAt(this.place);
  }

  /** True when the value is too long for an L row. */
  get isValueApart(): boolean {
    return isValueApartAt(this.place);
  }

  /** A view that is made when it is asked for: most versions of a follower never are. */
  get value(): Buffer {
    if (this.view === undefined) {
      const at = offsetOf(this.place);
      this.view = this.slab.subarray(at + headerBytesFor(this.expireTs), at + this.rowBytes);
    }
    return this.view;
  }
}
