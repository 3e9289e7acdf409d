/**
 * CLUSTER, READONLY, READWRITE, ASKING: the cluster in Redis Cluster's words. Every node is a master, because every node
 * takes writes; the slots are shown with the nodes that lead their groups.
 */

import {
  type ClientSession,
  type ClusterMember,
  type CommandSpec,
  defineCommands,
  type ScanContext,
  type SlotRange,
} from '../../command/index.ts';
import { decodeStorageKey, KEYSPACES, SLOT_COUNT, slotOf } from '../../keys/index.ts';
import {
  integerArgument,
  MapReply,
  OK,
  RedisError,
  type Reply,
  SimpleString,
  VerbatimReply,
} from '../../protocol/index.ts';
import { helpCommand } from '../help.ts';

/** Keys of a slot that are asked for at a time, and the most that GETKEYSINSLOT answers. */
const PAGE_KEYS = 1_000;
const MAX_KEYS_IN_SLOT = 10_000;
const MANAGED = 'ERR slots and nodes are placed by the cluster itself; see its own administration';

/** A member with the address that it is shown under on a connection. */
interface ShownMember {
  readonly member: ClusterMember;
  readonly host: string;
  readonly port: number;
}

function shown(session: ClientSession, member: ClusterMember): ShownMember {
  const port = session.isClusterPort ? (member.clusterPort ?? member.port) : member.port;
  return { member, host: member.host === '' ? session.localHost : member.host, port };
}

const shownMembers = (session: ClientSession): ShownMember[] =>
  session.server.topology.members().map((member) => shown(session, member));

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

function slots(session: ClientSession): Reply {
  return servedRanges(session).map(({ first, last, nodes }) => [
    first,
    last,
    ...nodes.map(({ member, host, port }): Reply => [host, port, member.id, []]),
  ]);
}

function shards(session: ClientSession): Reply {
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
  return [
    member.id,
    `${host}:${port}@0`,
    member.nodeId === server.kv.nodeId ? 'myself,master' : 'master',
    '-',
    0,
    0,
    server.kv.routesVersion,
    'connected',
    ...owned.map(({ first, last }) => (first === last ? first : `${first}-${last}`)),
  ].join(' ');
}

function nodes(session: ClientSession): Reply {
  const ranges = servedRanges(session);
  const lines = shownMembers(session).map((one) => `${nodeLine(session, one, ranges)}\n`);
  return new VerbatimReply(lines.join(''));
}

function info(session: ClientSession): Reply {
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

function ownId(session: ClientSession): Reply {
  const { kv, topology } = session.server;
  return topology.members().find(({ nodeId }) => nodeId === kv.nodeId)?.id ?? '0'.repeat(40);
}

/** Every node is a master, so no node has replicas of its own. @throws RedisError for a node that does not exist */
function replicas(session: ClientSession, args: readonly Buffer[]): Reply {
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

async function getKeysInSlot(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  const message = 'ERR Invalid slot or number of keys';
  const slot = slotArgument(args[2]!, message);
  const count = integerArgument(args[3]!);
  if (count < 0n) throw new RedisError(message);
  return keysInSlot(ctx, slot, Number(count > BigInt(MAX_KEYS_IN_SLOT) ? BigInt(MAX_KEYS_IN_SLOT) : count));
}

const LOOKING = ['loading', 'stale'] as const;
const CHANGING = ['admin', 'stale', 'no_async_loading'] as const;

function sub(
  name: string,
  arity: number,
  since: string,
  summary: string,
  handler: CommandSpec['handler'],
  flags: CommandSpec['flags'] = LOOKING,
): CommandSpec {
  return {
    name,
    arity,
    flags,
    group: 'cluster',
    since,
    summary,
    complexity: 'O(N) in the size of the answer',
    handler,
  };
}

const looks = (run: (session: ClientSession, args: readonly Buffer[]) => Reply): CommandSpec['handler'] => ({
  kind: 'connection',
  run,
});

/** What administrators of a Redis Cluster do by hand. */
const managed = (name: string, arity: number, since: string, summary: string): CommandSpec =>
  sub(
    name,
    arity,
    since,
    summary,
    looks(() => {
      throw new RedisError(MANAGED);
    }),
    CHANGING,
  );

const ANYTIME_FAST = ['loading', 'stale', 'fast'] as const;

function switchCommand(
  name: string,
  flags: CommandSpec['flags'],
  summary: string,
  run: (session: ClientSession) => void,
): CommandSpec {
  return {
    name,
    arity: 1,
    flags,
    group: 'cluster',
    aclCategories: ['connection'],
    since: '3.0.0',
    summary,
    complexity: 'O(1)',
    handler: looks((session) => {
      run(session);
      return OK;
    }),
  };
}

export const clusterCommands = defineCommands([
  switchCommand('asking', ['fast'], 'Accepted without effect: ranges move at one moment, there is no ASK', () => {}),
  {
    name: 'cluster',
    arity: -2,
    flags: [],
    group: 'cluster',
    since: '3.0.0',
    summary: 'A container for cluster commands',
    complexity: 'Depends on subcommand.',
    subcommands: [
      managed('addslots', -3, '3.0.0', 'Assign new hash slots to receiving node'),
      managed('addslotsrange', -4, '7.0.0', 'Assign new hash slots to receiving node'),
      sub(
        'bumpepoch',
        2,
        '3.0.0',
        'Epochs are counted by the cluster itself',
        looks((session) => new SimpleString(`STILL ${session.server.kv.routesVersion}`)),
        CHANGING,
      ),
      sub(
        'count-failure-reports',
        3,
        '3.0.0',
        'Failure reports for a node; there are none',
        looks(() => 0),
        ['admin', 'stale'],
      ),
      sub('countkeysinslot', 3, '3.0.0', 'Return the number of keys in the specified hash slot, in the whole cluster', {
        kind: 'scan',
        run: async (ctx, args) =>
          (await keysInSlot(ctx, slotArgument(args[2]!, 'ERR Invalid slot'), Number.POSITIVE_INFINITY)).length,
      }),
      managed('delslots', -3, '3.0.0', 'Set hash slots as unbound in receiving node'),
      managed('delslotsrange', -4, '7.0.0', 'Set hash slots as unbound in receiving node'),
      managed('failover', -2, '3.0.0', 'Forces a replica to perform a manual failover of its master'),
      managed('flushslots', 2, '3.0.0', 'Delete a node own slots information'),
      managed('forget', 3, '3.0.0', 'Remove a node from the nodes table'),
      sub('getkeysinslot', 4, '3.0.0', 'Return keys in the specified hash slot, in the whole cluster', {
        kind: 'scan',
        run: getKeysInSlot,
      }),
      helpCommand('cluster', 'cluster', '5.0.0', [
        'COUNTKEYSINSLOT <slot>',
        '    Return the number of keys in <slot>.',
        'GETKEYSINSLOT <slot> <count>',
        '    Return keys of <slot>.',
        'INFO',
        '    Return information about the cluster.',
        'KEYSLOT <key>',
        '    Return the hash slot for <key>.',
        'LINKS',
        '    Return information about all network links between this node and its peers.',
        'MYID',
        '    Return the node id.',
        'MYSHARDID',
        '    Return the id of the shard of this node.',
        'NODES',
        '    Return cluster configuration seen by node.',
        'REPLICAS <node-id>',
        '    Return <node-id> replicas; every node is a master.',
        'SHARDS',
        '    Return information about slot range mappings and the nodes associated with them.',
        'SLOTS',
        '    Return information about slots range mappings.',
      ]),
      sub('info', 2, '3.0.0', 'Provides info about Redis Cluster node state', looks(info)),
      sub(
        'keyslot',
        3,
        '3.0.0',
        'Returns the hash slot of the specified key',
        looks((_session, args) => slotOf(args[2]!)),
      ),
      sub(
        'links',
        2,
        '7.0.0',
        'Peer links of a cluster bus; there is none',
        looks(() => []),
      ),
      managed('meet', -4, '3.0.0', 'Force a node cluster to handshake with another node'),
      sub('myid', 2, '3.0.0', 'Return the node id', looks(ownId)),
      sub('myshardid', 2, '7.2.0', 'Return the node shard id', looks(ownId)),
      sub('nodes', 2, '3.0.0', 'Get Cluster config for the node', looks(nodes)),
      sub('replicas', 3, '5.0.0', 'List replica nodes of the specified master node', looks(replicas), [
        'admin',
        'stale',
      ]),
      managed('replicate', 3, '3.0.0', 'Reconfigure a node as a replica of the specified master node'),
      managed('reset', -2, '3.0.0', 'Reset a Redis Cluster node'),
      sub(
        'saveconfig',
        2,
        '3.0.0',
        'Everything is saved at all times',
        looks(() => OK),
        CHANGING,
      ),
      managed('set-config-epoch', 3, '3.0.0', 'Set the configuration epoch in a new node'),
      managed('setslot', -4, '3.0.0', 'Bind a hash slot to a specific node'),
      sub('shards', 2, '7.0.0', 'Get array of cluster slots to node mappings', looks(shards)),
      sub('slaves', 3, '3.0.0', 'List replica nodes of the specified master node', looks(replicas), ['admin', 'stale']),
      sub('slots', 2, '3.0.0', 'Get array of Cluster slot to node mappings', looks(slots)),
    ],
  },
  switchCommand(
    'readonly',
    ANYTIME_FAST,
    'Answer reads on this connection here instead of redirecting them',
    (session) => {
      session.readReplicas(true);
    },
  ),
  switchCommand('readwrite', ANYTIME_FAST, 'Redirect reads on this connection again', (session) => {
    session.readReplicas(false);
  }),
]);
