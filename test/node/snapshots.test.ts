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
async function clusterWithStraggler(
  isEncrypted: boolean,
): Promise<{ cluster: SimulatedNodes; straggler: ClusterNode; leader: number }> {
  const cluster = new SimulatedNodes(3, [{ id: 1 }], 5, {}, { plan: { limits: SHORT_LOG } });
  for (const node of cluster.nodes) node.isEncrypted = isEncrypted;
  cluster.start();
  await cluster.ready();
  const leader = cluster.leaderOf(ONE)!;
  const straggler = cluster.nodes.find(({ id }) => id !== leader)!;
  straggler.crash(true);
  for (let at = 0; at < KEYS; at++) await cluster.command(leader, 'set', `k${at}`, 'v');
  await cluster.until('the log is cut', () => cluster.node(leader).raft(ONE)!.status().firstIndex > KEYS);
  return { cluster, straggler, leader };
}

const applied = (node: ClusterNode): number => node.raft(ONE)?.status().appliedIndex ?? 0;

/** One install that something happens to. */
interface InstallRun {
  readonly cluster: SimulatedNodes;
  readonly straggler: ClusterNode;
  readonly leader: number;
  /** Processes of the straggler when the install began. */
  readonly starts: number;
  /** What happened, for the failure. */
  story: string;
  /** What the straggler had applied when it happened. */
  before: number;
}

/**
 * Lets something happen at the first step of an install, then in another cluster at the second, and so on, until an install is
 * over before its step comes. Steps count from the moment that the copy is complete.
 * @param goOn what follows once the step has come or none is left
 */
async function atEveryStep(
  what: string,
  act: (run: InstallRun) => void,
  goOn: (run: InstallRun, isReached: boolean) => Promise<void>,
  isEncrypted = false,
): Promise<void> {
  let isReached = true;
  let reached = 0;
  for (let at = 0; isReached; at++) {
    const { cluster, straggler, leader } = await clusterWithStraggler(isEncrypted);
    const run: InstallRun = {
      cluster,
      straggler,
      leader,
      starts: straggler.starts + 1,
      story: `${what} at step ${at}`,
      before: 0,
    };
    let isInstalling = false;
    let step = 0;
    straggler.onLevelStep = (name) => {
      isInstalling ||= /^rename .*group-1$/.test(name);
      if (!isInstalling || step++ !== at) return;
      run.story += `, ${name}`;
      run.before = applied(straggler);
      act(run);
    };
    straggler.start();
    await cluster.until('the step comes, or none is left', () => step > at || applied(straggler) > KEYS);
    isReached = step > at;
    await goOn(run, isReached);
    if (isReached) reached++;
    assert.ok(reached < MOST_STEPS);
  }
  assert.ok(reached > 3, `${reached} steps`);
}

async function catchesUp({ cluster, straggler, leader, story }: InstallRun): Promise<void> {
  const { commitIndex } = cluster.node(leader).raft(ONE)!.status();
  await cluster.until(`${story}: it catches up`, () => applied(straggler) >= commitIndex);
}

/** A new process is where the one before was, or further, and goes on from there. */
async function startsAgain(run: InstallRun): Promise<void> {
  const { cluster, straggler, story, before } = run;
  straggler.start();
  await cluster.until('it is up', () => straggler.isUp);
  assert.ok(applied(straggler) >= before, `${story}: ${applied(straggler)} after ${before}`);
  await catchesUp(run);
}

describe('a node that installs a snapshot', () => {
  test('lives on when its disk is full at any step, and has the snapshot once there is room', async () => {
    const fill = ({ straggler }: InstallRun): void => {
      straggler.machine.disk.isFull = true;
    };
    await atEveryStep('full', fill, async (run) => {
      const { cluster, straggler, starts, story } = run;
      // Several attempts fail.
      await cluster.simulation.runFor(5000);
      assert.equal(straggler.starts, starts, `${story}: the process is the one that was started`);
      straggler.machine.disk.isFull = false;
      await catchesUp(run);
      assert.equal(straggler.starts, starts, story);
      assert.ok(cluster.running(straggler.id).engine.counters.snapshotsInstalled > 0, story);
    });
  });

  for (const isEncrypted of [false, true]) {
    const form = isEncrypted ? ', encrypted' : '';
    test(`loses power at any step, and starts again where it was, or further${form}`, async () => {
      await atEveryStep(
        'power lost',
        ({ straggler }) => straggler.crash(true),
        async (run, isReached) => {
          if (isReached) await startsAgain(run);
        },
        isEncrypted,
      );
    });
  }

  test('stops in order at any step, and starts again where it was, or further', async () => {
    let stopped: Promise<void> | undefined;
    const stop = ({ straggler }: InstallRun): void => {
      stopped = straggler.stop();
    };
    await atEveryStep('stopped', stop, async (run, isReached) => {
      // Nothing of it is fatal: that would be a violation.
      if (stopped !== undefined) await run.cluster.run(stopped);
      stopped = undefined;
      if (isReached) await startsAgain(run);
    });
  });
});
