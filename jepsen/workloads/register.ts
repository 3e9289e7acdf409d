/** Reads, blind writes and compare-and-set of single keys, judged by linearizability. */
import type { Workload } from '../types.ts';
import { registers } from './registers.ts';
import { optimistically } from './transaction.ts';

export const register = (): Workload =>
  registers({
    name: 'register',
    description: 'read, write and compare-and-set of single keys; linearizable per key',
    writeShare: 0.3,
    read: (client, key) => client.get(key),
    write: (client, key, value) => client.set(key, value),
    swap: (client, key, expected, replacement) =>
      optimistically(client, [key], ([current], transaction) => {
        if (current !== expected) return false;
        transaction.set(key, replacement);
        return true;
      }),
  });
