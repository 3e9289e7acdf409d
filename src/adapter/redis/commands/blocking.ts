/** What commands that wait for keys have in common. */
import type { WaitingLine } from '../../../kv/index.ts';
import type { Millis } from '../../../platform/index.ts';
import { type CommandContext, lookedAt, nothingYet, type WaitingSpec } from '../command/index.ts';
import { NIL_ARRAY, parseDouble, RedisError, type Reply } from '../protocol/index.ts';

/** Where Redis' whole milliseconds end; it takes more for a negative number. */
const END_MS = 2 ** 63;

/** Seconds that a command waits. @returns milliseconds; Infinity for 0, which is for ever. @throws RedisError */
export function secondsArgument(argument: Buffer): Millis {
  const seconds = parseDouble(argument);
  if (seconds === undefined || Number.isNaN(seconds))
    throw new RedisError('ERR timeout is not a float or out of range');
  const ms = Math.ceil(seconds * 1000);
  if (ms < 0 || ms >= END_MS) throw new RedisError('ERR timeout is negative');
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}

/** The same for a declaration; undefined when it makes no sense. */
function patienceIn(argument: Buffer | undefined): Millis | undefined {
  if (argument === undefined) return undefined;
  try {
    return secondsArgument(argument);
  } catch {
    return undefined;
  }
}

/** Where the keys of a command are that ends in how long it waits. */
export const KEYS_BEFORE_TIMEOUT = { first: 1, last: -2, step: 1 } as const;

/** What such a command says about waiting. */
export const waitsUntilLast = {
  patienceMs: (args) => patienceIn(args.at(-1)),
  keys: (args) => args.slice(1, -1),
  atTimeout: NIL_ARRAY,
} as const satisfies WaitingSpec;

/** What a command says about waiting that begins with how long it waits. @param keys what follows names; may throw */
export const waitsUntilFirst = (keys: WaitingSpec['keys']): WaitingSpec => ({
  patienceMs: (args) => patienceIn(args[1]),
  keys,
  atTimeout: NIL_ARRAY,
});

/**
 * Answers from the first value that has something, among the keys that are looked at, or waits for them. Once a command waits, keys of other types do not
 * concern it.
 * @param open a value by its key; undefined when it has nothing
 * @throws RedisError WRONGTYPE at the first look
 */
export function answerFromFirst<Value>(
  ctx: CommandContext,
  keys: readonly Buffer[],
  line: WaitingLine,
  open: (key: Buffer) => Value | undefined,
  answer: (key: Buffer, value: Value) => Reply,
): Reply {
  for (const key of lookedAt(ctx, keys)) {
    const value = passingOver(ctx, () => open(key));
    if (value !== undefined) return answer(key, value);
  }
  return nothingYet(ctx, keys, line, NIL_ARRAY);
}

/** Opens a value that a command waits for; undefined when it waits and the key has another type. @throws RedisError WRONGTYPE at the first look */
export function passingOver<Value>(ctx: CommandContext, open: () => Value | undefined): Value | undefined {
  try {
    return open();
  } catch (error) {
    const isPassed = ctx.waiting?.hasWaited === true && error instanceof RedisError && error.prefix === 'WRONGTYPE';
    if (isPassed) return undefined;
    throw error;
  }
}
