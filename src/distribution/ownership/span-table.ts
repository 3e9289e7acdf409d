/**
 * Which keys a group owns, in its own replicated state. This is the authority: the directory only says where to ask. Commands
 * come from the group's log and are decided from the table alone, so every replica decides alike.
 *
 * Immutable: `applySpanCommand` gives the next table, and a reader holds on to the one that it began with.
 */
import { assert, type GroupId } from '../../platform/index.ts';
import type { JobId } from '../contract/index.ts';
import type { Access, Span, SpanVerdict } from './span-types.ts';

/** Most spans of a group; a move that would make more is refused. */
export const MAX_SPANS = 65_536;
/** Finished jobs that a table remembers one by one; older ones count as finished by their number alone. */
export const MAX_CLOSED_JOBS = 1_024;

/** How a job ended in a group. */
export const JOB_ENDS = ['aborted', 'activated', 'released'] as const;
export type JobEnd = (typeof JOB_ENDS)[number];

/** Jobs that are over here, so that their late commands change nothing. */
export interface ClosedJobs {
  /** Jobs up to this number are over unless they have a span. */
  readonly floor: JobId;
  /** Ascending. */
  readonly ends: readonly { readonly job: JobId; readonly end: JobEnd }[];
}

const STRANGER: SpanVerdict = { kind: 'notOwner', hint: undefined, epoch: 0 };

/** Keys that a scan may be served from, and what is to be asked elsewhere. */
export interface SpanIntersection {
  /** The scan may be served from its start up to here (undefined: the end of the key space). */
  readonly ownedEnd: Buffer | undefined;
  /** The part from `ownedEnd` on and the verdict about its first key; undefined when the whole range is owned. */
  readonly rest:
    | { readonly start: Buffer; readonly end: Buffer | undefined; readonly verdict: SpanVerdict }
    | undefined;
}

/** True when exclusive end `left` is below exclusive end `right`. */
export const endsBefore = (left: Buffer | undefined, right: Buffer | undefined): boolean =>
  left !== undefined && (right === undefined || Buffer.compare(left, right) < 0);

const verdictOf = (span: Span, access: Access): SpanVerdict => {
  switch (span.state) {
    case 'ACTIVE':
      return { kind: 'owned', span };
    case 'FENCED':
      return { kind: access === 'read' ? 'owned' : 'fenced', span };
    case 'INCOMING':
      return { kind: 'incoming', span };
    case 'MOVED_OUT':
      return { kind: 'notOwner', hint: span.dst, epoch: span.epoch };
  }
};

/** See the top of the file. */
export class SpanTable {
  /** Ascending, without overlap. */
  readonly spans: readonly Span[];
  readonly closed: ClosedJobs;
  // The answers are made once, so that asking allocates nothing.
  private readonly reads: readonly SpanVerdict[];
  private readonly writes: readonly SpanVerdict[];

  /** @param spans ascending, not empty, without overlap: asserted */
  constructor(spans: readonly Span[], closed: ClosedJobs) {
    for (const [at, span] of spans.entries()) {
      const next = spans[at + 1];
      assert(span.end === undefined || Buffer.compare(span.start, span.end) < 0, 'a span holds a key');
      assert(
        next === undefined || (span.end !== undefined && Buffer.compare(span.end, next.start) <= 0),
        'spans overlap',
      );
    }
    this.spans = spans;
    this.closed = closed;
    this.reads = spans.map((span) => verdictOf(span, 'read'));
    this.writes = spans.map((span) => verdictOf(span, 'write'));
  }

  /** The table of a group that owns nothing. */
  static readonly empty: SpanTable = new SpanTable([], { floor: 0, ends: [] });

  /** Index of the span that holds `key`, or -1; O(log n). */
  private find(key: Buffer): number {
    const spans = this.spans;
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(spans[middle]!.start, key) <= 0) low = middle + 1;
      else high = middle;
    }
    const end = low === 0 ? key : spans[low - 1]!.end;
    return end === undefined || Buffer.compare(key, end) < 0 ? low - 1 : -1;
  }

  /** May this group serve `key`? O(log n), no allocation. The answer holds until the next command. */
  check(key: Buffer, access: Access): SpanVerdict {
    const at = this.find(key);
    if (at < 0) return STRANGER;
    return access === 'read' ? this.reads[at]! : this.writes[at]!;
  }

  /** How far a scan (or a range write) of `[start, end)` may be served here, and where the rest is. */
  intersect(start: Buffer, end: Buffer | undefined, access: Access): SpanIntersection {
    const verdicts = access === 'read' ? this.reads : this.writes;
    let from: Buffer = start;
    let at = this.find(start);
    while (at >= 0 && verdicts[at]?.kind === 'owned') {
      const span = this.spans[at]!;
      if (!endsBefore(span.end, end)) return { ownedEnd: end, rest: undefined };
      from = span.end!;
      at = this.spans[at + 1]?.start.equals(from) === true ? at + 1 : -1;
    }
    const verdict = at < 0 ? STRANGER : verdicts[at]!;
    return { ownedEnd: from, rest: { start: from, end, verdict } };
  }

  /** Effects on `key` are to be captured for this job; 0 when for none. */
  capturingJob(key: Buffer): JobId {
    const at = this.find(key);
    const span = at < 0 ? undefined : this.spans[at]!;
    return span !== undefined && (span.state === 'ACTIVE' || span.state === 'FENCED') ? span.job : 0;
  }

  /** The span that a job has here. */
  spanOf(job: JobId): Span | undefined {
    return this.spans.find((span) => span.job === job);
  }

  /** How a job ended here; undefined when it is not known to be over. */
  endOf(job: JobId): JobEnd | undefined {
    return this.closed.ends.find((ended) => ended.job === job)?.end;
  }

  /** True when commands of the job come too late. */
  isClosed(job: JobId): boolean {
    return this.endOf(job) !== undefined || (job <= this.closed.floor && this.spanOf(job) === undefined);
  }

  /** Groups that this one has sent ranges to and still points at. */
  successors(): GroupId[] {
    return [...new Set(this.spans.flatMap((span) => (span.dst === undefined ? [] : [span.dst])))].sort((a, b) => a - b);
  }
}
