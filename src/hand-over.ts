/** Gives leadership away in good order, so that a node may be stopped without an election that anybody waits for. */
import type { NodeId } from './platform/index.ts';
import type { GroupStatus, RaftGroup } from './raftengine/index.ts';

/** The voter that is furthest in the leader's log; undefined when there is no other voter. */
function successorOf(status: GroupStatus): NodeId | undefined {
  const voters = status.progress.filter((peer) => !peer.isLearner);
  return voters.sort((a, b) => b.matchIndex - a.matchIndex)[0]?.nodeId;
}

/**
 * Hands every group that this node leads to the voter that is furthest.
 * @returns false when this node leads none that anybody could take over
 * @throws the errors of `RaftGroup.transferLeadership`
 */
export async function handOver(groups: readonly RaftGroup[]): Promise<boolean> {
  const transfers = groups.flatMap((group) => {
    const status = group.status();
    const successor = status.role === 'leader' ? successorOf(status) : undefined;
    return successor === undefined ? [] : [group.transferLeadership(successor)];
  });
  await Promise.all(transfers);
  return transfers.length > 0;
}
