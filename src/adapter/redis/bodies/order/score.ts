/**
 * Keys of a sorted set's order: the score in 8 bytes that compare as numbers do, then the member. The order of keys as bytes is the order of
 * the set: by score, and by member where scores are equal.
 *
 * The 8 bytes are those of the IEEE 754 number, big endian, with the sign bit turned over, and all other bits too when it is negative.
 */
import { assert } from '../../../../platform/index.ts';

export const SCORE_BYTES = 8;
const SIGN = 0x80;

/** The key of a member with a score; -0 is 0. A score must be a number. */
export function orderKey(score: number, member: Buffer): Buffer {
  assert(!Number.isNaN(score), 'a score is a number');
  const key = Buffer.allocUnsafe(SCORE_BYTES + member.length);
  key.writeDoubleBE(score === 0 ? 0 : score);
  if (key[0]! < SIGN) key[0]! ^= SIGN;
  else for (let at = 0; at < SCORE_BYTES; at++) key[at]! ^= 0xff;
  member.copy(key, SCORE_BYTES);
  return key;
}

const scratch = Buffer.alloc(SCORE_BYTES);

/** The score of a key. */
export function scoreOf(key: Buffer): number {
  if (key[0]! >= SIGN) {
    key.copy(scratch, 0, 0, SCORE_BYTES);
    scratch[0]! ^= SIGN;
  } else for (let at = 0; at < SCORE_BYTES; at++) scratch[at] = key[at]! ^ 0xff;
  return scratch.readDoubleBE();
}

/** The member of a key, a view. */
export const memberOf = (key: Buffer): Buffer => key.subarray(SCORE_BYTES);

/** The first key that is above all keys of a score. */
export function keyAboveScore(score: number): Buffer {
  const key = orderKey(score, Buffer.alloc(0));
  let at = SCORE_BYTES - 1;
  while (key[at] === 0xff) key[at--] = 0;
  key[at]!++;
  return key;
}
