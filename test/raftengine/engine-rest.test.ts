import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GroupId, groupId, nodeId } from '../../src/platform/index.ts';
import { type EngineNode, SimulatedEngines } from '../support/simulated-engines.ts';

const GROUPS = Array.from({ length: 90 }, (_, at) => groupId(at + 1));

async function resting(seed = 1, groups: readonly GroupId[] = GROUPS): Promise<SimulatedEngines> {
  const cluster = await SimulatedEngines.found({ seed, groups });
  await cluster.until(() => cluster.up().every((node) => node.engine.awakeGroups === 0));
  return cluster;
}

const ledBy = (cluster: SimulatedEngines, node: EngineNode): readonly GroupId[] =>
  cluster.groups.filter((id) => node.groupAt(id).leader()?.nodeId === node.id);

/** Groups that no node that is up leads. */
const leaderless = (cluster: SimulatedEngines): readonly GroupId[] =>
  cluster.groups.filter((id) => cluster.leaderOf(id) === undefined);

test('groups at rest send nothing but one beat a node pair, and everybody knows who leads', async () => {
  const cluster = await resting();
  let frames = 0;
  for (const node of cluster.up()) {
    const { network } = node.machine;
    const send = network.send.bind(network);
    network.send = (to, lane, frame) => {
      frames += 1;
      return send(to, lane, frame);
    };
  }
  await cluster.simulation.runFor(10_000);
  assert(frames <= 3 * 2 * 41, `${frames} frames in 10 s`);
  assert(cluster.up().every((node) => node.engine.awakeGroups === 0));
  for (const id of GROUPS) {
    const leaders = new Set(cluster.up().map((node) => node.groupAt(id).status().leader));
    assert.equal(leaders.size, 1);
    assert.notEqual([...leaders][0], undefined);
  }
});

for (const seed of [1, 2, 3]) {
  test(`when a node dies, all groups that rested under it have new leaders within two seconds (seed ${seed})`, async () => {
    const cluster = await resting(seed);
    const lost = cluster.node(1);
    const orphans = ledBy(cluster, lost);
    assert(orphans.length > 10, `node 1 led ${orphans.length} groups`);
    lost.crash();
    await cluster.simulation.runFor(2000);
    // Two that stand for election at the same moment split the votes and try again: rare, and soon over.
    assert(leaderless(cluster).length <= 3, `${leaderless(cluster).length} groups without a leader`);
    await cluster.until(() => leaderless(cluster).length === 0, 4000);
    await cluster.until(() => cluster.up().every((node) => node.engine.awakeGroups === 0), 20_000);
    for (const id of orphans.slice(0, 3)) {
      const outcome = await cluster.simulation.runToEnd(cluster.leaderOf(id)!.propose('x', id));
      assert.equal(outcome.kind, 'applied');
    }
  });
}

test('a leader at rest that is cut off does not believe to lead for more than two election timeouts', async () => {
  const cluster = await resting();
  const cut = cluster.node(1);
  assert(ledBy(cluster, cut).length > 0);
  cluster.fabric.partition([cut.id], [nodeId(2), nodeId(3)]);
  await cluster.simulation.runFor(2100);
  assert.equal(ledBy(cluster, cut).length, 0);
});

test('a node that comes back finds the groups that went to rest without it, and what was written meanwhile', async () => {
  const cluster = await resting();
  cluster.node(3).crash();
  await cluster.until(() => leaderless(cluster).length === 0);
  const id = GROUPS[0]!;
  const outcome = await cluster.simulation.runToEnd(cluster.leaderOf(id)!.propose('meanwhile', id));
  assert.equal(outcome.kind, 'applied');
  await cluster.until(() => cluster.up().every((node) => node.engine.awakeGroups === 0));
  await cluster.restart(3);
  await cluster.until(() => cluster.node(3).stateMachines.get(id)!.values.includes('meanwhile'));
  await cluster.until(() => cluster.up().every((node) => node.engine.awakeGroups === 0));
});

test('a group whose leading replica is given up finds another leader, though its node lives', async () => {
  const cluster = await resting(4, GROUPS.slice(0, 3));
  const id = cluster.groups[0]!;
  const leader = cluster.leaderOf(id)!;
  await cluster.simulation.runToEnd(leader.engine.removeGroup(id));
  await cluster.until(() => leaderless(cluster).length === 0, 5000);
  assert.notEqual(cluster.leaderOf(id), leader);
});

test('the first read of a group at rest takes a round, and brings the lease back', async () => {
  const cluster = await resting(5, GROUPS.slice(0, 1));
  const group = cluster.leaderOf()!.group;
  await cluster.simulation.runFor(5000);
  assert.equal(group.holdsLease(), false);
  await cluster.simulation.runToEnd(group.readBarrier());
  await cluster.until(() => group.holdsLease(), 500);
});

test('a group that is read from its lease stays awake, one that is only looked at does not', async () => {
  const cluster = await resting(6, GROUPS.slice(0, 1));
  const leader = cluster.leaderOf()!;
  await cluster.simulation.runToEnd(leader.group.readBarrier());
  for (let at = 0; at < 20; at++) {
    await cluster.simulation.runFor(500);
    assert(leader.group.holdsLease());
  }
  for (let at = 0; at < 20; at++) {
    await cluster.simulation.runFor(500);
    leader.group.status();
  }
  assert.equal(leader.engine.awakeGroups, 0);
});

test('a learner that was away, and never stands for election, is found again by its resting group', async () => {
  const cluster = await resting(7, GROUPS.slice(0, 1));
  const leader = cluster.leaderOf()!;
  const learner = cluster.up().find((node) => node !== leader)!;
  const steps = [{ kind: 'addLearner' as const, nodeId: learner.id }];
  await cluster.simulation.runToEnd(leader.group.changeMembership(steps, Buffer.alloc(0)));
  await cluster.until(() => cluster.up().every((node) => node.engine.awakeGroups === 0));
  learner.crash();
  await cluster.simulation.runFor(5000);
  await cluster.restart(learner.id);
  await cluster.until(() => learner.group.status().leader === leader.id, 2000);
});

test('a node that is cut off from the leader alone takes no leadership from it: who rests under it refuses', async () => {
  const cluster = await resting(8, GROUPS.slice(0, 1));
  await cluster.simulation.runFor(10_000);
  const leader = cluster.leaderOf()!;
  const cut = cluster.up().find((node) => node !== leader)!;
  const { term } = leader.group.status();
  cluster.fabric.setCut(leader.id, cut.id, true);
  cluster.fabric.setCut(cut.id, leader.id, true);
  await cluster.simulation.runFor(10_000);
  assert.equal(cluster.leaderOf(), leader);
  assert.equal(leader.group.status().term, term);
});
