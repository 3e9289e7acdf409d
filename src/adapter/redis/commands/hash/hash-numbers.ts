/** Fields that spell numbers: HINCRBY, HINCRBYFLOAT. */
import { openHash } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import {
  errors,
  INT64_MAX,
  INT64_MIN,
  parseInteger,
  RedisError,
  type Reply,
  requireInteger,
} from '../../protocol/index.ts';
import { addLongDoubles, formatLongDouble, parseLongDouble, ZERO_LONG_DOUBLE } from '../string/index.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

function increment(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const by = requireInteger(args[3]!);
  const hash = openHash(ctx, args[1]!);
  const current = hash.get(args[2]!);
  const value = current === undefined ? 0n : parseInteger(current);
  if (value === undefined) throw new RedisError('ERR hash value is not an integer');
  const sum = value + by;
  if (sum > INT64_MAX || sum < INT64_MIN) throw errors.overflow();
  hash.set(args[2]!, Buffer.from(sum.toString(), 'latin1'), 'keep');
  hash.save();
  ctx.event('hash', 'hincrby', args[1]!);
  return sum;
}

function incrementByFloat(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const by = parseLongDouble(args[3]!);
  if (by === undefined) throw errors.notFloat();
  if (typeof by === 'number') throw new RedisError('ERR value is NaN or Infinity');
  const hash = openHash(ctx, args[1]!);
  const current = hash.get(args[2]!);
  const value = current === undefined ? ZERO_LONG_DOUBLE : parseLongDouble(current);
  if (value === undefined) throw new RedisError('ERR hash value is not a float');
  const sum = addLongDoubles(value, by);
  if (sum === undefined) throw errors.notFinite();
  const text = Buffer.from(formatLongDouble(sum), 'latin1');
  hash.set(args[2]!, text, 'keep');
  hash.save();
  ctx.event('hash', 'hincrbyfloat', args[1]!);
  return text;
}

export const hashNumberCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'hincrby',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'hash',
    since: '2.0.0',
    summary: 'Adds an amount to the integer in a field of a hash.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: increment },
  },
  {
    name: 'hincrbyfloat',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'hash',
    since: '2.6.0',
    summary: 'Adds an amount to the floating-point number in a field of a hash.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: incrementByFloat },
  },
]);
