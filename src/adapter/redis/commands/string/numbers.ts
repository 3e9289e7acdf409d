/** Strings that spell numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. */
import { NEVER } from '../../../../platform/index.ts';
import { readString } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import {
  errors,
  INT64_MAX,
  INT64_MIN,
  parseShortInteger,
  RedisError,
  type Reply,
  requireInteger,
} from '../../protocol/index.ts';
import { writeString } from '../../values/index.ts';
import { addLongDoubles, formatLongDouble, parseLongDouble, ZERO_LONG_DOUBLE } from './numbers-long-double.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

/** Adds to the integer at a key; the expiry stays. */
function increment(ctx: CommandContext, key: Buffer, by: bigint | number): Reply {
  const current = readString(ctx, key);
  const expireTs = current?.expireTs ?? NEVER;
  const short = current === undefined ? 0 : parseShortInteger(current.payload);
  if (typeof by === 'number' && !Number.isNaN(short)) {
    const sum = short + by;
    writeString(ctx, key, Buffer.from(String(sum), 'latin1'), expireTs);
    ctx.event('string', 'incrby', key);
    return sum;
  }
  const value = current === undefined ? 0n : requireInteger(current.payload);
  const sum = value + BigInt(by);
  if (sum > INT64_MAX || sum < INT64_MIN) throw errors.overflow();
  writeString(ctx, key, Buffer.from(sum.toString(), 'latin1'), expireTs);
  ctx.event('string', 'incrby', key);
  return sum;
}

/** The amount of INCRBY and DECRBY: a number when it is short, which the sum above is fast for. */
function amount(text: Buffer): bigint | number {
  const short = parseShortInteger(text);
  return Number.isNaN(short) ? requireInteger(text) : short;
}

function decrementBy(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const by = amount(args[2]!);
  if (by === INT64_MIN) throw new RedisError('ERR decrement would overflow');
  return increment(ctx, args[1]!, -by);
}

function incrementByFloat(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const key = args[1]!;
  const current = readString(ctx, key);
  const value = current === undefined ? ZERO_LONG_DOUBLE : parseLongDouble(current.payload);
  const by = value === undefined ? undefined : parseLongDouble(args[2]!);
  if (value === undefined || by === undefined) throw errors.notFloat();
  const sum = addLongDoubles(value, by);
  if (sum === undefined) throw errors.notFinite();
  const text = Buffer.from(formatLongDouble(sum), 'latin1');
  writeString(ctx, key, text, current?.expireTs ?? NEVER);
  ctx.event('string', 'incrbyfloat', key);
  return text;
}

export const numberCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'incr',
    arity: 2,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Adds one to the integer at a key.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: (ctx, args) => increment(ctx, args[1]!, 1) },
  },
  {
    name: 'decr',
    arity: 2,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Subtracts one from the integer at a key.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: (ctx, args) => increment(ctx, args[1]!, -1) },
  },
  {
    name: 'incrby',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Adds an amount to the integer at a key.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: (ctx, args) => increment(ctx, args[1]!, amount(args[2]!)) },
  },
  {
    name: 'decrby',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Subtracts an amount from the integer at a key.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: decrementBy },
  },
  {
    name: 'incrbyfloat',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '2.6.0',
    summary: 'Adds an amount to the floating-point number at a key.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: incrementByFloat },
  },
]);
