/** Reads the arguments of connection and server commands the way Redis does. */
import { errors, RedisError } from './reply.ts';

const INTEGER = /^(0|-?[1-9][0-9]{0,18})$/;
const MAX_I64 = 9223372036854775807n;
const MIN_I64 = -9223372036854775808n;

/** An option's word in lower case; options are short. */
export const wordOf = (argument: Buffer): string => argument.toString('latin1', 0, 64).toLowerCase();

/** A signed 64-bit integer, strictly written; undefined when it is not one. */
export function parseInteger(argument: Buffer): bigint | undefined {
  if (argument.length > 20) return undefined;
  const text = argument.toString('latin1');
  if (!INTEGER.test(text)) return undefined;
  const value = BigInt(text);
  return value > MAX_I64 || value < MIN_I64 ? undefined : value;
}

/** @throws RedisError with `message`, or Redis' usual one */
export function integerArgument(argument: Buffer, message?: string): bigint {
  const value = parseInteger(argument);
  if (value === undefined) throw message === undefined ? errors.notInteger() : new RedisError(message);
  return value;
}

/** An integer that fits a C int. @throws RedisError */
export function smallIntegerArgument(argument: Buffer, message?: string): number {
  const value = integerArgument(argument, message);
  if (value > 2147483647n || value < -2147483648n) {
    throw new RedisError(message ?? 'ERR value is out of range, value must between -2147483648 and 2147483647');
  }
  return Number(value);
}

/** A timeout in milliseconds. @throws RedisError */
export function timeoutArgument(argument: Buffer): number {
  const value = integerArgument(argument, 'ERR timeout is not an integer or out of range');
  if (value < 0n) throw new RedisError('ERR timeout is negative');
  return Number(value);
}
