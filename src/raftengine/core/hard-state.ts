/** Remembers which hard state was handed out last, to say when another has to be stored. */
import type { LogIndex, NodeId, Term } from '../../platform/index.ts';
import type { HardState } from './types.ts';

export class HandedHardState {
  private last: HardState;

  constructor(stored: HardState) {
    this.last = stored;
  }

  isDue(term: Term, vote: NodeId | 0): boolean {
    return term !== this.last.term || vote !== this.last.vote;
  }

  /**
   * The commit index alone is not worth a write. It rides along with entries though, in the same write: a node that has
   * a membership change in its log then always knows that the change before it is committed, also after a restart.
   */
  take(term: Term, vote: NodeId | 0, commitIndex: LogIndex, isWriting: boolean): HardState | undefined {
    if (!this.isDue(term, vote) && !(isWriting && commitIndex !== this.last.commitIndex)) return undefined;
    this.last = { term, vote, commitIndex };
    return this.last;
  }
}
