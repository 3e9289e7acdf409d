/** The commands that add elements to a value. */
import { type RdbValue, writePayload } from '../../src/adapter/redis/index.ts';
import type { CommandLine } from '../redis/index.ts';

/** What adds elements to a value. */
export interface PartCommands {
  /** They may be carried out twice. */
  readonly commands: readonly CommandLine[];
  /** Elements of the part. */
  readonly count: number;
  /** They are added only when the value has as many as it was to have; the first answer says how many it has then. */
  readonly isOrdered: boolean;
  /** Of the elements. */
  readonly bytes: number;
}

/** Pushes only when the list has so many elements, and says how many it has. A node of a list may have more than Lua unpacks. */
const PUSH_AT = `local length = redis.call('LLEN', KEYS[1])
if length ~= tonumber(ARGV[1]) then return length end
for at = 2, #ARGV, 1000 do length = redis.call('RPUSH', KEYS[1], unpack(ARGV, at, math.min(at + 999, #ARGV))) end
return length`;

/** @param key where the elements go @param before elements that are there */
export function partCommands(key: Buffer, value: RdbValue, before: number): PartCommands {
  switch (value.type) {
    case 'list':
      return part([['EVAL', PUSH_AT, 1, key, before, ...value.values]], value.values.length, true);
    case 'set':
      return part([['SADD', key, ...value.members]], value.members.length);
    case 'hash': {
      const add: CommandLine = ['HSET', key, ...value.fields.flatMap((each) => [each.field, each.value])];
      const expiries = value.fields
        .filter(({ expiresMs }) => expiresMs !== undefined)
        .map(({ field, expiresMs }): CommandLine => ['HPEXPIREAT', key, expiresMs!, 'FIELDS', 1, field]);
      return part([add, ...expiries], value.fields.length);
    }
    case 'zset': {
      const members = value.members.flatMap(({ member, score }) => [scoreText(score), member]);
      return part([['ZADD', key, ...members]], value.members.length);
    }
    case 'stream':
      return part(
        [['KVORUM-XRESTORE', key, before, writePayload(value, { isCompact: false })]],
        value.entries.length,
        true,
      );
    case 'string':
      throw new Error('a string has no parts');
  }
}

function part(commands: readonly CommandLine[], count: number, isOrdered = false): PartCommands {
  let bytes = 0;
  for (const command of commands) for (const word of command) bytes += Buffer.isBuffer(word) ? word.length : 8;
  return { commands, count, isOrdered, bytes };
}

/** Score as ZADD reads it: the shortest text that gives the same number. */
export function scoreText(score: number): string {
  if (score === Number.POSITIVE_INFINITY) return '+inf';
  return score === Number.NEGATIVE_INFINITY ? '-inf' : String(Object.is(score, -0) ? '-0' : score);
}
