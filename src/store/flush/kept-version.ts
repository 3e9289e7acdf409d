/** Versions in memory: what is read of them without a look at their bytes, and where those lie. */
import type { HlcTimestamp, LogIndex } from '../../platform/index.ts';
import type { LatestVersion } from '../contract/index.ts';
import { type DecodedVersion, headerBytesFor, RowMemory, versionBytes, writeVersion } from '../rows/index.ts';

const rowMemory = new RowMemory();

/** What a version says. */
type VersionContent = Pick<LatestVersion, 'commitTs' | 'expireTs' | 'isTombstone' | 'value'>;

/** One version in memory; it is its own `LatestVersion`, so a read allocates nothing. */
export class KeptVersion implements LatestVersion {
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  readonly isTombstone: boolean;
  /** True when the value is too long for an L row. */
  readonly isValueApart: boolean;
  /** Header and value as they go to disk: the one copy of the value that is made. They are `rowBytes` of `slab`. */
  protected readonly slab: Buffer;
  protected readonly at: number;
  readonly rowBytes: number;
  /** Made when it is asked for: most versions of a follower never are. */
  private view: Buffer | undefined;

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
    this.isTombstone = isTombstone;
    this.isValueApart = isValueApart;
    this.slab = slab;
    this.at = at;
    this.rowBytes = rowBytes;
    this.view = undefined;
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

  get value(): Buffer {
    this.view ??= this.slab.subarray(this.at + headerBytesFor(this.expireTs), this.at + this.rowBytes);
    return this.view;
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
