/**
 * What moves ask of a group, answered by its leader: span commands and imports go through the log in order with the
 * commands; histories and the capture log are read from applied state.
 */
import type { JobId, Span, SpanCommand } from '../../distribution/index.ts';
import { assert, END_OF_TIME, type HlcTimestamp, type Millis, type Scheduler } from '../../platform/index.ts';
import { BusyError, OutcomeUnknownError } from '../../raftengine/index.ts';
import type { ExportedVersion } from '../../store/index.ts';
import { type EntryResult, isCapturing } from '../apply/index.ts';
import {
  type BackfillPage,
  type BackfillRequest,
  type CapturePage,
  type CapturePoint,
  type ImportOutcome,
  type ImportRequest,
  type JobState,
  NotOwnerError,
  type SideChange,
  type SpanExecutor,
  type SpanReply,
  type SpanRequest,
} from '../contract/index.ts';
import {
  ABSENT,
  type CapturedEffect,
  captureBounds,
  captureKey,
  capturePlace,
  decodeCaptured,
  encodeImport,
  encodeSpan,
} from '../entry/index.ts';
import type { GroupClock } from '../time/index.ts';
import type { GroupReadsOptions } from './group-reads.ts';
import type { SpanGate } from './span-gate.ts';

/** How long a range may take to be emptied before it can come back; less than whoever asks waits for an answer. */
const MAX_DROP_WAIT_MS: Millis = 4_000;
/** Capture rows read at once. */
const ROWS_PER_READ = 512;
/** What a version costs beyond its bytes when it is written again. */
const VERSION_BYTES = 100;
/** A captured range delete is taken apart in steps of this many keys: a page may end between two of them. */
const KEYS_PER_STEP = 256;
/** Histories read at once while a range delete is taken apart. */
const EXPAND_BYTES = 1024 * 1024;
/** Steps of a range delete that are done count so much in the position of a capture point. */
const STEP = 2 ** 32;
/** In place of a version's timestamp: all versions are exported, side rows follow. No version has it. */
const SIDES = END_OF_TIME;

/** What this needs of the group's executor. */
export interface LeaderSpansOptions extends GroupReadsOptions {
  readonly clock: GroupClock;
  readonly scheduler: Scheduler;
  /** Proposes an entry behind everything that was evaluated; `build` gets its timestamp. Urgent ones do not wait for room. */
  readonly propose: (build: (commitTs: HlcTimestamp) => Buffer, isUrgent: boolean) => Promise<EntryResult>;
  /** What the group serves has changed, or will not change as it was said: who waits for a range looks again. */
  readonly onChanged: () => void;
}

export class LeaderSpans implements SpanExecutor {
  private readonly options: LeaderSpansOptions;
  /** Jobs whose captures began before a flush of this replica: what is on disk and what was captured leave no gap. */
  private readonly flushed = new Set<JobId>();

  constructor(options: LeaderSpansOptions) {
    this.options = options;
  }

  /** @throws NotLeaderError and what the engine refuses with: nothing happened; OutcomeUnknownError */
  async command(request: SpanRequest): Promise<SpanReply> {
    const { propose, gate, clock, onChanged } = this.options;
    if (request.kind === 'incoming') await this.emptied(request);
    // Whatever the range brings along lies below what this group issues from here on.
    if (request.kind === 'activate') clock.observeForeign(request.floor, clock.maxLeadMs);
    if (request.kind === 'captureOn' && request.above !== undefined) {
      clock.observeForeign(request.above, clock.maxLeadMs);
    }
    let pending: ReturnType<SpanGate['begin']> | undefined;
    let reply: SpanReply;
    try {
      reply = (await propose((commitTs) => {
        const isLater = request.kind === 'activate' || request.kind === 'captureOn' || request.kind === 'release';
        const entryTs = isLater ? clock.take(1) : commitTs;
        // No read of the range is served from here on, and all that were served are below the draw just made.
        const command: SpanCommand = request.kind === 'release' ? { ...request, fenceTs: commitTs } : request;
        pending = gate.begin(command);
        if (request.kind !== 'activate') return encodeSpan(entryTs, command);
        return encodeSpan(entryTs, command, request.gcThreshold, request.imports);
      }, true)) as SpanReply;
      if (pending !== undefined) gate.end(pending);
    } catch (error) {
      // Of unknown outcome: it may still come, so the range stays shut until the next command of the job says more.
      if (pending !== undefined && !(error instanceof OutcomeUnknownError)) gate.withdraw(pending);
      onChanged();
      throw error;
    }
    onChanged();
    return this.withCaptured(request, reply);
  }

  /**
   * A range that comes back while it is still being dropped here would hold up everything that the group applies.
   * @throws BusyError when it takes longer than a message may
   */
  private async emptied({ start, end }: Pick<Span, 'start' | 'end'>): Promise<void> {
    const dropping = this.options.store.dropping(start, end);
    if (dropping === undefined) return;
    const { promise: tooLong, reject } = Promise.withResolvers<never>();
    const cancel = this.options.scheduler.after(MAX_DROP_WAIT_MS, () =>
      reject(new BusyError('what the range held here before is still being deleted; try again later')),
    );
    await Promise.race([dropping, tooLong]).finally(cancel);
  }

  /** The end of the capture log goes with the fence's answer: nothing is captured behind an applied fence. */
  private async withCaptured(request: SpanRequest, reply: SpanReply): Promise<SpanReply> {
    if (request.kind !== 'fence' || request.captured === undefined || reply.outcome.kind !== 'done') return reply;
    if (reply.outcome.span?.state !== 'FENCED') return reply;
    const { from, maxBytes } = request.captured;
    return { ...reply, captured: await this.readCaptured(request.job, from, maxBytes) };
  }

  /** @throws NotLeaderError */
  async job(job: JobId): Promise<JobState> {
    const { stateMachine, store, clock, catchUp } = this.options;
    await catchUp();
    const { spanTable } = stateMachine;
    return {
      span: spanTable.spanOf(job),
      end: spanTable.endOf(job),
      imports: stateMachine.importOf(job),
      gcThreshold: store.gcThreshold,
      nowTs: clock.now(),
      reachTs: clock.reachTs,
    };
  }

  /** The span that a job copies from here. @throws NotOwnerError when there is none */
  private source(job: JobId): Span {
    const span = this.options.stateMachine.spanTable.spanOf(job);
    if (span === undefined || !isCapturing(span)) throw new NotOwnerError(span?.dst);
    return span;
  }

  /** @throws NotLeaderError; NotOwnerError when the job's range is not being captured here */
  async backfill(request: BackfillRequest): Promise<BackfillPage> {
    const { stateMachine, store, catchUp, stillLeads } = this.options;
    const { job, maxBytes } = request;
    // Later pages need nobody's confirmation: what was applied since the capture began is in the capture log.
    if (!this.flushed.has(job)) {
      await catchUp();
      this.source(job);
      for (const other of this.flushed)
        if (stateMachine.spanTable.spanOf(other) === undefined) this.flushed.delete(other);
      await store.flush();
      this.flushed.add(job);
    }
    const span = this.source(job);
    const isBefore = Buffer.compare(request.start, span.start) < 0;
    const start = isBefore ? span.start : request.start;
    const after = isBefore ? undefined : request.after;
    const page =
      after === SIDES
        ? { versions: [], ...(await this.sides(span, start.subarray(span.start.length), maxBytes)) }
        : await this.histories(span, start, after, maxBytes);
    this.source(job);
    await stillLeads();
    return page;
  }

  /** The last page brings the first of the side rows along. */
  private async histories(
    span: Span,
    start: Buffer,
    after: HlcTimestamp | undefined,
    maxBytes: number,
  ): Promise<BackfillPage> {
    const page = await this.options.store.exportVersions({ start, end: span.end, after, maxBytes });
    return page.next === undefined ? { ...page, ...(await this.sides(span, undefined, maxBytes)) } : page;
  }

  /** Side rows of the range. Their place is the start of the range, and behind it where the page before ended. */
  private async sides(
    { start, end }: Span,
    from: Buffer | undefined,
    maxBytes: number,
  ): Promise<Pick<BackfillPage, 'sides' | 'next'>> {
    const { sides, next } = await this.options.store.exportSides({ start, end, from, maxBytes });
    return { sides, next: next === undefined ? undefined : { start: Buffer.concat([start, next]), after: SIDES } };
  }

  /**
   * A piece of the capture log as of a moment after the call: it holds everything that was applied before.
   * @throws NotLeaderError; NotOwnerError when the job's range is not being captured here
   */
  async captured(job: JobId, from: CapturePoint, maxBytes: number): Promise<CapturePage> {
    await this.options.catchUp();
    return this.readCaptured(job, from, maxBytes);
  }

  /** What is applied of it. @throws NotLeaderError, NotOwnerError */
  private async readCaptured(job: JobId, from: CapturePoint, maxBytes: number): Promise<CapturePage> {
    const { store, clock, readTimestamp, stillLeads } = this.options;
    const opening = clock.opening();
    if (opening !== undefined) await opening;
    const readTs = readTimestamp();
    this.source(job);
    const versions: ExportedVersion[] = [];
    const sides: SideChange[] = [];
    let bytes = 0;
    let next: CapturePoint = from;
    let steps = Math.floor(from.position / STEP);
    let start: Buffer | undefined = captureKey(job, from.index, from.position % STEP);
    const [, end] = captureBounds(job);
    while (start !== undefined && bytes < maxBytes) {
      const page = await store.scan({ start, end, readTs, limit: ROWS_PER_READ });
      start = page.next;
      for (const [at, row] of page.rows.entries()) {
        const { index, position } = capturePlace(row.key);
        const effect = decodeCaptured(row.value);
        if (effect.kind === 'deleteRange') {
          const found = await this.expand(effect, steps, maxBytes - bytes);
          for (const version of found.versions) versions.push(version);
          bytes += found.bytes;
          next = { index, position: found.isEnd ? position + 1 : position + STEP * found.steps };
          if (!found.isEnd) start = row.key;
        } else if (effect.side !== undefined) {
          sides.push(effect.side);
          bytes += row.value.length;
          next = { index, position: position + 1 };
        } else {
          const version = await this.versionOf(job, effect);
          versions.push(version);
          bytes += VERSION_BYTES + version.key.length + (version.value?.length ?? 0);
          next = { index, position: position + 1 };
        }
        steps = 0;
        if (bytes < maxBytes) continue;
        if (start !== row.key) start = page.rows[at + 1]?.key ?? start;
        break;
      }
    }
    this.source(job);
    await stillLeads();
    return { versions, sides, next, isEnd: start === undefined };
  }

  private async versionOf(job: JobId, { kind, key, commitTs }: CapturedEffect): Promise<ExportedVersion> {
    if (kind === 'delete') return { key, commitTs, expireTs: ABSENT, value: undefined };
    const version = await this.options.store.versionAt(key, commitTs);
    if (version === undefined) this.source(job);
    assert(version !== undefined && !version.isTombstone, 'a captured version is kept while it is being captured');
    return { key, commitTs, expireTs: version.expireTs, value: version.value };
  }

  /**
   * A range delete as the deletes of the keys that it hid, from step `from` on. What it hid never changes: history is kept
   * while the range is captured.
   */
  private async expand(
    { key, end, commitTs }: CapturedEffect,
    from: number,
    maxBytes: number,
  ): Promise<{ versions: ExportedVersion[]; bytes: number; steps: number; isEnd: boolean }> {
    const versions: ExportedVersion[] = [];
    let bytes = 0;
    let seen = 0;
    let next: BackfillPage['next'] = { start: key, after: undefined };
    while (next !== undefined) {
      const page: BackfillPage = await this.options.store.exportVersions({ ...next, end, maxBytes: EXPAND_BYTES });
      next = page.next;
      for (const version of page.versions) {
        if (version.value !== undefined || version.commitTs !== commitTs) continue;
        if (seen++ < from * KEYS_PER_STEP) continue;
        // Another key is there, so the point before it is none at the end.
        if (bytes >= maxBytes && versions.length % KEYS_PER_STEP === 0 && versions.length > 0) {
          return { versions, bytes, steps: from + versions.length / KEYS_PER_STEP, isEnd: false };
        }
        versions.push(version);
        bytes += VERSION_BYTES + version.key.length;
      }
    }
    return { versions, bytes, steps: 0, isEnd: true };
  }

  /** @throws NotLeaderError, BusyError: nothing happened; OutcomeUnknownError */
  async import(request: ImportRequest): Promise<ImportOutcome> {
    const { propose, clock, gate } = this.options;
    for (const [at, { key, value }] of request.versions.entries()) {
      const refusal = gate.admission?.refuse(key, value?.length ?? 0, at === 0);
      if (refusal !== undefined) throw refusal;
    }
    for (const { commitTs } of request.versions) clock.observeForeign(commitTs, clock.maxLeadMs);
    return (await propose(() => encodeImport(request), false)) as ImportOutcome;
  }
}
