/** INCRBY and GET of one counter. */
import { counterChecker } from '../checkers/collections.ts';
import type { Workload } from '../types.ts';

const KEY = 'counter';

export const counter = (): Workload => ({
  name: 'counter',
  description: 'additions to one hot counter; no addition lost or counted twice',
  checker: counterChecker,
  generate({ random }) {
    return random.next() < 0.3 ? { f: 'read', value: null } : { f: 'add', value: 1 + random.int(5) };
  },
  finalOperations: [{ f: 'read', value: null }],
  isReadOnly: (f) => f === 'read',
  async execute(client, { f, value }) {
    return f === 'read' ? Number((await client.get(KEY)) ?? 0) : client.incrby(KEY, value as number);
  },
});
