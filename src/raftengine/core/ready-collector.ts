/** The way out of the core: gathers what its parts want done into one `Ready`, in the order that safety needs. */
import type { NodeId, Term } from '../../platform/index.ts';
import type { Budget } from './budget.ts';
import type { Follower } from './follower.ts';
import type { HandedHardState } from './hard-state.ts';
import type { Outbox } from './outbox.ts';
import type { RaftLog } from './raft-log.ts';
import type { ReadRounds } from './read-index.ts';
import type { Entry, Message, RaftConfig, Ready } from './types.ts';

const NO_ENTRIES: readonly Entry[] = [];
const NO_MESSAGES: readonly Message[] = [];

/** The parts that have something to hand out. */
export interface ReadySources {
  readonly log: RaftLog;
  readonly outbox: Outbox;
  readonly handed: HandedHardState;
  readonly follower: Follower;
  readonly budget: Budget;
  readonly reads: ReadRounds;
}

export class ReadyCollector {
  private readonly sources: ReadySources;
  private readonly maxApplyBytes: number;

  constructor(config: RaftConfig, sources: ReadySources) {
    this.sources = sources;
    this.maxApplyBytes = config.maxAppendBytes;
  }

  /** True when `take` would return anything. */
  hasAny(term: Term, vote: NodeId | 0): boolean {
    const { log, outbox, handed, follower, budget, reads } = this.sources;
    return (
      outbox.atOnce.length > 0 ||
      (!this.isInstalling() && (outbox.afterPersist.length > 0 || handed.isDue(term, vote))) ||
      follower.hasSnapshot() ||
      log.hasUnhanded() ||
      (log.hasCommitted() && !budget.isApplyFull()) ||
      reads.hasResults()
    );
  }

  /** A snapshot was handed out and is not installed: what must be stored waits for it. */
  private isInstalling(): boolean {
    return this.sources.log.isRestoring() && !this.sources.follower.hasSnapshot();
  }

  /** Takes everything that is pending. Every entry and message is handed out once. */
  take(term: Term, vote: NodeId | 0): Ready {
    const { log, outbox, handed, follower, budget, reads } = this.sources;
    const isInstalling = this.isInstalling();
    const snapshot = follower.takeSnapshot();
    const entries = log.takeUnhanded(term);
    const committedEntries = budget.isApplyFull() ? NO_ENTRIES : log.takeCommitted(this.maxApplyBytes);
    budget.handedOut(committedEntries, term);
    const isWriting = entries.length > 0 || snapshot !== undefined;
    return {
      hardState: isInstalling ? undefined : handed.take(term, vote, log.commitIndex, isWriting),
      entries,
      snapshot,
      messages: outbox.takeAtOnce(),
      messagesAfterPersist: isInstalling ? NO_MESSAGES : outbox.takeAfterPersist(),
      committedEntries,
      readStates: reads.takeReleased(),
      abortedReads: reads.takeAborted(),
    };
  }
}
