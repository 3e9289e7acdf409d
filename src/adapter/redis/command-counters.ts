/** How often a command was called and how long it took: plain numbers, for whoever shows them. */
import { BucketCounts } from '../../platform/index.ts';

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
