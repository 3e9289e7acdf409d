/** Commands on whole strings and on their parts. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import {
  byteOffset,
  command,
  expiryOption,
  integerOrNot,
  key,
  milliseconds,
  one,
  orFarOff,
  position,
  seconds,
  value,
  type Words,
  withOptions,
  words,
} from './words.ts';

const setOption = fc.oneof(expiryOption, one('NX', 'XX', 'GET', 'KEEPTTL', 'nx', 'Get', 'PERSIST', 'EX', 'junk'));
const getExOption = fc.oneof(expiryOption, one('PERSIST', 'KEEPTTL', 'PX', 'junk'));
/** Above the length from which on a change of a part makes chunks, and above what one packet of a client holds. */
const long = fc.constantFrom(
  'x'.repeat(4_096),
  'ab'.repeat(2_049),
  `${'\x00'.repeat(5_000)}end`,
  'long '.repeat(1_400),
  '0123456789abcdef'.repeat(4_500),
);
const farByte = fc.oneof(
  fc.constantFrom('511', '512', '4095', '4096', '4097', '65535', '65536', '70000', '200000'),
  fc.integer({ min: 0, max: 75_000 }).map(String),
);
const farPosition = fc.oneof(
  farByte,
  farByte.map((spelled) => `-${spelled}`),
);

const stringCommands: Words[] = [
  command('SET', key, long),
  command('APPEND', key, fc.oneof(long, value)),
  command('SETRANGE', key, farByte, fc.oneof(value, long)),
  command('SETRANGE', key, farByte, value),
  command('GETRANGE', key, farPosition, farPosition),
  fc.oneof(command('GETSET', key, long), command('SET', key, long, fc.constantFrom('GET', 'KEEPTTL', 'NX', 'XX'))),
  withOptions(command('SET', key, value), setOption, 3),
  command('SET', key, value),
  command('GET', key),
  withOptions(command('GETEX', key), getExOption, 2),
  command('GETDEL', key),
  command('GETSET', key, value),
  command('SETNX', key, value),
  command('SETEX', key, seconds, value),
  command('PSETEX', key, orFarOff(milliseconds), value),
  withOptions(command('MGET', key), words(key), 4),
  withOptions(command('MSET', key, value), words(key, value), 3),
  withOptions(command('MSETNX', key, value), words(key, value), 3),
  command('APPEND', key, value),
  command('STRLEN', key),
  command('GETRANGE', key, position, position),
  command('SUBSTR', key, position, position),
  command('SETRANGE', key, byteOffset, value),
  withOptions(
    command('LCS', key, key),
    fc.oneof(one('LEN', 'IDX', 'WITHMATCHLEN', 'IDX', 'junk'), words(fc.constant('MINMATCHLEN'), integerOrNot)),
    3,
  ),
];

export const stringGroup: SequenceGroup = { name: 'string', commands: stringCommands };
