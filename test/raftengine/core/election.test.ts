import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestCluster } from './cluster.ts';

test('three fresh nodes elect one leader within two election timeouts and replicate its no-op', () => {
  const cluster = new TestCluster([1, 2, 3]);
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
  const cluster = new TestCluster([1, 2, 3]).elect(1);
  for (const text of ['a', 'b', 'c']) cluster.propose(1, text);
  cluster.settle().tick(2);
  for (const node of cluster.nodes.values()) assert.deepEqual(node.texts(), ['a', 'b', 'c']);
});

test('a single voter elects itself at its first tick', () => {
  const cluster = new TestCluster([1]).tick(1);
  assert.deepEqual(cluster.leaders(), [1]);
  cluster.write(1, 'x');
  assert.deepEqual(cluster.node(1).texts(), ['x']);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
});
