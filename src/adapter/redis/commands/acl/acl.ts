/** ACL: users of the cluster, what they may do, and what was not permitted. */
import { randomBytes } from 'node:crypto';
import { type ClientSession, defineCommands, type SelectorView, type UserView } from '../../command/index.ts';
import {
  DoubleReply,
  errors,
  integerArgument,
  MapReply,
  OK,
  RedisError,
  type Reply,
  SetReply,
  wordOf,
} from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';

const CATEGORIES_OF_USERS = ['admin', 'noscript', 'loading', 'stale'] as const;
const onUsers = declareWith({ group: 'server', flags: CATEGORIES_OF_USERS, complexity: 'O(N) in the number of users' });
const onNothing = declareWith({ group: 'server', flags: ['noscript', 'loading', 'stale'], complexity: 'O(1)' });

const GENPASS_BITS = { usual: 256, most: 4096 } as const;
/** Entries that ACL LOG shows unless it is told how many. */
const LOG_ENTRIES = 10;

const textOf = (bytes: Buffer): string => bytes.toString('latin1');
/** Bytes of a text that has one character a byte. */
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

function cat({ server }: ClientSession, args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.subcommandSyntax('ACL', 'CAT');
  if (args.length === 2) return [...server.users.categories];
  return [...server.users.commandsOf(textOf(args[2]!))];
}

function genpass(args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.subcommandSyntax('ACL', textOf(args[1]!));
  let bits = GENPASS_BITS.usual as number;
  if (args.length === 3) {
    const asked = integerArgument(args[2]!);
    if (asked <= 0n || asked > BigInt(GENPASS_BITS.most)) {
      throw new RedisError(
        `ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to ${GENPASS_BITS.most}`,
      );
    }
    bits = Number(asked);
  }
  const digits = Math.ceil(bits / 4);
  return randomBytes(Math.ceil(digits / 2))
    .toString('hex')
    .slice(0, digits);
}

const selectorRows = (selector: SelectorView): [Reply, Reply][] => [
  ['commands', bytesOf(selector.commandRules().join(' '))],
  ['keys', bytesOf(selector.keyRules().join(' '))],
  ['channels', bytesOf(selector.channelRules().join(' '))],
];

function describe(user: UserView): Reply {
  const [root, ...others] = user.selectors;
  return new MapReply([
    ['flags', new SetReply(user.flags().map((flag) => bytesOf(flag)))],
    ['passwords', user.passwordHashes.map((hash) => bytesOf(hash))],
    ...selectorRows(root!),
    ['selectors', others.map((selector) => new MapReply(selectorRows(selector)))],
  ]);
}

function log({ server }: ClientSession, args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.subcommandSyntax('ACL', textOf(args[1]!));
  if (args.length === 3 && wordOf(args[2]!) === 'reset') {
    server.users.log.reset();
    return OK;
  }
  const asked = args.length === 3 ? integerArgument(args[2]!) : BigInt(LOG_ENTRIES);
  const count = asked < 0n ? 0 : Number(asked);
  return server.users.log.entries(count).map(
    (entry) =>
      new MapReply([
        ['count', entry.count],
        ['reason', entry.reason],
        ['context', entry.context],
        ['object', entry.object],
        ['username', bytesOf(entry.userName)],
        ['age-seconds', new DoubleReply(entry.ageMs / 1000)],
        ['client-info', bytesOf(entry.clientInfo)],
      ]),
  );
}

const HELP = [
  'CAT [<category>]',
  '    The categories of commands, or what is in one of them.',
  'DELUSER <username> [<username> ...]',
  '    Takes users away and ends their connections.',
  'DRYRUN <username> <command> [<arg> ...]',
  '    Says if a user could run a command, and runs nothing.',
  'GETUSER <username>',
  '    The rules of one user.',
  'GENPASS [<bits>]',
  '    A random password, of 256 bits if not told otherwise.',
  'LIST',
  '    All users with their rules, a line each.',
  'LOAD',
  "    The users of the node's file become those of the cluster.",
  'LOG [<count> | RESET]',
  '    What was not permitted lately.',
  'SAVE',
  "    Writes the users of the cluster into the node's file.",
  'SETUSER <username> <attribute> [<attribute> ...]',
  '    Makes a user, or applies rules to one.',
  'USERS',
  '    The names of all users.',
  'WHOAMI',
  '    Who the client is.',
];

export const aclCommands = defineCommands([
  {
    name: 'acl',
    arity: -2,
    flags: [],
    group: 'server',
    since: '6.0.0',
    summary: 'Users and what they may do.',
    complexity: 'That of the subcommand',
    subcommands: [
      onNothing({
        name: 'cat',
        arity: -2,
        since: '6.0.0',
        summary: 'Categories of commands, or the commands of a category.',
        complexity: 'O(N) in the number of categories or commands',
        run: cat,
      }),
      onUsers({
        name: 'deluser',
        arity: -3,
        feature: 'redis.acl',
        since: '6.0.0',
        summary: 'Deletes users; their connections end.',
        run: ({ server }, args) => server.users.remove(args.slice(2).map(textOf)),
      }),
      onUsers({
        name: 'dryrun',
        arity: -4,
        since: '7.0.0',
        summary: 'Whether a user may run a command, without running it.',
        complexity: 'O(N) in the number of rules of the user',
        run: ({ server }, args) => {
          const refusal = server.users.dryRun(textOf(args[2]!), args.slice(3));
          return refusal === undefined ? OK : bytesOf(refusal);
        },
      }),
      onNothing({
        name: 'genpass',
        arity: -2,
        since: '6.0.0',
        summary: 'A password that nobody guesses.',
        run: (_session, args) => genpass(args),
      }),
      onUsers({
        name: 'getuser',
        arity: 3,
        since: '6.0.0',
        summary: 'The rules of a user.',
        complexity: 'O(N) in the number of rules of the user',
        run: ({ server }, args) => {
          const user = server.users.find(textOf(args[2]!));
          return user === undefined ? null : describe(user);
        },
      }),
      helpCommand({ container: 'acl', group: 'server', since: '6.0.0', lines: HELP }),
      onUsers({
        name: 'list',
        arity: 2,
        since: '6.0.0',
        summary: 'The rules of all users, a line each.',
        run: ({ server }) => server.users.all().map((user) => bytesOf(`user ${user.name} ${user.describe()}`)),
      }),
      onUsers({
        name: 'load',
        arity: 2,
        feature: 'redis.acl',
        since: '6.0.0',
        summary: "Makes the users of the node's file those of the cluster.",
        differences:
          'Reads the file of the node that the client is connected to, and changes the users of the cluster.',
        run: async ({ server }) => {
          await server.users.load();
          return OK;
        },
      }),
      onUsers({
        name: 'log',
        arity: -2,
        since: '6.0.0',
        summary: 'What was not permitted lately.',
        differences: 'Of the node that the client is connected to, which is a server of its own in this.',
        complexity: 'O(N) in the number of entries that are shown',
        run: log,
      }),
      onUsers({
        name: 'save',
        arity: 2,
        since: '6.0.0',
        summary: "Writes the users into the node's file.",
        run: async ({ server }) => {
          await server.users.save();
          return OK;
        },
      }),
      onUsers({
        name: 'setuser',
        arity: -3,
        feature: 'redis.acl',
        since: '6.0.0',
        summary: 'Makes a user, or changes what it may do.',
        differences: 'Every node of the cluster goes by the change when it is answered.',
        complexity: 'O(N) in the number of rules, and a message to each node',
        run: async ({ server }, args) => {
          await server.users.set(textOf(args[2]!), args.slice(3).map(textOf));
          return OK;
        },
      }),
      onUsers({
        name: 'users',
        arity: 2,
        since: '6.0.0',
        summary: 'The names of all users.',
        run: ({ server }) => server.users.all().map(({ name }) => bytesOf(name)),
      }),
      onNothing({
        name: 'whoami',
        arity: 2,
        since: '6.0.0',
        summary: 'The name of the user that the client is.',
        run: ({ userName }) => bytesOf(userName),
      }),
    ],
  },
]);
