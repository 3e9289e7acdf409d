/** The cluster as clients see it that choose the node by the slot: from the rows of nodes, and from who leads what. */
import { type ClusterMember, type ClusterTopology, clusterMemberId } from '../adapter/redis/index.ts';
import type { ClusterState, Endpoint, NodeRow } from '../distribution/index.ts';
import type { GroupLocation } from '../kv/index.ts';
import type { GroupId, NodeId } from '../platform/index.ts';
import { derivedFrom } from './derived.ts';

/** Names of services in the rows of nodes. */
const REDIS = 'redis';
const REDIS_CLUSTER = 'redis.cluster';

/** Hosts that mean every address of a machine, and so are none that a client could connect to. */
const EVERY_ADDRESS: readonly string[] = ['0.0.0.0', '::', ''];

/** Where the Redis server of a node listens. */
export interface RedisPorts {
  readonly port: number;
  readonly clusterPort: number | undefined;
}

/**
 * The host under which clients are told to find a node.
 * @param address where other nodes reach it, `host:port`
 * @returns empty when nothing says more than "every address": clients use what they have connected to
 */
export function announcedHost(
  redis: { readonly host: string; readonly announcedHost?: string | undefined },
  address: string,
): string {
  const peerHost = address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
  return [redis.announcedHost ?? '', redis.host, peerHost].find((host) => !EVERY_ADDRESS.includes(host)) ?? '';
}

/** What a node says of its Redis ports; nothing before they are open. */
export function redisEndpoints(host: string, ports: RedisPorts | undefined): Endpoint[] {
  if (ports === undefined) return [];
  const { port, clusterPort } = ports;
  const plain = { service: REDIS, host, port };
  return clusterPort === undefined ? [plain] : [plain, { service: REDIS_CLUSTER, host, port: clusterPort }];
}

export interface RedisTopologyParts {
  readonly self: NodeId;
  readonly clusterName: string;
  /** What this node says of itself. */
  readonly endpoints: () => readonly Endpoint[];
  /** As this node was last told. */
  readonly clusterState: () => ClusterState | undefined;
  readonly locationOf: (group: GroupId) => GroupLocation;
  /** Whether a node can be reached from here now. */
  readonly isConnected: (node: NodeId) => boolean;
}

/** See the top of the file. */
export function redisTopology(parts: RedisTopologyParts): ClusterTopology {
  const { self, clusterName, clusterState, locationOf, isConnected } = parts;
  const ids = new Map<NodeId, string>();
  const idOf = (node: NodeId): string => {
    const known = ids.get(node) ?? clusterMemberId(clusterName, node);
    ids.set(node, known);
    return known;
  };
  const told = derivedFrom(clusterState, ({ nodes }) => nodes.filter(({ nodeId }) => nodeId !== self));
  const isReachable = (node: NodeId): boolean => node === self || isConnected(node);
  const memberOf = ({ nodeId, endpoints = [] }: Pick<NodeRow, 'nodeId' | 'endpoints'>): ClusterMember[] => {
    const plain = endpoints.find(({ service }) => service === REDIS);
    if (plain === undefined) return [];
    const { host, port } = plain;
    const clusterPort = endpoints.find(({ service }) => service === REDIS_CLUSTER)?.port;
    return [{ nodeId, id: idOf(nodeId), host, port, clusterPort, isReachable: isReachable(nodeId) }];
  };
  return {
    members: () =>
      [{ nodeId: self, endpoints: parts.endpoints() }, ...(told() ?? [])]
        .flatMap(memberOf)
        .sort((one, other) => one.nodeId - other.nodeId),
    placementOf(group) {
      const { leader, isWitnessed, members } = locationOf(group);
      const replicas = members.filter(isReachable);
      if (leader !== undefined && isReachable(leader)) return { leader, isWitnessed, replicas };
      // Nobody can be told where to go: this node passes commands on, and waits for the next leader with them.
      return { leader: undefined, isWitnessed: false, replicas: [self, ...replicas.filter((node) => node !== self)] };
    },
  };
}
