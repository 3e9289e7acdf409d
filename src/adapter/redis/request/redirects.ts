/**
 * MOVED, for clients that have asked for it. A redirect follows the same map that CLUSTER SLOTS shows, so clients never
 * go round in circles: what belongs to another group in spite of the map is passed on as always. There is no ASK, because
 * a move changes the owner of a range at one moment.
 */
import type { ClusterMember, CommandSpec, ServerContext } from '../command/index.ts';
import { slotAround, slotOf } from '../keys/index.ts';
import { RedisError } from '../protocol/index.ts';

/** What a redirect depends on, beside the command. */
export interface RedirectedClient {
  readonly server: Pick<ServerContext, 'kv' | 'slots' | 'topology'>;
  /** READONLY: reads are answered here, through the leader. */
  readonly readOnly: boolean;
  readonly isClusterPort: boolean;
  /** The address that it has connected to. */
  readonly localHost: string;
}

/** The node that leads a slot's group; undefined when it is this one or this one cannot be sure of it. */
export function ownerElsewhere(
  { kv, slots, topology }: RedirectedClient['server'],
  slot: number,
): ClusterMember | undefined {
  const group = slots.groupOf(slot);
  if (kv.servesLocally(group)) return undefined;
  const { leader, isWitnessed } = topology.placementOf(group);
  if (leader === undefined || !isWitnessed || leader === kv.nodeId) return undefined;
  return topology.members().find(({ nodeId }) => nodeId === leader);
}

/**
 * Sends a client to the node that leads a key's slot, unless it is this one or nobody knows it. Only database 0 has slots.
 * @throws RedisError MOVED
 */
export function redirectElsewhere(
  client: RedirectedClient,
  spec: Pick<CommandSpec, 'flags'>,
  db: number,
  firstKey: Buffer | undefined,
): void {
  if (firstKey === undefined || db !== 0 || (client.readOnly && spec.flags.includes('readonly'))) return;
  const slot = slotOf(firstKey);
  const member = ownerElsewhere(client.server, slot);
  if (member === undefined) return;
  const { host, port } = shownAddress(client, member);
  throw new RedisError(`MOVED ${slot} ${host}:${port}`);
}

/** Where a client is told to find a node: those of the second port stay on second ports where there are any. */
export function shownAddress(
  client: Pick<RedirectedClient, 'isClusterPort' | 'localHost'>,
  { host, port, clusterPort }: ClusterMember,
): { readonly host: string; readonly port: number } {
  return { host: host === '' ? client.localHost : host, port: client.isClusterPort ? (clusterPort ?? port) : port };
}

/**
 * Refuses a command that finds keys in other slots than that of its first key: a client that chooses the node by the keys could not have
 * known them.
 * @throws RedisError
 */
export function refuseFoundElsewhere(spec: CommandSpec, args: readonly Buffer[], firstKey: Buffer | undefined): void {
  for (const { pattern, star, refusal } of spec.findsKeys?.(args) ?? []) {
    if (firstKey === undefined || slotAround(pattern, star) !== slotOf(firstKey)) throw new RedisError(refusal);
  }
}
