/** COMMAND: the command table as clients see it. */

import {
  arityAccepts,
  type ClientSession,
  type CommandCatalogue,
  type CommandDeclaration,
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
import { helpCommand } from '../help.ts';
import { serverSubcommand } from '../server-subcommand.ts';

/** ACL categories in the order in which Redis lists them. */
const CATEGORIES = [
  'keyspace',
  'read',
  'write',
  'set',
  'sortedset',
  'list',
  'hash',
  'string',
  'bitmap',
  'hyperloglog',
  'geo',
  'stream',
  'pubsub',
  'admin',
  'fast',
  'slow',
  'blocking',
  'dangerous',
  'connection',
  'transaction',
  'scripting',
] as const;

/** Categories that follow from a command's group. */
const CATEGORY_BY_GROUP: Readonly<Partial<Record<CommandDeclaration['group'], string>>> = {
  string: 'string',
  bitmap: 'bitmap',
  generic: 'keyspace',
  connection: 'connection',
  transactions: 'transaction',
  hash: 'hash',
  list: 'list',
  set: 'set',
  'sorted-set': 'sortedset',
  stream: 'stream',
  pubsub: 'pubsub',
  scripting: 'scripting',
  hyperloglog: 'hyperloglog',
  geo: 'geo',
};

/** ACL categories of a command, without `@`. */
export function categoriesOf({ spec, subcommands }: DeclaredCommand): string[] {
  const { flags } = spec;
  const found = new Set<string>(spec.aclCategories);
  found.add(flags.includes('fast') ? 'fast' : 'slow');
  if (flags.includes('write')) found.add('write');
  if (flags.includes('readonly')) found.add('read');
  if (flags.includes('blocking')) found.add('blocking');
  if (flags.includes('admin')) {
    found.add('admin');
    found.add('dangerous');
  }
  if (flags.includes('pubsub')) found.add('pubsub');
  const touchesKeys = flags.includes('write') || flags.includes('readonly');
  const byGroup = subcommands === undefined ? CATEGORY_BY_GROUP[spec.group] : undefined;
  if (byGroup !== undefined && (byGroup !== 'keyspace' || touchesKeys)) found.add(byGroup);
  return CATEGORIES.filter((category) => found.has(category));
}

/** First, last and step as COMMAND INFO reports them; commands whose keys move report none. */
function positionsOf(keys: KeyPositions | undefined): readonly [number, number, number] {
  return keys === undefined || typeof keys === 'function' ? [0, 0, 0] : [keys.first, keys.last, keys.step];
}

const keyFlags = (spec: CommandDeclaration): Reply[] =>
  (spec.flags.includes('write') ? ['RW', 'access', 'update'] : ['RO', 'access']).map((flag) => new SimpleString(flag));

function keySpecs(spec: CommandDeclaration): Reply {
  const { keys } = spec;
  if (keys === undefined || typeof keys === 'function') return [];
  const range = new MapReply([
    ['lastkey', keys.last < 0 ? keys.last : keys.last - keys.first],
    ['keystep', keys.step],
    ['limit', 0],
  ]);
  return [
    new MapReply([
      ['flags', new SetReply(keyFlags(spec))],
      ['begin_search', typed('index', new MapReply([['index', keys.first]]))],
      ['find_keys', typed('range', range)],
    ]),
  ];
}

const typed = (type: string, spec: Reply): Reply =>
  new MapReply([
    ['type', type],
    ['spec', spec],
  ]);

/** A command as COMMAND INFO answers it. */
function describe(command: DeclaredCommand): Reply {
  const { spec } = command;
  return [
    command.fullName,
    spec.arity,
    new SetReply(spec.flags.map((flag) => new SimpleString(flag))),
    ...positionsOf(spec.keys),
    new SetReply(categoriesOf(command).map((category) => new SimpleString(`@${category}`))),
    [],
    keySpecs(spec),
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

/** The declaration and the key positions of a full command behind `COMMAND GETKEYS`. @throws RedisError */
function keysOf(
  session: ClientSession,
  args: readonly Buffer[],
): { readonly spec: CommandDeclaration; readonly keys: Buffer[] } {
  const call = args.slice(2);
  const command = session.server.table.resolve(call);
  if (command === undefined) throw new RedisError('ERR Invalid command specified');
  if (command.spec.keys === undefined) throw new RedisError('ERR The command has no key arguments');
  if (!arityAccepts(command.spec.arity, call.length)) {
    throw new RedisError('ERR Invalid number of arguments specified for command');
  }
  const indexes = keyIndexes(command.spec, call);
  if (indexes.length === 0) throw new RedisError('ERR Invalid arguments specified for command');
  return { spec: command.spec, keys: indexes.map((index) => call[index]!) };
}

const sub = serverSubcommand({ flags: ['loading', 'stale'], aclCategories: ['connection'] });

export const introspectionCommands = defineCommands([
  {
    name: 'command',
    arity: -1,
    flags: ['loading', 'stale'],
    group: 'server',
    aclCategories: ['connection'],
    since: '2.8.13',
    summary: 'Get array of Redis command details',
    complexity: 'O(N) where N is the total number of Redis commands',
    handler: { kind: 'connection', run: (session) => info(session.server, []) },
    subcommands: [
      sub('count', 2, '2.8.13', 'Get total number of Redis commands', 'O(1)', (session) => session.server.table.size),
      sub(
        'docs',
        -2,
        '7.0.0',
        'Get array of specific Redis command documentation',
        'O(N) where N is the number of commands to look up',
        (session, args) => docs(session.server, args.slice(2)),
      ),
      sub(
        'getkeys',
        -4,
        '2.8.13',
        'Extract keys given a full Redis command',
        'O(N) where N is the number of arguments to the command',
        (session, args) => keysOf(session, args).keys,
      ),
      sub(
        'getkeysandflags',
        -4,
        '7.0.0',
        'Extract keys and access flags given a full Redis command',
        'O(N) where N is the number of arguments to the command',
        (session, args) => {
          const { spec, keys } = keysOf(session, args);
          return keys.map((key) => [key, new SetReply(keyFlags(spec))]);
        },
      ),
      helpCommand('command', 'server', '5.0.0', [
        '(no subcommand)',
        '    Return details about all Redis commands.',
        'COUNT',
        '    Return the total number of commands in this Redis server.',
        'LIST',
        '    Return a list of all commands in this Redis server.',
        'INFO [<command-name> ...]',
        '    Return details about multiple Redis commands.',
        '    If no command names are given, documentation details for all',
        '    commands are returned.',
        'DOCS [<command-name> ...]',
        '    Return documentation details about multiple Redis commands.',
        '    If no command names are given, documentation details for all',
        '    commands are returned.',
        'GETKEYS <full-command>',
        '    Return the keys from a full Redis command.',
        'GETKEYSANDFLAGS <full-command>',
        '    Return the keys and the access flags from a full Redis command.',
      ]),
      sub(
        'info',
        -2,
        '2.8.13',
        'Get array of specific Redis command details, or all when no argument is given.',
        'O(N) where N is the number of commands to look up',
        (session, args) => info(session.server, args.slice(2)),
      ),
      sub(
        'list',
        -2,
        '7.0.0',
        'Get an array of Redis command names',
        'O(N) where N is the total number of Redis commands',
        (session, args) => list(session.server, args),
      ),
    ],
  },
]);
