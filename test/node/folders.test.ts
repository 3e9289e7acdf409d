/** Nodes that come back with another data folder than their own, in every order, and first starts that go wrong half-way. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { acceptancesNeeded } from '../../src/node/standing.ts';
import { groupId, nodeId, SeededRandom } from '../../src/platform/index.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const ACKNOWLEDGED = ['a', 'b', 'c'];

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((first, at) => permutations(items.toSpliced(at, 1)).map((rest) => [first, ...rest]));
}

/** Three nodes, of which `behind` has missed what was acknowledged last; all of them are down. */
async function stopped(behind: number, seed = 7): Promise<SimulatedNodes> {
  const cluster = new SimulatedNodes(3, 1, seed);
  cluster.start();
  await cluster.ready();
  assert.equal(await cluster.command(1, 'set', 'before', 'yes'), 'OK');
  await cluster.known();
  cluster.node(behind).crash(true);
  const writer = behind === 1 ? 2 : 1;
  await cluster.until(
    'the other two lead',
    () => cluster.leaderOf(groupId(1)) !== undefined && cluster.leaderOf(groupId(1)) !== behind,
  );
  for (const key of ACKNOWLEDGED) assert.equal(await cluster.command(writer, 'set', key, 'acknowledged'), 'OK');
  for (const node of cluster.nodes) if (node.isUp) node.crash(true);
  return cluster;
}

async function findAll(cluster: SimulatedNodes, id: number): Promise<void> {
  assert.equal(await cluster.command(id, 'get', 'before'), 'yes');
  for (const key of ACKNOWLEDGED)
    assert.equal(await cluster.command(id, 'get', key), 'acknowledged', `node ${id}, ${key}`);
}

/** The catalog forgets a folder, and its node comes back as a new one. */
async function replace(cluster: SimulatedNodes, at: number, id: number, old: Buffer): Promise<void> {
  const { catalog } = cluster.running(at);
  await cluster.run(catalog.run({ kind: 'removeNode', nodeId: nodeId(id), incarnation: old }, 10_000));
  cluster.node(id).wipe();
  cluster.node(id).start();
}

describe('a voter whose folder is gone after its peers were restarted', () => {
  for (const [behind, victim] of [
    [2, 3],
    [1, 2],
    [3, 1],
  ] as const)
    test(`is refused in whatever order the nodes come back: node ${victim}, while node ${behind} is behind`, async () => {
      const last = 6 - behind - victim;
      for (const order of permutations([1, 2, 3])) {
        const cluster = await stopped(behind);
        cluster.node(victim).lose('folder');
        for (const id of order.filter((each) => each !== last)) {
          cluster.node(id).start();
          await cluster.simulation.runFor(200);
        }
        await cluster.simulation.runFor(3_000);
        assert.equal(cluster.leaderOf(groupId(1)), undefined, 'nobody leads before the last one is back');
        assert.equal(cluster.node(victim).endedWith, 'NODE_CHANGED');
        cluster.node(last).start();
        await cluster.until('the others are ready', () =>
          [behind, last].every((id) => cluster.node(id).process?.node.readiness().ready === true),
        );
        for (const id of [behind, last]) await findAll(cluster, id);
      }
    });

  test('waits as long as nobody is there to ask, and says whom it waits for', async () => {
    const cluster = await stopped(2);
    cluster.node(3).lose('folder');
    cluster.node(3).start();
    await cluster.simulation.runFor(5_000);
    const { ready, reason } = cluster.running(3).readiness();
    assert.equal(ready, false);
    assert.match(reason, /not founded here yet, since nodes 1 and 2 did not answer/);
    assert.deepEqual(cluster.running(3).status().groups, []);
    await assert.rejects(cluster.command(3, 'get', 'before'), /CLUSTERDOWN the cluster is not founded here yet/);
    cluster.node(1).start();
    await cluster.until('it hears of itself', () => cluster.node(3).endedWith === 'NODE_CHANGED');
  });

  test('is refused by peers of which two were never met, when it is one of five', async () => {
    const cluster = new SimulatedNodes(5, 1, 9);
    for (const id of [1, 2, 3, 4]) cluster.node(id).start();
    await cluster.until('four of five begin', () => cluster.leaderOf(groupId(1)) !== undefined);
    for (const key of ['before', ...ACKNOWLEDGED])
      await cluster.command(1, 'set', key, key === 'before' ? 'yes' : 'acknowledged');
    for (const id of [1, 2, 3, 4]) cluster.node(id).crash(true);
    cluster.node(4).lose('folder');
    for (const id of [4, 5]) cluster.node(id).start();
    await cluster.simulation.runFor(3_000);
    assert.deepEqual(cluster.running(4).status().groups, [], 'two new ones do not make a cluster');
    cluster.node(1).start();
    await cluster.until('one who knows is enough', () => cluster.node(4).endedWith === 'NODE_CHANGED');
    for (const id of [2, 3]) cluster.node(id).start();
    await cluster.until('the others are ready', () =>
      [1, 2, 3].every((id) => cluster.node(id).process?.node.readiness().ready === true),
    );
    await findAll(cluster, 2);
  });

  test('is taken back under its id once its old folder was removed, also by a node that was down meanwhile', async () => {
    const ONE = groupId(1);
    const cluster = new SimulatedNodes(5, 1, 13);
    cluster.start();
    await cluster.ready();
    await cluster.known();
    await cluster.command(1, 'set', 'before', 'yes');
    for (const key of ACKNOWLEDGED) await cluster.command(1, 'set', key, 'acknowledged');
    const change = async (kind: 'remove' | 'addLearner' | 'addVoter'): Promise<void> => {
      const raft = cluster.node(cluster.leaderOf(ONE)!).raft(ONE)!;
      await cluster.run(raft.changeMembership([{ kind, nodeId: nodeId(3) }], Buffer.alloc(0)));
    };
    cluster.node(5).crash(true);
    const old = cluster.node(3).folder;
    cluster.node(3).lose('folder');
    cluster.node(3).start();
    await cluster.until('it has ended', () => cluster.node(3).endedWith !== undefined);
    await cluster.until('the others lead', () => cluster.leaderOf(ONE) !== undefined);
    await change('remove');
    await replace(cluster, 1, 3, old);
    await change('addLearner');
    await cluster.until('it has caught up', () => {
      const { progress, commitIndex } = cluster.node(cluster.leaderOf(ONE)!).raft(ONE)!.status();
      return progress.some((peer) => peer.nodeId === nodeId(3) && peer.matchIndex >= commitIndex);
    });
    await change('addVoter');
    const leader = cluster.node(cluster.leaderOf(ONE)!).raft(ONE)!;
    await cluster.run(leader.transferLeadership(nodeId(3)));
    await cluster.until('it leads', () => cluster.leaderOf(ONE) === 3);
    cluster.node(5).start();
    await cluster.ready();
    await findAll(cluster, 5);
  });

  test('may wait when it joins, until its old folder is removed', async () => {
    const cluster = await stopped(2);
    for (const id of [1, 2]) cluster.node(id).start();
    const old = cluster.node(3).wipe();
    cluster.node(3).start();
    await cluster.until('the others lead', () => cluster.leaderOf(groupId(1)) !== undefined);
    await cluster.simulation.runFor(3_000);
    assert.match(cluster.running(3).readiness().reason, /another data folder under the same id.*raftadmin replace 3 3/);
    await assert.rejects(cluster.command(3, 'get', 'before'), /CLUSTERDOWN node 3 comes with data folder/);
    await cluster.run(
      cluster.running(1).catalog.run({ kind: 'removeNode', nodeId: nodeId(3), incarnation: old }, 10_000),
    );
    await cluster.until('it knows the directory', () => cluster.running(3).routes.current.version > 0);
    await findAll(cluster, 3);
  });

  test('ends when it was removed while it was down, and says so', async () => {
    const cluster = await stopped(2);
    cluster.node(1).start();
    cluster.node(2).start();
    await cluster.until('the others lead', () => cluster.leaderOf(groupId(1)) !== undefined);
    const { catalog, admin } = cluster.running(1);
    const incarnation = cluster.node(3).folder;
    await cluster.run(catalog.run({ kind: 'removeNode', nodeId: nodeId(3), incarnation }, 10_000));
    await cluster.run(admin.removeMember(groupId(1), nodeId(3), 10_000));
    await cluster.simulation.runFor(3_000);
    const ends: string[] = [];
    cluster.onViolation = ({ message }) => ends.push(message);
    cluster.node(3).start();
    await cluster.until('it ends', () => ends.length > 0);
    assert.match(ends[0]!, /NODE_REMOVED|removed from the cluster/);
  });
});

describe('a node whose log is gone', () => {
  for (const loss of ['log', 'segments'] as const)
    test(`does not start, and the others have everything: ${loss}`, async () => {
      const cluster = await stopped(3);
      cluster.node(1).lose(loss);
      for (const id of [1, 3]) cluster.node(id).start();
      await cluster.simulation.runFor(3_000);
      assert.equal(cluster.node(1).endedWith, 'LOG_MISSING');
      assert.equal(cluster.leaderOf(groupId(1)), undefined);
      cluster.node(2).start();
      await cluster.until('the others are ready', () =>
        [2, 3].every((id) => cluster.node(id).process?.node.readiness().ready === true),
      );
      await findAll(cluster, 3);
    });
});

describe('a first start', () => {
  test('works in whatever order the nodes come, and however late', async () => {
    for (const order of permutations([1, 2, 3])) {
      const cluster = new SimulatedNodes(3, 2, 11);
      for (const id of order) {
        assert.equal(cluster.leaderOf(groupId(1)), undefined);
        cluster.node(id).start();
        await cluster.simulation.runFor(1_500);
      }
      await cluster.ready();
      assert.equal(await cluster.command(order[0]!, 'set', 'k', 'v'), 'OK');
    }
  });

  test('survives that its founders die at any moment of it, with power or without', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const cluster = new SimulatedNodes(3, 2, seed);
      const random = new SeededRandom(seed);
      cluster.start();
      for (let round = 0; round < 3; round++) {
        await cluster.simulation.runFor(random.next() * 25);
        for (const node of cluster.nodes) if (random.next() < 0.5) node.crash(random.next() < 0.7);
        await cluster.simulation.runFor(random.next() * 10);
        cluster.start();
      }
      await cluster.ready();
      assert.equal(await cluster.command(1, 'set', 'k', 'v'), 'OK', `seed ${seed}`);
    }
  });

  test('begins with as many founders as could not have decided without each other', () => {
    assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(acceptancesNeeded), [0, 1, 2, 2, 3, 4, 5]);
    for (let founders = 1; founders <= 25; founders++) {
      const others = founders - 1;
      const needed = acceptancesNeeded(founders);
      const shared = 2 * needed - others;
      assert.ok(needed <= others && shared >= Math.floor(others / 2), `${founders} founders`);
    }
  });

  test('begins without a founder who is late, where there are five', async () => {
    const cluster = new SimulatedNodes(5, 1, 3);
    for (const id of [1, 2, 3]) cluster.node(id).start();
    await cluster.simulation.runFor(3_000);
    assert.equal(cluster.leaderOf(groupId(1)), undefined, 'three of five are too few');
    cluster.node(4).start();
    await cluster.until('four of five begin', () => cluster.leaderOf(groupId(1)) !== undefined);
    cluster.node(5).start();
    await cluster.ready();
  });
});
