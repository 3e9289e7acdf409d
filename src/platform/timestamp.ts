/**
 * Hybrid logical timestamps: 48 bits of unix milliseconds above a logical part of 16 bits, so that comparing the whole is
 * comparing the time first. This is the only module that knows where the border is (the published client has its own copy).
 */
import { type HlcTimestamp, hlcTimestamp, type Millis } from './types.ts';

const LOGICAL_BITS = 16n;

/** The largest logical part. */
export const MAX_LOGICAL = 0xffff;

/** The last millisecond that a timestamp has room for, in the year 10889. */
export const MAX_TIMESTAMP_MS: Millis = 2 ** 48 - 1;

/** No moment: the expiry of what does not expire, the time of what has not happened. Before every moment when compared. */
export const NEVER: HlcTimestamp = hlcTimestamp(0n);

/** After every moment. */
export const END_OF_TIME: HlcTimestamp = hlcTimestamp((1n << 64n) - 1n);

/** @param logical from 0 to `MAX_LOGICAL` */
export const timestampOf = (ms: Millis, logical: number): HlcTimestamp =>
  hlcTimestamp((BigInt(ms) << LOGICAL_BITS) | BigInt(logical));

/** The first timestamp of a millisecond; `physicalMs` is its inverse. */
export const timestampOfMs = (ms: Millis): HlcTimestamp => hlcTimestamp(BigInt(ms) << LOGICAL_BITS);

/** The last timestamp before a millisecond; `NEVER` before the first. */
export const lastBefore = (ms: Millis): HlcTimestamp => (ms <= 0 ? NEVER : hlcTimestamp(timestampOfMs(ms) - 1n));

/** Milliseconds of a timestamp. */
export const physicalMs = (ts: HlcTimestamp): Millis => Number(ts >> LOGICAL_BITS);

/** Logical part of a timestamp. */
export const logicalOf = (ts: HlcTimestamp): number => Number(ts & 0xffffn);

/** A timestamp so many milliseconds later, rounded up, with the same logical part. */
export const laterBy = (ts: HlcTimestamp, ms: Millis): HlcTimestamp =>
  hlcTimestamp(ts + (BigInt(Math.ceil(ms)) << LOGICAL_BITS));

/** The first timestamp of the millisecond so much earlier; `NEVER` when there is none. */
export function earlierBy(ts: HlcTimestamp, ms: Millis): HlcTimestamp {
  const earlierMs = physicalMs(ts) - ms;
  return earlierMs <= 0 ? NEVER : timestampOfMs(earlierMs);
}
