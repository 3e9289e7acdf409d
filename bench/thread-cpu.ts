/** Processor time of a node by what its threads do, from /proc: it can be compared on a machine that others use, too. */
import { readdirSync } from 'node:fs';
import { type TaskStat, taskStat } from './cpu.ts';

/**
 * `main` runs the program, `pool` is libuv's (files of the log, batches of LevelDB), `leveldb` compacts, `v8` collects garbage and
 * compiles, `other` is workers of the program and all else.
 */
export const THREAD_KINDS = ['main', 'pool', 'leveldb', 'v8', 'other'] as const;
export type ThreadKind = (typeof THREAD_KINDS)[number];
/** Microseconds. */
export type ThreadTimes = Readonly<Record<ThreadKind, number>>;

/** Processor time of each thread so far, by its id. */
export type ThreadClock = ReadonlyMap<number, { readonly kind: ThreadKind; readonly us: number }>;

/** Threads of libuv's pool unless UV_THREADPOOL_SIZE says otherwise. LevelDB's own thread is started by one of them, and has their name. */
const POOL_THREADS = 4;

/** What the threads of a process have used until now. A thread that ends while this looks is left out. */
export function threadClock(pid: number): ThreadClock {
  const clock = new Map<number, { readonly kind: ThreadKind; readonly us: number }>();
  let poolThreads = 0;
  const threads = readdirSync(`/proc/${pid}/task`).map(Number);
  for (const thread of threads.sort((left, right) => left - right)) {
    let stat: TaskStat;
    try {
      stat = taskStat(`${pid}/task/${thread}`);
    } catch {
      continue;
    }
    const { name, cpuSeconds } = stat;
    let kind: ThreadKind = 'other';
    if (thread === pid) kind = 'main';
    else if (name === 'libuv-worker') kind = poolThreads++ < POOL_THREADS ? 'pool' : 'leveldb';
    else if (name === 'V8Worker' || name.startsWith('DelayedTask')) kind = 'v8';
    clock.set(thread, { kind, us: cpuSeconds * 1e6 });
  }
  return clock;
}

/** What was used between two looks, divided by so many commands. */
export function timesBetween(before: ThreadClock, after: ThreadClock, commands: number): ThreadTimes {
  const times: Record<ThreadKind, number> = { main: 0, pool: 0, leveldb: 0, v8: 0, other: 0 };
  for (const [thread, { kind, us }] of after) times[kind] += (us - (before.get(thread)?.us ?? 0)) / commands;
  return times;
}

/** Of all threads together. */
export const sumOf = (times: ThreadTimes): number => THREAD_KINDS.reduce((sum, kind) => sum + times[kind], 0);

/** Of several processes together. */
export function totalTimes(all: readonly ThreadTimes[]): ThreadTimes {
  const total: Record<ThreadKind, number> = { main: 0, pool: 0, leveldb: 0, v8: 0, other: 0 };
  for (const times of all) for (const kind of THREAD_KINDS) total[kind] += times[kind];
  return total;
}

/** Of several processes, or rounds, the mean of each kind. */
export function meanTimes(all: readonly ThreadTimes[]): ThreadTimes {
  const mean: Record<ThreadKind, number> = { ...totalTimes(all) };
  for (const kind of THREAD_KINDS) mean[kind] /= all.length;
  return mean;
}
