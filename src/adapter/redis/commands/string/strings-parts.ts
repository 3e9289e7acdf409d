/** Commands over parts of a string: APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE. */
import { openString } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, isBackwards, RedisError, type Reply, requirePosition } from '../../protocol/index.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;
const EMPTY: Buffer = Buffer.alloc(0);

function requireStringLength(ctx: CommandContext, bytes: number): void {
  if (bytes > ctx.maxStringBytes) throw errors.stringTooLong();
}

function append(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const added = args[2]!;
  const string = openString(ctx, args[1]!);
  if (string.exists) requireStringLength(ctx, string.length + added.length);
  string.append(added);
  string.save();
  ctx.event('string', 'append', args[1]!);
  return string.length;
}

function length(ctx: CommandContext, args: readonly Buffer[]): Reply {
  return openString(ctx, args[1]!).length;
}

function getRange(ctx: CommandContext, args: readonly Buffer[]): Reply {
  let start = requirePosition(args[2]!);
  let end = requirePosition(args[3]!);
  const string = openString(ctx, args[1]!);
  if (start < 0 && end < 0 && isBackwards(args[2]!, args[3]!)) return EMPTY;
  if (start < 0) start = Math.max(0, string.length + start);
  if (end < 0) end = Math.max(0, string.length + end);
  return string.slice(start, end + 1);
}

function setRange(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const offset = requirePosition(args[2]!);
  const part = args[3]!;
  if (offset < 0) throw new RedisError('ERR offset is out of range');
  const string = openString(ctx, args[1]!);
  if (part.length === 0) return string.length;
  requireStringLength(ctx, offset + part.length);
  string.write(offset, part);
  string.save();
  ctx.event('string', 'setrange', args[1]!);
  return string.length;
}

const GETRANGE: Omit<CommandSpec, 'name' | 'since'> = {
  arity: 4,
  flags: ['readonly'],
  keys: ONE_KEY,
  group: 'string',
  summary: 'Reads a part of a string by the positions of its first and last byte.',
  complexity: 'O(N) in the length of the reply',
  handler: { kind: 'data', run: getRange },
};

export const stringPartCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'append',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '2.0.0',
    summary: 'Adds bytes to the end of a string, which is made when it does not exist.',
    complexity: 'O(N) in the number of bytes that are added',
    handler: { kind: 'data', run: append },
  },
  {
    name: 'strlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '2.2.0',
    summary: 'Length of a string in bytes.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: length },
  },
  { ...GETRANGE, name: 'getrange', since: '2.4.0' },
  { ...GETRANGE, name: 'substr', since: '1.0.0' },
  {
    name: 'setrange',
    arity: 4,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'string',
    since: '2.2.0',
    summary: 'Overwrites a part of a string from an offset on, padding with zero bytes.',
    complexity: 'O(N) in the length of the part',
    handler: { kind: 'data', run: setRange },
  },
]);
