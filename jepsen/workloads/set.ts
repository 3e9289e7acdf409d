/** Unique elements, each its own key, read back by scanning. */
import type { Redis } from 'ioredis';
import { setChecker } from '../checkers/collections.ts';
import type { Workload } from '../types.ts';

const PREFIX = 'element-';

async function readAll(client: Redis): Promise<number[]> {
  const elements = new Set<number>();
  let cursor = '0';
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', `${PREFIX}*`, 'COUNT', 1000);
    for (const key of keys) elements.add(Number(key.slice(PREFIX.length)));
    cursor = next;
  } while (cursor !== '0');
  return [...elements].sort((a, b) => a - b);
}

export const set = (): Workload => ({
  name: 'set',
  description: 'unique keys added one by one and scanned; no acknowledged key lost',
  checker: setChecker,
  generate: ({ random, nextId }) => (random.next() < 0.02 ? { f: 'read', value: null } : { f: 'add', value: nextId() }),
  finalOperations: [{ f: 'read', value: null }],
  isReadOnly: (f) => f === 'read',
  async execute(client, { f, value }) {
    if (f === 'read') return readAll(client);
    await client.set(`${PREFIX}${value}`, 'x');
    return value;
  },
});
