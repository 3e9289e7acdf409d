/**
 * One group's log inside the shared write-ahead log: a `LogView` over the entry index, which reads entries that are no
 * longer in memory back from their segment.
 */
import { crc32 } from 'node:zlib';
import { assert, type GroupId, type LogIndex, type Term } from '../../platform/index.ts';
import type { GroupLog } from '../contract/index.ts';
import type { Entry, EntryKind, HardState } from '../core/index.ts';
import { EntryIndex } from './entry-index.ts';
import { ENTRY_HEADER_BYTES, readU53 } from './format.ts';
import { PayloadKeeper } from './payload-keeper.ts';

/** Access to stable bytes of the log by segment. */
export interface SegmentBytes {
  /** Reads exactly `length` bytes. @throws LogCorruptError when the segment ends before */
  read(sequence: number, position: number, length: number): Buffer;
  /** The error to raise for bytes that do not match their checksum. */
  corrupt(sequence: number, position: number, what: string): Error;
}

/** Upper bound of one read when consecutive entries are fetched from a segment. */
const READ_RUN_BYTES = 1024 * 1024;
/** Consecutive entries further apart than this are read one by one. */
const READ_GAP_BYTES = 16 * 1024;

const INITIAL_HARD_STATE: HardState = { term: 0, vote: 0, commitIndex: 0 };

export class WalGroup implements GroupLog {
  readonly groupId: GroupId;
  readonly index = new EntryIndex(1);
  private readonly keeper = new PayloadKeeper();
  /** Something about this group is in the log. */
  recorded = false;
  hard: HardState = INITIAL_HARD_STATE;
  truncatedTerm: Term = 0;
  private readonly segments: SegmentBytes;

  constructor(groupId: GroupId, segments: SegmentBytes) {
    this.groupId = groupId;
    this.segments = segments;
  }

  get truncatedIndex(): LogIndex {
    return this.index.firstIndex - 1;
  }

  hardState(): HardState {
    return this.hard;
  }

  sizeBytes(): number {
    return this.index.bytes;
  }

  firstIndex(): LogIndex {
    return this.index.firstIndex;
  }

  lastIndex(): LogIndex {
    return this.index.lastIndex;
  }

  term(index: LogIndex): Term | undefined {
    if (index === this.truncatedIndex) return this.truncatedTerm;
    if (index < this.truncatedIndex || index > this.index.lastIndex) return undefined;
    return this.index.term(index);
  }

  entries(from: LogIndex, to: LogIndex, maxBytes: number): Entry[] | undefined {
    if (from < this.index.firstIndex) return undefined;
    const end = Math.min(to, this.index.lastIndex + 1);
    const found: Entry[] = [];
    let bytes = 0;
    let next = from;
    while (next < end) {
      const length = this.index.length(next);
      if (found.length > 0 && bytes + length > maxBytes) break;
      const cached = this.index.entry(next);
      if (cached !== undefined) {
        found.push(cached);
        bytes += length;
        next += 1;
        continue;
      }
      bytes += this.readRun(next, end, maxBytes - bytes, found);
      next = from + found.length;
    }
    return found;
  }

  /** Adds the entry that follows the last one, and caches it. */
  append(entry: Entry, segment: number, position: number): void {
    const { term, index, kind } = entry;
    const payload = this.keeper.keep(entry.payload);
    this.index.append(term, segment, position, payload.length, { term, index, kind, payload });
  }

  /** The log restarts behind (`index`, `term`). */
  restart(index: LogIndex, term: Term): void {
    this.index.restart(index + 1);
    this.truncatedTerm = term;
  }

  /** Forgets entries up to `index`, which exists or is behind the last one only when nothing is left. */
  truncate(index: LogIndex, term: Term): void {
    assert(index >= this.truncatedIndex && index <= this.index.lastIndex, 'truncation outside of the log');
    this.index.forgetTo(index);
    this.truncatedTerm = term;
  }

  /** Reads uncached entries that lie close together with one read. @returns their payload bytes */
  private readRun(from: LogIndex, to: LogIndex, maxBytes: number, found: Entry[]): number {
    const index = this.index;
    const sequence = index.segment(from);
    const start = index.position(from) - ENTRY_HEADER_BYTES;
    let end = index.position(from) + index.length(from);
    let payloadBytes = index.length(from);
    let stop = from + 1;
    while (stop < to && stop < index.firstCachedIndex && index.segment(stop) === sequence) {
      const entryStart = index.position(stop) - ENTRY_HEADER_BYTES;
      const entryEnd = index.position(stop) + index.length(stop);
      if (entryStart < end || entryStart - end > READ_GAP_BYTES || entryEnd - start > READ_RUN_BYTES) break;
      if (payloadBytes + index.length(stop) > maxBytes) break;
      payloadBytes += index.length(stop);
      end = entryEnd;
      stop += 1;
    }
    const bytes = this.segments.read(sequence, start, end - start);
    for (let at = from; at < stop; at++) found.push(this.decode(at, sequence, bytes, start));
    return payloadBytes;
  }

  private decode(index: LogIndex, sequence: number, bytes: Buffer, start: number): Entry {
    const position = this.index.position(index);
    const at = position - start;
    const payload = bytes.subarray(at, at + this.index.length(index));
    const header = at - ENTRY_HEADER_BYTES;
    const intact =
      readU53(bytes, header) === this.index.term(index) &&
      bytes.readUInt32LE(header + 8) === crc32(payload) &&
      bytes.readUInt32LE(header + 12) === payload.length;
    if (!intact)
      throw this.segments.corrupt(
        sequence,
        position,
        `entry ${index} of group ${this.groupId} does not match its checksum`,
      );
    return { term: this.index.term(index), index, kind: bytes[header + 16] as EntryKind, payload };
  }
}
