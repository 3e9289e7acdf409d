/**
 * What a group owns and what it is taking in, as part of its replicated state: read from the store at the start and after
 * a snapshot, changed by entries alone.
 */
import { applySpanCommand, decodeSpanTable, encodeSpanTable, type JobId, SpanTable } from '../../distribution/index.ts';
import { type HlcTimestamp, hlcTimestamp, type LogIndex } from '../../platform/index.ts';
import type { ExportedVersion, GroupStore, StoreWriter } from '../../store/index.ts';
import type { ImportOutcome, ImportRequest, ImportState, SideChange, SpanReply } from '../contract/index.ts';
import {
  ABSENT,
  type CapturedEffect,
  captureBounds,
  captureKey,
  decodeImports,
  encodeCaptured,
  encodeImports,
  MetaName,
  type SpanEntry,
  touchesLocal,
} from '../entry/index.ts';
import type { LockTable } from './lock-table.ts';
import { isCapturing, overlapping } from './ownership.ts';

const NO_BOOKMARK = Buffer.alloc(0);

/** A half-open interval of keys. */
interface KeyRange {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
}

/** What an entry answers, and the group's largest timestamp after it. */
export interface SpanResult<Answer> {
  readonly answer: Answer;
  readonly maxTs: HlcTimestamp;
}

export class SpanState {
  private readonly store: GroupStore;
  /** Locks come and go with ranges. */
  private readonly locks: LockTable;
  /** What the group owns as of the applied index. Never changed in place: readers keep the one that they began with. */
  table: SpanTable = SpanTable.empty;
  /** Per job that copies to here. */
  private imports = new Map<JobId, ImportState>();
  /** True while a move needs history that garbage collection would take: SET_GC changes nothing. */
  isPinned = false;
  /** Threshold that waits until nothing is pinned; 0n when none does. Reads below it miss history of a range that came. */
  private heldGc: HlcTimestamp = ABSENT;
  /** True while some span is being captured. */
  isCapturing = false;
  /** Grows with everything that changes what lies in spans that the group does not own. */
  revision = 0;
  /** Ranges given to the group that this replica may still be dropping older data of. */
  private unsettled: KeyRange[] = [];
  /** Number of the next capture row of the entry that is being applied. */
  private position = 0;

  constructor(store: GroupStore, locks: LockTable) {
    this.store = store;
    this.locks = locks;
  }

  /** Takes over what the store says. */
  reload(): void {
    const table = this.store.meta(MetaName.Spans);
    const imports = this.store.meta(MetaName.Imports);
    this.setTable(table === undefined ? SpanTable.empty : decodeSpanTable(table));
    this.imports = imports === undefined ? new Map() : decodeImports(imports);
    this.heldGc = hlcTimestamp(this.store.meta(MetaName.HeldGc)?.readBigUInt64BE() ?? ABSENT);
    this.unsettled = this.table.spans.filter((span) => span.state === 'INCOMING');
  }

  private setTable(table: SpanTable): void {
    this.table = table;
    this.isCapturing = table.spans.some(isCapturing);
    this.isPinned = this.isCapturing || table.spans.some(({ state }) => state === 'INCOMING' || state === 'FENCED');
    this.revision++;
  }

  /** How far a job's imports have come; undefined when the group takes nothing in for it. */
  importOf(job: JobId): ImportState | undefined {
    return this.imports.get(job);
  }

  /** Settles when nothing is left of older data in the ranges that were given to the group; undefined when nothing is. */
  pressure(): Promise<void> | undefined {
    while (this.unsettled.length > 0) {
      const { start, end } = this.unsettled[0]!;
      const dropping = this.store.dropping(start, end);
      if (dropping !== undefined) return dropping;
      this.unsettled.shift();
    }
    return undefined;
  }

  /** Applies a span command with everything that belongs to it beside the table. */
  applyCommand(entry: SpanEntry, writer: StoreWriter, largestTs: HlcTimestamp): SpanResult<SpanReply> {
    // Range deletes of this entry must lie above everything before it, also when it comes out of order.
    const commitTs = entry.commitTs > largestTs ? entry.commitTs : hlcTimestamp(largestTs + 1n);
    const outcome = this.decide(entry);
    let maxTs = commitTs;
    let held = this.heldGc;
    if (outcome.kind === 'done' && outcome.isChanged) {
      writer.setMeta(MetaName.Spans, encodeSpanTable(this.table));
      const { command } = entry;
      switch (command.kind) {
        case 'assign':
          this.unsettled.push(command);
          break;
        case 'incoming':
          this.drop(writer, outcome.span);
          this.unsettled.push(outcome.span!);
          this.setImport(writer, command.job, { attempt: command.attempt, seq: 0, bookmark: NO_BOOKMARK });
          break;
        case 'drop':
          this.drop(writer, outcome.span);
          this.setImport(writer, command.job, undefined);
          break;
        case 'purge':
          this.drop(writer, outcome.span);
          this.forgetCaptured(writer, command.job, commitTs);
          break;
        case 'captureOff':
          if (outcome.span !== undefined) this.forgetCaptured(writer, command.job, commitTs);
          break;
        case 'activate':
          if (command.floor > maxTs) maxTs = command.floor;
          if (entry.gcThreshold > held) held = entry.gcThreshold;
          this.setImport(writer, command.job, undefined);
          break;
      }
    }
    // Below this the history of what the group owns may not be complete.
    const own = this.store.gcThreshold;
    let gcThreshold = own;
    if (held > own) gcThreshold = held;
    // What was captured, and what comes in, is told apart by its history: a threshold that came with a range waits.
    if (!this.isPinned && held !== ABSENT) {
      if (held > own) this.store.setGcThreshold(writer, held);
      held = ABSENT;
    }
    if (held !== this.heldGc) {
      const value = Buffer.allocUnsafe(8);
      value.writeBigUInt64BE(held);
      writer.setMeta(MetaName.HeldGc, value);
      this.heldGc = held;
    }
    return { answer: { outcome, gcThreshold }, maxTs };
  }

  /** The table's own decision, and what it cannot know: where data may lie, and whether all of it has arrived. */
  private decide({ command, imports }: SpanEntry): SpanReply['outcome'] {
    const step = applySpanCommand(this.table, command);
    if (step.outcome.kind === 'refused' || !step.outcome.isChanged) return step.outcome;
    const takesRange = command.kind === 'incoming' || command.kind === 'captureOn';
    if (takesRange && touchesLocal(command.start, command.end)) return { kind: 'refused', reason: 'INVALID_RANGE' };
    if (command.kind === 'activate' && (this.imports.get(command.job)?.seq ?? 0) !== imports) {
      return { kind: 'refused', reason: 'IMPORT_GAP' };
    }
    this.setTable(step.table);
    return step.outcome;
  }

  /** An undo of what never began here lets go no range. */
  private drop(writer: StoreWriter, range: KeyRange | undefined): void {
    if (range === undefined) return;
    writer.dropRange(range.start, range.end);
    this.locks.drop(range.start, range.end);
  }

  private forgetCaptured(writer: StoreWriter, job: JobId, commitTs: HlcTimestamp): void {
    const [start, end] = captureBounds(job);
    writer.deleteRange(start, end, commitTs);
  }

  private setImport(writer: StoreWriter, job: JobId, state: ImportState | undefined): void {
    if (state === undefined && !this.imports.has(job)) return;
    if (state === undefined) this.imports.delete(job);
    else this.imports.set(job, state);
    writer.setMeta(MetaName.Imports, encodeImports(this.imports));
  }

  /** Puts versions at their own timestamps, once, in order, and only where a move of that attempt copies to. */
  applyImport(request: ImportRequest, writer: StoreWriter, largestTs: HlcTimestamp): SpanResult<ImportOutcome> {
    const refused = this.refuseImport(request);
    if (refused !== undefined) return { answer: { kind: 'refused', reason: refused }, maxTs: largestTs };
    const { job, attempt, seq, bookmark } = request;
    const known = this.imports.get(job)!;
    if (seq <= known.seq) return { answer: { kind: 'done', state: known }, maxTs: largestTs };
    const state: ImportState = { attempt, seq, bookmark };
    const maxTs = this.putVersions(request.versions, writer, largestTs);
    for (const { key, name, value } of request.sides ?? []) {
      writer.setSide(key, name, value);
      this.locks.follow(key, name, value);
    }
    this.setImport(writer, job, state);
    this.revision++;
    return { answer: { kind: 'done', state }, maxTs };
  }

  private refuseImport(
    request: ImportRequest,
  ): Extract<ImportOutcome, { readonly kind: 'refused' }>['reason'] | undefined {
    const { job, attempt, seq, follows, versions, sides = [] } = request;
    const span = this.table.spanOf(job);
    const known = this.imports.get(job);
    if (span === undefined) return this.table.isClosed(job) ? 'NOT_INCOMING' : 'UNKNOWN_JOB';
    if (span.state !== 'INCOMING' || known === undefined) return 'NOT_INCOMING';
    if (attempt !== known.attempt) return 'STALE_ATTEMPT';
    if (seq <= known.seq) return undefined;
    if (seq !== known.seq + 1 || follows?.equals(known.bookmark) === false) return 'IMPORT_GAP';
    const isInside = ({ key }: { readonly key: Buffer }): boolean =>
      Buffer.compare(key, span.start) >= 0 && (span.end === undefined || Buffer.compare(key, span.end) < 0);
    return versions.every(isInside) && sides.every(isInside) ? undefined : 'NOT_INCOMING';
  }

  /** @returns the largest timestamp of the group with these versions */
  private putVersions(
    versions: readonly ExportedVersion[],
    writer: StoreWriter,
    largestTs: HlcTimestamp,
  ): HlcTimestamp {
    /** Newest version of keys of this import: the store shows them only when the entry is done. */
    const newest = new Map<string, HlcTimestamp>();
    let maxTs = largestTs;
    for (const { key, commitTs, expireTs, value } of versions) {
      const name = key.toString('latin1');
      const before = newest.get(name) ?? this.store.latest(key)?.commitTs;
      // Backfill and capture overlap.
      if (before !== undefined && commitTs <= before) continue;
      // With nothing below it, a tombstone that the threshold hides says nothing.
      if (value === undefined && before === undefined && commitTs <= this.store.gcThreshold) continue;
      if (value === undefined) writer.delete(key, commitTs);
      else writer.put(key, value, commitTs, expireTs);
      newest.set(name, commitTs);
      if (commitTs > maxTs) maxTs = commitTs;
    }
    return maxTs;
  }

  /** To be called before the effects of an entry are captured. */
  beginEntry(): void {
    this.position = 0;
  }

  /** Notes a write of `key` for the move that copies from its span, if one does. */
  capture(writer: StoreWriter, index: LogIndex, kind: 'put' | 'delete', key: Buffer, commitTs: HlcTimestamp): void {
    const job = this.table.capturingJob(key);
    if (job !== 0) this.addRow(writer, job, index, { kind, commitTs, key, end: undefined }, commitTs);
  }

  /** Notes that a side row was set or removed. @param rowTs timestamp of the entry */
  captureSide(writer: StoreWriter, index: LogIndex, side: SideChange, rowTs: HlcTimestamp): void {
    const job = this.table.capturingJob(side.key);
    const { key } = side;
    if (job !== 0) this.addRow(writer, job, index, { kind: 'side', commitTs: rowTs, key, end: undefined, side }, rowTs);
  }

  /** Notes a range delete, once for each move that copies from a part of it. */
  captureRange(writer: StoreWriter, index: LogIndex, start: Buffer, end: Buffer, rowTs: HlcTimestamp): void {
    const commitTs = hlcTimestamp(rowTs - 1n);
    for (const span of overlapping(this.table, start, end)) {
      if (!isCapturing(span)) continue;
      const key = Buffer.compare(span.start, start) > 0 ? span.start : start;
      const clipped = span.end !== undefined && Buffer.compare(span.end, end) < 0 ? span.end : end;
      this.addRow(writer, span.job, index, { kind: 'deleteRange', commitTs, key, end: clipped }, rowTs);
    }
  }

  private addRow(
    writer: StoreWriter,
    job: JobId,
    index: LogIndex,
    effect: CapturedEffect,
    commitTs: HlcTimestamp,
  ): void {
    writer.put(captureKey(job, index, this.position++), encodeCaptured(effect), commitTs, ABSENT);
  }
}
