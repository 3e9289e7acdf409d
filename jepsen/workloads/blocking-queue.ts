/**
 * Queues that clients wait for: BLPOP of one list and of several, which may belong to several groups, and BLMOVE to a second list with LREM when the
 * work is done. Times to wait are as short as faults are, and shorter. Some elements are pushed behind one that was pushed and taken back in the same
 * transaction, which nobody may get.
 */
import type { Redis } from 'ioredis';
import { queueChecker } from '../checkers/collections.ts';
import { NothingHappened } from '../client.ts';
import type { Checker, Op } from '../history.ts';
import type { Workload } from '../types.ts';
import { exec } from './transaction.ts';

const ONE = 'blocking-one';
const SEVERAL = ['blocking-a', 'blocking-b', 'blocking-c'] as const;
const SOURCE = 'blocking-source';
const TAKEN = 'blocking-taken';
const GHOST = 'ghost';

type Queue = 'one' | 'several' | 'moved';
const QUEUES: readonly Queue[] = ['one', 'several', 'moved'];
const KEYS: Readonly<Record<Queue, readonly string[]>> = {
  one: [ONE],
  several: SEVERAL,
  moved: [SOURCE, TAKEN],
};

/** Seconds. */
const PATIENCE = [0.01, 0.02, 0.05, 0.2, 0.5, 1.5];

/** What an operation is about, and what it has brought. */
interface Queued {
  readonly queue: Queue;
  readonly id?: number;
  readonly patience?: number;
  readonly isBehindGhost?: boolean;
  /** What a dequeue took, or null; what a drain found. */
  readonly taken?: unknown;
}

const idIn = (text: string): number | string => (text === GHOST ? GHOST : Number(text));

/** Each queue by itself is a queue. */
const eachQueue: Checker = {
  name: 'queues',
  check(history) {
    const results = QUEUES.map((queue) => ({ queue, ...queueChecker.check(historyOf(history, queue)) }));
    const problems = results.flatMap(({ queue, problems: found }) => found.map((problem) => `${queue}: ${problem}`));
    const facts = Object.fromEntries(results.map(({ queue, facts: found }) => [queue, found]));
    const isUnknown = results.some(({ valid }) => valid === 'unknown');
    return { valid: problems.length > 0 ? false : isUnknown ? 'unknown' : true, problems, facts };
  },
};

function historyOf(history: readonly Op[], queue: Queue): Op[] {
  return history
    .filter(({ process, value }) => process !== 'nemesis' && (value as Queued).queue === queue)
    .map((op) => {
      const { id, taken } = op.value as Queued;
      const outcome = op.type === 'ok' ? taken : null;
      return { ...op, value: op.f === 'enqueue' ? id : outcome };
    });
}

async function enqueue(client: Redis, { queue, id, isBehindGhost }: Queued): Promise<void> {
  const key = queue === 'several' ? SEVERAL[id! % SEVERAL.length]! : queue === 'one' ? ONE : SOURCE;
  if (isBehindGhost !== true) await client.rpush(key, String(id));
  else await exec(client.multi().rpush(key, GHOST).rpop(key).rpush(key, String(id)));
}

/** Takes an element as a worker does: it is in the second list until the work is done. */
async function work(client: Redis, patience: number): Promise<number | string | null> {
  const moved = await client.blmove(SOURCE, TAKEN, 'LEFT', 'RIGHT', patience);
  if (moved === null) {
    // What somebody has begun and not ended.
    const left = await client.lpop(TAKEN);
    return left === null ? null : idIn(left);
  }
  if ((await client.lrem(TAKEN, 1, moved)) === 0) throw new NothingHappened('another client has taken it');
  return idIn(moved);
}

async function dequeue(client: Redis, { queue, patience }: Queued): Promise<number | string | null> {
  if (queue === 'moved') return work(client, patience!);
  const popped = await client.blpop([...KEYS[queue]], patience!);
  return popped === null ? null : idIn(popped[1]);
}

async function drain(client: Redis, queue: Queue): Promise<(number | string)[]> {
  const drained: (number | string)[] = [];
  for (const key of KEYS[queue]) {
    const [texts] = await exec(client.multi().lrange(key, 0, -1).del(key));
    drained.push(...(texts as string[]).map(idIn));
  }
  return drained;
}

export const blockingQueue = (): Workload => ({
  name: 'blocking-queue',
  description:
    'elements that clients wait for, in one list, in several, and moved on; none lost without a word, none delivered twice',
  checker: eachQueue,
  generate({ random, nextId }) {
    const queue = QUEUES[random.int(QUEUES.length)]!;
    if (random.next() < 0.5)
      return { f: 'enqueue', value: { queue, id: nextId(), isBehindGhost: random.next() < 0.3 } };
    return { f: 'dequeue', value: { queue, patience: PATIENCE[random.int(PATIENCE.length)] } };
  },
  finalOperations: QUEUES.map((queue) => ({ f: 'drain', value: { queue } })),
  isReadOnly: () => false,
  async execute(client, { f, value }) {
    const asked = value as Queued;
    if (f === 'dequeue') return { ...asked, taken: await dequeue(client, asked) };
    if (f === 'drain') return { ...asked, taken: await drain(client, asked.queue) };
    await enqueue(client, asked);
    return asked;
  },
});
