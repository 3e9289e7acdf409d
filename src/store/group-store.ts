/**
 * The MVCC store of one group. Writes are applied synchronously to a buffer in memory and are visible at once; a flush
 * moves the buffer to LevelDB as one synced batch that carries the applied index, so what is on disk is always the state
 * at exactly one index. At most one batch is under way; garbage collection takes its turn in the same lane.
 */
import {
  assert,
  type Cancel,
  type HlcTimestamp,
  hlcTimestamp,
  type LogIndex,
  type Scheduler,
  SystemClock,
  SystemScheduler,
} from '../platform/index.ts';
import { type BaseVersion, BufferedKey, BufferedVersion, Generation } from './apply-buffer.ts';
import {
  decodeExpiryKey,
  decodeKey,
  decodeVersion,
  encodeExpiryKey,
  encodeMetaKey,
  encodeRangeKey,
  encodeVersion,
  maxEncodedBytes,
  nameOf,
  RowKind,
  writeDescending,
  writeKey,
} from './codec.ts';
import { KeyCounters, RANGE_COUNT_PENDING, RANGE_COUNTED } from './counters.ts';
import { openFailure, SnapshotTooOldError, StoreClosedError, StoreFailedError } from './errors.ts';
import { digestStore, exportStore } from './export.ts';
import { encodeGeneration } from './flush.ts';
import { GarbageCollector } from './garbage.ts';
import { StagedImport } from './import.ts';
import { DiskLevelFolders, type Level, type LevelOperation, openClassicLevel } from './level.ts';
import { type LoadedStore, loadStore, recoverFolders } from './load.ts';
import type { RangeTombstones } from './range-tombstones.ts';
import { type ReadView, readAt, scanPage } from './reads.ts';
import { type RecentVersion, RecentVersions } from './recent-versions.ts';
import type {
  GroupStore,
  GroupStoreOptions,
  LatestVersion,
  StoreImport,
  StoreLimits,
  StoreRow,
  StoreScanPage,
  StoreScanRequest,
  StoreWriter,
} from './types.ts';
import { type PendingVersion, UnitWriter } from './unit-writer.ts';

const EMPTY = Buffer.alloc(0);
const NEVER = hlcTimestamp(0n);

/** Defaults of `StoreLimits`; docs/design/store.md says why. */
export const DEFAULT_STORE_LIMITS: StoreLimits = {
  inlineBytes: 512,
  flushBytes: 1 << 20,
  flushIntervalMs: 200,
  bufferBytes: 32 << 20,
  cacheBytes: 128 << 20,
  scanPageBytes: 8 << 20,
};

class MvccGroupStore implements GroupStore {
  private readonly options: GroupStoreOptions;
  private readonly limits: StoreLimits;
  private readonly scheduler: Scheduler;
  private level: Level;
  /** Undefined while the store is usable; else why it is not. */
  private unusable: Error | undefined;
  private applied: LogIndex;
  private durable: LogIndex;
  private threshold: HlcTimestamp;
  private maxCommitTs: HlcTimestamp;
  private metaValues: Map<string, Buffer>;
  private ranges: RangeTombstones;
  private readonly counters: KeyCounters;
  private active = new Generation();
  private flushing: Generation | undefined;
  /** What L rows on disk hold, for keys that are in no generation. */
  private readonly recent: RecentVersions;
  private openUnit: UnitWriter | undefined;
  /** The flush that takes what is applied now; undefined when none is waiting. */
  private nextFlush: Promise<void> | undefined;
  /** Batches go to LevelDB one after another: this is the end of the queue. */
  private lane: Promise<void> = Promise.resolve();
  private cancelTimer: Cancel | undefined;
  private readonly collector: GarbageCollector;
  /** Encoded key of the point read that is being made. */
  private scratch: Buffer = Buffer.allocUnsafeSlow(1024);

  constructor(options: GroupStoreOptions, level: Level, loaded: LoadedStore) {
    this.options = options;
    this.limits = { ...DEFAULT_STORE_LIMITS, ...options.limits };
    this.recent = new RecentVersions(this.limits.cacheBytes);
    this.scheduler = options.scheduler ?? new SystemScheduler();
    this.level = level;
    this.applied = loaded.state.appliedIndex;
    this.durable = this.applied;
    this.threshold = loaded.state.gcThreshold;
    this.maxCommitTs = loaded.state.maxCommitTs;
    this.metaValues = loaded.meta;
    this.ranges = loaded.ranges;
    this.counters = new KeyCounters(options, loaded.state.counters, loaded.uncounted, {
      view: () => this.view(),
      ranges: () => this.ranges,
      markCounted: (range) =>
        this.active.setRow(encodeRangeKey(range.ts, range.start), Buffer.concat([RANGE_COUNTED, range.end])),
      pageBytes: this.limits.scanPageBytes,
    });
    this.collector = new GarbageCollector(options.clock ?? new SystemClock(), options.location, {
      level: () => this.level,
      ranges: () => this.ranges,
      threshold: () => this.threshold,
      isBuffered: (key) => this.active.keys.has(nameOf(key)),
      settleCounters: () => this.settleCounters(),
      flush: () => this.flush(),
      write: (build) => this.writeInLane(build),
      forgetRanges: (upTo) => {
        this.ranges = this.ranges.withoutUpTo(upTo);
        // What the ranges hid must not come back from here.
        this.recent.clear();
      },
    });
  }

  get appliedIndex(): LogIndex {
    return this.applied;
  }

  get durableIndex(): LogIndex {
    return this.durable;
  }

  get gcThreshold(): HlcTimestamp {
    return this.threshold;
  }

  meta(name: string): Buffer | undefined {
    return this.metaValues.get(name);
  }

  private assertUsable(): void {
    if (this.unusable !== undefined) throw this.unusable;
  }

  // ---- reads

  latest(key: Buffer): LatestVersion | undefined {
    const name = nameOf(key);
    const found: LatestVersion | undefined =
      this.active.keys.get(name)?.newest ?? this.flushing?.keys.get(name)?.newest ?? this.readNewest(key, name);
    if (!this.ranges.isEmpty) {
      const rangeTs = this.ranges.newest(key);
      if (rangeTs > this.threshold && (found === undefined || rangeTs >= found.commitTs)) {
        return { commitTs: rangeTs, isTombstone: true, expireTs: NEVER, value: EMPTY };
      }
      if (found === undefined || rangeTs >= found.commitTs) return undefined;
    }
    if (found === undefined || (found.isTombstone && found.commitTs <= this.threshold)) return undefined;
    return found;
  }

  /** Encodes a key with kind L into `scratch`. @returns its length */
  private encodeScratch(key: Buffer): number {
    const bound = maxEncodedBytes(key.length);
    if (this.scratch.length < bound) this.scratch = Buffer.allocUnsafeSlow(bound);
    return writeKey(this.scratch, RowKind.Latest, key);
  }

  /** Header and inline value of the newest version on disk. */
  private readRow(key: Buffer, name: string): RecentVersion | undefined {
    const known = this.recent.get(name);
    if (known !== undefined) return known;
    const row = this.level.getSync(this.scratch.subarray(0, this.encodeScratch(key)));
    if (row === undefined) return undefined;
    const newest = decodeVersion(row, this.options.location);
    if (!newest.isValueApart) this.recent.set(name, newest);
    return newest;
  }

  private readNewest(key: Buffer, name: string): LatestVersion | undefined {
    this.assertUsable();
    const newest = this.readRow(key, name);
    if (newest === undefined || !newest.isValueApart) return newest;
    const keyBytes = this.encodeScratch(key);
    this.scratch[0] = RowKind.Version;
    const end = writeDescending(this.scratch, newest.commitTs, keyBytes);
    const apart = this.level.getSync(this.scratch.subarray(0, end));
    assert(apart !== undefined, `the store in ${this.options.location} lost a value`);
    return decodeVersion(apart, this.options.location);
  }

  private view(): ReadView {
    this.assertUsable();
    return {
      location: this.options.location,
      level: this.level,
      generations: this.flushing === undefined ? [this.active] : [this.active, this.flushing],
      ranges: this.ranges,
      appliedIndex: this.applied,
    };
  }

  private assertReadable(readTs: HlcTimestamp): void {
    if (readTs < this.threshold) throw new SnapshotTooOldError(readTs, this.threshold);
  }

  async get(key: Buffer, readTs: HlcTimestamp): Promise<StoreRow | undefined> {
    this.assertReadable(readTs);
    return readAt(key, readTs, this.view());
  }

  async scan(request: StoreScanRequest): Promise<StoreScanPage> {
    this.assertReadable(request.readTs);
    if (request.limit <= 0 || Buffer.compare(request.start, request.end) >= 0) return { rows: [], next: undefined };
    return scanPage(this.view(), request, { pageBytes: this.limits.scanPageBytes });
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
    const { level, generations } = this.view();
    const found = new Map<string, { key: Buffer; commitTs: HlcTimestamp }>();
    const consider = (key: Buffer): void => {
      const latest = this.latest(key);
      if (latest === undefined || latest.isTombstone || latest.expireTs === NEVER || latest.expireTs > atTs) return;
      found.set(nameOf(key), { key, commitTs: latest.commitTs });
    };
    for (const generation of generations) {
      if (generation.expiringCount === 0) continue;
      for (const { key, newest } of generation.keys.values()) {
        if (found.size >= limit) break;
        if (newest.expireTs !== NEVER && newest.expireTs <= atTs) consider(key);
      }
    }
    const iterator = level.iterator({
      gte: Buffer.from([RowKind.Expiry]),
      lt: encodeExpiryKey(hlcTimestamp(atTs + 1n), EMPTY),
    });
    try {
      while (found.size < limit) {
        const page = await iterator.nextv(256);
        if (page.length === 0) break;
        for (const [row] of page) {
          if (found.size < limit) consider(decodeExpiryKey(row).key);
        }
      }
    } finally {
      await iterator.close();
    }
    return [...found.values()];
  }

  // ---- writes

  write(): StoreWriter {
    this.assertUsable();
    assert(this.openUnit === undefined, 'a unit of changes is open already');
    const unit = new UnitWriter((done, index) => this.commitUnit(done, index));
    this.openUnit = unit;
    return unit;
  }

  setGcThreshold(writer: StoreWriter, threshold: HlcTimestamp): void {
    assert(writer === this.openUnit, 'the threshold belongs to the unit that is open');
    (writer as UnitWriter).gcThreshold = threshold;
  }

  private commitUnit(unit: UnitWriter, index: LogIndex): void {
    assert(unit === this.openUnit, 'a unit is committed once');
    assert(index > this.applied, `unit ${index} cannot follow ${this.applied}`);
    this.openUnit = undefined;
    this.assertUsable();
    // Range deletes first: what is visible is decided by timestamps alone, and so the counters see one order only.
    for (const range of unit.ranges) this.applyRange(range);
    const hasRanges = unit.ranges.length > 0;
    for (const version of unit.versions) this.applyVersion(version, index, hasRanges);
    for (const { name, value } of unit.meta) {
      const kept = Buffer.from(value);
      this.metaValues.set(name, kept);
      this.active.setRow(encodeMetaKey(name), kept);
    }
    if (unit.gcThreshold !== undefined && unit.gcThreshold > this.threshold) this.threshold = unit.gcThreshold;
    this.applied = index;
    if (hasRanges) this.counters.start();
    this.scheduleFlush();
  }

  private applyRange({ start, end, ts }: { start: Buffer; end: Buffer; ts: HlcTimestamp }): void {
    assert(ts >= this.maxCommitTs, 'a range delete must not be older than what it deletes');
    this.maxCommitTs = ts;
    const same = this.ranges.all.find((other) => other.ts === ts && other.start.equals(start));
    const last = same !== undefined && Buffer.compare(same.end, end) > 0 ? same.end : end;
    const range = { start: Buffer.from(start), end: Buffer.from(last), ts };
    const isCounted = this.counters.resetCovered(range);
    this.ranges = this.ranges.with(range);
    const flag = isCounted ? RANGE_COUNTED : RANGE_COUNT_PENDING;
    this.active.setRow(encodeRangeKey(ts, range.start), Buffer.concat([flag, range.end]));
  }

  private applyVersion(pending: PendingVersion, index: LogIndex, hasRanges: boolean): void {
    const { key, commitTs, expireTs, value } = pending;
    const name = nameOf(key);
    const rangeTs = this.ranges.isEmpty ? NEVER : this.ranges.newest(key);
    assert(commitTs > rangeTs || hasRanges, 'a version must be newer than the range delete before it');
    // A range delete of the same unit takes it before it was ever seen; as a tombstone it cannot be counted later.
    const isTombstone = pending.isTombstone || commitTs <= rangeTs;
    const buffered = this.active.keys.get(name);
    let wasLive: boolean;
    if (buffered !== undefined) {
      const { newest } = buffered;
      assert(commitTs > newest.commitTs || newest.index === index, 'a version must be newer than the one before it');
      wasLive = !newest.isTombstone && newest.commitTs > rangeTs;
      const older = commitTs === newest.commitTs ? newest.older : newest;
      buffered.newest = new BufferedVersion(
        commitTs,
        isTombstone ? NEVER : expireTs,
        isTombstone,
        isTombstone ? EMPTY : value,
        index,
        older,
      );
      this.active.account(buffered.newest);
    } else {
      const base = this.baseOf(key, name);
      assert(base === undefined || commitTs > base.commitTs, 'a version must be newer than the one before it');
      wasLive = base !== undefined && !base.isTombstone && base.commitTs > rangeTs;
      const newest = new BufferedVersion(
        commitTs,
        isTombstone ? NEVER : expireTs,
        isTombstone,
        isTombstone ? EMPTY : value,
        index,
        undefined,
      );
      const moved = base === undefined ? undefined : this.movedBase(key, base);
      this.active.add(name, new BufferedKey(Buffer.from(key), newest, moved, base?.expireTs ?? NEVER));
    }
    if (commitTs > this.maxCommitTs) this.maxCommitTs = commitTs;
    const isLive = !isTombstone && commitTs > rangeTs;
    if (isLive !== wasLive) this.counters.add(key, isLive ? 1 : -1);
  }

  /** Newest version below the active generation, without fetching a value that lies apart. */
  private baseOf(key: Buffer, name: string): BaseVersion | undefined {
    const flushing = this.flushing?.keys.get(name)?.newest;
    if (flushing !== undefined) {
      return {
        commitTs: flushing.commitTs,
        isTombstone: flushing.isTombstone,
        expireTs: flushing.expireTs,
        row: flushing.row,
        isValueApart: flushing.value.length > this.limits.inlineBytes,
      };
    }
    return this.readRow(key, name);
  }

  /**
   * What has to be written as a V row for the version that was the newest. One that is hidden by a range delete which the
   * running collection will forget turns into a tombstone: it must not come back.
   */
  private movedBase(key: Buffer, base: BaseVersion): BaseVersion | undefined {
    if (!this.ranges.isEmpty && this.ranges.covering(key, this.collector.forgettingUpTo) >= base.commitTs) {
      const row = encodeVersion(base.commitTs, NEVER, true, EMPTY);
      return { commitTs: base.commitTs, isTombstone: true, expireTs: NEVER, row, isValueApart: false };
    }
    return base.isValueApart ? undefined : base;
  }

  // ---- flush

  private get bufferedBytes(): number {
    return this.active.bytes + (this.flushing?.bytes ?? 0);
  }

  private scheduleFlush(): void {
    if (this.active.bytes >= this.limits.flushBytes) this.flushInBackground();
    else if (this.cancelTimer === undefined && this.nextFlush === undefined) {
      this.cancelTimer = this.scheduler.after(this.limits.flushIntervalMs, () => {
        this.cancelTimer = undefined;
        this.flushInBackground();
      });
    }
  }

  private flushInBackground(): void {
    // The failure is kept in `unusable` and was reported through `onFailure`.
    this.startFlush().catch(() => {});
  }

  pressure(): Promise<void> | undefined {
    if (this.bufferedBytes < this.limits.bufferBytes) return undefined;
    return this.relieve();
  }

  private async relieve(): Promise<void> {
    while (this.bufferedBytes >= this.limits.bufferBytes) {
      if (this.flushing !== undefined && this.active.bytes < this.limits.bufferBytes) await this.lane;
      else await this.startFlush();
      this.assertUsable();
    }
  }

  async flush(): Promise<void> {
    this.assertUsable();
    if (this.durable === this.applied && this.active.isEmpty && this.flushing === undefined) return;
    await this.startFlush();
  }

  /** A flush of everything that is applied when its turn comes; callers before that share it. */
  private startFlush(): Promise<void> {
    this.nextFlush ??= this.inLane(() => {
      this.nextFlush = undefined;
      return this.flushNow();
    });
    return this.nextFlush;
  }

  /** Runs after all earlier users of the lane. */
  private inLane(work: () => Promise<void>): Promise<void> {
    const done = this.lane.then(() => {
      this.assertUsable();
      return work();
    });
    this.lane = done.catch(() => {});
    return done;
  }

  private async flushNow(): Promise<void> {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    if (this.active.isEmpty && this.durable === this.applied) return;
    const generation = this.active;
    const index = this.applied;
    // From here to the first await nothing may be applied: generation, state row and index belong together.
    const state = {
      appliedIndex: index,
      gcThreshold: this.threshold,
      maxCommitTs: this.maxCommitTs,
      counters: this.counters.snapshot(),
    };
    this.flushing = generation;
    this.active = new Generation();
    try {
      await this.level.batch(encodeGeneration(generation, state, this.limits.inlineBytes), { sync: true });
    } catch (error) {
      throw this.fail(error);
    }
    this.durable = index;
    this.flushing = undefined;
    for (const [name, { newest }] of generation.keys) this.remember(name, newest);
  }

  /** Mirrors the L row that a flush has written. */
  private remember(name: string, { commitTs, isTombstone, expireTs, value, row }: BufferedVersion): void {
    if (value.length > this.limits.inlineBytes) this.recent.delete(name);
    else this.recent.set(name, { commitTs, isTombstone, expireTs, value, row, isValueApart: false });
  }

  private fail(cause: unknown): Error {
    if (this.unusable === undefined) {
      this.unusable = new StoreFailedError(this.options.location, cause);
      this.options.onFailure?.(this.unusable);
    }
    return this.unusable;
  }

  /**
   * Writes rows that change no answer, built when the lane is free, so that nothing is between buffer and disk. Synced:
   * LevelDB may lose an older unsynced log file and keep a newer one.
   */
  private writeInLane(build: () => LevelOperation[]): Promise<void> {
    return this.inLane(async () => {
      const operations = build();
      if (operations.length === 0) return;
      try {
        await this.level.batch(operations, { sync: true });
      } catch (error) {
        throw this.fail(error);
      }
      for (const { key } of operations) {
        if (key[0] === RowKind.Latest) this.recent.delete(nameOf(decodeKey(key, 1, key.length, this.options.location)));
      }
    });
  }

  // ---- maintenance

  collectGarbage(budgetMs: number): Promise<boolean> {
    this.assertUsable();
    return this.collector.run(budgetMs);
  }

  async digest(): Promise<string> {
    await this.flush();
    return digestStore(this.level, this.options.location);
  }

  async exportFrames() {
    await this.flush();
    return exportStore(this.level, this.options.location);
  }

  async stageImport(): Promise<StoreImport> {
    const { location } = this.options;
    return StagedImport.create({
      location,
      openLevel: this.options.openLevel ?? openClassicLevel,
      folders: this.options.folders ?? new DiskLevelFolders(),
      swap: (exchange) => this.swap(exchange),
    });
  }

  /** Replaces the database under the store, with all writing stopped. `exchange` gives back what is to be used from then on. */
  private async swap(
    exchange: (live: Level) => Promise<{ level: Level; loaded: LoadedStore; error: unknown }>,
  ): Promise<void> {
    assert(this.openUnit === undefined, 'a copy cannot be installed in the middle of a unit');
    await this.collector.stop();
    await this.counters.settle();
    await this.flush();
    let failure: unknown;
    await this.inLane(async () => {
      this.unusable = new StoreClosedError(this.options.location);
      const { level, loaded, error } = await exchange(this.level);
      failure = error;
      this.level = level;
      this.unusable = undefined;
      this.cancelTimer?.();
      this.cancelTimer = undefined;
      this.active = new Generation();
      this.recent.clear();
      this.applied = loaded.state.appliedIndex;
      this.durable = this.applied;
      this.threshold = loaded.state.gcThreshold;
      this.maxCommitTs = loaded.state.maxCommitTs;
      this.metaValues = loaded.meta;
      this.ranges = loaded.ranges;
      this.counters.reset(loaded.state.counters, loaded.uncounted);
    });
    if (failure !== undefined) throw failure;
  }

  async close(): Promise<void> {
    if (this.unusable instanceof StoreClosedError) return;
    this.cancelTimer?.();
    await this.collector.stop();
    if (this.unusable === undefined) {
      await this.counters.settle();
      await this.flush();
    }
    this.unusable = new StoreClosedError(this.options.location);
    this.cancelTimer?.();
    await this.lane;
    await this.level.close();
  }
}

/**
 * Opens the store of a group, finishing or undoing a swap that a crash interrupted.
 * @throws UnknownStoreFormatError, CorruptStoreError, StoreUnavailableError
 */
export async function openGroupStore(options: GroupStoreOptions): Promise<GroupStore> {
  const { location } = options;
  const openLevel = options.openLevel ?? openClassicLevel;
  await recoverFolders(location, options.folders ?? new DiskLevelFolders());
  const level = openLevel(location);
  try {
    await level.open();
  } catch (error) {
    throw openFailure(location, error);
  }
  try {
    return new MvccGroupStore(options, level, await loadStore(level, location));
  } catch (error) {
    await level.close();
    throw error;
  }
}
