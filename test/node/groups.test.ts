import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupId, nodeId } from '../../src/platform/index.ts';
import type { ClusterNode } from '../sim/cluster/cluster-node.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

/** True at the catalog's leader when every move has been cleaned up. */
const hasNoJobs = (process: ClusterNode['process']): boolean => process?.node.catalogLeader.state?.jobs.size === 0;

const ONE = groupId(1);
const TWO = groupId(2);
const THREE = groupId(3);
const ALL_SLOTS = [{ slots: '0-16383' }];
const SOME_KEY = Buffer.from([0x72, 0, 0x10, 0]);

describe('groups of a running cluster', () => {
  test('lead where they should, from the first moment', async () => {
    const cluster = new SimulatedNodes(3, 5);
    cluster.start();
    await cluster.ready();
    const leaders = [1, 2, 3, 4, 5, 6].map((id) => cluster.leaderOf(groupId(id)));
    assert.deepEqual(leaders, [1, 2, 3, 1, 2, 3]);
  });

  test('wait a moment for a preferred leader that starts late, and not for ever', async () => {
    const late = new SimulatedNodes(3, 2);
    late.node(1).start();
    late.node(2).start();
    await late.simulation.runFor(2500);
    assert.equal(late.leaderOf(THREE), undefined);
    late.node(3).start();
    await late.ready();
    assert.deepEqual(
      [1, 2, 3].map((id) => late.leaderOf(groupId(id))),
      [1, 2, 3],
    );

    const never = new SimulatedNodes(3, 2);
    never.start();
    await never.until('all founders are there', () => never.nodes.every((node) => node.raft(THREE) !== undefined));
    never.node(3).crash(true);
    await never.until('the others lead', () => never.leaderOf(THREE) !== undefined);
  });

  test('have replicas on their voters alone, and a node that has none serves clients all the same', async () => {
    const cluster = new SimulatedNodes(4, [
      { id: 1, voters: [1, 2, 3] },
      { id: 2, voters: [2], ranges: ALL_SLOTS },
    ]);
    cluster.start();
    await cluster.ready();
    assert.deepEqual(cluster.hosts(ONE), [1, 2, 3]);
    assert.deepEqual(cluster.hosts(TWO), [2]);
    assert.equal(await cluster.command(4, 'set', 'k', 'v'), 'OK');
    assert.equal(await cluster.command(1, 'get', 'k'), 'v');
    assert.deepEqual(cluster.running(4).status().groups, []);
  });

  test('are made, filled, emptied and removed, and leave nothing behind', async () => {
    const cluster = new SimulatedNodes(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }]);
    cluster.start();
    await cluster.ready();
    await cluster.known();
    await cluster.command(1, 'set', 'before', 'x');
    const row = await cluster.run(
      cluster
        .running(3)
        .catalog.run({ kind: 'createGroup', id: THREE, founders: [nodeId(1), nodeId(2)], preferredLeader: nodeId(2) }),
    );
    assert.equal(row.state, 'ACTIVE');
    await cluster.until('the new group leads', () => cluster.leaderOf(THREE) === 2);
    assert.deepEqual(cluster.hosts(THREE), [1, 2]);

    await cluster.move(SOME_KEY, THREE);
    assert.equal(await cluster.command(3, 'get', 'before'), 'x', 'the values came along');
    assert.equal(await cluster.command(3, 'set', 'after', 'y'), 'OK');

    // Everybody loses power: what the catalog gave away must be found where it is.
    for (const node of cluster.nodes) node.crash(true);
    cluster.start();
    await cluster.ready();
    await cluster.until('the made group is back', () => cluster.hosts(THREE).length === 2);
    assert.equal(await cluster.command(3, 'get', 'after'), 'y');

    await cluster.move(SOME_KEY, TWO);
    assert.equal(await cluster.command(3, 'get', 'after'), 'y');
    const { catalog } = cluster.running(1);
    await cluster.until('no job is under way', () => cluster.nodes.some(({ process }) => hasNoJobs(process)));
    await cluster.run(catalog.run({ kind: 'removeGroup', id: THREE }));
    await cluster.until('the replicas are gone', () => cluster.hosts(THREE).length === 0);
    await cluster.simulation.runFor(1000);
    for (const node of cluster.nodes) {
      assert.ok(!node.process?.logStore.groups().includes(THREE));
      assert.equal(await node.hasStore(THREE), false);
      assert.equal(await node.hasStore(TWO), true);
    }
    for (const node of cluster.nodes) node.crash(true);
    cluster.start();
    await cluster.ready();
    await cluster.simulation.runFor(3000);
    assert.deepEqual(cluster.hosts(THREE), []);
    assert.equal(await cluster.command(1, 'get', 'before'), 'x');
  });

  test('that the configuration founded and the cluster removed do not come back with a start', async () => {
    const cluster = new SimulatedNodes(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }, { id: 3 }]);
    cluster.start();
    await cluster.ready();
    await cluster.known();
    assert.deepEqual(cluster.hosts(THREE), [1, 2, 3]);
    await cluster.run(cluster.running(1).catalog.run({ kind: 'removeGroup', id: THREE }));
    await cluster.until('the replicas are gone', () => cluster.hosts(THREE).length === 0);
    await cluster.simulation.runFor(1000);
    for (const node of cluster.nodes) node.crash(true);
    cluster.start();
    for (const endMs = cluster.simulation.nowMs() + 3000; cluster.simulation.nowMs() < endMs; ) {
      assert.deepEqual(cluster.hosts(THREE), []);
      for (const node of cluster.nodes) assert.equal(await node.hasStore(THREE), false);
      await cluster.simulation.runFor(5);
    }
    await cluster.ready();
    assert.equal(await cluster.command(1, 'set', 'k', 'v'), 'OK');
  });

  test('that the configuration founded are gone, or whole, after a crash at any step of their removal', async () => {
    for (let at = 0, isReached = true; isReached; at++) {
      const cluster = new SimulatedNodes(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }, { id: 3 }], at + 1);
      cluster.start();
      await cluster.ready();
      await cluster.known();
      const node = cluster.node(3);
      let steps = 0;
      isReached = false;
      node.onLevelStep = (what) => {
        // Nobody writes to this group: these are steps of its removal.
        if (!/^(rename|remove|unlink|sync) .*group-3/.test(what) || steps++ !== at) return;
        isReached = true;
        node.crash(true);
      };
      await cluster.run(cluster.running(1).catalog.run({ kind: 'removeGroup', id: THREE }));
      await cluster.until('the others are done', () => cluster.hosts(THREE).every((id) => id === 3));
      await cluster.simulation.runFor(500);
      // It founds the group again over nothing that it finds, before it is told anything.
      node.start();
      await cluster.ready();
      assert.ok(!cluster.hosts(THREE).includes(3) || steps === 0, `step ${at}`);
      await cluster.simulation.runFor(2000);
      assert.deepEqual(cluster.hosts(THREE), [], `step ${at}`);
      assert.equal(await node.hasStore(THREE), false, `step ${at}`);
      assert.ok(at < 40);
      if (!isReached) assert.ok(at > 8, `${at} steps`);
    }
  });

  test('know their founders again after a crash at any moment of their making', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const cluster = new SimulatedNodes(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }], seed);
      cluster.start();
      await cluster.ready();
      await cluster.known();
      const founders = [nodeId(1), nodeId(2), nodeId(3)];
      const made = cluster
        .running(1)
        .catalog.run({ kind: 'createGroup', id: THREE, founders, preferredLeader: undefined });
      await cluster.run(made);
      await cluster.simulation.runFor(seed * 110);
      for (const node of cluster.nodes) node.crash(seed % 2 === 0);
      cluster.start();
      await cluster.ready();
      await cluster.until(`seed ${seed}: the group leads`, () => cluster.leaderOf(THREE) !== undefined);
      assert.deepEqual(cluster.hosts(THREE), [1, 2, 3]);
    }
  });

  for (const full of [
    [1, 3],
    [1, 2, 3],
  ])
    test(`that are made while the disks of nodes ${full.join(' and ')} are full are founded once there is room`, async () => {
      const cluster = new SimulatedNodes(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }]);
      cluster.start();
      await cluster.ready();
      await cluster.known();
      const tries = new Map(full.map((id) => [id, 0]));
      for (const id of full) {
        const node = cluster.node(id);
        node.machine.disk.isFull = true;
        node.onLevelStep = (what) => {
          if (/^open .*group-3/.test(what)) tries.set(id, tries.get(id)! + 1);
        };
      }
      const founders = [3, 1, 2].map(nodeId);
      await cluster.run(
        cluster.running(2).catalog.run({ kind: 'createGroup', id: THREE, founders, preferredLeader: undefined }),
      );
      await cluster.until('nobody could open it', () => full.every((id) => tries.get(id)! > 1));
      // Whoever has room speaks to those that have not; and the cluster says nothing more of it.
      await cluster.simulation.runFor(3000);
      for (const id of full) cluster.node(id).machine.disk.isFull = false;
      await cluster.until('the group leads', () => cluster.leaderOf(THREE) !== undefined);
      await cluster.until('all founders are members', () =>
        cluster.nodes.every((node) => node.raft(THREE)?.status().conf.voters.length === 3),
      );
      assert.equal(await cluster.command(1, 'set', 'k', 'v'), 'OK');
    });

  test('that are removed while a disk is full leave nothing behind once there is room', async () => {
    const cluster = new SimulatedNodes(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }, { id: 3 }]);
    cluster.start();
    await cluster.ready();
    await cluster.known();
    const node = cluster.node(3);
    let renames = 0;
    node.onLevelStep = (what) => {
      if (/^rename .*group-3/.test(what)) renames++;
    };
    node.machine.disk.isFull = true;
    await cluster.run(cluster.running(1).catalog.run({ kind: 'removeGroup', id: THREE }));
    await cluster.until('the others are done', () => cluster.hosts(THREE).every((id) => id === 3));
    await cluster.simulation.runFor(3000);
    assert.equal(await node.hasStore(THREE), true);
    node.machine.disk.isFull = false;
    const endMs = cluster.simulation.nowMs() + 20_000;
    while (await node.hasStore(THREE)) {
      assert.ok(cluster.simulation.nowMs() < endMs, 'the store goes by itself');
      await cluster.simulation.runFor(100);
    }
    assert.deepEqual(cluster.hosts(THREE), []);
    assert.ok(!node.process?.logStore.groups().includes(THREE));
    assert.ok(renames > 0);
  });

  test('that cannot be opened say so each time, and their stores are closed again', async () => {
    const cluster = new SimulatedNodes(1, 1);
    cluster.start();
    await cluster.ready();
    const { host } = cluster.running(1);
    const nobody = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    const resetTo = { index: 5, term: 1, conf: nobody };
    const write = { groupId: THREE, hardState: undefined, entries: [], resetTo };
    await cluster.run(cluster.node(1).process!.logStore.write([write]));
    for (let round = 0; round < 2; round++)
      await assert.rejects(cluster.run(host.open(THREE, undefined)), { code: 'REPLICA_TORN' });
  });

  for (const [story, step, isFull] of [
    ['it is being opened in vain', 1, true],
    ['it could not be opened', 2, true],
    ['it is being opened', 1, false],
  ] as const)
    test(`that are to be removed while ${story} are gone in the end`, async () => {
      const cluster = new SimulatedNodes(1, 1);
      cluster.start();
      await cluster.ready();
      const node = cluster.node(1);
      const { disk } = node.machine;
      const { host } = cluster.running(1);
      let opened = 0;
      let renamed = 0;
      const remove = (): void => host.keepRemoving(THREE);
      node.onLevelStep = (what) => {
        if (/^open .*group-3/.test(what) && ++opened === 1 && step === 1) remove();
        // Once the removal cannot be carried out either.
        if (/^rename .*group-3/.test(what)) disk.isFull = ++renamed === 1;
      };
      disk.isFull = isFull;
      host.keepOpening(THREE, undefined);
      await cluster.until('it is opened', () => opened === 1);
      if (step === 2) {
        await cluster.simulation.runFor(100);
        remove();
      }
      await cluster.simulation.runFor(30_000);
      assert.equal(renamed > 1, !isFull);
      disk.isFull = false;
      await cluster.simulation.runFor(30_000);
      assert.deepEqual([cluster.hosts(THREE), await node.hasStore(THREE), host.knows(THREE)], [[], false, false]);
    });

  test('open an empty replica on a node that they take in', async () => {
    const cluster = new SimulatedNodes(3, [{ id: 1 }, { id: 2, voters: [1, 2], ranges: ALL_SLOTS }]);
    cluster.start();
    await cluster.ready();
    await cluster.command(1, 'set', 'k', 'v');
    const leader = cluster.node(cluster.leaderOf(TWO)!);
    const raftOfLeader = leader.raft(TWO)!;
    await cluster.run(raftOfLeader.changeMembership([{ kind: 'addLearner', nodeId: nodeId(3) }], Buffer.alloc(0)));
    await cluster.until('node 3 has caught up', () => {
      const raft = cluster.node(3).raft(TWO);
      return raft !== undefined && raft.status().appliedIndex >= raftOfLeader.status().commitIndex;
    });
    assert.deepEqual(cluster.hosts(TWO), [1, 2, 3]);
  });
});
