/** Reads, blind writes and compare-and-set of single keys, judged by linearizability. */
import { linearizability, registerModel } from '../checkers/linearizability.ts';
import type { Workload } from '../types.ts';
import { optimistically } from './transaction.ts';

/** Keys change as the run goes on, so that each key's history stays short enough to search. */
const OPERATIONS_PER_KEY = 80;
const KEYS_AT_A_TIME = 3;
const VALUES = 5;

type Keyed = readonly [key: string, argument: unknown];

export const register = (): Workload => {
  let generated = 0;
  return {
    name: 'register',
    description: 'read, write and compare-and-set of single keys; linearizable per key',
    checker: linearizability({
      model: registerModel,
      cut(invoke, completion) {
        const [key, argument] = invoke.value as Keyed;
        const output = completion === undefined ? undefined : (completion.value as Keyed)[1];
        return { key, input: argument, output };
      },
    }),
    generate({ random }) {
      const epoch = Math.floor(generated++ / (OPERATIONS_PER_KEY * KEYS_AT_A_TIME));
      const key = `register-${epoch * KEYS_AT_A_TIME + random.int(KEYS_AT_A_TIME)}`;
      const draw = random.next();
      if (draw < 0.5) return { f: 'read', value: [key, null] };
      if (draw < 0.8) return { f: 'write', value: [key, random.int(VALUES)] };
      return { f: 'cas', value: [key, [random.int(VALUES), random.int(VALUES)]] };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      const [key, argument] = value as Keyed;
      if (f === 'read') {
        const text = await client.get(key);
        return [key, text === null ? null : Number(text)];
      }
      if (f === 'write') {
        await client.set(key, String(argument));
        return [key, argument];
      }
      const [expected, replacement] = argument as [number, number];
      const swapped = await optimistically(client, [key], ([current], transaction) => {
        if (current !== String(expected)) return false;
        transaction.set(key, String(replacement));
        return true;
      });
      return [key, swapped];
    },
  };
};
