/** Nodes as Redis Cluster's clients know them: their ids, and a node by itself. */
import { createHash } from 'node:crypto';
import type { NodeId } from '../../../platform/index.ts';
import type { ClusterMember, ClusterTopology } from '../command/index.ts';

/** The id of a node in Redis Cluster's notation: 40 hex digits that follow from the names of cluster and node. */
export function clusterMemberId(clusterName: string, node: NodeId): string {
  return createHash('sha1').update(`kvorum node ${node} of ${clusterName}`).digest('hex');
}

/** A node by itself, which leads everything: what is shown when nobody has said more. */
export function soloTopology(
  nodeId: NodeId,
  ports: () => Pick<ClusterMember, 'port' | 'clusterPort'>,
): ClusterTopology {
  const id = clusterMemberId('kvorum', nodeId);
  return {
    members: () => [{ nodeId, id, host: '', isReachable: true, ...ports() }],
    placementOf: () => ({ leader: nodeId, isWitnessed: true, replicas: [nodeId] }),
  };
}
