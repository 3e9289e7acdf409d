/** On slow disks a command takes one sync, also beside many others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureSlowDisks } from './slow-disks.ts';

test('fifty clients wait for one sync, not for two', async () => {
  const syncMs = 20;
  const alone = await measureSlowDisks({ syncMs, clients: 1, rounds: 40, seed: 7 });
  assert.ok(alone.p50Ms <= syncMs + 2, `one client alone takes ${alone.p50Ms} ms`);
  const many = await measureSlowDisks({ syncMs, clients: 50, rounds: 60, seed: 7 });
  assert.ok(many.roundMs <= alone.p50Ms / 0.8, `fifty take ${many.roundMs} ms, one alone ${alone.p50Ms} ms`);
});

test('three groups that share a log wait for one sync', async () => {
  const syncMs = 20;
  const shared = await measureSlowDisks({ syncMs, clients: 12, groups: 3, rounds: 30, seed: 7 });
  assert.ok(shared.roundMs <= 1.5 * syncMs, `a round takes ${shared.roundMs} ms`);
});
