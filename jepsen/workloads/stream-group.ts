/** A stream that the consumers of one group share out: XADD, XREADGROUP, XAUTOCLAIM, XACK, XDEL. */
import type { Redis } from 'ioredis';
import { queueChecker } from '../checkers/collections.ts';
import { NothingHappened } from '../client.ts';
import type { Workload } from '../types.ts';
import { exec } from './transaction.ts';

const STREAM = 'stream-group';
const GROUP = 'workers';
/** Every so manieth entry is so much longer: some have rows of their own. */
const STEPS = 6;
const STEP_BYTES = 50;
const ALL = 10_000;

/** An entry as it is answered: its id, and its fields and values. */
type Entry = readonly [id: string, parts: readonly string[]];
/** What XREADGROUP answers about one stream. */
type Read = readonly (readonly [key: string, entries: readonly Entry[]])[] | null;
type Claimed = readonly [next: string, entries: readonly Entry[]];

const numberIn = ([, parts]: Entry): number => Number(parts[1]);

async function readNew(client: Redis, consumer: string, count: number): Promise<readonly Entry[]> {
  const reply = await client.xreadgroup('GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', STREAM, '>');
  return (reply as Read)?.[0]?.[1] ?? [];
}

async function claim(client: Redis, consumer: string, count: number): Promise<readonly Entry[]> {
  const reply = await client.xautoclaim(STREAM, GROUP, consumer, 0, '0', 'COUNT', count);
  return (reply as unknown as Claimed)[1];
}

/** An entry that is given to the consumer. What nobody was given goes first: if neither is there, everything was acknowledged. */
async function take(client: Redis, consumer: string, how: string): Promise<Entry | undefined> {
  try {
    const again = how === 'claim' ? await claim(client, consumer, 1) : [];
    if (again[0] !== undefined) return again[0];
    return (await readNew(client, consumer, 1))[0] ?? (await claim(client, consumer, 1))[0];
  } catch (error) {
    // What was delivered is pending, and another one gets it.
    throw new NothingHappened(`not delivered: ${(error as Error).message}`);
  }
}

async function work(client: Redis, consumer: string, how: string): Promise<number | null> {
  const entry = await take(client, consumer, how);
  if (entry === undefined) return null;
  const [id] = entry;
  if ((await client.xack(STREAM, GROUP, id)) === 0) throw new NothingHappened('another client has acknowledged it');
  // Whether it is deleted changes nothing: it is done.
  if (how === 'delete') await client.xdel(STREAM, id).catch(() => undefined);
  return numberIn(entry);
}

async function drain(client: Redis): Promise<number[]> {
  await readNew(client, 'drain', ALL);
  const entries = await claim(client, 'drain', ALL);
  const transaction = client.multi();
  for (const [id] of entries) transaction.xack(STREAM, GROUP, id);
  const acknowledged = entries.length === 0 ? [] : await exec(transaction);
  return entries.filter((_, at) => acknowledged[at] === 1).map(numberIn);
}

export const streamGroup = (): Workload => ({
  name: 'stream-group',
  description:
    'entries of a stream shared out by a group; each delivered until it is acknowledged, and then never again',
  checker: queueChecker,
  async setup(client) {
    try {
      await client.xgroup('CREATE', STREAM, GROUP, '0', 'MKSTREAM');
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error;
    }
  },
  generate({ random, worker, nextId }) {
    const draw = random.next();
    if (draw < 0.55) return { f: 'enqueue', value: nextId() };
    return { f: 'dequeue', value: [`consumer ${worker}`, draw < 0.7 ? 'new' : draw < 0.85 ? 'claim' : 'delete'] };
  },
  finalOperations: [{ f: 'drain', value: null }],
  isReadOnly: () => false,
  async execute(client, { f, value }) {
    if (f === 'drain') return drain(client);
    if (f === 'dequeue') {
      const [consumer, how] = value as [string, string];
      return work(client, consumer, how);
    }
    const number = value as number;
    await client.xadd(STREAM, '*', 'n', number, 'padding', '.'.repeat((number % STEPS) * STEP_BYTES));
    return value;
  },
});
