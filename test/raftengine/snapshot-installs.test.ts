import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId } from '../../src/platform/index.ts';
import { EngineCounters } from '../../src/raftengine/contract/counters.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/raftengine/contract/limits.ts';
import type { GroupLog, SnapshotStage, StateMachine } from '../../src/raftengine/contract/types.ts';
import type { Ready } from '../../src/raftengine/core/types.ts';
import type { Replica } from '../../src/raftengine/replica/replica.ts';
import { SnapshotInstaller } from '../../src/raftengine/replica/snapshot-installer.ts';
import { decodeWanted } from '../../src/raftengine/snapshot/snapshot-codec.ts';
import { SnapshotReceiver } from '../../src/raftengine/snapshot/snapshot-receiver.ts';
import { type EngineNode, GROUP, SimulatedEngines } from '../support/simulated-engines.ts';

const SHORT_LOG = {
  retainEntries: 50,
  truncateIntervalMs: 100,
  snapshotRetryMs: 100,
  snapshotMaxRetryMs: 800,
  snapshotKeepMs: 3000,
};

/** A cluster of which one follower has started again and needs a snapshot. */
async function clusterWithStraggler() {
  const straggling = await SimulatedEngines.withStraggler(SHORT_LOG);
  await straggling.cluster.restart(straggling.follower.id);
  return straggling;
}

/** Changes the stages of a node's snapshots. */
function stagesOf(node: EngineNode, change: (stage: SnapshotStage) => Partial<SnapshotStage>): void {
  const { list } = node;
  const stageSnapshot = list.stageSnapshot.bind(list);
  list.stageSnapshot = async (group, manifest) => {
    const stage = await stageSnapshot(group, manifest);
    return { ...stage, ...change(stage) };
  };
}

/** An install that waits until it is let go, and what is done to its stage meanwhile. */
function heldInstall(node: EngineNode) {
  const gate = Promise.withResolvers<void>();
  const seen = { isInstalling: false, discards: 0, release: gate.resolve };
  stagesOf(node, (stage) => ({
    install: async () => {
      seen.isInstalling = true;
      await gate.promise;
      await stage.install();
      seen.isInstalling = false;
    },
    discard: async () => {
      seen.discards += 1;
      await stage.discard();
    },
  }));
  return seen;
}

test('an engine that stops waits for an install, which is carried out with the reset of its log', async () => {
  const { cluster, follower } = await clusterWithStraggler();
  const held = heldInstall(follower);
  await cluster.until(() => held.isInstalling);
  let isStopped = false;
  const stopping = follower.engine.stop().then(() => {
    isStopped = true;
  });
  await cluster.simulation.runFor(500);
  assert.deepEqual([isStopped, held.discards], [false, 0]);
  held.release();
  await cluster.simulation.runToEnd(stopping);
  const { index } = follower.list.applied();
  assert.ok(index >= 400);
  assert.equal(follower.store.group(GROUP).firstIndex(), index + 1, 'the log begins behind the snapshot');
  assert.deepEqual([follower.fatal, follower.failedReplicas], [[], []]);
});

test('a replica that is removed in the middle of an install is gone when the install is over, and its log with it', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  const held = heldInstall(follower);
  await cluster.until(() => held.isInstalling);
  let isRemoved = false;
  const removing = follower.engine.removeGroup(GROUP).then(() => {
    isRemoved = true;
  });
  await cluster.simulation.runFor(500);
  assert.deepEqual([isRemoved, held.discards], [false, 0]);
  held.release();
  await cluster.simulation.runToEnd(removing);
  assert.deepEqual(follower.store.groups(), []);
  await cluster.simulation.runFor(500);
  assert.deepEqual(follower.store.groups(), [], 'nothing of it comes back');
  assert.deepEqual([follower.fatal, follower.failedReplicas], [[], []]);
  assert.equal((await cluster.propose(leader, 'on')).kind, 'applied');
});

test('a copy that is being proven when the engine stops is given up', async () => {
  const { cluster, follower } = await clusterWithStraggler();
  const proof = Promise.withResolvers<void>();
  let isProving = false;
  let discards = 0;
  let installs = 0;
  stagesOf(follower, (stage) => ({
    finish: async () => {
      isProving = true;
      await proof.promise;
      return stage.finish();
    },
    install: async () => {
      installs += 1;
    },
    discard: async () => {
      discards += 1;
      proof.resolve();
      await stage.discard();
    },
  }));
  await cluster.until(() => isProving);
  await cluster.simulation.runToEnd(follower.engine.stop());
  assert.deepEqual([discards, installs], [1, 0]);
});

test('an engine that stops does not wait for a sender that is silent', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  leader.list.snapshotGate = new Promise(() => {});
  await cluster.until(() => leader.group.status().progress.some((peer) => peer.state === 'snapshot'));
  await cluster.simulation.runFor(50);
  const startMs = cluster.simulation.nowMs();
  await cluster.simulation.runToEnd(follower.engine.stop());
  assert.ok(cluster.simulation.nowMs() - startMs < 100, 'it stops at once');
});

test('a replica whose snapshot could not be installed goes on with what it has, and is offered it again at growing intervals', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  const attempts: number[] = [];
  stagesOf(follower, (stage) => ({
    install: async () => {
      attempts.push(cluster.simulation.nowMs());
      if (attempts.length <= 5) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      await stage.install();
    },
  }));
  await cluster.until(() => attempts.length === 1);
  const { index } = follower.list.applied();
  await cluster.until(() => leader.snapshotFailures.length === 1);
  assert.match(leader.snapshotFailures[0]!, /no space left on device/);
  await cluster.until(() => follower.group.status().leader === leader.id);
  const status = follower.group.status();
  assert.deepEqual([status.appliedIndex, status.role], [index, 'follower']);
  assert.ok(status.commitIndex <= status.lastIndex);
  assert.equal((await cluster.propose(leader, 'meanwhile')).kind, 'applied');
  await cluster.until(() => follower.list.values.includes('meanwhile'));
  assert.equal(attempts.length, 6);
  const pauses = attempts.slice(1).map((atMs, at) => atMs - attempts[at]!);
  for (const [at, leastMs] of [100, 200, 400, 800, 800].entries()) {
    assert.ok(pauses[at]! >= leastMs && pauses[at]! < leastMs + 500, `pauses of ${pauses}`);
  }
  assert.deepEqual([follower.fatal, follower.failedReplicas], [[], []]);
  await cluster.until(() => cluster.agreed());
  // One that arrived makes up for those before it.
  follower.crash();
  await cluster.proposeAll(leader, 400, 'w');
  await cluster.until(() => leader.group.status().firstIndex > 600);
  attempts.length = 0;
  await cluster.restart(follower.id);
  stagesOf(follower, (stage) => ({
    install: async () => {
      attempts.push(cluster.simulation.nowMs());
      if (attempts.length === 1) throw new Error('no space left on device');
      await stage.install();
    },
  }));
  await cluster.until(() => attempts.length === 2);
  assert.ok(attempts[1]! - attempts[0]! < 600, `a pause of ${attempts[1]! - attempts[0]!}`);
  await cluster.until(() => cluster.agreed());
});

/** Term and vote of the replica that fails to install a snapshot. */
const STORED = { term: 4, vote: nodeId(1), commitIndex: 10 };
/** Before its state is flushed and replaced, all of it is in the log. */
const ALL_IN_LOG = [{ groupId: GROUP, hardState: STORED, entries: [], resetTo: undefined }, { inLog: 9 }];

const ALONE = { voters: [nodeId(1)], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const metaAt = (index: number, term: number) => ({ index, term, conf: ALONE });

interface FailedInstall {
  /** What the replica is told. */
  readonly steps: readonly unknown[];
  /** Installs that a restart would know of. */
  readonly marks: readonly number[];
}

/** Fails to install a snapshot of index 50 over a state of index 9. @param failsAt the mark that it is about to, or the install */
async function failedInstall(
  after: { appliedIndex: number; durableIndex: number },
  failsAt: 'mark' | 'install' = 'install',
): Promise<FailedInstall> {
  const steps: unknown[] = [];
  const marks: number[] = [];
  let isClosed = false;
  const installer = new SnapshotInstaller(
    {
      groupId: GROUP,
      log: { hardState: () => STORED } as unknown as GroupLog,
      stateMachine: {
        applied: () => metaAt(after.appliedIndex, 3),
        durableIndex: () => after.durableIndex,
        logStable: (index: number) => steps.push({ inLog: index }),
      } as unknown as StateMachine,
      appliedIndex: () => 9,
      isClosed: () => isClosed,
      installed: () => assert.fail('nothing was installed'),
      beginAgain: (applied) => steps.push({ begins: applied.index, isDeaf: installer.isInstalling }),
      failed: (error) => {
        isClosed = true;
        steps.push((error as Error).message);
      },
    },
    {
      counters: new EngineCounters(),
      installs: {
        begin: async (_group, index) => {
          if (failsAt === 'mark') throw new Error('no room');
          marks.push(index);
        },
        end: () => marks.pop(),
        of: () => marks.at(-1),
      },
      writeNow: async (write) => {
        steps.push(write);
      },
      settled: async () => {
        steps.push('settled');
      },
    },
  );
  const stage = {
    install: async () => {
      assert.deepEqual(marks, [50], 'a restart in the middle of it knows');
      throw new Error('no room');
    },
    discard: async () => {
      steps.push('discarded');
    },
  } as unknown as SnapshotStage;
  const meta = metaAt(50, 4);
  const outcome = installer.offer(meta, stage);
  const hardState = { term: 5, vote: nodeId(2), commitIndex: 50 };
  installer.install({ hardState, snapshot: meta } as unknown as Ready, meta);
  assert.equal(installer.isInstalling, true);
  await assert.rejects(outcome, /no room/);
  return { steps, marks };
}

test('a replica that goes on without its snapshot keeps the promises of its core, and begins from what is stable', async () => {
  const goesOn = [
    {
      groupId: GROUP,
      hardState: { term: 5, vote: nodeId(2), commitIndex: 10 },
      entries: [],
      resetTo: undefined,
    },
    'settled',
    { begins: 9, isDeaf: false },
  ];
  const old = { appliedIndex: 9, durableIndex: 9 };
  assert.deepEqual(await failedInstall(old), { steps: [...ALL_IN_LOG, ...goesOn], marks: [] });
  assert.deepEqual(await failedInstall(old, 'mark'), { steps: ['discarded', ...goesOn], marks: [] });
});

test('a replica goes on without its snapshot only when the state is the old one, in memory and on disk', async () => {
  for (const after of [
    { appliedIndex: 50, durableIndex: 50 },
    { appliedIndex: 8, durableIndex: 8 },
    { appliedIndex: 9, durableIndex: 50 },
  ]) {
    assert.deepEqual(await failedInstall(after), { steps: [...ALL_IN_LOG, 'no room'], marks: [50] });
  }
});

test('a replica whose state is neither the old one nor the new one fails', async () => {
  const { cluster, follower } = await clusterWithStraggler();
  stagesOf(follower, (stage) => ({
    install: async () => {
      await stage.install();
      throw new Error('and what now?');
    },
  }));
  await cluster.until(() => follower.failedReplicas.length > 0);
  assert.deepEqual(follower.failedReplicas, [GROUP]);
});

/** A receiver of one group whose stage the test makes, and who sends to it. */
function receiverOf(cluster: SimulatedEngines, stage: SnapshotStage) {
  const { clock, scheduler } = cluster.node(1).machine;
  const replica = { groupId: GROUP, applied: 0, isClosed: false, stateMachine: { stageSnapshot: async () => stage } };
  const receiver = new SnapshotReceiver({
    clock,
    scheduler,
    limits: DEFAULT_ENGINE_LIMITS,
    findReplica: () => replica as unknown as Replica,
    onFailed: () => {},
  });
  const token = {
    kind: 'snapshot' as const,
    groupId: GROUP,
    from: nodeId(2),
    to: nodeId(1),
    term: 1,
    snapshot: metaAt(5, 1),
  };
  const begin = (frames: AsyncIterable<Buffer>) => receiver.receive(nodeId(2), { step: 'begin', token }, frames);
  return { receiver, begin };
}

async function* one(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

/** Nothing comes, and nothing ends. */
async function* silence(): AsyncGenerator<Buffer> {
  await new Promise(() => {});
}

test('a receiver that stops ends a transfer that has just begun, and whatever still works on a segment', async () => {
  const cluster = await SimulatedEngines.found();
  const disk = Promise.withResolvers<void>();
  let isWriting = true;
  let discards = 0;
  const { receiver, begin } = receiverOf(cluster, {
    segments: 1,
    missing: [0],
    receive: async (_at, frames) => {
      try {
        for await (const _ of frames);
      } finally {
        await disk.promise;
        isWriting = false;
      }
    },
    discard: async () => {
      discards += 1;
    },
  } as Partial<SnapshotStage> as SnapshotStage);
  const beginning = assert.rejects(begin(silence()), /the engine stops/);
  await receiver.stop();
  await beginning;

  const { session } = decodeWanted(await begin(one('{}')), 1)!;
  const segment = receiver.receive(nodeId(2), { step: 'segment', group: GROUP, session, number: 0 }, silence());
  const broken = assert.rejects(segment, /the engine stops/);
  let isStopped = false;
  const stopping = receiver.stop().then(() => {
    isStopped = true;
  });
  await cluster.simulation.runFor(10);
  assert.deepEqual([isStopped, discards], [false, 1]);
  disk.resolve();
  await stopping;
  assert.equal(isWriting, false);
  await broken;
});
