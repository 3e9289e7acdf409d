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
const stringCommands: Words[] = [
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
