/**
 * The segment files of a log: opened ones by sequence number, the preparation of the next one ahead of need, and the reuse
 * of those that no group needs any more. A segment gets its final name only when all of its bytes are allocated and its
 * header is stable, so a file with a segment's name is never half made.
 */
import { join } from 'node:path';
import type { Disk, DiskFile, Random } from '../../platform/index.ts';
import { LogCorruptError } from './errors.ts';
import { encodeSegmentHeader, type SegmentHeader, segmentName } from './format.ts';
import type { SegmentBytes } from './wal-group.ts';

export interface Segment extends SegmentHeader {
  readonly path: string;
  /** Opened durable: a write is stable when it settles. */
  readonly file: DiskFile;
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
  /** Settles when it is stable that the log goes up to a segment; lower numbers than before change nothing. */
  noteSegment(sequence: number): Promise<void>;
}

export class Segments implements SegmentBytes {
  private readonly disk: Disk;
  private readonly folder: string;
  private readonly random: Random;
  readonly record: LogRecord;
  private readonly opened = new Map<number, Segment>();
  private readonly spares: string[] = [];
  private spareNumber = 0;
  /** Preparations and releases run one after the other. */
  private background: Promise<unknown> = Promise.resolve();
  private preparing: { readonly sequence: number; readonly size: number; readonly done: Promise<Segment> } | undefined;
  readonly segmentBytes: number;

  constructor(disk: Disk, folder: string, random: Random, record: LogRecord, segmentBytes: number) {
    this.disk = disk;
    this.folder = folder;
    this.random = random;
    this.record = record;
    this.segmentBytes = segmentBytes;
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
    const segment = { ...header, path, file: await this.disk.open(path, { durable: true }) };
    this.opened.set(header.sequence, segment);
    return segment;
  }

  read(sequence: number, position: number, length: number): Buffer {
    const segment = this.opened.get(sequence);
    if (segment === undefined) throw this.corrupt(sequence, position, 'the segment is gone');
    const bytes = segment.file.readSync(position, length);
    if (bytes.length < length) throw this.corrupt(sequence, position, 'the file ends early');
    return bytes;
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
    this.start(sequence, this.segmentBytes).catch(() => {});
  }

  /** Segment `sequence` with room for at least `size` bytes, made now when it was not prepared. */
  async require(sequence: number, size: number): Promise<Segment> {
    const ready = this.opened.get(sequence);
    if (ready !== undefined && ready.size >= size) return ready;
    const preparing = this.preparing;
    if (preparing?.sequence === sequence && preparing.size >= size) {
      const segment = await preparing.done.catch(() => undefined);
      if (segment !== undefined) return segment;
    }
    return await this.start(sequence, Math.max(size, this.segmentBytes));
  }

  /** Gives back every segment below `sequence`. Failures leave files behind that the next open removes. */
  release(sequence: number): void {
    const released = [...this.opened.values()].filter((segment) => segment.sequence < sequence);
    if (released.length === 0) return;
    for (const segment of released) this.opened.delete(segment.sequence);
    this.enqueue(async () => {
      for (const segment of released) {
        await segment.file.close();
        if (this.spares.length < MAX_SPARES && segment.size === this.segmentBytes) {
          this.spareNumber += 1;
          const spare = join(this.folder, `spare-${this.spareNumber}.tmp`);
          await this.disk.rename(segment.path, spare);
          this.spares.push(spare);
        } else {
          await this.disk.remove(segment.path);
        }
      }
    }).catch(() => {});
  }

  /** Waits for background work and closes all files. */
  async close(): Promise<void> {
    await this.background.catch(() => {});
    for (const segment of this.opened.values()) await segment.file.close();
    this.opened.clear();
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.background.then(work, work);
    this.background = done;
    done.catch(() => {});
    return done;
  }

  private start(sequence: number, size: number): Promise<Segment> {
    const done = this.enqueue(() => this.make(sequence, size));
    const preparing = { sequence, size, done };
    this.preparing = preparing;
    const finished = (): void => {
      if (this.preparing === preparing) this.preparing = undefined;
    };
    done.then(finished, finished);
    return done;
  }

  private async make(sequence: number, size: number): Promise<Segment> {
    const header = { sequence, size, salt: this.random.int(0x1_0000_0000), owner: this.record.incarnation };
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
    await this.disk.rename(temporary, this.path(sequence));
    await this.disk.syncFolder(this.folder);
    // Before anything in it is acknowledged: a log that lost its newest segments must not pass for a whole one.
    await this.record.noteSegment(sequence);
    // A smaller one that was prepared under the same name has just been replaced; nothing was written to it.
    await this.opened.get(sequence)?.file.close();
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
