/** Commands over parts of a string: APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE. */
import { NEVER } from '../../../../platform/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, isBackwards, RedisError, type Reply, requirePosition } from '../../protocol/index.ts';
import { readString, writeString } from '../../values/index.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;
const EMPTY: Buffer = Buffer.alloc(0);

function requireStringLength(ctx: CommandContext, bytes: number): void {
  if (bytes > ctx.maxStringBytes) throw errors.stringTooLong();
}

function append(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const key = args[1]!;
  const added = args[2]!;
  const current = readString(ctx, key);
  if (current === undefined) {
    writeString(ctx, key, added, NEVER);
    return added.length;
  }
  const bytes = current.payload.length + added.length;
  requireStringLength(ctx, bytes);
  writeString(ctx, key, Buffer.concat([current.payload, added], bytes), current.expireTs);
  return bytes;
}

function length(ctx: CommandContext, args: readonly Buffer[]): Reply {
  return readString(ctx, args[1]!)?.payload.length ?? 0;
}

function getRange(ctx: CommandContext, args: readonly Buffer[]): Reply {
  let start = requirePosition(args[2]!);
  let end = requirePosition(args[3]!);
  const payload = readString(ctx, args[1]!)?.payload ?? EMPTY;
  if (start < 0 && end < 0 && isBackwards(args[2]!, args[3]!)) return EMPTY;
  if (start < 0) start = Math.max(0, payload.length + start);
  if (end < 0) end = Math.max(0, payload.length + end);
  return payload.subarray(start, end + 1);
}

function setRange(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const key = args[1]!;
  const offset = requirePosition(args[2]!);
  const part = args[3]!;
  if (offset < 0) throw new RedisError('ERR offset is out of range');
  const current = readString(ctx, key);
  const old = current?.payload ?? EMPTY;
  if (part.length === 0) return old.length;
  requireStringLength(ctx, offset + part.length);
  const next = Buffer.alloc(Math.max(old.length, offset + part.length));
  old.copy(next);
  part.copy(next, offset);
  writeString(ctx, key, next, current?.expireTs ?? NEVER);
  return next.length;
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
    complexity: 'O(N) in the length of the string',
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
    complexity: 'O(N) in the length of the string',
    handler: { kind: 'data', run: setRange },
  },
]);
