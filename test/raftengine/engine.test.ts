import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupId } from '../../src/platform/index.ts';
import { BusyError, NotLeaderError, StoppedError, TooLargeError } from '../../src/raftengine/errors.ts';
import { GROUP, SimulatedEngines } from '../support/simulated-engines.ts';

test('three nodes elect a leader and apply what it proposes in one order', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const outcomes = await cluster.proposeAll(leader, 250, 'v');
  const results = outcomes.map((outcome) => (outcome.kind === 'applied' ? outcome.result : outcome.kind));
  assert.deepEqual(
    results,
    Array.from({ length: 250 }, (_, at) => at + 1),
  );
  await cluster.until(() => cluster.up().every((node) => node.list.values.length === 250));
  await cluster.until(() => cluster.agreed());
  assert.deepEqual(leader.list.values.slice(0, 3), ['v0', 'v1', 'v2']);
});

test('a proposal to a follower was not proposed and names the leader', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const follower = cluster.up().find((node) => node !== leader)!;
  await cluster.until(() => follower.group.leader()?.nodeId === leader.id);
  const outcome = await cluster.propose(follower, 'x');
  assert(outcome.kind === 'notProposed' && outcome.error instanceof NotLeaderError);
  assert.equal(outcome.error.leaderHint, leader.id);
});

test('an oversized proposal and one beyond the queue limit were not proposed', async () => {
  const cluster = await SimulatedEngines.found({ limits: { maxProposalBytes: 100, maxPendingProposals: 3 } });
  const leader = await cluster.serving();
  const tooLarge = await cluster.propose(leader, 'x'.repeat(101));
  assert(tooLarge.kind === 'notProposed' && tooLarge.error instanceof TooLargeError);
  const outcomes = await cluster.simulation.runToEnd(
    Promise.all(['a', 'b', 'c', 'd'].map((text) => leader.propose(text))),
  );
  assert.deepEqual(
    outcomes.map((outcome) => outcome.kind),
    ['applied', 'applied', 'applied', 'notProposed'],
  );
  const last = outcomes[3]!;
  assert(last.kind === 'notProposed' && last.error instanceof BusyError);
});

test('when the leader is cut off it is told to stop, its pending proposals become unknown when it hears nothing more, and the others go on', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  await cluster.propose(leader, 'before');
  const rest = cluster.up().filter((node) => node !== leader);
  cluster.fabric.partition(
    [leader.id],
    rest.map((node) => node.id),
  );
  const outcome = leader.propose('lost');
  await cluster.until(() => leader.list.leadership.at(-1)?.kind === 'stopped');
  const stoppedMs = leader.machine.clock.monotonicMs();
  assert.equal((await cluster.simulation.runToEnd(outcome)).kind, 'unknown');
  const waitedMs = leader.machine.clock.monotonicMs() - stoppedMs;
  assert(waitedMs > 4900 && waitedMs < 5200, `${waitedMs} ms`);
  const next = await cluster.serving(GROUP, rest);
  assert.equal((await cluster.propose(next, 'after')).kind, 'applied');
  cluster.fabric.heal();
  await cluster.until(() => cluster.up().every((node) => node.list.values.includes('after')));
  await cluster.until(() => cluster.agreed());
});

test('a crashed leader comes back with everything that was acknowledged', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  leader.list.flushesAlways = false;
  await cluster.proposeAll(leader, 50, 'v');
  leader.crash();
  const next = await cluster.serving();
  await cluster.propose(next, 'after');
  await cluster.restart(leader.id);
  await cluster.until(() => leader.list.values.length === 51);
  await cluster.until(() => cluster.agreed());
});

test('all nodes lose power at once and nothing that was acknowledged is missing', async () => {
  const cluster = await SimulatedEngines.found({ seed: 7 });
  const leader = await cluster.serving();
  for (const node of cluster.up()) node.list.flushesAlways = false;
  const outcomes = await cluster.proposeAll(leader, 120, 'v');
  assert(outcomes.every((outcome) => outcome.kind === 'applied'));
  for (const node of cluster.nodes.values()) node.crash();
  for (const id of cluster.nodes.keys()) await cluster.restart(id);
  await cluster.serving();
  await cluster.until(() => cluster.up().every((node) => node.list.values.length === 120));
  await cluster.until(() => cluster.agreed());
});

test('a leader whose disk is the slowest answers when both followers have the entry, and loses power right behind that without harm', async () => {
  const cluster = await SimulatedEngines.found({ seed: 3 });
  const leader = await cluster.serving();
  for (const { machine } of cluster.up()) machine.disk.syncMs = 1;
  const slowMs = 200;
  leader.machine.disk.syncMs = slowMs;
  await cluster.proposeAll(leader, 3, 'settling');
  const startMs = cluster.simulation.nowMs();
  assert.equal((await cluster.propose(leader, 'quick')).kind, 'applied');
  const tookMs = cluster.simulation.nowMs() - startMs;
  assert(tookMs < slowMs / 4, `${tookMs} ms`);
  assert(leader.list.values.includes('quick'));
  assert(!leader.durable.get(GROUP)!.values.includes('quick'), 'the state is not ahead of the log on disk');
  leader.crash();
  const next = await cluster.serving();
  assert(next.list.values.includes('quick'));
  await cluster.restart(leader.id);
  await cluster.until(() => leader.list.values.length === 4);
  await cluster.until(() => cluster.agreed());
});

test('two hundred groups live behind one write a turn and one timer of the wheel', async () => {
  const groups = Array.from({ length: 200 }, (_, at) => groupId(at + 1));
  const cluster = await SimulatedEngines.found({ groups });
  for (const id of groups) await cluster.serving(id);
  const leaders = groups.map((id) => cluster.leaderOf(id)!);
  assert(cluster.up().every((node) => node.engine.wheel.timers === 3));
  const writes = new Map(cluster.up().map((node) => [node.id, 0]));
  for (const node of cluster.up()) {
    const write = node.store.write.bind(node.store);
    node.store.write = (all) => {
      writes.set(node.id, writes.get(node.id)! + 1);
      return write(all);
    };
  }
  const outcomes = await cluster.simulation.runToEnd(
    Promise.all(groups.map((id, at) => leaders[at]!.propose(`to ${id}`, id))),
  );
  assert(outcomes.every((outcome) => outcome.kind === 'applied'));
  // Each node leads some groups (one write) and follows in others (one frame of each of two leaders).
  for (const [id, count] of writes) assert(count <= 6, `node ${id} wrote ${count} times for 200 groups`);
});

test('a state machine that falls behind is not fed until it says so', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const gate = Promise.withResolvers<void>();
  leader.list.pressure = gate.promise;
  let settled = false;
  const pending = leader.propose('slow').then((outcome) => {
    settled = true;
    return outcome;
  });
  const commitBefore = leader.group.status().commitIndex;
  await cluster.until(() => leader.group.status().commitIndex > commitBefore);
  await cluster.simulation.runFor(500);
  assert.equal(settled, false);
  assert.equal(leader.group.holdsLease(), false, 'committed but not applied: no lease read');
  assert(cluster.up().some((node) => node !== leader && node.list.values.includes('slow')));
  leader.list.pressure = undefined;
  gate.resolve();
  assert.equal((await cluster.simulation.runToEnd(pending)).kind, 'applied');
});

test('who asked to hear that an entry is committed hears it before it is applied, and not from a leader that was deposed', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const heard: string[] = [];
  const propose = (text: string): void =>
    leader.group.propose(
      Buffer.from(text),
      () => heard.push(`${text} is over`),
      () => heard.push(`${text} is committed`),
    );
  const gate = Promise.withResolvers<void>();
  leader.list.pressure = gate.promise;
  propose('one');
  propose('two');
  await cluster.until(() => heard.length === 2);
  await cluster.simulation.runFor(500);
  assert.deepEqual(heard, ['one is committed', 'two is committed']);
  assert.equal(leader.group.leadsByLease(), true);
  assert.equal(leader.group.holdsLease(), false);
  leader.list.pressure = undefined;
  gate.resolve();
  await cluster.until(() => heard.length === 4);
  assert.deepEqual(heard.slice(2), ['one is over', 'two is over']);

  const others = cluster.up().filter((node) => node !== leader);
  cluster.fabric.partition(
    [leader.id],
    others.map(({ id }) => id),
  );
  propose('three');
  await cluster.until(() => leader.list.leadership.at(-1)?.kind === 'stopped');
  assert.equal(leader.group.leadsByLease(), false);
  const next = await cluster.serving(GROUP, others);
  await cluster.propose(next, 'four');
  cluster.fabric.heal();
  await cluster.until(() => leader.list.values.includes('four'));
  await cluster.until(() => heard.length === 5);
  assert.deepEqual(heard.slice(4), ['three is over']);
});

test('a state machine that pushes back after an entry gets nothing that was committed together with it', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const [before, after] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  leader.list.pressure = before.promise;
  leader.list.pushesBackAfter = { text: 'stop', pressure: after.promise };
  const commitBefore = leader.group.status().commitIndex;
  const pending = Promise.all(['one', 'stop', 'two'].map((text) => leader.propose(text)));
  await cluster.until(() => leader.group.status().commitIndex >= commitBefore + 3);
  leader.list.pressure = undefined;
  before.resolve();
  await cluster.until(() => leader.list.values.includes('stop'));
  await cluster.simulation.runFor(500);
  assert.deepEqual(leader.list.values.slice(-2), ['one', 'stop']);
  leader.list.pressure = undefined;
  after.resolve();
  assert((await cluster.simulation.runToEnd(pending)).every(({ kind }) => kind === 'applied'));
});

test('an entry that the state machine refuses stops that replica alone', async () => {
  const groups = [GROUP, groupId(2)];
  const cluster = await SimulatedEngines.found({ groups });
  const leader = await cluster.serving();
  const follower = cluster.up().find((node) => node !== leader)!;
  follower.list.poison = 'bad';
  assert.equal((await cluster.propose(leader, 'bad')).kind, 'applied');
  await cluster.until(() => follower.failedReplicas.length > 0);
  assert.deepEqual(follower.failedReplicas, [GROUP]);
  const appliedBefore = follower.list.appliedIndexes.length;
  await cluster.propose(leader, 'good');
  await cluster.simulation.runFor(1000);
  assert.equal(follower.list.appliedIndexes.length, appliedBefore);
  const other = await cluster.serving(groupId(2));
  const outcome = await cluster.simulation.runToEnd(other.propose('elsewhere', groupId(2)));
  assert.equal(outcome.kind, 'applied');
  await cluster.until(() => follower.stateMachines.get(groupId(2))!.values.includes('elsewhere'));
});

test('a node whose log cannot be written stops, and acknowledges nothing', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  leader.store.write = () => Promise.reject(new Error('disk on fire'));
  const outcome = await cluster.propose(leader, 'x');
  assert.equal(outcome.kind, 'unknown');
  assert.match(leader.fatal[0]!.message, /disk on fire/);
  assert.equal(leader.fatal.length, 1);
  const late = await cluster.propose(leader, 'y');
  assert(late.kind === 'notProposed' && late.error instanceof StoppedError);
});

test('stopping an engine resolves what waits and leaves no write under way', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const pending = leader.propose('x');
  const read = leader.group.readBarrier();
  const refused = assert.rejects(read, StoppedError);
  await cluster.simulation.runToEnd(leader.engine.stop());
  assert.equal((await pending).kind, 'unknown');
  await refused;
  await cluster.simulation.runToEnd(leader.store.close());
});

test('what many groups store in one turn is several writes beyond a bound, so that no frame grows without end', async () => {
  const groups = [1, 2, 3, 4, 5].map(groupId);
  const cluster = await SimulatedEngines.found({ founders: [1], groups, limits: { maxWriteBytes: 1000 } });
  const node = cluster.node(1);
  for (const id of groups) await cluster.serving(id);
  const calls: number[][] = [];
  const write = node.store.write.bind(node.store);
  node.store.write = (writes) => {
    calls.push(writes.map(({ entries }) => entries.reduce((sum, { payload }) => sum + payload.length, 0)));
    return write(writes);
  };
  // The last one is larger than the bound by itself.
  const sizes = [400, 400, 400, 400, 3000];
  const outcomes = await cluster.simulation.runToEnd(
    Promise.all(groups.map((id, at) => node.propose('x'.repeat(sizes[at]!), id))),
  );
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    groups.map(() => 'applied'),
  );
  assert.deepEqual(
    calls.filter((sizesOfCall) => sizesOfCall.some((bytes) => bytes > 0)),
    [[400, 400], [400, 400], [3000]],
  );
});
