/**
 * Bytes of the write-ahead log. All integers little-endian; u53 is a u64 below 2^53.
 *
 * A log is a folder of segments `<sequence, 10 digits>.wal`, each of a fixed size from birth and filled with zeros (or with
 * the remains of a recycled segment) behind the last frame. A segment starts with a header block, then frames follow, each
 * aligned to 8 bytes:
 *
 *   segment header   magic(8) version(u32) sequence(u32) size(u32) salt(u32) owner(16) crc32(u32)    in a block of 4096 bytes
 *   frame header     crc32(u32) length(u32) sequence(u32) position(u32)                        then `length` body bytes
 *   frame body       records until its end
 *
 * The owner is the data folder that the log is of, so a segment of another node's log, or one of an earlier life, is no part of it.
 * One frame is one physical write. A frame names its own segment and position and its checksum is salted per segment, so
 * neither the remains of a recycled segment nor a value that happens to contain log bytes can pass for one.
 *
 * In a marked segment each frame begins with a Mark: everything before that position was stable when the frame was handed to
 * the disk. So several frames may be under way; after a crash any of them may be missing. A bad frame at or behind the marks of
 * all good ones that follow it was under way with them: the log ends before it. One before such a mark had been stable:
 * corruption. In a segment without marks, which release 0.1.0 wrote, the next frame starts only when the one before is stable, so
 * a frame's mark is its own position.
 *
 * In an encrypted segment the body of every frame is a sealed piece (`DataKeys`), bound to the owner, the segment and the
 * position; the frame header and its checksum lie around that. A byte of the body is at the same place in both forms: a
 * sealed body is only longer.
 *
 * The version in a segment's header says which of the four forms it has.
 */
import { crc32 } from 'node:zlib';
import { SEAL_BYTES, type Sealing } from '../../security/index.ts';

export const SEGMENT_MAGIC = Buffer.from('KVRMWAL\x01', 'latin1');
/** What a segment's frames are like. */
export interface SegmentForm {
  /** They are encrypted. */
  readonly isSealed: boolean;
  /** They say what was stable when they were begun. */
  readonly isMarked: boolean;
}

/** Version of segments whose frames are neither encrypted nor marked; each of the two adds its bit. */
const PLAIN_VERSION = 2;
const SEALED_BIT = 1;
const MARKED_BIT = 2;
export const SEGMENT_HEADER_BYTES = 4096;
const OWNER_BYTES = 16;
const SEGMENT_CRC_AT = 24 + OWNER_BYTES;
const SEGMENT_HEADER_USED = SEGMENT_CRC_AT + 4;
/** Formats before this one had no owner, and the checksum in its place. */
const FIRST_OWNED_VERSION = 2;
export const FRAME_HEADER_BYTES = 16;
export const FRAME_ALIGNMENT = 8;
/** What is compared at a time where nothing was written yet. */
const UNWRITTEN = Buffer.alloc(64 * 1024);

/** Record types. Disk values: never renumber. */
export const RecordType = {
  HardState: 1,
  Entries: 2,
  Reset: 3,
  Truncate: 4,
  RemoveGroup: 5,
  /** First record of every segment: the state of all groups at that point. */
  Checkpoint: 6,
  /** Last record of a log that was closed in order. */
  Closed: 7,
  /** First record of every frame of a marked segment: what was stable when it was begun. */
  Mark: 8,
} as const;

/** Bytes in front of each payload in an Entries record: term u53, payload crc32, payload length, kind. */
export const ENTRY_HEADER_BYTES = 17;
/** type u8, group u32, count u32, first index u53. */
export const ENTRIES_HEADER_BYTES = 17;
/** type u8, group u32, term u53, vote u16, commit u53. */
export const HARD_STATE_BYTES = 23;
/** type u8, group u32, index u53, term u53: Reset and Truncate. */
export const POINT_BYTES = 21;
/** type u8, group u32. */
export const REMOVE_GROUP_BYTES = 5;
/** type u8, position u32. */
export const MARK_BYTES = 5;
/** type u8, end of the previous segment u32, first segment needed u32, count u32. */
export const CHECKPOINT_HEADER_BYTES = 13;
/** group u32, term u53, vote u16, commit u53, truncated index u53, truncated term u53, last index u53. */
export const CHECKPOINT_ROW_BYTES = 46;

const TWO_32 = 4294967296;

/** Writes a non-negative integer below 2^53 at `offset`. */
export function writeU53(bytes: Buffer, value: number, offset: number): number {
  bytes.writeUInt32LE(value >>> 0, offset);
  return bytes.writeUInt32LE(Math.floor(value / TWO_32), offset + 4);
}

/** Reads what `writeU53` wrote. */
export function readU53(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset + 4) * TWO_32 + bytes.readUInt32LE(offset);
}

export const alignFrame = (position: number): number => Math.ceil(position / FRAME_ALIGNMENT) * FRAME_ALIGNMENT;

export const segmentName = (sequence: number): string => `${String(sequence).padStart(10, '0')}.wal`;

/** Sequence number in a segment's file name; undefined for other files. */
export function segmentSequence(name: string): number | undefined {
  const match = /^(\d{10})\.wal$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export interface SegmentHeader extends SegmentForm {
  readonly sequence: number;
  readonly size: number;
  readonly salt: number;
  /** Incarnation of the data folder that the log is of, 16 bytes in hexadecimal. */
  readonly owner: string;
}

/** The header block of a segment, `SEGMENT_HEADER_BYTES` long. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
  SEGMENT_MAGIC.copy(block);
  const form = (header.isSealed ? SEALED_BIT : 0) | (header.isMarked ? MARKED_BIT : 0);
  block.writeUInt32LE(PLAIN_VERSION + form, 8);
  block.writeUInt32LE(header.sequence, 12);
  block.writeUInt32LE(header.size, 16);
  block.writeUInt32LE(header.salt, 20);
  block.write(header.owner, 24, 'hex');
  block.writeUInt32LE(crc32(block.subarray(0, SEGMENT_CRC_AT)), SEGMENT_CRC_AT);
  return block;
}

/** @returns the header, or in words what is wrong with it */
export function decodeSegmentHeader(block: Buffer): SegmentHeader | string {
  if (block.length < SEGMENT_HEADER_USED) return 'the file is shorter than a segment header';
  if (!block.subarray(0, 8).equals(SEGMENT_MAGIC)) return 'this is not a log segment (wrong magic bytes)';
  const version = block.readUInt32LE(8);
  const crcAt = version < FIRST_OWNED_VERSION ? 24 : SEGMENT_CRC_AT;
  if (crc32(block.subarray(0, crcAt)) !== block.readUInt32LE(crcAt))
    return 'the segment header does not match its checksum';
  const form = version - PLAIN_VERSION;
  if (form < 0 || form > (SEALED_BIT | MARKED_BIT))
    return `log format ${version} is not known to this version of kvorum`;
  return {
    sequence: block.readUInt32LE(12),
    size: block.readUInt32LE(16),
    salt: block.readUInt32LE(20),
    owner: block.toString('hex', 24, SEGMENT_CRC_AT),
    isSealed: (form & SEALED_BIT) !== 0,
    isMarked: (form & MARKED_BIT) !== 0,
  };
}

// The length is covered by the checksum too, so a flipped length cannot lead the reader astray.
const frameChecksum = (frame: Buffer, salt: number): number => crc32(frame.subarray(4), salt);

/** Completes the header of a frame whose body is already in `frame` behind `FRAME_HEADER_BYTES`. */
export function sealFrame(frame: Buffer, segment: SegmentHeader, position: number): void {
  frame.writeUInt32LE(frame.length - FRAME_HEADER_BYTES, 4);
  frame.writeUInt32LE(segment.sequence, 8);
  frame.writeUInt32LE(position, 12);
  frame.writeUInt32LE(frameChecksum(frame, segment.salt), 0);
}

/** What the body of a frame is bound to. */
function placeOf({ owner, sequence }: SegmentHeader, position: number): Buffer {
  const place = Buffer.allocUnsafe(OWNER_BYTES + 8);
  place.write(owner, 0, 'hex');
  place.writeUInt32LE(sequence, OWNER_BYTES);
  place.writeUInt32LE(position, OWNER_BYTES + 4);
  return place;
}

/** A frame as an encrypted segment has it, from one whose body is in clear behind `FRAME_HEADER_BYTES`; that one stays as it is. */
export function sealedFrame(frame: Buffer, segment: SegmentHeader, position: number, sealing: Sealing): Buffer {
  const sealed = Buffer.allocUnsafe(frame.length + SEAL_BYTES);
  sealing.sealInto(sealed, FRAME_HEADER_BYTES, frame.subarray(FRAME_HEADER_BYTES), placeOf(segment, position));
  sealFrame(sealed, segment, position);
  return sealed;
}

/** The records in the body of a frame of an encrypted segment; undefined when they were not sealed for this place, or with another key. */
export const openedBody = (
  body: Buffer,
  segment: SegmentHeader,
  position: number,
  sealing: Sealing,
): Buffer | undefined => sealing.open(body, placeOf(segment, position));

/**
 * The body of the frame at `position`; undefined when there is no whole, correct frame of this segment there.
 * @param bytes of the segment, from its byte `from` on
 */
export function frameBodyAt(bytes: Buffer, segment: SegmentHeader, position: number, from = 0): Buffer | undefined {
  const at = position - from;
  if (at + FRAME_HEADER_BYTES > bytes.length) return undefined;
  if (bytes.readUInt32LE(at + 8) !== segment.sequence) return undefined;
  if (bytes.readUInt32LE(at + 12) !== position) return undefined;
  const end = at + FRAME_HEADER_BYTES + bytes.readUInt32LE(at + 4);
  if (end > bytes.length) return undefined;
  const frame = bytes.subarray(at, end);
  if (frameChecksum(frame, segment.salt) !== frame.readUInt32LE(0)) return undefined;
  return frame.subarray(FRAME_HEADER_BYTES);
}

/** Position of the first correct frame at or behind `from`; undefined when there is none. */
export function findFrame(bytes: Buffer, segment: SegmentHeader, from: number): number | undefined {
  for (let at = alignFrame(from); at + FRAME_HEADER_BYTES <= bytes.length; at += FRAME_ALIGNMENT) {
    // Most of a segment was never written to, and is passed over at the speed of memory.
    while (isUnwritten(bytes, at)) at += UNWRITTEN.length - FRAME_HEADER_BYTES;
    if (frameBodyAt(bytes, segment, at) !== undefined) return at;
  }
  return undefined;
}

/** Nothing but zeros: no header begins here, or up to where the last whole one could. */
const isUnwritten = (bytes: Buffer, at: number): boolean =>
  at + UNWRITTEN.length <= bytes.length &&
  bytes.compare(UNWRITTEN, 0, UNWRITTEN.length, at, at + UNWRITTEN.length) === 0;
