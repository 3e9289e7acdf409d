/** The count of HRANDFIELD, ZRANDMEMBER and SRANDMEMBER, and how many draws of one element again and again it may ask for. */
import { errors, INT64_MAX, optionName, RedisError, requireInteger } from '../protocol/index.ts';

/** Most elements that a negative count draws: each is drawn by itself, in one turn of the leader, and the reply lies in memory as a whole. */
const MAX_DRAWS = 100_000n;

/** What a call with a count asks for. */
export interface RandomCount {
  /** How many elements at most; never negative. */
  readonly count: number;
  /** True when no element may come twice: then there are at most as many as the collection has. */
  readonly isDistinct: boolean;
  /** Whether the option was given. */
  readonly hasOption: boolean;
}

/**
 * Reads a count at index 2 and an option behind it, which must be there if anything is.
 * @param option `WITHVALUES` or `WITHSCORES`; undefined when the command has none
 * @throws RedisError
 */
export function parseRandomCount(args: readonly Buffer[], option?: string): RandomCount {
  const count = requireInteger(args[2]!);
  if (count < -INT64_MAX)
    throw new RedisError(`ERR value is out of range, value must between ${-INT64_MAX} and ${INT64_MAX}`);
  const hasOption = args.length > 3;
  if (hasOption && (args.length > 4 || option === undefined || optionName(args[3]!) !== option)) throw errors.syntax();
  const isTooLarge = hasOption && (count > INT64_MAX / 2n || count < -INT64_MAX / 2n);
  if (isTooLarge || count < -MAX_DRAWS) throw new RedisError('ERR value is out of range');
  const isDistinct = count >= 0n;
  const size = isDistinct ? count : -count;
  return {
    count: Number(size > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : size),
    isDistinct,
    hasOption,
  };
}
