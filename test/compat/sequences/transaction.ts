/** Transactions. */
import type { SequenceGroup } from './group.ts';
import { command, key, one, type Words, withOptions, words } from './words.ts';

const transactionCommands: Words[] = [
  one('MULTI'),
  one('EXEC', 'EXEC', 'DISCARD'),
  one('UNWATCH'),
  withOptions(command('WATCH', key), words(key), 1),
];

export const transactionGroup: SequenceGroup = { name: 'transaction', commands: transactionCommands, others: 12 };
