/**
 * Single keys that only scripts read and write, judged by linearizability. Writes are scripts that fail after they have written, since what they wrote must
 * stay; compare-and-set reads and writes in one script.
 */
import { linearizability, registerModel } from '../checkers/linearizability.ts';
import type { Workload } from '../types.ts';

/** Keys change as the run goes on, so that each key's history stays short enough to search. */
const OPERATIONS_PER_KEY = 80;
const KEYS_AT_A_TIME = 3;
const VALUES = 5;

const READ = "return redis.call('GET', KEYS[1])";
const FAILURE = 'after all';
const WRITE = `redis.call('SET', KEYS[1], ARGV[1]) error('${FAILURE}')`;
const SWAP = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`;

type Keyed = readonly [key: string, argument: unknown];

export const scriptRegister = (): Workload => {
  let generated = 0;
  return {
    name: 'script-register',
    description: 'scripts that read, write and fail, and compare and set single keys; linearizable per key',
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
      const key = `script-register-${epoch * KEYS_AT_A_TIME + random.int(KEYS_AT_A_TIME)}`;
      const draw = random.next();
      if (draw < 0.5) return { f: 'read', value: [key, null] };
      if (draw < 0.7) return { f: 'write', value: [key, random.int(VALUES)] };
      return { f: 'cas', value: [key, [random.int(VALUES), random.int(VALUES)]] };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      const [key, argument] = value as Keyed;
      if (f === 'read') {
        const text = (await client.eval_ro(READ, 1, key)) as string | null;
        return [key, text === null ? null : Number(text)];
      }
      if (f === 'write') {
        await client.eval(WRITE, 1, key, String(argument)).catch((error: unknown) => {
          if (!(error instanceof Error && error.message.includes(FAILURE))) throw error;
        });
        return [key, argument];
      }
      const [expected, replacement] = argument as [number, number];
      return [key, (await client.eval(SWAP, 1, key, String(expected), String(replacement))) === 1];
    },
  };
};
