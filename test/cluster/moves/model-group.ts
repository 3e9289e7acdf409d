/** A group as a driver sees it, in a few lines: its span table, whole histories, a capture log per job, and imports. */

import type { JobId } from '../../../src/distribution/contract/types.ts';
import { SpanTable } from '../../../src/distribution/ownership/span-table.ts';
import { applySpanCommand } from '../../../src/distribution/ownership/span-transitions.ts';
import type { Span, SpanCommand, SpanOutcome } from '../../../src/distribution/ownership/span-types.ts';
import { NotOwnerError } from '../../../src/kv/contract/errors.ts';
import type {
  BackfillPage,
  BackfillRequest,
  CapturePage,
  CapturePoint,
  ImportOutcome,
  ImportRequest,
  ImportState,
  JobState,
  SpanExecutor,
  SpanReply,
  SpanRequest,
} from '../../../src/kv/contract/range-transfer.ts';
import { END_OF_TIME, type HlcTimestamp, hlcTimestamp, NEVER } from '../../../src/platform/index.ts';
import type { ExportedVersion } from '../../../src/store/contract/types.ts';

const isIn = (key: Buffer, { start, end }: Pick<Span, 'start' | 'end'>): boolean =>
  Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0);

/** Timestamps of a whole model cluster. */
export class ModelClock {
  private last = 1n;

  next(): HlcTimestamp {
    return hlcTimestamp(this.last++);
  }
}

/** See the head of the file. */
export class ModelGroup implements SpanExecutor {
  table: SpanTable = SpanTable.empty;
  /** Histories by key, oldest first. */
  readonly histories = new Map<string, ExportedVersion[]>();
  private readonly captured_ = new Map<JobId, ExportedVersion[]>();
  private readonly imports = new Map<JobId, ImportState>();
  private readonly clock: ModelClock;
  /** See `JobState`. */
  nowTs: HlcTimestamp = NEVER;
  reachTs: HlcTimestamp = END_OF_TIME;

  constructor(clock: ModelClock) {
    this.clock = clock;
  }

  apply(command: SpanCommand): SpanOutcome {
    const before = command.kind === 'assign' ? undefined : this.table.spanOf(command.job);
    const { table, outcome } = applySpanCommand(this.table, command);
    this.table = table;
    if (outcome.kind === 'done' && outcome.isChanged) this.changed(command, outcome.span ?? before);
    return outcome;
  }

  private changed(command: SpanCommand, span: Span | undefined): void {
    switch (command.kind) {
      case 'incoming':
        this.forget(span!);
        this.imports.set(command.job, { attempt: command.attempt, seq: 0, bookmark: Buffer.alloc(0) });
        break;
      case 'captureOn':
        this.captured_.set(command.job, []);
        break;
      case 'purge':
      case 'drop':
        if (span !== undefined) this.forget(span);
        this.imports.delete(command.job);
        this.captured_.delete(command.job);
        break;
      case 'captureOff':
        this.captured_.delete(command.job);
        break;
    }
  }

  private forget(span: Span): void {
    for (const key of [...this.histories.keys()])
      if (isIn(Buffer.from(key, 'latin1'), span)) this.histories.delete(key);
  }

  /** A client's write. @returns its timestamp; undefined when it was refused */
  write(key: Buffer, value: Buffer | undefined): HlcTimestamp | undefined {
    if (this.table.check(key, 'write').kind !== 'owned') return undefined;
    const commitTs = this.clock.next();
    const version: ExportedVersion = { key, commitTs, expireTs: NEVER, value };
    this.put(version);
    const job = this.table.capturingJob(key);
    if (job !== 0) this.captured_.get(job)!.push(version);
    return commitTs;
  }

  private put(version: ExportedVersion): void {
    const name = version.key.toString('latin1');
    const history = this.histories.get(name) ?? [];
    if (version.commitTs <= (history.at(-1)?.commitTs ?? NEVER)) return;
    history.push(version);
    this.histories.set(name, history);
  }

  async command(request: SpanRequest): Promise<SpanReply> {
    if (request.kind === 'release') {
      return { outcome: this.apply({ ...request, fenceTs: this.clock.next() }), gcThreshold: NEVER };
    }
    const isShort =
      request.kind === 'activate' &&
      this.table.spanOf(request.job)?.state === 'INCOMING' &&
      this.imports.get(request.job)?.seq !== request.imports;
    const outcome: SpanOutcome = isShort ? { kind: 'refused', reason: 'IMPORT_GAP' } : this.apply(request);
    const reply = { outcome, gcThreshold: NEVER };
    const isFenced = request.kind === 'fence' && outcome.kind === 'done' && outcome.span?.state === 'FENCED';
    if (!isFenced || request.captured === undefined) return reply;
    return { ...reply, captured: await this.captured(request.job, request.captured.from, request.captured.maxBytes) };
  }

  async job(job: JobId): Promise<JobState> {
    const { table } = this;
    return {
      span: table.spanOf(job),
      end: table.endOf(job),
      imports: this.imports.get(job),
      gcThreshold: NEVER,
      nowTs: this.nowTs,
      reachTs: this.reachTs,
    };
  }

  async backfill({ job, start, after, maxBytes }: BackfillRequest): Promise<BackfillPage> {
    const span = this.table.spanOf(job)!;
    const versions: ExportedVersion[] = [];
    const from = { start, end: span.end };
    const names = [...this.histories.keys()].filter((key) => isIn(Buffer.from(key, 'latin1'), from)).sort();
    for (const name of names) {
      for (const version of this.histories.get(name)!) {
        if (version.key.equals(start) && after !== undefined && version.commitTs <= after) continue;
        const last = versions.at(-1);
        // A page is that many versions here.
        if (last !== undefined && versions.length >= maxBytes) {
          const isSame = last.key.equals(version.key);
          return { versions, next: { start: version.key, after: isSame ? last.commitTs : undefined } };
        }
        versions.push(version);
      }
    }
    return { versions, next: undefined };
  }

  async captured(job: JobId, from: CapturePoint, maxBytes: number): Promise<CapturePage> {
    const state = this.table.spanOf(job)?.state;
    if (state !== 'ACTIVE' && state !== 'FENCED') throw new NotOwnerError(undefined);
    const log = this.captured_.get(job)!;
    const versions = log.slice(from.index, from.index + maxBytes);
    const index = from.index + versions.length;
    return { versions, next: { index, position: 0 }, isEnd: index === log.length };
  }

  async import({ job, attempt, seq, bookmark, follows, versions }: ImportRequest): Promise<ImportOutcome> {
    const span = this.table.spanOf(job);
    const state = this.imports.get(job);
    if (span === undefined || state === undefined) return { kind: 'refused', reason: 'UNKNOWN_JOB' };
    if (span.state !== 'INCOMING') return { kind: 'refused', reason: 'NOT_INCOMING' };
    if (attempt !== state.attempt) return { kind: 'refused', reason: 'STALE_ATTEMPT' };
    if (seq > state.seq + 1) return { kind: 'refused', reason: 'IMPORT_GAP' };
    if (seq <= state.seq) return { kind: 'done', state };
    if (follows?.equals(state.bookmark) === false) return { kind: 'refused', reason: 'IMPORT_GAP' };
    for (const version of versions) this.put(version);
    const next = { attempt, seq, bookmark };
    this.imports.set(job, next);
    return { kind: 'done', state: next };
  }
}
