/** Reads the arguments of commands the way Redis does. */
import { isInt32, requireInteger, requirePosition } from './integers.ts';
import { errors, RedisError } from './reply.ts';

const LONGEST_OPTION = 32;
const MAX_U64 = (1n << 64n) - 1n;

/** An argument as an option's name in upper case; the empty string when it is too long to be one. */
export const optionName = (argument: Buffer): string =>
  argument.length > LONGEST_OPTION ? '' : argument.toString('latin1').toUpperCase();

/** An option's word in lower case; options are short. */
export const wordOf = (argument: Buffer): string => argument.toString('latin1', 0, 64).toLowerCase();

const MEMORY_UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  b: 1n,
  k: 1000n,
  kb: 1024n,
  m: 1000n ** 2n,
  mb: 1024n ** 2n,
  g: 1000n ** 3n,
  gb: 1024n ** 3n,
};

/** An amount of memory such as `512mb`, bytes; undefined when it is none. */
export function memoryBytes(argument: Buffer): bigint | undefined {
  const [, digits, unit = ''] = /^([0-9]{1,20})([a-z]{0,2})$/.exec(wordOf(argument)) ?? [];
  const scale = MEMORY_UNITS[unit];
  return digits === undefined || scale === undefined ? undefined : BigInt(digits) * scale;
}

/** @throws RedisError with `message`, or Redis' usual one */
export function integerArgument(argument: Buffer, message?: string): bigint {
  return message === undefined ? requireInteger(argument) : requireInteger(argument, () => new RedisError(message));
}

/** An integer that fits a C int. @throws RedisError */
export function smallIntegerArgument(argument: Buffer, message?: string): number {
  const value = integerArgument(argument, message);
  if (!isInt32(value)) throw message === undefined ? errors.int32OutOfRange() : new RedisError(message);
  return Number(value);
}

/** A timeout in milliseconds. @throws RedisError */
export function timeoutArgument(argument: Buffer): number {
  const value = integerArgument(argument, 'ERR timeout is not an integer or out of range');
  if (value < 0n) throw new RedisError('ERR timeout is negative');
  return Number(value);
}

/**
 * The cursor of a scan as C's strtoul reads it: up to a zero byte, nothing is 0, and a minus counts back from 2^64.
 * @throws RedisError
 */
export function cursorArgument(argument: Buffer): bigint {
  const [text] = argument.toString('latin1').split('\0', 1);
  if (text === '') return 0n;
  const [, sign, digits] = /^([+-]?)0*([0-9]{1,20})$/.exec(text!) ?? [];
  if (digits === undefined || BigInt(digits) > MAX_U64) throw new RedisError('ERR invalid cursor');
  return sign === '-' ? BigInt.asUintN(64, -BigInt(digits)) : BigInt(digits);
}

/**
 * An integer that is a number of things; what is beyond the safe integers is brought to the nearest.
 * @param least the lowest that is allowed
 * @throws RedisError with `message`, also when it is no integer
 */
export function countArgument(
  argument: Buffer,
  least: number,
  message = 'ERR value is out of range, must be positive',
): number {
  integerArgument(argument, message);
  const count = requirePosition(argument);
  if (count < least) throw new RedisError(message);
  return count;
}
