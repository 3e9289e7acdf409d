/** Reads the records of one frame body; the counterpart of `FrameWriter`. */
import { type GroupId, groupId, type LogIndex, type NodeId, type Term } from '../../platform/index.ts';
import type { HardState } from '../core/index.ts';
import { ENTRY_HEADER_BYTES, MARK_BYTES, RecordType, readU53 } from './format.ts';
import type { CheckpointRow } from './frame-writer.ts';

/** What a frame says, record by record in order. */
export interface FrameVisitor {
  hardState(group: GroupId, hard: HardState): void;
  /** `firstIndex` begins an Entries record: entries from there on are replaced. */
  entriesFrom(group: GroupId, firstIndex: LogIndex): void;
  /** One entry of the record; `position` is that of its payload in the body. */
  entry(group: GroupId, term: Term, position: number, length: number): void;
  reset(group: GroupId, index: LogIndex, term: Term): void;
  truncate(group: GroupId, index: LogIndex, term: Term): void;
  removeGroup(group: GroupId): void;
  checkpoint(previousEnd: number, firstNeeded: number, rows: readonly CheckpointRow[]): void;
  closed(): void;
  /** Everything before this position of the segment was stable when the frame was begun. */
  mark(stableTo: number): void;
}

function readHardState(body: Buffer, at: number): HardState {
  return {
    term: readU53(body, at),
    vote: body.readUInt16LE(at + 8) as NodeId | 0,
    commitIndex: readU53(body, at + 10),
  };
}
const HARD_STATE_FIELDS_BYTES = 18;

function readCheckpointRow(body: Buffer, at: number): CheckpointRow {
  const point = at + 4 + HARD_STATE_FIELDS_BYTES;
  return {
    groupId: groupId(body.readUInt32LE(at)),
    hard: readHardState(body, at + 4),
    truncatedIndex: readU53(body, point),
    truncatedTerm: readU53(body, point + 8),
    lastIndex: readU53(body, point + 16),
  };
}
const ROW_BYTES = 4 + HARD_STATE_FIELDS_BYTES + 24;

/**
 * Walks over a body whose checksum was right.
 * @throws RangeError when it does not parse, which only a defect of the writer explains
 */
export function readFrame(body: Buffer, visitor: FrameVisitor): void {
  let at = 0;
  while (at < body.length) {
    const type = body.readUInt8(at);
    at += 1;
    if (type === RecordType.Closed) {
      visitor.closed();
      continue;
    }
    if (type === RecordType.Mark) {
      visitor.mark(body.readUInt32LE(at));
      at += MARK_BYTES - 1;
      continue;
    }
    if (type === RecordType.Checkpoint) {
      const count = body.readUInt32LE(at + 8);
      const rows = Array.from({ length: count }, (_, row) => readCheckpointRow(body, at + 12 + row * ROW_BYTES));
      visitor.checkpoint(body.readUInt32LE(at), body.readUInt32LE(at + 4), rows);
      at += 12 + count * ROW_BYTES;
      continue;
    }
    const group = groupId(body.readUInt32LE(at));
    at += 4;
    switch (type) {
      case RecordType.HardState:
        visitor.hardState(group, readHardState(body, at));
        at += HARD_STATE_FIELDS_BYTES;
        break;
      case RecordType.Entries: {
        const count = body.readUInt32LE(at);
        visitor.entriesFrom(group, readU53(body, at + 4));
        at += 12;
        for (let i = 0; i < count; i++) {
          const length = body.readUInt32LE(at + 12);
          visitor.entry(group, readU53(body, at), at + ENTRY_HEADER_BYTES, length);
          at += ENTRY_HEADER_BYTES + length;
        }
        break;
      }
      case RecordType.Reset:
        visitor.reset(group, readU53(body, at), readU53(body, at + 8));
        at += 16;
        break;
      case RecordType.Truncate:
        visitor.truncate(group, readU53(body, at), readU53(body, at + 8));
        at += 16;
        break;
      case RecordType.RemoveGroup:
        visitor.removeGroup(group);
        break;
      default:
        throw new RangeError(`unknown record type ${type}`);
    }
  }
}
