/** The words of a group's own table of spans. */
import type { GroupId, HlcTimestamp } from '../../platform/index.ts';
import type { JobId } from '../contract/index.ts';

/**
 * - `ACTIVE`: the group serves reads and writes.
 * - `FENCED`: it serves reads; a move is about to release the range.
 * - `INCOMING`: a move copies the range to here; nothing is served.
 * - `MOVED_OUT`: the group served it once and knows who does now.
 */
export const SPAN_STATES = ['ACTIVE', 'FENCED', 'INCOMING', 'MOVED_OUT'] as const;
export type SpanState = (typeof SPAN_STATES)[number];

/** An interval of keys and what the group is to it. Spans of a table never overlap; keys of no span are not the group's. */
export interface Span {
  readonly start: Buffer;
  /** Exclusive; undefined is the end of the key space. */
  readonly end: Buffer | undefined;
  readonly state: SpanState;
  /** Grows with every change of owner, across groups. */
  readonly epoch: number;
  /** Commits must be above this. */
  readonly minWriteTs: HlcTimestamp;
  /** The move that has the span, else 0. A MOVED_OUT span keeps the one that took it away. */
  readonly job: JobId;
  /** Of the source: number of the last fence, also after it was lifted. Of the destination: of the last import. */
  readonly attempt: number;
  /** Where a MOVED_OUT span went. */
  readonly dst: GroupId | undefined;
  /** The data of a MOVED_OUT span is deleted; only the forwarding pointer is left. */
  readonly isPurged: boolean;
}

/** What the log of a group says about its spans. */
export type SpanCommand =
  /** The group begins its life with a range. */
  | { readonly kind: 'assign'; readonly start: Buffer; readonly end: Buffer | undefined; readonly epoch: number }
  /** Destination: get ready for imports of the range; a higher attempt begins again with an empty range. */
  | {
      readonly kind: 'incoming';
      readonly job: JobId;
      readonly attempt: number;
      readonly start: Buffer;
      readonly end: Buffer | undefined;
    }
  /** Source: from this entry on, capture every effect on the range. */
  | { readonly kind: 'captureOn'; readonly job: JobId; readonly start: Buffer; readonly end: Buffer | undefined }
  /** Source, undo: capture no more; the job is over here. */
  | { readonly kind: 'captureOff'; readonly job: JobId }
  /** Source: refuse writes. */
  | { readonly kind: 'fence'; readonly job: JobId; readonly attempt: number }
  /** Source, undo: accept writes again; fences up to this attempt never come back. */
  | { readonly kind: 'unfence'; readonly job: JobId; readonly attempt: number }
  /** Source: serve nothing any more. `fenceTs` is above every read that was served and every commit. */
  | {
      readonly kind: 'release';
      readonly job: JobId;
      readonly attempt: number;
      readonly dst: GroupId;
      readonly fenceTs: HlcTimestamp;
    }
  /** Destination, only after the source released: serve. `floor` is at least the release's `fenceTs`, `epoch` its answer. */
  | { readonly kind: 'activate'; readonly job: JobId; readonly floor: HlcTimestamp; readonly epoch: number }
  /** Destination, undo: forget the import; the job is over here. */
  | { readonly kind: 'drop'; readonly job: JobId }
  /** Source: delete the data of a released span, keep the forwarding pointer. */
  | { readonly kind: 'purge'; readonly job: JobId }
  /** Source, a day later: remove the forwarding pointer. */
  | { readonly kind: 'forget'; readonly job: JobId };

/** Why a command changes nothing: the same on every replica. */
export type SpanRefusal =
  /** The range is not wholly the group's own and free of jobs. */
  | 'NOT_OWNED'
  /** A part of the range is the group's own. */
  | 'OWNED'
  /** Another job has a part of the range, or its data is still to be purged. */
  | 'BUSY'
  /** The job is over here, or never began. */
  | 'JOB_CLOSED'
  | 'UNKNOWN_JOB'
  /** The command belongs to an attempt that was given up. */
  | 'STALE_ATTEMPT'
  | 'NOT_FENCED'
  | 'FENCED'
  | 'RELEASED'
  | 'ACTIVATED'
  | 'NOT_PURGED'
  /** The destination's floor or epoch does not follow the source's. */
  | 'BAD_FLOOR'
  /** The destination has not taken as many imports as the source has sent. */
  | 'IMPORT_GAP'
  | 'INVALID_RANGE'
  | 'TOO_MANY_SPANS';

/** What became of a command. */
export type SpanOutcome =
  | {
      readonly kind: 'done';
      /** False when the command had been applied before. */
      readonly isChanged: boolean;
      /** The job's span after the command; after `activate`, `captureOff` and `drop` the range that the job let go. */
      readonly span: Span | undefined;
    }
  | { readonly kind: 'refused'; readonly reason: SpanRefusal };

/** May the group serve a key? The owner answers; others say where to go or how to wait. */
export type SpanVerdict =
  | { readonly kind: 'owned'; readonly span: Span }
  /** Writes wait: SPAN_FENCED. */
  | { readonly kind: 'fenced'; readonly span: Span }
  /** Everything waits: SPAN_INCOMING. */
  | { readonly kind: 'incoming'; readonly span: Span }
  /** Go elsewhere: NOT_OWNER, with the group that took the range over if this one knows. */
  | { readonly kind: 'notOwner'; readonly hint: GroupId | undefined; readonly epoch: number };

export type Access = 'read' | 'write';
