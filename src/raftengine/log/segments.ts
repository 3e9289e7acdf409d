/**
 * The segment files of a log: opened ones by sequence number, the preparation of the next one ahead of need, and the reuse
 * of those that no group needs any more. A segment gets its final name only when all of its bytes are allocated and its
 * header is stable, so a file with a segment's name is never half made.
 */
import { join } from 'node:path';
import { assert, type Disk, type DiskFile, type Random } from '../../platform/index.ts';
import type { Sealing } from '../../security/index.ts';
import { LogCorruptError } from './errors.ts';
import {
  encodeSegmentHeader,
  FRAME_HEADER_BYTES,
  frameBodyAt,
  openedBody,
  type SegmentHeader,
  segmentName,
} from './format.ts';
import { MAX_FRAMES_UNDER_WAY } from './frames-under-way.ts';
import type { SegmentBytes } from './wal-group.ts';

export interface Segment extends SegmentHeader {
  readonly path: string;
  /**
   * Opened durable: a write is stable when it settles. The file is opened once for every frame that may be under way: Linux says once
   * for each open file that pages could not be written, so of two writes through one the wrong one may hear of it.
   */
  readonly lanes: readonly DiskFile[];
  /** Where its frames begin, ascending; of encrypted segments only. */
  readonly frames: number[];
}

/** A frame of an encrypted segment that was read back. */
interface OpenedFrame {
  readonly sequence: number;
  readonly position: number;
  readonly body: Buffer;
}

/** Zeros are written and synced in steps of this size so that a filling segment does not stall the log's own writes. */
const FILL_BYTES = 1024 * 1024;
/** Released files kept for reuse; more than one would only hold space. */
const MAX_SPARES = 1;

/** What is known of a log beside itself; `NodeRecord` keeps it. */
export interface LogRecord {
  /** Whose log it is: the incarnation of the data folder. */
  readonly incarnation: string;
  /** The log once had a segment of this number; 0 while there never was a log. */
  readonly newestSegment: number;
  /** Settles when it is stable that the log may have marked or encrypted segments: programs that know neither refuse the folder by name. */
  noteLaterForms(): Promise<void>;
  /** Settles when it is stable that the log goes up to a segment; lower numbers than before change nothing. */
  noteSegment(sequence: number): Promise<void>;
}

export class Segments implements SegmentBytes {
  private readonly disk: Disk;
  private readonly folder: string;
  private readonly random: Random;
  readonly record: LogRecord;
  /** Encrypts segments that are made from now on; undefined: they are in clear. */
  readonly sealing: Sealing | undefined;
  /** Whole frames have to be read to be opened, and entries are mostly read in order. */
  private lastOpened: OpenedFrame | undefined;
  /** Files of older segments are not used again: what they held would stay behind what is written. */
  private discardBelow = 0;
  private readonly opened = new Map<number, Segment>();
  private readonly spares: string[] = [];
  private spareNumber = 0;
  /** Files that are to go and are still there: a removal waits, or failed. */
  private readonly unremoved = new Set<string>();
  /** Removals since the folder was synced. */
  private hasUnsyncedRemovals = false;
  /** Preparations and releases run one after the other. */
  private background: Promise<unknown> = Promise.resolve();
  private preparing: { readonly sequence: number; readonly done: Promise<Segment> } | undefined;
  readonly segmentBytes: number;
  /** Segments that are made from now on have marks. */
  isMarked = true;

  constructor(options: {
    readonly disk: Disk;
    readonly folder: string;
    readonly random: Random;
    readonly record: LogRecord;
    readonly segmentBytes: number;
    readonly sealing: Sealing | undefined;
  }) {
    this.disk = options.disk;
    this.folder = options.folder;
    this.random = options.random;
    this.record = options.record;
    this.segmentBytes = options.segmentBytes;
    this.sealing = options.sealing;
  }

  path(sequence: number): string {
    return join(this.folder, segmentName(sequence));
  }

  get(sequence: number): Segment | undefined {
    return this.opened.get(sequence);
  }

  /** Number of segments that are in use or ready. */
  get count(): number {
    return this.opened.size;
  }

  /** Opens an existing segment whose header has been read. */
  async adopt(header: SegmentHeader): Promise<Segment> {
    const path = this.path(header.sequence);
    const lanes: DiskFile[] = [];
    const count = header.isMarked ? MAX_FRAMES_UNDER_WAY : 1;
    try {
      while (lanes.length < count) lanes.push(await this.disk.open(path, { durable: true }));
    } catch (error) {
      await closeAll(lanes);
      throw error;
    }
    const segment: Segment = { ...header, path, lanes, frames: [] };
    this.opened.set(header.sequence, segment);
    return segment;
  }

  read(sequence: number, position: number, length: number): Buffer {
    const segment = this.opened.get(sequence);
    if (segment === undefined) throw this.corrupt(sequence, position, 'the segment is gone');
    return segment.isSealed ? this.readSealed(segment, position, length) : this.readBytes(segment, position, length);
  }

  private readBytes(segment: Segment, position: number, length: number): Buffer {
    const bytes = segment.lanes[0]!.readSync(position, length);
    if (bytes.length < length) throw this.corrupt(segment.sequence, position, 'the file ends early');
    return bytes;
  }

  /** What lies there when it is in clear; zeros between the frames. */
  private readSealed(segment: Segment, position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    const { frames } = segment;
    for (let at = lastUpTo(frames, position); at < frames.length && frames[at]! < position + length; at++) {
      const { body, position: start } = this.openFrame(segment, frames[at]!);
      const bodyAt = start + FRAME_HEADER_BYTES;
      const from = Math.max(0, position - bodyAt);
      if (from < body.length) body.copy(bytes, bodyAt + from - position, from);
    }
    return bytes;
  }

  private openFrame(segment: Segment, position: number): OpenedFrame {
    const { sequence } = segment;
    const last = this.lastOpened;
    if (last?.sequence === sequence && last.position === position) return last;
    const length = FRAME_HEADER_BYTES + this.readBytes(segment, position, FRAME_HEADER_BYTES).readUInt32LE(4);
    if (position + length > segment.size) throw this.corrupt(sequence, position, 'the frame there is damaged');
    const frame = this.readBytes(segment, position, length);
    const body = this.openBody(segment, position, frameBodyAt(frame, segment, position, position));
    this.lastOpened = { sequence, position, body };
    return this.lastOpened;
  }

  /**
   * The records of a frame.
   * @param body as the segment has it; undefined: it does not match its checksum
   * @throws LogCorruptError when it is not what was written there with a key that is here
   */
  openBody(segment: SegmentHeader, position: number, body: Buffer | undefined): Buffer {
    if (body === undefined) throw this.corrupt(segment.sequence, position, 'the frame there is damaged');
    if (!segment.isSealed) return body;
    assert(this.sealing !== undefined, 'encrypted segments are refused where there are no keys');
    const opened = openedBody(body, segment, position, this.sealing);
    if (opened === undefined) {
      const what = 'the frame there was changed, or moved there, or was encrypted with a key that is not here';
      throw this.corrupt(segment.sequence, position, what);
    }
    return opened;
  }

  /** Some segment holds frames that were written before `sequence` was begun. */
  hasOlderThan(sequence: number): boolean {
    for (const older of this.opened.keys()) if (older < sequence) return true;
    return false;
  }

  /** Files of segments below `sequence`, and spare ones, go away instead of being used again. */
  discardOlderThan(sequence: number): void {
    this.discardBelow = Math.max(this.discardBelow, sequence);
    this.enqueue(async () => {
      const spares = this.spares.splice(0);
      this.hasUnsyncedRemovals ||= spares.length > 0;
      for (const spare of spares) this.unremoved.add(spare);
      for (const spare of spares) {
        await this.disk.remove(spare);
        this.unremoved.delete(spare);
      }
    }).catch(() => {});
  }

  /** Settles when what was given back is gone for good; tries again what failed. @throws what a removal failed with */
  async idle(): Promise<void> {
    await this.background.catch(() => {});
    if (this.unremoved.size === 0 && !this.hasUnsyncedRemovals) return;
    await this.enqueue(async () => {
      for (const path of this.unremoved) {
        await this.disk.remove(path);
        this.unremoved.delete(path);
      }
      await this.syncRemovals();
    });
  }

  private async syncRemovals(): Promise<void> {
    await this.disk.syncFolder(this.folder);
    this.hasUnsyncedRemovals = false;
  }

  corrupt(sequence: number, position: number, what: string): LogCorruptError {
    return new LogCorruptError(this.path(sequence), position, what);
  }

  /**
   * Starts to make segment `sequence` in the background unless that is under way. A failure is kept quiet: it shows when
   * the segment is needed and could not be made then either.
   */
  prepare(sequence: number): void {
    if (this.opened.has(sequence) || this.preparing !== undefined) return;
    this.start(sequence, this.segmentBytes, this.isMarked).catch(() => {});
  }

  /** Segment `sequence` when it is open, has room for `size` bytes and the form that its frames need. */
  ready(sequence: number, size: number, isMarked: boolean): Segment | undefined {
    const segment = this.opened.get(sequence);
    return segment !== undefined && segment.size >= size && segment.isMarked === isMarked ? segment : undefined;
  }

  /** As `ready`; made now when it was not prepared so. */
  async require(sequence: number, size: number, isMarked: boolean): Promise<Segment> {
    if (this.preparing?.sequence === sequence) await this.preparing.done.catch(() => undefined);
    return (
      this.ready(sequence, size, isMarked) ?? (await this.start(sequence, Math.max(size, this.segmentBytes), isMarked))
    );
  }

  /** Gives back every segment below `sequence`. Failures leave files behind that the next open removes. */
  release(sequence: number): void {
    const released = [...this.opened.values()].filter((segment) => segment.sequence < sequence);
    if (released.length === 0) return;
    for (const segment of released) this.opened.delete(segment.sequence);
    if (this.lastOpened !== undefined && !this.opened.has(this.lastOpened.sequence)) this.lastOpened = undefined;
    for (const { path } of released) this.unremoved.add(path);
    this.enqueue(async () => {
      this.hasUnsyncedRemovals = true;
      for (const segment of released) {
        await closeAll(segment.lanes);
        const isReused = segment.isSealed === this.isSealing && segment.sequence >= this.discardBelow;
        if (isReused && this.spares.length < MAX_SPARES && segment.size === this.segmentBytes) {
          this.spareNumber += 1;
          const spare = join(this.folder, `spare-${this.spareNumber}.tmp`);
          await this.disk.rename(segment.path, spare);
          this.spares.push(spare);
        } else {
          await this.disk.remove(segment.path);
        }
        this.unremoved.delete(segment.path);
      }
      if (this.discardBelow > 0) await this.syncRemovals();
    }).catch(() => {});
  }

  private get isSealing(): boolean {
    return this.sealing !== undefined;
  }

  /** Waits for background work and closes all files. */
  async close(): Promise<void> {
    await this.background.catch(() => {});
    for (const { lanes } of this.opened.values()) await closeAll(lanes);
    this.opened.clear();
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.background.then(work, work);
    this.background = done;
    done.catch(() => {});
    return done;
  }

  private start(sequence: number, size: number, isMarked: boolean): Promise<Segment> {
    const done = this.enqueue(() => this.make(sequence, size, isMarked));
    const preparing = { sequence, done };
    this.preparing = preparing;
    const finished = (): void => {
      if (this.preparing === preparing) this.preparing = undefined;
    };
    done.then(finished, finished);
    return done;
  }

  private async make(sequence: number, size: number, isMarked: boolean): Promise<Segment> {
    const header: SegmentHeader = {
      sequence,
      size,
      salt: this.random.int(0x1_0000_0000),
      owner: this.record.incarnation,
      isSealed: this.isSealing,
      isMarked,
    };
    const temporary = join(this.folder, 'prepare.tmp');
    const spare = size === this.segmentBytes ? this.spares.pop() : undefined;
    if (spare === undefined) await this.disk.remove(temporary);
    else await this.disk.rename(spare, temporary);
    const file = await this.disk.open(temporary, { create: true });
    try {
      if (spare === undefined) await this.fill(file, size);
      await file.write(encodeSegmentHeader(header), 0);
      await file.sync();
    } finally {
      await file.close();
    }
    // To a program that does not know the form, the segment would be a damaged one.
    if (isMarked || header.isSealed) await this.record.noteLaterForms();
    await this.disk.rename(temporary, this.path(sequence));
    await this.disk.syncFolder(this.folder);
    // Before anything in it is acknowledged: a log that lost its newest segments must not pass for a whole one.
    await this.record.noteSegment(sequence);
    // One of another size or form that was prepared under the same name has just been replaced; nothing was written to it.
    await closeAll(this.opened.get(sequence)?.lanes ?? []);
    return await this.adopt(header);
  }

  private async fill(file: DiskFile, size: number): Promise<void> {
    const zeros = Buffer.alloc(Math.min(size, FILL_BYTES));
    for (let position = 0; position < size; position += zeros.length) {
      await file.write(zeros.subarray(0, Math.min(zeros.length, size - position)), position);
      await file.sync();
    }
  }
}

async function closeAll(files: readonly DiskFile[]): Promise<void> {
  for (const file of files) await file.close();
}

/** Index of the last number that is not above `bound`; 0 when all are. */
function lastUpTo(ascending: readonly number[], bound: number): number {
  let low = 0;
  let high = ascending.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! <= bound) low = middle;
    else high = middle;
  }
  return low;
}
