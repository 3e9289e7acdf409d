/**
 * What tools ask of any server before they do anything else, for features that there is nothing of here: modules, the slow log,
 * latency events, users, channels. The answers are those of a Redis on which none was set up.
 */

import { type CommandSpec, defineCommands } from '../../command/index.ts';
import { integerArgument, OK, RedisError, type Reply } from '../../protocol/index.ts';
import { helpCommand } from '../help.ts';
import { serverSubcommand } from '../server-subcommand.ts';

/** A container without a handler of its own. */
const container = (name: string, group: CommandSpec['group'], since: string, subcommands: readonly CommandSpec[]) => ({
  name,
  arity: -2,
  flags: [],
  group,
  since,
  summary: `A container for ${name} commands`,
  complexity: 'Depends on subcommand.',
  subcommands,
});

const moduleSub = serverSubcommand({ flags: ['admin', 'noscript'] });
const slowlogSub = serverSubcommand({ flags: ['admin', 'loading', 'stale'] });
const latencySub = serverSubcommand({ flags: ['admin', 'noscript', 'loading', 'stale'] });
const aclSub = serverSubcommand({ flags: ['noscript', 'loading', 'stale'] });
const pubsubSub = (...declaration: Parameters<typeof latencySub>): CommandSpec => ({
  ...serverSubcommand({ flags: ['pubsub', 'loading', 'stale'] })(...declaration),
  group: 'pubsub',
});

/** At most one argument may follow. @throws RedisError */
function checkOptional(args: readonly Buffer[], containerName: string): void {
  if (args.length <= 3) return;
  const name = args[1]!.toString('latin1');
  throw new RedisError(`ERR unknown subcommand or wrong number of arguments for '${name}'. Try ${containerName} HELP.`);
}

function slowlogGet(args: readonly Buffer[]): Reply {
  checkOptional(args, 'SLOWLOG');
  const refusal = 'ERR count should be greater than or equal to -1';
  if (args.length === 3 && integerArgument(args[2]!, refusal) < -1n) throw new RedisError(refusal);
  return [];
}

function channels(args: readonly Buffer[]): Reply {
  checkOptional(args, 'PUBSUB');
  return [];
}

/** Nobody subscribes to anything. */
const subscribers = (args: readonly Buffer[]): Reply => args.slice(2).flatMap((channel): Reply[] => [channel, 0]);

export const diagnosticCommands = defineCommands([
  container('acl', 'server', '6.0.0', [
    helpCommand('acl', 'server', '6.0.0', ['WHOAMI', '    Return the current connection username.']),
    aclSub('whoami', 2, '6.0.0', 'Return the name of the user associated to the current connection', 'O(1)', () =>
      Buffer.from('default'),
    ),
  ]),
  container('latency', 'server', '2.8.13', [
    helpCommand('latency', 'server', '2.8.13', [
      'HISTORY <event>',
      '    Return time-latency samples for the <event> class.',
      'LATEST',
      '    Return the latest latency samples for all events.',
      'RESET [<event> ...]',
      '    Reset latency data of one or more <event> classes.',
      '    (default: reset all data for all event classes)',
    ]),
    latencySub('history', 3, '2.8.13', 'Return timestamp-latency samples for the event.', 'O(1)', () => []),
    latencySub('latest', 2, '2.8.13', 'Return the latest latency samples for all events.', 'O(1)', () => []),
    latencySub('reset', -2, '2.8.13', 'Reset latency data for one or more events.', 'O(1)', () => 0),
  ]),
  container('module', 'server', '4.0.0', [
    helpCommand('module', 'server', '5.0.0', ['LIST', '    Return a list of loaded modules.']),
    moduleSub(
      'list',
      2,
      '4.0.0',
      'List all modules loaded by the server',
      'O(N) where N is the number of loaded modules.',
      () => [],
    ),
  ]),
  container('pubsub', 'pubsub', '2.8.0', [
    pubsubSub('channels', -2, '2.8.0', 'List active channels', 'O(1)', (_session, args) => channels(args)),
    helpCommand('pubsub', 'pubsub', '6.2.0', [
      'CHANNELS [<pattern>]',
      "    Return the currently active channels matching a <pattern> (default: '*').",
      'NUMPAT',
      '    Return number of subscriptions to patterns.',
      'NUMSUB [<channel> ...]',
      '    Return the number of subscribers for the specified channels, excluding',
      '    pattern subscriptions(default: no channels).',
      'SHARDCHANNELS [<pattern>]',
      "    Return the currently active shard level channels matching a <pattern> (default: '*').",
      'SHARDNUMSUB [<shardchannel> ...]',
      '    Return the number of subscribers for the specified shard level channel(s)',
    ]),
    pubsubSub('numpat', 2, '2.8.0', 'Get the count of unique patterns pattern subscriptions', 'O(1)', () => 0),
    pubsubSub('numsub', -2, '2.8.0', 'Get the count of subscribers for channels', 'O(N)', (_session, args) =>
      subscribers(args),
    ),
    pubsubSub('shardchannels', -2, '7.0.0', 'List active shard channels', 'O(1)', (_session, args) => channels(args)),
    pubsubSub('shardnumsub', -2, '7.0.0', 'Get the count of subscribers for shard channels', 'O(N)', (_c, args) =>
      subscribers(args),
    ),
  ]),
  container('slowlog', 'server', '2.2.12', [
    slowlogSub('get', -2, '2.2.12', "Get the slow log's entries", 'O(1)', (_session, args) => slowlogGet(args)),
    helpCommand('slowlog', 'server', '6.2.0', [
      'GET [<count>]',
      '    Return top <count> entries from the slowlog (default: 10, -1 mean all).',
      '    Entries are made of:',
      '    id, timestamp, time in microseconds, arguments array, client IP and port,',
      '    client name',
      'LEN',
      '    Return the length of the slowlog.',
      'RESET',
      '    Reset the slowlog.',
    ]),
    slowlogSub('len', 2, '2.2.12', "Get the slow log's length", 'O(1)', () => 0),
    slowlogSub('reset', 2, '2.2.12', 'Clear all entries from the slow log', 'O(1)', () => OK),
  ]),
]);
