/** A queue in a list, and a second list of what is being worked on: LPUSH, RPOP, LMOVE, LREM. */
import type { Redis } from 'ioredis';
import { queueChecker } from '../checkers/collections.ts';
import { NothingHappened } from '../client.ts';
import type { Workload } from '../types.ts';
import { exec } from './transaction.ts';

const QUEUE = 'list-queue';
const TAKEN = 'list-taken';
/** Every so manieth element is so much longer: some have rows of their own. */
const STEPS = 6;
const STEP_BYTES = 50;

const textOf = (id: number): string => `${id}:${'.'.repeat((id % STEPS) * STEP_BYTES)}`;
const idIn = (text: string): number => Number(text.slice(0, text.indexOf(':')));

/** From the queue, or else of what somebody has begun to work on. */
async function dequeue(client: Redis): Promise<number | null> {
  const text = (await client.rpop(QUEUE)) ?? (await client.lpop(TAKEN));
  return text === null ? null : idIn(text);
}

/** Takes an element as a worker does: it is in the second list until the work is done. */
async function work(client: Redis): Promise<number | null> {
  const text = await client.lmove(QUEUE, TAKEN, 'RIGHT', 'LEFT');
  if (text === null) return dequeue(client);
  if ((await client.lrem(TAKEN, 1, text)) === 0) throw new NothingHappened('another client has taken it');
  return idIn(text);
}

async function drain(client: Redis): Promise<number[]> {
  const replies = await exec(client.multi().lrange(QUEUE, 0, -1).lrange(TAKEN, 0, -1).del(QUEUE, TAKEN));
  return [replies[0], replies[1]].flatMap((texts) => (texts as string[]).map(idIn));
}

export const listQueue = (): Workload => ({
  name: 'list-queue',
  description: 'unique elements pushed to a list, popped from it and moved to another; none lost, none delivered twice',
  checker: queueChecker,
  generate({ random, nextId }) {
    const draw = random.next();
    if (draw < 0.6) return { f: 'enqueue', value: nextId() };
    return { f: 'dequeue', value: draw < 0.8 ? 'pop' : 'work' };
  },
  finalOperations: [{ f: 'drain', value: null }],
  isReadOnly: () => false,
  async execute(client, { f, value }) {
    if (f === 'dequeue') return value === 'work' ? work(client) : dequeue(client);
    if (f === 'drain') return drain(client);
    const text = textOf(value as number);
    await ((value as number) % 2 === 0 ? client.lpush(QUEUE, text) : client.rpush(QUEUE, text));
    return value;
  },
});
