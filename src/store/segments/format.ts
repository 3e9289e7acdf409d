/**
 * Bytes of a segment: an immutable file of rows in key order. Integers are big-endian.
 *
 *   segment  "KVRMSEG1", block, ..., index, footer
 *   block    stored bytes, kind (u8: 0 as they are, 1 zstd), crc-32c of both (u32)
 *   rows     a block's content: key length (u32), value length (u32), key, value, ...
 *   index    a block whose content is the first key of the segment with its length (u32), then for each block offset (u48),
 *            stored length with its trailer (u32), raw length (u32), rows (u32), last key with its length (u32)
 *   footer   offset (u48) and length (u32) of the index, its raw length (u32), blocks (u32), rows (u48), raw bytes (u48),
 *            crc-32c of the footer so far (u32), "1GESMRVK"
 *
 * Every byte is covered by a checksum or is a constant, and the file as a whole by the sha-256 in its manifest. The bytes are
 * a function of the rows alone, so equal content has an equal hash wherever it was cut.
 */
import { KvorumError } from '../../platform/index.ts';
import { crc32c } from '../level/index.ts';
import { CorruptSnapshotError } from '../rows/index.ts';
import type { BlockCompression } from './compression.ts';

export const SEGMENT_HEAD = Buffer.from('KVRMSEG1');
const SEGMENT_TAIL = Buffer.from('1GESMRVK');
/** Kind and checksum behind a block's bytes. */
export const BLOCK_TRAILER_BYTES = 5;
const PLAIN = 0;
const ZSTD = 1;
export const ROW_HEADER_BYTES = 8;
const INDEX_ENTRY_BYTES = 22;
export const FOOTER_BYTES = 42;
/** Longest row that is believed: the hard limits of keys and values with room to spare. */
const MAX_ROW_BYTES = 1 << 30;

/** Where a block is and what it holds. */
export interface BlockEntry {
  readonly offset: number;
  /** With its trailer. */
  readonly storedBytes: number;
  readonly rawBytes: number;
  readonly rows: number;
  readonly lastKey: Buffer;
}

export interface SegmentFooter {
  readonly indexOffset: number;
  readonly indexBytes: number;
  readonly indexRawBytes: number;
  readonly blocks: number;
  readonly rows: number;
  readonly rawBytes: number;
}

/** A block as it is stored, in one or two pieces. */
export async function encodeBlock(content: Buffer, compression: BlockCompression): Promise<readonly Buffer[]> {
  const packed = await compression.compress(content);
  const isSmaller = packed.length < content.length;
  const stored = isSmaller ? packed : content;
  const trailer = Buffer.alloc(BLOCK_TRAILER_BYTES);
  trailer[0] = isSmaller ? ZSTD : PLAIN;
  trailer.writeUInt32BE(checksumOf(stored, trailer[0]), 1);
  return [stored, trailer];
}

/** Over bytes and kind. The kind is folded in rather than copied behind megabytes. */
const checksumOf = (stored: Buffer, kind: number): number =>
  (crc32c(stored, 0, stored.length) ^ (kind * 0x9e3779b1)) >>> 0;

/**
 * The content of a stored block.
 * @param what names file and block in the error
 * @throws CorruptSnapshotError
 */
export async function decodeBlock(
  block: Buffer,
  rawBytes: number,
  compression: BlockCompression,
  what: string,
): Promise<Buffer> {
  const length = block.length - BLOCK_TRAILER_BYTES;
  const kind = length < 0 ? undefined : block[length]!;
  if (kind === undefined || kind > ZSTD) throw new CorruptSnapshotError(`${what} is damaged: it is no block`);
  const stored = block.subarray(0, length);
  if (checksumOf(stored, kind) !== block.readUInt32BE(length + 1)) {
    throw new CorruptSnapshotError(`${what} is damaged: it does not match its checksum`);
  }
  let content = stored;
  if (kind === ZSTD) {
    try {
      content = await compression.expand(stored, rawBytes);
    } catch (error) {
      throw new CorruptSnapshotError(`${what} is damaged: it cannot be expanded`, { cause: error });
    }
  }
  if (content.length !== rawBytes) throw new CorruptSnapshotError(`${what} is damaged: it has another length`);
  return content;
}

/** Content of the index block. */
export function encodeIndex(firstKey: Buffer, entries: readonly BlockEntry[]): Buffer {
  const bytes = entries.reduce((sum, { lastKey }) => sum + INDEX_ENTRY_BYTES + lastKey.length, 4 + firstKey.length);
  const index = Buffer.alloc(bytes);
  let at = index.writeUInt32BE(firstKey.length, 0);
  at += firstKey.copy(index, at);
  for (const { offset, storedBytes, rawBytes, rows, lastKey } of entries) {
    at = index.writeUIntBE(offset, at, 6);
    at = index.writeUInt32BE(storedBytes, at);
    at = index.writeUInt32BE(rawBytes, at);
    at = index.writeUInt32BE(rows, at);
    at = index.writeUInt32BE(lastKey.length, at);
    at += lastKey.copy(index, at);
  }
  return index;
}

/** @throws CorruptSnapshotError */
export function decodeIndex(index: Buffer, what: string): { firstKey: Buffer; entries: BlockEntry[] } {
  try {
    let at = 4 + index.readUInt32BE(0);
    const firstKey = index.subarray(4, at);
    const entries: BlockEntry[] = [];
    while (at < index.length) {
      const keyBytes = index.readUInt32BE(at + 18);
      const end = at + INDEX_ENTRY_BYTES + keyBytes;
      if (end > index.length) throw new RangeError('a key is cut');
      entries.push({
        offset: index.readUIntBE(at, 6),
        storedBytes: index.readUInt32BE(at + 6),
        rawBytes: index.readUInt32BE(at + 10),
        rows: index.readUInt32BE(at + 14),
        lastKey: index.subarray(at + INDEX_ENTRY_BYTES, end),
      });
      at = end;
    }
    return { firstKey, entries };
  } catch (error) {
    if (error instanceof KvorumError || !(error instanceof RangeError)) throw error;
    throw new CorruptSnapshotError(`${what} is damaged: its index is cut`, { cause: error });
  }
}

/** The end of a segment, from which a reader finds everything else. */
export function encodeFooter(footer: SegmentFooter): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES);
  let at = bytes.writeUIntBE(footer.indexOffset, 0, 6);
  at = bytes.writeUInt32BE(footer.indexBytes, at);
  at = bytes.writeUInt32BE(footer.indexRawBytes, at);
  at = bytes.writeUInt32BE(footer.blocks, at);
  at = bytes.writeUIntBE(footer.rows, at, 6);
  at = bytes.writeUIntBE(footer.rawBytes, at, 6);
  at = bytes.writeUInt32BE(crc32c(bytes, 0, at), at);
  SEGMENT_TAIL.copy(bytes, at);
  return bytes;
}

/** @throws CorruptSnapshotError */
export function decodeFooter(bytes: Buffer, what: string): SegmentFooter {
  const isFooter =
    bytes.length === FOOTER_BYTES &&
    bytes.subarray(FOOTER_BYTES - SEGMENT_TAIL.length).equals(SEGMENT_TAIL) &&
    crc32c(bytes, 0, 30) === bytes.readUInt32BE(30);
  if (!isFooter) throw new CorruptSnapshotError(`${what} is damaged: its end is not that of a segment`);
  return {
    indexOffset: bytes.readUIntBE(0, 6),
    indexBytes: bytes.readUInt32BE(6),
    indexRawBytes: bytes.readUInt32BE(10),
    blocks: bytes.readUInt32BE(14),
    rows: bytes.readUIntBE(18, 6),
    rawBytes: bytes.readUIntBE(24, 6),
  };
}

/** Bytes of a row in a block. */
export const rowBytesOf = (key: Buffer, value: Buffer): number => ROW_HEADER_BYTES + key.length + value.length;

/** Writes a row. @returns the offset behind it */
export function writeRow(into: Buffer, at: number, key: Buffer, value: Buffer): number {
  let next = into.writeUInt32BE(key.length, at);
  next = into.writeUInt32BE(value.length, next);
  into.set(key, next);
  into.set(value, next + key.length);
  return next + key.length + value.length;
}

/**
 * Walks the rows of a block; keys and values share its memory.
 * @returns how many there were
 * @throws CorruptSnapshotError
 */
export function readRows(content: Buffer, what: string, each: (key: Buffer, value: Buffer) => void): number {
  let at = 0;
  let rows = 0;
  while (at < content.length) {
    const keyBytes = at + ROW_HEADER_BYTES <= content.length ? content.readUInt32BE(at) : 0;
    const valueBytes = keyBytes === 0 ? 0 : content.readUInt32BE(at + 4);
    const end = at + ROW_HEADER_BYTES + keyBytes + valueBytes;
    if (keyBytes === 0 || end > content.length || end - at > MAX_ROW_BYTES) {
      throw new CorruptSnapshotError(`${what} is damaged: it holds an impossible row`);
    }
    const keyAt = at + ROW_HEADER_BYTES;
    each(content.subarray(keyAt, keyAt + keyBytes), content.subarray(keyAt + keyBytes, end));
    rows++;
    at = end;
  }
  return rows;
}
