/** Versions in memory: what is read of them without a look at their bytes, and where those lie. */
import type { HlcTimestamp, LogIndex } from '../../platform/index.ts';
import type { LatestVersion } from '../contract/index.ts';
import { type DecodedVersion, headerBytesFor, RowMemory, versionBytes, writeVersion } from '../rows/index.ts';

const rowMemory = new RowMemory();

/** What a version says. */
type VersionContent = Pick<LatestVersion, 'commitTs' | 'expireTs' | 'isTombstone' | 'value'>;

/** Bits of `place` below the offset. */
const TOMBSTONE = 1;
const VALUE_APART = 2;
const FLAG_BITS = 2;

/** One version in memory; it is its own `LatestVersion`. As small as it can be: there is one of every write, and each is moved twice before it is old. */
export class KeptVersion implements LatestVersion {
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  /** Header and value as they go to disk lie in it: the one copy of the value that is made. */
  private readonly slab: Buffer;
  /** Where in `slab`, and what the version is. */
  private readonly place: number;
  readonly rowBytes: number;

  constructor(
    commitTs: HlcTimestamp,
    expireTs: HlcTimestamp,
    isTombstone: boolean,
    isValueApart: boolean,
    slab: Buffer,
    at: number,
    rowBytes: number,
  ) {
    this.commitTs = commitTs;
    this.expireTs = expireTs;
    this.slab = slab;
    this.place = (at << FLAG_BITS) | (isTombstone ? TOMBSTONE : 0) | (isValueApart ? VALUE_APART : 0);
    this.rowBytes = rowBytes;
  }

  /** Takes a version that was read along. @param isValueApart what its L row says */
  static read({ commitTs, expireTs, isTombstone, row }: DecodedVersion, isValueApart: boolean): KeptVersion {
    const at = rowMemory.keep(row);
    return new KeptVersion(commitTs, expireTs, isTombstone, isValueApart, rowMemory.slab, at, row.length);
  }

  /** A version of which everything is written in one row. */
  static written({ commitTs, expireTs, isTombstone, value }: VersionContent): KeptVersion {
    const rowBytes = versionBytes(expireTs, value);
    const at = rowMemory.reserve(rowBytes);
    writeVersion(rowMemory.slab, at, commitTs, expireTs, isTombstone, value);
    return new KeptVersion(commitTs, expireTs, isTombstone, false, rowMemory.slab, at, rowBytes);
  }

  get isTombstone(): boolean {
    return (this.place & TOMBSTONE) !== 0;
  }

  /** True when the value is too long for an L row. */
  get isValueApart(): boolean {
    return (this.place & VALUE_APART) !== 0;
  }

  /** A view that is made when it is asked for: most versions of a follower never are. */
  get value(): Buffer {
    const { at } = this;
    return this.slab.subarray(at + headerBytesFor(this.expireTs), at + this.rowBytes);
  }

  private get at(): number {
    return this.place >> FLAG_BITS;
  }

  /** The row, if nothing else lies where it does; else undefined. */
  get rowAlone(): Buffer | undefined {
    return this.slab.length === this.rowBytes ? this.slab : undefined;
  }

  /** Writes the row to the beginning of `into`. */
  copyRow(into: Buffer): void {
    this.slab.copy(into, 0, this.at, this.at + this.rowBytes);
  }

  /** The same without what it is chained to. */
  alone(): KeptVersion {
    const { commitTs, expireTs, isTombstone, isValueApart, slab, at, rowBytes } = this;
    return new KeptVersion(commitTs, expireTs, isTombstone, isValueApart, slab, at, rowBytes);
  }
}

/** A version of the buffer. */
export class BufferedVersion extends KeptVersion {
  /** Applied index of the unit that wrote it. */
  readonly index: LogIndex;
  /** The version before it in the same generation; undefined also where nobody can ask for that one any more. */
  older: BufferedVersion | undefined;

  constructor(
    { commitTs, expireTs, isTombstone, value }: VersionContent,
    index: LogIndex,
    older: BufferedVersion | undefined,
    inlineBytes: number,
  ) {
    const rowBytes = versionBytes(expireTs, value);
    const at = rowMemory.reserve(rowBytes);
    const { slab } = rowMemory;
    writeVersion(slab, at, commitTs, expireTs, isTombstone, value);
    super(commitTs, expireTs, isTombstone, value.length > inlineBytes, slab, at, rowBytes);
    this.index = index;
    this.older = older;
  }
}
