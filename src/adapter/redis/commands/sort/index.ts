/** SORT and SORT_RO. */
import { type CommandSpec, defineCommands } from '../../command/index.ts';
import { sortAndStore, sortOnly } from './sort.ts';
import { isStoring, sortFinds, sortKeys } from './sort-options.ts';

export const sortCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'sort',
    writesWholeValue: true,
    arity: -2,
    flags: ['write', 'denyoom', 'movablekeys'],
    keys: { first: 1, last: 1, step: 1, all: sortKeys },
    findsKeys: sortFinds,
    writes: isStoring,
    group: 'generic',
    since: '1.0.0',
    summary:
      'The elements of a list, a set or a sorted set in order, perhaps by what other keys say, and perhaps stored as a list.',
    complexity: 'O(N log N) in the number of elements',
    differences:
      'Elements whose ALPHA weights are the same keep the order that they had. Letters are compared by their bytes, whatever the locale of the ' +
      'server is. On the port for cluster clients BY and GET are taken if all keys that they may find are in the slot of the sorted key by a hash ' +
      'tag in front of the star; GET # is taken, too.',
    aclCategories: ['set', 'sortedset', 'list', 'dangerous'],
    handler: { kind: 'data', run: sortAndStore },
  },
  {
    name: 'sort_ro',
    arity: -2,
    flags: ['readonly', 'movablekeys'],
    keys: { first: 1, last: 1, step: 1, all: () => [1] },
    findsKeys: sortFinds,
    group: 'generic',
    since: '7.0.0',
    summary: 'The elements of a list, a set or a sorted set in order, perhaps by what other keys say.',
    complexity: 'O(N log N) in the number of elements',
    differences: 'As of SORT.',
    aclCategories: ['set', 'sortedset', 'list', 'dangerous'],
    handler: { kind: 'data', run: sortOnly },
  },
]);
