/** What was counted of commands and of the server: plain numbers, for whoever shows them. */
import { BucketCounts, type Millis } from '../../../platform/index.ts';
import { LatencyHistogram } from '../telemetry/index.ts';

/** Counters of one command; a subcommand has its own. */
export class CommandCounters {
  /** Replies that were written, or kept back because the client wants none. */
  get calls(): number {
    return this.latencyMs.total;
  }

  /** Of them errors. */
  errors = 0;
  /** Calls that were refused before they began: they are no calls. */
  rejected = 0;
  /** What evaluations have taken on this node, whosever clients have called. Nobody waits in it. */
  executedMs: Millis = 0;
  /** From the reading of the command to the writing of its reply, milliseconds; a pipeline waits for the slowest before it. */
  latencyMs = new BucketCounts();
  /** The same, finer, for INFO and LATENCY HISTOGRAM; undefined before the first call that is tracked. */
  histogram: LatencyHistogram | undefined;
  /** CONFIG SET latency-tracking. */
  isTracking = true;

  /** Books a call. */
  observe(tookMs: Millis): void {
    this.latencyMs.observe(tookMs);
    if (!this.isTracking) return;
    this.histogram ??= new LatencyHistogram();
    this.histogram.observe(tookMs);
  }

  /** Begins anew. */
  reset(): void {
    this.errors = 0;
    this.rejected = 0;
    this.latencyMs = new BucketCounts();
    this.executedMs = 0;
    this.histogram = undefined;
  }
}

/** Kinds of errors that are counted apart; clients can make up as many as they like. */
const MAX_ERROR_KINDS = 128;

/** Counters whose rates INFO shows. */
export type RatedCounter = 'commandsProcessed' | 'inputBytes' | 'outputBytes';

/** Counters behind INFO; CONFIG RESETSTAT sets them to zero. */
export class ServerStats {
  connectionsReceived = 0;
  connectionsRejected = 0;
  commandsProcessed = 0;
  inputBytes = 0;
  outputBytes = 0;
  /** Times that bytes came in, and went out. */
  reads = 0;
  writes = 0;
  errorReplies = 0;
  /** Errors that no layer declares. */
  unexpectedErrors = 0;
  forwardedRequests = 0;
  /** What had expired on this node when counting began. */
  expiredKeysBefore = 0;
  /** Error replies by their first word. */
  readonly errorsByPrefix = new Map<string, number>();

  /** Counts an error reply. @param text as it stands on the wire, without the leading `-` */
  countError(text: string): void {
    this.errorReplies++;
    const prefix = /^[^ \r\n]*/.exec(text)![0].slice(0, 64);
    const count = this.errorsByPrefix.get(prefix);
    if (count === undefined && this.errorsByPrefix.size >= MAX_ERROR_KINDS) return;
    this.errorsByPrefix.set(prefix, (count ?? 0) + 1);
  }
}
