/**
 * Replicas of nodes that are taken out of service go to nodes that have none of their group. Each action takes one off such a node and
 * puts none on one, so draining ends: when nothing is left there, or nothing that has another place.
 */
import { counted, type NodeId } from '../../platform/index.ts';
import { withdrawalOf } from '../catalog/index.ts';
import type { ClusterState } from '../contract/index.ts';
import type { BalancePlan, BalanceView } from './actions.ts';

/**
 * Where a replica of a node may go: the node of the same locality if there is one, so that the copies of a group stay as far apart as they
 * are; of those the one that has least.
 * @param members of its group
 * @param isLive left out: all nodes are there
 */
export function roomFor(
  clusterState: ClusterState,
  members: readonly NodeId[],
  from: NodeId,
  isLive: (node: NodeId) => boolean = () => true,
): NodeId | undefined {
  const { nodes } = clusterState;
  const locality = nodes.find(({ nodeId }) => nodeId === from)?.locality;
  return nodes
    .filter(
      ({ nodeId }) => isLive(nodeId) && !members.includes(nodeId) && withdrawalOf(clusterState, nodeId) === undefined,
    )
    .sort(
      (a, b) =>
        Number(b.locality === locality) - Number(a.locality === locality) ||
        a.storedBytes - b.storedBytes ||
        a.replicaCount - b.replicaCount ||
        a.nodeId - b.nodeId,
    )[0]?.nodeId;
}

/** A replacement that was interrupted leaves an even number of voters: the successor has its vote, and who is to go has one still. */
export const hasSuccessor = (voters: readonly NodeId[]): boolean => voters.length > 2 && voters.length % 2 === 0;

/** At most one replacement; one that was begun and left by another leader of the catalog goes on. The catalog's own group is the last. */
export function planDrains(view: BalanceView, catalogGroup: number): BalancePlan {
  const { clusterState, groups, liveNodes } = view;
  const withdrawn = new Set((clusterState.withdrawals ?? []).map(({ nodeId }) => nodeId));
  const nothing = (note: string): BalancePlan => ({ actions: [], notes: [note] });
  if (withdrawn.size === 0) return nothing('no node is taken out of service');
  const stuck: number[] = [];
  const inOrder = [...groups].sort(
    (a, b) => Number(a.id === catalogGroup) - Number(b.id === catalogGroup) || a.id - b.id,
  );
  let waiting = 0;
  for (const { id, voters, leader, isBusy, isUnfinished } of inOrder) {
    const remove = voters.find((node) => withdrawn.has(node));
    if (remove === undefined) continue;
    const add = hasSuccessor(voters)
      ? voters.find((node) => !withdrawn.has(node))
      : roomFor(clusterState, voters, remove, (node) => liveNodes.has(node));
    if (add === undefined) {
      stuck.push(id);
    } else if (leader === undefined || (isBusy && isUnfinished !== true)) {
      waiting++;
    } else {
      const reason = `the replica of group ${id} goes from node ${remove}, which is taken out of service, to node ${add}`;
      return { actions: [{ kind: 'changeMembership', group: id, add, remove, reason }], notes: [] };
    }
  }
  if (waiting > 0) return nothing(`busy, of nodes that are taken out of service: ${counted(waiting, 'group')}`);
  if (stuck.length > 0) {
    return nothing(
      `no node has room for the replicas of ${counted(stuck.length, 'group')} that nodes out of service have`,
    );
  }
  return nothing('nodes that are taken out of service have no replicas left');
}
