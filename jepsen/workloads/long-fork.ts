/** Independent single writes and wide reads: two reads must not see two writes in opposite orders (parallel snapshot isolation). */
import { listAppendChecker } from '../checkers/transactions.ts';
import type { Workload } from '../types.ts';

const KEYS_PER_GROUP = 4;
const OPERATIONS_PER_GROUP = 24;

type MicroOp = ['append' | 'r', key: string, value: unknown];

export const longFork = (): Workload => {
  let generated = 0;
  const written = new Set<string>();
  return {
    name: 'long-fork',
    description: 'single writes and reads of whole groups of keys; all reads agree on the order of the writes',
    // A key that is written once is a list of at most one element.
    checker: { ...listAppendChecker, name: 'long-fork' },
    generate({ random, nextId }) {
      const group = Math.floor(generated++ / OPERATIONS_PER_GROUP);
      const keys = Array.from({ length: KEYS_PER_GROUP }, (_, at) => `fork-${group}-${at}`);
      const fresh = keys.filter((key) => !written.has(key));
      if (fresh.length > 0 && random.next() < 0.3) {
        const key = fresh[random.int(fresh.length)]!;
        written.add(key);
        return { f: 'txn', value: [['append', key, nextId()]] };
      }
      return { f: 'read', value: keys.map((key): MicroOp => ['r', key, null]) };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      const ops = value as MicroOp[];
      if (f === 'read') {
        const values = await client.mget(...ops.map(([, key]) => key));
        return ops.map(([, key], at) => ['r', key, values[at] === null ? [] : [Number(values[at])]]);
      }
      const [[, key, element]] = ops as [MicroOp];
      await client.set(key, String(element));
      return ops;
    },
  };
};
