/** Keys, and fields of hashes, with a time to live, read around their end. */
import type { Redis } from 'ioredis';
import { ttlChecker } from '../checkers/collections.ts';
import type { Workload } from '../types.ts';

/** Clocks of nodes under test are shifted by up to 10 s either way, and leadership moves between them. */
const SKEWED_SLACK_MS = 24_000;
/** All nodes share the machine's clock, but a new leader's time begins where the old one's might have got to: 3 s ahead. */
const SLACK_MS = 4000;
/** Enough to read keys again long after their end. */
const RECENT_KEYS = 600;

/** What has a time to live. */
interface Mortal {
  readonly name: string;
  readonly description: string;
  set(client: Redis, key: string, ttlMs: number): Promise<unknown>;
  get(client: Redis, key: string): Promise<string | null>;
}

const keys: Mortal = {
  name: 'ttl',
  description: 'keys with a time to live; none vanishes early, none outlives it, within the skew of the clocks',
  set: (client, key, ttlMs) => client.set(key, 'x', 'PX', ttlMs),
  get: (client, key) => client.get(key),
};

/** So few that a hash has many fields, some of which expire while others are set. */
const HASHES = 3;
/** A hash whose fields have all expired is gone, and comes back with the next one. */
const hashOf = (field: string): string => `{field-ttl}${Number(field.slice(field.lastIndexOf('-') + 1)) % HASHES}`;

const fields: Mortal = {
  name: 'field-ttl',
  description:
    'fields of hashes with a time to live; none vanishes early, none outlives it, within the skew of the clocks',
  set: (client, field, ttlMs) =>
    client.call('HSETEX', hashOf(field), 'PX', String(ttlMs), 'FIELDS', '1', field, 'x'.repeat(VALUE_BYTES)),
  get: (client, field) => client.hget(hashOf(field), field),
};

/** A dozen fields are more than lies in a head. */
const VALUE_BYTES = 40;

/** @param isClockBroken wall clocks of most nodes are among the faults */
export const ttl = (isClockBroken: boolean): Workload => workloadOf(keys, isClockBroken);
/** @param isClockBroken as for keys */
export const fieldTtl = (isClockBroken: boolean): Workload => workloadOf(fields, isClockBroken);

function workloadOf({ name, description, set, get }: Mortal, isClockBroken: boolean): Workload {
  const recent: string[] = [];
  return {
    name,
    description,
    checker: ttlChecker(isClockBroken ? SKEWED_SLACK_MS : SLACK_MS),
    generate({ random, nextId }) {
      if (recent.length === 0 || random.next() < 0.15) {
        const key = `${name}-${nextId()}`;
        recent.push(key);
        if (recent.length > RECENT_KEYS) recent.shift();
        return { f: 'set', value: { key, ttlMs: random.next() < 0.5 ? 200 + random.int(8000) : 60_000 } };
      }
      return { f: 'read', value: recent[random.int(recent.length)]! };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      if (f === 'set') {
        const { key, ttlMs } = value as { key: string; ttlMs: number };
        await set(client, key, ttlMs);
        return value;
      }
      return { key: value, present: (await get(client, value as string)) !== null };
    },
  };
}
