/** The declarations of CLUSTER, READONLY, READWRITE and ASKING; `cluster.ts` runs them. */
import { type ClientSession, type CommandSpec, defineCommands } from '../../command/index.ts';
import { slotOf } from '../../keys/index.ts';
import { OK, SimpleString } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { countKeysInSlot, getKeysInSlot, info, managed, nodes, ownId, replicas, shards, slots } from './cluster.ts';

const ADMIN = ['admin', 'stale'] as const;
const CHANGING = ['admin', 'stale', 'no_async_loading'] as const;
const ANYTIME_FAST = ['loading', 'stale', 'fast'] as const;

const looking = declareWith({
  group: 'cluster',
  flags: ['stale'],
  complexity: 'O(N) in the size of the answer',
});

const changing = (name: string, arity: number, since: string, summary: string): CommandSpec =>
  looking({
    name,
    arity,
    since,
    summary,
    flags: CHANGING,
    standing: 'refused',
    differences: 'Slots and nodes are placed by the cluster itself, or with `raftadmin`.',
    run: managed,
  });

const mode = declareWith({
  group: 'cluster',
  flags: ANYTIME_FAST,
  aclCategories: ['connection'],
  complexity: 'O(1)',
});

/** Changes how the session reads. */
const reading = (isHere: boolean) => (session: ClientSession) => {
  session.readReplicas(isHere);
  return OK;
};

const HELP = [
  'COUNTKEYSINSLOT <slot>',
  '    How many keys of the cluster are in <slot>.',
  'GETKEYSINSLOT <slot> <count>',
  '    Keys of the cluster in <slot>, <count> at most.',
  'INFO',
  '    Whether slots are served, and how many nodes there are.',
  'KEYSLOT <key>',
  '    The slot of <key>.',
  'LINKS',
  '    Empty: nodes have no cluster bus.',
  'MYID',
  '    The id of this node.',
  'MYSHARDID',
  '    The id of the shard of this node: its own.',
  'NODES',
  '    A line about each node, with the slots that it leads.',
  'REPLICAS <node-id>',
  '    Empty: every node is a master.',
  'SHARDS',
  '    Slots by group, and the nodes that have them.',
  'SLOTS',
  '    Ranges of slots, each with the nodes that have it.',
];

export const clusterCommands = defineCommands([
  mode({
    name: 'asking',
    arity: 1,
    since: '3.0.0',
    summary: 'Accepted without effect: ranges move at one moment, there is no ASK.',
    differences: 'Has no effect: a range changes its owner at one moment, so nobody is answered ASK.',
    flags: ['fast'],
    run: () => OK,
  }),
  {
    name: 'cluster',
    arity: -2,
    flags: [],
    group: 'cluster',
    since: '3.0.0',
    summary: "The cluster in Redis Cluster's words.",
    complexity: 'That of the subcommand',
    subcommands: [
      changing('addslots', -3, '3.0.0', 'Would give slots to this node.'),
      changing('addslotsrange', -4, '7.0.0', 'Would give ranges of slots to this node.'),
      looking({
        name: 'bumpepoch',
        arity: 2,
        since: '3.0.0',
        summary: 'Epochs are counted by the cluster itself.',
        differences: 'Answers the version of the directory of ranges; there is nothing to bump.',
        flags: CHANGING,
        run: ({ server }) => new SimpleString(`STILL ${server.kv.routesVersion}`),
      }),
      looking({
        name: 'count-failure-reports',
        arity: 3,
        since: '3.0.0',
        summary: 'Reports that a node has failed; there are none.',
        differences: 'Nodes do not report each other; each group of replicas judges its leader.',
        flags: ADMIN,
        run: () => 0,
      }),
      looking({
        name: 'countkeysinslot',
        arity: 3,
        since: '3.0.0',
        summary: 'Counts the keys of a slot, in the whole cluster.',
        handler: { kind: 'scan', run: countKeysInSlot },
      }),
      changing('delslots', -3, '3.0.0', 'Would take slots from this node.'),
      changing('delslotsrange', -4, '7.0.0', 'Would take ranges of slots from this node.'),
      changing('failover', -2, '3.0.0', 'Would make a replica the master.'),
      changing('flushslots', 2, '3.0.0', 'Would take all slots from this node.'),
      changing('forget', 3, '3.0.0', 'Would forget a node.'),
      looking({
        name: 'getkeysinslot',
        arity: 4,
        since: '3.0.0',
        summary: 'Keys of a slot, in the whole cluster.',
        handler: { kind: 'scan', run: getKeysInSlot },
      }),
      helpCommand({ container: 'cluster', group: 'cluster', since: '5.0.0', lines: HELP }),
      looking({ name: 'info', arity: 2, since: '3.0.0', summary: 'Whether slots are served.', run: info }),
      looking({
        name: 'keyslot',
        arity: 3,
        since: '3.0.0',
        summary: 'The slot of a key.',
        run: (_session, args) => slotOf(args[2]!),
      }),
      looking({
        name: 'links',
        arity: 2,
        since: '7.0.0',
        summary: 'Links of a cluster bus; there is none.',
        differences: 'There is no cluster bus.',
        run: () => [],
      }),
      changing('meet', -4, '3.0.0', 'Would bring a node into the cluster.'),
      looking({ name: 'myid', arity: 2, since: '3.0.0', summary: 'The id of this node.', run: ownId }),
      looking({
        name: 'myshardid',
        arity: 2,
        since: '7.2.0',
        summary: 'The id of the shard of this node: its own.',
        run: ownId,
      }),
      looking({ name: 'nodes', arity: 2, since: '3.0.0', summary: 'A line about each node.', run: nodes }),
      looking({
        name: 'replicas',
        arity: 3,
        since: '5.0.0',
        summary: 'Replicas of a node; every node is a master.',
        differences: 'A node is no replica of another one: groups of ranges have replicas, and each node leads some.',
        flags: ADMIN,
        run: replicas,
      }),
      changing('replicate', 3, '3.0.0', 'Would make this node a replica.'),
      {
        ...changing('reset', -2, '3.0.0', 'Would take this node out of the cluster.'),
        flags: ['admin', 'noscript', 'stale'],
      },
      looking({
        name: 'saveconfig',
        arity: 2,
        since: '3.0.0',
        summary: 'Everything is saved at all times.',
        differences: 'Has nothing to do: the configuration is replicated.',
        flags: CHANGING,
        run: () => OK,
      }),
      changing('set-config-epoch', 3, '3.0.0', 'Would number the configuration of a new node.'),
      changing('setslot', -4, '3.0.0', 'Would move a slot.'),
      looking({ name: 'shards', arity: 2, since: '7.0.0', summary: 'Slots and nodes by group.', run: shards }),
      looking({
        name: 'slaves',
        arity: 3,
        since: '3.0.0',
        summary: 'Replicas of a node by the older name of REPLICAS.',
        differences: 'As `CLUSTER REPLICAS`.',
        flags: ADMIN,
        run: replicas,
      }),
      looking({ name: 'slots', arity: 2, since: '3.0.0', summary: 'Ranges of slots and their nodes.', run: slots }),
    ],
  },
  mode({
    name: 'readonly',
    arity: 1,
    since: '3.0.0',
    summary: 'Answers reads on this connection here instead of redirecting them.',
    differences:
      'Works on every port: a replica answers reads of any key, at one timestamp. `CLIENT KVORUM-STALENESS` bounds their age.',
    run: reading(true),
  }),
  mode({
    name: 'readwrite',
    arity: 1,
    since: '3.0.0',
    summary: 'Redirects reads on this connection again.',
    run: reading(false),
  }),
]);
