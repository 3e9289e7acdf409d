/** Ranges of a cluster under measurement: who has them, and moves that are waited for. */
import { setTimeout as delay } from 'node:timers/promises';
import type { AdminClient } from '../src/adapter/grpc/index.ts';

const CALL_TIMEOUT_MS = 30_000;
const LOOK_MS = 200;
/** Of a group with much data. */
const LONGEST_MOVE_MS = 3_600_000;
const ROUTES_AT_ONCE = 1_000;

/** Groups that have the ranges from a key on, in their order; the first is that of the range in which the key lies. */
export async function ownersFrom(admin: AdminClient, start: Buffer): Promise<number[]> {
  for await (const { routes } of admin.stream('ListRoutes', { start, limit: ROUTES_AT_ONCE }, CALL_TIMEOUT_MS))
    return routes.map(({ groupId }) => groupId);
  throw new Error('a node told nothing of its routes');
}

/** Begins a range at a key. */
export async function splitAt(admin: AdminClient, key: Buffer): Promise<void> {
  await admin.call('Split', { key }, CALL_TIMEOUT_MS);
}

/** Moves the range in which a key lies, and waits until it is there. @throws Error when the move ended otherwise, or never */
export async function moveRange(admin: AdminClient, key: Buffer, toGroup: number): Promise<void> {
  const { id } = await admin.call('Move', { key, toGroup }, CALL_TIMEOUT_MS);
  for (const deadlineMs = performance.now() + LONGEST_MOVE_MS; performance.now() < deadlineMs; await delay(LOOK_MS)) {
    const { jobs } = await admin.call('Jobs', { id, finishedLimit: 10 }, CALL_TIMEOUT_MS);
    const job = jobs.find((other) => other.id === id);
    if (job?.isFinished !== true) continue;
    if (job.phase !== 'DONE') throw new Error(`the move ended as ${job.phase}`);
    return;
  }
  throw new Error(`the move is not over after ${LONGEST_MOVE_MS / 1000} s`);
}
