/**
 * All rows of a database key by key: the newest version from the L rows side by side with the history from the V rows,
 * from one snapshot. What needs a whole key at a time (collection, digest) walks with this.
 */
import {
  CorruptStoreError,
  type DecodedVersion,
  decodeKey,
  decodeVersion,
  RowKind,
  versionTsOf,
} from '../rows/index.ts';
import type { Level, LevelIterator, LevelSnapshot } from './level.ts';

const ROWS_AT_ONCE = 512;
/** A page of long values is then a few waits for the thread pool, not a dozen. */
const READ_AHEAD_BYTES = 1024 * 1024;

/** Rows of one kind, one ahead. */
class RowReader {
  private readonly iterator: LevelIterator;
  private page: [Buffer, Buffer][] = [];
  private at = 0;
  /** Undefined at the end, and before the first `advance`. */
  current: [Buffer, Buffer] | undefined;

  constructor(level: Level, snapshot: LevelSnapshot, kind: number, from: Buffer) {
    this.iterator = level.iterator({
      gte: Buffer.concat([Buffer.from([kind]), from]),
      lt: Buffer.from([kind + 1]),
      snapshot,
      highWaterMarkBytes: READ_AHEAD_BYTES,
    });
  }

  /** Moves on within the page. @returns false when `fill` has to come first */
  advance(): boolean {
    if (this.at === this.page.length) return false;
    this.current = this.page[this.at++];
    return true;
  }

  async fill(): Promise<void> {
    this.page = await this.iterator.nextv(ROWS_AT_ONCE);
    this.at = 0;
    if (this.page.length === 0) this.current = undefined;
    else this.current = this.page[this.at++];
  }

  /** True when the next row has to be read, and there may be one. */
  get isUsedUp(): boolean {
    return this.current !== undefined && this.at === this.page.length;
  }

  close(): Promise<void> {
    return this.iterator.close();
  }
}

/** A version of the key that the walk stands on, with the key of its row. */
export interface WalkedVersion extends DecodedVersion {
  readonly rowKey: Buffer;
}

/** Goes over keys in order, and over each key's history from new to old. Call `nextKey`, then `nextVersion` until undefined. */
export class KeyWalk {
  private readonly location: string;
  private readonly newestRows: RowReader;
  private readonly versionRows: RowReader;
  private isStarted = false;
  /** Escaped key without its kind byte; with its terminator. */
  escaped: Buffer = Buffer.alloc(0);
  /** The L row; undefined when history is all there is. */
  newest: WalkedVersion | undefined;

  /** @param from escaped key to start at */
  constructor(level: Level, snapshot: LevelSnapshot, from: Buffer, location: string) {
    this.location = location;
    this.newestRows = new RowReader(level, snapshot, RowKind.Latest, from);
    this.versionRows = new RowReader(level, snapshot, RowKind.Version, from);
  }

  /** The logical key. */
  get key(): Buffer {
    return decodeKey(this.escaped, 0, this.escaped.length, this.location);
  }

  /** True when nearly all that was read is used: who stops elsewhere has read rows that somebody will have to read again. */
  get isAtPageEnd(): boolean {
    return this.newestRows.isUsedUp || this.versionRows.isUsedUp;
  }

  /** @returns false at the end */
  async nextKey(): Promise<boolean> {
    if (!this.isStarted) {
      this.isStarted = true;
      await Promise.all([this.newestRows.fill(), this.versionRows.fill()]);
    }
    const latest = this.newestRows.current;
    const version = this.versionRows.current;
    if (latest === undefined && version === undefined) return false;
    const latestKey = latest?.[0].subarray(1);
    const versionKey = version === undefined ? undefined : this.escapedOf(version[0]);
    const order = latestKey === undefined ? 1 : versionKey === undefined ? -1 : Buffer.compare(latestKey, versionKey);
    if (order <= 0) {
      this.escaped = latestKey!;
      this.newest = { ...decodeVersion(latest![1], this.location), rowKey: latest![0] };
      if (!this.newestRows.advance()) await this.newestRows.fill();
    } else {
      this.escaped = versionKey!;
      this.newest = undefined;
    }
    return true;
  }

  /** True when `nextVersion` has one at hand or must look on disk for it; false is certain. */
  get hasVersion(): boolean {
    const version = this.versionRows.current;
    return version !== undefined && this.escapedOf(version[0]).equals(this.escaped);
  }

  /** The next older version of the key from the V rows. */
  async nextVersion(): Promise<WalkedVersion | undefined> {
    if (!this.hasVersion) return undefined;
    const [rowKey, row] = this.versionRows.current!;
    const version = { ...decodeVersion(row, this.location), rowKey };
    if (version.commitTs !== versionTsOf(rowKey)) {
      throw new CorruptStoreError(this.location, 'holds a version under the timestamp of another');
    }
    if (!this.versionRows.advance()) await this.versionRows.fill();
    return version;
  }

  private escapedOf(versionRowKey: Buffer): Buffer {
    if (versionRowKey.length < 11) throw new CorruptStoreError(this.location, 'holds a version with a short key');
    return versionRowKey.subarray(1, versionRowKey.length - 8);
  }

  async close(): Promise<void> {
    await Promise.all([this.newestRows.close(), this.versionRows.close()]);
  }
}
