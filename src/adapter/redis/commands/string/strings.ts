/** Commands over whole strings: SET and GET in all their forms, and their plural MSET and MGET. */
import { type HlcTimestamp, NEVER } from '../../../../platform/index.ts';
import { readString, wholeOf, writeWhole } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands, inParts } from '../../command/index.ts';
import { errors, OK, type Reply } from '../../protocol/index.ts';
import {
  deleteKey,
  type ExpiryUnit,
  expiryAt,
  readValue,
  requireOptionExpiry,
  ValueType,
  writeExpiry,
} from '../../values/index.ts';
import { LARGE_VALUE_DIFFERS, largeValueAt } from '../fills.ts';
import { parseGetExOptions, parseSetOptions } from './strings-options.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

function get(ctx: CommandContext, args: readonly Buffer[]): Reply {
  return readString(ctx, args[1]!)?.payload ?? null;
}

function set(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const key = args[1]!;
  const value = args[2]!;
  if (args.length === 3) {
    writeWhole(ctx, key, value, NEVER);
    ctx.event('string', 'set', key);
    return OK;
  }
  const { condition, get, keepTtl, expiry } = parseSetOptions(args);
  const expireAtMs = expiry && requireOptionExpiry('set', expiry.unit, expiry.text, ctx.nowMs);
  const current = get ? readString(ctx, key) : condition || keepTtl ? readValue(ctx, key) : undefined;
  const old = current?.payload ?? null;
  if ((condition === 'NX' && current !== undefined) || (condition === 'XX' && current === undefined)) {
    return get ? old : null;
  }
  const kept = keepTtl ? (current?.expireTs ?? NEVER) : NEVER;
  const isPast = expireAtMs !== undefined && expireAtMs <= BigInt(ctx.nowMs);
  if (isPast && ctx.hears('new') && ctx.view.get(ctx.storageKey(key)) === undefined) ctx.event('new', 'new', key);
  writeWhole(ctx, key, value, expireAtMs === undefined ? kept : expiryAt(expireAtMs));
  ctx.event('string', 'set', key);
  if (expireAtMs !== undefined) ctx.event('generic', 'expire', key);
  // It is gone as it comes.
  if (isPast) ctx.event('expired', 'expired', key);
  return get ? old : OK;
}

function setWithExpiry(ctx: CommandContext, args: readonly Buffer[], name: string, unit: ExpiryUnit): Reply {
  const expireAtMs = requireOptionExpiry(name, unit, args[2]!, ctx.nowMs);
  writeWhole(ctx, args[1]!, args[3]!, expiryAt(expireAtMs));
  ctx.event('string', 'set', args[1]!);
  ctx.event('generic', 'expire', args[1]!);
  return OK;
}

function setIfAbsent(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (readValue(ctx, args[1]!) !== undefined) return 0;
  writeWhole(ctx, args[1]!, args[2]!, NEVER);
  ctx.event('string', 'set', args[1]!);
  return 1;
}

function getAndSet(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const old = readString(ctx, args[1]!)?.payload ?? null;
  writeWhole(ctx, args[1]!, args[2]!, NEVER);
  ctx.event('string', 'set', args[1]!);
  return old;
}

function getAndDelete(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const old = readString(ctx, args[1]!);
  if (old === undefined) return null;
  deleteKey(ctx, args[1]!);
  ctx.event('generic', 'del', args[1]!);
  return old.payload;
}

/** Gives a key that exists another expiry. */
function setExpiry(ctx: CommandContext, userKey: Buffer, expireTs: HlcTimestamp): void {
  const key = ctx.storageKey(userKey);
  writeExpiry(ctx, key, ctx.view.get(key)!, expireTs);
}

function getAndExpire(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const key = args[1]!;
  const { persist, expiry } = parseGetExOptions(args);
  const current = readString(ctx, key);
  if (current === undefined) return null;
  if (expiry !== undefined) {
    const expireAtMs = requireOptionExpiry('getex', expiry.unit, expiry.text, ctx.nowMs);
    const isPast = expireAtMs <= BigInt(ctx.nowMs);
    if (isPast) deleteKey(ctx, key);
    else setExpiry(ctx, key, expiryAt(expireAtMs));
    ctx.event('generic', isPast ? 'del' : 'expire', key);
  } else if (persist && current.expireTs !== NEVER) {
    setExpiry(ctx, key, NEVER);
    ctx.event('generic', 'persist', key);
  }
  return current.payload;
}

function getMany(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const replies: Reply[] = [];
  for (let index = 1; index < args.length; index++) {
    const value = readValue(ctx, args[index]!);
    replies.push(value?.type === ValueType.String ? wholeOf(ctx, args[index]!, value) : null);
  }
  return replies;
}

/** Writes keys and values in turns. */
function* writeAll(ctx: CommandContext, args: readonly Buffer[]): Generator<void, void> {
  for (let index = 1; index < args.length; index += 2) {
    writeWhole(ctx, args[index]!, args[index + 1]!, NEVER);
    ctx.event('string', 'set', args[index]!);
    yield;
  }
}

function* setMany(ctx: CommandContext, args: readonly Buffer[]): Generator<void, Reply> {
  if (args.length % 2 === 0) throw errors.wrongArity('mset');
  yield* writeAll(ctx, args);
  return OK;
}

function* setManyIfAbsent(ctx: CommandContext, args: readonly Buffer[]): Generator<void, Reply> {
  if (args.length % 2 === 0) throw errors.wrongArity('msetnx');
  for (let index = 1; index < args.length; index += 2) {
    if (readValue(ctx, args[index]!) !== undefined) return 0;
    yield;
  }
  yield* writeAll(ctx, args);
  return 1;
}

export const stringCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'get',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Reads a string.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: get },
  },
  {
    name: 'set',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Writes a string, whatever the key held before; options make it conditional and set its expiry.',
    complexity: 'O(1)',
    fills: largeValueAt(2),
    differences: LARGE_VALUE_DIFFERS,
    handler: { kind: 'data', run: set },
  },
  {
    name: 'setnx',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Writes a string if the key does not exist.',
    complexity: 'O(1)',
    fills: largeValueAt(2),
    differences: LARGE_VALUE_DIFFERS,
    handler: { kind: 'data', run: setIfAbsent },
  },
  {
    name: 'setex',
    arity: 4,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'string',
    since: '2.0.0',
    summary: 'Writes a string that expires after some seconds.',
    complexity: 'O(1)',
    fills: largeValueAt(3),
    differences: LARGE_VALUE_DIFFERS,
    handler: { kind: 'data', run: (ctx, args) => setWithExpiry(ctx, args, 'setex', 'EX') },
  },
  {
    name: 'psetex',
    arity: 4,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'string',
    since: '2.6.0',
    summary: 'Writes a string that expires after some milliseconds.',
    complexity: 'O(1)',
    fills: largeValueAt(3),
    differences: LARGE_VALUE_DIFFERS,
    handler: { kind: 'data', run: (ctx, args) => setWithExpiry(ctx, args, 'psetex', 'PX') },
  },
  {
    name: 'getset',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '1.0.0',
    summary: 'Writes a string and replies with the one before.',
    complexity: 'O(1)',
    fills: largeValueAt(2),
    differences: LARGE_VALUE_DIFFERS,
    handler: { kind: 'data', run: getAndSet },
  },
  {
    name: 'getdel',
    arity: 2,
    flags: ['write', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '6.2.0',
    summary: 'Reads a string and deletes it.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: getAndDelete },
  },
  {
    name: 'getex',
    arity: -2,
    flags: ['write', 'fast'],
    keys: ONE_KEY,
    group: 'string',
    since: '6.2.0',
    summary: 'Reads a string and sets or removes its expiry.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: getAndExpire },
  },
  {
    name: 'mget',
    readsEach: 'list',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: { first: 1, last: -1, step: 1 },
    group: 'string',
    since: '1.0.0',
    summary: 'Reads several strings; nil where there is none.',
    complexity: 'O(N) in the number of keys',
    handler: { kind: 'data', run: getMany },
  },
  {
    name: 'mset',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: { first: 1, last: -1, step: 2 },
    group: 'string',
    since: '1.0.1',
    summary: 'Writes several strings at once.',
    complexity: 'O(N) in the number of keys',
    handler: inParts(setMany),
  },
  {
    name: 'msetnx',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: { first: 1, last: -1, step: 2 },
    group: 'string',
    since: '1.0.1',
    summary: 'Writes several strings if none of the keys exists.',
    complexity: 'O(N) in the number of keys',
    handler: inParts(setManyIfAbsent),
  },
]);
