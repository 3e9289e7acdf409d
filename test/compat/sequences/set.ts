/** Commands on sets. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import { bulk, command, count, integerOrNot, key, member, one, type Words, withOptions, words } from './words.ts';

/** How many keys follow, or something else. */
const keyCount = fc.constantFrom('1', '2', '2', '3', '0', '-1', 'x', '9223372036854775807');
const limitOption = fc.oneof(words(fc.constantFrom('LIMIT', 'limit'), count), one('LIMIT', 'junk'));
const small = fc.integer({ min: -30, max: 30 }).map(String);

const setCommands: Words[] = [
  withOptions(command('SADD', key, member), words(member), 6),
  withOptions(command('SADD', key, member), words(member), 6),
  withOptions(command('SADD', key, small), words(small), 9),
  bulk(command('SADD', key), (nth) => [`n${nth}`], 20, 127, 128, 129, 300),
  bulk(command('SADD', key), (nth) => [String(nth)], 20, 129, 511, 512, 513),
  withOptions(command('SREM', key, member), words(member), 4),
  bulk(command('SREM', key), (nth) => [`n${nth * 2}`], 20, 65, 200),
  command('SCARD', key),
  command('SISMEMBER', key, member),
  withOptions(command('SMISMEMBER', key, member), words(member), 5),
  command('SMEMBERS', key),
  command('SMEMBERS', key),
  command('SRANDMEMBER', key),
  command('SRANDMEMBER', key, count),
  command('SMOVE', key, key, member),
  withOptions(command('SINTER', key), words(key), 3),
  withOptions(command('SUNION', key), words(key), 3),
  withOptions(command('SDIFF', key), words(key), 3),
  withOptions(command('SINTERSTORE', key, key), words(key), 2),
  withOptions(command('SUNIONSTORE', key, key), words(key), 2),
  withOptions(command('SDIFFSTORE', key, key), words(key), 2),
  withOptions(
    fc.tuple(command('SINTERCARD', keyCount), words(key), fc.array(key, { maxLength: 2 })).map((parts) => parts.flat()),
    limitOption,
    2,
  ),
];

export const setGroup: SequenceGroup = {
  name: 'set',
  commands: setCommands,
  scans: [command('SSCAN', key)],
  scanOption: fc.oneof(
    words(fc.constantFrom('MATCH', 'match'), fc.constantFrom('*', 'n1*', '?', '[a-c]', '-*', 'no*')),
    words(fc.constant('COUNT'), fc.constantFrom('1', '2', '100', '1000')),
    words(fc.constant('COUNT'), integerOrNot),
    one('COUNT', 'TYPE', 'NOVALUES', 'junk'),
  ),
  pops: [
    command('SPOP', key),
    command('SPOP', key, count),
    command('SPOP', key, fc.constantFrom('10000', '9223372036854775807', '400')),
  ],
};
