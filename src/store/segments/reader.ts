/** Reads a segment file from its first byte to its last, proving each against index, footer, checksums and the manifest. */
import { createHash, type Hash } from 'node:crypto';
import type { Disk, DiskFile } from '../../platform/index.ts';
import { SealedFileError } from '../../security/index.ts';
import { CorruptSnapshotError } from '../rows/index.ts';
import type { BlockCompression } from './compression.ts';
import {
  type BlockEntry,
  decodeBlock,
  decodeFooter,
  decodeIndex,
  FOOTER_BYTES,
  readRows,
  SEGMENT_HEAD,
} from './format.ts';
import type { SegmentEntry } from './manifest.ts';

/** Bytes read at once. */
const READ_BYTES = 1 << 20;

/** Rows of one block. */
export type RowPage = readonly (readonly [Buffer, Buffer])[];

/** A file that is read forwards, a megabyte at a time, and hashed on the way. */
class HashedFile {
  private readonly file: DiskFile;
  private readonly hash: Hash = createHash('sha256');
  private slice: Buffer = Buffer.alloc(0);
  private sliceAt = 0;
  /** Where the file is read on. */
  private position = 0;

  constructor(file: DiskFile) {
    this.file = file;
  }

  /** The next `length` bytes; fewer when the file ends. */
  async next(length: number): Promise<Buffer> {
    if (this.slice.length - this.sliceAt < length) {
      const kept = this.slice.subarray(this.sliceAt);
      const read = await this.file.read(this.position, Math.max(READ_BYTES, length - kept.length));
      this.position += read.length;
      this.slice = kept.length === 0 ? read : Buffer.concat([kept, read]);
      this.sliceAt = 0;
    }
    const bytes = this.slice.subarray(this.sliceAt, this.sliceAt + length);
    this.sliceAt += bytes.length;
    this.hash.update(bytes);
    return bytes;
  }

  digest(): string {
    return this.hash.digest('hex');
  }
}

async function readIndex(file: DiskFile, bytes: number, compression: BlockCompression, what: string) {
  const footer = decodeFooter(await file.read(Math.max(0, bytes - FOOTER_BYTES), FOOTER_BYTES), what);
  if (footer.indexOffset + footer.indexBytes + FOOTER_BYTES !== bytes) {
    throw new CorruptSnapshotError(`${what} is damaged: its index is not where its end says`);
  }
  const stored = await file.read(footer.indexOffset, footer.indexBytes);
  const index = await decodeBlock(stored, footer.indexRawBytes, compression, `the index of ${what}`);
  return { footer, ...decodeIndex(index, what) };
}

/** The rows of one block; proves their order and number. */
function rowsOf(content: Buffer, block: BlockEntry, after: Buffer | undefined, what: string): RowPage {
  const rows: [Buffer, Buffer][] = [];
  let last = after;
  readRows(content, what, (key, value) => {
    if (last !== undefined && Buffer.compare(last, key) >= 0) {
      throw new CorruptSnapshotError(`${what} is damaged: its rows are out of order`);
    }
    last = key;
    rows.push([key, value]);
  });
  if (rows.length !== block.rows || last === undefined || !block.lastKey.equals(last)) {
    throw new CorruptSnapshotError(`${what} is damaged: its rows are not those that the index names`);
  }
  return rows;
}

/**
 * All rows of a segment, a page a block. What was given out before an error must not be used.
 * @param entry what the manifest says of it
 * @throws CorruptSnapshotError that names the file
 */
export async function* readSegment(
  disk: Disk,
  path: string,
  entry: SegmentEntry,
  compression: BlockCompression,
): AsyncGenerator<RowPage> {
  const file = await openSegment(disk, path);
  try {
    const bytes = await file.size();
    if (bytes !== entry.bytes) {
      throw new CorruptSnapshotError(`${path} is damaged: it has ${bytes} bytes, the manifest says ${entry.bytes}`);
    }
    const { footer, firstKey, entries } = await readIndex(file, bytes, compression, path);
    const content = new HashedFile(file);
    if (!(await content.next(SEGMENT_HEAD.length)).equals(SEGMENT_HEAD)) {
      throw new CorruptSnapshotError(`${path} is damaged: it does not begin as a segment does`);
    }
    let offset = SEGMENT_HEAD.length;
    let rows = 0;
    let rawBytes = 0;
    let last: Buffer | undefined;
    for (const [at, block] of entries.entries()) {
      const what = `block ${at} of ${path}`;
      if (block.offset !== offset) throw new CorruptSnapshotError(`${what} is damaged: it is not where it belongs`);
      const stored = await content.next(block.storedBytes);
      offset += block.storedBytes;
      const page = rowsOf(await decodeBlock(stored, block.rawBytes, compression, what), block, last, what);
      if (at === 0 && !page[0]![0].equals(firstKey)) {
        throw new CorruptSnapshotError(`${what} is damaged: it does not begin with the first key`);
      }
      last = block.lastKey;
      rows += page.length;
      rawBytes += block.rawBytes;
      yield page;
    }
    const rest = await content.next(bytes - offset);
    const isComplete =
      offset === footer.indexOffset &&
      rest.length === bytes - offset &&
      entries.length === footer.blocks &&
      rows === footer.rows &&
      rawBytes === footer.rawBytes;
    if (!isComplete) throw new CorruptSnapshotError(`${path} is damaged: its end does not match its blocks`);
    const isNamed =
      content.digest() === entry.sha256 &&
      rows === entry.rows &&
      rawBytes === entry.rawBytes &&
      firstKey.toString('hex') === entry.first &&
      last?.toString('hex') === entry.last;
    if (!isNamed) throw new CorruptSnapshotError(`${path} is not the segment that the manifest names`);
  } catch (error) {
    throw asDamage(error);
  } finally {
    await file.close();
  }
}

async function openSegment(disk: Disk, path: string): Promise<DiskFile> {
  try {
    return await disk.open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw asDamage(error);
    throw new CorruptSnapshotError(`${path} is missing`, { cause: error });
  }
}

/** A segment that cannot be decrypted is one that has to be had again. */
const asDamage = (error: unknown): unknown =>
  error instanceof SealedFileError ? new CorruptSnapshotError(error.message, { cause: error }) : error;

/** The bytes of a file in frames. */
export async function* readFrames(disk: Disk, path: string, bytes: number, frameBytes: number): AsyncGenerator<Buffer> {
  const file = await openSegment(disk, path);
  try {
    for (let at = 0; at < bytes; at += frameBytes) {
      const frame = await file.read(at, Math.min(frameBytes, bytes - at));
      if (frame.length === 0) throw new CorruptSnapshotError(`${path} is shorter than it was`);
      yield frame;
    }
  } finally {
    await file.close();
  }
}
