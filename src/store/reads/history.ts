/**
 * Whole histories: pages of every version of a range, for copying it to another store, and single versions by their
 * timestamp. Range deletes do not travel: a key that one hid has a tombstone in its place.
 */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import { BodyReach } from '../bodies/index.ts';
import type { BodyRules, ExportedVersion, ExportPage, ExportRequest, LatestVersion } from '../contract/index.ts';
import { KeyWalk, type LevelSnapshot } from '../level/index.ts';
import { isDropped } from '../ranges/index.ts';
import {
  CorruptStoreError,
  type DecodedVersion,
  decodeSystemState,
  decodeVersion,
  encodeKey,
  encodeVersionKey,
  nameOf,
  RowKind,
  SYSTEM_KEY,
} from '../rows/index.ts';
import type { ReadView } from './reads.ts';

const EMPTY = Buffer.alloc(0);
const ROWS_AT_ONCE = 128;
const READ_AHEAD_BYTES = 256 * 1024;
/** What a version costs beyond its bytes when it is written again: pages of small values would else take long to apply. */
const VERSION_BYTES = 100;
/** Continuations that are remembered; one that was forgotten costs a flush. */
const MAX_CONTINUATIONS = 64;

/** What exporting needs of the store. */
export interface HistoryHost {
  /** Makes everything applied so far durable. */
  flush(): Promise<void>;
  view(): ReadView;
  threshold(): HlcTimestamp;
  /** See `GroupStoreOptions`. */
  readonly bodies: BodyRules | undefined;
}

/** Exports a store's histories in pages. A walk sees what was flushed when it began here, and of later changes some. */
export class HistoryExporter {
  private readonly host: HistoryHost;
  private readonly continuations = new Set<string>();

  constructor(host: HistoryHost) {
    this.host = host;
  }

  async page(request: ExportRequest): Promise<ExportPage> {
    // A walk that began at another replica, or before a restart, begins here as far as the flush is concerned.
    if (!this.continuations.delete(continuationOf(request))) await this.host.flush();
    const page = await this.read(request);
    if (page.next !== undefined) {
      if (this.continuations.size >= MAX_CONTINUATIONS) {
        for (const oldest of this.continuations) {
          this.continuations.delete(oldest);
          break;
        }
      }
      this.continuations.add(continuationOf(page.next));
    }
    return page;
  }

  private async read(request: ExportRequest): Promise<ExportPage> {
    const view = this.host.view();
    const snapshot = view.level.snapshot();
    try {
      return await new PageExport(view, snapshot, this.host.threshold(), this.host.bodies, request).run();
    } finally {
      await snapshot.close();
    }
  }
}

/** No first page has the text of a continuation, because those always say what was exported of their key. */
const continuationOf = ({ start, after }: Pick<ExportRequest, 'start' | 'after'>): string =>
  `${after ?? 'none'} ${nameOf(start)}`;

/** One page; a class because its parts share what has been gathered. */
class PageExport {
  private readonly view: ReadView;
  private readonly snapshot: LevelSnapshot;
  private readonly threshold: HlcTimestamp;
  private readonly request: ExportRequest;
  private readonly reach: BodyReach;
  /** Range deletes above this are newer than what the snapshot holds. */
  private readonly maxTs: HlcTimestamp;
  private readonly versions: ExportedVersion[] = [];
  private bytes = 0;

  constructor(
    view: ReadView,
    snapshot: LevelSnapshot,
    threshold: HlcTimestamp,
    bodies: BodyRules | undefined,
    request: ExportRequest,
  ) {
    this.view = view;
    this.snapshot = snapshot;
    this.threshold = threshold;
    this.request = request;
    this.reach = new BodyReach(bodies, threshold, () => view.ranges);
    const systemRow = view.level.getSync(SYSTEM_KEY, { snapshot });
    this.maxTs = systemRow === undefined ? NEVER : decodeSystemState(systemRow, view.location).maxCommitTs;
  }

  async run(): Promise<ExportPage> {
    const { start, end, after } = this.request;
    const { level, location, dropped } = this.view;
    const endsAt = end === undefined ? undefined : encodeKey(RowKind.Latest, end).subarray(1);
    const walk = new KeyWalk(level, this.snapshot, encodeKey(RowKind.Latest, start).subarray(1), location);
    try {
      while (await walk.nextKey()) {
        if (endsAt !== undefined && Buffer.compare(walk.escaped, endsAt) >= 0) break;
        const { key } = walk;
        const exported = after !== undefined && key.equals(start) ? after : NEVER;
        const body = this.reach.bodyOf(key);
        const source = { level, location, snapshot: this.snapshot };
        const isLost = body !== undefined && (await this.reach.isLost(key, body, source));
        const history = new HistoryMerge(key, this.deletesOf(key), this.threshold, exported, isLost);
        const isHidden = dropped.length > 0 && isDropped(dropped, key);
        const isWhole = await this.readInto(history, walk, exported);
        if (isHidden) continue;
        for (const version of history.end(isWhole)) {
          if (this.bytes >= this.request.maxBytes && this.versions.length > 0) {
            const isSameKey = this.versions.at(-1)!.key === key;
            const last = isSameKey ? this.versions.at(-1)!.commitTs : exported;
            return { versions: this.versions, next: { start: key, after: last } };
          }
          this.versions.push(version);
          this.bytes += VERSION_BYTES + key.length + (version.value?.length ?? 0);
        }
        if (!isWhole) return { versions: this.versions, next: { start: key, after: this.versions.at(-1)!.commitTs } };
      }
      return { versions: this.versions, next: undefined };
    } finally {
      await walk.close();
    }
  }

  private deletesOf(key: Buffer): readonly HlcTimestamp[] {
    const { ranges } = this.view;
    return ranges.isEmpty ? [] : ranges.timestampsOf(key).filter((ts) => ts <= this.maxTs);
  }

  /** Feeds the key under the walk, oldest first. @returns false when the page was full before the newest version */
  private async readInto(history: HistoryMerge, walk: KeyWalk, exported: HlcTimestamp): Promise<boolean> {
    const { maxBytes } = this.request;
    const newestFirst: DecodedVersion[] = [];
    const { newest } = walk;
    let bytes = 0;
    let isApartMissing = newest?.isValueApart === true;
    let isEnough = false;
    const collect = (version: DecodedVersion): void => {
      newestFirst.push(version);
      bytes += walk.escaped.length + version.value.length;
      isEnough = version.commitTs <= this.threshold || version.commitTs <= exported;
    };
    if (newest !== undefined && !newest.isValueApart) collect(newest);
    let isTooLong = false;
    // Goes on to the end even when enough was seen: the walk has to leave the key.
    for (let version = await walk.nextVersion(); version !== undefined; version = await walk.nextVersion()) {
      if (isApartMissing && version.commitTs !== newest!.commitTs) break;
      isApartMissing = false;
      if (isEnough) continue;
      if (bytes >= maxBytes) {
        isTooLong = true;
        break;
      }
      collect(version);
    }
    if (isApartMissing) throw new CorruptStoreError(this.view.location, 'lost a value');
    if (!isTooLong) {
      for (let at = newestFirst.length - 1; at >= 0; at--) history.add(newestFirst[at]!);
      return true;
    }
    const isWhole = await this.readOldestFirst(history, walk.escaped, exported);
    if (isWhole) {
      if (newest !== undefined && !newest.isValueApart) history.add(newest);
      while ((await walk.nextVersion()) !== undefined);
    }
    return isWhole;
  }

  /** Feeds V rows from the oldest one that matters, until they fill the page. @returns true when that was all */
  private async readOldestFirst(history: HistoryMerge, escaped: Buffer, exported: HlcTimestamp): Promise<boolean> {
    const { level, location } = this.view;
    const { snapshot } = this;
    const prefix = Buffer.concat([Buffer.from([RowKind.Version]), escaped]);
    // The terminator's 0x01 raised by one ends exactly the rows of this key.
    const behind = Buffer.from(prefix);
    behind[behind.length - 1] = 2;
    const lowest = exported > this.threshold ? exported : this.threshold;
    const seek = level.iterator({ gte: versionRowKey(prefix, lowest), lt: behind, limit: 1, snapshot });
    const [oldest] = await seek.nextv(1).finally(() => seek.close());
    const lt = oldest === undefined ? behind : Buffer.concat([oldest[0], Buffer.alloc(1)]);
    const rows = level.iterator({
      gte: prefix,
      lt,
      reverse: true,
      snapshot,
      highWaterMarkBytes: READ_AHEAD_BYTES,
    });
    let bytes = 0;
    try {
      for (;;) {
        const page = await rows.nextv(ROWS_AT_ONCE);
        if (page.length === 0) return true;
        for (const [, row] of page) {
          history.add(decodeVersion(row, location));
          bytes += escaped.length + row.length;
        }
        if (this.bytes + bytes >= this.request.maxBytes && history.hasExported) return false;
      }
    } finally {
      await rows.close();
    }
  }
}

const versionRowKey = (prefix: Buffer, ts: HlcTimestamp): Buffer => {
  const row = Buffer.alloc(prefix.length + 8);
  prefix.copy(row);
  row.writeBigUInt64BE(BigInt.asUintN(64, ~ts), prefix.length);
  return row;
};

/**
 * One key's versions, oldest first, with the range deletes that hid them as tombstones. Of what is at or below the
 * threshold only the last value matters.
 */
class HistoryMerge {
  private readonly key: Buffer;
  private readonly deletes: readonly HlcTimestamp[];
  private readonly threshold: HlcTimestamp;
  private readonly exported: HlcTimestamp;
  private readonly isLost: boolean;
  private deletesAt = 0;
  private isLive = false;
  private old: ExportedVersion | undefined;
  private readonly versions: ExportedVersion[] = [];

  /** @param isLost no read comes to what is at or below the threshold, see `BodyReach` */
  constructor(
    key: Buffer,
    deletes: readonly HlcTimestamp[],
    threshold: HlcTimestamp,
    exported: HlcTimestamp,
    isLost: boolean,
  ) {
    this.key = key;
    this.isLost = isLost;
    this.deletes = deletes;
    this.threshold = threshold;
    this.exported = exported;
  }

  get hasExported(): boolean {
    return this.versions.length > 0;
  }

  add({ commitTs, expireTs, isTombstone, value }: DecodedVersion): void {
    this.addDeletes(commitTs - 1n);
    const isDeleted = this.deletes[this.deletesAt] === commitTs;
    if (isDeleted || isTombstone) this.emit(commitTs, NEVER, undefined);
    else this.emit(commitTs, expireTs, value);
    this.isLive = !isDeleted && !isTombstone;
  }

  private addDeletes(upTo: bigint): void {
    for (; this.deletesAt < this.deletes.length && this.deletes[this.deletesAt]! <= upTo; this.deletesAt++) {
      if (this.isLive) this.emit(this.deletes[this.deletesAt]!, NEVER, undefined);
      this.isLive = false;
    }
  }

  private emit(commitTs: HlcTimestamp, expireTs: HlcTimestamp, value: Buffer | undefined): void {
    const version: ExportedVersion = { key: this.key, commitTs, expireTs, value };
    if (commitTs <= this.threshold) this.old = version;
    else {
      this.takeOld();
      if (commitTs > this.exported) this.versions.push(version);
    }
  }

  private takeOld(): void {
    const { old } = this;
    this.old = undefined;
    if (old?.value !== undefined && old.commitTs > this.exported && !this.isLost) this.versions.push(old);
  }

  /** @param isWhole false when newer versions are to follow on another page */
  end(isWhole: boolean): readonly ExportedVersion[] {
    if (isWhole) {
      this.addDeletes(1n << 64n);
      this.takeOld();
    }
    return this.versions;
  }
}

/** The version of a key with exactly this timestamp. Everything is decided before the caller can await. */
export function versionAt(key: Buffer, commitTs: HlcTimestamp, view: ReadView): LatestVersion | undefined {
  if (view.dropped.length > 0 && isDropped(view.dropped, key)) return undefined;
  const isRangeDelete = !view.ranges.isEmpty && view.ranges.timestampsOf(key).includes(commitTs);
  if (isRangeDelete) return { commitTs, expireTs: NEVER, isTombstone: true, value: EMPTY };
  const name = nameOf(key);
  for (const generation of view.generations) {
    const version = generation.versionAt(name, commitTs);
    if (version !== undefined) return version;
  }
  const apart = view.level.getSync(encodeVersionKey(key, commitTs));
  if (apart !== undefined) return decodeVersion(apart, view.location);
  const newest = view.level.getSync(encodeKey(RowKind.Latest, key));
  if (newest === undefined) return undefined;
  const version = decodeVersion(newest, view.location);
  if (version.commitTs !== commitTs) return undefined;
  if (version.isValueApart) throw new CorruptStoreError(view.location, 'lost a value');
  return version;
}
