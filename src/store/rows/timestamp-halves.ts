/**
 * Timestamps as two small integers each, which compare like them: V8 keeps such numbers in the fields of an object, where a bigint is an object of its own.
 * Halves have their sign turned, so that signed numbers are in the order of unsigned ones.
 */
import type { HlcTimestamp } from '../../platform/index.ts';

const whole = new BigUint64Array(1);
const halves = new Int32Array(whole.buffer);
const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
const LOWER = IS_LITTLE_ENDIAN ? 0 : 1;
const UPPER = 1 - LOWER;
const SIGN = 1 << 31;

/** The one that was asked for last: all versions of a unit have one timestamp. */
let last = 0n as HlcTimestamp;
let lastUpper = SIGN;
let lastLower = SIGN;

function split(ts: HlcTimestamp): void {
  last = ts;
  whole[0] = ts;
  lastUpper = halves[UPPER]! ^ SIGN;
  lastLower = halves[LOWER]! ^ SIGN;
}

/** The half that counts more. */
export function upperHalf(ts: HlcTimestamp): number {
  if (ts !== last) split(ts);
  return lastUpper;
}

/** The half that counts less. */
export function lowerHalf(ts: HlcTimestamp): number {
  if (ts !== last) split(ts);
  return lastLower;
}

/** Whether the timestamp with these halves is above another one. */
export function isAbove(upper: number, lower: number, ts: HlcTimestamp): boolean {
  if (ts !== last) split(ts);
  return upper > lastUpper || (upper === lastUpper && lower > lastLower);
}

/** Whether the timestamp with these halves is this one. */
export function isSame(upper: number, lower: number, ts: HlcTimestamp): boolean {
  if (ts !== last) split(ts);
  return upper === lastUpper && lower === lastLower;
}

/** The timestamp with these halves. */
export function joined(upper: number, lower: number): HlcTimestamp {
  halves[UPPER] = upper ^ SIGN;
  halves[LOWER] = lower ^ SIGN;
  return whole[0] as HlcTimestamp;
}
