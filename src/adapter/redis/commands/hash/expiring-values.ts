/** Values together with their expiries: HGETEX, HSETEX; and HGETDEL, which came with them. */
import type { Millis } from '../../../../platform/index.ts';
import { type ElementExpiry, NO_EXPIRY, openHash } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, optionName, RedisError, type Reply } from '../../protocol/index.ts';
import type { ExpiryUnit } from '../../values/index.ts';
import { declareWith } from '../declare.ts';
import { requireFieldCount, requireFieldExpiry, requireFields } from './field-arguments.ts';
import { expireField } from './field-expiry.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

const isUnit = (word: string): word is ExpiryUnit => ['EX', 'PX', 'EXAT', 'PXAT'].includes(word);

function getAndExpire(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const hash = openHash(ctx, args[1]!);
  const word = optionName(args[2]!);
  const expireMs = isUnit(word) ? requireFieldExpiry('hgetex', word, args[3]!, ctx.nowMs) : undefined;
  const isPersist = word === 'PERSIST';
  const fields = requireFields(args, expireMs !== undefined ? 4 : isPersist ? 3 : 2);
  hash.prefetch(fields);
  if (isPersist || expireMs !== undefined) hash.prefetchExpiries(fields, expireMs);
  const values = fields.map((field) => {
    const value = hash.get(field);
    if (value === undefined) return null;
    if (isPersist) hash.setExpiry(field, NO_EXPIRY);
    else if (expireMs !== undefined) expireField(hash, field, expireMs, ctx.nowMs);
    return value;
  });
  hash.save();
  return values;
}

function getAndDelete(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const hash = openHash(ctx, args[1]!);
  const fields = requireFields(args, 2);
  hash.prefetch(fields);
  const taken = new Set<string>();
  const values = fields.map((field) => {
    const text = field.toString('latin1');
    const value = taken.has(text) ? undefined : hash.get(field);
    taken.add(text);
    return value ?? null;
  });
  hash.delete(fields);
  hash.save();
  return values;
}

interface SetExOptions {
  readonly condition: 'FNX' | 'FXX' | undefined;
  /** `keep` for KEEPTTL; undefined when nothing is said. A time may be past. */
  readonly expiry: ElementExpiry | undefined;
  /** Fields and values in turns. */
  readonly pairs: readonly Buffer[];
}

/** Options in any order; FIELDS ends them. */
function parseSetEx(args: readonly Buffer[], nowMs: Millis): SetExOptions {
  let condition: SetExOptions['condition'];
  let expiry: ElementExpiry | undefined;
  for (let at = 2; at < args.length; at++) {
    const word = optionName(args[at]!);
    if (word === 'FIELDS') {
      if (at >= args.length - 3) throw errors.wrongArity('hsetex');
      const count = requireFieldCount(args[at + 1], 'ERR invalid number of fields');
      const pairs = args.slice(at + 2);
      if (pairs.length !== count * 2) throw errors.wrongArity('hsetex');
      return { condition, expiry, pairs };
    }
    if (isUnit(word) || word === 'KEEPTTL') {
      if (expiry !== undefined)
        throw new RedisError('ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified');
      if (word === 'KEEPTTL') {
        expiry = 'keep';
        continue;
      }
      const time = args[++at];
      if (time === undefined) throw new RedisError('ERR missing expire time');
      expiry = requireFieldExpiry('hsetex', word, time, nowMs);
    } else if (word === 'FNX' || word === 'FXX') {
      if (condition !== undefined) throw new RedisError('ERR Only one of FXX or FNX arguments can be specified');
      condition = word;
    } else {
      const [text] = args[at]!.toString('latin1').split('\0', 1);
      throw new RedisError(`ERR unknown argument: ${text}`);
    }
  }
  // Without FIELDS there are fewer options that fit together than the command has arguments.
  throw errors.wrongArity('hsetex');
}

function setAndExpire(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { condition, expiry, pairs } = parseSetEx(args, ctx.nowMs);
  const hash = openHash(ctx, args[1]!);
  const fields = pairs.filter((_, index) => index % 2 === 0);
  hash.prefetchExpiries(fields, typeof expiry === 'number' ? expiry : undefined);
  if (condition === 'FNX' && fields.some((field) => hash.has(field))) return 0;
  if (condition === 'FXX' && !fields.every((field) => hash.has(field))) return 0;
  if (typeof expiry === 'number' && expiry <= ctx.nowMs) hash.delete(fields);
  else for (let index = 0; index < pairs.length; index += 2) hash.set(pairs[index]!, pairs[index + 1]!, expiry);
  hash.save();
  return 1;
}

const COMPLEXITY = 'O(N) in the number of fields given';
const declare = declareWith({ flags: ['write', 'fast'], group: 'hash', complexity: COMPLEXITY });

export const expiringValueCommands: readonly CommandSpec[] = defineCommands([
  declare({
    name: 'hgetex',
    arity: -5,
    keys: ONE_KEY,
    since: '8.0.0',
    summary: 'The values of fields of a hash, and when they expire from now on.',
    handler: { kind: 'data', run: getAndExpire },
  }),
  declare({
    name: 'hsetex',
    arity: -6,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    since: '8.0.0',
    summary: 'Sets fields of a hash and when they expire.',
    handler: { kind: 'data', run: setAndExpire },
  }),
  declare({
    name: 'hgetdel',
    arity: -5,
    keys: ONE_KEY,
    since: '8.0.0',
    summary: 'The values of fields of a hash, which are deleted.',
    handler: { kind: 'data', run: getAndDelete },
  }),
]);
