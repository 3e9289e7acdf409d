/** Commands on lists. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import { bulk, command, count, key, member, one, position, type Words, withOptions, words } from './words.ts';

const end = fc.constantFrom('LEFT', 'RIGHT', 'left', 'Right', 'junk');
/** How many keys follow, or something else. */
const keyCount = fc.constantFrom('1', '2', '2', '1', '3', '0', '-1', 'x', '9223372036854775807');
const searchOption = fc.oneof(
  words(fc.constantFrom('RANK', 'rank'), fc.oneof(position, fc.constantFrom('-9223372036854775807'))),
  words(fc.constantFrom('COUNT', 'count'), count),
  words(fc.constant('MAXLEN'), count),
  one('RANK', 'junk'),
);
const popOption = fc.oneof(words(fc.constantFrom('COUNT', 'count'), count), one('COUNT', 'junk'));

const listCommands: Words[] = [
  withOptions(command('LPUSH', key, member), words(member), 4),
  withOptions(command('RPUSH', key, member), words(member), 8),
  withOptions(command('RPUSH', key, member), words(member), 8),
  bulk(command('RPUSH', key), (nth) => [`n${nth % 40}`], 20, 126, 127, 128, 129, 300),
  withOptions(command('LPUSHX', key, member), words(member), 2),
  withOptions(command('RPUSHX', key, member), words(member), 2),
  command('LPOP', key),
  command('RPOP', key),
  command('LPOP', key, count),
  command('RPOP', key, count),
  command('LLEN', key),
  command('LINDEX', key, position),
  command('LSET', key, position, member),
  command('LRANGE', key, position, position),
  command('LRANGE', key, fc.constant('0'), fc.constant('-1')),
  command('LTRIM', key, position, position),
  command('LINSERT', key, fc.constantFrom('BEFORE', 'AFTER', 'before', 'After', 'junk'), member, member),
  command('LREM', key, count, member),
  withOptions(command('LPOS', key, member), searchOption, 3),
  command('LMOVE', key, key, end, end),
  command('RPOPLPUSH', key, key),
  withOptions(
    fc
      .tuple(command('LMPOP', keyCount), words(key), fc.array(key, { maxLength: 2 }), words(end))
      .map((parts) => parts.flat()),
    popOption,
    2,
  ),
];

export const listGroup: SequenceGroup = { name: 'list', commands: listCommands };
