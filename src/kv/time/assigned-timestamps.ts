/** Timestamps that entries were given and whose outcome is open: below the smallest of them a group may be closed. */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { ProposalOutcome } from '../../raftengine/index.ts';

/** See the top of the file. */
export class AssignedTimestamps {
  /** In the order in which they were drawn, which is ascending. */
  private readonly open = new Set<HlcTimestamp>();

  /**
   * An entry with this timestamp goes to the log now. It stays until it was applied or never will be; one whose outcome nobody
   * knows stays as long as the leadership lasts.
   * @returns `done`, to be given to Raft
   */
  track(ts: HlcTimestamp, done: (outcome: ProposalOutcome) => void): (outcome: ProposalOutcome) => void {
    this.open.add(ts);
    return (outcome) => {
      if (outcome.kind !== 'unknown') this.open.delete(ts);
      done(outcome);
    };
  }

  /** A new leadership begins, which has applied everything of earlier ones. */
  clear(): void {
    this.open.clear();
  }

  /** The smallest that is open. */
  get first(): HlcTimestamp | undefined {
    for (const ts of this.open) return ts;
    return undefined;
  }
}
