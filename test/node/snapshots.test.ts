import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupId } from '../../src/platform/index.ts';
import type { ClusterNode } from '../sim/cluster/cluster-node.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const ONE = groupId(1);
const KEYS = 60;
/** Steps of an install are a few dozen; more means that it is not counted right. */
const MOST_STEPS = 100;
const SHORT_LOG = { retainEntries: 10, truncateIntervalMs: 50, snapshotRetryMs: 200, snapshotMaxRetryMs: 1000 };

/** A cluster of which one node was down and needs a snapshot. It has not been started again. */
async function clusterWithStraggler(): Promise<{ cluster: SimulatedNodes; straggler: ClusterNode; leader: number }> {
  const cluster = new SimulatedNodes(3, [{ id: 1 }], 5, {}, { plan: { limits: SHORT_LOG } });
  cluster.start();
  await cluster.ready();
  const leader = cluster.leaderOf(ONE)!;
  const straggler = cluster.nodes.find(({ id }) => id !== leader)!;
  straggler.crash(true);
  for (let at = 0; at < KEYS; at++) await cluster.command(leader, 'set', `k${at}`, 'v');
  await cluster.until('the log is cut', () => cluster.node(leader).raft(ONE)!.status().firstIndex > KEYS);
  return { cluster, straggler, leader };
}

/** Does something at one step of the install, from the moment that the copy is complete. @returns whether the step was reached */
function atInstallStep(straggler: ClusterNode, at: number, act: (what: string) => void): () => boolean {
  let isInstalling = false;
  let step = 0;
  straggler.onLevelStep = (what) => {
    isInstalling ||= /^rename .*group-1$/.test(what);
    if (!isInstalling || step++ !== at) return;
    act(what);
  };
  return () => step > at;
}

const applied = (node: ClusterNode): number => node.raft(ONE)?.status().appliedIndex ?? 0;

async function catchesUp(
  cluster: SimulatedNodes,
  straggler: ClusterNode,
  leader: number,
  story: string,
): Promise<void> {
  const { commitIndex } = cluster.node(leader).raft(ONE)!.status();
  await cluster.until(`${story}: it catches up`, () => applied(straggler) >= commitIndex);
}

describe('a node that installs a snapshot', () => {
  test('lives on when its disk is full at any step, and has the snapshot once there is room', async () => {
    let reached = 0;
    for (let at = 0; ; at++) {
      const { cluster, straggler, leader } = await clusterWithStraggler();
      const { disk } = straggler.machine;
      let story = `full at step ${at}`;
      const isReached = atInstallStep(straggler, at, (what) => {
        story += `, ${what}`;
        disk.isFull = true;
      });
      straggler.start();
      const starts = straggler.starts + 1;
      await cluster.until('the step comes, or none is left', () => isReached() || applied(straggler) > KEYS);
      // Several attempts fail.
      await cluster.simulation.runFor(5000);
      assert.equal(straggler.starts, starts, `${story}: the process is the one that was started`);
      disk.isFull = false;
      await catchesUp(cluster, straggler, leader, story);
      assert.equal(straggler.starts, starts, story);
      assert.ok(cluster.running(straggler.id).engine.counters.snapshotsInstalled > 0, story);
      if (!isReached()) break;
      assert.ok(++reached < MOST_STEPS);
    }
    assert.ok(reached > 3, `${reached} steps`);
  });

  test('loses power at any step, and starts again where it was, or further', async () => {
    let reached = 0;
    for (let at = 0; ; at++) {
      const { cluster, straggler, leader } = await clusterWithStraggler();
      let story = `power lost at step ${at}`;
      let before = 0;
      const isReached = atInstallStep(straggler, at, (what) => {
        story += `, ${what}`;
        before = applied(straggler);
        straggler.crash(true);
      });
      straggler.start();
      await cluster.until('the step comes, or none is left', () => isReached() || applied(straggler) > KEYS);
      if (!isReached()) break;
      straggler.start();
      await cluster.until('it is up', () => straggler.isUp);
      assert.ok(applied(straggler) >= before, `${story}: ${applied(straggler)} after ${before}`);
      await catchesUp(cluster, straggler, leader, story);
      assert.ok(++reached < MOST_STEPS);
    }
    assert.ok(reached > 3, `${reached} steps`);
  });

  test('stops in order at any step, and starts again where it was, or further', async () => {
    let reached = 0;
    for (let at = 0; ; at++) {
      const { cluster, straggler, leader } = await clusterWithStraggler();
      let story = `stopped at step ${at}`;
      let stopped: Promise<void> | undefined;
      let before = 0;
      const isReached = atInstallStep(straggler, at, (what) => {
        story += `, ${what}`;
        before = applied(straggler);
        stopped = straggler.stop();
      });
      straggler.start();
      await cluster.until('the step comes, or none is left', () => isReached() || applied(straggler) > KEYS);
      // Nothing of it is fatal: that would be a violation.
      if (stopped !== undefined) await cluster.run(stopped);
      if (!isReached()) break;
      straggler.start();
      await cluster.until('it is up', () => straggler.isUp);
      assert.ok(applied(straggler) >= before, `${story}: ${applied(straggler)} after ${before}`);
      await catchesUp(cluster, straggler, leader, story);
      assert.ok(++reached < MOST_STEPS);
    }
    assert.ok(reached > 3, `${reached} steps`);
  });
});
