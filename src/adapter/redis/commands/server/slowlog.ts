/** SLOWLOG: the commands of this node's clients that took long to evaluate. */
import { type ClientSession, defineCommands } from '../../command/index.ts';
import { errors, integerArgument, OK, RedisError, type Reply } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';

const DEFAULT_COUNT = 10;

function get({ server }: ClientSession, args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.subcommandSyntax('SLOWLOG', args[1]!.toString('latin1'));
  const refusal = 'ERR count should be greater than or equal to -1';
  const { slowLog } = server.watch;
  const asked = args.length === 3 ? Number(integerArgument(args[2]!, refusal)) : DEFAULT_COUNT;
  if (asked < -1) throw new RedisError(refusal);
  const entries = slowLog.latest(asked === -1 ? slowLog.length : asked);
  return entries.map(({ id, atSeconds, micros, args: shown, address, name }) => [
    ...[id, atSeconds, micros],
    shown,
    address,
    name,
  ]);
}

const sub = declareWith({ group: 'server', flags: ['admin', 'loading', 'stale'], complexity: 'O(1)' });

export const slowlogCommands = defineCommands([
  {
    name: 'slowlog',
    arity: -2,
    flags: [],
    group: 'server',
    since: '2.2.12',
    summary: 'Has the slowlog commands.',
    complexity: 'That of the subcommand',
    subcommands: [
      sub({
        name: 'get',
        arity: -2,
        since: '2.2.12',
        summary: 'Commands that took long.',
        differences:
          'Of the clients of this node, wherever a command was evaluated. What a script calls is not listed beside it. At most 16,384 entries are kept.',
        complexity: 'O(N) in the number of entries',
        run: get,
      }),
      helpCommand({
        container: 'slowlog',
        group: 'server',
        since: '6.2.0',
        lines: [
          'GET [<count>]',
          '    The latest <count> commands that took long (10, or all with -1).',
          '    Each has a number, when it ended, how many microseconds it was evaluated,',
          '    its arguments, and the address and name of its client.',
          'LEN',
          '    How many are recorded.',
          'RESET',
          '    Forgets them.',
        ],
      }),
      sub({
        name: 'len',
        arity: 2,
        since: '2.2.12',
        summary: 'How many slow commands are recorded.',
        run: ({ server }) => server.watch.slowLog.length,
      }),
      sub({
        name: 'reset',
        arity: 2,
        since: '2.2.12',
        summary: 'Forgets slow commands.',
        run: ({ server }) => {
          server.watch.slowLog.reset();
          return OK;
        },
      }),
    ],
  },
]);
