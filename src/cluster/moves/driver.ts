/**
 * Takes moves through their phases (docs/design/control-plane/catalog.md, docs/design/control-plane/move.md). It runs on the leader of the catalog
 * group and remembers nothing that matters: what it finds in the job's row says what is to be done, every step can be done again, and the
 * row is compared and set, so any number of drivers with old knowledge do no harm.
 */
import {
  isAbortable,
  type JobId,
  type JobPhase,
  type JobRow,
  type SpanRefusal,
  type TransitionJobOp,
} from '../../distribution/index.ts';
import {
  type ImportState,
  MoveNotYetError,
  MoveRefusedError,
  type SpanClient,
  type SpanReply,
  type SpanRequest,
  TimestampAheadError,
} from '../../kv/index.ts';
import {
  assert,
  assertNever,
  backoffMs,
  type Clock,
  type GroupId,
  type Millis,
  physicalMs,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import type { CatalogSource } from '../catalog/index.ts';
import type { CatalogClient } from '../contract/index.ts';
import { type CopiedCapture, type Copying, copyCaptured, copyHistories, importsOf } from './copying.ts';
import { decodeBookmark, decodeReleaseNotes, encodeReleaseNotes } from './notes.ts';

/** Bounds and periods of a driver. */
export interface MoveLimits {
  /** Size of a page of histories or of captured effects: what is applied in one piece, so clients of both groups wait for it. */
  readonly pageBytes: number;
  /** Pages that are read while others are imported. */
  readonly pagesAhead: number;
  /** Imports that are under way at a time; together with what is read ahead this much memory is the driver's. */
  readonly importsAhead: number;
  /** Pause after each page of histories, so that a move leaves room for clients. */
  readonly pageGapMs: Millis;
  /** The range is fenced when a round of catching up had to ship no more than this, */
  readonly fenceBelowBytes: number;
  /** or took no longer than this. */
  readonly fenceBelowMs: Millis;
  /** Rounds of catching up before the move is given up: writes come faster than they can be copied. */
  readonly maxRounds: number;
  /** A fence that did not lead to a release within this is lifted: the destination is not well. */
  readonly fenceMs: Millis;
  /** How long the source keeps what was moved away, for readers that are still at it. */
  readonly graceMs: Millis;
  /** How long the source keeps pointing at the new owner; `forwardingPointerWork` does it. */
  readonly forwardingPointerMs: Millis;
  /** Forwarding pointers of old moves are looked for this often. */
  readonly sweepMs: Millis;
  readonly retryBaseMs: Millis;
  readonly retryCapMs: Millis;
  /** Jobs driven at the same time. */
  readonly maxJobs: number;
}

export const DEFAULT_MOVE_LIMITS: MoveLimits = {
  pageBytes: 512 * 1024,
  pagesAhead: 4,
  importsAhead: 4,
  pageGapMs: 2,
  fenceBelowBytes: 64 * 1024,
  fenceBelowMs: 30,
  maxRounds: 1000,
  fenceMs: 10_000,
  graceMs: 30_000,
  forwardingPointerMs: 24 * 3_600_000,
  sweepMs: 60_000,
  retryBaseMs: 50,
  retryCapMs: 5_000,
  maxJobs: 8,
};

/** A round that shipped more than this share of the one before is not faster than the writers. */
const STEADY = 0.7;
/** Tries of a step that another job is in the way of, before the move is given up. */
const MAX_BUSY_TRIES = 100;

export interface MoveDriverOptions {
  readonly source: CatalogSource;
  readonly catalog: CatalogClient;
  readonly spans: SpanClient;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly limits?: Partial<MoveLimits>;
  /** Whether every node understands the entries that a move writes; a move that has not begun waits for it. */
  readonly mayBegin?: () => boolean;
  /** Hears of every step that failed and will be tried again. */
  readonly onError?: (job: JobRow, error: unknown) => void;
}

/** What a driver knows that a job's row does not say, from one step to the next. Whoever does not know it asks the groups. */
interface Knowledge {
  /** The attempt that it is about. */
  readonly attempt: number;
  /** What the destination has. */
  readonly imports: ImportState;
  /** True when that is all that the range will ever have here: it is fenced, and the capture log is at its end. */
  readonly isAll: boolean;
}

/** Refusals that a later try may not meet: somebody else's job or purge is in the way. */
const PASSING: ReadonlySet<SpanRefusal> = new Set(['BUSY']);

const tooFarAhead = (src: GroupId, dst: GroupId, ms: Millis): TimestampAheadError =>
  new TimestampAheadError(
    `the time of group ${src} is ${ms} ms further ahead than group ${dst} goes along with, so the move waits; see raftadmin accept_time`,
  );

/** See the top of the file. */
export class MoveDriver {
  private readonly options: MoveDriverOptions;
  private readonly limits: MoveLimits;
  /** Jobs with a loop of their own. */
  private readonly driven = new Set<number>();
  private readonly knowledge = new Map<JobId, Knowledge>();
  private readonly loops = new Set<Promise<void>>();
  private readonly stopping = new AbortController();
  private stopListening: (() => void) | undefined;

  constructor(options: MoveDriverOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_MOVE_LIMITS, ...options.limits };
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted;
  }

  start(): void {
    this.stopListening = this.options.source.onChange(() => this.reconcile());
    this.reconcile();
  }

  /** Settles when no step is under way any more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.stopListening?.();
    await Promise.all(this.loops);
  }

  /** Gives every unfinished job a loop, while this node leads the catalog. */
  private reconcile(): void {
    const { state } = this.options.source;
    if (state === undefined || this.isStopped) return;
    for (const job of state.jobs.values()) {
      if (this.driven.has(job.id)) continue;
      // What only waits for its grace to end takes nobody's place.
      if (job.phase !== 'CLEANUP' && this.busyJobs() >= this.limits.maxJobs) continue;
      this.driven.add(job.id);
      const loop = this.drive(job.id).finally(() => {
        this.driven.delete(job.id);
        this.knowledge.delete(job.id);
        this.loops.delete(loop);
        this.reconcile();
      });
      this.loops.add(loop);
    }
  }

  private busyJobs(): number {
    let busy = 0;
    for (const id of this.driven) if (this.row(id)?.phase !== 'CLEANUP') busy++;
    return busy;
  }

  /** The job's row as this node knows it; undefined when the job is over, or is not this node's to drive. */
  private row(id: number): JobRow | undefined {
    return this.isStopped ? undefined : this.options.source.state?.jobs.get(id);
  }

  private async drive(id: number): Promise<void> {
    let tries = 0;
    for (;;) {
      const job = this.row(id);
      if (job === undefined) return;
      try {
        await this.step(job, tries);
        tries = 0;
      } catch (error) {
        tries++;
        if (!(await this.hasGoneOn(job, error, tries))) await this.pause(this.backoffMs(tries));
      }
    }
  }

  private backoffMs(tries: number): Millis {
    const { retryBaseMs: baseMs, retryCapMs: capMs } = this.limits;
    return backoffMs({ baseMs, capMs, factor: 2, jitter: 'equal' }, tries, this.options.random);
  }

  /** What a failed step means for the job. @returns true when its row has changed, so that there is something new to do */
  private async hasGoneOn(job: JobRow, error: unknown, tries: number): Promise<boolean> {
    this.options.onError?.(job, error);
    const isFinal = error instanceof MoveRefusedError && (!PASSING.has(error.reason) || tries >= MAX_BUSY_TRIES);
    try {
      if (isFinal && isAbortable(job.phase)) {
        await this.to(job, 'ABORTING', { lastError: error.message });
        return true;
      }
      const message = error instanceof Error ? error.message : String(error);
      // Rows are not written for every try; the first one and now and then another tell the operator what is wrong.
      if ((tries === 3 || tries % 50 === 0) && this.row(job.id)?.lastError !== message) {
        await this.to(job, job.phase, { lastError: message });
      }
    } catch {
      // The row went on without us, or the catalog cannot be reached: the next look will tell.
    }
    return this.row(job.id)?.revision !== job.revision;
  }

  /** Ends early when the driver is stopped. */
  private pause(ms: Millis): Promise<void> {
    return sleep(this.options.scheduler, ms, this.stopping.signal);
  }

  /** The time of day may have been put back since, here or from one leader to the next: no grace is longer than a whole one. */
  private graceLeftMs({ updatedMs }: JobRow): Millis {
    const { graceMs } = this.limits;
    return Math.min(graceMs, Math.max(0, updatedMs + graceMs - this.options.clock.nowMs()));
  }

  private async to(job: JobRow, phase: JobPhase, changes: Partial<TransitionJobOp> = {}): Promise<void> {
    const { id: jobId, revision: expectedRevision } = job;
    await this.options.catalog.run({ kind: 'transitionJob', jobId, expectedRevision, phase, ...changes });
  }

  /** Says it to the group. @throws MoveRefusedError when the group's table says no */
  private async tell(group: GroupId, request: SpanRequest): Promise<SpanReply> {
    const reply = await this.options.spans.command(group, request);
    if (reply.outcome.kind === 'refused') throw new MoveRefusedError(group, request.kind, reply.outcome.reason);
    return reply;
  }

  /** One phase, from its row to the next row. */
  private async step(job: JobRow, tries: number): Promise<void> {
    const { id, src, dst, attempt, start, end } = job;
    switch (job.phase) {
      case 'PLANNED':
        if (this.options.mayBegin?.() === false) throw new MoveNotYetError(id);
        // Nothing is begun towards a group that does not answer.
        await this.options.spans.job(dst, id);
        return this.to(job, 'PREP_TARGET', { lastError: '' });
      case 'PREP_TARGET':
        await this.tell(dst, { kind: 'incoming', job: id, attempt, start, end });
        return this.to(job, 'ARM_SOURCE', { lastError: '' });
      case 'ARM_SOURCE': {
        const { gcThreshold: above, reachTs } = await this.options.spans.job(dst, id);
        // Once the source has released the range, nobody serves it until the destination can take it over.
        const { nowTs } = await this.options.spans.job(src, id);
        if (nowTs > reachTs) throw tooFarAhead(src, dst, physicalMs(nowTs) - physicalMs(reachTs));
        await this.tell(src, { kind: 'captureOn', job: id, start, end, above });
        return this.to(job, 'BACKFILL', { lastError: '' });
      }
      case 'BACKFILL':
        return this.backfill(job);
      case 'CATCH_UP':
        return this.catchUp(job);
      case 'FENCE':
        return this.fence(job, tries);
      case 'RELEASE':
        return this.release(job, tries);
      case 'ACTIVATE': {
        const notes = decodeReleaseNotes(job.progress);
        await this.tell(dst, { kind: 'activate', job: id, floor: job.fenceTs, epoch: job.spanEpoch, ...notes });
        return this.to(job, 'PUBLISH', { lastError: '' });
      }
      case 'PUBLISH':
        await this.options.catalog.run({ kind: 'setGroup', jobId: id, expectedRevision: job.revision });
        return;
      case 'CLEANUP':
        if (tries === 0) await this.pause(this.graceLeftMs(job));
        if (this.row(id) === undefined) return;
        await this.tell(src, { kind: 'purge', job: id });
        return this.to(job, 'DONE', { lastError: '' });
      case 'ABORTING':
        await this.tell(src, { kind: 'unfence', job: id, attempt });
        await this.tell(src, { kind: 'captureOff', job: id });
        await this.tell(dst, { kind: 'drop', job: id });
        return this.to(job, 'ABORTED');
      case 'DONE':
      case 'ABORTED':
        return;
      default:
        assertNever(job.phase);
    }
  }

  private copying(job: JobRow): Copying {
    const { spans } = this.options;
    const { pageBytes, pagesAhead, importsAhead, pageGapMs } = this.limits;
    const isOurs = (): boolean => this.row(job.id)?.revision === job.revision;
    return { spans, job, pageBytes, pagesAhead, importsAhead, isOurs, rest: () => this.pause(pageGapMs) };
  }

  private knownOf(job: JobRow): Knowledge | undefined {
    const known = this.knowledge.get(job.id);
    return known?.attempt === job.attempt ? known : undefined;
  }

  private learn(job: JobRow, { imports }: CopiedCapture, isAll: boolean): void {
    this.knowledge.set(job.id, { attempt: job.attempt, imports, isAll });
  }

  private async backfill(job: JobRow): Promise<void> {
    const result = await copyHistories(this.copying(job));
    if (result === 'restart') await this.to(job, 'PREP_TARGET', { attempt: job.attempt + 1 });
    else if (result === 'done') await this.to(job, 'CATCH_UP', { lastError: '' });
  }

  private async catchUp(job: JobRow): Promise<void> {
    // A fence of an earlier attempt may still be in force.
    await this.tell(job.src, { kind: 'unfence', job: job.id, attempt: job.attempt - 1 });
    let lastBytes = Number.POSITIVE_INFINITY;
    for (let round = 0; ; round++) {
      const beganMs = this.options.clock.monotonicMs();
      const copied = await copyCaptured(this.copying(job));
      if (copied === 'lost') return;
      if (copied === 'restart') return this.to(job, 'PREP_TARGET', { attempt: job.attempt + 1 });
      const isShort =
        copied.bytes <= this.limits.fenceBelowBytes ||
        this.options.clock.monotonicMs() - beganMs <= this.limits.fenceBelowMs;
      // What is written while a round is shipped does not get less any more: another round brings the end no nearer.
      const isSteady = round > 1 && copied.bytes > lastBytes * STEADY && copied.bytes <= this.limits.pageBytes;
      if (isShort || isSteady) {
        this.learn(job, copied, false);
        return this.to(job, 'FENCE', { lastError: '' });
      }
      lastBytes = copied.bytes;
      if (round >= this.limits.maxRounds) {
        return this.to(job, 'ABORTING', {
          lastError: 'writes come faster than they can be copied; throttle the writers',
        });
      }
    }
  }

  /**
   * From here to the activation writers wait, so the way is short: the fence answers with what is still to be shipped, and when the
   * destination answered a moment ago, the row goes on while that is imported.
   */
  private async fence(job: JobRow, tries: number): Promise<void> {
    const sinceMs = this.options.clock.nowMs() - job.updatedMs;
    if (tries > 0 && sinceMs > this.limits.fenceMs) {
      return this.to(job, 'CATCH_UP', { attempt: job.attempt + 1, lastError: job.lastError });
    }
    const copying = this.copying(job);
    const known = tries === 0 ? this.knownOf(job) : undefined;
    const imports = known?.imports ?? (await importsOf(copying));
    const place = imports === undefined ? undefined : decodeBookmark(imports.bookmark, job);
    if (place?.kind !== 'capture') return this.to(job, 'CATCH_UP', { attempt: job.attempt + 1 });
    const { captured: rest } = await this.tell(job.src, {
      kind: 'fence',
      job: job.id,
      attempt: job.attempt,
      captured: { from: place.from, maxBytes: this.limits.pageBytes },
    });
    const copy = copyCaptured(copying, imports, rest).then((copied) => {
      // Writes are refused, so this is all there will ever be.
      if (typeof copied === 'object') this.learn(job, copied, true);
      return copied;
    });
    if (known === undefined || rest?.isEnd !== true) {
      const copied = await copy;
      if (copied === 'lost') return;
      if (copied === 'restart') return this.to(job, 'CATCH_UP', { attempt: job.attempt + 1 });
      return this.to(job, 'RELEASE', { lastError: '' });
    }
    // Whatever goes wrong with the copy, RELEASE makes sure of it before it releases.
    await Promise.all([this.to(job, 'RELEASE', { lastError: '' }), copy.catch(() => undefined)]);
  }

  /** Makes sure that the destination has everything, lets the source go, and opens the destination. */
  private async release(job: JobRow, tries: number): Promise<void> {
    const { id, src, dst, attempt } = job;
    const known = this.knownOf(job);
    let imports = known?.isAll === true ? known.imports.seq : undefined;
    if (imports === undefined) {
      const { span } = await this.options.spans.job(src, id);
      // It is released only when everything has arrived, and then nothing else does.
      if (span?.state === 'MOVED_OUT') imports = (await this.options.spans.job(dst, id)).imports?.seq ?? 0;
      else if (span?.state !== 'FENCED') return this.unrelease(job);
    }
    if (imports === undefined) {
      const isLate = tries > 0 && this.options.clock.nowMs() - job.updatedMs > this.limits.fenceMs;
      if (isLate) return this.unrelease(job);
      const copied = await copyCaptured(this.copying(job));
      if (copied === 'lost') return;
      if (copied === 'restart') return this.unrelease(job);
      this.learn(job, copied, true);
      imports = copied.imports.seq;
    }
    const { outcome, gcThreshold } = await this.options.spans.command(src, { kind: 'release', job: id, attempt, dst });
    if (outcome.kind === 'refused') return this.unrelease(job);
    assert(outcome.span !== undefined, 'a release answers with its span');
    const { minWriteTs: fenceTs, epoch: spanEpoch } = outcome.span;
    const notes = { gcThreshold, imports };
    const row = { lastError: '', fenceTs, spanEpoch, progress: encodeReleaseNotes(notes) };
    try {
      await this.tell(dst, { kind: 'activate', job: id, floor: fenceTs, epoch: spanEpoch, ...notes });
    } catch {
      return this.to(job, 'ACTIVATE', row);
    }
    return this.to(job, 'PUBLISH', row);
  }

  /**
   * The source has not released the range, and after this it will not for this attempt: then writers may go on there. When it
   * has, it says so, and there is only forward.
   */
  private async unrelease(job: JobRow): Promise<void> {
    await this.tell(job.src, { kind: 'unfence', job: job.id, attempt: job.attempt });
    this.knowledge.delete(job.id);
    await this.to(job, 'CATCH_UP', { attempt: job.attempt + 1, lastError: job.lastError });
  }
}
