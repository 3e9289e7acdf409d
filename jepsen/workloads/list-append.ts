/** Transactions that append to and read lists, the sharpest way to see isolation break (Elle). */

import type { Random } from '../../src/platform/index.ts';
import { listAppendChecker } from '../checkers/transactions.ts';
import type { Workload } from '../types.ts';
import { exec } from './transaction.ts';

type MicroOp = ['append' | 'r', key: string, value: unknown];

/** A key is given up after this many appends, so that lists stay short. */
const APPENDS_PER_KEY = 60;
const ACTIVE_KEYS = 5;

const parseList = (text: string | null): number[] => (text ?? '').split(' ').filter(Boolean).map(Number);

/** @param keysPerTransaction upper bound on micro-operations; with 1 every operation is a plain command */
export function listAppend({ name, keysPerTransaction }: { name: string; keysPerTransaction: number }): Workload {
  const appends = new Map<number, number>();
  let firstKey = 0;
  const pickKey = (random: Random): number => {
    while ((appends.get(firstKey) ?? 0) >= APPENDS_PER_KEY) firstKey++;
    return firstKey + random.int(ACTIVE_KEYS);
  };
  return {
    name,
    description:
      keysPerTransaction === 1
        ? 'APPEND and GET of single keys; strictly serializable'
        : 'transactions of appends and reads over several keys; strictly serializable',
    checker: listAppendChecker,
    generate({ random, nextId }) {
      const ops: MicroOp[] = [];
      for (let left = 1 + random.int(keysPerTransaction); left > 0; left--) {
        const key = pickKey(random);
        if (random.next() < 0.5) {
          ops.push(['r', `list-${key}`, null]);
          continue;
        }
        appends.set(key, (appends.get(key) ?? 0) + 1);
        ops.push(['append', `list-${key}`, nextId()]);
      }
      return { f: ops.every(([f]) => f === 'r') ? 'read' : 'txn', value: ops };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { value }) {
      const ops = value as MicroOp[];
      if (ops.length === 1) {
        const [f, key, element] = ops[0]!;
        if (f === 'r') return [['r', key, parseList(await client.get(key))]];
        await client.append(key, `${element} `);
        return ops;
      }
      const transaction = client.multi();
      for (const [f, key, element] of ops) {
        if (f === 'r') transaction.get(key);
        else transaction.append(key, `${element} `);
      }
      const replies = await exec(transaction);
      return ops.map(([f, key, element], at) => [
        f,
        key,
        f === 'r' ? parseList(replies[at] as string | null) : element,
      ]);
    },
  };
}
