/**
 * Opening a log: replays its segments into groups, cuts a torn tail, and refuses to go on over anything that had been
 * acknowledged and cannot be read.
 *
 * What a bad or missing frame means:
 * - in the last segment with no good frame behind it: the last write never became stable; it is cut off;
 * - in the last segment with good frames behind it of which none was begun when it was stable, as their marks say: it was under
 *   way with them and never became stable. All of them are cut off, since none counts as stable without those before it. The
 *   log goes on in another segment: a frame written here could end where one of those that were cut off begins;
 * - in the last segment with a good frame behind it that was begun when the bad one was stable: corruption;
 * - in an earlier segment: the next segment's checkpoint says where this one ends; anything else is corruption;
 * - a segment that the newest checkpoint still needs is absent: corruption;
 * - the newest segment that there ever was is absent, by the record beside the log: the log is not the one that was here. That
 *   segment may hold nothing yet, but every one before it does.
 * The bits of the very last frame, and of those that were under way with it, are the one place where damage looks like a torn
 * write; a log that was closed in order ends with a frame that says so, which takes that place.
 */
import { join } from 'node:path';
import { assert, type Disk, type GroupId, type LogIndex, type Term } from '../../platform/index.ts';
import type { HardState } from '../core/index.ts';
import { LogCorruptError, LogMissingError } from './errors.ts';
import {
  alignFrame,
  decodeSegmentHeader,
  FRAME_ALIGNMENT,
  FRAME_HEADER_BYTES,
  findFrame,
  frameBodyAt,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentSequence,
} from './format.ts';
import { type FrameVisitor, readFrame } from './frame-reader.ts';
import type { CheckpointRow } from './frame-writer.ts';
import type { Segments } from './segments.ts';
import { WalGroup } from './wal-group.ts';

/** What a log held when it was opened. */
export interface RecoveredLog {
  readonly groups: Map<GroupId, WalGroup>;
  /** Segment to go on in, and the position of its next frame. */
  readonly sequence: number;
  readonly position: number;
  /** The log was closed in order. */
  readonly closedInOrder: boolean;
  /** Bytes of an unfinished write that were found behind the last frame and cut off; 0 when there were none. */
  readonly tornBytes: number;
  /** Whole frames lie behind that place, which are not part of the log: it has to go on in another segment. */
  readonly isSpent: boolean;
}

interface LoadedSegment extends SegmentHeader {
  readonly bytes: Buffer;
}

const headerOf = ({ bytes: _, ...header }: LoadedSegment): SegmentHeader => header;

/** What a segment was found to hold. */
interface Replayed {
  /** Position behind its last frame, where the next one would begin. */
  readonly position: number;
  /** Where the bytes of the last frame end. */
  readonly end: number;
  /** The last frame closed the log. */
  readonly closed: boolean;
  /** All before it had been stable when some later frame was begun. */
  readonly stableTo: number;
}

interface Checkpoint {
  readonly previousEnd: number;
  readonly firstNeeded: number;
}

const IGNORE: FrameVisitor = {
  hardState: () => {},
  entriesFrom: () => {},
  entry: () => {},
  reset: () => {},
  truncate: () => {},
  removeGroup: () => {},
  checkpoint: () => {},
  closed: () => {},
  mark: () => {},
};

/**
 * Replays the log in `folder`; its live segments are open in `segments` afterwards.
 * @param allowsClear whether segments may be in clear where the log is encrypted
 * @throws LogCorruptError
 */
export async function recoverLog(
  disk: Disk,
  folder: string,
  segments: Segments,
  allowsClear: boolean,
): Promise<RecoveredLog> {
  const names = await disk.list(folder);
  for (const name of names) if (name.endsWith('.tmp')) await disk.remove(join(folder, name));
  const sequences = names.map(segmentSequence).filter((sequence) => sequence !== undefined);
  sequences.sort((a, b) => a - b);

  const noted = segments.record.newestSegment;
  if (noted > 0 && !sequences.includes(noted))
    throw new LogMissingError(folder, segments.path(noted), sequences.length);

  const recovery = new Recovery(disk, segments, allowsClear);
  const newest = await recovery.findNewest(sequences);
  if (newest === undefined) {
    // Nothing was ever acknowledged: at most a first segment that was prepared or whose first write was torn.
    const leftover = sequences.find((sequence) => sequence !== 1);
    if (leftover !== undefined)
      throw new LogCorruptError(segments.path(leftover), SEGMENT_HEADER_BYTES, 'no segment before it can be read');
    // Replaced by one rename: a record that names a segment which is not there would be a loss.
    await segments.require(1, segments.segmentBytes, segments.isMarked);
    return {
      groups: new Map(),
      sequence: 1,
      position: SEGMENT_HEADER_BYTES,
      closedInOrder: true,
      tornBytes: 0,
      isSpent: false,
    };
  }
  const { segment: tail, firstNeeded } = newest;
  if (noted > tail.sequence + 1)
    throw new LogCorruptError(segments.path(tail.sequence + 1), SEGMENT_HEADER_BYTES, 'the first frame is gone');
  for (const sequence of sequences) {
    // Made ahead and noted: it stays until it is needed, and is then replaced by one rename.
    const isPrepared = sequence > tail.sequence && sequence <= noted;
    if (sequence < firstNeeded || (sequence > tail.sequence && !isPrepared)) await disk.remove(segments.path(sequence));
  }
  return await recovery.replay(firstNeeded, tail);
}

class Recovery {
  private readonly disk: Disk;
  private readonly segments: Segments;
  private readonly allowsClear: boolean;
  private readonly groups = new Map<GroupId, WalGroup>();

  constructor(disk: Disk, segments: Segments, allowsClear: boolean) {
    this.disk = disk;
    this.segments = segments;
    this.allowsClear = allowsClear;
  }

  /** The highest segment whose first frame is whole, with what its checkpoint says. */
  async findNewest(sequences: readonly number[]): Promise<{ segment: LoadedSegment; firstNeeded: number } | undefined> {
    for (const sequence of sequences.toReversed()) {
      const segment = await this.load(sequence);
      const checkpoint = this.checkpointOf(segment);
      if (checkpoint !== undefined) return { segment, firstNeeded: checkpoint.firstNeeded };
      this.refuseWhenDamaged(segment, SEGMENT_HEADER_BYTES);
    }
    return undefined;
  }

  async replay(first: number, newest: LoadedSegment): Promise<RecoveredLog> {
    const last = newest.sequence;
    let position = SEGMENT_HEADER_BYTES;
    let closedInOrder = false;
    let tornBytes = 0;
    let isSpent = false;
    for (let sequence = first; sequence <= last; sequence++) {
      const segment = sequence === last ? newest : await this.load(sequence);
      const checkpoint = this.checkpointOf(segment);
      if (checkpoint === undefined)
        throw this.segments.corrupt(sequence, SEGMENT_HEADER_BYTES, 'the first frame is damaged');
      if (sequence > first && checkpoint.previousEnd !== position)
        throw this.segments.corrupt(sequence - 1, position, 'the frame there is damaged');
      const { lanes, frames } = await this.segments.adopt(headerOf(segment));
      const replayed = this.replaySegment(segment, sequence === first, frames);
      position = replayed.position;
      if (sequence < last) continue;
      isSpent = this.refuseWhenDamaged(segment, position);
      this.refuseWhenEntriesAreMissing(first);
      closedInOrder = replayed.closed;
      tornBytes = tornLength(segment, position);
      // What is not known to have been stable may be whole in the page cache only: its writer died before the disk had it, or the
      // disk refused it. A sync is not enough, since pages that were refused are marked clean.
      const { stableTo, end } = replayed;
      await lanes[0]!.write(segment.bytes.subarray(stableTo, end), stableTo);
      this.segments.isMarked = segment.isMarked;
    }
    return { groups: this.groups, sequence: last, position, closedInOrder, tornBytes, isSpent };
  }

  private async load(sequence: number): Promise<LoadedSegment> {
    const path = this.segments.path(sequence);
    const file = await this.disk.open(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw new LogCorruptError(path, 0, 'the file is missing');
      throw error;
    });
    try {
      const bytes = await file.read(0, await file.size());
      const header = decodeSegmentHeader(bytes);
      if (typeof header === 'string') throw new LogCorruptError(path, 0, header);
      if (header.sequence !== sequence)
        throw new LogCorruptError(path, 12, `the header is that of segment ${header.sequence}`);
      this.checkForm(path, header.isSealed);
      if (header.owner !== this.segments.record.incarnation)
        throw new LogCorruptError(path, 24, `the segment belongs to the log of another data folder (${header.owner})`);
      if (header.size !== bytes.length)
        throw new LogCorruptError(path, bytes.length, `the file should have ${header.size} bytes`);
      return { ...header, bytes };
    } finally {
      await file.close();
    }
  }

  /** What is in clear is never taken for what is encrypted, nor the other way round. */
  private checkForm(path: string, isSealed: boolean): void {
    if (isSealed && this.segments.sealing === undefined)
      throw new LogCorruptError(path, 8, 'the segment is encrypted, and the keys of this data folder are not here');
    if (!isSealed && this.segments.sealing !== undefined && !this.allowsClear)
      throw new LogCorruptError(path, 8, 'the segment is in clear, though all of this data folder was encrypted');
  }

  private checkpointOf(segment: LoadedSegment): Checkpoint | undefined {
    const body = frameBodyAt(segment.bytes, segment, SEGMENT_HEADER_BYTES);
    if (body === undefined) return undefined;
    let found: Checkpoint | undefined;
    readFrame(this.segments.openBody(segment, SEGMENT_HEADER_BYTES, body), {
      ...IGNORE,
      checkpoint: (previousEnd, firstNeeded) => {
        found = { previousEnd, firstNeeded };
      },
    });
    return found;
  }

  /**
   * @param position where there is no good frame
   * @returns whether good ones follow that were under way with it
   * @throws LogCorruptError when it had been stable, as one that follows says
   */
  private refuseWhenDamaged(segment: LoadedSegment, position: number): boolean {
    let isFollowed = false;
    let next = findFrame(segment.bytes, segment, position);
    while (next !== undefined) {
      if (this.markOf(segment, next) > position)
        throw this.segments.corrupt(
          segment.sequence,
          position,
          `the frame there is damaged, and an intact one that was written after it follows at byte ${next}`,
        );
      isFollowed = true;
      next = findFrame(segment.bytes, segment, next + FRAME_ALIGNMENT);
    }
    return isFollowed;
  }

  /** What was stable when the good frame at `position` was begun. */
  private markOf(segment: LoadedSegment, position: number): number {
    if (!segment.isMarked) return position;
    let mark = position;
    readFrame(this.segments.openBody(segment, position, frameBodyAt(segment.bytes, segment, position)), {
      ...IGNORE,
      mark: (stableTo) => {
        mark = stableTo;
      },
    });
    return mark;
  }

  private refuseWhenEntriesAreMissing(firstSequence: number): void {
    for (const group of this.groups.values()) {
      const { index } = group;
      if (index.lastIndex >= index.firstIndex && index.segment(index.firstIndex) === 0)
        throw this.segments.corrupt(
          firstSequence,
          SEGMENT_HEADER_BYTES,
          `entry ${index.firstIndex} of group ${group.groupId} is in no segment`,
        );
    }
  }

  /**
   * @param frames gets the positions of the frames of an encrypted segment
   */
  private replaySegment(segment: LoadedSegment, isFirst: boolean, frames: number[]): Replayed {
    let position = SEGMENT_HEADER_BYTES;
    let end = position;
    let stableTo = position;
    let closed = false;
    for (;;) {
      const body = frameBodyAt(segment.bytes, segment, position);
      if (body === undefined) return { position, end, closed, stableTo };
      closed = false;
      const bodyPosition = position + FRAME_HEADER_BYTES;
      if (!segment.isMarked) stableTo = position;
      if (segment.isSealed) frames.push(position);
      const records = this.segments.openBody(segment, position, body);
      try {
        readFrame(records, {
          hardState: (id, hard) => {
            this.group(id).hard = hard;
          },
          entriesFrom: (id, firstIndex) => {
            const { index } = this.group(id);
            assert(firstIndex <= index.lastIndex + 1, `entries of group ${id} leave a gap`);
            index.cutFrom(firstIndex);
          },
          entry: (id, term, at, length) =>
            this.group(id).index.append(term, segment.sequence, bodyPosition + at, length, undefined),
          reset: (id, index, term) => this.group(id).restart(index, term),
          truncate: (id, index, term) => this.forget(id, index, term),
          removeGroup: (id) => {
            this.groups.delete(id);
          },
          checkpoint: (_previousEnd, _firstNeeded, rows) => {
            if (isFirst) this.start(rows);
            else this.check(rows);
          },
          closed: () => {
            closed = true;
          },
          mark: (mark) => {
            stableTo = mark;
          },
        });
      } catch (error) {
        throw this.segments.corrupt(
          segment.sequence,
          position,
          `the frame there is intact but contradicts what is before it (${(error as Error).message})`,
        );
      }
      end = bodyPosition + body.length;
      position = alignFrame(end);
    }
  }

  private group(id: GroupId): WalGroup {
    let group = this.groups.get(id);
    if (group === undefined) {
      group = new WalGroup(id, this.segments);
      group.recorded = true;
      this.groups.set(id, group);
    }
    return group;
  }

  private forget(id: GroupId, index: LogIndex, term: Term): void {
    const group = this.group(id);
    if (index > group.truncatedIndex) group.truncate(index, term);
  }

  /** Entries from before the first segment are in none; they must turn out to be truncated or replaced later. */
  private start(rows: readonly CheckpointRow[]): void {
    for (const row of rows) {
      const group = this.group(row.groupId);
      group.hard = row.hard;
      group.restart(row.truncatedIndex, row.truncatedTerm);
      for (let index = row.truncatedIndex + 1; index <= row.lastIndex; index++)
        group.index.append(0, 0, 0, 0, undefined);
    }
  }

  private check(rows: readonly CheckpointRow[]): void {
    assert(rows.length === this.groups.size, `${rows.length} groups in the checkpoint, ${this.groups.size} before it`);
    for (const row of rows) {
      this.forget(row.groupId, row.truncatedIndex, row.truncatedTerm);
      const group = this.group(row.groupId);
      assert(group.lastIndex() === row.lastIndex, `last index of group ${row.groupId}`);
      assert(sameHardState(group.hard, row.hard), `hard state of group ${row.groupId}`);
    }
  }
}

const sameHardState = (a: HardState, b: HardState): boolean =>
  a.term === b.term && a.vote === b.vote && a.commitIndex === b.commitIndex;

/** Length of what an unfinished write left at the tail, as far as its header tells. */
function tornLength(segment: LoadedSegment, position: number): number {
  const { bytes } = segment;
  if (position + FRAME_HEADER_BYTES > bytes.length) return 0;
  if (bytes.readUInt32LE(position + 8) !== segment.sequence) return 0;
  const claimed = FRAME_HEADER_BYTES + bytes.readUInt32LE(position + 4);
  return Math.min(claimed, bytes.length - position);
}
