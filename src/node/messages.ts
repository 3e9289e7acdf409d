/** The streams by which nodes carry messages of clients and tell of changed keys, among the nodes of the cluster that know them. */
import { Messages, Tracking } from '../adapter/redis/index.ts';
import { type ClusterState, FEATURES, hasFeature } from '../distribution/index.ts';
import type { NodeId } from '../platform/index.ts';
import { derivedFrom } from './derived.ts';
import type { NodeParts } from './parts.ts';

/** What clients of one node hear from others. */
export interface HeardFromNodes {
  readonly messages: Messages;
  readonly tracking: Tracking;
}

/** Call before the network is started. @param clusterState as this node was last told */
export function buildMessages(parts: NodeParts, clusterState: () => ClusterState | undefined): HeardFromNodes {
  const { network, scheduler, random, onBackgroundError: onError } = parts;
  const peers = derivedFrom(clusterState, nodesWithMessages);
  return {
    messages: new Messages({ network, scheduler, random, peers, onError }),
    tracking: new Tracking(scheduler, { network, random, peers, onError }),
  };
}

/** Programs of before would refuse the streams. */
const nodesWithMessages = ({ nodes }: ClusterState): NodeId[] =>
  nodes
    .filter(({ capabilities }) => hasFeature(capabilities, FEATURES['redis.messaging']!))
    .map(({ nodeId }) => nodeId);
