/** What the driver of a move asks of the two groups; each question is answered by the group's leader from its own log. */
import type { JobEnd, JobId, Span, SpanCommand, SpanOutcome } from '../../distribution/index.ts';
import type { GroupId, HlcTimestamp, LogIndex } from '../../platform/index.ts';
import type { ExportedVersion } from '../../store/index.ts';

/** `release` without its timestamp: the source's leader supplies that, above every read and commit that it has served. */
export type SpanRequest =
  | Exclude<SpanCommand, { readonly kind: 'release' | 'activate' | 'captureOn' | 'fence' }>
  | (Extract<SpanCommand, { readonly kind: 'fence' }> & {
      /** Asks for what was captured from there on together with the answer: while the range is fenced every message counts. */
      readonly captured?: CaptureRequest;
    })
  | (Extract<SpanCommand, { readonly kind: 'captureOn' }> & {
      /**
       * GC threshold of the destination: whatever is captured will be above it, however far the groups' clocks are apart, because
       * the destination cannot tell versions below it apart from those that it has. Left out: not ensured.
       */
      readonly above?: HlcTimestamp;
    })
  | Omit<Extract<SpanCommand, { readonly kind: 'release' }>, 'fenceTs'>
  | (Extract<SpanCommand, { readonly kind: 'activate' }> & {
      /** GC threshold of the source: history below it is not complete, so the destination does not serve it either. */
      readonly gcThreshold: HlcTimestamp;
      /** Sequence number of the last import; the destination refuses to go on with fewer. */
      readonly imports: number;
    });

/** A span command's outcome; `gcThreshold` is the group's when it was applied. */
export interface SpanReply {
  readonly outcome: SpanOutcome;
  readonly gcThreshold: HlcTimestamp;
  /** Of a fence that is done, when it was asked for. */
  readonly captured?: CapturePage;
}

/** How far a destination has come with a job's imports. */
export interface ImportState {
  readonly attempt: number;
  /** Number of the last import that was applied, 0 for none. */
  readonly seq: number;
  /** The driver's own bookmark, stored with that import. */
  readonly bookmark: Buffer;
}

/** What a group knows of a job. */
export interface JobState {
  readonly span: Span | undefined;
  readonly end: JobEnd | undefined;
  readonly imports: ImportState | undefined;
  readonly gcThreshold: HlcTimestamp;
  /** The group's time. */
  readonly nowTs: HlcTimestamp;
  /** The largest timestamp that a range may come with which the group takes over now. */
  readonly reachTs: HlcTimestamp;
}

/** Place in a capture log. `{ index: 0, position: 0 }` is its beginning; others come from a page's `next`. */
export interface CapturePoint {
  /** Raft index of the entry. */
  readonly index: LogIndex;
  /**
   * Number of the effect within it. In the middle of a range delete the part that is done counts in steps of 2^32, so
   * this needs eight bytes where it is stored.
   */
  readonly position: number;
}

/** Which piece of a capture log is wanted. */
export interface CaptureRequest {
  readonly from: CapturePoint;
  readonly maxBytes: number;
}

/** A side row that was set, or removed when `value` is undefined. */
export interface SideChange {
  readonly key: Buffer;
  readonly name: Buffer;
  readonly value: Buffer | undefined;
}

/** A piece of the capture log of a job, in log order. */
export interface CapturePage {
  readonly versions: readonly ExportedVersion[];
  /** Side rows, in log order; may be left out when there is none. */
  readonly sides?: readonly SideChange[];
  /** Where the next page begins: behind the last effect of this one. */
  readonly next: CapturePoint;
  /** True when nothing is behind `next` as of the answer. */
  readonly isEnd: boolean;
}

/**
 * Export of the range as it was before and since the capture was armed; see `GroupStore.exportVersions`. Behind the versions come
 * the side rows, so `start` and `after` of a page mean something to the group alone.
 */
export interface BackfillRequest {
  readonly job: JobId;
  readonly start: Buffer;
  readonly after: HlcTimestamp | undefined;
  readonly maxBytes: number;
}

export interface BackfillPage {
  readonly versions: readonly ExportedVersion[];
  /** May be left out when there is none. */
  readonly sides?: readonly SideChange[];
  readonly next: { readonly start: Buffer; readonly after: HlcTimestamp | undefined } | undefined;
}

/** One import: versions in an order in which every version of a key comes after all older ones of it. */
export interface ImportRequest {
  readonly job: JobId;
  readonly attempt: number;
  /** One above the last one that was applied; a lower one does nothing, a higher one is a gap. */
  readonly seq: number;
  readonly bookmark: Buffer;
  /**
   * Bookmark of the import before, for imports that are sent before that one was answered: two drivers may cut pages differently, and a page
   * behind somebody else's would leave a hole. Left out by whoever has seen the answer.
   */
  readonly follows?: Buffer;
  readonly versions: readonly ExportedVersion[];
  /** In an order in which the last change of a row is the one that holds; may be left out when there is none. */
  readonly sides?: readonly SideChange[];
}

export type ImportOutcome =
  | { readonly kind: 'done'; readonly state: ImportState }
  | { readonly kind: 'refused'; readonly reason: 'UNKNOWN_JOB' | 'STALE_ATTEMPT' | 'IMPORT_GAP' | 'NOT_INCOMING' };

/**
 * The groups as a driver reaches them. All of it can be asked again. Fails with `LeaderUnavailableError` (nothing happened)
 * or `OutcomeUnknownError` (ask `job`, or say it again).
 */
export interface SpanClient {
  command(group: GroupId, request: SpanRequest): Promise<SpanReply>;
  job(group: GroupId, job: JobId): Promise<JobState>;
  backfill(group: GroupId, request: BackfillRequest): Promise<BackfillPage>;
  captured(group: GroupId, job: JobId, from: CapturePoint, maxBytes: number): Promise<CapturePage>;
  import(group: GroupId, request: ImportRequest): Promise<ImportOutcome>;
}

/** The same, on the group's leader: what the executor of a group offers. */
export interface SpanExecutor {
  command(request: SpanRequest): Promise<SpanReply>;
  job(job: JobId): Promise<JobState>;
  backfill(request: BackfillRequest): Promise<BackfillPage>;
  captured(job: JobId, from: CapturePoint, maxBytes: number): Promise<CapturePage>;
  import(request: ImportRequest): Promise<ImportOutcome>;
}
