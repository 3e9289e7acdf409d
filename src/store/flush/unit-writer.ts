/** Collects what one Raft entry changes until it is committed as a whole. */
import { type HlcTimestamp, type LogIndex, NEVER } from '../../platform/index.ts';
import type { PreparedVersion, SideSource, StoreWriter, VersionToWrite } from '../contract/index.ts';
import type { KnownKey } from './apply-buffer.ts';
import { KeptVersion } from './kept-version.ts';

const EMPTY = Buffer.alloc(0);

/** A put or a delete that waits for its unit to be committed. */
export interface PendingVersion {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  readonly isTombstone: boolean;
  /** Latin-1 text of the key, if somebody had it. */
  readonly name: string | undefined;
  /** What was made of it beforehand. */
  readonly version?: KeptVersion;
  /** What was known of the key then. */
  readonly known?: KnownKey | undefined;
}

/** See `GroupStore.prepareVersion`. @param known what is known of the key */
export function prepareVersion(
  write: VersionToWrite,
  known: KnownKey | undefined,
  inlineBytes: number,
): PendingVersion {
  const { key, name, commitTs } = write;
  const isTombstone = write.value === undefined;
  const expireTs = isTombstone ? NEVER : write.expireTs;
  const value = write.value ?? EMPTY;
  const version = KeptVersion.written({ commitTs, expireTs, isTombstone, value }, value.length > inlineBytes);
  return { key, value, commitTs, expireTs, isTombstone, name, version, known };
}

/** The version that a write becomes: the one that was made beforehand, unless a range delete has made a tombstone of it since. */
export function versionOf(pending: PendingVersion, isTombstone: boolean, inlineBytes: number): KeptVersion {
  const { version, commitTs } = pending;
  if (version !== undefined && version.isTombstone === isTombstone) return version;
  const expireTs = isTombstone ? NEVER : pending.expireTs;
  const value = isTombstone ? EMPTY : pending.value;
  return KeptVersion.written({ commitTs, expireTs, isTombstone, value }, value.length > inlineBytes);
}

/** Collects one unit; nothing of it is visible before `commit`. */
export class UnitWriter implements StoreWriter {
  versions: PendingVersion[] = [];
  ranges: { start: Buffer; end: Buffer; ts: HlcTimestamp }[] = [];
  drops: { start: Buffer; end: Buffer | undefined }[] = [];
  sides: { key: Buffer; name: Buffer; value: Buffer | SideSource | undefined; keyName: string | undefined }[] = [];
  meta: { name: string; value: Buffer }[] = [];
  gcThreshold: HlcTimestamp | undefined;
  private readonly onCommit: (unit: UnitWriter, index: LogIndex) => void;

  constructor(onCommit: (unit: UnitWriter, index: LogIndex) => void) {
    this.onCommit = onCommit;
  }

  put(key: Buffer, value: Buffer, commitTs: HlcTimestamp, expireTs: HlcTimestamp, name?: string): void {
    this.versions.push({ key, value, commitTs, expireTs, isTombstone: false, name });
  }

  delete(key: Buffer, commitTs: HlcTimestamp, name?: string): void {
    this.versions.push({ key, value: EMPTY, commitTs, expireTs: NEVER, isTombstone: true, name });
  }

  add(prepared: PreparedVersion): void {
    this.versions.push(prepared as PendingVersion);
  }

  deleteRange(start: Buffer, end: Buffer, commitTs: HlcTimestamp): void {
    if (Buffer.compare(start, end) < 0) this.ranges.push({ start, end, ts: commitTs });
  }

  dropRange(start: Buffer, end: Buffer | undefined): void {
    if (end === undefined || Buffer.compare(start, end) < 0) this.drops.push({ start, end });
  }

  setSide(key: Buffer, name: Buffer, value: Buffer | SideSource | undefined, keyName?: string): void {
    this.sides.push({ key, name, value, keyName });
  }

  setMeta(name: string, value: Buffer): void {
    this.meta.push({ name, value });
  }

  commit(index: LogIndex): void {
    this.onCommit(this, index);
  }
}
