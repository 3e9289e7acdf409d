/** Commands on hashes that Redis 7.0 has. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import {
  badInteger,
  bulk,
  command,
  count,
  floatOrNot,
  integerOrNot,
  key,
  member,
  one,
  text,
  value,
  type Words,
  withOptions,
  words,
} from './words.ts';

const fieldValue = fc.oneof(
  { weight: 8, arbitrary: value },
  { weight: 1, arbitrary: fc.constantFrom('v'.repeat(64), 'v'.repeat(65), 'w'.repeat(500)) },
);
const pair = words(member, fieldValue);
const numbered = (index: number): string[] => [`n${index}`, `${index}`];
const randomCount = fc.oneof(
  { weight: 8, arbitrary: count },
  { weight: 1, arbitrary: fc.constantFrom('9223372036854775807', '4611686018427387903', '4611686018427387904') },
  { weight: 1, arbitrary: fc.constantFrom('-9223372036854775808', '-4611686018427387904') },
);
const scanOption = fc.oneof(
  words(fc.constantFrom('MATCH', 'match'), fc.constantFrom('*', 'n*', '?', 'n1[0-2]*', 'e*', '')),
  words(fc.constantFrom('COUNT', 'count'), fc.constantFrom('1', '3', '100', '100000')),
);

const hashCommands: Words[] = [
  withOptions(command('HSET', key, member, fieldValue), pair, 5),
  withOptions(command('HSET', key, member, fieldValue), pair, 5),
  withOptions(command('HMSET', key, member, fieldValue), pair, 2),
  bulk(command('HSET', key), numbered, 20, 127, 128, 130, 513),
  command('HSETNX', key, member, fieldValue),
  command('HGET', key, member),
  command('HGET', key, member),
  withOptions(command('HMGET', key, member), words(member), 4),
  command('HGETALL', key),
  command('HKEYS', key),
  command('HVALS', key),
  command('HLEN', key),
  command('HSTRLEN', key, member),
  command('HEXISTS', key, member),
  withOptions(command('HDEL', key, member), words(member), 5),
  bulk(command('HDEL', key), (index) => [`n${index}`], 100, 128, 513),
  command('HSET', key, member, integerOrNot),
  command('HINCRBY', key, member, integerOrNot),
  command('HINCRBY', key, member, integerOrNot),
  command('HSET', key, member, floatOrNot),
  command('HINCRBYFLOAT', key, member, floatOrNot),
  command('HINCRBYFLOAT', key, member, floatOrNot),
  command('HRANDFIELD', key),
  command('HRANDFIELD', key, randomCount),
  withOptions(command('HRANDFIELD', key, randomCount), one('WITHVALUES', 'withvalues', 'WITHSCORES'), 2),
  withOptions(
    command('HSCAN', key, fc.oneof(fc.constant('0'), badInteger, text)),
    fc.oneof(scanOption, words(fc.constant('COUNT'), integerOrNot), one('TYPE', 'MATCH', 'junk')),
    2,
  ),
];

export const hashGroup: SequenceGroup = {
  name: 'hash',
  commands: hashCommands,
  scans: [command('HSCAN', key)],
  scanOption,
};
