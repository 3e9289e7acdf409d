/** Builds the body of one frame in a buffer that is reused from frame to frame: one copy per payload and nothing else. */
import { crc32 } from 'node:zlib';
import { assert, type GroupId, type LogIndex, type Term } from '../../platform/index.ts';
import type { Entry, HardState } from '../core/index.ts';
import {
  CHECKPOINT_HEADER_BYTES,
  CHECKPOINT_ROW_BYTES,
  ENTRIES_HEADER_BYTES,
  ENTRY_HEADER_BYTES,
  FRAME_HEADER_BYTES,
  HARD_STATE_BYTES,
  MARK_BYTES,
  POINT_BYTES,
  REMOVE_GROUP_BYTES,
  RecordType,
  writeU53,
} from './format.ts';

/** State of one group in a checkpoint. */
export interface CheckpointRow {
  readonly groupId: GroupId;
  readonly hard: HardState;
  readonly truncatedIndex: LogIndex;
  readonly truncatedTerm: Term;
  readonly lastIndex: LogIndex;
}

/** Bytes that an Entries record of these entries takes. */
export function entriesRecordBytes(entries: readonly Entry[]): number {
  let bytes = ENTRIES_HEADER_BYTES + entries.length * ENTRY_HEADER_BYTES;
  for (const entry of entries) bytes += entry.payload.length;
  return bytes;
}

export const checkpointBytes = (groups: number): number => CHECKPOINT_HEADER_BYTES + groups * CHECKPOINT_ROW_BYTES;

export class FrameWriter {
  /** Where the frame will be. */
  readonly sequence: number;
  readonly position: number;
  private bytes: Buffer;
  private used = FRAME_HEADER_BYTES;
  private readonly sealBytes: number;
  /** The frame has a mark, which `mark` completes. */
  readonly isMarked: boolean;

  /** @param sealBytes by how much the frame is longer when it is written */
  constructor(sequence: number, position: number, buffer: Buffer, sealBytes = 0, isMarked = false) {
    this.sequence = sequence;
    this.position = position;
    this.bytes = buffer;
    this.sealBytes = sealBytes;
    this.isMarked = isMarked;
    if (!isMarked) return;
    this.reserve(MARK_BYTES);
    this.bytes.writeUInt8(RecordType.Mark, FRAME_HEADER_BYTES);
    this.mark(position);
    this.used += MARK_BYTES;
  }

  /** @param stableTo everything of the segment before this position is stable now, when the frame is begun */
  mark(stableTo: number): void {
    assert(stableTo <= this.position, 'what lies behind a frame is not stable before it');
    this.bytes.writeUInt32LE(stableTo, FRAME_HEADER_BYTES + 1);
  }

  /** Bytes that the frame takes in its segment so far, with its header. */
  get length(): number {
    return this.used + this.sealBytes;
  }

  /** The whole frame in clear, to be sealed and written. */
  get frame(): Buffer {
    return this.bytes.subarray(0, this.used);
  }

  /** The buffer behind the frame, for reuse once the frame is written. */
  get buffer(): Buffer {
    return this.bytes;
  }

  /** Makes room for `more` bytes. */
  reserve(more: number): void {
    if (this.used + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.used + more, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.used);
    this.bytes = larger;
  }

  hardState(group: GroupId, hard: HardState): void {
    this.reserve(HARD_STATE_BYTES);
    this.used = this.groupHeader(RecordType.HardState, group);
    this.used = writeHardState(this.bytes, hard, this.used);
  }

  /** @param placed called per entry with the position that its payload will have in the segment */
  entries(group: GroupId, entries: readonly Entry[], placed: (entry: Entry, position: number) => void): void {
    this.reserve(entriesRecordBytes(entries));
    const bytes = this.bytes;
    const first = entries[0]!.index;
    let at = this.groupHeader(RecordType.Entries, group);
    at = bytes.writeUInt32LE(entries.length, at);
    at = writeU53(bytes, first, at);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      const { payload } = entry;
      assert(entry.index === first + i, 'entries of one write are not consecutive');
      at = writeU53(bytes, entry.term, at);
      at = bytes.writeUInt32LE(crc32(payload), at);
      at = bytes.writeUInt32LE(payload.length, at);
      at = bytes.writeUInt8(entry.kind, at);
      placed(entry, this.position + at);
      at += payload.copy(bytes, at);
    }
    this.used = at;
  }

  reset(group: GroupId, index: LogIndex, term: Term): void {
    this.point(RecordType.Reset, group, index, term);
  }

  truncate(group: GroupId, index: LogIndex, term: Term): void {
    this.point(RecordType.Truncate, group, index, term);
  }

  removeGroup(group: GroupId): void {
    this.reserve(REMOVE_GROUP_BYTES);
    this.used = this.groupHeader(RecordType.RemoveGroup, group);
  }

  checkpoint(previousEnd: number, firstNeeded: number, rows: readonly CheckpointRow[]): void {
    this.reserve(checkpointBytes(rows.length));
    const bytes = this.bytes;
    let at = bytes.writeUInt8(RecordType.Checkpoint, this.used);
    at = bytes.writeUInt32LE(previousEnd, at);
    at = bytes.writeUInt32LE(firstNeeded, at);
    at = bytes.writeUInt32LE(rows.length, at);
    for (const row of rows) {
      at = bytes.writeUInt32LE(row.groupId, at);
      at = writeHardState(bytes, row.hard, at);
      at = writeU53(bytes, row.truncatedIndex, at);
      at = writeU53(bytes, row.truncatedTerm, at);
      at = writeU53(bytes, row.lastIndex, at);
    }
    this.used = at;
  }

  closed(): void {
    this.reserve(1);
    this.used = this.bytes.writeUInt8(RecordType.Closed, this.used);
  }

  private point(type: number, group: GroupId, index: LogIndex, term: Term): void {
    this.reserve(POINT_BYTES);
    let at = this.groupHeader(type, group);
    at = writeU53(this.bytes, index, at);
    this.used = writeU53(this.bytes, term, at);
  }

  private groupHeader(type: number, group: GroupId): number {
    return this.bytes.writeUInt32LE(group, this.bytes.writeUInt8(type, this.used));
  }
}

function writeHardState(bytes: Buffer, hard: HardState, offset: number): number {
  let at = writeU53(bytes, hard.term, offset);
  at = bytes.writeUInt16LE(hard.vote, at);
  return writeU53(bytes, hard.commitIndex, at);
}
