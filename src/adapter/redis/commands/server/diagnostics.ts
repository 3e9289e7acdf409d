/**
 * What tools ask of any server before they do anything else, for features that there is nothing of here: modules, the slow log,
 * latency events, users. The answers are those of a Redis on which none was set up.
 */

import { type CommandGroup, type CommandSpec, defineCommands } from '../../command/index.ts';
import { integerArgument, OK, RedisError, type Reply } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';

/** A container without a handler of its own. */
const container = (
  name: string,
  group: CommandGroup,
  since: string,
  subcommands: readonly CommandSpec[],
): CommandSpec => ({
  name,
  arity: -2,
  flags: [],
  group,
  since,
  summary: `Has the ${name} commands.`,
  complexity: 'That of the subcommand',
  subcommands,
});

const server = { group: 'server', complexity: 'O(1)' } as const;
const NO_EVENTS = { standing: 'empty', differences: 'No latency events are recorded.' } as const;
const NO_MODULES = { differences: 'There are no modules.' } as const;
const NO_SLOW_LOG = { standing: 'empty', differences: 'Slow commands are not recorded.' } as const;
const acl = declareWith({ ...server, flags: ['noscript', 'loading', 'stale'] });
const latency = declareWith({ ...server, ...NO_EVENTS, flags: ['admin', 'noscript', 'loading', 'stale'] });
const modules = declareWith({ ...server, ...NO_MODULES, flags: ['admin', 'noscript'] });
const slowlog = declareWith({ ...server, ...NO_SLOW_LOG, flags: ['admin', 'loading', 'stale'] });

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

export const diagnosticCommands = defineCommands([
  container('acl', 'server', '6.0.0', [
    helpCommand({
      container: 'acl',
      group: 'server',
      since: '6.0.0',
      lines: ['WHOAMI', '    Who the client is: default, the one user.'],
    }),
    acl({
      name: 'whoami',
      arity: 2,
      since: '6.0.0',
      summary: 'Who the client is.',
      differences: 'There is one user, `default`.',
      run: () => Buffer.from('default'),
    }),
  ]),
  container('latency', 'server', '2.8.13', [
    helpCommand({
      container: 'latency',
      group: 'server',
      since: '2.8.13',
      lines: [
        'HISTORY <event>',
        '    How long <event> took lately; no events are recorded.',
        'LATEST',
        '    How long each event took the last time; no events are recorded.',
        'RESET [<event> ...]',
        '    Forgets what was recorded of the events that are named,',
        '    of all of them when none is.',
      ],
    }),
    latency({
      name: 'history',
      arity: 3,
      since: '2.8.13',
      summary: 'How long an event took lately; none is recorded.',
      run: () => [],
    }),
    latency({
      name: 'latest',
      arity: 2,
      since: '2.8.13',
      summary: 'How long events took the last time; none is recorded.',
      run: () => [],
    }),
    latency({ name: 'reset', arity: -2, since: '2.8.13', summary: 'Forgets events.', run: () => 0 }),
  ]),
  container('module', 'server', '4.0.0', [
    helpCommand({
      container: 'module',
      group: 'server',
      since: '5.0.0',
      lines: ['LIST', '    The modules of the server; there are none.'],
    }),
    modules({
      name: 'list',
      arity: 2,
      since: '4.0.0',
      summary: 'The modules of the server; there are none.',
      run: () => [],
    }),
  ]),
  container('slowlog', 'server', '2.2.12', [
    slowlog({
      name: 'get',
      arity: -2,
      since: '2.2.12',
      summary: 'Commands that took long; none is recorded.',
      run: (_session, args) => slowlogGet(args),
    }),
    helpCommand({
      container: 'slowlog',
      group: 'server',
      since: '6.2.0',
      lines: [
        'GET [<count>]',
        '    The latest <count> commands that took long (10, or all with -1).',
        '    Each has a number, when it began, how many microseconds it took,',
        '    its arguments, and the address and name of its client.',
        '    None is recorded here.',
        'LEN',
        '    How many are recorded.',
        'RESET',
        '    Forgets them.',
      ],
    }),
    slowlog({ name: 'len', arity: 2, since: '2.2.12', summary: 'How many slow commands are recorded.', run: () => 0 }),
    slowlog({ name: 'reset', arity: 2, since: '2.2.12', summary: 'Forgets slow commands.', run: () => OK }),
  ]),
]);
