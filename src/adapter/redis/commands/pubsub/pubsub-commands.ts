/** The declarations of the commands about messages; `messages.ts` runs them. */
import { defineCommands } from '../../command/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { listeners, names, publish, publishToShard, subscribe, unsubscribe } from './messages.ts';

const FROM_ALL_NODES = 'Counts the clients of all nodes.';

const messaging = { group: 'pubsub', feature: 'redis.messaging' } as const;
const listening = declareWith({
  ...messaging,
  flags: ['pubsub', 'noscript', 'loading', 'stale'],
  complexity: 'O(N) in the number of names',
});
const publishing = declareWith({
  ...messaging,
  flags: ['pubsub', 'loading', 'stale', 'fast'],
  complexity: 'O(N+M) in the number of receivers and that of patterns that anybody listens to',
});
const pubsub = declareWith({ group: 'pubsub', complexity: 'O(1)', flags: ['pubsub', 'loading', 'stale'] });

const ALL_ARGUMENTS = { first: 1, last: -1, step: 1 } as const;

const HELP = [
  'CHANNELS [<pattern>]',
  '    Channels that somebody listens to, all or those that <pattern> fits.',
  'NUMPAT',
  '    How many patterns somebody listens to.',
  'NUMSUB [<channel> ...]',
  '    How many clients listen to each channel, those that do so',
  '    by a pattern left out.',
  'SHARDCHANNELS [<pattern>]',
  '    As CHANNELS, of the channels that belong to a shard.',
  'SHARDNUMSUB [<shardchannel> ...]',
  '    As NUMSUB, of the channels that belong to a shard.',
];

export const pubsubCommands = defineCommands([
  listening({
    name: 'psubscribe',
    arity: -2,
    since: '2.0.0',
    summary: 'Listens to all channels that patterns fit.',
    run: subscribe('pattern'),
  }),
  publishing({
    name: 'publish',
    arity: 3,
    since: '2.0.0',
    summary: 'Sends a message to all who listen to a channel, on any node.',
    differences: `${FROM_ALL_NODES} In \`MULTI\` it leaves when the transaction has taken effect.`,
    isBehindAll: true,
    run: publish,
  }),
  {
    name: 'pubsub',
    arity: -2,
    flags: [],
    group: 'pubsub',
    since: '2.8.0',
    summary: 'Says who listens to what.',
    complexity: 'That of the subcommand',
    subcommands: [
      pubsub({
        name: 'channels',
        arity: -2,
        since: '2.8.0',
        summary: 'Channels that somebody listens to.',
        differences: FROM_ALL_NODES,
        complexity: 'O(N) in the number of channels',
        run: names('channel'),
      }),
      helpCommand({ container: 'pubsub', group: 'pubsub', since: '6.2.0', lines: HELP }),
      pubsub({
        name: 'numpat',
        arity: 2,
        since: '2.8.0',
        summary: 'How many patterns somebody listens to.',
        differences: FROM_ALL_NODES,
        run: ({ server }) => server.messages.counters.topics.pattern,
      }),
      pubsub({
        name: 'numsub',
        arity: -2,
        since: '2.8.0',
        summary: 'How many clients listen to channels.',
        differences: FROM_ALL_NODES,
        complexity: 'O(N) in the number of channels',
        run: listeners('channel'),
      }),
      pubsub({
        name: 'shardchannels',
        arity: -2,
        since: '7.0.0',
        summary: 'Channels of shards that somebody listens to.',
        differences: FROM_ALL_NODES,
        complexity: 'O(N) in the number of channels',
        run: names('shard'),
      }),
      pubsub({
        name: 'shardnumsub',
        arity: -2,
        since: '7.0.0',
        summary: 'How many clients listen to channels of shards.',
        differences: FROM_ALL_NODES,
        complexity: 'O(N) in the number of channels',
        run: listeners('shard'),
      }),
    ],
  },
  listening({
    name: 'punsubscribe',
    arity: -1,
    since: '2.0.0',
    summary: 'Ends listening to patterns, to all when none is named.',
    run: unsubscribe('pattern'),
  }),
  publishing({
    name: 'spublish',
    arity: 3,
    slotChannels: { first: 1, last: 1, step: 1 },
    since: '7.0.0',
    summary: 'Sends a message to all who listen to a channel of a shard, on any node.',
    differences: `${FROM_ALL_NODES} The leader of the slot sends it, so all get the messages of a channel in one order.`,
    isBehindAll: true,
    run: publishToShard,
  }),
  listening({
    name: 'ssubscribe',
    arity: -2,
    slotChannels: ALL_ARGUMENTS,
    since: '7.0.0',
    summary: 'Listens to channels of a shard.',
    differences: 'Any node will do, unless the client wants `MOVED`.',
    run: subscribe('shard'),
  }),
  listening({
    name: 'subscribe',
    arity: -2,
    since: '2.0.0',
    summary: 'Listens to channels.',
    differences: 'Answers when all nodes know, so that whatever is published after the answer comes.',
    run: subscribe('channel'),
  }),
  listening({
    name: 'sunsubscribe',
    arity: -1,
    slotChannels: ALL_ARGUMENTS,
    since: '7.0.0',
    summary: 'Ends listening to channels of shards, to all when none is named.',
    run: unsubscribe('shard'),
  }),
  listening({
    name: 'unsubscribe',
    arity: -1,
    since: '2.0.0',
    summary: 'Ends listening to channels, to all when none is named.',
    run: unsubscribe('channel'),
  }),
]);
