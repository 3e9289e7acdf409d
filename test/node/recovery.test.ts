import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupId, type KvorumError } from '../../src/platform/index.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const SECONDS_20 = 20_000;
const ONE = groupId(1);
const TWO = groupId(2);

const withCode = (code: string) => (error: unknown) => {
  assert.equal((error as KvorumError).code, code, String(error));
  return true;
};

/** Three nodes, a data group, a key; then nodes 2 and 3 lose their power for good. */
async function survivor(seed: number): Promise<SimulatedNodes> {
  const cluster = new SimulatedNodes(3, 1, seed);
  cluster.start();
  await cluster.ready();
  await cluster.known();
  for (let at = 0; at < 20; at++) assert.equal(await cluster.command(1, 'set', `key:${at}`, String(at)), 'OK');
  await cluster.until('node 1 has everything', () =>
    [ONE, TWO].every((group) => {
      const of = (id: number): number => cluster.node(id).raft(group)?.status().appliedIndex ?? 0;
      return of(1) === Math.max(of(1), of(2), of(3));
    }),
  );
  cluster.node(2).crash(true);
  cluster.node(3).crash(true);
  await cluster.simulation.runFor(5_000);
  return cluster;
}

const recover = (cluster: SimulatedNodes, group: typeof ONE, isDryRun = false) =>
  cluster.run(cluster.running(1).admin.recover({ groupId: group, isDryRun }, SECONDS_20));

describe('a group that lost its majority for good', () => {
  test('goes on with the replica that is left, with all it had, and with time above everything before', async () => {
    const cluster = await survivor(7);
    const plan = await recover(cluster, ONE, true);
    assert.deepEqual([plan.isDone, plan.node, plan.lost], [false, 1, [2, 3]]);
    assert.equal(cluster.leaderOf(ONE), undefined, 'looking changes nothing');
    for (const group of [ONE, TWO]) {
      const result = await recover(cluster, group);
      assert.equal(result.isDone, true);
      assert.match(result.audit, new RegExp(`^recovered/${group}/`));
      const { conf } = cluster.node(1).raft(group)!.status();
      assert.deepEqual([conf.voters, conf.votersOutgoing, conf.learners], [[1], [], []]);
      if (group === TWO) {
        assert.equal(await cluster.command(1, 'set', 'first', 'x'), 'OK');
        const { maxTs } = cluster.running(1).host.get(group)!.stateMachine;
        assert.ok(Number(maxTs >> 16n) >= result.floorMs, 'the first write is above the floor');
      }
    }
    assert.equal(await cluster.command(1, 'get', 'key:7'), '7');
    assert.equal(await cluster.command(1, 'set', 'after', 'x'), 'OK');
    const clusterState = await cluster.run(cluster.running(1).catalog.clusterState(SECONDS_20));
    assert.deepEqual(
      clusterState.work
        .filter(({ name }) => name.startsWith('recovered/'))
        .map(({ progress }) => JSON.parse(String(progress)).group),
      [1, 2],
    );
    assert.deepEqual(
      clusterState.removed?.map(({ nodeId }) => nodeId),
      [2, 3],
      'the lost ones are refused from now on',
    );
    assert.ok(clusterState.revision > 2 ** 32, 'the catalog began a new life');
  });

  test('is known again after a restart of the one that is left', async () => {
    const cluster = await survivor(8);
    for (const group of [ONE, TWO]) await recover(cluster, group);
    assert.equal(await cluster.command(1, 'set', 'after', 'x'), 'OK');
    cluster.node(1).crash(true);
    cluster.node(1).start();
    await cluster.until('it leads again', () => cluster.leaderOf(ONE) === 1 && cluster.leaderOf(TWO) === 1);
    assert.equal(await cluster.command(1, 'get', 'after'), 'x');
    assert.equal(await cluster.command(1, 'get', 'key:19'), '19');
  });

  for (const [step, isWritten] of [
    [/^database batch/, false],
    [/^open .*group-1/, true],
  ] as const)
    test(`comes back when the disk was full in the middle of its recovery: ${step.source}`, async () => {
      const cluster = await survivor(8);
      const node = cluster.node(1);
      const violations: Error[] = [];
      cluster.onViolation = (violation) => violations.push(violation);
      let isReached = false;
      node.onLevelStep = (what) => {
        if (isReached || cluster.running(1).host.get(ONE) !== undefined || !step.test(what)) return;
        isReached = true;
        node.machine.disk.isFull = true;
      };
      const { floorMs } = await recover(cluster, ONE, true);
      await assert.rejects(recover(cluster, ONE));
      assert.ok(isReached);
      await cluster.simulation.runFor(300);
      assert.deepEqual(violations, [], 'the node lives on');
      assert.equal(node.raft(ONE), undefined);
      node.machine.disk.isFull = false;
      // Nobody says a word about it: the catalog itself is what was lost.
      await cluster.until('the replica is open', () => node.raft(ONE) !== undefined);
      const { leadMs } = cluster.running(1).host.get(ONE)!.executor.clock;
      assert.ok(node.machine.clock.nowMs() + leadMs >= floorMs, 'what it issues is above everything before');
      if (!isWritten) await recover(cluster, ONE);
      await cluster.until('it leads', () => cluster.leaderOf(ONE) === 1);
      assert.deepEqual(node.raft(ONE)?.status().conf.voters, [1]);
      await recover(cluster, TWO);
      assert.equal(await cluster.command(1, 'get', 'key:19'), '19');
      assert.equal(await cluster.command(1, 'set', 'after', 'x'), 'OK');
    });

  test('is not recovered while a majority answers', async () => {
    const cluster = new SimulatedNodes(3, 1, 9);
    cluster.start();
    await cluster.ready();
    await assert.rejects(recover(cluster, TWO), withCode('QUORUM_ANSWERS'));
    cluster.node(3).crash(true);
    await cluster.simulation.runFor(5_000);
    await assert.rejects(recover(cluster, TWO), withCode('QUORUM_ANSWERS'));
    await assert.rejects(recover(cluster, groupId(9)), withCode('NOT_RECOVERABLE'));
  });
});
