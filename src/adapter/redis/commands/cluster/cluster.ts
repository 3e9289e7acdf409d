/**
 * What CLUSTER answers; `cluster-commands.ts` declares it. Every node is a master, because every node takes writes; the slots are shown
 * with the nodes that lead their groups.
 */

import type { ClientSession, ClusterMember, ScanContext, SlotRange } from '../../command/index.ts';
import { decodeStorageKey, KEYSPACES, SLOT_COUNT } from '../../keys/index.ts';
import { integerArgument, MapReply, RedisError, type Reply, VerbatimReply } from '../../protocol/index.ts';
import { shownAddress } from '../../request/index.ts';

/** Keys of a slot that are asked for at a time, and the most that GETKEYSINSLOT answers. */
const PAGE_KEYS = 1_000;
const MAX_KEYS_IN_SLOT = 10_000;

/** A member with the address that it is shown under on a connection. */
interface ShownMember {
  readonly member: ClusterMember;
  readonly host: string;
  readonly port: number;
}

const shownMembers = (session: ClientSession): ShownMember[] =>
  session.server.topology.members().map((member) => ({ member, ...shownAddress(session, member) }));

/** A range of slots with the nodes that serve it, the leader first. */
interface ServedRange extends SlotRange {
  readonly nodes: readonly ShownMember[];
}

/** All slots in order. While a group's leader is not known, any node of it is shown: it passes commands on. */
function servedRanges(session: ClientSession): ServedRange[] {
  const { server } = session;
  const members = new Map(shownMembers(session).map((one) => [one.member.nodeId, one]));
  return server.slots.ranges().map((range) => {
    const { leader, replicas } = server.topology.placementOf(range.group);
    const first = server.kv.servesLocally(range.group) ? server.kv.nodeId : leader;
    const ids = new Set(first === undefined ? replicas : [first, ...replicas]);
    const nodes = [...ids].flatMap((id) => members.get(id) ?? []);
    const self = members.get(server.kv.nodeId);
    return { ...range, nodes: nodes.length > 0 || self === undefined ? nodes : [self] };
  });
}

/** CLUSTER SLOTS. */
export function slots(session: ClientSession): Reply {
  return servedRanges(session).map(({ first, last, nodes }) => [
    first,
    last,
    ...nodes.map(({ member, host, port }): Reply => [host, port, member.id, []]),
  ]);
}

/** CLUSTER SHARDS. */
export function shards(session: ClientSession): Reply {
  const byGroup = new Map<number, { readonly slots: number[]; readonly nodes: readonly ShownMember[] }>();
  for (const { group, first, last, nodes } of servedRanges(session)) {
    const shard = byGroup.get(group) ?? { slots: [], nodes };
    shard.slots.push(first, last);
    byGroup.set(group, shard);
  }
  return [...byGroup.values()].map(
    ({ slots: ranges, nodes }) =>
      new MapReply([
        ['slots', ranges],
        ['nodes', nodes.map(shardNode)],
      ]),
  );
}

const shardNode = ({ member, host, port }: ShownMember, position: number): Reply =>
  new MapReply([
    ['id', member.id],
    ['port', port],
    ['ip', host],
    ['endpoint', host],
    ['role', position === 0 ? 'master' : 'replica'],
    ['replication-offset', 0],
    ['health', 'online'],
  ]);

/** One line a node as CLUSTER NODES has it; there is no bus between the nodes that a Redis node could join, so its port is 0. */
function nodeLine(session: ClientSession, { member, host, port }: ShownMember, ranges: readonly ServedRange[]): string {
  const { server } = session;
  const owned: { first: number; last: number }[] = [];
  for (const { first, last, nodes } of ranges) {
    if (nodes[0]?.member.nodeId !== member.nodeId) continue;
    const before = owned.at(-1);
    if (before?.last === first - 1) before.last = last;
    else owned.push({ first, last });
  }
  const flags = ['master'];
  if (member.nodeId === server.kv.nodeId) flags.unshift('myself');
  if (!member.isReachable) flags.push('fail?');
  return [
    member.id,
    `${host}:${port}@0`,
    flags.join(','),
    '-',
    0,
    0,
    server.kv.routesVersion,
    member.isReachable ? 'connected' : 'disconnected',
    ...owned.map(({ first, last }) => (first === last ? first : `${first}-${last}`)),
  ].join(' ');
}

/** CLUSTER NODES. */
export function nodes(session: ClientSession): Reply {
  const ranges = servedRanges(session);
  const lines = shownMembers(session).map((one) => `${nodeLine(session, one, ranges)}\n`);
  return new VerbatimReply(lines.join(''));
}

/** CLUSTER INFO. */
export function info(session: ClientSession): Reply {
  const { server } = session;
  const ranges = servedRanges(session);
  const isKnown = server.kv.dataGroups().length > 0;
  const masters = new Set(ranges.map(({ nodes: [first] }) => first?.member.id));
  const assigned = isKnown ? SLOT_COUNT : 0;
  const fields: readonly (readonly [string, string | number])[] = [
    ['cluster_state', isKnown ? 'ok' : 'fail'],
    ['cluster_slots_assigned', assigned],
    ['cluster_slots_ok', assigned],
    ['cluster_slots_pfail', 0],
    ['cluster_slots_fail', 0],
    ['cluster_known_nodes', server.topology.members().length],
    ['cluster_size', masters.size],
    ['cluster_current_epoch', server.kv.routesVersion],
    ['cluster_my_epoch', server.kv.routesVersion],
    ['cluster_stats_messages_sent', 0],
    ['cluster_stats_messages_received', 0],
    ['total_cluster_links_buffer_limit_exceeded', 0],
  ];
  return new VerbatimReply(fields.map(([name, value]) => `${name}:${value}\r\n`).join(''));
}

/** CLUSTER MYID and MYSHARDID: every node is a shard of its own. */
export function ownId(session: ClientSession): Reply {
  const { kv, topology } = session.server;
  return topology.members().find(({ nodeId }) => nodeId === kv.nodeId)?.id ?? '0'.repeat(40);
}

/** CLUSTER REPLICAS. Every node is a master, so no node has replicas of its own. @throws RedisError for a node that does not exist */
export function replicas(session: ClientSession, args: readonly Buffer[]): Reply {
  const id = args[2]!.toString('latin1');
  if (session.server.topology.members().every((member) => member.id !== id)) {
    throw new RedisError(`ERR Unknown node ${id.slice(0, 128)}`);
  }
  return [];
}

function slotArgument(argument: Buffer, message: string): number {
  const slot = integerArgument(argument);
  if (slot < 0n || slot >= BigInt(SLOT_COUNT)) throw new RedisError(message);
  return Number(slot);
}

/** Up to `limit` keys of a slot of database 0, wherever they are. */
async function keysInSlot(ctx: ScanContext, slot: number, limit: number): Promise<Buffer[]> {
  const { start: from, end } = KEYSPACES[0]!.slotRange(slot, slot + 1);
  const keys: Buffer[] = [];
  let start: Buffer | undefined = from;
  while (start !== undefined && keys.length < limit) {
    const page = await ctx.page({
      start,
      end,
      limit: Math.min(PAGE_KEYS, limit - keys.length),
      pattern: undefined,
      typeName: undefined,
    });
    for (const key of page.storageKeys) keys.push(decodeStorageKey(key)!.userKey);
    start = page.next;
  }
  return keys;
}

/** CLUSTER GETKEYSINSLOT. */
export async function getKeysInSlot(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  const message = 'ERR Invalid slot or number of keys';
  const slot = slotArgument(args[2]!, message);
  const count = integerArgument(args[3]!);
  if (count < 0n) throw new RedisError(message);
  return keysInSlot(ctx, slot, Number(count > BigInt(MAX_KEYS_IN_SLOT) ? BigInt(MAX_KEYS_IN_SLOT) : count));
}

/** CLUSTER COUNTKEYSINSLOT. */
export async function countKeysInSlot(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  return (await keysInSlot(ctx, slotArgument(args[2]!, 'ERR Invalid slot'), Number.POSITIVE_INFINITY)).length;
}

/** What administrators of a Redis Cluster do by hand. @throws RedisError always */
export function managed(): never {
  throw new RedisError('ERR slots and nodes are placed by the cluster itself; see its own administration');
}
