/**
 * A `GroupStore` in plain maps, for tests of the layer above that want no time to pass. It keeps every promise of the
 * contract in the plainest way (`test/support/group-store-contract.ts` runs over it) and nothing is on disk: closing it loses
 * everything.
 */
import { createHash } from 'node:crypto';
import { assert, type HlcTimestamp, type LogIndex, NEVER } from '../../src/platform/index.ts';
import type {
  BodyRules,
  ExportedVersion,
  ExportPage,
  ExportRequest,
  ExportSidesRequest,
  GroupStore,
  LatestVersion,
  PreparedVersion,
  SidePage,
  SideRow,
  StoreImport,
  StoreRow,
  StoreScanPage,
  StoreScanRequest,
  StoreWriter,
  VersionToWrite,
} from '../../src/store/contract/types.ts';
import { prepareVersion, UnitWriter } from '../../src/store/flush/unit-writer.ts';
import { assertReadable, StoreClosedError } from '../../src/store/rows/errors.ts';
import type { MetaOf, StoreCut } from '../../src/store/segments/cut.ts';
import type { CopyFacts, CopyManifest } from '../../src/store/segments/manifest.ts';
import { cutImage, StagedImage } from './memory-copies.ts';
import {
  cutOut,
  type DeletedRange,
  digestible,
  emptyImage,
  exportedOf,
  type History,
  type Image,
  isLost,
  isWithin,
  newestDelete,
  purgedOf,
  type StoredVersion,
  sideName,
  visibleAt,
} from './memory-image.ts';

const NO_BYTES = Buffer.alloc(0);
/** A pass of collection is done in so many slices. */
const SLICES_A_PASS = 3;

/** What is told of a version. */
const seen = ({ commitTs, isTombstone, expireTs, value }: StoredVersion): LatestVersion => ({
  commitTs,
  isTombstone,
  expireTs,
  value,
});

interface PendingDrop {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
  readonly done: PromiseWithResolvers<void>;
}

/** How a `MemoryStore` differs from the plain one. */
export interface MemoryStoreOptions {
  /** Counter of a key; undefined or negative: none. Default: 0 for all keys that are not reserved. */
  readonly counterClassOf?: (key: Buffer) => number | undefined;
  /** See `GroupStoreOptions`. */
  readonly bodies?: BodyRules | undefined;
}

/** See the file's head. */
export class MemoryStore implements GroupStore {
  private readonly counterClassOf: (key: Buffer) => number | undefined;
  private readonly bodies: BodyRules | undefined;
  private image: Image = emptyImage();
  durableIndex: LogIndex = 0;
  /** Slices of collection that were asked for. */
  collectedSlices = 0;
  /** Calls of `expired`. */
  expiredCalls = 0;
  /** Set to leave dropped ranges where they are until `carryOutDrops`. */
  holdDrops = false;
  private drops: PendingDrop[] = [];
  private openUnit: UnitWriter | undefined;
  private closed: StoreClosedError | undefined;
  /** Up to where the log holds what is applied, and who waits for more of it. */
  private logged: LogIndex = Number.POSITIVE_INFINITY;
  private logWaits: { readonly index: LogIndex; readonly wake: () => void }[] = [];
  /** Segments that came whole, by hash. */
  private readonly received = new Map<string, Buffer>();

  constructor({ counterClassOf = (key) => (key[0] === 0 ? undefined : 0), bodies }: MemoryStoreOptions = {}) {
    this.bodies = bodies;
    this.counterClassOf = counterClassOf;
  }

  get appliedIndex(): LogIndex {
    return this.image.appliedIndex;
  }

  get gcThreshold(): HlcTimestamp {
    return this.image.gcThreshold;
  }

  meta(name: string): Buffer | undefined {
    return this.image.meta.get(name);
  }

  private assertOpen(): void {
    if (this.closed !== undefined) throw this.closed;
  }

  // ---- reads

  private historyOf(key: Buffer): History | undefined {
    return this.image.histories.get(key.toString('latin1'));
  }

  /** Histories in key order. */
  private histories(start: Buffer, end: Buffer | undefined): History[] {
    return [...this.image.histories.values()]
      .filter(({ key }) => isWithin(key, start, end))
      .sort((a, b) => Buffer.compare(a.key, b.key));
  }

  private isDropped(key: Buffer): boolean {
    return this.drops.some(({ start, end }) => isWithin(key, start, end));
  }

  latest(key: Buffer): LatestVersion | undefined {
    this.assertOpen();
    if (this.isDropped(key)) return undefined;
    const { ranges, gcThreshold } = this.image;
    const last = this.historyOf(key)?.versions.at(-1);
    const deletedTs = newestDelete(ranges, key);
    if (deletedTs > 0n && (last === undefined || deletedTs >= last.commitTs)) {
      if (deletedTs <= gcThreshold) return undefined;
      const hidden = last === undefined ? {} : { hiddenTs: last.commitTs };
      return { commitTs: deletedTs, isTombstone: true, isOfRange: true, ...hidden, expireTs: NEVER, value: NO_BYTES };
    }
    return last === undefined || (last.isTombstone && last.commitTs <= gcThreshold) ? undefined : seen(last);
  }

  async get(key: Buffer, readTs: HlcTimestamp): Promise<StoreRow | undefined> {
    this.assertOpen();
    assertReadable(readTs, this.gcThreshold);
    return this.rowAt(this.historyOf(key), readTs);
  }

  private rowAt(history: History | undefined, readTs: HlcTimestamp): StoreRow | undefined {
    if (history === undefined || this.isDropped(history.key)) return undefined;
    const version = visibleAt(history, this.image.ranges, readTs);
    if (version === undefined) return undefined;
    const { commitTs, expireTs, value } = version;
    return { key: history.key, commitTs, expireTs, value };
  }

  async scan({ start, end, readTs, limit, maxBytes, reverse, keysOnly }: StoreScanRequest): Promise<StoreScanPage> {
    this.assertOpen();
    assertReadable(readTs, this.gcThreshold);
    const rows: StoreRow[] = [];
    let bytes = 0;
    if (limit <= 0) return { rows, next: undefined };
    const histories = this.histories(start, end);
    if (reverse === true) histories.reverse();
    for (const history of histories) {
      const row = this.rowAt(history, readTs);
      if (row === undefined) continue;
      const isFull = rows.length === limit || (rows.length > 0 && bytes >= (maxBytes ?? Number.POSITIVE_INFINITY));
      if (isFull) return { rows, next: reverse === true ? rows.at(-1)!.key : row.key };
      rows.push(keysOnly === true ? { ...row, value: NO_BYTES } : row);
      bytes += row.key.length + rows.at(-1)!.value.length;
    }
    return { rows, next: undefined };
  }

  async versionAt(key: Buffer, commitTs: HlcTimestamp): Promise<LatestVersion | undefined> {
    this.assertOpen();
    if (this.isDropped(key)) return undefined;
    const isRangeDelete = this.image.ranges.some(({ start, end, ts }) => ts === commitTs && isWithin(key, start, end));
    if (isRangeDelete) return { commitTs, expireTs: NEVER, isTombstone: true, value: NO_BYTES };
    const version = this.historyOf(key)?.versions.find((one) => one.commitTs === commitTs);
    return version && seen(version);
  }

  async exportVersions({ start, end, after, maxBytes }: ExportRequest): Promise<ExportPage> {
    this.assertOpen();
    const versions: ExportedVersion[] = [];
    let bytes = 0;
    for (const history of this.histories(start, end)) {
      if (this.isDropped(history.key)) continue;
      const isLostRow = isLost(this.image, this.bodies, history.key);
      for (const version of exportedOf(history, this.image.ranges, this.gcThreshold, isLostRow)) {
        if (after !== undefined && version.key.equals(start) && version.commitTs <= after) continue;
        if (versions.length > 0 && bytes >= maxBytes) {
          const last = versions.at(-1)!;
          return { versions, next: { start: last.key, after: last.commitTs } };
        }
        versions.push(version);
        bytes += version.key.length + (version.value?.length ?? 0);
      }
    }
    return { versions, next: undefined };
  }

  side(key: Buffer, name: Buffer): Buffer | undefined {
    this.assertOpen();
    return this.image.sides.get(sideName(key, name))?.value;
  }

  *residentSides(): Iterable<SideRow> {
    for (const row of this.image.sides.values()) if (row.name[0]! < 0x80) yield row;
  }

  async exportSides({ start, end, from, maxBytes }: ExportSidesRequest): Promise<SidePage> {
    this.assertOpen();
    const sides: SideRow[] = [];
    let bytes = 0;
    for (const place of [...this.image.sides.keys()].sort()) {
      const row = this.image.sides.get(place)!;
      if (!isWithin(row.key, start, end) || (from !== undefined && place < from.toString('latin1'))) continue;
      if (bytes >= maxBytes && sides.length > 0) return { sides, next: Buffer.from(place, 'latin1') };
      sides.push(row);
      bytes += place.length + row.value.length;
    }
    return { sides, next: undefined };
  }

  async expired(atTs: HlcTimestamp, limit: number): Promise<{ key: Buffer; commitTs: HlcTimestamp }[]> {
    this.assertOpen();
    this.expiredCalls++;
    const found: { key: Buffer; commitTs: HlcTimestamp }[] = [];
    for (const { key, versions } of this.image.histories.values()) {
      const { expireTs, commitTs } = versions.at(-1)!;
      if (found.length >= limit || expireTs === 0n || expireTs > atTs || !this.isLive(key)) continue;
      found.push({ key, commitTs });
    }
    return found;
  }

  private isLive(key: Buffer): boolean {
    return this.latest(key)?.isTombstone === false;
  }

  async countRange(counterClass: number, start: Buffer, end: Buffer | undefined): Promise<number> {
    this.assertOpen();
    const isCounted = ({ key }: History): boolean => this.counterClassOf(key) === counterClass && this.isLive(key);
    return this.histories(start, end).filter(isCounted).length;
  }

  liveKeys(counterClass = 0): number {
    let count = 0;
    for (const { key } of this.image.histories.values()) {
      if (this.counterClassOf(key) === counterClass && this.isLive(key)) count++;
    }
    return count;
  }

  async settleCounters(): Promise<void> {}

  // ---- writes

  prepareVersion(write: VersionToWrite): PreparedVersion {
    return prepareVersion(write, undefined, Number.POSITIVE_INFINITY);
  }

  write(): StoreWriter {
    this.assertOpen();
    assert(this.openUnit === undefined, 'a unit of changes is open already');
    this.openUnit = new UnitWriter((unit, index) => this.commitUnit(unit, index));
    return this.openUnit;
  }

  setGcThreshold(writer: StoreWriter, threshold: HlcTimestamp): void {
    assert(writer === this.openUnit, 'the threshold belongs to the unit that is open');
    (writer as UnitWriter).gcThreshold = threshold;
  }

  private commitUnit(unit: UnitWriter, index: LogIndex): void {
    const { image } = this;
    assert(unit === this.openUnit, 'a unit is committed once');
    assert(index > image.appliedIndex, `unit ${index} cannot follow ${image.appliedIndex}`);
    this.openUnit = undefined;
    for (const range of unit.ranges) this.deleteRange(range);
    for (const version of unit.versions) this.addVersion(version, index, unit.ranges.length > 0);
    for (const { key, name, value } of unit.sides) {
      if (value === undefined) image.sides.delete(sideName(key, name));
      else image.sides.set(sideName(key, name), { key, name, value: Buffer.isBuffer(value) ? value : value.encode() });
    }
    for (const { start, end } of unit.drops) this.drop(start, end);
    for (const { name, value } of unit.meta) image.meta.set(name, value);
    if (unit.gcThreshold !== undefined && unit.gcThreshold > image.gcThreshold) image.gcThreshold = unit.gcThreshold;
    image.appliedIndex = index;
  }

  private deleteRange(range: DeletedRange): void {
    assert(range.ts >= this.image.maxCommitTs, 'a range delete must not be older than what it deletes');
    this.image.maxCommitTs = range.ts;
    this.image.ranges.push(range);
  }

  private addVersion(pending: UnitWriter['versions'][number], index: LogIndex, hasRanges: boolean): void {
    const { key, commitTs, expireTs, value } = pending;
    const { image } = this;
    assert(!this.isDropped(key), 'a range that is being dropped is not written to');
    const deletedTs = newestDelete(image.ranges, key);
    assert(commitTs > deletedTs || hasRanges, 'a version must be newer than the range delete before it');
    const name = key.toString('latin1');
    const history = image.histories.get(name) ?? { key, versions: [] };
    image.histories.set(name, history);
    const last = history.versions.at(-1);
    if (last?.commitTs === commitTs && last.index === index) history.versions.pop();
    else assert(last === undefined || commitTs > last.commitTs, 'a version must be newer than the one before it');
    if (pending.isTombstone || commitTs <= deletedTs) {
      history.versions.push({ commitTs, isTombstone: true, expireTs: NEVER, value: NO_BYTES, index });
    } else history.versions.push({ commitTs, isTombstone: false, expireTs, value, index });
    if (commitTs > image.maxCommitTs) image.maxCommitTs = commitTs;
  }

  // ---- drops

  private drop(start: Buffer, end: Buffer | undefined): void {
    const { image } = this;
    for (const { key } of this.histories(start, end)) image.histories.delete(key.toString('latin1'));
    for (const [place, { key }] of image.sides) if (isWithin(key, start, end)) image.sides.delete(place);
    image.ranges = image.ranges.flatMap((range) => cutOut(range, start, end));
    this.drops.push({ start, end, done: Promise.withResolvers() });
    // As in a real store, the range is free only some time after the unit.
    if (!this.holdDrops) queueMicrotask(() => this.carryOutDrops());
  }

  dropping(start: Buffer, end: Buffer | undefined): Promise<void> | undefined {
    const overlapping = this.drops.filter(
      (drop) =>
        (end === undefined || Buffer.compare(drop.start, end) < 0) &&
        (drop.end === undefined || Buffer.compare(start, drop.end) < 0),
    );
    if (overlapping.length === 0) return undefined;
    return Promise.all(overlapping.map(({ done }) => done.promise)).then(() => undefined);
  }

  /** Lets the drops happen that were held back. */
  carryOutDrops(): void {
    for (const { done } of this.drops.splice(0)) done.resolve();
  }

  // ---- maintenance

  pressure(): Promise<void> | undefined {
    return undefined;
  }

  async flush(): Promise<void> {
    this.assertOpen();
    const { appliedIndex } = this;
    if (appliedIndex > this.logged) {
      await new Promise<void>((wake) => this.logWaits.push({ index: appliedIndex, wake }));
      this.assertOpen();
    }
    this.durableIndex = Math.max(this.durableIndex, appliedIndex);
  }

  logStable(index: LogIndex): void {
    this.logged = index;
    for (const wait of this.logWaits.splice(0)) {
      if (wait.index <= index) wait.wake();
      else this.logWaits.push(wait);
    }
  }

  async collectGarbage(): Promise<boolean> {
    this.assertOpen();
    if (this.drops.length > 0) return false;
    this.collectedSlices++;
    if (this.collectedSlices % SLICES_A_PASS !== 0) return false;
    const { histories, ranges, gcThreshold } = this.image;
    // Heads as they are, because what goes of them is of no account for their rows.
    const lost = new Set([...histories.values()].filter(({ key }) => isLost(this.image, this.bodies, key)));
    for (const [name, history] of histories) {
      const versions = purgedOf(history, ranges, gcThreshold, lost.has(history));
      if (versions.length === 0) histories.delete(name);
      else histories.set(name, { key: history.key, versions });
    }
    this.image.ranges = ranges.filter(({ ts }) => ts > gcThreshold);
    return true;
  }

  async digest(): Promise<string> {
    this.assertOpen();
    return createHash('sha256').update(digestible(this.image, this.bodies)).digest('hex');
  }

  // ---- copies

  async exportSegments(describe: (meta: MetaOf, appliedIndex: LogIndex) => CopyFacts): Promise<StoreCut> {
    await this.flush();
    return cutImage(this.image, describe);
  }

  async stageImport(manifest: CopyManifest): Promise<StoreImport> {
    this.assertOpen();
    return new StagedImage(manifest, this.received, (image) => {
      this.assertOpen();
      assert(this.openUnit === undefined, 'a copy cannot be installed in the middle of a unit');
      this.image = image;
      this.durableIndex = image.appliedIndex;
      this.carryOutDrops();
    });
  }

  async close(): Promise<void> {
    if (this.closed !== undefined) return;
    if (this.appliedIndex <= this.logged) await this.flush();
    this.closed = new StoreClosedError('memory');
    for (const { wake } of this.logWaits.splice(0)) wake();
    for (const { done } of this.drops.splice(0)) {
      done.promise.catch(() => {});
      done.reject(this.closed);
    }
  }
}
