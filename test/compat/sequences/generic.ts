/** Commands on keys of any type. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import {
  command,
  integerOrNot,
  key,
  milliseconds,
  one,
  seconds,
  unixMs,
  unixSeconds,
  value,
  type Words,
  withOptions,
  words,
} from './words.ts';

const expireOption = one('NX', 'XX', 'GT', 'LT', 'gt', 'junk');
/** What every group's sequences have between their own commands. */
export const commonCommands: Words[] = [
  withOptions(command('DEL', key), words(key), 1),
  withOptions(command('EXPIRE', key, seconds), expireOption, 1),
  command('TTL', key),
  command('PERSIST', key),
  command('TYPE', key),
  command('OBJECT', fc.constant('ENCODING'), key),
  command('OBJECT', fc.constant('ENCODING'), key),
  command('RENAME', key, key),
  withOptions(command('COPY', key, key), one('REPLACE'), 1),
  command('SET', key, value),
];

const genericCommands: Words[] = [
  withOptions(command('DEL', key), words(key), 2),
  withOptions(command('UNLINK', key), words(key), 2),
  withOptions(command('EXISTS', key), words(key), 4),
  withOptions(command('TOUCH', key), words(key), 3),
  command('TYPE', key),
  command('RENAME', key, key),
  command('RENAMENX', key, key),
  withOptions(
    command('COPY', key, key),
    fc.oneof(
      one('REPLACE', 'replace', 'DB', 'junk'),
      words(fc.constant('DB'), fc.constantFrom('0', '1', '16', '-1', 'x')),
    ),
    2,
  ),
  command('MOVE', key, fc.constantFrom('0', '1', '1', '15', '16', '-1', 'x', '2147483648', '9223372036854775808')),
  withOptions(command('EXPIRE', key, seconds), expireOption, 2),
  withOptions(command('PEXPIRE', key, milliseconds), expireOption, 2),
  withOptions(command('EXPIREAT', key, unixSeconds), expireOption, 2),
  withOptions(command('PEXPIREAT', key, unixMs), expireOption, 2),
  command('TTL', key),
  command('PTTL', key),
  command('EXPIRETIME', key),
  command('PEXPIRETIME', key),
  command('PERSIST', key),
  command('OBJECT', fc.constantFrom('ENCODING', 'encoding', 'REFCOUNT', 'IDLETIME', 'FREQ', 'junk'), key),
  command('OBJECT', fc.constant('HELP')),
  withOptions(command('MEMORY', fc.constant('USAGE'), key), words(fc.constantFrom('SAMPLES', 'junk'), integerOrNot), 1),
];

export const genericGroup: SequenceGroup = {
  name: 'generic',
  commands: genericCommands,
  scans: [command('SCAN')],
  scanOption: fc.oneof(
    words(fc.constant('MATCH'), fc.constantFrom('*', 'a*', '?', '{*')),
    words(fc.constant('COUNT'), fc.constantFrom('1', '2', '100')),
    words(fc.constant('TYPE'), fc.constantFrom('string', 'STRING', 'hash', 'list', 'set', 'zset', 'stream')),
  ),
  others: 12,
};
