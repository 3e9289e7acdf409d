/** Keys with a time to live, read around their end. */
import { ttlChecker } from '../checkers/collections.ts';
import type { Workload } from '../types.ts';

/** Clocks of nodes under test are shifted by up to 10 s either way, and leadership moves between them. */
const SKEWED_SLACK_MS = 24_000;
/** All nodes share the machine's clock, but a new leader's time begins where the old one's might have got to: 3 s ahead. */
const SLACK_MS = 4000;
/** Enough to read keys again long after their end. */
const RECENT_KEYS = 600;

/** @param isClockBroken wall clocks of most nodes are among the faults */
export const ttl = (isClockBroken: boolean): Workload => {
  const recent: string[] = [];
  return {
    name: 'ttl',
    description: 'keys with a time to live; none vanishes early, none outlives it, within the skew of the clocks',
    checker: ttlChecker(isClockBroken ? SKEWED_SLACK_MS : SLACK_MS),
    generate({ random, nextId }) {
      if (recent.length === 0 || random.next() < 0.15) {
        const key = `ttl-${nextId()}`;
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
        await client.set(key, 'x', 'PX', ttlMs);
        return value;
      }
      return { key: value, present: (await client.get(value as string)) !== null };
    },
  };
};
