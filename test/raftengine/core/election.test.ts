import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoreCluster, TEST_CONFIG } from './cluster.ts';

test('three fresh nodes elect one leader within two election timeouts and replicate its no-op', () => {
  const cluster = new CoreCluster([1, 2, 3]);
  cluster.tick(30);
  const [leader] = cluster.leaders();
  assert.equal(cluster.leaders().length, 1);
  for (const node of cluster.nodes.values()) {
    assert.equal(node.core.leader, leader);
    assert.equal(node.applied.length, 1);
    assert.equal(node.applied[0]!.payload.length, 0);
  }
});

test('a proposal is applied by every node, in order', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  for (const text of ['a', 'b', 'c']) cluster.propose(1, text);
  cluster.settle().tick(2);
  for (const node of cluster.nodes.values()) assert.deepEqual(node.texts(), ['a', 'b', 'c']);
});

test('a single voter elects itself at its first tick', () => {
  const cluster = new CoreCluster([1]).tick(1);
  assert.deepEqual(cluster.leaders(), [1]);
  cluster.write(1, 'x');
  assert.deepEqual(cluster.node(1).texts(), ['x']);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
});

/** Who leads after node 1 fell silent, in clusters whose nodes draw other timeouts each time. */
function successors(heldBackTicks: number, ticks: number, isAlone: boolean): Set<number> {
  const found = new Set<number>();
  for (let trial = 0; trial < 12; trial++) {
    const cluster = new CoreCluster([1, 2, 3]).elect(1);
    for (let restart = 0; restart < trial; restart++) for (const id of [2, 3]) cluster.restart(id);
    cluster.tick(1);
    cluster.node(2).heldBackTicks = heldBackTicks;
    if (isAlone) cluster.node(3).heldBackTicks = 10_000;
    cluster.isolate(1);
    cluster.tick(ticks);
    for (const id of cluster.leaders()) if (id !== 1) found.add(id);
  }
  return found;
}

test('a node that holds back lets others stand for election first, and stands itself when nobody does', () => {
  const { electionTimeoutTicks } = TEST_CONFIG;
  assert.deepEqual([...successors(0, 4 * electionTimeoutTicks, false)].sort(), [2, 3]);
  assert.deepEqual([...successors(4 * electionTimeoutTicks, 4 * electionTimeoutTicks, false)], [3]);
  assert.deepEqual([...successors(4 * electionTimeoutTicks, 4 * electionTimeoutTicks, true)], []);
  assert.deepEqual([...successors(4 * electionTimeoutTicks, 8 * electionTimeoutTicks, true)], [2]);
});
