/**
 * Rows in key order become segment files. Where a segment ends is decided by the rows in it, not by where the copy began, so
 * two copies of nearly the same state share most of their segments, byte for byte.
 */
import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { assert, type Disk, type DiskFile } from '../../platform/index.ts';
import { RowKind } from '../rows/index.ts';
import type { BlockCompression } from './compression.ts';
import {
  type BlockEntry,
  encodeBlock,
  encodeFooter,
  encodeIndex,
  ROW_HEADER_BYTES,
  rowBytesOf,
  SEGMENT_HEAD,
  writeRow,
} from './format.ts';
import { type SegmentEntry, segmentName } from './manifest.ts';

export interface SegmentLimits {
  /** Rows of a block before compression. Large enough to pack well and to cost few calls, small enough for one turn of the event loop. */
  readonly blockBytes: number;
  /** Rows of a segment before compression: none but the last of its kind is smaller. */
  readonly minSegmentBytes: number;
  /** Beyond it a segment ends at the next row whatever its key. */
  readonly maxSegmentBytes: number;
}

export const DEFAULT_SEGMENT_LIMITS: SegmentLimits = {
  blockBytes: 128 << 10,
  minSegmentBytes: 16 << 20,
  maxSegmentBytes: 64 << 20,
};

/** Bytes of blocks that are written to the disk at once. */
const WRITE_BYTES = 256 << 10;
/** Blocks that are being compressed: the thread pool has four threads, and others need some. */
const COMPRESSING = 2;

/** Rows of these kinds change with every copy and are few: on their own they spoil no segment of others. */
const APART: ReadonlySet<number> = new Set([RowKind.Meta, RowKind.System, RowKind.Range, RowKind.Drop]);
const kindClass = (kind: number): number => (APART.has(kind) ? 0 : kind);

interface PendingBlock {
  readonly content: Buffer;
  readonly pieces: Promise<readonly Buffer[]>;
  readonly rows: number;
  readonly lastKey: Buffer;
}

/** A segment that is being written. */
class OpenSegment {
  readonly path: string;
  readonly file: DiskFile;
  readonly firstKey: Buffer;
  readonly blocks: BlockEntry[] = [];
  readonly hash: Hash = createHash('sha256');
  rawBytes = 0;
  rows = 0;
  /** Where the next byte goes. */
  offset = 0;
  private readonly unwritten: Buffer[] = [];
  private unwrittenBytes = 0;

  constructor(path: string, file: DiskFile, firstKey: Buffer) {
    this.path = path;
    this.file = file;
    this.firstKey = firstKey;
  }

  async append(pieces: readonly Buffer[]): Promise<number> {
    let bytes = 0;
    for (const piece of pieces) {
      this.hash.update(piece);
      bytes += piece.length;
    }
    this.unwritten.push(...pieces);
    this.unwrittenBytes += bytes;
    this.offset += bytes;
    if (this.unwrittenBytes >= WRITE_BYTES) await this.write();
    return bytes;
  }

  /** Hands what was appended to the disk. */
  async write(): Promise<void> {
    if (this.unwrittenBytes === 0) return;
    const bytes = Buffer.concat(this.unwritten.splice(0));
    this.unwrittenBytes = 0;
    await this.file.write(bytes, this.offset - bytes.length);
  }
}

/** See the top of the file. Rows of one call are put into blocks without a pause: a page of a store's iterator. */
export class SegmentWriter {
  private readonly disk: Disk;
  private readonly folder: string;
  private readonly compression: BlockCompression;
  private readonly limits: SegmentLimits;
  /** Files are synced before they get their names. */
  private readonly durable: boolean;
  private segment: OpenSegment | undefined;
  private block: Buffer | undefined;
  /** Memory of blocks that were packed, for others: each new one would bring the collector of garbage nearer. */
  private readonly spare: Buffer[] = [];
  private blockAt = 0;
  private blockRows = 0;
  private lastKey: Buffer | undefined;
  private readonly pending: PendingBlock[] = [];
  private readonly done: SegmentEntry[] = [];

  constructor(options: {
    readonly disk: Disk;
    /** Exists, and is this writer's alone. */
    readonly folder: string;
    readonly compression: BlockCompression;
    readonly limits: SegmentLimits;
    readonly durable: boolean;
  }) {
    this.disk = options.disk;
    this.folder = options.folder;
    this.compression = options.compression;
    this.limits = options.limits;
    this.durable = options.durable;
  }

  /** Adds rows, whose keys are above all before. Settles when as much of them is on its way as may be. */
  async add(rows: readonly (readonly [Buffer, Buffer])[]): Promise<void> {
    for (const [key, value] of rows) {
      const last = this.lastKey;
      assert(last === undefined || Buffer.compare(last, key) < 0, 'rows of a copy ascend');
      if (last !== undefined && kindClass(last[0]!) !== kindClass(key[0]!)) await this.endSegment();
      this.segment ??= await this.beginSegment(key);
      const bytes = rowBytesOf(key, value);
      if (this.block !== undefined && this.blockAt + bytes > this.block.length) await this.endBlock();
      this.block ??= this.newBlock(bytes);
      this.blockAt = writeRow(this.block, this.blockAt, key, value);
      this.blockRows++;
      this.lastKey = key;
      this.segment.rawBytes += bytes;
      this.segment.rows++;
      if (this.isEnd(this.segment, key, value)) await this.endSegment();
    }
  }

  /** A row ends its segment with a chance that grows with its length, drawn from its key. */
  private isEnd(segment: OpenSegment, key: Buffer, value: Buffer): boolean {
    const { minSegmentBytes, maxSegmentBytes } = this.limits;
    if (segment.rawBytes < minSegmentBytes) return false;
    if (segment.rawBytes >= maxSegmentBytes) return true;
    return crc32(key) / 0x1_0000_0000 < (ROW_HEADER_BYTES + key.length + value.length) / minSegmentBytes;
  }

  private async beginSegment(firstKey: Buffer): Promise<OpenSegment> {
    const path = `${this.folder}/${this.done.length}.part`;
    const file = await this.disk.open(path, { create: true });
    const segment = new OpenSegment(path, file, Buffer.from(firstKey));
    await segment.append([SEGMENT_HEAD]);
    return segment;
  }

  private newBlock(leastBytes: number): Buffer {
    const { blockBytes } = this.limits;
    const memory = leastBytes <= blockBytes ? this.spare.pop()?.buffer : undefined;
    return memory !== undefined && memory.byteLength === blockBytes
      ? Buffer.from(memory)
      : Buffer.allocUnsafeSlow(Math.max(leastBytes, blockBytes));
  }

  private async endBlock(): Promise<void> {
    if (this.block === undefined) return;
    const content = this.block.subarray(0, this.blockAt);
    const pieces = encodeBlock(content, this.compression);
    // Whoever awaits it hears of the failure; until then it must not count as unheard.
    pieces.catch(() => {});
    this.pending.push({ content, pieces, rows: this.blockRows, lastKey: Buffer.from(this.lastKey!) });
    this.block = undefined;
    this.blockAt = 0;
    this.blockRows = 0;
    if (this.pending.length > COMPRESSING) await this.storeBlock();
  }

  private async storeBlock(): Promise<void> {
    const { content, pieces, rows, lastKey } = this.pending.shift()!;
    const segment = this.segment!;
    const { offset } = segment;
    const stored = await pieces;
    // What could not be packed is still to be written as it is.
    if (stored[0] !== content) this.spare.push(content);
    const storedBytes = await segment.append(stored);
    segment.blocks.push({ offset, storedBytes, rawBytes: content.length, rows, lastKey });
  }

  private async endSegment(): Promise<void> {
    const { segment } = this;
    if (segment === undefined) return;
    await this.endBlock();
    while (this.pending.length > 0) await this.storeBlock();
    const index = encodeIndex(segment.firstKey, segment.blocks);
    const indexOffset = segment.offset;
    const indexBytes = await segment.append(await encodeBlock(index, this.compression));
    const { rows, rawBytes } = segment;
    const blocks = segment.blocks.length;
    await segment.append([
      encodeFooter({ indexOffset, indexBytes, indexRawBytes: index.length, blocks, rows, rawBytes }),
    ]);
    await segment.write();
    if (this.durable) await segment.file.sync();
    await segment.file.close();
    const entry: SegmentEntry = {
      sha256: segment.hash.digest('hex'),
      bytes: segment.offset,
      rows,
      rawBytes,
      first: segment.firstKey.toString('hex'),
      last: segment.blocks.at(-1)!.lastKey.toString('hex'),
    };
    await this.disk.rename(segment.path, `${this.folder}/${segmentName(entry)}`);
    this.done.push(entry);
    this.segment = undefined;
  }

  /** Completes the files. @returns the segments, in the order of their rows */
  async finish(): Promise<SegmentEntry[]> {
    await this.endSegment();
    if (this.durable) await this.disk.syncFolder(this.folder);
    return this.done;
  }

  /** Gives up: what was written is left in the folder. */
  async abandon(): Promise<void> {
    const { segment } = this;
    this.segment = undefined;
    await Promise.allSettled(this.pending.splice(0).map(({ pieces }) => pieces));
    await segment?.file.close();
  }
}
