/**
 * A group's own table of ranges and their states, which apply and leaders ask whether a key is theirs.
 */

export { decodeSpanCommand, decodeSpanTable, encodeSpanCommand, encodeSpanTable } from './span-codec.ts';
export { JOB_ENDS, type JobEnd, SpanTable } from './span-table.ts';
export { applySpanCommand } from './span-transitions.ts';
export type { Access, Span, SpanCommand, SpanOutcome, SpanRefusal, SpanVerdict } from './span-types.ts';
