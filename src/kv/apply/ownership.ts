/** Questions to a span table that apply and the leader's view ask alike. */
import type { Access, Span, SpanTable, SpanVerdict } from '../../distribution/index.ts';
import type { HlcTimestamp } from '../../platform/index.ts';
import { NotOwnerError, RangeBusyError } from '../contract/index.ts';
import { ABSENT, isLocalKey, touchesLocal } from '../entry/index.ts';

/** The span that lets the group serve `key`; undefined when it may not. O(log n), allocates nothing. */
export function ownerOf(table: SpanTable, key: Buffer, access: Access): Span | undefined {
  const verdict = table.check(key, access);
  return verdict.kind === 'owned' && !isLocalKey(key) ? verdict.span : undefined;
}

/**
 * The largest `minWriteTs` of `[start, end)`; undefined when the group may not write all of it. An empty range is anybody's.
 */
export function rangeFloor(table: SpanTable, start: Buffer, end: Buffer): HlcTimestamp | undefined {
  if (Buffer.compare(start, end) >= 0) return ABSENT;
  if (touchesLocal(start, end) || table.intersect(start, end, 'write').rest !== undefined) return undefined;
  let floor = ABSENT;
  for (const span of overlapping(table, start, end)) if (span.minWriteTs > floor) floor = span.minWriteTs;
  return floor;
}

/** Spans with a key in `[start, end)`, in order. */
export function overlapping(table: SpanTable, start: Buffer, end: Buffer | undefined): Span[] {
  return table.spans.filter(
    (span) =>
      (end === undefined || Buffer.compare(span.start, end) < 0) &&
      (span.end === undefined || Buffer.compare(start, span.end) < 0),
  );
}

/** True while a move copies from the span: what is written to it has to be captured. */
export const isCapturing = (span: Span): boolean =>
  span.job !== 0 && (span.state === 'ACTIVE' || span.state === 'FENCED');

/** What somebody is told whose key the group does not serve, by the group's verdict about the key. */
export function refusalOf(verdict: SpanVerdict): NotOwnerError | RangeBusyError {
  switch (verdict.kind) {
    case 'fenced':
      return new RangeBusyError('the range is about to move; try again in a moment');
    case 'incoming':
      return new RangeBusyError('the range is on its way to this group; try again in a moment');
    case 'notOwner':
      return new NotOwnerError(verdict.hint);
    case 'owned':
      // The table would serve the key, so the key itself is none that commands may see.
      return new NotOwnerError(undefined);
  }
}
