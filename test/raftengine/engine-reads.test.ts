import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import { GROUP, SimulatedEngines } from '../support/simulated-engines.ts';

test('a leader holds a lease once its term is applied, and loses it when it is cut off', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  await cluster.until(() => leader.group.holdsLease());
  assert(leader.group.status().leaseRemainingMs > 0);
  for (const node of cluster.up()) if (node !== leader) assert.equal(node.group.holdsLease(), false);
  const rest = cluster.up().filter((node) => node !== leader);
  cluster.fabric.partition(
    [leader.id],
    rest.map((node) => node.id),
  );
  const cutAtMs = cluster.simulation.nowMs();
  await cluster.until(() => !leader.group.holdsLease());
  assert(cluster.simulation.nowMs() - cutAtMs <= 1000);
  const next = await cluster.serving(GROUP, rest);
  assert.equal(leader.group.holdsLease(), false);
  assert.notEqual(next, leader);
});

test('barriers of one turn share one round, and each sees what was acknowledged before it', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  await cluster.propose(leader, 'x');
  let heartbeats = 0;
  const { network } = leader.machine;
  const send = network.send.bind(network);
  network.send = (to, lane, frame) => {
    if (lane === 'control') heartbeats += 1;
    return send(to, lane, frame);
  };
  await cluster.simulation.runToEnd(Promise.all(Array.from({ length: 50 }, () => leader.group.readBarrier())));
  assert(heartbeats <= 6, `${heartbeats} control frames for fifty barriers`);
  assert(leader.list.values.includes('x'));
});

test('a barrier on a follower is refused, and one on a leader that was cut off is refused in time', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const rest = cluster.up().filter((node) => node !== leader);
  await assert.rejects(cluster.simulation.runToEnd(rest[0]!.group.readBarrier()), NotLeaderError);
  cluster.fabric.partition(
    [leader.id],
    rest.map((node) => node.id),
  );
  await assert.rejects(cluster.simulation.runToEnd(leader.group.readBarrier()), NotLeaderError);
});

test('waiting for an index settles when this replica has applied it, or when the wait is aborted', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const follower = cluster.up().find((node) => node !== leader)!;
  const index = leader.group.status().lastIndex + 1;
  const waited = follower.group.waitApplied(index);
  const abort = new AbortController();
  const given = follower.group.waitApplied(index + 100, abort.signal);
  const refused = assert.rejects(given, /enough/);
  abort.abort(new Error('enough'));
  await refused;
  await cluster.propose(leader, 'x');
  await cluster.simulation.runToEnd(waited);
  assert(follower.group.status().appliedIndex >= index);
  await follower.group.waitApplied(index);
});

test('leadership moves to the chosen node, and the old leader has no lease from the first moment', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const target = cluster.up().find((node) => node !== leader)!;
  await cluster.until(() => leader.group.holdsLease());
  const transfer = leader.group.transferLeadership(target.id);
  assert.equal(leader.group.holdsLease(), false);
  await cluster.simulation.runToEnd(transfer);
  assert.equal(await cluster.serving(), target);
  assert.equal((await cluster.propose(target, 'x')).kind, 'applied');
  assert.equal(leader.list.leadership.at(-1)?.kind, 'stopped');
});

test('a transfer to a node that does not answer is reported as unfinished', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const target = cluster.up().find((node) => node !== leader)!;
  cluster.fabric.setCut(leader.id, target.id, true);
  await assert.rejects(cluster.simulation.runToEnd(leader.group.transferLeadership(target.id)), /did not finish/);
});

test('a lease does not rest on a founder whose disk has stored no term yet, though founding began its log with one', async () => {
  const cluster = await SimulatedEngines.found();
  const [, , slow] = cluster.up();
  // Every write takes longer than the test.
  slow!.machine.disk.slowness = 1e6;
  const quick = cluster.up().filter((node) => node !== slow);
  const leader = await cluster.serving(GROUP, quick);
  await cluster.until(() => leader.group.holdsLease());
  const other = quick.find((node) => node !== leader)!;
  for (const node of [leader, slow!]) {
    cluster.fabric.setCut(node.id, other.id, true);
    cluster.fabric.setCut(other.id, node.id, true);
  }
  await cluster.simulation.runFor(3000);
  assert.equal(slow!.group.leader()?.nodeId, leader.id, 'it answers heartbeats, and its leader leads on');
  assert.equal(leader.group.status().role, 'leader');
  assert.equal(leader.group.holdsLease(), false);
  slow!.machine.disk.slowness = 1;
});

test('a leader does not answer from its lease while it has yet to apply what is committed: others may have read that already', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  await cluster.until(() => leader.group.holdsLease());
  const gate = Promise.withResolvers<void>();
  leader.list.pressure = gate.promise;
  const written = leader.propose('x');
  await cluster.until(() => cluster.up().some((node) => node.list.values.includes('x')));
  const { commitIndex, appliedIndex } = leader.group.status();
  assert(commitIndex > appliedIndex && !leader.list.values.includes('x'));
  assert.equal(leader.group.holdsLease(), false);
  assert.equal(leader.group.status().leaseRemainingMs, 0);
  leader.list.pressure = undefined;
  gate.resolve();
  assert.equal((await cluster.simulation.runToEnd(written)).kind, 'applied');
  assert.ok(leader.group.holdsLease());
});

test('a leader whose machine was suspended has no lease when it wakes, however young that looks', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  await cluster.until(() => leader.group.holdsLease());
  const { machine } = leader;
  const others = cluster.up().filter((node) => node !== leader);
  const asleepMs = machine.clock.monotonicMs();
  machine.suspendFor(5_000);
  let atWaking: { holdsLease: boolean; sleptMs: number } | undefined;
  // The first thing that happens on the machine.
  cluster.simulation.schedule(
    0,
    'read',
    () => {
      const sleptMs = machine.clock.monotonicMs() - asleepMs;
      atWaking = { holdsLease: leader.group.holdsLease(), sleptMs };
    },
    machine,
  );
  const next = await cluster.serving(undefined, others);
  assert.equal((await cluster.propose(next, 'written meanwhile')).kind, 'applied');
  await cluster.until(() => atWaking !== undefined);
  assert.ok(atWaking!.sleptMs < 100, `its clock stood still: ${atWaking!.sleptMs} ms`);
  assert.equal(atWaking!.holdsLease, false);
  assert.equal(leader.engine.counters.suspensions, 1);
});

test('a wall clock that is set ahead costs a leader its lease for one round, and one that is set back nothing', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  await cluster.until(() => leader.group.holdsLease());
  leader.machine.clock.jumpWall(3_600_000);
  assert.equal(leader.group.holdsLease(), false);
  await cluster.until(() => leader.group.holdsLease(), 500);
  leader.machine.clock.jumpWall(-3_600_000);
  assert.equal(leader.group.holdsLease(), true);
  for (let step = 0; step < 200; step++) {
    leader.machine.clock.jumpWall(1);
    await cluster.simulation.runFor(20);
  }
  assert.equal(leader.group.holdsLease(), true, 'a clock that is slewed is not one that was asleep');
  assert.equal(leader.engine.counters.suspensions, 1);
});
