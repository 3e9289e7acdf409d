/** Additions, and reads by replicas that may be a few seconds old. */
import type { Redis } from 'ioredis';
import { boundedStaleness, monotonicSessions } from '../checkers/staleness.ts';
import { type Checker, composeCheckers } from '../history.ts';
import type { Workload, WorkloadContext } from '../types.ts';

const KEYS = 6;
const BOUND_MS = 3000;
/** Every fourth client adds: no multiple of the number of nodes, so that some are everywhere. */
const ADDERS_EVERY = 4;

/** Reads are answered by the node's own replica from here on; repeating it changes nothing. */
async function readOnly(client: Redis, stalenessMs: number): Promise<void> {
  await client.call('client', 'kvorum-staleness', String(stalenessMs));
  await client.readonly();
}

/** A workload of additions and reads on READONLY connections. @param adds whether a client's next operation is an addition */
export const replicaReads = (
  name: string,
  description: string,
  stalenessMs: number,
  checker: Checker,
  adds: (context: WorkloadContext) => boolean,
): Workload => ({
  name,
  description,
  checker,
  generate(context) {
    return { f: adds(context) ? 'add' : 'read', value: [`${name}-${context.random.int(KEYS)}`, null] };
  },
  isReadOnly: (f) => f === 'read',
  async execute(client, { f, value }) {
    const [key] = value as readonly [string, null];
    await readOnly(client, stalenessMs);
    return [key, f === 'add' ? await client.incr(key) : Number((await client.get(key)) ?? 0)];
  },
});

/**
 * Reads of one connection; the bound is judged. Some clients add and the others only read: a connection that adds sees what it
 * added whatever its bound is, and behind a cut it waits for the addition and reads nothing.
 */
export const boundedReads = (): Workload =>
  replicaReads(
    'bounded-reads',
    'additions, and reads from any replica that may be 3 s old; none is older',
    BOUND_MS,
    composeCheckers('bounded-reads', [boundedStaleness(BOUND_MS), monotonicSessions]),
    ({ worker }) => worker % ADDERS_EVERY === 0,
  );
