/** Transactions over registers with unique values: some read and replace optimistically, some only read. */
import { registerTransactionChecker } from '../checkers/transactions.ts';
import { NothingHappened } from '../client.ts';
import type { Workload } from '../types.ts';
import { exec, optimistically } from './transaction.ts';

type MicroOp = ['w' | 'r', key: string, value: unknown];

const KEYS_AT_A_TIME = 4;
const TRANSACTIONS_PER_EPOCH = 200;

const parse = (text: string | null | undefined): number | null =>
  text === null || text === undefined ? null : Number(text);

export const registerTransactions = (): Workload => {
  let generated = 0;
  return {
    name: 'rw-register',
    description: 'transactions that read and replace registers; strictly serializable, no lost update',
    checker: registerTransactionChecker,
    generate({ random, nextId }) {
      const epoch = Math.floor(generated++ / TRANSACTIONS_PER_EPOCH);
      const first = random.int(KEYS_AT_A_TIME);
      const second = (first + 1 + random.int(KEYS_AT_A_TIME - 1)) % KEYS_AT_A_TIME;
      const [a, b] = [`rw-${epoch}-${first}`, `rw-${epoch}-${second}`];
      if (random.next() < 0.4)
        return {
          f: 'read',
          value: [
            ['r', a, null],
            ['r', b, null],
          ],
        };
      return {
        f: 'txn',
        value: [
          ['r', a, null],
          ['w', a, nextId()],
          ['r', b, null],
        ],
      };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      const ops = value as MicroOp[];
      if (f === 'read') {
        const transaction = client.multi();
        for (const [, key] of ops) transaction.get(key);
        const replies = await exec(transaction);
        return ops.map(([, key], at) => ['r', key, parse(replies[at] as string | null)]);
      }
      const [[, a], [, , replacement], [, b]] = ops as [MicroOp, MicroOp, MicroOp];
      let seen: (number | null)[] = [];
      const committed = await optimistically(client, [a, b], (values, transaction) => {
        seen = values.map(parse);
        transaction.set(a, String(replacement));
        return true;
      });
      if (!committed) throw new NothingHappened('not committed');
      return [
        ['r', a, seen[0]],
        ['w', a, replacement],
        ['r', b, seen[1]],
      ];
    },
  };
};
