/**
 * What a pass of collection sees on its way: how much of the store is history that the retention keeps, and which keys have most
 * of it. It costs a few additions a version, because the pass looks at each anyway. The history of the rows behind a head is its key's.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { GarbagePass, OverhangKey } from '../contract/index.ts';
import type { WalkedVersion } from '../level/index.ts';

export type { GarbagePass } from '../contract/index.ts';

/** Keys that are named. */
const TOP_KEYS = 16;
/** A key with fewer versions is nobody's trouble. */
const MIN_TOP_VERSIONS = 64;

const NOBODY: OverhangKey = { key: Buffer.alloc(0), versions: 0, bytes: 0 };

/** About what a version takes on disk. */
export const bytesOf = ({ rowKey, value }: WalkedVersion): number => rowKey.length + value.length + 24;

/** See the top of the file. */
export class PassTally {
  private readonly threshold: HlcTimestamp;
  private top: OverhangKey[] = [];
  private keys = 0;
  private keptVersions = 0;
  private keptBytes = 0;
  private droppedVersions = 0;
  private unreachableBytes = 0;
  /** Of the key that is being looked at. */
  private versions = 0;
  private bytes = 0;
  /** The key that the last history belongs to, and how much of it there was; its rows lie one behind the other. */
  private owner: OverhangKey = NOBODY;
  /** Of all rows so far. */
  walkedBytes = 0;

  constructor(threshold: HlcTimestamp) {
    this.threshold = threshold;
  }

  /** @param newest the version that is no history */
  beginKey(newest: WalkedVersion | undefined): void {
    this.keys++;
    this.versions = 0;
    this.bytes = 0;
    if (newest !== undefined) this.walkedBytes += bytesOf(newest);
  }

  /** An older version of the key. */
  see(version: WalkedVersion): void {
    const bytes = bytesOf(version);
    this.walkedBytes += bytes;
    this.versions++;
    this.bytes += bytes;
  }

  /** It was not kept. */
  drop(version: WalkedVersion): void {
    this.droppedVersions++;
    this.versions--;
    this.bytes -= bytesOf(version);
  }

  /** The newest version of a row that no newest head names was dropped, or is kept for those who read the past. */
  seeUnreachable(bytes: number, isDropped: boolean): void {
    if (isDropped) this.droppedVersions++;
    else this.unreachableBytes += bytes;
  }

  /** @param key of the head, when the row lies behind one */
  endKey(key: Buffer): void {
    const { versions, bytes, owner } = this;
    this.keptVersions += versions;
    this.keptBytes += bytes;
    if (owner.key.equals(key)) {
      this.owner = { key: owner.key, versions: owner.versions + versions, bytes: owner.bytes + bytes };
      return;
    }
    this.rank();
    this.owner = { key: Buffer.from(key), versions, bytes };
  }

  private rank(): void {
    const { owner } = this;
    this.owner = NOBODY;
    if (owner.versions < MIN_TOP_VERSIONS) return;
    const last = this.top.at(-1);
    if (this.top.length === TOP_KEYS && last !== undefined && last.bytes >= owner.bytes) return;
    this.top.push(owner);
    this.top.sort((left, right) => right.bytes - left.bytes);
    if (this.top.length > TOP_KEYS) this.top.pop();
  }

  finish(): GarbagePass {
    this.rank();
    const { threshold, keys, keptVersions, keptBytes, droppedVersions, unreachableBytes, top } = this;
    return { threshold, keys, keptVersions, keptBytes, droppedVersions, unreachableBytes, topKeys: top };
  }
}
