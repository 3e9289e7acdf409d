/** Pairs of keys of which at most one may ever be set; two transactions race to set different ones. */
import { type Checker, type CheckResult, pairOps } from '../history.ts';
import type { Workload } from '../types.ts';
import { exec, optimistically } from './transaction.ts';

/** Each pair is raced for a few times while it is new, and read. */
const OPERATIONS_PER_PAIR = 12;

const checker: Checker = {
  name: 'write-skew',
  check(history): CheckResult {
    const problems: string[] = [];
    const winners = new Map<number, string>();
    let raced = 0;
    for (const { invoke, completion } of pairOps(history)) {
      if (completion?.type !== 'ok') continue;
      const { pair, side, set, seen } = completion.value as {
        pair: number;
        side?: string;
        set?: boolean;
        seen?: boolean[];
      };
      if (invoke.f === 'set' && set) {
        raced++;
        const other = winners.get(pair);
        if (other !== undefined)
          problems.push(`event ${completion.index}: ${side} of pair ${pair} was set although ${other} was`);
        winners.set(pair, side!);
      } else if (seen?.every(Boolean)) {
        problems.push(`event ${completion.index}: both sides of pair ${pair} are set`);
      }
    }
    return {
      valid: problems.length > 0 ? false : raced === 0 ? 'unknown' : true,
      problems,
      facts: { pairs: winners.size },
    };
  },
};

export const writeSkew = (): Workload => {
  let generated = 0;
  return {
    name: 'write-skew',
    description: 'transactions that read two keys and set one only when neither is set',
    checker,
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
