/**
 * Clients that listen to what is set, and others that set keys: by SET, in MULTI, in scripts, and two keys at once, which belong to different groups most of
 * the time. Each key is set once, so its number is that of its event.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { keyEventsChecker } from '../checkers/subscribers.ts';
import type { Workload } from '../types.ts';
import { hear, listening } from './listen.ts';

const CHANNEL = '__keyevent@0__:set';
const WAYS = ['set', 'multi', 'script', 'both'] as const;
/** Keys go by themselves: nobody reads them, and their events are those of another name. */
const LIFETIME_SECONDS = 60;
const SCRIPT = "return redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])";

const SETUP_ATTEMPTS = 100;
const SETUP_PAUSE_MS = 200;

const PREFIX = 'event:';
const keyOf = (number: number): string => `${PREFIX}${number}`;
/** Other workloads set keys too. */
const numberOf = (key: string): number | undefined =>
  key.startsWith(PREFIX) ? Number(key.slice(PREFIX.length)) : undefined;

export const keyEvents = (): Workload => ({
  name: 'key-events',
  description: 'clients listen to events of keys; each write that took effect has one, and nothing else has',
  checker: keyEventsChecker,
  async setup(client) {
    // A cluster that has just begun says no until every node was heard of.
    for (let left = SETUP_ATTEMPTS; ; left--) {
      const refusal = await client.config('SET', 'notify-keyspace-events', 'E$').then(
        () => undefined,
        (error: Error) => error,
      );
      if (refusal === undefined) return;
      if (left === 0) throw refusal;
      await delay(SETUP_PAUSE_MS);
    }
  },
  generate({ random, worker, nextId }) {
    if (worker % 2 === 0) return listening(random);
    const f = WAYS[random.int(WAYS.length)]!;
    return { f, value: f === 'both' ? [nextId(), nextId()] : nextId() };
  },
  isReadOnly: (f) => f === 'hear',
  async execute(client, { f, value }) {
    if (f === 'hear') return hear(client, CHANNEL, value === true, numberOf);
    if (f === 'both') {
      const [one, other] = value as readonly [number, number];
      await client.mset(keyOf(one), '1', keyOf(other), '1');
      return value;
    }
    const key = keyOf(value as number);
    if (f === 'script') await client.eval(SCRIPT, 1, key, '1', LIFETIME_SECONDS);
    else if (f === 'set') await client.set(key, '1', 'EX', LIFETIME_SECONDS);
    else {
      const replies = await client.multi().set(key, '1', 'EX', LIFETIME_SECONDS).exec();
      const [error] = replies?.[0] ?? [null];
      if (error !== null) throw error;
    }
    return value;
  },
});
