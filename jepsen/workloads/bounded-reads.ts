/** Additions, and reads by replicas that may be a few seconds old. */
import type { Redis } from 'ioredis';
import { boundedStaleness, monotonicSessions } from '../checkers/staleness.ts';
import { composeCheckers } from '../history.ts';
import type { Workload } from '../types.ts';

const NAME = 'bounded-reads';
const KEYS = 6;
const BOUND_MS = 3000;
/** Every fourth client adds: no multiple of the number of nodes, so that some are everywhere. */
const ADDERS_EVERY = 4;

/** Reads are answered by the node's own replica from here on; repeating it changes nothing. */
export async function readOnly(client: Redis, stalenessMs: number): Promise<void> {
  await client.call('client', 'kvorum-staleness', String(stalenessMs));
  await client.readonly();
}

/**
 * Reads of one connection; the bound is judged. Some clients add and the others only read: a connection that adds sees what it
 * added whatever its bound is, and behind a cut it waits for the addition and reads nothing.
 */
export const boundedReads = (): Workload => ({
  name: NAME,
  description: 'additions, and reads from any replica that may be 3 s old; none is older',
  checker: composeCheckers(NAME, [boundedStaleness(BOUND_MS), monotonicSessions]),
  generate({ worker, random }) {
    return { f: worker % ADDERS_EVERY === 0 ? 'add' : 'read', value: [`${NAME}-${random.int(KEYS)}`, null] };
  },
  isReadOnly: (f) => f === 'read',
  async execute(client, { f, value }) {
    const [key] = value as readonly [string, null];
    await readOnly(client, BOUND_MS);
    return [[key, f === 'add' ? await client.incr(key) : Number((await client.get(key)) ?? 0)]];
  },
});
