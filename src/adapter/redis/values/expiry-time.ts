/** Expiry times: how the arguments of SET, GETEX, EXPIRE and their kin become timestamps, and back. */
import { type HlcTimestamp, MAX_TIMESTAMP_MS, timestampOfMs } from '../../../platform/index.ts';
import { errors, INT64_MAX, requireInteger } from '../protocol/index.ts';

/** What expires later than a timestamp can say expires then. */
const MAX_EXPIRY_MS = BigInt(MAX_TIMESTAMP_MS);

/** The options that carry a time: relative or absolute, seconds or milliseconds. */
export type ExpiryUnit = 'EX' | 'PX' | 'EXAT' | 'PXAT';

/** The timestamp of a positive unix time in milliseconds. */
export const expiryAt = (unixMs: bigint): HlcTimestamp =>
  timestampOfMs(unixMs > MAX_EXPIRY_MS ? MAX_TIMESTAMP_MS : Number(unixMs));

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
