/** XGROUP: groups and their consumers. */
import { MIN_ID, newStream, openStream, type StreamBody, type StreamGroup, UNKNOWN_READ } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, integerArgument, OK, optionName, RedisError, type Reply } from '../../protocol/index.ts';
import { helpCommand } from '../help.ts';
import { newConsumer } from './consumers.ts';
import { declareSubcommand, noGroupOfKey } from './declare-stream.ts';
import { idArgument, isSign } from './ids.ts';

const HELP: readonly string[] = [
  'CREATE <key> <groupname> <id|$> [option]',
  '    Makes a group that begins behind <id>, or behind the last entry.',
  '    MKSTREAM makes a stream without entries if there is none,',
  '    ENTRIESREAD <count> says how many entries there were up to <id>.',
  'CREATECONSUMER <key> <groupname> <consumer>',
  '    Makes a consumer of the group.',
  'DELCONSUMER <key> <groupname> <consumer>',
  '    Removes a consumer, and what is pending of it.',
  'DESTROY <key> <groupname>',
  '    Removes the group.',
  'SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]',
  '    Lets the group go on behind <id>, or behind the last entry.',
];

interface GroupOptions {
  readonly makesStream: boolean;
  readonly entriesRead: bigint;
}

/** What follows the id. @throws RedisError */
function parseOptions(args: readonly Buffer[], mayMakeStream: boolean): GroupOptions {
  let makesStream = false;
  let entriesRead = UNKNOWN_READ;
  for (let at = 5; at < args.length; at++) {
    const name = optionName(args[at]!);
    const argument = args[at + 1];
    if (mayMakeStream && name === 'MKSTREAM') makesStream = true;
    else if (name === 'ENTRIESREAD' && argument !== undefined) {
      entriesRead = integerArgument(argument);
      if (entriesRead < UNKNOWN_READ) throw new RedisError('ERR value for ENTRIESREAD must be positive or -1');
      at++;
    } else throw errors.subcommandSyntax('XGROUP', args[1]!.toString('latin1'));
  }
  return { makesStream, entriesRead };
}

/** @throws RedisError */
function requireStream(stream: StreamBody | undefined): StreamBody {
  if (stream !== undefined) return stream;
  throw new RedisError(
    'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty ' +
      'stream automatically.',
  );
}

/** The stream and the group that a subcommand names. @throws RedisError */
function opened(ctx: CommandContext, args: readonly Buffer[]): { stream: StreamBody; group: StreamGroup } {
  const stream = requireStream(openStream(ctx, args[2]!));
  const group = stream.group(args[3]!);
  if (group === undefined) throw noGroupOfKey(args[2]!, args[3]!);
  return { stream, group };
}

/** The id that a group is to begin behind. @throws RedisError */
const idOf = (stream: StreamBody | undefined, argument: Buffer): Buffer =>
  isSign(argument, '$') ? (stream?.lastId ?? MIN_ID) : idArgument(argument);

/** Most arguments: both options once. */
const MOST_OF_CREATE = 8;

function create(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { makesStream, entriesRead } = parseOptions(args, true);
  const [key, name] = [args[2]!, args[3]!];
  const before = openStream(ctx, key);
  if (!makesStream) requireStream(before);
  if (args.length > MOST_OF_CREATE) throw errors.subcommandSyntax('XGROUP', args[1]!.toString('latin1'));
  const id = idOf(before, args[4]!);
  const stream = before ?? newStream(ctx, key);
  if (stream.group(name) !== undefined) throw new RedisError('BUSYGROUP Consumer Group name already exists');
  stream.createGroup(name, id, entriesRead);
  stream.save();
  ctx.event('stream', 'xgroup-create', key);
  return OK;
}

function setId(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { entriesRead } = parseOptions(args, false);
  const { stream, group } = opened(ctx, args);
  if (args.length > 7) throw errors.subcommandSyntax('XGROUP', args[1]!.toString('latin1'));
  group.lastDelivered = Buffer.from(idOf(stream, args[4]!));
  group.entriesRead = entriesRead;
  stream.save();
  ctx.event('stream', 'xgroup-setid', args[2]!);
  return OK;
}

function destroy(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const stream = requireStream(openStream(ctx, args[2]!));
  const isDestroyed = stream.destroyGroup(args[3]!);
  stream.save();
  if (isDestroyed) ctx.event('stream', 'xgroup-destroy', args[2]!);
  return isDestroyed ? 1 : 0;
}

function createConsumer(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { stream, group } = opened(ctx, args);
  if (group.consumer(args[4]!) !== undefined) return 0;
  newConsumer(ctx, args[2]!, group, args[4]!);
  stream.save();
  return 1;
}

function deleteConsumer(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { stream, group } = opened(ctx, args);
  const pending = group.deleteConsumer(args[4]!);
  stream.save();
  if (pending !== undefined) ctx.event('stream', 'xgroup-delconsumer', args[2]!);
  return pending ?? 0;
}

export const groupCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'xgroup',
    arity: -2,
    flags: [],
    group: 'stream',
    since: '5.0.0',
    summary: 'A container for commands on consumer groups.',
    subcommands: [
      declareSubcommand({
        name: 'create',
        arity: -5,
        flags: ['write', 'denyoom'],
        summary: 'Makes a consumer group.',
        complexity: 'O(1)',
        run: create,
      }),
      declareSubcommand({
        name: 'setid',
        arity: -5,
        flags: ['write'],
        summary: 'Sets the last id that a group was given.',
        complexity: 'O(1)',
        run: setId,
      }),
      declareSubcommand({
        name: 'destroy',
        arity: 4,
        flags: ['write'],
        summary: 'Removes a consumer group.',
        complexity: 'O(1) for the client: a large group goes in slices afterwards',
        run: destroy,
      }),
      declareSubcommand({
        name: 'createconsumer',
        arity: 5,
        flags: ['write', 'denyoom'],
        since: '6.2.0',
        summary: 'Makes a consumer of a group.',
        complexity: 'O(1)',
        run: createConsumer,
      }),
      declareSubcommand({
        name: 'delconsumer',
        arity: 5,
        flags: ['write'],
        summary: 'Removes a consumer of a group, with what is pending of it.',
        complexity: 'O(1) for the client: what is pending of it goes in slices afterwards when it is much',
        run: deleteConsumer,
      }),
      helpCommand({ container: 'xgroup', group: 'stream', since: '5.0.0', lines: HELP }),
    ],
  },
]);
