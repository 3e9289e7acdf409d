/** On slow disks a command takes one sync, also beside many others, and not that of the leader when it is the slowest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupId } from '../../../src/platform/index.ts';
import { SimulatedNodes } from '../../support/simulated-nodes.ts';
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

test('clients of a leader whose disk is slow wait for the disks of its followers', async () => {
  const { p50Ms } = await measureSlowDisks({ syncMs: 5, leaderSyncMs: 50, clients: 12, rounds: 100, seed: 7 });
  assert.ok(p50Ms <= 10, `${p50Ms} ms`);
});

test('a leader that loses power behind its answer, before its own disk had the entry, comes back to what it answered', async () => {
  // Whatever is applied goes to the database at once.
  const plan = { storeLimits: { flushBytes: 1, holdMs: 0 } };
  const nodes = new SimulatedNodes(3, 0, 7, {}, { plan });
  nodes.start();
  await nodes.ready();
  const leader = nodes.leaderOf(groupId(1))!;
  for (const { id, machine } of nodes.nodes) machine.disk.syncMs = id === leader ? 400 : 1;
  for (let at = 0; at < 40; at++) assert.equal(await nodes.command(leader, 'SET', 'key', `value ${at}`), 'OK');
  nodes.node(leader).crash(true);
  nodes.node(leader).start();
  await nodes.ready();
  for (const { id } of nodes.nodes) assert.equal(String(await nodes.command(id, 'GET', 'key')), 'value 39');
});
