/** Commands on strings that are numbers. */
import type { SequenceGroup } from './group.ts';
import { command, floatOrNot, integerOrNot, key, type Words } from './words.ts';

const numberCommands: Words[] = [
  command('SET', key, integerOrNot),
  command('SET', key, floatOrNot),
  command('INCR', key),
  command('DECR', key),
  command('INCRBY', key, integerOrNot),
  command('DECRBY', key, integerOrNot),
  command('INCRBYFLOAT', key, floatOrNot),
  command('INCRBYFLOAT', key, floatOrNot),
];

export const numberGroup: SequenceGroup = { name: 'number', commands: numberCommands };
