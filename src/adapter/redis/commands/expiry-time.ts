/** Expiry times: how the arguments of SET, GETEX, EXPIRE and their kin become timestamps, and back. */
import { type HlcTimestamp, hlcTimestamp } from '../../../platform/index.ts';
import { INT64_MAX, requireInteger } from '../integers.ts';
import { errors } from '../reply.ts';

/** The expiry of a value that does not expire. */
export const NEVER: HlcTimestamp = hlcTimestamp(0n);

/** A timestamp has 48 bits for milliseconds; what expires later than that, in the year 10889, expires then. */
const MAX_EXPIRY_MS = 2n ** 48n - 1n;

/** The options that carry a time: relative or absolute, seconds or milliseconds. */
export type ExpiryUnit = 'EX' | 'PX' | 'EXAT' | 'PXAT';

/** The timestamp of a positive unix time in milliseconds. */
export const expiryAt = (unixMs: bigint): HlcTimestamp =>
  hlcTimestamp((unixMs > MAX_EXPIRY_MS ? MAX_EXPIRY_MS : unixMs) << 16n);

/** The unix time in milliseconds of an expiry that is not `NEVER`. */
export const expiryMs = (expireTs: HlcTimestamp): number => Number(expireTs >> 16n);

/**
 * The unix time in milliseconds that an option of SET or GETEX asks for; positive, but it may be past.
 * @param commandName for the error's text
 * @throws RedisError when `text` is no integer, not positive, or too large
 */
export function requireOptionExpiry(commandName: string, unit: ExpiryUnit, text: Buffer, nowMs: number): bigint {
  const value = requireInteger(text);
  const inSeconds = unit === 'EX' || unit === 'EXAT';
  if (value <= 0n) throw errors.invalidExpire(commandName);
  const ms = inSeconds ? value * 1000n : value;
  if (ms > INT64_MAX) throw errors.invalidExpire(commandName);
  const unixMs = unit === 'EX' || unit === 'PX' ? ms + BigInt(nowMs) : ms;
  if (unixMs > INT64_MAX) throw errors.invalidExpire(commandName);
  return unixMs;
}
