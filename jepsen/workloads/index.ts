/** All workloads, by name. */
import type { Workload } from '../types.ts';
import { bank } from './bank.ts';
import { counter } from './counter.ts';
import { listAppend } from './list-append.ts';
import { longFork } from './long-fork.ts';
import { queue } from './queue.ts';
import { register } from './register.ts';
import { registerTransactions } from './register-transactions.ts';
import { set } from './set.ts';
import { ttl } from './ttl.ts';
import { uniqueIds } from './unique-ids.ts';
import { writeSkew } from './write-skew.ts';

/** Made anew for every run: some workloads keep what they have generated. */
export const workloads: Readonly<Record<string, () => Workload>> = {
  register,
  counter,
  set,
  append: () => listAppend({ name: 'append', keysPerTransaction: 1 }),
  'unique-ids': uniqueIds,
  queue,
  ttl,
  'list-append': () => listAppend({ name: 'list-append', keysPerTransaction: 4 }),
  'rw-register': registerTransactions,
  bank,
  'write-skew': writeSkew,
  'long-fork': longFork,
};

/** @throws Error naming what is known */
export function makeWorkload(name: string): Workload {
  const make = workloads[name];
  if (make === undefined) throw new Error(`unknown workload ${name}; known are ${Object.keys(workloads).join(', ')}`);
  return make();
}
