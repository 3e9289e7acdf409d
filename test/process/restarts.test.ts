import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProcessNodes } from '../support/process-nodes.ts';
import { skipWithout } from '../support/programs.ts';
import { runRestartRounds } from './restart-rounds.ts';

test('a rolling restart is an error to no plain client, and loses, repeats and refuses no write', async (t) => {
  const cluster = await ProcessNodes.start({ groups: 2 });
  try {
    const hasRedisCli = skipWithout('redis-cli') === false;
    const report = await runRestartRounds(cluster, { restarts: 3, hasRedisCli });
    t.diagnostic(
      `${report.acknowledged} commands answered, the longest took ${Math.round(report.longestMs)} ms (${report.longest})`,
    );
    assert.deepEqual(report.complaints, []);
  } catch (error) {
    t.diagnostic(cluster.log.slice(-40).join('\n'));
    throw error;
  } finally {
    await cluster.stop();
  }
});
