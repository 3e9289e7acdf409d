/** The subcommands of DEBUG that look at single values. They are data commands, so they see values where those are led. */
import { AssertionError } from '../../../../platform/index.ts';
import { type BodyShape, shapeOf } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, RedisError, type Reply, SimpleString, VerbatimReply } from '../../protocol/index.ts';
import { readValue } from '../../values/index.ts';
import { encodingOf, idleSeconds, referencesOf, usageOf } from '../generic/index.ts';
import { keyDigest, valueDigest } from './debug-digest.ts';

/** Seconds since 1970 modulo 2^24: Redis' clock of accesses. */
const LRU_SECONDS = 2 ** 24;

/** There is no address; tools read what stands behind it. */
function objectLine(ctx: CommandContext, userKey: Buffer): Reply {
  const value = readValue(ctx, userKey);
  if (value === undefined) throw errors.noSuchKey();
  const idle = idleSeconds(value, ctx);
  const fields = {
    refcount: referencesOf(value),
    encoding: encodingOf(value, ctx, userKey),
    serializedlength: usageOf(ctx, userKey, Number.POSITIVE_INFINITY),
    lru: (Math.floor(ctx.nowMs / 1000) - idle) % LRU_SECONDS,
    lru_seconds_idle: idle,
  };
  const shown = Object.entries(fields).map(([name, each]) => `${name}:${each}`);
  return new SimpleString(`Value at:0x0 ${shown.join(' ')}`);
}

/** Walks over all rows of a value. @throws RedisError saying what does not fit together */
function checkedShape(ctx: CommandContext, userKey: Buffer): BodyShape {
  try {
    const shape = shapeOf(ctx.view, ctx.storageKey(userKey));
    if (shape === undefined) throw errors.noSuchKey();
    return shape;
  } catch (error) {
    if (error instanceof AssertionError) throw new RedisError(`ERR the value is damaged: ${error.message}`);
    throw error;
  }
}

function structure(ctx: CommandContext, userKey: Buffer): Reply {
  const { type, form, count, incarnation, rows } = checkedShape(ctx, userKey);
  const kinds = [...rows].map(([kind, number]) => `  ${kind} ${number}`);
  const lines = [`type ${type}`, `form ${form}`];
  if (count !== undefined) lines.push(`elements ${count}`);
  if (incarnation !== undefined) lines.push(`incarnation ${incarnation.toString('hex')}`, 'rows', ...kinds);
  return new VerbatimReply(`${lines.join('\n')}\nEverything fits together.\n`);
}

/** The same for a value that Redis would keep in one of these encodings. */
const structureOf = (encodings: readonly string[], refusal: string) => (ctx: CommandContext, userKey: Buffer) => {
  const value = readValue(ctx, userKey);
  if (value === undefined) throw errors.noSuchKey();
  if (!encodings.includes(encodingOf(value, ctx, userKey))) throw new RedisError(refusal);
  return structure(ctx, userKey);
};

type KeyFunction = (ctx: CommandContext, userKey: Buffer) => Reply;

const aboutKey = (
  name: string,
  arity: number,
  summary: string,
  differences: string,
  tell: KeyFunction,
): CommandSpec => ({
  name,
  arity,
  flags: ['admin', 'noscript', 'loading', 'stale'],
  keys: { first: 2, last: 2, step: 1 },
  group: 'server',
  since: '1.0.0',
  summary,
  differences,
  complexity: 'O(N) in the size of the value',
  handler: { kind: 'data', run: (ctx, args) => tell(ctx, args[2]!) },
});

const SHOWS_ROWS = 'Walks over the rows of the value, checks that they fit together, and shows how many there are.';

export const debugValueCommands: readonly CommandSpec[] = defineCommands([
  aboutKey('digest-key', 3, 'The part that a key has in the digest of everything.', 'Only here.', (ctx, userKey) =>
    keyDigest(ctx, userKey).toString('hex'),
  ),
  {
    ...aboutKey('digest-value', -2, 'Digests of values.', '', valueDigest),
    differences: 'A key that has expired is no value.',
    keys: { first: 2, last: -1, step: 1 },
    handler: {
      kind: 'data',
      run: (ctx, args) => args.slice(2).map((key) => new SimpleString(valueDigest(ctx, key).toString('hex'))),
    },
  },
  aboutKey(
    'htstats-key',
    3,
    'How a large value is laid out.',
    SHOWS_ROWS,
    structureOf(
      ['hashtable', 'skiplist'],
      'ERR The value stored at the specified key is not represented using an hash table',
    ),
  ),
  aboutKey(
    'listpack',
    3,
    'How a small value is laid out.',
    SHOWS_ROWS,
    structureOf(['listpack'], 'ERR Not a listpack encoded object.'),
  ),
  aboutKey(
    'object',
    3,
    'What is known of a value beyond its contents.',
    'There is no address. `serializedlength` is an estimate, and there is nothing about nodes of lists.',
    objectLine,
  ),
  aboutKey(
    'quicklist',
    -3,
    'How a list is laid out.',
    SHOWS_ROWS,
    structureOf(['quicklist'], 'ERR Not a quicklist encoded object.'),
  ),
  aboutKey('structure', 3, 'How a value is laid out, after a look at all of it.', 'Only here.', structure),
]);
