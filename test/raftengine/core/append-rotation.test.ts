import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId } from '../../../src/platform/index.ts';
import { CoreCluster } from './cluster.ts';

/** A leader 1 whose followers have answered everything. */
function busyCluster(voters: number[], rotatesAppends = true): CoreCluster {
  return new CoreCluster(voters, [], { rotatesAppends }).elect(1).tick(2);
}

/** Proposes on node 1 and delivers. @returns what left with it at once, as `receiver:texts` */
function round(cluster: CoreCluster, text: string): string[] {
  cluster.propose(1, text);
  const sent: string[] = [];
  for (const message of cluster.collect()) {
    if (message.kind !== 'append') continue;
    sent.push(`${message.to}:${message.entries.map(({ payload }) => payload.toString()).join('+')}`);
  }
  cluster.settle();
  return sent;
}

test('two followers take appends in turn, each two of them at a time', () => {
  const cluster = busyCluster([1, 2, 3]);
  assert.deepEqual(round(cluster, 'first'), ['3:first']);
  assert.deepEqual(round(cluster, 'second'), ['2:first+second']);
  assert.deepEqual(round(cluster, 'third'), ['3:second+third']);
  assert.deepEqual(cluster.node(1).texts(), ['first', 'second', 'third'], 'all of it is committed');
});

test('every append goes to a quorum of five at once', () => {
  const cluster = busyCluster([1, 2, 3, 4, 5]);
  for (const text of ['first', 'second', 'third', 'fourth']) assert.equal(round(cluster, text).length, 2);
  assert.deepEqual(cluster.node(1).texts(), ['first', 'second', 'third', 'fourth']);
});

test('whoever was left out gets the rest with the next tick', () => {
  const cluster = busyCluster([1, 2, 3]);
  round(cluster, 'first');
  assert.deepEqual(cluster.node(2).texts(), []);
  cluster.tick(2);
  for (const id of [2, 3]) assert.deepEqual(cluster.node(id).texts(), ['first']);
});

test('a follower that does not answer holds up a commit for a tick, and nothing after it', () => {
  const cluster = busyCluster([1, 2, 3]);
  cluster.cut(1, 3);
  round(cluster, 'first');
  assert.deepEqual(cluster.node(1).texts(), [], 'it went to node 3 alone');
  cluster.tick(1);
  assert.deepEqual(cluster.node(1).texts(), ['first']);
  cluster.tick(1);
  for (const text of ['second', 'third', 'fourth']) {
    assert.ok(round(cluster, text).some((sent) => sent.startsWith('2:')));
    assert.equal(cluster.node(1).texts().at(-1), text);
  }
});

test('nobody is left out while the followers answer before the leader’s own disk, and somebody is again when it is quick', () => {
  const cluster = busyCluster([1, 2, 3]);
  const leader = cluster.node(1);
  leader.diskAnswers = false;
  round(cluster, 'first');
  round(cluster, 'second');
  cluster.tick(1);
  assert.equal(round(cluster, 'third').length, 2);
  assert.deepEqual(leader.texts(), ['first', 'second', 'third'], 'all of it is committed without the own disk');
  leader.diskAnswers = true;
  leader.finishWrites();
  for (const text of ['fourth', 'fifth']) round(cluster, text);
  cluster.tick(2);
  assert.equal(round(cluster, 'sixth').length, 1);
});

test('appends go to every follower when the rotation is off', () => {
  assert.deepEqual(round(busyCluster([1, 2, 3], false), 'first'), ['2:first', '3:first']);
});

test('learners are not left out, and do not stand in for a voter that is', () => {
  const cluster = new CoreCluster([1, 2, 3], [4], { rotatesAppends: true }).elect(1).tick(2);
  assert.deepEqual(round(cluster, 'first'), ['3:first', '4:first']);
  assert.deepEqual(round(cluster, 'second'), ['2:first+second', '4:second']);
});

test('whoever is to lead next gets what it was left out of at once', () => {
  const cluster = busyCluster([1, 2, 3]);
  round(cluster, 'first');
  cluster.core(1).transferLeadership(nodeId(2), cluster.nowMs);
  cluster.settle();
  assert.deepEqual(cluster.leaders(), [2]);
});

test('a follower with the longer log campaigns when it is asked for a pre-vote by one with the shorter', () => {
  const cluster = busyCluster([1, 2, 3]);
  round(cluster, 'first');
  cluster.isolate(1);
  cluster.nowMs += 2000;
  cluster.core(2).campaign(cluster.nowMs);
  cluster.settle();
  assert.deepEqual(cluster.leaders().toSorted(), [1, 3], 'node 2 lacks the last entry and cannot win');
  assert.deepEqual(cluster.node(3).texts(), ['first']);
});
