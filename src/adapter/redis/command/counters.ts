/** What was counted of commands and of the server: plain numbers, for whoever shows them. */
import { BucketCounts } from '../../../platform/index.ts';

/** Counters of one command; a subcommand has its own. */
export class CommandCounters {
  /** Replies that were written, or kept back because the client wants none. */
  get calls(): number {
    return this.latencyMs.total;
  }

  /** Of them errors. */
  errors = 0;
  /** From the reading of the command to the writing of its reply, milliseconds; a pipeline waits for the slowest before it. */
  latencyMs = new BucketCounts();

  /** Begins anew. */
  reset(): void {
    this.errors = 0;
    this.latencyMs = new BucketCounts();
  }
}

/** Counters behind INFO; CONFIG RESETSTAT sets them to zero. */
export class ServerStats {
  connectionsReceived = 0;
  connectionsRejected = 0;
  commandsProcessed = 0;
  inputBytes = 0;
  outputBytes = 0;
  errorReplies = 0;
  forwardedRequests = 0;
  /** What had expired on this node when counting began. */
  expiredKeysBefore = 0;
}
