/**
 * READONLY connections that are sessions: whatever a connection is answered by a leader, no replica contradicts it afterwards. A
 * connection does everything that a leader can have a part in: single additions, MULTI and commands over several groups, KEYS, SCAN,
 * RANDOMKEY, FLUSHDB.
 *
 * Replicas answer a connection again a second or two after it was answered by a leader, and while it stays with keys of one group. So
 * most clients do little else than reading a key of their own.
 */
import type { Redis } from 'ioredis';
import { flushedSessions, monotonicSessions } from '../checkers/staleness.ts';
import { composeCheckers } from '../history.ts';
import type { Invocation, Workload, WorkloadContext } from '../types.ts';
import { readOnly } from './bounded-reads.ts';
import { exec } from './transaction.ts';

const NAME = 'session-reads';
const COUNTERS = Array.from({ length: 6 }, (_, at) => `${NAME}-${at}`);
/** Keys that are set once and stay. */
const BORN = `${NAME}-born-`;
/** No age is asked for: only order. */
const ANY_AGE_MS = 60_000;
/** Every fourth client writes: no multiple of the number of nodes, so that some are everywhere. */
const WRITERS_EVERY = 4;
/** How much of its time a reader does something else. */
const DEED_SHARE = 0.04;
/** A database of its own is flushed, and holds marks that are set once: one of the newest is looked for after a flush. */
const FLUSHED_DB = 2;
const RECENT_MARKS = 16;
const SCAN_COUNT = 1000;

type Seen = [key: string, value: number];

const newestOf = (keys: readonly string[]): string | undefined =>
  keys.reduce<string | undefined>(
    (newest, key) =>
      newest === undefined || Number(key.slice(BORN.length)) > Number(newest.slice(BORN.length)) ? key : newest,
    undefined,
  );

async function scanned(client: Redis): Promise<string[]> {
  const found: string[] = [];
  let cursor = '0';
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', `${BORN}*`, 'COUNT', SCAN_COUNT);
    found.push(...keys);
    cursor = next;
  } while (cursor !== '0');
  return found;
}

/** The connection was told that a key is there; what it reads of it now comes behind that. */
async function lookAt(client: Redis, key: string | undefined | null): Promise<Seen[]> {
  if (key === undefined || key === null || !key.startsWith(BORN)) return [];
  return [
    [key, 1],
    [key, (await client.get(key)) === null ? 0 : 1],
  ];
}

const readers = new Set(['read', 'reads', 'execReads', 'keys', 'scan', 'randomkey']);

export const sessionReads = (): Workload => {
  const marks: string[] = [];
  const twoOf = ({ random }: WorkloadContext): string[] => {
    const first = random.int(COUNTERS.length);
    const second = (first + 1 + random.int(COUNTERS.length - 1)) % COUNTERS.length;
    return [COUNTERS[first]!, COUNTERS[second]!];
  };
  const write = (context: WorkloadContext): Invocation => {
    const { random, nextId } = context;
    const dice = random.next();
    if (dice < 0.6) return { f: 'add', value: [COUNTERS[random.int(COUNTERS.length)]!, null] };
    if (dice < 0.75) return { f: 'adds', value: twoOf(context) };
    if (dice < 0.9) return { f: 'births', value: [`${BORN}${nextId()}`, `${BORN}${nextId()}`] };
    const mark = `${NAME}-mark-${nextId()}`;
    marks.push(mark);
    if (marks.length > RECENT_MARKS) marks.shift();
    return { f: 'mark', value: [mark, null] };
  };
  const deed = (context: WorkloadContext): Invocation => {
    const dice = context.random.next();
    if (dice < 0.25) return { f: 'keys', value: null };
    if (dice < 0.4) return { f: 'scan', value: null };
    if (dice < 0.5) return { f: 'randomkey', value: null };
    if (dice < 0.6) return { f: 'reads', value: twoOf(context) };
    if (dice < 0.7) return { f: 'execReads', value: twoOf(context) };
    if (dice < 0.8 || marks.length === 0) return write(context);
    return { f: 'flush', value: [marks[context.random.int(marks.length)]!, null] };
  };
  return {
    name: NAME,
    description:
      'everything that READONLY connections can do; none is contradicted by a replica, or sees a key go back',
    checker: composeCheckers(NAME, [monotonicSessions, flushedSessions]),
    generate(context) {
      const { worker, random } = context;
      const isWriter = worker % WRITERS_EVERY === 0;
      if (isWriter && random.next() < 0.5) return write(context);
      if (!isWriter && random.next() < DEED_SHARE) return deed(context);
      return { f: 'read', value: [COUNTERS[worker % COUNTERS.length]!, null] };
    },
    isReadOnly: (f) => readers.has(f),
    async execute(client, { f, value }) {
      await client.select(f === 'mark' || f === 'flush' ? FLUSHED_DB : 0);
      await readOnly(client, ANY_AGE_MS);
      const [first, second] = (value ?? []) as [string, string];
      switch (f) {
        case 'add':
          return [[first, await client.incr(first)]];
        case 'adds': {
          const replies = await exec(client.multi().incr(first).incr(second));
          return [
            [first, replies[0]],
            [second, replies[1]],
          ];
        }
        case 'births':
          await client.mset(first, '1', second, '1');
          return [
            [first, 1],
            [second, 1],
          ];
        case 'mark':
          await client.set(first, '1');
          return [[first, 1]];
        case 'flush':
          await client.flushdb();
          return [[first, (await client.get(first)) === null ? 0 : 1]];
        case 'reads': {
          const values = await client.mget(first, second);
          return [first, second].map((key, at): Seen => [key, Number(values[at] ?? 0)]);
        }
        case 'execReads': {
          const values = await exec(client.multi().get(first).get(second));
          return [first, second].map((key, at): Seen => [key, Number(values[at] ?? 0)]);
        }
        case 'keys':
          return lookAt(client, newestOf(await client.keys(`${BORN}*`)));
        case 'scan':
          return lookAt(client, newestOf(await scanned(client)));
        case 'randomkey':
          return lookAt(client, await client.randomkey());
        default:
          return [[first, Number((await client.get(first)) ?? 0)]];
      }
    },
  };
};
