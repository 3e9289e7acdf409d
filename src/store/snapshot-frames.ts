/**
 * A copy of a store as frames. The rows, in key order, form one stream of bytes that is cut into frames without regard to
 * where a row ends, so no value is too long for a frame. Integers are big-endian.
 *
 *   frame    crc32 of the rest (u32), kind (u8), sequence (u32), body
 *   header   "KVRMCOPY", format (u16), applied index (u64)
 *   rows     a piece of: key length (u32), value length (u32), key, value, ...
 *   footer   rows (u64), bytes (u64), sha-256 of the row stream
 */
import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { LogIndex } from '../platform/index.ts';
import { STORE_FORMAT } from './codec.ts';
import { CorruptSnapshotError } from './errors.ts';

/** Longest frame. */
export const MAX_FRAME_BYTES = 1 << 20;
const FRAME_HEADER_BYTES = 9;
const MAX_BODY_BYTES = MAX_FRAME_BYTES - FRAME_HEADER_BYTES;
const FrameKind = { Header: 1, Rows: 2, Footer: 3 } as const;
const MAGIC = Buffer.from('KVRMCOPY');
const ROW_HEADER_BYTES = 8;
const HEADER_BODY_BYTES = MAGIC.length + 10;
const FOOTER_BODY_BYTES = 48;
/** Longest row that is believed: the hard limits of keys and values with room to spare. */
const MAX_ROW_BYTES = 1 << 30;

function makeFrame(kind: number, sequence: number, body: readonly Buffer[]): Buffer {
  const frame = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), ...body]);
  frame[4] = kind;
  frame.writeUInt32BE(sequence, 5);
  frame.writeUInt32BE(crc32(frame.subarray(4)), 0);
  return frame;
}

/** Makes the frames of a copy. */
export class FrameWriter {
  private sequence = 0;
  private rows = 0n;
  private bytes = 0n;
  private readonly hash: Hash = createHash('sha256');
  private pieces: Buffer[] = [];
  private pendingBytes = 0;

  header(appliedIndex: LogIndex): Buffer {
    const body = Buffer.alloc(HEADER_BODY_BYTES);
    MAGIC.copy(body);
    body.writeUInt16BE(STORE_FORMAT, MAGIC.length);
    body.writeBigUInt64BE(BigInt(appliedIndex), MAGIC.length + 2);
    return makeFrame(FrameKind.Header, this.sequence++, [body]);
  }

  /** Adds a row. @returns the frames that became full */
  row(key: Buffer, value: Buffer): Buffer[] {
    const lengths = Buffer.allocUnsafe(ROW_HEADER_BYTES);
    lengths.writeUInt32BE(key.length, 0);
    lengths.writeUInt32BE(value.length, 4);
    this.rows++;
    for (const piece of [lengths, key, value]) {
      this.hash.update(piece);
      this.bytes += BigInt(piece.length);
      this.pieces.push(piece);
      this.pendingBytes += piece.length;
    }
    const full: Buffer[] = [];
    while (this.pendingBytes >= MAX_BODY_BYTES) full.push(this.cut(MAX_BODY_BYTES));
    return full;
  }

  private cut(length: number): Buffer {
    const body: Buffer[] = [];
    let left = length;
    let at = 0;
    while (left > 0) {
      const piece = this.pieces[at]!;
      if (piece.length <= left) {
        body.push(piece);
        at++;
      } else {
        body.push(piece.subarray(0, left));
        this.pieces[at] = piece.subarray(left);
      }
      left -= Math.min(left, piece.length);
    }
    this.pieces.splice(0, at);
    this.pendingBytes -= length;
    return makeFrame(FrameKind.Rows, this.sequence++, body);
  }

  /** @returns what is left and the footer */
  end(): Buffer[] {
    const last = this.pendingBytes > 0 ? [this.cut(this.pendingBytes)] : [];
    const totals = Buffer.alloc(16);
    totals.writeBigUInt64BE(this.rows, 0);
    totals.writeBigUInt64BE(this.bytes, 8);
    return [...last, makeFrame(FrameKind.Footer, this.sequence++, [totals, this.hash.digest()])];
  }
}

/** Reads the frames of a copy, proving order, completeness and content. */
export class FrameReader {
  private sequence = 0;
  private rows = 0n;
  private bytes = 0n;
  private readonly hash: Hash = createHash('sha256');
  private rest: Buffer[] = [];
  private restBytes = 0;
  /** Bytes that the row being gathered needs before it is worth looking at it. */
  private neededBytes = ROW_HEADER_BYTES;
  private lastKey: Buffer | undefined;
  private indexOfCopy: LogIndex | undefined;
  private isComplete = false;

  /** @throws CorruptSnapshotError @returns the rows that became complete; they may share memory with the frame */
  read(frame: Buffer): [Buffer, Buffer][] {
    if (frame.length < FRAME_HEADER_BYTES || frame.length > MAX_FRAME_BYTES) {
      throw new CorruptSnapshotError(`a frame of a copy has ${frame.length} bytes`);
    }
    if (crc32(frame.subarray(4)) !== frame.readUInt32BE(0)) {
      throw new CorruptSnapshotError(`frame ${this.sequence} of a copy does not match its checksum`);
    }
    if (frame.readUInt32BE(5) !== this.sequence || this.isComplete) {
      throw new CorruptSnapshotError(
        `a copy has frame ${frame.readUInt32BE(5)} in the place of frame ${this.sequence}`,
      );
    }
    const body = frame.subarray(FRAME_HEADER_BYTES);
    const kind = frame[4];
    if ((kind === FrameKind.Header) !== (this.sequence === 0)) {
      throw new CorruptSnapshotError('a copy has its header in the wrong place');
    }
    this.sequence++;
    if (kind === FrameKind.Rows) return this.readRows(body);
    if (kind === FrameKind.Header) this.readHeader(body);
    else if (kind === FrameKind.Footer) this.readFooter(body);
    else throw new CorruptSnapshotError(`a copy has a frame of unknown kind ${kind}`);
    return [];
  }

  private readHeader(body: Buffer): void {
    if (body.length !== HEADER_BODY_BYTES || !body.subarray(0, MAGIC.length).equals(MAGIC)) {
      throw new CorruptSnapshotError('a copy does not start with a header');
    }
    const format = body.readUInt16BE(MAGIC.length);
    if (format !== STORE_FORMAT) {
      throw new CorruptSnapshotError(`a copy has format ${format}, this version reads format ${STORE_FORMAT}`);
    }
    this.indexOfCopy = Number(body.readBigUInt64BE(MAGIC.length + 2));
  }

  private readRows(body: Buffer): [Buffer, Buffer][] {
    this.hash.update(body);
    this.bytes += BigInt(body.length);
    this.rest.push(body);
    this.restBytes += body.length;
    if (this.restBytes < this.neededBytes) return [];
    const bytes = this.rest.length === 1 ? this.rest[0]! : Buffer.concat(this.rest);
    const rows: [Buffer, Buffer][] = [];
    let at = 0;
    this.neededBytes = ROW_HEADER_BYTES;
    while (bytes.length - at >= ROW_HEADER_BYTES) {
      const keyBytes = bytes.readUInt32BE(at);
      const rowBytes = ROW_HEADER_BYTES + keyBytes + bytes.readUInt32BE(at + 4);
      if (keyBytes === 0 || rowBytes > MAX_ROW_BYTES) throw new CorruptSnapshotError('a copy holds an impossible row');
      if (bytes.length - at < rowBytes) {
        this.neededBytes = rowBytes;
        break;
      }
      const keyAt = at + ROW_HEADER_BYTES;
      const key = bytes.subarray(keyAt, keyAt + keyBytes);
      if (this.lastKey !== undefined && Buffer.compare(this.lastKey, key) >= 0) {
        throw new CorruptSnapshotError('a copy holds rows out of order');
      }
      this.lastKey = key;
      rows.push([key, bytes.subarray(keyAt + keyBytes, at + rowBytes)]);
      this.rows++;
      at += rowBytes;
    }
    this.rest = at === bytes.length ? [] : [Buffer.from(bytes.subarray(at))];
    this.restBytes = bytes.length - at;
    return rows;
  }

  private readFooter(body: Buffer): void {
    if (body.length !== FOOTER_BODY_BYTES || this.restBytes > 0) {
      throw new CorruptSnapshotError('a copy ends in the middle of a row');
    }
    const isSame =
      body.readBigUInt64BE(0) === this.rows &&
      body.readBigUInt64BE(8) === this.bytes &&
      body.subarray(16).equals(this.hash.digest());
    if (!isSame) throw new CorruptSnapshotError('a copy does not match its footer');
    this.isComplete = true;
  }

  /** @returns the applied index of the complete copy @throws CorruptSnapshotError when frames are missing */
  end(): LogIndex {
    if (!this.isComplete || this.indexOfCopy === undefined) {
      throw new CorruptSnapshotError(`a copy ended after ${this.sequence} frames without its footer`);
    }
    return this.indexOfCopy;
  }
}
