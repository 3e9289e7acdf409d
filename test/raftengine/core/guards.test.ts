import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId } from '../../../src/platform/index.ts';
import { ConfChangeRefusedError, TransferRefusedError } from '../../../src/raftengine/core/errors.ts';
import type { Message } from '../../../src/raftengine/core/types.ts';
import { CoreCluster } from './cluster.ts';

const add = (kind: 'addVoter' | 'addLearner' | 'remove', id: number) => ({ kind, nodeId: nodeId(id) });
const change = (...steps: ReturnType<typeof add>[]) => ({ steps, context: Buffer.alloc(0) });

test('T6: a leader that ordered a transfer answers no read from its lease, though its acknowledgements are young', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  assert.ok(cluster.core(1).holdsLease(cluster.nowMs));
  cluster.isolate(1);
  cluster.core(1).transferLeadership(nodeId(2), cluster.nowMs);
  const order = cluster
    .node(1)
    .drain()
    .find((message) => message.kind === 'timeoutNow')!;
  cluster.deliver(order);
  cluster.settle();
  assert.equal(cluster.core(2).role, 'leader');
  assert.equal(cluster.core(1).role, 'leader');
  assert.equal(cluster.core(1).holdsLease(cluster.nowMs), false);
});

test('T7: a new leader holds no lease and confirms no read before an entry of its own term is committed', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.lose = (message) => message.kind === 'append';
  cluster.nowMs += 5000;
  cluster.core(2).campaign(cluster.nowMs);
  cluster.settle();
  assert.equal(cluster.core(2).role, 'leader');
  cluster.core(2).readIndex(7, cluster.nowMs);
  cluster.tick(2);
  assert.equal(cluster.core(2).holdsLease(cluster.nowMs), false);
  assert.deepEqual(cluster.node(2).readStates, []);
  cluster.lose = () => false;
  cluster.tick(3);
  assert.ok(cluster.core(2).holdsLease(cluster.nowMs));
  assert.deepEqual(
    cluster.node(2).readStates.map((read) => read.requestId),
    [7],
  );
});

test('T8: a restarted voter elects nobody for E, because a lease may rest on what it forgot', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.cut(1, 3);
  cluster.nowMs += 100;
  cluster.restart(2);
  const ask = (kind: 'vote' | 'preVote'): Message => ({
    kind,
    groupId: cluster.node(2).config.groupId,
    from: nodeId(3),
    to: nodeId(2),
    term: 9,
    lastIndex: 99,
    lastTerm: 8,
    transfer: false,
  });
  cluster.core(2).step(ask('preVote'), cluster.nowMs);
  cluster.core(2).step(ask('vote'), cluster.nowMs);
  assert.deepEqual(cluster.node(2).drain(), []);
  assert.equal(cluster.core(2).term, 1);
  cluster.core(2).step(ask('vote'), cluster.nowMs + 1000);
  assert.equal(cluster.core(2).term, 9);
});

test('a node that cannot reach a quorum never raises its term', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.isolate(3);
  cluster.tick(100);
  assert.equal(cluster.core(3).term, 1);
  cluster.heal();
  cluster.tick(5);
  assert.equal(cluster.core(1).role, 'leader');
});

test('figure 8: an entry of an earlier term is not committed by counting its copies', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.lose = (message) => message.kind === 'append';
  cluster.propose(1, 'old');
  cluster.settle();
  cluster.cut(1, 2);
  cluster.lose = () => false;
  cluster.cut(2, 3);
  cluster.restart(1);
  cluster.cut(1, 3);
  cluster.heal();
  // Only the entry of the earlier term reaches a quorum, never the no-op.
  cluster.lose = (message) => message.kind === 'append' && message.entries.some((entry) => entry.term > 1);
  cluster.nowMs += 5000;
  cluster.core(1).campaign(cluster.nowMs);
  cluster.settle();
  const { term, commitIndex, lastIndex } = cluster.core(1);
  assert.ok(term > 1 && lastIndex > commitIndex);
  cluster.core(1).step(
    {
      kind: 'appendResponse',
      groupId: cluster.node(1).config.groupId,
      from: nodeId(2),
      to: nodeId(1),
      term,
      index: lastIndex - 1,
      reject: false,
      hintIndex: 0,
      hintTerm: 0,
      sentAtMs: 0,
    },
    cluster.nowMs,
  );
  assert.equal(cluster.core(1).commitIndex, commitIndex);
});

test('a vote, a request to vote and an acknowledgement leave only after the disk answered', () => {
  const cluster = new CoreCluster([1, 2, 3]);
  cluster.node(1).diskAnswers = false;
  cluster.nowMs += 5000;
  cluster.core(1).campaign(cluster.nowMs);
  cluster.settle();
  assert.equal(cluster.core(1).role, 'candidate');
  assert.equal(cluster.core(2).term, 0);
  cluster.node(2).diskAnswers = false;
  cluster.isolate(3);
  cluster.wire.push(...cluster.node(1).finishWrites());
  cluster.node(1).diskAnswers = true;
  cluster.settle();
  assert.equal(cluster.core(2).term, 1);
  assert.equal(cluster.core(1).role, 'candidate');
  cluster.wire.push(...cluster.node(2).finishWrites());
  cluster.settle();
  assert.equal(cluster.core(1).role, 'leader');
  cluster.propose(1, 'x');
  cluster.settle();
  assert.equal(cluster.core(1).commitIndex, 0);
});

test('the first appends of a term wait for the leader’s own disk', () => {
  const cluster = new CoreCluster([1], [2]);
  cluster.node(1).diskAnswers = false;
  cluster.tick(1);
  assert.equal(cluster.core(1).role, 'leader');
  assert.equal(cluster.core(2).lastIndex, 0);
});

test('what the followers hold is applied before the leader’s own disk has it, and the next leader has it when that one loses it', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  const leader = cluster.node(1);
  const { appliedMeta } = leader;
  leader.diskAnswers = false;
  cluster.propose(1, 'x');
  cluster.settle();
  assert.deepEqual(leader.texts(), ['x']);
  assert.equal(cluster.core(1).appliedTo(leader.appliedMeta.index), appliedMeta.index, 'it is not stable here');
  cluster.isolate(1);
  cluster.nowMs += 5000;
  cluster.core(2).campaign(cluster.nowMs);
  cluster.settle();
  assert.deepEqual(cluster.node(2).texts(), ['x']);
  leader.loseUnstable();
  leader.start(cluster.nowMs);
  leader.diskAnswers = true;
  cluster.heal();
  cluster.tick(1);
  assert.deepEqual(leader.texts(), ['x']);
});

test('one membership change at a time, also one that an earlier leader left behind', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.node(1).applies = false;
  cluster.core(1).proposeConfChange(change(add('addLearner', 4)), cluster.nowMs);
  assert.throws(
    () => cluster.core(1).proposeConfChange(change(add('addLearner', 5)), cluster.nowMs),
    (error: unknown) => error instanceof ConfChangeRefusedError && error.reason === 'pending',
  );
  assert.throws(() => cluster.core(1).transferLeadership(nodeId(2), cluster.nowMs), TransferRefusedError);
  cluster.settle();
  cluster.node(2).applies = false;
  cluster.nowMs += 5000;
  cluster.core(1).skipElectionRound();
  cluster.core(2).campaign(cluster.nowMs);
  cluster.settle();
  if (cluster.core(2).role === 'leader') {
    assert.throws(
      () => cluster.core(2).proposeConfChange(change(add('addLearner', 5)), cluster.nowMs),
      ConfChangeRefusedError,
    );
  }
});

test('a node that knows of a committed membership change that it did not apply does not campaign', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.node(2).applies = false;
  cluster.core(1).proposeConfChange(change(add('remove', 3)), cluster.nowMs);
  cluster.settle().tick(2);
  cluster.isolate(1);
  cluster.nowMs += 5000;
  cluster.core(2).campaign(cluster.nowMs);
  assert.equal(cluster.core(2).role, 'follower');
});

test('a learner replicates, counts in no quorum, and votes once it is promoted', () => {
  const cluster = new CoreCluster([1, 2]).elect(1);
  cluster.add(3);
  cluster.core(1).proposeConfChange(change(add('addLearner', 3)), cluster.nowMs);
  cluster.settle().tick(4);
  cluster.write(1, 'x');
  assert.ok(cluster.core(3).appliedIndex > 0);
  cluster.isolate(2);
  const { index } = cluster.propose(1, 'y');
  cluster.settle();
  assert.ok(cluster.core(1).commitIndex < index);
  cluster.heal();
  cluster.tick(3);
  cluster.core(1).proposeConfChange(change(add('addVoter', 3)), cluster.nowMs);
  cluster.settle().tick(3);
  assert.deepEqual(cluster.core(2).conf.voters, [1, 2, 3]);
});

test('a member that was removed and comes back empty is not promoted for what it held before', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.write(1, 'x').tick(1);
  cluster.core(1).proposeConfChange(change(add('remove', 3)), cluster.nowMs);
  cluster.settle().tick(1);
  cluster.add(3);
  cluster.isolate(3);
  cluster.core(1).proposeConfChange(change(add('addLearner', 3)), cluster.nowMs);
  cluster.settle();
  assert.deepEqual(cluster.core(1).conf.learners, [3]);
  assert.throws(
    () => cluster.core(1).proposeConfChange(change(add('addVoter', 3)), cluster.nowMs),
    (error: unknown) => error instanceof ConfChangeRefusedError && error.reason === 'lagging',
  );
  cluster.heal();
  cluster.tick(4);
  cluster.core(1).proposeConfChange(change(add('addVoter', 3)), cluster.nowMs);
  cluster.settle().tick(2);
  assert.deepEqual(cluster.core(3).conf.voters, [1, 2, 3]);
});

test('a stranger and a lagging learner are not promoted', () => {
  const cluster = new CoreCluster([1, 2], [3]).elect(1);
  const reasonOf = (id: number) => {
    try {
      cluster.core(1).proposeConfChange(change(add('addVoter', id)), cluster.nowMs);
    } catch (error) {
      return (error as ConfChangeRefusedError).reason;
    }
    return undefined;
  };
  assert.equal(reasonOf(4), 'invalid');
  cluster.isolate(3);
  for (let count = 0; count < 6; count++) cluster.write(1, 'x');
  assert.equal(reasonOf(3), 'lagging');
});

test('several voters change through a joint configuration that is left by itself', () => {
  const cluster = new CoreCluster([1, 2, 3], [4]).elect(1);
  cluster.tick(2);
  cluster.core(1).proposeConfChange(change(add('addVoter', 4), add('remove', 3)), cluster.nowMs);
  cluster.settle().tick(4);
  assert.deepEqual(cluster.core(1).conf.voters, [1, 2, 4]);
  assert.deepEqual(cluster.core(4).conf.votersOutgoing, []);
});

test('a leader that is removed steps down when its removal is applied', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.core(1).proposeConfChange(change(add('remove', 1)), cluster.nowMs);
  cluster.settle();
  assert.equal(cluster.core(1).role, 'follower');
  cluster.tick(40);
  assert.ok(cluster.leaders().every((id) => id !== 1) && cluster.leaders().length === 1);
});

test('a voter that never heard that the leader was removed learns it from the vote that the removed one refuses', () => {
  const cluster = new CoreCluster([1, 2]).elect(2).tick(2);
  const { index: removal } = cluster.core(2).proposeConfChange(change(add('remove', 2)), cluster.nowMs);
  cluster.collect();
  // Node 1 stores the removal and no more, and never hears that it is committed; its leader's log is longer.
  cluster.propose(2, 'never committed');
  cluster.lose = (message) =>
    (message.kind === 'append' || message.kind === 'heartbeat') &&
    (message.commitIndex >= removal || (message.kind === 'append' && message.prevIndex >= removal));
  cluster.settle();
  assert.deepEqual([cluster.core(2).conf.voters, cluster.core(1).conf.voters], [[1], [1, 2]]);
  cluster.restart(2);
  cluster.lose = () => false;
  cluster.tick(60);
  assert.deepEqual([cluster.leaders(), cluster.core(1).conf.voters], [[1], [1]]);
  cluster.write(1, 'served');
  assert.deepEqual(cluster.node(1).texts(), ['served']);
});

test('a candidate that learns from an answer that members have changed counts no more votes of the old ones', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(3).tick(2);
  const { index: removal, term } = cluster.core(3).proposeConfChange(change(add('remove', 2)), cluster.nowMs);
  cluster.lose = (message) =>
    message.kind === 'heartbeat' || (message.kind === 'append' && message.commitIndex >= removal);
  cluster.settle();
  assert.deepEqual(cluster.core(1).conf.voters, [1, 2, 3]);
  cluster.isolate(3);
  cluster.nowMs += 5000;
  cluster.core(1).campaign(cluster.nowMs);
  const envelope = { groupId: cluster.node(1).config.groupId, to: nodeId(1), term: term + 1 };
  const answer = { ...envelope, kind: 'preVoteResponse' as const };
  cluster.node(1).applies = false;
  cluster.deliver({ ...answer, from: nodeId(3), term, reject: true, commitIndex: removal, commitTerm: term });
  cluster.deliver({ ...answer, from: nodeId(2), reject: false, commitIndex: 0, commitTerm: 0 });
  assert.equal(cluster.core(1).role, 'follower');
});

test('a follower that lacks truncated entries is restored from a snapshot and replicates on', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.isolate(3);
  for (const text of ['a', 'b', 'c']) cluster.write(1, text);
  cluster.node(1).log.truncatePrefix(cluster.core(1).appliedIndex);
  cluster.heal();
  cluster.tick(30);
  cluster.core(1).reportSnapshot(nodeId(3), true);
  cluster.tick(5).write(1, 'd');
  assert.equal(cluster.core(3).appliedIndex, cluster.core(1).appliedIndex);
});

test('logs that diverged for many entries meet again after a few messages', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.isolate(1);
  for (let count = 0; count < 50; count++) cluster.propose(1, 'lost');
  cluster.settle().tick(80, [2, 3]);
  const [leader] = cluster.leaders().filter((id) => id !== 1);
  for (let count = 0; count < 5; count++) cluster.propose(leader!, 'kept');
  cluster.tick(2, [2, 3]);
  cluster.heal();
  let refusals = 0;
  cluster.lose = (message) => {
    if (message.kind === 'appendResponse' && message.reject) refusals++;
    return false;
  };
  cluster.tick(4, [2, 3]);
  assert.deepEqual(cluster.node(1).texts(), ['kept', 'kept', 'kept', 'kept', 'kept']);
  assert.ok(refusals <= 4, `${refusals} refusals`);
});

test('a silent follower is sent no more than its window, and proposals beyond the bound are refused', () => {
  const cluster = new CoreCluster([1, 2, 3], [], { maxInflightMessages: 2, maxUncommittedBytes: 1000 }).elect(1);
  cluster.tick(2);
  let sent = 0;
  cluster.lose = (message) => {
    if (message.kind === 'append' && message.entries.length > 0) sent++;
    return message.kind === 'append';
  };
  for (let count = 0; count < 10; count++) {
    cluster.core(1).propose(Buffer.alloc(100), cluster.nowMs);
    cluster.settle();
  }
  assert.equal(sent, 4);
  assert.throws(() => cluster.core(1).propose(Buffer.alloc(100), cluster.nowMs), { code: 'BUSY' });
});

test('entries that arrive behind a snapshot in the same turn are not acknowledged before they are stored', () => {
  const cluster = new CoreCluster([1, 2, 3]);
  const { groupId } = cluster.node(2).config;
  const from = { groupId, from: nodeId(1), to: nodeId(2), term: 1 };
  const conf = cluster.node(2).conf;
  const entry = { term: 1, index: 6, kind: 0 as const, payload: Buffer.from('x') };
  cluster.core(2).step({ ...from, kind: 'snapshot', snapshot: { index: 5, term: 1, conf } }, cluster.nowMs);
  cluster
    .core(2)
    .step(
      { ...from, kind: 'append', prevIndex: 5, prevTerm: 1, entries: [entry], commitIndex: 5, sentAtMs: 0 },
      cluster.nowMs,
    );
  const ready = cluster.core(2).ready();
  assert.equal(ready.snapshot?.index, 5);
  assert.deepEqual(ready.entries, []);
  const acknowledged = ready.messagesAfterPersist.map((message) => message.kind === 'appendResponse' && message.index);
  assert.deepEqual(acknowledged, [5]);
});

test('a learner that joins an idle group is brought up without a new entry', () => {
  const cluster = new CoreCluster([1, 2]).elect(1);
  cluster.add(3);
  cluster.core(1).proposeConfChange(change(add('addLearner', 3)), cluster.nowMs);
  cluster.settle().tick(6);
  assert.equal(cluster.core(3).appliedIndex, cluster.core(1).appliedIndex);
});

test('a new leader whose log was truncated to its end sends appends, not snapshots', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.write(1, 'x').tick(2);
  for (const id of [1, 2, 3]) cluster.node(id).log.truncatePrefix(cluster.core(id).appliedIndex);
  let snapshots = 0;
  cluster.lose = (message) => {
    if (message.kind === 'snapshot') snapshots++;
    return false;
  };
  cluster.elect(2).write(2, 'y');
  assert.equal(snapshots, 0);
  assert.deepEqual(cluster.node(3).texts(), ['x', 'y']);
});

test('a node that was never told who belongs to the group elects nobody, so that a wiped voter does not vote twice', () => {
  const cluster = new CoreCluster([1, 2, 3]).elect(1);
  cluster.add(4);
  for (const kind of ['preVote', 'vote'] as const) {
    const request: Message = {
      kind,
      groupId: cluster.node(4).config.groupId,
      from: nodeId(3),
      to: nodeId(4),
      term: 9,
      lastIndex: 99,
      lastTerm: 8,
      transfer: false,
    };
    cluster.core(4).step(request, cluster.nowMs);
  }
  const answers = cluster.node(4).drain();
  assert.equal(answers.length, 2);
  assert.ok(answers.every((answer) => 'reject' in answer && answer.reject));
});
