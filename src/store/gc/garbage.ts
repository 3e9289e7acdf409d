/**
 * Drops what no read at or above the GC threshold can see. A pass works against the threshold that it started with, in
 * slices; it takes the same mutex as flushes and never removes the newest version of a key that has a newer one in
 * the buffer. Reads answer the same before, during and after: `latest` hides old tombstones already, and what a forgotten
 * range delete covered is gone before it is forgotten.
 *
 * An expired newest version stays until it is purged by a delete through the log, because it still counts as a key.
 *
 * Rows of large objects go when no read at or above the threshold can come to them, see `BodyReach`. Nothing of that is written down
 * anywhere: the walk meets the head right before them.
 */
import { type Clock, type HlcTimestamp, NEVER } from '../../platform/index.ts';
import { BodyReach } from '../bodies/index.ts';
import type { BodyRow, BodyRules, GarbagePass } from '../contract/index.ts';
import { KeyWalk, type Level, type LevelOperation, type LevelSnapshot, type WalkedVersion } from '../level/index.ts';
import type { KeyNotes } from '../reads/index.ts';
import { decodeVersion, encodeExpiryKey, encodeRangeKey, nameOf, type RangeTombstones } from '../rows/index.ts';
import { bytesOf, PassTally } from './garbage-tally.ts';

/** Deletions in one batch. */
const MAX_BATCH_OPERATIONS = 2000;
const EMPTY = Buffer.alloc(0);

/** What collection needs of the store. */
export interface GarbageHost {
  level(): Level;
  ranges(): RangeTombstones;
  threshold(): HlcTimestamp;
  /** True when the generation that collects units has a version of the key. */
  isBuffered(key: Buffer): boolean;
  /** How many generations are on disk: while it stays, the rows there change by collection alone. */
  flushes(): number;
  /** Makes counters independent of what will be dropped. */
  settleCounters(): Promise<void>;
  /** Makes everything applied so far durable. */
  flush(): Promise<void>;
  /** Runs `build` when no batch is under way and writes what it returns before any other batch. */
  write(build: () => LevelOperation[]): Promise<void>;
  /** Rows of so many bytes are on their way out of the files. */
  removed(bytes: number): void;
  /** A pass begins that walks over all keys. @returns who wants to hear of them @param lastKeys how many the last one saw */
  beginWalk(lastKeys: number): KeyNotes | undefined;
  /** The range deletes up to here cover nothing any more. */
  forgetRanges(upTo: HlcTimestamp): void;
}

/** The newest version of a key and all that goes with it: dropped together, or not at all when the key was written again. */
interface NewestRemoval {
  readonly key: Buffer;
  readonly newestRowKey: Buffer;
  readonly commitTs: HlcTimestamp;
  readonly rowKeys: readonly Buffer[];
}

interface Pass {
  readonly threshold: HlcTimestamp;
  /** Escaped key to go on with. */
  cursor: Buffer;
  readonly tally: PassTally;
  readonly reach: BodyReach;
  readonly notes: KeyNotes | undefined;
}

/** What a pass knows of the row that it stands on, beside its versions. */
interface RowFacts {
  readonly body: BodyRow | undefined;
  /** No read at or above the threshold comes to it. */
  readonly isLost: boolean;
}

const HEAD: RowFacts = { body: undefined, isLost: false };

/** A slice of a pass ends at whichever is used up first. */
export interface SliceBudget {
  /** Looked at where what was read is used: on a busy machine a page alone takes longer than a slice should, and would be read once for each key of it. */
  readonly ms: number;
  /** Of rows that are looked at; ends the slice at once. */
  readonly bytes: number;
}

/** Runs passes of collection over one store. */
export class GarbageCollector {
  private readonly clock: Clock;
  private readonly location: string;
  private readonly host: GarbageHost;
  private readonly bodies: BodyRules | undefined;
  private pass: Pass | undefined;
  /** Range deletes up to here are about to be forgotten: no version that they hide may be written any more. */
  forgettingUpTo: HlcTimestamp = NEVER;
  private running: Promise<boolean> | undefined;
  private isStopping = false;
  /** What the last complete pass found; undefined before the first. */
  lastPass: GarbagePass | undefined;
  private dropped: Buffer[] = [];
  private droppedNewest: NewestRemoval[] = [];
  /** When the snapshot of the slice was taken. */
  private flushesBefore = 0;

  constructor(clock: Clock, location: string, bodies: BodyRules | undefined, host: GarbageHost) {
    this.clock = clock;
    this.location = location;
    this.bodies = bodies;
    this.host = host;
  }

  /** One slice; callers at the same time share it. @returns true when a pass is complete */
  run(budget: SliceBudget): Promise<boolean> {
    this.running ??= this.slice(budget).finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  /** Ends the slice that is running and forgets the pass. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await this.running?.catch(() => {});
    this.isStopping = false;
    this.pass = undefined;
    this.forgettingUpTo = NEVER;
  }

  /** A slice is under way, or a pass waits for its next one. */
  get isUnderWay(): boolean {
    return this.pass !== undefined || this.running !== undefined;
  }

  private async slice(budget: SliceBudget): Promise<boolean> {
    if (this.pass === undefined) {
      // The threshold is durable before the first row goes: after a crash it still refuses reads of what is gone. And
      // all that was written before the threshold rose is on disk, where the pass sees it.
      const threshold = this.host.threshold();
      if (threshold === 0n) return true;
      await this.host.settleCounters();
      this.forgettingUpTo = threshold;
      await this.host.flush();
      const reach = new BodyReach(this.bodies, threshold, () => this.host.ranges());
      const notes = this.host.beginWalk(this.lastPass?.keys ?? 0);
      this.pass = { threshold, cursor: EMPTY, tally: new PassTally(threshold), reach, notes };
    }
    const pass = this.pass;
    const isComplete = await this.collect(pass, budget);
    if (!isComplete) return false;
    this.pass = undefined;
    pass.notes?.finish();
    await this.forgetRanges(pass.threshold);
    this.forgettingUpTo = NEVER;
    this.lastPass = pass.tally.finish();
    return true;
  }

  private async collect(pass: Pass, { ms, bytes }: SliceBudget): Promise<boolean> {
    const deadline = this.clock.monotonicMs() + ms;
    const { tally } = pass;
    const lastByte = tally.walkedBytes + bytes;
    const level = this.host.level();
    this.flushesBefore = this.host.flushes();
    const snapshot = level.snapshot();
    const walk = new KeyWalk(level, snapshot, pass.cursor, this.location);
    let isFirst = true;
    try {
      while (await walk.nextKey()) {
        const isLate = walk.isAtPageEnd && this.clock.monotonicMs() >= deadline;
        const isUsedUp = tally.walkedBytes >= lastByte || isLate;
        if (!isFirst && (this.isStopping || isUsedUp)) {
          pass.cursor = Buffer.from(walk.escaped);
          return false;
        }
        isFirst = false;
        if (walk.newest !== undefined) pass.notes?.see(nameOf(walk.key));
        await this.collectKey(walk, pass, pass.reach.isNeeded ? await this.factsOf(walk, pass, snapshot) : HEAD);
        if (this.dropped.length + this.droppedNewest.length >= MAX_BATCH_OPERATIONS) await this.writeDropped();
      }
      return true;
    } finally {
      await walk.close();
      await snapshot.close();
      await this.writeDropped();
    }
  }

  /** Looks at the row that the walk has come to, and makes ready to see its versions when it is a head. */
  private async factsOf(walk: KeyWalk, { reach }: Pass, snapshot: LevelSnapshot): Promise<RowFacts> {
    const { key } = walk;
    const body = reach.bodyOf(key);
    if (body === undefined) {
      reach.beginHead(key);
      return HEAD;
    }
    const source = { level: this.host.level(), snapshot, location: this.location };
    return { body, isLost: await reach.isLost(key, body, source) };
  }

  private async collectKey(walk: KeyWalk, pass: Pass, { body, isLost }: RowFacts): Promise<void> {
    const { threshold, tally, reach } = pass;
    const { newest } = walk;
    const isHead = body === undefined && reach.isNeeded;
    tally.beginKey(newest);
    if (isHead && newest?.isValueApart === false) reach.see(newest);
    const ranges = this.host.ranges();
    const isNewestOld = newest !== undefined && newest.commitTs <= threshold;
    const isKept = !isNewestOld || (!newest.isTombstone && ranges.isEmpty && !isLost);
    if (!walk.hasVersion && isKept) {
      if (body !== undefined && newest !== undefined && !reach.isCurrent(body)) {
        tally.seeUnreachable(bytesOf(newest), false);
      }
      return;
    }
    const key = walk.key;
    const coveredTs = ranges.isEmpty ? 0n : ranges.covering(key, threshold);
    const isNewestGone = isNewestOld && (isLost || newest.isTombstone || newest.commitTs <= coveredTs);
    const newestRows: Buffer[] = [];
    // The newest version at or below the threshold is what a read at the threshold sees; all older ones are garbage.
    let isBoundaryPassed = isNewestOld || isLost;
    let boundary: WalkedVersion | undefined;
    let newestBytes = newest === undefined ? 0 : bytesOf(newest);
    for (;;) {
      const version = await walk.nextVersion();
      if (version === undefined) break;
      if (isHead) reach.see(version);
      if (newest?.isValueApart === true && version.commitTs === newest.commitTs) {
        newestRows.push(version.rowKey);
        newestBytes += bytesOf(version);
        continue;
      }
      tally.see(version);
      if (version.commitTs > threshold) continue;
      if (isBoundaryPassed) this.drop(version, tally);
      else if (isInvisible(version, threshold, coveredTs)) boundary = version;
      isBoundaryPassed = true;
      if (this.dropped.length >= MAX_BATCH_OPERATIONS) await this.writeDropped();
    }
    // A tombstone goes last: while it is there, nothing below it can be seen.
    if (boundary !== undefined) this.drop(boundary, tally);
    tally.endKey(body === undefined ? key : key.subarray(0, body.headLength));
    if (body !== undefined && newest !== undefined && !reach.isCurrent(body)) {
      tally.seeUnreachable(newestBytes, isNewestGone);
    }
    if (!isNewestGone) return;
    newestRows.push(newest.rowKey);
    if (newest.expireTs !== 0n) newestRows.push(encodeExpiryKey(newest.expireTs, key));
    this.host.removed(newestBytes);
    this.droppedNewest.push({ key, newestRowKey: newest.rowKey, commitTs: newest.commitTs, rowKeys: newestRows });
  }

  private drop(version: WalkedVersion, tally: PassTally): void {
    this.dropped.push(version.rowKey);
    tally.drop(version);
    this.host.removed(bytesOf(version));
  }

  private async writeDropped(): Promise<void> {
    const dropped = this.dropped;
    const droppedNewest = this.droppedNewest;
    if (dropped.length === 0 && droppedNewest.length === 0) return;
    this.dropped = [];
    this.droppedNewest = [];
    await this.host.write(() => {
      const operations: LevelOperation[] = dropped.map((key) => ({ type: 'del', key }));
      for (const removal of droppedNewest) {
        if (!this.isStillNewest(removal)) continue;
        for (const rowKey of removal.rowKeys) operations.push({ type: 'del', key: rowKey });
      }
      return operations;
    });
  }

  /** The walk saw an older state: since then the key may have been written to the buffer, or even to disk. */
  private isStillNewest({ key, newestRowKey, commitTs }: NewestRemoval): boolean {
    if (this.host.isBuffered(key)) return false;
    if (this.host.flushes() === this.flushesBefore) return true;
    const row = this.host.level().getSync(newestRowKey);
    return row !== undefined && decodeVersion(row, this.location).commitTs === commitTs;
  }

  /**
   * Range deletes go when nothing they cover is left. A covered version that was skipped because the key was written again
   * is still on disk until that write is flushed.
   */
  private async forgetRanges(upTo: HlcTimestamp): Promise<void> {
    const old = this.host.ranges().all.filter((range) => range.ts <= upTo);
    if (old.length === 0) return;
    await this.host.flush();
    await this.host.write(() => old.map(({ ts, start }) => ({ type: 'del', key: encodeRangeKey(ts, start) })));
    this.host.forgetRanges(upTo);
  }
}

/** No read at or above the threshold sees it, although it is the newest one there. */
function isInvisible(version: WalkedVersion, threshold: HlcTimestamp, coveredTs: bigint): boolean {
  if (version.isTombstone || version.commitTs <= coveredTs) return true;
  return version.expireTs !== 0n && version.expireTs <= threshold;
}
