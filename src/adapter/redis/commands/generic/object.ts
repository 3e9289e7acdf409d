/** What is known of a stored value beyond its contents: OBJECT and MEMORY. */

import { physicalMs } from '../../../../platform/index.ts';
import { openHash, openList, openOrdered, openSet } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { ValueForm } from '../../keys/index.ts';
import { errors, optionName, parseInteger, RedisError, type Reply, requireInteger } from '../../protocol/index.ts';
import { readValue, type TypedValue, ValueType } from '../../values/index.ts';
import { helpCommand } from '../help.ts';
import { usageOf } from './usage.ts';

const SECOND_ARGUMENT = { first: 2, last: 2, step: 1 } as const;

/** Longest string that Redis keeps in one piece with its header. */
const EMBEDDED_STRING_BYTES = 44;
/** Integers from 0 up to this are one shared object in Redis, whose reference count is reported as the largest integer. */
const SHARED_INTEGERS = 10_000n;
const SHARED_REFERENCES = 2 ** 31 - 1;

/** Names of the encodings that Redis would give to a string of these contents. */
function stringEncoding(payload: Buffer): 'int' | 'embstr' | 'raw' {
  if (parseInteger(payload) !== undefined) return 'int';
  return payload.length <= EMBEDDED_STRING_BYTES ? 'embstr' : 'raw';
}

/** The bytes of a string that may be an integer, or short: one in chunks is neither. */
const shortString = ({ type, form, payload }: TypedValue): Buffer | undefined =>
  type === ValueType.String && form === ValueForm.Packed ? payload : undefined;

/** Redis' name for the form that it would keep the value in. */
export function encodingOf(value: TypedValue, ctx: CommandContext, userKey: Buffer): string {
  switch (value.type) {
    case ValueType.Hash:
      return openHash(ctx, userKey).encoding;
    case ValueType.Set:
      return openSet(ctx, userKey).encoding;
    case ValueType.ZSet:
      return openOrdered(ctx, userKey).encoding;
    case ValueType.List:
      return openList(ctx, userKey).encoding;
    case ValueType.Stream:
      return 'stream';
    default: {
      const payload = shortString(value);
      return payload === undefined ? 'raw' : stringEncoding(payload);
    }
  }
}

/** References that Redis would count. */
export function referencesOf(value: TypedValue): number {
  const payload = shortString(value);
  const integer = payload === undefined ? undefined : parseInteger(payload);
  return integer !== undefined && integer >= 0n && integer < SHARED_INTEGERS ? SHARED_REFERENCES : 1;
}

/** Elements that MEMORY USAGE looks at unless it is told. */
const DEFAULT_SAMPLES = 5;

function usage(ctx: CommandContext, args: readonly Buffer[]): Reply {
  let samples = DEFAULT_SAMPLES;
  for (let index = 3; index < args.length; index += 2) {
    const argument = args[index + 1];
    if (optionName(args[index]!) !== 'SAMPLES' || argument === undefined) throw errors.syntax();
    const asked = requireInteger(argument);
    if (asked < 0n) throw errors.syntax();
    samples = asked === 0n ? Number.POSITIVE_INFINITY : Number(asked);
  }
  return usageOf(ctx, args[2]!, samples) ?? null;
}

const OBJECT_HELP: readonly string[] = [
  'ENCODING <key>',
  '    The name of the form in which Redis would keep the value of <key>:',
  '    int, embstr or raw for a string, listpack, intset, hashtable,',
  '    quicklist or skiplist for a collection, stream.',
  'FREQ <key>',
  '    How often the value of <key> is accessed, on a scale of logarithms.',
  '    Refused unless CONFIG SET maxmemory-policy has named an LFU policy.',
  'IDLETIME <key>',
  '    How many seconds ago the value of <key> was written;',
  '    when it was read is not kept.',
  'REFCOUNT <key>',
  '    How many places refer to the value of <key>: one, or the most that',
  '    can be counted for a small integer.',
];

/** A subcommand of OBJECT that tells something about the value of a key, nil when there is none. */
function aboutValue(
  name: string,
  since: string,
  summary: string,
  differences: string,
  tell: (value: TypedValue, ctx: CommandContext, userKey: Buffer) => Reply,
) {
  const spec: CommandSpec = {
    name,
    arity: 3,
    flags: ['readonly'],
    keys: SECOND_ARGUMENT,
    group: 'generic',
    since,
    summary,
    differences,
    complexity: 'O(1)',
    handler: {
      kind: 'data',
      run: (ctx, args) => {
        const value = readValue(ctx, args[2]!);
        return value === undefined ? null : tell(value, ctx, args[2]!);
      },
    },
  };
  return spec;
}

/** Seconds since the value was written: when it was read is not kept. */
export function idleSeconds({ commitTs }: TypedValue, ctx: CommandContext): number {
  return Math.max(0, Math.floor((ctx.nowMs - physicalMs(commitTs)) / 1000));
}

/** What switching from one policy to the other means for both counts. */
const AFTER_SWITCHING =
  'Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.';

function frequency(_: TypedValue, ctx: CommandContext, userKey: Buffer): number {
  const counted = ctx.frequencyOf(userKey);
  if (counted !== undefined) return counted;
  throw new RedisError(`ERR An LFU maxmemory policy is not selected, access frequency not tracked. ${AFTER_SWITCHING}`);
}

function idleTime(value: TypedValue, ctx: CommandContext, userKey: Buffer): number {
  if (ctx.frequencyOf(userKey) === undefined) return idleSeconds(value, ctx);
  throw new RedisError(`ERR An LFU maxmemory policy is selected, idle time not tracked. ${AFTER_SWITCHING}`);
}

export const objectCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'object',
    arity: -2,
    flags: [],
    group: 'generic',
    since: '2.2.3',
    summary: 'A container for commands that tell how a value is stored.',
    complexity: 'O(1)',
    subcommands: [
      aboutValue(
        'encoding',
        '2.2.3',
        'Name of the encoding that Redis would store the value in.',
        'Of a string what Redis would choose if it were written anew: it is not `raw` for how it came to be.',
        encodingOf,
      ),
      aboutValue(
        'refcount',
        '2.2.3',
        'Number of references to the value.',
        '2147483647 for the integers 0 to 9999, which Redis shares, else 1.',
        referencesOf,
      ),
      aboutValue(
        'idletime',
        '2.2.3',
        'Seconds since the value was written.',
        'Seconds since the last write: a read would have to be replicated to be remembered.',
        idleTime,
      ),
      aboutValue(
        'freq',
        '4.0.0',
        'How often the value is accessed, under an LFU policy.',
        'Nothing is evicted, but under an LFU policy a node counts the accesses that it evaluates as leader of the group of the key, from the CONFIG ' +
          'SET on. Keys may share a counter.',
        frequency,
      ),
      {
        ...helpCommand({ container: 'object', group: 'generic', since: '6.2.0', lines: OBJECT_HELP }),
        aclCategories: ['keyspace'],
      },
    ],
  },
]);

/** MEMORY USAGE. */
export const memoryUsage: CommandSpec = {
  name: 'usage',
  arity: -3,
  flags: ['readonly'],
  keys: SECOND_ARGUMENT,
  group: 'server',
  since: '4.0.0',
  summary: 'Estimates the bytes that a key and its value take.',
  differences: 'An estimate of what they would take in Redis: values lie in the store, not in memory.',
  complexity: 'O(N) in the number of samples',
  handler: { kind: 'data', run: usage },
};
