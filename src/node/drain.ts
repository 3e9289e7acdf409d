/** Gives leadership away in good order, so that a node may be stopped without an election that anybody waits for. */
import type { Millis, NodeId, Scheduler } from '../platform/index.ts';
import type { GroupStatus, RaftGroup } from '../raftengine/index.ts';

/** The voter that is furthest in the leader's log; undefined when there is no other voter. */
function successorOf(status: GroupStatus): NodeId | undefined {
  const voters = status.progress.filter((peer) => !peer.isLearner);
  return voters.sort((a, b) => b.matchIndex - a.matchIndex)[0]?.nodeId;
}

function transfers(groups: readonly RaftGroup[]): Promise<void>[] {
  return groups.flatMap((group) => {
    const status = group.status();
    const successor = status.role === 'leader' ? successorOf(status) : undefined;
    return successor === undefined ? [] : [group.transferLeadership(successor)];
  });
}

/**
 * Hands every group that this node leads to the voter that is furthest.
 * @returns false when this node leads none that anybody could take over
 * @throws the errors of `RaftGroup.transferLeadership`
 */
export async function handOver(groups: readonly RaftGroup[]): Promise<boolean> {
  const under = transfers(groups);
  await Promise.all(under);
  return under.length > 0;
}

/**
 * Hands over what can be before a node stops, so that its stop makes nobody wait for an election and leaves no outcome unknown. What
 * cannot be handed over, or not within `withinMs`, is left to an election.
 */
export async function handOverBeforeStop(
  groups: readonly RaftGroup[],
  scheduler: Scheduler,
  withinMs: Millis,
): Promise<void> {
  let cancel = (): void => {};
  const late = new Promise<void>((resolve) => {
    cancel = scheduler.after(withinMs, resolve);
  });
  await Promise.race([Promise.allSettled(transfers(groups)), late]);
  cancel();
}
