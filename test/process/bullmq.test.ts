/** A BullMQ queue with a producer on one node and workers on the two others, one of which is ended by `kill -9`. `npm run soak:clients` is the long form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';
import { bullmq } from './clients/bullmq.ts';

const WORKERS = 3;
/** ioredis pauses for up to 20 s before it connects again. */
const BACK_MS = 60_000;

/** Whether each worker's connection for waiting is there, and was used. */
async function hasWaited(port: number): Promise<boolean> {
  const client = new Redis(port, '127.0.0.1');
  try {
    const list = String(await client.client('LIST'));
    return list.split('\n').filter((line) => line.includes(' cmd=bzpopmin ')).length >= WORKERS;
  } finally {
    client.disconnect();
  }
}

test('BullMQ does every job once, or says so, when a node of its workers is killed and comes back', async () => {
  const nodes = await ProcessNodes.start();
  try {
    const start = bullmq({ prefix: '{bull}', everyMs: 20, lockMs: 1_500, drainMs: 60_000 });
    const queue = await start({ port: (nodeId) => nodes.redisPort(nodeId) });
    await until('jobs are done', () => queue.done() > 20);
    await nodes.kill(2);
    const before = queue.done();
    await until('the other worker goes on', () => queue.done() > before + 20);
    nodes.revive(2);
    await nodes.ready();
    // A worker that is closed while its connection for waiting is on its way back is never closed.
    await until('the workers of the node are back', () => hasWaited(nodes.redisPort(2)), BACK_MS);
    const { complaints } = await queue.finish();
    assert.deepEqual(complaints, []);
  } finally {
    await nodes.stop();
  }
});
