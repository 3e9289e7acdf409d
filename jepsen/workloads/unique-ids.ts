/** INCR as a generator of ids. */
import { uniqueIdsChecker } from '../checkers/collections.ts';
import type { Workload } from '../types.ts';

export const uniqueIds = (): Workload => ({
  name: 'unique-ids',
  description: 'INCR as a source of ids; no id given out twice',
  checker: uniqueIdsChecker,
  generate: () => ({ f: 'generate', value: null }),
  isReadOnly: () => false,
  execute: (client) => client.incr('ids'),
});
