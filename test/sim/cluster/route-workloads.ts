/** Workloads for ranges on the move: what concerns all ranges at once, and scans of many small pages. */
import type { Redis } from 'ioredis';
import { setChecker } from '../../../jepsen/checkers/collections.ts';
import { linearizability, registerModel } from '../../../jepsen/checkers/linearizability.ts';
import { type Checker, type Op, pairOps } from '../../../jepsen/history.ts';
import type { Workload } from '../../../jepsen/types.ts';
import { keyEvents } from '../../../jepsen/workloads/key-events.ts';
import { makeRedisWorkload } from '../../../jepsen/workloads/redis.ts';

/** Flushing must not take what other workloads wrote. */
const FLUSHED_DB = 1;
const KEYS_AT_A_TIME = 4;
/** Keys change as the run goes on, so that each key's history stays short enough to search. */
const OPERATIONS_PER_KEY = 50;
const PREFIX = 'scanned-';

type Keyed = readonly [key: string, argument: unknown];

/** A flush is a write of nothing to every key, each at a moment of its own. */
function perKey(history: readonly Op[]): Op[] {
  const keys = new Set<string>();
  for (const { f, value } of history) if (f !== 'flush') keys.add((value as Keyed)[0]);
  const points: { readonly at: number; readonly op: Op }[] = [];
  let process = history.reduce((most, op) => Math.max(most, Number(op.process)), 0);
  for (const { invoke, completion } of pairOps(history)) {
    const parts = invoke.f === 'flush' ? [...keys].map((key): Keyed => [key, null]) : [undefined];
    for (const value of parts) {
      process += 1;
      const changes = value === undefined ? {} : { f: 'write', value };
      points.push({ at: invoke.index, op: { ...invoke, ...changes, process } });
      if (completion !== undefined) points.push({ at: completion.index, op: { ...completion, ...changes, process } });
    }
  }
  points.sort((left, right) => left.at - right.at);
  return points.map(({ op }, index) => ({ ...op, index }));
}

const register = linearizability({
  model: registerModel,
  cut(invoke, completion) {
    const [key, argument] = invoke.value as Keyed;
    return { key, input: argument, output: completion === undefined ? undefined : (completion.value as Keyed)[1] };
  },
});

const flushChecker: Checker = { name: 'flush', check: (history) => register.check(perKey(history)) };

/** Registers in a database of their own that is flushed now and then. */
const flush = (): Workload => {
  let generated = 0;
  return {
    name: 'flush',
    description: 'reads and writes of single keys, and FLUSHDB; linearizable per key',
    checker: flushChecker,
    generate({ random, nextId }) {
      const epoch = Math.floor(generated++ / (OPERATIONS_PER_KEY * KEYS_AT_A_TIME));
      const key = `flushed-${epoch * KEYS_AT_A_TIME + random.int(KEYS_AT_A_TIME)}`;
      const draw = random.next();
      if (draw < 0.5) return { f: 'read', value: [key, null] };
      if (draw < 0.92) return { f: 'write', value: [key, nextId()] };
      return { f: 'flush', value: null };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      await client.select(FLUSHED_DB);
      if (f === 'flush') {
        await client.flushdb();
        return null;
      }
      const [key, argument] = value as Keyed;
      if (f === 'write') {
        await client.set(key, String(argument));
        return value;
      }
      const text = await client.get(key);
      return [key, text === null ? null : Number(text)];
    },
  };
};

async function scanAll(client: Redis, count: number): Promise<number[]> {
  const elements = new Set<number>();
  let cursor = '0';
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', `${PREFIX}*`, 'COUNT', count);
    for (const key of keys) elements.add(Number(key.slice(PREFIX.length)));
    cursor = next;
  } while (cursor !== '0');
  return [...elements].sort((a, b) => a - b);
}

/** Unique keys that stay, read back by scans that take long enough for ranges to move under them. */
const scan = (): Workload => ({
  name: 'scan',
  description: 'unique keys added one by one and scanned in small pages; a key that was there all the time is met',
  checker: setChecker,
  generate: ({ random, nextId }) =>
    random.next() < 0.05
      ? { f: 'read', value: 1 + random.int(random.next() < 0.5 ? 4 : 100) }
      : { f: 'add', value: nextId() },
  finalOperations: [{ f: 'read', value: 1000 }],
  isReadOnly: (f) => f === 'read',
  async execute(client, { f, value }) {
    if (f === 'read') return scanAll(client, value as number);
    await client.set(`${PREFIX}${value}`, 'x');
    return value;
  },
});

/** A workload of this folder, or of the fault tests. @throws Error naming what is known */
export function makeSimWorkload(name: string): Workload {
  if (name === 'flush') return flush();
  if (name === 'scan') return scan();
  // Whoever sets it up tries again, in simulated time.
  if (name === 'key-events')
    return {
      ...keyEvents(),
      setup: async (client) => void (await client.config('SET', 'notify-keyspace-events', 'E$')),
    };
  return makeRedisWorkload(name, ['clock']);
}
