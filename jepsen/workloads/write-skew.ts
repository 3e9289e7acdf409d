/** Pairs of keys of which at most one may ever be set; two transactions race to set different ones. */
import { writeSkewChecker } from '../checkers/collections.ts';
import type { Workload } from '../types.ts';
import { exec, optimistically } from './transaction.ts';

/** Each pair is raced for a few times while it is new, and read. */
const OPERATIONS_PER_PAIR = 12;

export const writeSkew = (): Workload => {
  let generated = 0;
  return {
    name: 'write-skew',
    description: 'transactions that read two keys and set one only when neither is set',
    checker: writeSkewChecker,
    generate({ random }) {
      const pair = Math.floor(generated++ / OPERATIONS_PER_PAIR);
      if (random.next() < 0.3) return { f: 'read', value: { pair } };
      return { f: 'set', value: { pair, side: random.next() < 0.5 ? 'left' : 'right' } };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      const { pair, side } = value as { pair: number; side?: string };
      const keys = [`skew-${pair}-left`, `skew-${pair}-right`];
      if (f === 'read') {
        const replies = await exec(client.multi().get(keys[0]!).get(keys[1]!));
        return { pair, seen: replies.map((reply) => reply !== null) };
      }
      const set = await optimistically(client, keys, (values, transaction) => {
        if (values.some((current) => current !== null)) return false;
        transaction.set(`skew-${pair}-${side}`, 'x');
        return true;
      });
      return { pair, side, set };
    },
  };
};
