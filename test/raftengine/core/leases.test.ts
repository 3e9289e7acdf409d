/** Who may use a lease, and what keeps everybody else from leading meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId } from '../../../src/platform/index.ts';
import { simpleConf } from '../../../src/raftengine/core/conf-changer.ts';
import type { ConfChangeStep } from '../../../src/raftengine/core/types.ts';
import { CoreCluster } from './cluster.ts';

const change = (kind: ConfChangeStep['kind'], ...ids: number[]) => ({
  steps: ids.map((id) => ({ kind, nodeId: nodeId(id) })),
  context: Buffer.alloc(0),
});

/** While somebody holds a lease nobody leads a later term. */
function assertOneAuthority(cluster: CoreCluster): void {
  for (const id of cluster.nodes.keys()) {
    const { term } = cluster.core(id);
    if (!cluster.core(id).holdsLease(cluster.nowMs)) continue;
    for (const other of cluster.leaders()) {
      assert.ok(
        cluster.core(other).term <= term,
        `node ${id} holds a lease of term ${term}, node ${other} leads a later`,
      );
    }
  }
}

test('a lease does not rest on a founder whose first term is not stable: it forgets the term, and its promise, in a crash', () => {
  const cluster = new CoreCluster([1, 2, 3]);
  cluster.node(3).diskAnswers = false;
  cluster.elect(1);
  cluster.cut(1, 2);
  cluster.tick(8);
  assert.deepEqual([cluster.core(1).role, cluster.core(3).leader], ['leader', 1], 'node 3 answers, so node 1 leads on');
  assert.equal(cluster.core(1).holdsLease(cluster.nowMs), false);
  assert.equal(cluster.node(3).hardState.term, 0);
  cluster.node(3).loseUnstable();
  cluster.node(3).diskAnswers = true;
  cluster.restart(3);
  cluster.cut(1, 3);
  for (let ticks = 0; cluster.core(2).role !== 'leader'; ticks++) {
    assert.ok(ticks < 40, 'node 2 is elected in the end');
    cluster.tick(1);
    assertOneAuthority(cluster);
  }
});

test('a lease rests on a founder as soon as its first term is stable', () => {
  const cluster = new CoreCluster([1, 2, 3]);
  cluster.node(3).diskAnswers = false;
  cluster.elect(1);
  cluster.cut(1, 2);
  cluster.tick(8);
  cluster.wire.push(...cluster.node(3).finishWrites());
  cluster.node(3).diskAnswers = true;
  cluster.settle().tick(1);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
});

test('a restored node promises something as soon as the snapshot and the term that it came in are stable', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.write(1, 'x').write(1, 'y');
  cluster.node(1).log.truncatePrefix(cluster.core(1).appliedIndex);
  cluster.add(4);
  const echoes: number[] = [];
  cluster.lose = (message) => {
    if (message.kind === 'heartbeatResponse' && message.from === 4) echoes.push(message.sentAtMs);
    // No entry of the term comes after the snapshot.
    return message.kind === 'append' && message.to === 4 && cluster.core(4).appliedIndex > 0;
  };
  cluster.core(1).proposeConfChange(change('addLearner', 4), cluster.nowMs);
  cluster.settle().tick(3);
  assert.deepEqual(cluster.core(4).conf.learners, [4]);
  assert.ok(echoes.at(-1)! > 0, `${echoes}`);
});

test('a node that was the only voter once keeps the boot embargo when its store is of that time', () => {
  const cluster = new CoreCluster([1]);
  cluster.elect(1);
  const stored = cluster.node(1).appliedMeta;
  for (const id of [2, 3]) cluster.add(id);
  for (const kind of ['addLearner', 'addVoter'] as const) {
    for (const id of [2, 3]) {
      cluster.core(1).proposeConfChange(change(kind, id), cluster.nowMs);
      cluster.settle().tick(3);
    }
  }
  cluster.write(1, 'x');
  assert.deepEqual(cluster.core(2).conf, simpleConf([1, 2, 3].map(nodeId)));
  // Node 1 steps down. Then 1 and 3 stand for the same term, each with its own vote, and 3 gets that of 2.
  cluster.isolate(1);
  cluster.tick(25, [1]);
  cluster.heal();
  cluster.nowMs += 3000;
  for (const id of [1, 3]) cluster.core(id).campaign(cluster.nowMs);
  cluster.lose = (message) => message.kind === 'vote' && message.from === 1 && message.to === 2;
  cluster.settle().tick(2);
  cluster.lose = () => false;
  assert.deepEqual([cluster.core(3).role, cluster.core(1).leader], ['leader', 3]);
  assert.deepEqual([cluster.node(1).hardState.vote, cluster.node(1).hardState.term], [1, cluster.core(3).term]);
  cluster.isolate(2);
  cluster.tick(9);
  assert.ok(cluster.core(3).holdsLease(cluster.nowMs), 'the lease rests on node 1');
  cluster.node(1).returnTo(stored);
  cluster.restart(1);
  cluster.heal();
  cluster.isolate(3);
  cluster.tick(2);
  cluster.core(2).campaign(cluster.nowMs);
  cluster.settle();
  assertOneAuthority(cluster);
  cluster.tick(30, [1, 2]);
  assert.equal(cluster.leaders().filter((id) => id !== 3).length, 1);
});

test('a node that was the only voter all the time leads again at the first tick after a restart', () => {
  const cluster = new CoreCluster([1], [2]).tick(1);
  cluster.write(1, 'x');
  cluster.node(1).returnTo({ index: 0, term: 0, conf: cluster.core(1).conf });
  cluster.restart(1);
  cluster.tick(1);
  assert.equal(cluster.core(1).role, 'leader');
});

test('a node that becomes the only voter waits for the leader that removed the others, whose lease may go on', () => {
  const cluster = new CoreCluster([1, 2]).elect(1).tick(2);
  cluster.node(1).applies = false;
  cluster.core(1).proposeConfChange(change('remove', 1), cluster.nowMs);
  cluster.settle().tick(1);
  assert.deepEqual([cluster.core(1).conf.voters, cluster.core(2).conf.voters], [[1, 2], [2]]);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs), 'it has not applied its own removal yet');
  cluster.isolate(1);
  for (let ticks = 0; cluster.core(2).role !== 'leader'; ticks++) {
    assert.ok(ticks < 11, 'no longer than E');
    cluster.tick(1);
    assertOneAuthority(cluster);
  }
});

test('a leader that becomes the only voter has a lease from then on, though nobody answers it any more', () => {
  const cluster = new CoreCluster([1, 2]).elect(1).tick(2);
  cluster.core(1).proposeConfChange(change('remove', 2), cluster.nowMs);
  cluster.settle();
  assert.deepEqual(cluster.core(1).conf.voters, [1]);
  cluster.tick(30);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
});

test('what waited for the only other voter is committed and answered when that one is removed', () => {
  const cluster = new CoreCluster([1, 2]).elect(1).tick(2);
  cluster.lose = (message) => message.kind === 'heartbeatResponse';
  cluster.core(1).readIndex(7, cluster.nowMs);
  cluster.settle();
  cluster.core(1).proposeConfChange(change('remove', 2), cluster.nowMs);
  cluster.collect();
  cluster.propose(1, 'behind');
  const { lastIndex } = cluster.core(1);
  cluster.lose = (message) =>
    message.kind === 'heartbeatResponse' || (message.kind === 'append' && message.entries.at(-1)?.index === lastIndex);
  cluster.settle();
  assert.deepEqual(cluster.node(1).texts(), ['behind']);
  assert.deepEqual(
    cluster.node(1).readStates.map((read) => read.requestId),
    [7],
  );
});

test('a lease may rest on a follower that was started again, before it has stored anything new', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1).tick(2);
  cluster.restart(2);
  cluster.isolate(3);
  cluster.tick(9);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
});

test('a lease of before a stall is not used after it: only a round that was sent since counts', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
  cluster.core(1).skipElectionRound();
  assert.equal(cluster.core(1).holdsLease(cluster.nowMs), false);
  cluster.isolate(1);
  cluster.tick(2);
  assert.equal(cluster.core(1).holdsLease(cluster.nowMs), false);
  cluster.heal();
  cluster.tick(1);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
});

test('a leader that is removed gives up its reads, also those whose round the others still answer', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1).tick(2);
  cluster.lose = (message) => message.kind === 'heartbeatResponse';
  cluster.core(1).readIndex(7, cluster.nowMs);
  cluster.settle();
  cluster.core(1).proposeConfChange(change('remove', 1), cluster.nowMs);
  // Node 3 does not get the removal, so node 1 stays to tell it.
  cluster.lose = (message) => message.kind === 'heartbeatResponse' || (message.kind === 'append' && message.to === 3);
  cluster.settle();
  cluster.lose = (message) => message.kind === 'append' && message.to === 3;
  cluster.tick(3);
  assert.deepEqual([cluster.core(1).role, cluster.core(1).conf.voters], ['leader', [2, 3]]);
  assert.deepEqual(cluster.node(1).abortedReads, [7]);
  assert.deepEqual(cluster.node(1).readStates, []);
  assert.equal(cluster.core(1).holdsLease(cluster.nowMs), false);
});
