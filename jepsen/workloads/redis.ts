/** Workloads of clients of Redis, by name. Apart from the others, so that whoever needs only these loads no other client. */
import type { Workload } from '../types.ts';
import { bank } from './bank.ts';
import { blockingQueue } from './blocking-queue.ts';
import { boundedReads } from './bounded-reads.ts';
import { collectionBank } from './collection-bank.ts';
import { counter } from './counter.ts';
import { hashFields, leaderboard, members } from './elements.ts';
import { hashCounters } from './hash-counters.ts';
import { keyEvents } from './key-events.ts';
import { listAppend } from './list-append.ts';
import { listQueue } from './list-queue.ts';
import { longFork } from './long-fork.ts';
import { pipelines } from './pipelines.ts';
import { queue } from './queue.ts';
import { register } from './register.ts';
import { registerTransactions } from './register-transactions.ts';
import { scriptRegister } from './script-register.ts';
import { sessionReads } from './session-reads.ts';
import { set } from './set.ts';
import { streamGroup } from './stream-group.ts';
import { subscribers } from './subscribers.ts';
import { fieldTtl, ttl } from './ttl.ts';
import { uniqueIds } from './unique-ids.ts';
import { writeSkew } from './write-skew.ts';

/** Faults that set the clocks of most nodes wrong; one clock that is wrong, by whatever, changes no time to live. */
const MANY_CLOCKS: readonly string[] = ['all', 'clock', 'clock-skew', 'clock-jump'];

const areClocksWrong = (nemeses: readonly string[]): boolean => nemeses.some((name) => MANY_CLOCKS.includes(name));

/** Made anew for every run: some workloads keep what they have generated. */
export const redisWorkloads: Readonly<Record<string, (nemeses: readonly string[]) => Workload>> = {
  register,
  'script-register': scriptRegister,
  counter,
  set,
  append: () => listAppend({ name: 'append', keysPerTransaction: 1 }),
  'append-wide': () => listAppend({ name: 'append-wide', keysPerTransaction: 1, activeKeys: 25 }),
  'unique-ids': uniqueIds,
  queue,
  ttl: (nemeses) => ttl(areClocksWrong(nemeses)),
  'list-append': () => listAppend({ name: 'list-append', keysPerTransaction: 4 }),
  'rw-register': registerTransactions,
  bank,
  'write-skew': writeSkew,
  'long-fork': longFork,
  'bounded-reads': boundedReads,
  'session-reads': sessionReads,
  pipelines,
  'hash-fields': hashFields,
  'hash-counters': hashCounters,
  members,
  leaderboard,
  'list-queue': listQueue,
  'blocking-queue': blockingQueue,
  'stream-group': streamGroup,
  'list-transactions': () => listAppend({ name: 'list-transactions', keysPerTransaction: 4, holder: 'list' }),
  'collection-bank': collectionBank,
  subscribers,
  'key-events': keyEvents,
  'field-ttl': (nemeses) => fieldTtl(areClocksWrong(nemeses)),
};

/**
 * One of some workloads.
 * @param nemeses names of the faults of the run, since some judgements depend on what may be wrong
 * @throws Error naming what is known
 */
export function named<Made>(
  known: Readonly<Record<string, (nemeses: readonly string[]) => Made>>,
  name: string,
  nemeses: readonly string[],
): Made {
  const make = known[name];
  if (make === undefined) throw new Error(`unknown workload ${name}; known are ${Object.keys(known).join(', ')}`);
  return make(nemeses);
}

/** A workload of this folder for whoever has clients of Redis himself. @throws Error naming what is known */
export const makeRedisWorkload = (name: string, nemeses: readonly string[]): Workload =>
  named(redisWorkloads, name, nemeses);
