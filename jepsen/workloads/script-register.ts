/**
 * Single keys that only scripts read and write, judged by linearizability. Writes are scripts that fail after they have written, since what they wrote must
 * stay; compare-and-set reads and writes in one script.
 */
import type { Workload } from '../types.ts';
import { registers } from './registers.ts';

const READ = "return redis.call('GET', KEYS[1])";
const FAILURE = 'after all';
const WRITE = `redis.call('SET', KEYS[1], ARGV[1]) error('${FAILURE}')`;
const SWAP = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`;

export const scriptRegister = (): Workload =>
  registers({
    name: 'script-register',
    description: 'scripts that read, write and fail, and compare and set single keys; linearizable per key',
    writeShare: 0.2,
    read: async (client, key) => (await client.eval_ro(READ, 1, key)) as string | null,
    write: (client, key, value) =>
      client.eval(WRITE, 1, key, value).catch((error: unknown) => {
        if (!(error instanceof Error && error.message.includes(FAILURE))) throw error;
      }),
    swap: async (client, key, expected, replacement) => (await client.eval(SWAP, 1, key, expected, replacement)) === 1,
  });
