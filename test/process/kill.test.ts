import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../src/platform/index.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { checkEverywhere, runKillRounds } from './kill-rounds.ts';

const ROUNDS = 4;

test('what was acknowledged survives kill -9 of random nodes on every replica, and nothing else appears', async (t) => {
  const seed = Number(process.env.KVORUM_SEED ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed} (KVORUM_SEED repeats the kills, not the timing)`);
  const cluster = await ProcessNodes.start();
  try {
    const history = await runKillRounds(cluster, new SeededRandom(seed), ROUNDS);
    t.diagnostic(
      `${history.count('acknowledged')} acknowledged, ${history.count('refused')} refused, ` +
        `${history.count('unknown')} unknown; errors: ${JSON.stringify([...history.errors])}`,
    );
    assert.ok(history.count('acknowledged') > 100, 'hardly anything was written: the test shows nothing');
    await checkEverywhere(cluster, history);
  } catch (error) {
    t.diagnostic(cluster.log.slice(-40).join('\n'));
    throw error;
  } finally {
    await cluster.stop();
  }
});
