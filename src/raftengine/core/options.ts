/** What a `RaftCore` is made from and what it tells about itself. */
import type { LogIndex, Millis, NodeId, Random, Term } from '../../platform/index.ts';
import type { ConfState, HardState, LogView, PeerProgress, RaftConfig, Role, SnapshotMeta } from './types.ts';

/** What a core starts from. */
export interface RaftCoreOptions {
  readonly config: RaftConfig;
  readonly hardState: HardState;
  /** The state machine's position and membership; the log is replayed from there. */
  readonly applied: SnapshotMeta;
  readonly log: LogView;
  readonly random: Random;
  /** Monotonic clock, the same one that every later call passes. */
  readonly nowMs: Millis;
}

/** A copy of what an operator or a test may want to know. */
export interface RaftStatus {
  readonly role: Role;
  readonly term: Term;
  readonly vote: NodeId | 0;
  readonly leader: NodeId | 0;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  /** End of the lease on the monotonic clock; 0 when there is none. */
  readonly leaseUntilMs: Millis;
  readonly transferTarget: NodeId | 0;
  readonly conf: ConfState;
  /** On a leader: one row a peer. */
  readonly progress: readonly PeerProgress[];
}
