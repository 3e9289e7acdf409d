/** Commands on sorted sets that Redis 7.0 has. */
import fc from 'fast-check';
import type { CommandLine } from '../resp-connection.ts';
import type { SequenceGroup } from './group.ts';
import {
  badFloat,
  badInteger,
  bulk,
  command,
  count,
  integer,
  key,
  member,
  one,
  position,
  type Words,
  withOptions,
  words,
} from './words.ts';

// A large set of Redis keeps a score of -0 as such, kvorum and a small set of Redis as 0.
const score = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('0', '1', '2', '3', '-1', '1.5', '0.1', '-2.5e3') },
  { weight: 2, arbitrary: fc.constantFrom('inf', '-inf', '+Infinity', '1e300', '-1e300', '1e-5', '5e-324', '1e17') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '0x1.8p3',
      '0x.8',
      '1125899906842624.25',
      '123456789012345678',
      '.5',
      '5.',
      '3.3333333333333333',
    ),
  },
  { weight: 1, arbitrary: fc.oneof(integer, fc.double({ noNaN: true, min: -1e20, max: 1e20 }).map(String)) },
);
const scoreOrNot = fc
  .oneof({ weight: 30, arbitrary: score }, { weight: 1, arbitrary: badFloat })
  .filter((text) => text !== '-0' && text !== '1e-5000');
/** Redis adds to -0 here and there, too. */
const weight = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('1', '2', '0.5', '3', 'inf', '1e300') },
  { weight: 1, arbitrary: badFloat.filter((text) => text !== '1e-5000') },
);
const scoreBound = fc.oneof(
  { weight: 4, arbitrary: score },
  { weight: 2, arbitrary: score.map((text) => `(${text}`) },
  { weight: 3, arbitrary: fc.constantFrom('-inf', '+inf', '0', '(1', '10') },
  { weight: 1, arbitrary: fc.constantFrom('', '(', ' 1', '1 ', '((1', '1\x00x', '(1e999', '-1e999', 'nan', '[1', 'x') },
);
const lexBound = fc.oneof(
  { weight: 4, arbitrary: member.map((text) => `[${text}`) },
  { weight: 4, arbitrary: member.map((text) => `(${text}`) },
  { weight: 4, arbitrary: fc.constantFrom('-', '+') },
  { weight: 1, arbitrary: fc.constantFrom('', '-x', '+x', '-\x00x', 'a', '(', '[') },
);
const pair = words(scoreOrNot, member);
/** Its members all have one score: what a large set of Redis answers about ranges of members depends on chance otherwise. */
const EVEN_KEY = 'even';
const evenKey = fc.constantFrom(EVEN_KEY, EVEN_KEY, EVEN_KEY, 'no-set');
const even = words(fc.constant('0'), member);
const addOption = one('NX', 'XX', 'GT', 'LT', 'CH', 'INCR', 'nx', 'Ch', 'junk');
const limit = words(fc.constantFrom('LIMIT', 'limit'), position, position);
const withScores = fc.constantFrom('WITHSCORES', 'withscores');
const rangeOption = fc.oneof(words(withScores), limit, one('junk', 'LIMIT', 'REV'));
const lexOption = fc.oneof(limit, limit, limit, one('WITHSCORES', 'junk'));
const kind = (name: string): Words => one(name, name.toLowerCase());
/** How many keys follow, and the keys. */
const keys: Words = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.array(key, { minLength: 1, maxLength: 4 }).map((names) => [String(names.length), ...names]),
  },
  { weight: 1, arbitrary: words(fc.constantFrom('0', '-1', 'x', '5', '9223372036854775807', '2'), key) },
);
const joined = (...parts: Words[]): Words => fc.tuple(...parts).map((all) => all.flat());
const weighted = fc.oneof(
  words(fc.constant('WEIGHTS'), weight),
  words(fc.constant('WEIGHTS'), weight, weight),
  words(fc.constant('weights'), weight, weight, weight),
  words(fc.constantFrom('AGGREGATE', 'aggregate'), fc.constantFrom('SUM', 'MIN', 'MAX', 'min', 'junk')),
);
const orScores = (option: Words): Words => fc.oneof({ weight: 3, arbitrary: option }, words(withScores), one('junk'));
const popOption = fc.oneof(words(fc.constantFrom('COUNT', 'count'), count), one('COUNT', 'junk'));
const randomCount = fc.oneof(
  { weight: 8, arbitrary: count },
  { weight: 1, arbitrary: fc.constantFrom('9223372036854775807', '4611686018427387903', '4611686018427387904') },
  { weight: 1, arbitrary: fc.constantFrom('-9223372036854775808', '-4611686018427387904') },
);
const scanOption = fc.oneof(
  words(fc.constantFrom('MATCH', 'match'), fc.constantFrom('*', 'n*', '?', 'n1[0-2]*', 'e*', '')),
  words(fc.constantFrom('COUNT', 'count'), fc.constantFrom('1', '3', '100', '100000')),
);
const scattered = (index: number): string[] => [String((index * 37) % 101), `n${index}`];

const sortedSetCommands: Words[] = [
  withOptions(command('ZADD', key, scoreOrNot, member), pair, 5),
  withOptions(command('ZADD', key, scoreOrNot, member), pair, 5),
  withOptions(command('ZADD', evenKey, fc.constant('0'), member), even, 8),
  joined(withOptions(command('ZADD', key), addOption, 3), pair),
  joined(withOptions(command('ZADD', key), addOption, 2), pair, pair),
  bulk(command('ZADD', key), scattered, 20, 127, 128, 130, 300),
  command('SET', fc.constant('no-set'), fc.constant('x')),
  bulk(command('ZADD', evenKey), (index) => ['0', `n${index}`], 20, 128, 129),
  command('ZINCRBY', key, scoreOrNot, member),
  command('ZINCRBY', key, scoreOrNot, member),
  withOptions(command('ZREM', key, member), words(member), 5),
  bulk(command('ZREM', key), (index) => [`n${index}`], 100, 128, 300),
  command('ZCARD', key),
  command('ZSCORE', key, member),
  withOptions(command('ZMSCORE', key, member), words(member), 4),
  command('ZCOUNT', key, scoreBound, scoreBound),
  command('ZLEXCOUNT', evenKey, lexBound, lexBound),
  command('ZRANK', key, member),
  command('ZREVRANK', key, member),
  withOptions(
    command('ZRANGE', key, position, position),
    fc.oneof(words(withScores), one('REV', 'rev'), rangeOption),
    3,
  ),
  withOptions(joined(command('ZRANGE', key, scoreBound, scoreBound), kind('BYSCORE')), rangeOption, 3),
  withOptions(
    joined(command('ZRANGE', evenKey, lexBound, lexBound), kind('BYLEX')),
    fc.oneof(lexOption, kind('REV')),
    2,
  ),
  command('ZRANGE', key, fc.constant('0'), fc.constant('-1'), withScores),
  withOptions(command('ZREVRANGE', key, position, position), rangeOption, 1),
  withOptions(command('ZRANGEBYSCORE', key, scoreBound, scoreBound), rangeOption, 2),
  withOptions(command('ZREVRANGEBYSCORE', key, scoreBound, scoreBound), rangeOption, 2),
  withOptions(command('ZRANGEBYLEX', evenKey, lexBound, lexBound), lexOption, 1),
  withOptions(command('ZREVRANGEBYLEX', evenKey, lexBound, lexBound), lexOption, 1),
  withOptions(command('ZRANGESTORE', key, key, position, position), one('REV', 'WITHSCORES', 'LIMIT'), 1),
  withOptions(
    joined(command('ZRANGESTORE', key, key, scoreBound, scoreBound), kind('BYSCORE')),
    fc.oneof(limit, kind('REV')),
    2,
  ),
  withOptions(
    joined(command('ZRANGESTORE', key, evenKey, lexBound, lexBound), kind('BYLEX')),
    fc.oneof(limit, kind('REV')),
    2,
  ),
  command('ZREMRANGEBYRANK', key, position, position),
  command('ZREMRANGEBYSCORE', key, scoreBound, scoreBound),
  command('ZREMRANGEBYLEX', evenKey, lexBound, lexBound),
  withOptions(command('ZREM', evenKey, member), words(member), 5),
  withOptions(command('ZPOPMIN', evenKey), words(count), 1),
  withOptions(command('ZPOPMIN', key), words(count), 1),
  withOptions(command('ZPOPMAX', key), words(count), 1),
  withOptions(joined(one('ZMPOP'), keys, one('MIN', 'MAX', 'min', 'junk')), popOption, 2),
  withOptions(command('ZRANDMEMBER', key), words(randomCount), 1),
  withOptions(command('ZRANDMEMBER', key, randomCount), one('WITHSCORES', 'withscores', 'junk'), 2),
  withOptions(joined(one('ZUNION'), keys), orScores(weighted), 3),
  withOptions(joined(one('ZINTER'), keys), orScores(weighted), 3),
  withOptions(joined(one('ZDIFF'), keys), fc.oneof(words(withScores), one('WEIGHTS', 'junk')), 1),
  withOptions(joined(command('ZUNIONSTORE', key), keys), weighted, 2),
  withOptions(joined(command('ZINTERSTORE', key), keys), weighted, 2),
  joined(command('ZDIFFSTORE', key), keys),
  withOptions(joined(one('ZINTERCARD'), keys), words(fc.constantFrom('LIMIT', 'limit'), count), 1),
  withOptions(command('SADD', key, member), words(member), 5),
  command('ZSCAN', key, fc.oneof(badInteger, fc.constantFrom('-1', '18446744073709551615', '18446744073709551616'))),
];

/** Redis 7.0 has no ZRANK with scores; and see `EVEN_KEY`. */
function isComparable([name = '', key, ...rest]: CommandLine): boolean {
  if (/^Z(REV)?RANK$/i.test(name)) return rest.length <= 1;
  const isByMember = /LEX/i.test(name) || rest.some((word) => word.toUpperCase() === 'BYLEX');
  const source = /^ZRANGESTORE$/i.test(name) ? rest[0] : key;
  if (isByMember && /^Z/i.test(name) && source !== EVEN_KEY && source !== 'no-set') return false;
  if (key !== EVEN_KEY) return true;
  const isAdding = /^ZADD$/i.test(name);
  return isAdding ? rest.every((word, at) => at % 2 !== 0 || word === '0') : !/STORE$|^ZINCRBY$/i.test(name);
}

export const sortedSetGroup: SequenceGroup = {
  name: 'sorted-set',
  commands: sortedSetCommands,
  scans: [command('ZSCAN', key)],
  scanOption,
  isComparable,
};
