/** The streams that carry messages between clients of different nodes, among the nodes of the cluster that know them. */
import { Messages } from '../adapter/redis/index.ts';
import { type ClusterState, FEATURES, hasFeature } from '../distribution/index.ts';
import type { NodeId } from '../platform/index.ts';
import { derivedFrom } from './derived.ts';
import type { NodeParts } from './parts.ts';

/** Call before the network is started. @param clusterState as this node was last told */
export function buildMessages(parts: NodeParts, clusterState: () => ClusterState | undefined): Messages {
  const { network, scheduler, random, onBackgroundError } = parts;
  const peers = derivedFrom(clusterState, nodesWithMessages);
  return new Messages({ network, scheduler, random, peers, onError: onBackgroundError });
}

/** Programs of before would refuse the streams. */
const nodesWithMessages = ({ nodes }: ClusterState): NodeId[] =>
  nodes
    .filter(({ capabilities }) => hasFeature(capabilities, FEATURES['redis.messaging']!))
    .map(({ nodeId }) => nodeId);
