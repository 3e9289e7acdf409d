/**
 * The MVCC store of one group. Writes are applied synchronously to a buffer in memory and are visible at once; a flush
 * moves the buffer to LevelDB as one synced batch that carries the applied index, so what is on disk is always the state
 * at exactly one index. At most one batch is under way; garbage collection takes the same mutex.
 */
import { assert, type HlcTimestamp, type LogIndex, NEVER, SystemClock, SystemScheduler } from '../../platform/index.ts';
import {
  DEFAULT_STORE_LIMITS,
  type ExportPage,
  type ExportRequest,
  type ExportSidesRequest,
  type GroupStore,
  type GroupStoreOptions,
  type LatestVersion,
  type PreparedVersion,
  type SidePage,
  type SideRow,
  type StoreImport,
  type StoreLimits,
  type StorePressures,
  type StoreRow,
  type StoreScanPage,
  type StoreScanRequest,
  type StoreWriter,
  type VersionToWrite,
} from '../contract/index.ts';
import { digestStore, StoreCopies, StoreSwap } from '../copies/index.ts';
import { KeyCounters, RANGE_COUNT_PENDING, RANGE_COUNTED, type Uncounted } from '../counters/index.ts';
import {
  ChangeNotes,
  exportSides,
  Flusher,
  movedBase,
  type PendingVersion,
  prepareVersion,
  rangeBytesOnDisk,
  SideRows,
  UnitWriter,
  versionOf,
} from '../flush/index.ts';
import { GarbageCollector, HistoryBytes } from '../gc/index.ts';
import {
  type BatchMutex,
  databaseBytes,
  type Level,
  type LevelOperation,
  type OpenLevel,
  writeChained,
} from '../level/index.ts';
import type { LoadedStore } from '../load/index.ts';
import {
  BEHIND_ALL_NAMES,
  DeadRanges,
  type DroppedRange,
  encodeDrop,
  encodeDropKey,
  type RangeDrop,
  RangeDrops,
} from '../ranges/index.ts';
import {
  findExpired,
  HistoryExporter,
  hasManyUnnamed,
  NewestRows,
  type ReadView,
  readAt,
  readWhenNamed,
  Scans,
  scanPage,
  versionAt,
} from '../reads/index.ts';
import {
  assertReadable,
  encodeMetaKey,
  encodeRangeKey,
  nameOf,
  openFailure,
  type RangeTombstones,
  StoreClosedError,
} from '../rows/index.ts';
import type { CopyManifest, CutOptions, StoreCut } from '../segments/index.ts';
import { pressuresOf } from './pressures.ts';

const EMPTY = Buffer.alloc(0);
/** Keys that no row has, before and behind all that do. */
const NO_ROW = Buffer.from([0]);
const BEHIND_ALL_ROWS = Buffer.from([0xff]);

/** Made by `openGroupStore`. */
export class MvccGroupStore implements GroupStore {
  private readonly options: GroupStoreOptions;
  private readonly limits: StoreLimits;
  private level: Level;
  private applied: LogIndex;
  private threshold: HlcTimestamp;
  /** Versions that only reads below it see may have been left out before the group's threshold came by in the log again. */
  private floor: HlcTimestamp;
  private maxCommitTs: HlcTimestamp;
  private metaValues: Map<string, Buffer>;
  private ranges: RangeTombstones;
  private readonly counters: KeyCounters;
  private readonly newest: NewestRows;
  private readonly dead = new DeadRanges();
  private openUnit: UnitWriter | undefined;
  private readonly scans = new Scans();
  private readonly history = new HistoryBytes();
  private readonly flusher: Flusher;
  private isClosed = false;
  private readonly mutex: BatchMutex;
  private readonly openLevel: OpenLevel;
  private readonly collector: GarbageCollector;
  private readonly drops: RangeDrops;
  private readonly sides: SideRows;
  private readonly exporter: HistoryExporter;
  private readonly copies: StoreCopies;
  private readonly swap: StoreSwap;
  private readonly notes: ChangeNotes;
  readonly changesSince: ChangeNotes['since'];

  constructor(options: GroupStoreOptions, mutex: BatchMutex, openLevel: OpenLevel, level: Level, loaded: LoadedStore) {
    this.options = options;
    this.limits = { ...DEFAULT_STORE_LIMITS, ...options.limits };
    this.notes = new ChangeNotes(options.notesChanges ?? (() => false));
    this.changesSince = (above) => this.notes.since(above);
    this.newest = new NewestRows({
      ...options,
      limits: this.limits,
      isEmpty: loaded.isEmpty,
      level: () => this.level,
      generations: () => this.flusher.generations,
      lentBytes: () => this.flusher.lentBytes,
      assertUsable: () => this.mutex.assertUsable(),
    });
    this.mutex = mutex;
    this.openLevel = openLevel;
    this.level = level;
    this.applied = loaded.state.appliedIndex;
    const { limits } = this;
    const scheduler = options.scheduler ?? new SystemScheduler();
    const clock = options.clock ?? new SystemClock();
    this.flusher = new Flusher({ ...options, limits, clock, scheduler, mutex }, this.applied, {
      level: () => this.level,
      applied: () => this.applied,
      state: () => ({
        appliedIndex: this.applied,
        gcThreshold: this.threshold,
        maxCommitTs: this.maxCommitTs,
        counters: this.counters.snapshot(),
      }),
      readableFrom: () => (this.drops.isEmpty && !this.counters.isCounting ? this.readableFrom : NEVER),
      threshold: () => this.threshold,
      maxCommitTs: () => this.maxCommitTs,
      seenFrom: (readableFrom) => this.scans.seenFrom(readableFrom, this.applied),
      leftOut: (bytes) => this.history.leftOut(bytes),
      flushed: (generation, known) => this.newest.flushed(generation, known),
      freezing: (generation) => this.sides.freeze(generation),
      reopen: () => this.reopen(),
    });
    this.swap = new StoreSwap({
      location: options.location,
      mutex,
      flusher: this.flusher,
      level: () => this.level,
      isClosed: () => this.isClosed,
      quiet: () => this.quiet(),
      resume: () => this.drops.resume(),
      adopt: (adopted, rows) => this.adopt(adopted, rows),
    });
    this.copies = new StoreCopies(options, openLevel, (exchange) => this.swap.run(exchange));
    this.threshold = loaded.state.gcThreshold;
    this.floor = loaded.floor;
    this.maxCommitTs = loaded.state.maxCommitTs;
    this.metaValues = loaded.meta;
    this.ranges = loaded.ranges;
    this.sides = new SideRows(loaded.sides);
    this.counters = new KeyCounters(options, loaded.state.counters, loaded.uncounted, {
      scanning: (readTs, scan) => this.scans.run(this.view(), readTs, scan),
      ranges: () => this.ranges,
      drops: () => this.drops.ranges,
      markCounted: (counted) => this.markCounted(counted),
      pageBytes: this.limits.scanPageBytes,
    });
    const { removed } = this.history;
    this.collector = new GarbageCollector(clock, options.location, options.bodies, {
      level: () => this.level,
      ranges: () => this.ranges,
      threshold: () => this.threshold,
      isBuffered: (key) => this.newest.isBuffered(nameOf(key)),
      flushes: () => this.flusher.flushes,
      settleCounters: () => this.settleCounters(),
      flush: () => this.flush(),
      write: (build) => this.writeInLane(build),
      removed,
      beginWalk: (lastKeys) => this.newest.beginWalk(lastKeys),
      forgetRanges: (upTo) => {
        this.ranges = this.ranges.withoutUpTo(upTo);
        // What the ranges hid must not come back from here.
        this.newest.clear();
      },
    });
    this.drops = new RangeDrops(
      {
        location: options.location,
        level: () => this.level,
        count: () => this.counters.settle(),
        flush: () => this.flush(),
        stopCollecting: () => this.collector.stop(),
        write: (build) => this.writeInLane(build),
        removed,
        finish: (drop) => this.finishDrop(drop),
        fail: (error) => this.mutex.fail(error),
      },
      loaded.drops,
    );
    this.exporter = new HistoryExporter({
      flush: () => this.flush(),
      view: () => this.view(),
      threshold: () => this.threshold,
      bodies: options.bodies,
    });
    this.drops.start();
  }

  get appliedIndex(): LogIndex {
    return this.applied;
  }

  get durableIndex(): LogIndex {
    return this.flusher.durable;
  }

  get gcThreshold(): HlcTimestamp {
    return this.threshold;
  }

  get readableFrom(): HlcTimestamp {
    if (this.floor < this.threshold) return this.threshold;
    return this.floor;
  }

  meta(name: string): Buffer | undefined {
    return this.metaValues.get(name);
  }

  // ---- reads

  latest(key: Buffer, name: string = nameOf(key)): LatestVersion | undefined {
    if (!this.drops.isEmpty && this.drops.covers(key)) return undefined;
    const found = this.newest.whole(key, name);
    if (!this.ranges.isEmpty) {
      const rangeTs = this.ranges.newest(key);
      if (rangeTs > this.threshold && (found === undefined || rangeTs >= found.commitTs)) {
        const hidden = found === undefined ? {} : { hiddenTs: found.commitTs };
        return { commitTs: rangeTs, isTombstone: true, isOfRange: true, ...hidden, expireTs: NEVER, value: EMPTY };
      }
      if (found === undefined || rangeTs >= found.commitTs) return undefined;
    }
    if (found === undefined || (found.isTombstone && found.commitTs <= this.threshold)) return undefined;
    return found;
  }

  private view(): ReadView {
    this.mutex.assertUsable();
    return {
      location: this.options.location,
      level: this.level,
      generations: this.flusher.generations,
      ranges: this.ranges,
      dropped: this.drops.ranges,
      appliedIndex: this.applied,
      nextTurn: this.flusher.nextTurn,
      dead: this.dead,
    };
  }

  async get(key: Buffer, readTs: HlcTimestamp): Promise<StoreRow | undefined> {
    assertReadable(readTs, this.readableFrom);
    const view = this.view();
    if (!hasManyUnnamed(key, view)) return readAt(key, readTs, view);
    return this.scans.run(view, readTs, (seen) => readWhenNamed(key, readTs, seen));
  }

  async scan(request: StoreScanRequest): Promise<StoreScanPage> {
    assertReadable(request.readTs, this.readableFrom);
    if (request.limit <= 0 || Buffer.compare(request.start, request.end) >= 0) return { rows: [], next: undefined };
    const { scanPageBytes: pageBytes, deadRunRows } = this.limits;
    const options = { pageBytes, deadRunRows, bodies: this.options.bodies };
    return this.scans.run(this.view(), request.readTs, (view) => scanPage(view, request, options));
  }

  async approximateBytes(start: Buffer, end: Buffer | undefined): Promise<number | undefined> {
    return this.mutex.unusable !== undefined ? undefined : rangeBytesOnDisk(this.level, start, end);
  }

  async exportVersions(request: ExportRequest): Promise<ExportPage> {
    return this.exporter.page(request);
  }

  side(key: Buffer, name: Buffer): Buffer | undefined {
    this.mutex.assertUsable();
    if (!this.drops.isEmpty && this.drops.covers(key)) return undefined;
    return this.sides.read(key, name, [this.flusher.active, this.flusher.flushing], this.level);
  }

  residentSides(): Iterable<SideRow> {
    return this.sides.list();
  }

  async exportSides(request: ExportSidesRequest): Promise<SidePage> {
    if (request.from === undefined) await this.flush();
    return exportSides(this.level, this.options.location, this.drops.ranges, request);
  }

  async versionAt(key: Buffer, commitTs: HlcTimestamp): Promise<LatestVersion | undefined> {
    return versionAt(key, commitTs, this.view());
  }

  dropping(start: Buffer, end: Buffer | undefined): Promise<void> | undefined {
    return this.drops.dropping({ start, end });
  }

  async countRange(counterClass: number, start: Buffer, end: Buffer | undefined): Promise<number> {
    if (end !== undefined && Buffer.compare(start, end) >= 0) return 0;
    return (await this.counters.countKeys(start, end, this.maxCommitTs, {})).get(counterClass) ?? 0;
  }

  liveKeys(counterClass: number): number {
    return this.counters.count(counterClass);
  }

  settleCounters(): Promise<void> {
    return this.counters.settle();
  }

  async expired(
    atTs: HlcTimestamp,
    limit: number,
  ): Promise<{ readonly key: Buffer; readonly commitTs: HlcTimestamp }[]> {
    return findExpired(this.view(), (key) => this.latest(key), atTs, limit);
  }

  // ---- writes

  write(): StoreWriter {
    this.mutex.assertUsable();
    assert(this.openUnit === undefined, 'a unit of changes is open already');
    const unit = new UnitWriter((done, index) => this.commitUnit(done, index));
    this.openUnit = unit;
    return unit;
  }

  prepareVersion(write: VersionToWrite): PreparedVersion {
    return prepareVersion(write, this.newest.hold(write.key, write.name), this.limits.inlineBytes);
  }

  setGcThreshold(writer: StoreWriter, threshold: HlcTimestamp): void {
    assert(writer === this.openUnit, 'the threshold belongs to the unit that is open');
    (writer as UnitWriter).gcThreshold = threshold;
  }

  private commitUnit(unit: UnitWriter, index: LogIndex): void {
    assert(unit === this.openUnit, 'a unit is committed once');
    assert(index > this.applied, `unit ${index} cannot follow ${this.applied}`);
    this.openUnit = undefined;
    this.mutex.assertUsable();
    this.notes.note(unit, this.maxCommitTs);
    // Range deletes first: what is visible is decided by timestamps alone, and so the counters see one order only.
    for (const range of unit.ranges) this.applyRange(range, index);
    const hasRanges = unit.ranges.length > 0;
    for (const version of unit.versions) this.applyVersion(version, index, hasRanges);
    this.newest.release();
    for (const { key, name, value, keyName } of unit.sides) {
      this.sides.set(this.flusher.active, key, name, value, keyName);
    }
    for (const [ordinal, range] of unit.drops.entries()) this.applyDrop(range, index, encodeDropKey(index, ordinal));
    for (const { name, value } of unit.meta) {
      const kept = Buffer.from(value);
      this.metaValues.set(name, kept);
      this.flusher.active.setRow(encodeMetaKey(name), kept);
    }
    if (unit.gcThreshold !== undefined && unit.gcThreshold > this.threshold) this.threshold = unit.gcThreshold;
    this.applied = index;
    if (hasRanges || unit.drops.length > 0) this.counters.start();
    if (unit.drops.length > 0) this.drops.start();
    this.flusher.schedule();
  }

  private applyRange({ start, end, ts }: { start: Buffer; end: Buffer; ts: HlcTimestamp }, index: LogIndex): void {
    assert(ts >= this.maxCommitTs, 'a range delete must not be older than what it deletes');
    this.maxCommitTs = ts;
    const same = this.ranges.all.find((other) => other.ts === ts && other.start.equals(start));
    const last = same !== undefined && Buffer.compare(same.end, end) > 0 ? same.end : end;
    const range = { start: Buffer.from(start), end: Buffer.from(last), ts };
    const isCounted = this.counters.resetCovered(range);
    this.ranges = this.ranges.with(range);
    this.history.rangeDeleted();
    this.dead.add({ start: nameOf(range.start), end: nameOf(range.end), sinceTs: ts, index });
    const flag = isCounted ? RANGE_COUNTED : RANGE_COUNT_PENDING;
    this.flusher.active.setRow(encodeRangeKey(ts, range.start), Buffer.concat([flag, range.end]));
  }

  private applyDrop({ start, end }: DroppedRange, index: LogIndex, rowKey: Buffer): void {
    const kept = { start: Buffer.from(start), end: end && Buffer.from(end) };
    const drop: RangeDrop = { ...kept, ts: this.maxCommitTs, rowKey, isCounted: false };
    this.flusher.active.setRow(rowKey, encodeDrop(drop));
    this.drops.add(drop);
    this.sides.drop(drop);
    const endName = end === undefined ? BEHIND_ALL_NAMES : nameOf(end);
    this.dead.add({ start: nameOf(start), end: endName, sinceTs: NEVER, index });
    this.counters.drop(drop);
  }

  /** The rows of the range are gone; what hid some of them goes with the mark of the drop. */
  private finishDrop(drop: RangeDrop): void {
    const { left, removed, added } = this.ranges.clipped(drop.start, drop.end, drop.ts);
    this.ranges = left;
    for (const { ts, start } of removed) this.flusher.active.deleteRow(encodeRangeKey(ts, start));
    for (const { ts, start, end } of added) {
      this.flusher.active.setRow(encodeRangeKey(ts, start), Buffer.concat([RANGE_COUNTED, end]));
    }
    this.flusher.active.deleteRow(drop.rowKey);
  }

  private markCounted({ kind, range }: Uncounted): void {
    if (kind === 'drop') this.flusher.active.setRow(range.rowKey, encodeDrop({ ...range, isCounted: true }));
    else this.flusher.active.setRow(encodeRangeKey(range.ts, range.start), Buffer.concat([RANGE_COUNTED, range.end]));
  }

  private applyVersion(pending: PendingVersion, index: LogIndex, hasRanges: boolean): void {
    const { key, commitTs } = pending;
    const { active } = this.flusher;
    const { name = nameOf(key) } = pending;
    assert(this.drops.isEmpty || !this.drops.covers(key), 'a range that is being dropped is not written to');
    const rangeTs = this.ranges.isEmpty ? NEVER : this.ranges.newest(key);
    assert(commitTs > rangeTs || hasRanges, 'a version must be newer than the range delete before it');
    // A range delete of the same unit takes it before it was ever seen; as a tombstone it cannot be counted later.
    const isTombstone = pending.isTombstone || commitTs <= rangeTs;
    if (!isTombstone) this.dead.written(name);
    const written = versionOf(pending, isTombstone, this.limits.inlineBytes);
    const known = this.newest.toWrite(key, name, pending.known);
    const wasLive = known.isPut && (rangeTs === NEVER || known.isAbove(rangeTs));
    const isCollected = known.generation === active;
    const isSameUnit = isCollected && known.isAt(commitTs) && active.indexOf(known.slot) === index;
    assert(isSameUnit || known.isBelow(commitTs), 'a version must be newer than the one before it');
    if (!isSameUnit) this.history.overwritten(known.rowBytes);
    if (!isCollected) {
      const base = known.newest;
      const moved = base === undefined ? undefined : movedBase(key, base, this.ranges, this.collector.forgettingUpTo);
      active.add(known, written, index, moved, base?.expireTs ?? NEVER);
    } else if (active.overwrite(known, written, index)) this.flusher.trim(known);
    if (isTombstone) this.history.deleted();
    if (commitTs > this.maxCommitTs) this.maxCommitTs = commitTs;
    else if (commitTs < this.maxCommitTs) this.counters.cameFromPast();
    const isLive = !isTombstone && commitTs > rangeTs;
    if (isLive !== wasLive) this.counters.add(key, isLive ? 1 : -1);
  }

  pressure(): Promise<void> | undefined {
    return this.flusher.pressure();
  }

  flush(): Promise<void> {
    return this.flusher.flush();
  }

  readonly logStable = (index: LogIndex): void => this.flusher.logStable(index);

  forgetCached(): void {
    this.newest.clear();
  }

  /** The database anew, from what is really on disk; what is in memory stays as it is. */
  private async reopen(): Promise<void> {
    const { location } = this.options;
    await this.level.close();
    this.level = this.openLevel(location);
    try {
      await this.level.open();
    } catch (error) {
      throw openFailure(location, error);
    }
  }

  /** Writes rows that change no answer, built when the mutex is free, so that nothing is between buffer and disk. */
  private writeInLane(build: () => LevelOperation[]): Promise<void> {
    return this.mutex.run(async () => {
      const operations = build();
      if (operations.length === 0) return;
      await this.flusher.write(() => writeChained(this.level, operations));
      this.newest.removed(operations);
    });
  }

  // ---- maintenance

  async collectGarbage(budgetMs: number, budgetBytes = Number.POSITIVE_INFINITY): Promise<boolean> {
    this.mutex.assertUsable();
    // What a pass saw in such a range could be deleted when it has come back, and what it saw in another database at all.
    if (!this.drops.isEmpty || this.swap.isUnderWay) return false;
    const before = this.collector.lastPass;
    const isComplete = await this.collector.run({ ms: budgetMs, bytes: budgetBytes });
    if (this.collector.lastPass !== before) this.history.sinceLastPass = 0;
    return isComplete;
  }

  get historyBytes(): number {
    return this.history.total;
  }

  pressures(): StorePressures {
    const { flusher, collector, limits, history } = this;
    const level = this.mutex.unusable === undefined ? this.level : undefined;
    return pressuresOf({ flusher, collector, limits, level, history });
  }

  diskBytes(): number | undefined {
    return this.mutex.unusable === undefined ? databaseBytes(this.level) : undefined;
  }

  async compact(): Promise<void> {
    this.mutex.assertUsable();
    this.history.removedBytes = 0;
    await this.level.compact?.(NO_ROW, BEHIND_ALL_ROWS);
  }

  async digest(): Promise<string> {
    await this.drops.dropping({ start: EMPTY, end: undefined });
    await this.counters.settle();
    await this.flush();
    return digestStore(this.level, this.options.location, this.options.bodies);
  }

  async exportSegments(describe: CutOptions['describe']): Promise<StoreCut> {
    await this.flush();
    return this.copies.cut(this.level, describe, this.mutex);
  }

  stageImport(manifest: CopyManifest): Promise<StoreImport> {
    return this.copies.stage(manifest);
  }

  /** Nothing is written any more but what is applied, and of that everything is on disk. */
  private async quiet(): Promise<void> {
    assert(this.openUnit === undefined, 'a copy cannot be installed in the middle of a unit');
    await this.drops.pause();
    await this.collector.stop();
    await this.counters.settle();
    await this.flush();
  }

  private adopt(level: Level, loaded: LoadedStore): void {
    this.level = level;
    this.notes.forget();
    this.newest.forget();
    this.dead.clear();
    this.applied = loaded.state.appliedIndex;
    this.flusher.reset(this.applied);
    this.threshold = loaded.state.gcThreshold;
    this.floor = loaded.floor;
    this.maxCommitTs = loaded.state.maxCommitTs;
    this.metaValues = loaded.meta;
    this.ranges = loaded.ranges;
    this.sides.reset(loaded.sides);
    this.drops.reset(loaded.drops);
    this.counters.reset(loaded.state.counters, loaded.uncounted);
    this.drops.resume();
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.flusher.stop();
    try {
      await this.swap.idle();
      await this.drops.pause();
      await this.collector.stop();
      if (this.mutex.unusable === undefined && this.flusher.isLogged) {
        await this.counters.settle();
        await this.flush();
        await this.flusher.seal(NO_ROW);
      }
    } finally {
      // Whatever could not be written: a database that stays open cannot be opened again.
      this.mutex.unusable = new StoreClosedError(this.options.location);
      this.drops.forget(this.mutex.unusable);
      await this.mutex.idle();
      await this.level.close();
    }
  }
}
