/** A BullMQ queue with a producer on one node and workers on the two others, one of which is ended by `kill -9`. `npm run soak:clients` is the long form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';
import { bullmq } from './clients/bullmq.ts';

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
    const { complaints } = await queue.finish();
    assert.deepEqual(complaints, []);
  } finally {
    await nodes.stop();
  }
});
