import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId } from '../../src/platform/index.ts';
import { ConfChangeRefusedError } from '../../src/raftengine/core/errors.ts';
import type { HardState } from '../../src/raftengine/core/types.ts';
import { encodeAddresses } from '../../src/raftengine/wire/peer-addresses.ts';
import { type EngineNode, GROUP, SimulatedEngines } from '../support/simulated-engines.ts';

const SHORT_LOG = { retainEntries: 50, truncateIntervalMs: 100 };

function heldEntries(node: EngineNode): number {
  const { firstIndex, lastIndex } = node.group.status();
  return lastIndex - firstIndex + 1;
}

/** See `SimulatedEngines.withStraggler`. */
const clusterWithStraggler = () => SimulatedEngines.withStraggler(SHORT_LOG);

test('a follower that missed more than the log holds is brought back by a snapshot', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  await cluster.restart(follower.id);
  await cluster.until(() => follower.list.values.length === 400);
  assert.equal(follower.list.installed, 1);
  await cluster.propose(leader, 'after');
  await cluster.until(() => follower.list.values.includes('after'));
  await cluster.until(() => cluster.agreed());
  // The replica that was rebuilt carries on from its own disk.
  follower.crash();
  await cluster.restart(follower.id);
  await cluster.propose(leader, 'again');
  await cluster.until(() => follower.list.values.includes('again'));
  await cluster.until(() => cluster.agreed());
});

test('a snapshot that breaks on the way is sent again', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  const gate = Promise.withResolvers<void>();
  leader.list.snapshotGate = gate.promise;
  await cluster.restart(follower.id);
  await cluster.until(() => leader.group.status().progress.some((peer) => peer.state === 'snapshot'));
  await cluster.simulation.runFor(50);
  cluster.fabric.breakConnection(leader.id, follower.id);
  leader.list.snapshotGate = undefined;
  gate.resolve();
  await cluster.until(() => leader.snapshotFailures.length > 0);
  await cluster.until(() => follower.list.values.length === 400);
  await cluster.until(() => cluster.agreed());
});

test('the log stays within its bound while everybody follows, and never passes what the state machine made durable', async () => {
  const cluster = await SimulatedEngines.found({ limits: SHORT_LOG });
  const leader = await cluster.serving();
  await cluster.proposeAll(leader, 500, 'v');
  await cluster.simulation.runFor(500);
  for (const node of cluster.up()) assert(heldEntries(node) <= 60, `node ${node.id} holds ${heldEntries(node)}`);
  for (const node of cluster.up()) node.list.flushesAlways = false;
  const durable = leader.list.durableIndex();
  await cluster.proposeAll(leader, 300, 'w');
  await cluster.simulation.runFor(500);
  for (const node of cluster.up()) {
    assert(node.group.status().firstIndex <= durable + 1);
    assert(heldEntries(node) >= 300);
  }
});

test('a log of large entries is cut by bytes', async () => {
  const cluster = await SimulatedEngines.found({ limits: { retainBytes: 20_000, truncateIntervalMs: 100 } });
  const leader = await cluster.serving();
  await cluster.proposeAll(leader, 200, 'x'.repeat(1000));
  await cluster.simulation.runFor(500);
  for (const node of cluster.up()) assert(heldEntries(node) <= 30, `node ${node.id} holds ${heldEntries(node)}`);
});

test('a new node joins as a learner through a snapshot and is promoted to voter', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  await cluster.proposeAll(leader, 20, 'v');
  const joiner = await cluster.join(4);
  const context = encodeAddresses([[joiner.id, 'node4']]);
  const conf = await cluster.simulation.runToEnd(
    leader.group.changeMembership([{ kind: 'addLearner', nodeId: joiner.id }], context),
  );
  assert.deepEqual(conf.learners, [joiner.id]);
  await cluster.until(() => joiner.list.values.length === 20);
  assert.equal(joiner.list.installed, 1, 'the founders are learnt from a snapshot');
  await cluster.until(
    () => leader.group.status().progress.find((peer) => peer.nodeId === joiner.id)?.state === 'replicate',
  );
  const promoted = await cluster.simulation.runToEnd(
    leader.group.changeMembership([{ kind: 'addVoter', nodeId: joiner.id }], Buffer.alloc(0)),
  );
  assert.deepEqual(promoted.voters, [1, 2, 3, 4].map(nodeId));
  await cluster.propose(leader, 'after');
  await cluster.until(() => joiner.list.values.includes('after'));
  assert.deepEqual(joiner.group.status().conf.voters, [1, 2, 3, 4].map(nodeId));
});

test('a swap of two voters settles when the joint configuration is left', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const joiner = await cluster.join(4);
  const leaving = cluster.up().find((node) => node !== leader && node !== joiner)!;
  await cluster.simulation.runToEnd(
    leader.group.changeMembership([{ kind: 'addLearner', nodeId: joiner.id }], Buffer.alloc(0)),
  );
  await cluster.until(
    () => leader.group.status().progress.find((peer) => peer.nodeId === joiner.id)?.state === 'replicate',
  );
  const conf = await cluster.simulation.runToEnd(
    leader.group.changeMembership(
      [
        { kind: 'addVoter', nodeId: joiner.id },
        { kind: 'remove', nodeId: leaving.id },
      ],
      Buffer.alloc(0),
    ),
  );
  assert.equal(conf.votersOutgoing.length, 0);
  assert(conf.voters.includes(joiner.id) && !conf.voters.includes(leaving.id));
});

test('a second membership change is refused while the first is not applied', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const first = leader.group.changeMembership([{ kind: 'addLearner', nodeId: nodeId(8) }], Buffer.alloc(0));
  await assert.rejects(
    leader.group.changeMembership([{ kind: 'addLearner', nodeId: nodeId(9) }], Buffer.alloc(0)),
    ConfChangeRefusedError,
  );
  await cluster.simulation.runToEnd(first);
});

test('a node that stood still does not blame its leader', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const term = leader.group.status().term;
  const follower = cluster.up().find((node) => node !== leader)!;
  for (let round = 0; round < 5; round++) {
    follower.machine.pauseFor(3000);
    await cluster.simulation.runFor(4000);
  }
  assert.equal(leader.group.status().term, term);
  assert.equal(cluster.leaderOf(GROUP), leader);
});

const thrown = (error: unknown): never => {
  throw error;
};

/** A crash after a copy was installed in the state machine and before the log began again behind it. */
async function crashInInstall(cluster: SimulatedEngines, follower: EngineNode, leader: EngineNode): Promise<void> {
  const durable = follower.durable.get(GROUP)!;
  durable.meta = leader.list.applied();
  durable.values = [...leader.list.values];
  const record = await cluster.simulation.runToEnd(follower.openRecord());
  const marks = record.installs(thrown);
  await cluster.simulation.runToEnd(marks.begin(GROUP, durable.meta.index));
  await cluster.restart(follower.id);
  await cluster.until(() => follower.record.installs(thrown).of(GROUP) === undefined);
}

test('a vote is kept when the log begins again after a crash in an install', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  const { term } = leader.group.status();
  // The follower voted for the leader of this term; nobody else may get that vote.
  const log = await cluster.simulation.runToEnd(storedLog(follower));
  assert.deepEqual([log.term, log.vote], [term, leader.id]);
  await crashInInstall(cluster, follower, leader);
  const { index } = leader.list.applied();
  assert.deepEqual(follower.store.group(GROUP).hardState(), { term, vote: leader.id, commitIndex: index });
  await cluster.until(() => cluster.agreed());
});

test('a vote of an earlier term is none in the term of the copy that was being installed', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  const { term } = leader.group.status();
  const other = cluster.up().find((node) => node !== leader)!;
  await cluster.simulation.runToEnd(leader.group.transferLeadership(other.id));
  await cluster.serving();
  await cluster.propose(other, 'of a later term');
  await crashInInstall(cluster, follower, other);
  const stored = follower.store.group(GROUP).hardState();
  assert.deepEqual([stored.term > term, stored.vote], [true, 0]);
  await cluster.until(() => cluster.agreed());
});

test('a term and a vote that are newer than the copy that was being installed are kept', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  const newer = { term: leader.group.status().term + 5, vote: nodeId(3), commitIndex: 1 };
  await cluster.simulation.runToEnd(follower.openLog());
  const write = { groupId: GROUP, hardState: newer, entries: [], resetTo: undefined };
  await cluster.simulation.runToEnd(follower.store.write([write]));
  await cluster.simulation.runToEnd(follower.store.close());
  await crashInInstall(cluster, follower, leader);
  const { index } = leader.list.applied();
  assert.deepEqual(follower.store.group(GROUP).hardState(), { ...newer, commitIndex: index });
  await cluster.until(() => cluster.agreed());
});

test('an install leaves no mark behind, and a restart none that is over', async () => {
  const { cluster, follower } = await clusterWithStraggler();
  const markOf = (): number | undefined => follower.record.installs(thrown).of(GROUP);
  await cluster.restart(follower.id);
  await cluster.until(() => cluster.agreed());
  assert.equal(follower.list.installed, 1);
  await cluster.until(() => markOf() === undefined);
  await cluster.simulation.runToEnd(follower.record.installs(thrown).begin(GROUP, 1_000_000));
  follower.crash();
  await cluster.restart(follower.id);
  assert.equal(markOf(), undefined);
});

/** What the log of a node that is down says about term and vote. */
async function storedLog(node: EngineNode): Promise<HardState> {
  await node.openLog();
  const stored = node.store.group(GROUP).hardState();
  await node.store.close();
  return stored;
}
