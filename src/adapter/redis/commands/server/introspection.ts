/** COMMAND: the command table as clients see it. */

import { categoriesOf } from '../../acl/index.ts';
import {
  arityAccepts,
  type ClientSession,
  type CommandCatalogue,
  type DeclaredCommand,
  defineCommands,
  type KeyPositions,
  keyIndexes,
} from '../../command/index.ts';
import {
  errors,
  globMatches,
  MapReply,
  RedisError,
  type Reply,
  SetReply,
  SimpleString,
  wordOf,
} from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { keySpecsReply, keysWithFlags } from './key-specs.ts';

/** First, last and step as COMMAND INFO reports them; commands whose keys move report none. */
function positionsOf(keys: KeyPositions | undefined): readonly [number, number, number] {
  return keys === undefined || typeof keys === 'function' ? [0, 0, 0] : [keys.first, keys.last, keys.step];
}

/** A command as COMMAND INFO answers it. */
function describe(command: DeclaredCommand): Reply {
  const { spec } = command;
  return [
    command.fullName,
    spec.arity,
    new SetReply(spec.flags.map((flag) => new SimpleString(flag))),
    ...positionsOf(spec.keys ?? spec.slotChannels),
    new SetReply(categoriesOf(command).map((category) => new SimpleString(`@${category}`))),
    [],
    keySpecsReply(command.fullName, spec),
    [...(command.subcommands?.values() ?? [])].map(describe),
  ];
}

/** A command's documentation as COMMAND DOCS answers it. */
function document(command: DeclaredCommand): Reply {
  const { spec } = command;
  const rows: [Reply, Reply][] = [
    ['summary', spec.summary],
    ['since', spec.since],
    ['group', spec.group],
  ];
  if (spec.complexity !== undefined) rows.push(['complexity', spec.complexity]);
  if (command.subcommands !== undefined) {
    const subs = [...command.subcommands.values()].map((sub): [Reply, Reply] => [sub.fullName, document(sub)]);
    rows.push(['subcommands', new MapReply(subs)]);
  }
  return new MapReply(rows);
}

function info({ table }: { table: CommandCatalogue }, names: readonly Buffer[]): Reply {
  if (names.length === 0) return table.commands.map(describe);
  return names.map((name) => {
    const command = table.findByFullName(name.toString('latin1'));
    return command === undefined ? null : describe(command);
  });
}

function docs({ table }: { table: CommandCatalogue }, names: readonly Buffer[]): Reply {
  const commands =
    names.length === 0 ? table.commands : names.flatMap((name) => table.findByFullName(name.toString('latin1')) ?? []);
  return new MapReply(commands.map((command) => [command.fullName, document(command)]));
}

function list({ table }: { table: CommandCatalogue }, args: readonly Buffer[]): Reply {
  const all = table.commands.flatMap((command) => [command, ...(command.subcommands?.values() ?? [])]);
  if (args.length === 2) return all.map(({ fullName }) => fullName);
  if (args.length !== 5 || wordOf(args[2]!) !== 'filterby') throw errors.syntax();
  const filter = wordOf(args[3]!);
  const wanted = args[4]!;
  switch (filter) {
    case 'module':
      return [];
    case 'aclcat':
      return all.filter((one) => categoriesOf(one).includes(wordOf(wanted))).map(({ fullName }) => fullName);
    case 'pattern':
      return all.filter(({ fullName }) => globMatches(wanted, Buffer.from(fullName), true)).map((one) => one.fullName);
    default:
      throw errors.syntax();
  }
}

/** A full command behind `COMMAND GETKEYS`, which has keys. @throws RedisError */
function commandWithKeys(
  { server }: ClientSession,
  args: readonly Buffer[],
): { readonly command: DeclaredCommand; readonly call: readonly Buffer[] } {
  const call = args.slice(2);
  const command = server.table.resolve(call);
  if (command === undefined) throw new RedisError('ERR Invalid command specified');
  if (command.spec.keys === undefined) throw new RedisError('ERR The command has no key arguments');
  if (!arityAccepts(command.spec.arity, call.length)) {
    throw new RedisError('ERR Invalid number of arguments specified for command');
  }
  if (keyIndexes(command.spec, call).length === 0 && !command.spec.flags.includes('no_mandatory_keys')) {
    throw new RedisError('ERR Invalid arguments specified for command');
  }
  return { command, call };
}

const sub = declareWith({
  group: 'server',
  flags: ['loading', 'stale'],
  aclCategories: ['connection'],
  complexity: 'O(N) in the number of commands that are named',
});

const HELP = [
  '(no subcommand)',
  '    What is known of every command.',
  'COUNT',
  '    How many commands there are.',
  'LIST',
  '    The names of all commands.',
  'INFO [<command-name> ...]',
  '    Arity, flags and keys of the commands that are named,',
  '    of all commands when none is.',
  'DOCS [<command-name> ...]',
  '    What the commands that are named do,',
  '    of all commands when none is.',
  'GETKEYS <full-command>',
  '    The keys that a command would use.',
  'GETKEYSANDFLAGS <full-command>',
  '    The keys that a command would use, and how.',
];

export const introspectionCommands = defineCommands([
  {
    name: 'command',
    arity: -1,
    flags: ['loading', 'stale'],
    group: 'server',
    aclCategories: ['connection'],
    since: '2.8.13',
    summary: 'What is known of every command.',
    complexity: 'O(N) in the number of commands',
    handler: { kind: 'connection', run: ({ server }) => info(server, []) },
    subcommands: [
      sub({
        name: 'count',
        arity: 2,
        since: '2.8.13',
        summary: 'How many commands there are.',
        complexity: 'O(1)',
        run: ({ server }) => server.table.size,
      }),
      sub({
        name: 'docs',
        arity: -2,
        since: '7.0.0',
        summary: 'What commands do.',
        differences: 'In words of our own; arguments are not described.',
        run: ({ server }, args) => docs(server, args.slice(2)),
      }),
      sub({
        name: 'getkeys',
        arity: -4,
        since: '2.8.13',
        summary: 'The keys that a command would use.',
        complexity: 'O(N) in the number of arguments',
        run: (session, args) => {
          const { command, call } = commandWithKeys(session, args);
          return keyIndexes(command.spec, call).map((at) => call[at]!);
        },
      }),
      sub({
        name: 'getkeysandflags',
        arity: -4,
        since: '7.0.0',
        summary: 'The keys that a command would use, and how.',
        complexity: 'O(N) in the number of arguments',
        run: (session, args) => {
          const { command, call } = commandWithKeys(session, args);
          return keysWithFlags(command.fullName, command.spec, call);
        },
      }),
      helpCommand({
        container: 'command',
        group: 'server',
        since: '5.0.0',
        aclCategories: ['connection'],
        lines: HELP,
      }),
      sub({
        name: 'info',
        arity: -2,
        since: '2.8.13',
        summary: 'Arity, flags and keys of commands, of all when none is named.',
        differences:
          'There are no tips and no notes: every node answers for the whole cluster, so no command is to be sent to all of them.',
        run: ({ server }, args) => info(server, args.slice(2)),
      }),
      sub({
        name: 'list',
        arity: -2,
        since: '7.0.0',
        summary: 'The names of all commands, or of those that a filter lets through.',
        complexity: 'O(N) in the number of commands',
        run: ({ server }, args) => list(server, args),
      }),
    ],
  },
]);
