/** A queue in one value: APPEND at the end, optimistic removal at the front. */
import type { Redis } from 'ioredis';
import { queueChecker } from '../checkers/collections.ts';
import type { Workload } from '../types.ts';
import { optimistically } from './transaction.ts';

const KEY = 'queue';

async function dequeue(client: Redis): Promise<number | null> {
  let taken: number | null = null;
  await optimistically(client, [KEY], ([text], transaction) => {
    if (text === null || text === undefined || text === '') return false;
    const at = text.indexOf(' ');
    taken = Number(text.slice(0, at));
    transaction.set(KEY, text.slice(at + 1));
    return true;
  });
  return taken;
}

async function drain(client: Redis): Promise<number[]> {
  const text = await client.getdel(KEY);
  return (text ?? '').split(' ').filter(Boolean).map(Number);
}

export const queue = (): Workload => ({
  name: 'queue',
  description: 'unique elements enqueued and dequeued; none lost, none delivered twice',
  checker: queueChecker,
  generate: ({ random, nextId }) =>
    random.next() < 0.55 ? { f: 'enqueue', value: nextId() } : { f: 'dequeue', value: null },
  finalOperations: [{ f: 'drain', value: null }],
  isReadOnly: () => false,
  async execute(client, { f, value }) {
    if (f === 'dequeue') return dequeue(client);
    if (f === 'drain') return drain(client);
    await client.append(KEY, `${value} `);
    return value;
  },
});
