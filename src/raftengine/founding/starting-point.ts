/** Whether a stored log and a stored state belong together, and what to do about it when a replica is opened. */
import { type ErrorDisposition, type GroupId, KvorumError, type LogIndex } from '../../platform/index.ts';
import type { GroupLog, LogWrite } from '../contract/index.ts';
import type { SnapshotMeta } from '../core/index.ts';
import { FOUNDING_INDEX } from './founding.ts';

/** Which groups have a snapshot put in the place of their state now; not forgotten when the process ends in the middle of it. */
export interface InstallMarks {
  /** Settles when it is stable that a snapshot of `index` is about to be installed. */
  begin(group: GroupId, index: LogIndex): Promise<void>;
  /** State and log belong together again. */
  end(group: GroupId): void;
  /** Index of the snapshot; undefined while none is being installed. */
  of(group: GroupId): LogIndex | undefined;
}

/**
 * The stored state of a replica and its log do not belong together: one of the two is older than it was, or gone. The node does
 * not start, since what it would have to make up is a vote or an acknowledged write.
 */
export class ReplicaTornError extends KvorumError {
  readonly code = 'REPLICA_TORN';
  readonly disposition: ErrorDisposition = 'final';
  readonly groupId: GroupId;

  constructor(groupId: GroupId, what: string) {
    super(
      `the replica of group ${groupId} is torn: ${what}. Put back what was moved or lost, or remove the node from its groups, move ` +
        'its data folder away and add it again as a new node: it then gets its state from the other replicas.',
    );
    this.groupId = groupId;
  }
}

/**
 * @param applied as of the stored state
 * @param installing index of the snapshot that was being installed when the process ended
 * @returns what has to be written to the log before the replica begins; undefined when the two belong together
 * @throws ReplicaTornError
 */
export function repairOf(
  groupId: GroupId,
  log: GroupLog,
  applied: SnapshotMeta,
  installing: LogIndex | undefined,
): LogWrite | undefined {
  const [first, last] = [log.firstIndex(), log.lastIndex()];
  const isAhead = applied.index > last || (applied.index >= first - 1 && log.term(applied.index) !== applied.term);
  if (!isAhead) {
    if (first <= applied.index + 1) return undefined;
    throw new ReplicaTornError(
      groupId,
      `its log begins at ${first}, after what its store has applied (${applied.index})`,
    );
  }
  // A founder has promised nothing yet: its term stays 0, so that the core does not take this for a restart.
  const isFounding = applied.index === FOUNDING_INDEX && last === 0;
  // Only what is stable in the log is made durable of what is applied: only a snapshot gets ahead of it.
  if (!isFounding && installing !== applied.index) {
    throw new ReplicaTornError(
      groupId,
      `its store has applied entry ${applied.index} of term ${applied.term}, which its log does not have (${first} to ${last})`,
    );
  }
  const stored = log.hardState();
  const term = isFounding ? stored.term : Math.max(stored.term, applied.term);
  const vote = term === stored.term ? stored.vote : 0;
  return { groupId, hardState: { term, vote, commitIndex: applied.index }, entries: [], resetTo: applied };
}
