/** Arguments of the commands of Redis 7.4 and 8.0 on fields that expire. */
import type { Millis } from '../../../../platform/index.ts';
import { errors, optionName, parseInteger, RedisError, requireInteger } from '../../protocol/index.ts';
import type { ExpiryUnit } from '../../values/index.ts';

/** Latest expiry of a field that Redis takes, unix ms. */
const MAX_FIELD_EXPIRY_MS = 2n ** 46n - 1n;
const MS_PER_SECOND = 1000n;
const INT32_MAX = 2n ** 31n - 1n;

/**
 * The unix time in milliseconds that an argument asks for; it may be past.
 * @param command for the error's text
 * @throws RedisError when the argument is no integer, negative or too large
 */
export function requireFieldExpiry(command: string, unit: ExpiryUnit, text: Buffer, nowMs: Millis): Millis {
  const value = requireInteger(text);
  if (value < 0n) throw new RedisError('ERR invalid expire time, must be >= 0');
  const ms = unit === 'EX' || unit === 'EXAT' ? value * MS_PER_SECOND : value;
  const unixMs = unit === 'EX' || unit === 'PX' ? ms + BigInt(nowMs) : ms;
  if (unixMs > MAX_FIELD_EXPIRY_MS) throw errors.invalidExpire(command);
  return Number(unixMs);
}

/** How many fields an argument says there are. @throws RedisError with `message` */
export function requireFieldCount(text: Buffer | undefined, message: string): number {
  const count = text === undefined ? undefined : parseInteger(text);
  if (count === undefined || count < 1n || count > INT32_MAX) throw new RedisError(message);
  return Number(count);
}

/**
 * The fields of `FIELDS numfields field [field ...]`, which must be the last arguments.
 * @param at position of the keyword
 * @param countMessage the error of a number of fields that makes no sense
 */
export function requireFields(
  args: readonly Buffer[],
  at: number,
  countMessage = 'ERR Number of fields must be a positive integer',
): readonly Buffer[] {
  const keyword = args[at];
  if (keyword === undefined || optionName(keyword) !== 'FIELDS')
    throw new RedisError('ERR Mandatory argument FIELDS is missing or not at the right position');
  const count = requireFieldCount(args[at + 1], countMessage);
  if (count !== args.length - at - 2)
    throw new RedisError('ERR The `numfields` parameter must match the number of arguments');
  return args.slice(at + 2);
}
