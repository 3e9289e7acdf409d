/**
 * The write-ahead log of a node: all groups share one segmented log, and everything that they want stored in one
 * event-loop turn is one frame in one synced write. Calls of groups that wait for a write already are gathered into the next
 * frame. See `format.ts` for the bytes, `recovery.ts` for what a crash leaves behind and docs/design/consensus/log.md for the design.
 *
 * Order of things: `write` encodes into the staging frame and changes the views at once; the pump hands frames to the disk, a
 * few side by side (`FramesUnderWay`), and calls are answered in order. Which segment and position a frame gets is decided when
 * it is staged, so views know at once where entries will be.
 */
import {
  assert,
  type Disk,
  type GroupId,
  isOutOfSpace,
  type LogIndex,
  type Random,
  type Term,
} from '../../platform/index.ts';
import { SEAL_BYTES, type Sealing } from '../../security/index.ts';
import type { GroupLog, LogStore, LogWrite } from '../contract/index.ts';
import type { Entry } from '../core/index.ts';
import { LogClosedError, LogCorruptError, LogWriteError } from './errors.ts';
import {
  alignFrame,
  FRAME_HEADER_BYTES,
  HARD_STATE_BYTES,
  MARK_BYTES,
  POINT_BYTES,
  SEGMENT_HEADER_BYTES,
  sealedFrame,
  sealFrame,
} from './format.ts';
import { checkpointBytes, entriesRecordBytes, FrameWriter } from './frame-writer.ts';
import { FramesUnderWay, MAX_FRAMES_UNDER_WAY, type OrderedFrame } from './frames-under-way.ts';
import { recoverLog } from './recovery.ts';
import { type LogRecord, type Segment, Segments } from './segments.ts';
import { WalGroup } from './wal-group.ts';

export interface WalLogStoreOptions {
  readonly disk: Disk;
  /** Belongs to the log alone; created when absent. */
  readonly folder: string;
  /** Source of the salts of segments. */
  readonly random: Random;
  /** What is known of the log beside itself: a folder that lost it is refused. */
  readonly record: LogRecord;
  /** Size of a segment in bytes; a frame that needs more gets a segment of its own. */
  readonly segmentBytes?: number;
  /** Payload bytes of recent entries kept in memory, over all groups; entries under way are kept in any case. */
  readonly cacheBytes?: number;
  /** Calls are gathered into one frame up to this size; a larger single call is still one frame. */
  readonly maxFrameBytes?: number;
  /**
   * Settles when it is worth trying again what the full disk had no room for; left out: the store fails then as with every other
   * error. Waiting is safe: the frame is written again whole, in the same place, and nothing behind it counts before it is stable.
   */
  readonly waitForSpace?: () => Promise<void>;
  /** A group whose entries hold back a segment older than this many is copied forward when its log is small. */
  readonly keepSegments?: number;
  /** Left out: the log is in clear, and one that is not is refused. */
  readonly encryption?: LogEncryption | undefined;
}

/** How a log is encrypted. */
export interface LogEncryption {
  readonly sealing: Sealing;
  /** What an earlier process wrote in clear is read. Otherwise it is refused. */
  readonly allowsClear: boolean;
}

const MIB = 1024 * 1024;
const DEFAULT_SEGMENT_BYTES = 64 * MIB;
const DEFAULT_CACHE_BYTES = 64 * MIB;
const DEFAULT_MAX_FRAME_BYTES = 8 * MIB;
const DEFAULT_KEEP_SEGMENTS = 4;
/** Frame buffers of at most this size are reused; larger ones are left to the garbage collector. */
const FRAME_BUFFER_BYTES = 4 * MIB;
/** The next one is filled while others are written. */
const MAX_FREE_BUFFERS = MAX_FRAMES_UNDER_WAY + 1;
/** A segment is read at once when the log is opened, and Node reads less than 2 GiB at a time. */
const MAX_SEGMENT_BYTES = 0x7fff_f000;
/** Share of a segment that one rotation may spend on copying small groups forward. */
const REWRITE_SHARE = 1 / 8;
/** And one that is made in order to copy groups forward. */
const RENEW_SHARE = 1 / 2;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface StagedFrame extends OrderedFrame {
  readonly writer: FrameWriter;
  readonly waiters: Waiter[];
  readonly groups: Set<GroupId>;
  /** Segment size that the frame needs. */
  readonly segmentSize: number;
  /** Segments below this one may go once the frame is stable; 0 on all but checkpoints. */
  releaseBelow: number;
}

/** @see LogStore */
export class WalLogStore implements LogStore {
  private readonly folder: string;
  private readonly segments: Segments;
  private readonly byId: Map<GroupId, WalGroup>;
  private readonly cacheBytes: number;
  private readonly maxFrameBytes: number;
  private readonly keepSegments: number;
  private readonly waitForSpace: (() => Promise<void>) | undefined;
  /** Frames that wait because the disk has no room for them or their segment; everything behind them waits too. */
  private waitingForSpace = 0;
  /** Where the next frame begins. */
  private tailSequence: number;
  private tailPosition: number;
  /** Size of the tail segment, which may still be in preparation. */
  private tailSize: number;
  /** End of the segment before the tail one, for its checkpoint. */
  private previousEnd = 0;
  /** Everything before this place is stable. */
  private stableSequence: number;
  private stablePosition: number;
  /** The frame that calls are gathered in. */
  private staging: StagedFrame | undefined;
  /** Full frames waiting for their turn. */
  private readonly sealed: StagedFrame[] = [];
  private readonly freeBuffers: Buffer[] = [];
  /** Groups whose truncation is not in the log yet. */
  private readonly truncated = new Set<WalGroup>();
  private cachedBytes = 0;
  /** By how much a frame is longer in its segment. */
  private readonly sealBytes: number;
  /** The next frame begins a segment: the newest one is of a form that is not written any more, or holds whole frames behind its end. */
  private mustRoll: boolean;
  /** Entries in older segments are to be written again. */
  private renewBelow = 0;
  private failure: Error | undefined;
  private readonly underWay = new FramesUnderWay<StagedFrame>();
  /** What the disk does for frames, also for those that were given up. */
  private readonly writing = new Set<Promise<void>>();
  /** The log was closed in order the last time, or is new. */
  readonly closedInOrder: boolean;
  /** Bytes of an unfinished, never acknowledged write that were cut off at open. */
  readonly tornBytes: number;

  private constructor(
    options: WalLogStoreOptions,
    segments: Segments,
    recovered: Awaited<ReturnType<typeof recoverLog>>,
  ) {
    this.folder = options.folder;
    this.segments = segments;
    this.byId = recovered.groups;
    this.cacheBytes = options.cacheBytes ?? DEFAULT_CACHE_BYTES;
    this.maxFrameBytes = options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES;
    this.keepSegments = options.keepSegments ?? DEFAULT_KEEP_SEGMENTS;
    this.waitForSpace = options.waitForSpace;
    this.tailSequence = recovered.sequence;
    this.tailPosition = recovered.position;
    const tail = segments.get(recovered.sequence)!;
    this.tailSize = tail.size;
    this.sealBytes = segments.sealing === undefined ? 0 : SEAL_BYTES;
    this.mustRoll = recovered.isSpent || (segments.sealing !== undefined && !tail.isSealed);
    this.stableSequence = recovered.sequence;
    this.stablePosition = recovered.position;
    this.closedInOrder = recovered.closedInOrder;
    this.tornBytes = recovered.tornBytes;
  }

  /**
   * Opens the log in a folder and recovers everything that was acknowledged.
   * @throws LogCorruptError when something that was acknowledged cannot be read
   * @throws LogMissingError when the record knows of a log that is not there
   */
  static async open(options: WalLogStoreOptions): Promise<WalLogStore> {
    const { disk, folder, random, record, segmentBytes = DEFAULT_SEGMENT_BYTES, encryption } = options;
    await disk.makeFolder(folder);
    const sealing = encryption?.sealing;
    const segments = new Segments({ disk, folder, random, record, segmentBytes, sealing });
    try {
      const recovered = await recoverLog(disk, folder, segments, encryption?.allowsClear === true);
      return new WalLogStore(options, segments, recovered);
    } catch (error) {
      await segments.close();
      throw error;
    }
  }

  groups(): GroupId[] {
    return [...this.byId.values()].filter((group) => group.recorded).map((group) => group.groupId);
  }

  group(groupId: GroupId): GroupLog {
    return this.open(groupId);
  }

  write(writes: readonly LogWrite[]): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    let bytes = this.truncated.size * POINT_BYTES;
    for (const write of writes) bytes += writeBytes(write);
    const staged = this.stage(bytes);
    for (const write of writes) this.encode(staged, write);
    this.evict();
    return this.settled(staged);
  }

  truncatePrefix(groupId: GroupId, upTo: LogIndex, termAtUpTo: Term): void {
    const group = this.open(groupId);
    if (upTo <= group.truncatedIndex) return;
    assert(group.term(upTo) === termAtUpTo, `group ${groupId} does not hold entry ${upTo} of term ${termAtUpTo}`);
    const before = group.index.cachedBytes;
    group.truncate(upTo, termAtUpTo);
    this.cachedBytes += group.index.cachedBytes - before;
    // Losing this in a crash only means that the entries are found again: the next write carries it.
    this.truncated.add(group);
  }

  removeGroup(groupId: GroupId): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const group = this.byId.get(groupId);
    if (group === undefined) return Promise.resolve();
    if (!group.recorded) {
      this.byId.delete(groupId);
      return Promise.resolve();
    }
    // Staged while the group is still known: a checkpoint that this may begin must agree with the records before it.
    const staged = this.stage((this.truncated.size + 1) * POINT_BYTES);
    staged.writer.removeGroup(groupId);
    staged.groups.add(groupId);
    this.byId.delete(groupId);
    this.truncated.delete(group);
    this.cachedBytes -= group.index.cachedBytes;
    return this.settled(staged);
  }

  /**
   * Writes everything that the log holds again, with the newest key, and removes the files that had it. Others write meanwhile. Reading
   * the entries of one group holds up the event loop. Several calls at a time end each when what was there before it is gone.
   * @throws LogCorruptError when entries cannot be read; LogClosedError, LogWriteError
   */
  async renew(): Promise<void> {
    const isFresh = this.tailPosition === SEGMENT_HEADER_BYTES && this.staging === undefined;
    const first = isFresh ? this.tailSequence : this.tailSequence + 1;
    this.renewBelow = first;
    this.segments.discardOlderThan(first);
    for (let left = Number.POSITIVE_INFINITY; ; ) {
      await this.roll();
      this.evict();
      const old = [...this.byId.values()].filter((group) => this.holdsBack(group, first));
      if (old.length === 0) break;
      if (old.length >= left) {
        const { index } = old[0]!;
        const what = 'entries from there on cannot be read, so they cannot be written again';
        throw this.segments.corrupt(index.segment(index.firstIndex), index.position(index.firstIndex), what);
      }
      left = old.length;
    }
    // The segments in between have been given back once a checkpoint was stable that needs none of them.
    while (this.segments.hasOlderThan(first)) await this.roll();
    // A later call goes on.
    if (this.renewBelow === first) this.renewBelow = 0;
    try {
      await this.segments.idle();
    } catch (error) {
      throw this.failure ?? new LogWriteError(this.folder, error);
    }
  }

  /** Begins a segment now. */
  private roll(): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.staging !== undefined) this.seal();
    return this.settled(this.tailPosition === SEGMENT_HEADER_BYTES ? this.stageCheckpoint(0) : this.stageSegment(0));
  }

  async close(): Promise<void> {
    if (this.failure === undefined) {
      const staged = this.stage(this.truncated.size * POINT_BYTES + 1);
      staged.writer.closed();
      const closed = this.settled(staged);
      this.failure = new LogClosedError(this.folder);
      await closed.catch(() => {});
    }
    await Promise.all(this.writing);
    await this.segments.close();
  }

  /** True while nothing can be stored because the disk is full. */
  get isOutOfSpace(): boolean {
    return this.waitingForSpace > 0;
  }

  /**
   * From now on, and for good, several frames may be under way: their segments are of a form that release 0.1.0 cannot read. A log that is
   * begun by this program has it from the start.
   */
  markFrames(): void {
    if (this.segments.isMarked) return;
    this.segments.isMarked = true;
    this.mustRoll = true;
  }

  private open(groupId: GroupId): WalGroup {
    let group = this.byId.get(groupId);
    if (group === undefined) {
      group = new WalGroup(groupId, this.segments);
      this.byId.set(groupId, group);
    }
    return group;
  }

  private encode({ writer, groups }: StagedFrame, write: LogWrite): void {
    const group = this.open(write.groupId);
    groups.add(write.groupId);
    const { index } = group;
    const before = index.cachedBytes;
    if (writeBytes(write) > 0) group.recorded = true;
    if (write.resetTo !== undefined) {
      writer.reset(write.groupId, write.resetTo.index, write.resetTo.term);
      group.restart(write.resetTo.index, write.resetTo.term);
      this.truncated.delete(group);
    }
    if (write.entries.length > 0) {
      const first = write.entries[0]!.index;
      assert(first > group.truncatedIndex, `entry ${first} of group ${write.groupId} is before the log`);
      assert(first <= index.lastIndex + 1, `entry ${first} of group ${write.groupId} leaves a gap`);
      index.cutFrom(first);
      this.place(writer, group, write.entries);
    }
    if (write.hardState !== undefined) {
      writer.hardState(write.groupId, write.hardState);
      group.hard = write.hardState;
    }
    this.cachedBytes += index.cachedBytes - before;
  }

  private place(writer: FrameWriter, group: WalGroup, entries: readonly Entry[]): void {
    writer.entries(group.groupId, entries, (entry, position) => group.append(entry, writer.sequence, position));
  }

  /** The frame that the next `bytes` of records belong in, with pending truncations already in it. */
  private stage(bytes: number): StagedFrame {
    const staging = this.staging;
    if (staging !== undefined) {
      const end = staging.writer.length + bytes;
      if (end <= this.maxFrameBytes && staging.writer.position + end <= this.tailSize) {
        this.stageTruncations(staging.writer);
        return staging;
      }
      this.seal();
    }
    const needed = this.emptyBytes + bytes;
    if (this.tailPosition === SEGMENT_HEADER_BYTES) return this.stageCheckpoint(bytes);
    if (this.tailPosition + needed > this.tailSize || this.mustRoll) return this.stageSegment(bytes);
    const staged = this.begin(needed);
    this.stageTruncations(staged.writer);
    return staged;
  }

  private stageSegment(bytes: number): StagedFrame {
    this.mustRoll = false;
    this.previousEnd = this.tailPosition;
    this.tailSequence += 1;
    this.tailPosition = SEGMENT_HEADER_BYTES;
    return this.stageCheckpoint(bytes);
  }

  /** Begins a segment: its first record is the state of all groups, after which older segments may be given back. */
  private stageCheckpoint(bytes: number): StagedFrame {
    const groups = [...this.byId.values()].filter((group) => group.recorded);
    const stragglers = this.stragglers(groups);
    const firstNeeded = this.firstNeeded(groups, new Set(stragglers.map(({ group }) => group)));
    let needed = this.emptyBytes + checkpointBytes(groups.length) + bytes;
    for (const straggler of stragglers) needed += entriesRecordBytes(straggler.entries);
    this.tailSize = Math.max(this.segments.segmentBytes, SEGMENT_HEADER_BYTES + needed);
    assert(this.tailSize <= MAX_SEGMENT_BYTES, 'one write of more than 2 GiB');
    const staged = this.begin(needed);
    staged.releaseBelow = firstNeeded;
    this.truncated.clear();
    const rows = groups.map((group) => ({
      groupId: group.groupId,
      hard: group.hard,
      truncatedIndex: group.truncatedIndex,
      truncatedTerm: group.truncatedTerm,
      lastIndex: group.lastIndex(),
    }));
    staged.writer.checkpoint(this.previousEnd, firstNeeded, rows);
    for (const { group, entries } of stragglers) {
      const before = group.index.cachedBytes;
      group.index.cutFrom(group.firstIndex());
      this.place(staged.writer, group, entries);
      this.cachedBytes += group.index.cachedBytes - before;
    }
    return staged;
  }

  /** What a frame without records takes in its segment. */
  private get emptyBytes(): number {
    return FRAME_HEADER_BYTES + (this.segments.isMarked ? MARK_BYTES : 0) + this.sealBytes;
  }

  private begin(bytes: number): StagedFrame {
    const buffer = this.freeBuffers.pop() ?? Buffer.allocUnsafeSlow(64 * 1024);
    const { isMarked } = this.segments;
    const writer = new FrameWriter(this.tailSequence, this.tailPosition, buffer, this.sealBytes, isMarked);
    writer.reserve(bytes);
    const isFirst = this.tailPosition === SEGMENT_HEADER_BYTES;
    const traits = { isMarked, isFirst, segmentSize: this.tailSize };
    this.staging = { writer, waiters: [], groups: new Set(), releaseBelow: 0, ...traits };
    return this.staging;
  }

  private stageTruncations(writer: FrameWriter): void {
    if (this.truncated.size === 0) return;
    for (const group of this.truncated)
      if (group.recorded) writer.truncate(group.groupId, group.truncatedIndex, group.truncatedTerm);
    this.truncated.clear();
  }

  /** Ends the staging frame; where the next one begins is known from here on. */
  private seal(): void {
    const staging = this.staging!;
    this.staging = undefined;
    this.sealed.push(staging);
    this.tailPosition = alignFrame(staging.writer.position + staging.writer.length);
  }

  /**
   * The oldest segment that holds a live entry of a group that is not `rewritten`. Entries never lie in an older segment
   * than those before them, so the first one of a group decides.
   */
  private firstNeeded(groups: readonly WalGroup[], rewritten: ReadonlySet<WalGroup>): number {
    let oldest = this.tailSequence;
    for (const group of groups) {
      const { index } = group;
      if (index.lastIndex < index.firstIndex || rewritten.has(group)) continue;
      oldest = Math.min(oldest, index.segment(index.firstIndex));
    }
    return oldest;
  }

  /**
   * Groups with a small log that hold back an old segment: their entries are written again, so that a quiet group does not
   * keep every segment since its last write.
   */
  private stragglers(groups: readonly WalGroup[]): { group: WalGroup; entries: Entry[] }[] {
    const renewBelow = Math.min(this.renewBelow, this.tailSequence);
    const oldestKept = Math.max(this.tailSequence - this.keepSegments, renewBelow);
    let budget = this.segments.segmentBytes * (renewBelow > 0 ? RENEW_SHARE : REWRITE_SHARE);
    const chosen: { group: WalGroup; entries: Entry[] }[] = [];
    for (const group of groups) {
      const { index } = group;
      if (!this.holdsBack(group, oldestKept)) continue;
      // One that has to be written again is, whatever its size: it comes first and alone then.
      const isDue = chosen.length === 0 && this.holdsBack(group, renewBelow);
      if (index.bytes > budget && !isDue) continue;
      const entries = this.readAll(group);
      if (entries === undefined) continue;
      budget -= entriesRecordBytes(entries);
      chosen.push({ group, entries });
    }
    return chosen;
  }

  /** A group has entries in a segment below `sequence`. */
  private holdsBack({ index }: WalGroup, sequence: number): boolean {
    return index.lastIndex >= index.firstIndex && index.segment(index.firstIndex) < sequence;
  }

  /** All entries of a group; undefined when some cannot be read, which is for its owner to find when it needs them. */
  private readAll(group: WalGroup): Entry[] | undefined {
    try {
      return group.entries(group.firstIndex(), group.lastIndex() + 1, Number.POSITIVE_INFINITY);
    } catch (error) {
      if (error instanceof LogCorruptError) return undefined;
      throw error;
    }
  }

  private settled(staged: StagedFrame): Promise<void> {
    return new Promise((resolve, reject) => {
      staged.waiters.push({ resolve, reject });
      this.pump();
    });
  }

  /** Hands frames to the disk, in order, as long as another one may be under way. */
  private pump(): void {
    for (;;) {
      const next = this.sealed[0] ?? this.staging;
      if (next === undefined || !this.underWay.admits(next)) return;
      if (next === this.staging) this.seal();
      this.sealed.shift();
      if (next.isMarked) next.writer.mark((this.underWay.oldest ?? next).writer.position);
      const writing = this.carryOut(next, this.underWay.begin(next));
      this.writing.add(writing);
      void writing.then(() => this.writing.delete(writing));
    }
  }

  private async carryOut(staged: StagedFrame, lane: number): Promise<void> {
    try {
      await this.writeFrame(staged, lane);
    } catch (error) {
      this.fail(error);
      return;
    }
    for (const stable of this.underWay.written(staged)) this.becameStable(stable);
    this.pump();
  }

  private async writeFrame({ writer, segmentSize }: StagedFrame, lane: number): Promise<void> {
    const { sequence, isMarked } = writer;
    const segment =
      this.segments.ready(sequence, segmentSize, isMarked) ??
      (await this.whenThereIsSpace(() => this.segments.require(sequence, segmentSize, isMarked)));
    const frame = this.completed(writer, segment);
    // Also a part of a file that is there already needs room where the file system copies on write.
    await this.whenThereIsSpace(() => segment.lanes[lane]!.write(frame, writer.position));
  }

  private becameStable({ writer, waiters, releaseBelow }: StagedFrame): void {
    this.stableSequence = writer.sequence;
    this.stablePosition = writer.position + writer.length;
    if (releaseBelow > 0) this.segments.release(releaseBelow);
    if (this.stablePosition > this.segments.get(writer.sequence)!.size / 2) this.segments.prepare(writer.sequence + 1);
    if (writer.buffer.length <= FRAME_BUFFER_BYTES && this.freeBuffers.length < MAX_FREE_BUFFERS)
      this.freeBuffers.push(writer.buffer);
    for (const waiter of waiters) waiter.resolve();
  }

  /** The frame as it is written: the same bytes at every attempt. */
  private completed(writer: FrameWriter, segment: Segment): Buffer {
    const { sealing } = this.segments;
    if (sealing === undefined) {
      sealFrame(writer.frame, segment, writer.position);
      return writer.frame;
    }
    assert(segment.isSealed, 'a segment that is written is of the form that is written');
    segment.frames.push(writer.position);
    return sealedFrame(writer.frame, segment, writer.position, sealing);
  }

  /** Does what takes room, again and again while the disk is full; not when the store is being closed. */
  private async whenThereIsSpace<Result>(work: () => Promise<Result>): Promise<Result> {
    let waits = false;
    try {
      for (;;) {
        try {
          return await work();
        } catch (error) {
          if (this.waitForSpace === undefined || this.failure !== undefined || !isOutOfSpace(error)) throw error;
          if (!waits) this.waitingForSpace += 1;
          waits = true;
          await this.waitForSpace();
        }
      }
    } finally {
      if (waits) this.waitingForSpace -= 1;
    }
  }

  /** Of what was under way it is not known any more what is stable: nothing of it is acknowledged. */
  private fail(cause: unknown): void {
    if (this.failure instanceof LogWriteError) return;
    const failure = new LogWriteError(this.folder, cause);
    this.failure = failure;
    if (this.staging !== undefined) this.seal();
    const waiting = [...this.underWay.giveUp(), ...this.sealed.splice(0)];
    for (const staged of waiting) for (const waiter of staged.waiters) waiter.reject(failure);
  }

  /** Keeps the cache inside its bound by dropping the oldest entries of the largest groups, down to 7/8 of it. */
  private evict(): void {
    if (this.cachedBytes <= this.cacheBytes) return;
    const target = (this.cacheBytes * 7) / 8;
    const candidates = [...this.byId.values()].sort((a, b) => b.index.cachedBytes - a.index.cachedBytes);
    for (const { index } of candidates) {
      while (this.cachedBytes > target && index.firstCachedIndex <= index.lastIndex) {
        const oldest = index.firstCachedIndex;
        if (!this.isStable(index.segment(oldest), index.position(oldest))) break;
        this.cachedBytes -= index.evictOldest();
      }
      if (this.cachedBytes <= target) return;
    }
  }

  private isStable(sequence: number, position: number): boolean {
    return sequence < this.stableSequence || (sequence === this.stableSequence && position < this.stablePosition);
  }
}

function writeBytes(write: LogWrite): number {
  let bytes = 0;
  if (write.hardState !== undefined) bytes += HARD_STATE_BYTES;
  if (write.resetTo !== undefined) bytes += POINT_BYTES;
  if (write.entries.length > 0) bytes += entriesRecordBytes(write.entries);
  return bytes;
}
