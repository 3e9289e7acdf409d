/** Commands over fields of hashes: HSET, HGET and their kin, HGETALL, HDEL, HLEN. */
import { openHash } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands, inParts } from '../../command/index.ts';
import { errors, MapReply, OK, type Reply } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { MANY_ELEMENTS, MANY_ELEMENTS_DIFFER } from '../fills.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

/** Sets pairs of fields and values from argument 2 on. @returns how many fields are new */
function setFields(ctx: CommandContext, args: readonly Buffer[], name: string): number {
  if (args.length % 2 !== 0) throw errors.wrongArity(name);
  const hash = openHash(ctx, args[1]!);
  if (ctx.view.prefetch !== undefined) hash.prefetchExpiries(args.filter((_, index) => index >= 2 && index % 2 === 0));
  let added = 0;
  for (let index = 2; index < args.length; index += 2) if (hash.set(args[index]!, args[index + 1]!)) added++;
  hash.save();
  ctx.event('hash', 'hset', args[1]!);
  return added;
}

function setIfAbsent(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const hash = openHash(ctx, args[1]!);
  if (hash.has(args[2]!)) return 0;
  hash.set(args[2]!, args[3]!);
  hash.save();
  ctx.event('hash', 'hset', args[1]!);
  return 1;
}

function* deleteFields(ctx: CommandContext, args: readonly Buffer[]): Generator<void, Reply> {
  const hash = openHash(ctx, args[1]!);
  const deleted = yield* hash.deleteInParts(args.slice(2));
  hash.save();
  if (deleted > 0) ctx.tookFrom('hash', 'hdel', args[1]!);
  return deleted;
}

function getMany(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const hash = openHash(ctx, args[1]!);
  const fields = args.slice(2);
  hash.prefetch(fields);
  return fields.map((field) => hash.get(field) ?? null);
}

const read = declareWith({ flags: ['readonly', 'fast'], group: 'hash', complexity: 'O(1)' });
const readAll = declareWith({ flags: ['readonly'], group: 'hash', complexity: 'O(N) in the number of fields' });
const write = declareWith({ flags: ['write', 'denyoom', 'fast'], group: 'hash', complexity: 'O(1)' });

export const hashFieldCommands: readonly CommandSpec[] = defineCommands([
  write({
    name: 'hset',
    arity: -4,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'Sets fields of a hash and counts the new ones.',
    complexity: 'O(N) in the number of fields given',
    fills: MANY_ELEMENTS,
    differences: MANY_ELEMENTS_DIFFER,
    handler: { kind: 'data', run: (ctx, args) => setFields(ctx, args, 'hset') },
  }),
  write({
    name: 'hmset',
    arity: -4,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'Sets fields of a hash.',
    complexity: 'O(N) in the number of fields given',
    fills: MANY_ELEMENTS,
    differences: MANY_ELEMENTS_DIFFER,
    handler: {
      kind: 'data',
      run: (ctx, args) => {
        setFields(ctx, args, 'hmset');
        return OK;
      },
    },
  }),
  write({
    name: 'hsetnx',
    arity: 4,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'Sets a field of a hash if it does not exist.',
    handler: { kind: 'data', run: setIfAbsent },
  }),
  read({
    name: 'hget',
    arity: 3,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'The value of a field of a hash.',
    handler: { kind: 'data', run: (ctx, args) => openHash(ctx, args[1]!).get(args[2]!) ?? null },
  }),
  read({
    name: 'hmget',
    arity: -3,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'The values of several fields of a hash.',
    complexity: 'O(N) in the number of fields given',
    handler: { kind: 'data', run: getMany },
  }),
  readAll({
    name: 'hgetall',
    arity: 2,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'All fields of a hash with their values.',
    handler: {
      kind: 'data',
      run: (ctx, args) =>
        new MapReply([...openHash(ctx, args[1]!).entries()].map(({ name, value }) => [name, value] as const)),
    },
  }),
  readAll({
    name: 'hkeys',
    arity: 2,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'All fields of a hash.',
    handler: { kind: 'data', run: (ctx, args) => [...openHash(ctx, args[1]!).fields()] },
  }),
  readAll({
    name: 'hvals',
    arity: 2,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'The values of all fields of a hash.',
    handler: { kind: 'data', run: (ctx, args) => [...openHash(ctx, args[1]!).entries()].map(({ value }) => value) },
  }),
  read({
    name: 'hlen',
    arity: 2,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'Counts the fields of a hash.',
    handler: { kind: 'data', run: (ctx, args) => openHash(ctx, args[1]!).size },
  }),
  read({
    name: 'hstrlen',
    arity: 3,
    keys: ONE_KEY,
    since: '3.2.0',
    summary: 'The length of the value of a field of a hash, in bytes.',
    handler: { kind: 'data', run: (ctx, args) => openHash(ctx, args[1]!).get(args[2]!)?.length ?? 0 },
  }),
  read({
    name: 'hexists',
    arity: 3,
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'Whether a hash has a field.',
    handler: { kind: 'data', run: (ctx, args) => (openHash(ctx, args[1]!).has(args[2]!) ? 1 : 0) },
  }),
  write({
    name: 'hdel',
    arity: -3,
    flags: ['write', 'fast'],
    keys: ONE_KEY,
    since: '2.0.0',
    summary: 'Deletes fields of a hash, and the hash with its last field.',
    complexity: 'O(N) in the number of fields given',
    handler: inParts(deleteFields),
  }),
]);
