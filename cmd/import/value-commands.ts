/** The commands that add elements to a value. */
import type { RdbValue } from '../../src/adapter/redis/index.ts';
import type { CommandLine } from '../redis/index.ts';

/** A command that adds these elements behind those that are there, and one that says how many there are. */
export interface PartCommands {
  readonly add: CommandLine;
  readonly more: readonly CommandLine[];
  readonly size: CommandLine;
  /** Elements of the part. */
  readonly count: number;
}

/** @param key where the elements go */
export function partCommands(key: Buffer, value: RdbValue): PartCommands {
  switch (value.type) {
    case 'list':
      return { add: ['RPUSH', key, ...value.values], more: [], size: ['LLEN', key], count: value.values.length };
    case 'set':
      return { add: ['SADD', key, ...value.members], more: [], size: ['SCARD', key], count: value.members.length };
    case 'hash':
      return {
        add: ['HSET', key, ...value.fields.flatMap((each) => [each.field, each.value])],
        more: value.fields
          .filter(({ expiresMs }) => expiresMs !== undefined)
          .map(({ field, expiresMs }) => ['HPEXPIREAT', key, expiresMs!, 'FIELDS', 1, field]),
        size: ['HLEN', key],
        count: value.fields.length,
      };
    case 'zset':
      return {
        add: ['ZADD', key, ...value.members.flatMap(({ member, score }) => [scoreText(score), member])],
        more: [],
        size: ['ZCARD', key],
        count: value.members.length,
      };
    default:
      throw new Error(`${value.type} has no parts`);
  }
}

/** Score as ZADD reads it: the shortest text that gives the same number. */
export function scoreText(score: number): string {
  if (score === Number.POSITIVE_INFINITY) return '+inf';
  return score === Number.NEGATIVE_INFINITY ? '-inf' : String(Object.is(score, -0) ? '-0' : score);
}
