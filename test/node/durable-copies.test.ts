/** What WAIT may say of writes that were acknowledged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quorumReplicas } from '../../src/node/durable-copies.ts';
import { nodeId } from '../../src/platform/index.ts';

const nodes = (count: number) => Array.from({ length: count }, (_, at) => nodeId(at + 1));
const group = (voters: number, outgoing = 0) => ({
  status: () => ({ conf: { voters: nodes(voters), votersOutgoing: nodes(outgoing) } }),
});
const founded = (...counts: number[]) => ({ groups: counts.map((count) => ({ voters: nodes(count) })) });

test('every write is on as many replicas beside the leader as the group with the fewest voters promises', () => {
  assert.equal(quorumReplicas([], founded(1)), 0);
  assert.equal(quorumReplicas([group(3), group(5)], founded(3, 5)), 1);
  assert.equal(quorumReplicas([group(5)], founded(5)), 2);
});

test('a group that has fewer voters than at first promises less, also while it changes', () => {
  assert.equal(quorumReplicas([group(3)], founded(5)), 1);
  assert.equal(quorumReplicas([group(5, 3)], founded(5)), 1);
  assert.equal(quorumReplicas([group(5)], founded(3)), 1);
});
