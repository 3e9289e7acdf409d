/** What commands that wait for keys have in common. */
import type { Millis } from '../../../platform/index.ts';
import { type CommandContext, lookedAt } from '../command/index.ts';
import { parseDouble, RedisError } from '../protocol/index.ts';

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
export function patienceIn(argument: Buffer | undefined): Millis | undefined {
  if (argument === undefined) return undefined;
  try {
    return secondsArgument(argument);
  } catch {
    return undefined;
  }
}

/**
 * The first value of a type that has something, among the keys that are looked at. Once a command waits, keys of other types do not concern it.
 * @param open a value by its key; undefined when it has nothing
 * @throws RedisError WRONGTYPE at the first look
 */
export function firstWithSomething<Value>(
  ctx: CommandContext,
  keys: readonly Buffer[],
  open: (key: Buffer) => Value | undefined,
): { readonly key: Buffer; readonly value: Value } | undefined {
  for (const key of lookedAt(ctx, keys)) {
    const value = passingOver(ctx, () => open(key));
    if (value !== undefined) return { key, value };
  }
  return undefined;
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
