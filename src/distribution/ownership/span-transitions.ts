/**
 * What each command of a group's log does to its table of spans. Every command can arrive twice, late, or from a driver that
 * was replaced long ago: a repetition is `done` without a change, anything that would undo a later step is refused.
 *
 * A job has at most one span in a table. A job that is over in a group stays known there, so that its late
 * commands find a closed door instead of beginning again.
 */
import { assertNever } from '../../platform/index.ts';
import type { JobId } from '../contract/index.ts';
import { type ClosedJobs, endsBefore, type JobEnd, MAX_CLOSED_JOBS, MAX_SPANS, SpanTable } from './span-table.ts';
import type { Span, SpanCommand, SpanOutcome, SpanRefusal } from './span-types.ts';

/** A command's outcome, and the table after it: the same object when nothing changed. */
export interface SpanStep {
  readonly table: SpanTable;
  readonly outcome: SpanOutcome;
}

type Of<Kind extends SpanCommand['kind']> = Extract<SpanCommand, { readonly kind: Kind }>;
type Range = { readonly start: Buffer; readonly end: Buffer | undefined };

/** Applies a command. Pure; the given table stays as it is. */
export function applySpanCommand(table: SpanTable, command: SpanCommand): SpanStep {
  switch (command.kind) {
    case 'assign':
      return assign(table, command);
    case 'incoming':
      return incoming(table, command);
    case 'captureOn':
      return captureOn(table, command);
    case 'captureOff':
      return captureOff(table, command);
    case 'fence':
      return fence(table, command);
    case 'unfence':
      return unfence(table, command);
    case 'release':
      return release(table, command);
    case 'activate':
      return activate(table, command);
    case 'drop':
      return drop(table, command);
    case 'purge':
      return purge(table, command);
    case 'forget':
      return forget(table, command);
    default:
      return assertNever(command);
  }
}

const refuse = (table: SpanTable, reason: SpanRefusal): SpanStep => ({ table, outcome: { kind: 'refused', reason } });
const repeat = (table: SpanTable, span: Span | undefined): SpanStep => ({
  table,
  outcome: { kind: 'done', isChanged: false, span },
});

function changed(spans: readonly Span[], closed: ClosedJobs, span: Span | undefined): SpanStep {
  return { table: new SpanTable(spans, closed), outcome: { kind: 'done', isChanged: true, span } };
}

const isEmptyRange = ({ start, end }: Range): boolean => end !== undefined && Buffer.compare(start, end) >= 0;
const overlaps = (span: Range, range: Range): boolean =>
  !isAtOrAfter(span.start, range.end) && !isAtOrAfter(range.start, span.end);
const isAtOrAfter = (key: Buffer, end: Buffer | undefined): boolean =>
  end !== undefined && Buffer.compare(key, end) >= 0;

/** What overlaps a range, uncut. */
const touching = (table: SpanTable, range: Range): Span[] => table.spans.filter((span) => overlaps(span, range));

/** The spans with `inserted` in place of everything in its range; pieces that stick out stay. */
function overlay(spans: readonly Span[], inserted: Span): Span[] {
  const result: Span[] = [];
  for (const span of spans) {
    if (!overlaps(span, inserted)) {
      result.push(span);
      continue;
    }
    if (Buffer.compare(span.start, inserted.start) < 0) result.push({ ...span, end: inserted.start });
    if (endsBefore(inserted.end, span.end)) result.push({ ...span, start: inserted.end! });
  }
  result.push(inserted);
  return result.sort((a, b) => Buffer.compare(a.start, b.start));
}

const replace = (spans: readonly Span[], old: Span, next: Span): Span[] =>
  spans.map((span) => (span === old ? next : span));

/** Joins neighbours that differ in nothing, so that moves there and back leave no crumbs. */
function joinNeighbours(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans) {
    const last = result.at(-1);
    const isSame =
      last?.end?.equals(span.start) === true &&
      last.state === 'ACTIVE' &&
      span.state === 'ACTIVE' &&
      last.job === 0 &&
      span.job === 0 &&
      last.epoch === span.epoch &&
      last.minWriteTs === span.minWriteTs;
    if (isSame) result[result.length - 1] = { ...last, end: span.end };
    else result.push(span);
  }
  return result;
}

/** The closed jobs with one more; the lowest numbers are remembered as a floor. */
function close(closed: ClosedJobs, job: JobId, end: JobEnd): ClosedJobs {
  const ends = [...closed.ends.filter((ended) => ended.job !== job), { job, end }].sort((a, b) => a.job - b.job);
  const excess = ends.length - MAX_CLOSED_JOBS;
  return excess <= 0 ? { floor: closed.floor, ends } : { floor: ends[excess - 1]!.job, ends: ends.slice(excess) };
}

function assign(table: SpanTable, command: Of<'assign'>): SpanStep {
  const { start, end, epoch } = command;
  if (isEmptyRange(command)) return refuse(table, 'INVALID_RANGE');
  const found = touching(table, command);
  const same = found.find(
    (span) => span.start.equals(start) && !endsBefore(span.end, end) && !endsBefore(end, span.end),
  );
  if (same?.state === 'ACTIVE' && same.epoch === epoch) return repeat(table, same);
  if (found.length > 0) return refuse(table, 'OWNED');
  if (table.spans.length >= MAX_SPANS) return refuse(table, 'TOO_MANY_SPANS');
  const span: Span = { ...freshSpan(start, end, epoch), state: 'ACTIVE' };
  return changed(overlay(table.spans, span), table.closed, span);
}

const freshSpan = (start: Buffer, end: Buffer | undefined, epoch: number): Omit<Span, 'state'> => ({
  start: Buffer.from(start),
  end: end === undefined ? undefined : Buffer.from(end),
  epoch,
  minWriteTs: 0n as Span['minWriteTs'],
  job: 0,
  attempt: 0,
  dst: undefined,
  isPurged: false,
});

function incoming(table: SpanTable, command: Of<'incoming'>): SpanStep {
  const { job, attempt, start, end } = command;
  if (isEmptyRange(command)) return refuse(table, 'INVALID_RANGE');
  const own = table.spanOf(job);
  if (own !== undefined) {
    if (own.state !== 'INCOMING') return refuse(table, 'BUSY');
    if (attempt < own.attempt) return refuse(table, 'STALE_ATTEMPT');
    if (attempt === own.attempt) return repeat(table, own);
    const again = { ...own, attempt };
    return changed(replace(table.spans, own, again), table.closed, again);
  }
  if (table.isClosed(job)) return refuse(table, 'JOB_CLOSED');
  const found = touching(table, command);
  if (found.some((span) => span.state === 'ACTIVE' || span.state === 'FENCED')) return refuse(table, 'OWNED');
  // A forwarding pointer gives way; data that is still to be purged, or read by a pin, does not.
  if (found.some((span) => span.state === 'INCOMING' || !span.isPurged)) return refuse(table, 'BUSY');
  if (table.spans.length + 2 > MAX_SPANS) return refuse(table, 'TOO_MANY_SPANS');
  const span: Span = { ...freshSpan(start, end, 0), state: 'INCOMING', job, attempt };
  return changed(overlay(table.spans, span), table.closed, span);
}

function captureOn(table: SpanTable, command: Of<'captureOn'>): SpanStep {
  const { job, start, end } = command;
  if (isEmptyRange(command)) return refuse(table, 'INVALID_RANGE');
  const own = table.spanOf(job);
  if (own !== undefined) return own.state === 'INCOMING' ? refuse(table, 'BUSY') : repeat(table, own);
  if (table.isClosed(job)) return refuse(table, 'JOB_CLOSED');
  const found = touching(table, command);
  if (found.some((span) => span.state !== 'MOVED_OUT' && span.job !== 0)) return refuse(table, 'BUSY');
  if (table.intersect(start, end, 'write').rest !== undefined) return refuse(table, 'NOT_OWNED');
  if (table.spans.length + 2 > MAX_SPANS) return refuse(table, 'TOO_MANY_SPANS');
  // One span for the job: the strictest of what it is made from.
  let { epoch, minWriteTs } = found[0]!;
  for (const span of found) {
    epoch = Math.max(epoch, span.epoch);
    if (span.minWriteTs > minWriteTs) minWriteTs = span.minWriteTs;
  }
  const span: Span = { ...freshSpan(start, end, epoch), minWriteTs, state: 'ACTIVE', job };
  return changed(overlay(table.spans, span), table.closed, span);
}

function captureOff(table: SpanTable, { job }: Of<'captureOff'>): SpanStep {
  const own = table.spanOf(job);
  if (own === undefined) return closeOnly(table, job);
  if (own.state === 'INCOMING') return refuse(table, 'BUSY');
  if (own.state === 'FENCED') return refuse(table, 'FENCED');
  if (own.state === 'MOVED_OUT') return refuse(table, 'RELEASED');
  const free: Span = { ...own, job: 0, attempt: 0 };
  const spans = joinNeighbours(replace(table.spans, own, free));
  return changed(spans, close(table.closed, job, 'aborted'), free);
}

/** Undoing what never began here still shuts the door: the beginning may be on its way. */
function closeOnly(table: SpanTable, job: JobId): SpanStep {
  const end = table.endOf(job);
  if (end === 'activated') return refuse(table, 'ACTIVATED');
  if (end === 'released') return refuse(table, 'RELEASED');
  if (table.isClosed(job)) return repeat(table, undefined);
  return changed(table.spans, close(table.closed, job, 'aborted'), undefined);
}

/** The source's span of a job, or why there is none. */
function sourceSpan(table: SpanTable, job: JobId): Span | SpanRefusal {
  const own = table.spanOf(job);
  if (own === undefined) return table.isClosed(job) ? 'JOB_CLOSED' : 'UNKNOWN_JOB';
  return own.state === 'INCOMING' ? 'BUSY' : own;
}

function fence(table: SpanTable, { job, attempt }: Of<'fence'>): SpanStep {
  const own = sourceSpan(table, job);
  if (typeof own === 'string') return refuse(table, own);
  if (own.state === 'MOVED_OUT') return attempt === own.attempt ? repeat(table, own) : refuse(table, 'RELEASED');
  if (attempt < own.attempt) return refuse(table, 'STALE_ATTEMPT');
  if (attempt === own.attempt) return own.state === 'FENCED' ? repeat(table, own) : refuse(table, 'STALE_ATTEMPT');
  const fenced: Span = { ...own, state: 'FENCED', attempt };
  return changed(replace(table.spans, own, fenced), table.closed, fenced);
}

function unfence(table: SpanTable, { job, attempt }: Of<'unfence'>): SpanStep {
  const own = sourceSpan(table, job);
  // Before the capture there is nothing to lift; `captureOff` shuts the door.
  if (own === 'UNKNOWN_JOB' || (own === 'JOB_CLOSED' && table.endOf(job) !== 'released'))
    return repeat(table, undefined);
  if (typeof own === 'string') return refuse(table, own);
  if (own.state === 'MOVED_OUT') return refuse(table, 'RELEASED');
  const isNewerFence = own.state === 'FENCED' && own.attempt > attempt;
  if (isNewerFence || (own.state === 'ACTIVE' && own.attempt >= attempt)) return repeat(table, own);
  const lifted: Span = { ...own, state: 'ACTIVE', attempt };
  return changed(replace(table.spans, own, lifted), table.closed, lifted);
}

function release(table: SpanTable, { job, attempt, dst, fenceTs }: Of<'release'>): SpanStep {
  const own = sourceSpan(table, job);
  if (typeof own === 'string') return refuse(table, own);
  // The first release decides the timestamp; its repetition, maybe by another leader, gets that answer.
  if (own.state === 'MOVED_OUT') return own.attempt === attempt ? repeat(table, own) : refuse(table, 'RELEASED');
  if (own.state !== 'FENCED') return refuse(table, 'NOT_FENCED');
  if (own.attempt !== attempt) return refuse(table, 'STALE_ATTEMPT');
  if (fenceTs < own.minWriteTs) return refuse(table, 'BAD_FLOOR');
  const moved: Span = { ...own, state: 'MOVED_OUT', epoch: own.epoch + 1, minWriteTs: fenceTs, dst, isPurged: false };
  return changed(replace(table.spans, own, moved), table.closed, moved);
}

function activate(table: SpanTable, { job, floor, epoch }: Of<'activate'>): SpanStep {
  const own = table.spanOf(job);
  if (own === undefined) {
    if (table.endOf(job) === 'activated') return repeat(table, undefined);
    return refuse(table, table.isClosed(job) ? 'JOB_CLOSED' : 'UNKNOWN_JOB');
  }
  if (own.state !== 'INCOMING') return refuse(table, 'BUSY');
  if (epoch < 1 || floor < own.minWriteTs) return refuse(table, 'BAD_FLOOR');
  const active: Span = { ...own, state: 'ACTIVE', epoch, minWriteTs: floor, job: 0, attempt: 0 };
  const spans = joinNeighbours(replace(table.spans, own, active));
  return changed(spans, close(table.closed, job, 'activated'), active);
}

function drop(table: SpanTable, { job }: Of<'drop'>): SpanStep {
  const own = table.spanOf(job);
  if (own === undefined) return closeOnly(table, job);
  if (own.state !== 'INCOMING') return refuse(table, 'BUSY');
  const spans = table.spans.filter((span) => span !== own);
  return changed(spans, close(table.closed, job, 'aborted'), own);
}

function purge(table: SpanTable, { job }: Of<'purge'>): SpanStep {
  const own = sourceSpan(table, job);
  if (own === 'JOB_CLOSED' && table.endOf(job) === 'released') return repeat(table, undefined);
  if (typeof own === 'string') return refuse(table, own);
  if (own.state !== 'MOVED_OUT') return refuse(table, 'NOT_OWNED');
  if (own.isPurged) return repeat(table, own);
  const purged: Span = { ...own, isPurged: true };
  return changed(replace(table.spans, own, purged), close(table.closed, job, 'released'), purged);
}

function forget(table: SpanTable, { job }: Of<'forget'>): SpanStep {
  const own = table.spanOf(job);
  if (own === undefined) return repeat(table, undefined);
  if (own.state !== 'MOVED_OUT' || !own.isPurged) return refuse(table, 'NOT_PURGED');
  // A later move may have taken a part of the forwarding pointer away and left two pieces.
  return changed(
    table.spans.filter((span) => span.job !== job),
    table.closed,
    own,
  );
}
