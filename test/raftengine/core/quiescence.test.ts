import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId } from '../../../src/platform/index.ts';
import { type Message, Role } from '../../../src/raftengine/core/types.ts';
import { CoreCluster } from './cluster.ts';

const REST = { quietAfterTicks: 4 };
const ids = (...nodes: number[]) => new Set(nodes.map(nodeId));

/** A cluster in which everybody rests under node 1. */
function resting(voters: number[] = [1, 2, 3], learners: number[] = []): CoreCluster {
  const cluster = new CoreCluster(voters, learners, REST).elect(1).tick(20);
  for (const [id, node] of cluster.nodes) assert.ok(node.core.isQuiet, `node ${id} rests`);
  return cluster;
}

/** Messages that leave while time passes and nobody delivers any. */
function sentIn(cluster: CoreCluster, ticks: number): number {
  cluster.wire.splice(0);
  for (let step = 0; step < ticks; step++) {
    cluster.nowMs += 100;
    for (const node of cluster.nodes.values()) node.core.tick(cluster.nowMs);
    cluster.collect();
  }
  return cluster.wire.splice(0).length;
}

test('a group that nobody uses goes to rest, says nothing more and still knows its leader', () => {
  const cluster = resting([1, 2, 3], [4]);
  assert.equal(sentIn(cluster, 1000), 0);
  for (const node of cluster.nodes.values()) assert.equal(node.core.leader, 1);
  assert.equal(cluster.core(1).role, Role.Leader);
});

test('a leader at rest holds no lease once its last round is old, though a lone voter keeps its own', () => {
  const cluster = resting();
  cluster.nowMs += 1000;
  assert.equal(cluster.core(1).holdsLease(cluster.nowMs), false);
  const alone = new CoreCluster([1], [], REST).tick(20);
  assert.ok(alone.core(1).isQuiet);
  assert.ok(alone.core(1).holdsLease(alone.nowMs + 5000));
});

test('a group is not put to rest while it is in use in ways that the core does not see', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1);
  for (let step = 0; step < 40; step++) {
    cluster.core(1).noteActivity();
    cluster.tick(1);
  }
  assert.equal(cluster.core(1).isQuiet, false);
});

const REASONS: readonly (readonly [string, (cluster: CoreCluster) => void])[] = [
  ['a proposal', (cluster) => void cluster.propose(1, 'x')],
  ['a read', (cluster) => cluster.core(1).readIndex(7, cluster.nowMs)],
  ['a transfer of leadership', (cluster) => cluster.core(1).transferLeadership(nodeId(2), cluster.nowMs)],
  [
    'a membership change',
    (cluster) => {
      const steps = [{ kind: 'addLearner' as const, nodeId: nodeId(3) }];
      cluster.core(1).proposeConfChange({ steps, context: Buffer.alloc(0) }, cluster.nowMs);
    },
  ],
  ['news of a node', (cluster) => cluster.core(1).wake(cluster.nowMs)],
];
for (const [reason, cause] of REASONS) {
  test(`${reason} wakes the whole group`, () => {
    const cluster = resting();
    cause(cluster);
    cluster.settle();
    for (const node of cluster.nodes.values()) assert.equal(node.core.isQuiet, false);
    cluster.tick(30);
    for (const id of [1, 2, 3]) assert.ok(cluster.core(id).isQuiet, 'and it goes to rest again');
  });
}

test('a read at rest is answered after one round', () => {
  const cluster = resting();
  cluster.core(1).readIndex(7, cluster.nowMs);
  cluster.settle();
  assert.deepEqual(
    cluster.node(1).readStates.map((read) => read.requestId),
    [7],
  );
});

test('a follower that is not caught up, or has not applied everything, does not rest, nor does its leader', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1);
  cluster.node(3).applies = false;
  cluster.propose(1, 'x');
  cluster.settle().tick(30);
  assert.ok(cluster.core(2).isQuiet);
  assert.equal(cluster.core(3).isQuiet, false);
  assert.equal(cluster.core(1).isQuiet, false);
});

test('a leader that has not applied everything does not rest', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1);
  cluster.node(1).applies = false;
  cluster.propose(1, 'x');
  cluster.settle();
  assert.equal(
    offersIn(cluster, 30, () => false),
    0,
  );
  assert.equal(cluster.core(1).isQuiet, false);
});

test('an offer of rest at another index than the end of the log is not accepted', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1);
  cluster.write(1, 'x');
  const { term, lastIndex } = cluster.core(2);
  const offer: Message = {
    kind: 'heartbeat',
    groupId: cluster.node(2).config.groupId,
    from: nodeId(1),
    to: nodeId(2),
    term,
    commitIndex: lastIndex - 1,
    sentAtMs: cluster.nowMs,
    readRound: 0,
    rest: true,
  };
  cluster.core(2).step(offer, cluster.nowMs);
  assert.equal(cluster.core(2).isQuiet, false);
  cluster.core(2).step({ ...offer, commitIndex: lastIndex }, cluster.nowMs);
  assert.ok(cluster.core(2).isQuiet);
});

test('a group rests without a node that is absent, but not without a quorum', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1);
  cluster.isolate(3);
  const tickWith = (present: ReadonlySet<ReturnType<typeof nodeId>>): void => {
    for (let step = 0; step < 9; step++) {
      cluster.nowMs += 100;
      for (const id of [1, 2]) cluster.core(id).tick(cluster.nowMs, present);
      cluster.settle();
    }
  };
  tickWith(ids(2, 3));
  assert.equal(cluster.core(1).isQuiet, false, 'node 3 is believed to live');
  tickWith(ids(1, 2));
  assert.ok(cluster.core(1).isQuiet);
  cluster.core(1).wake(cluster.nowMs);
  cluster.isolate(2);
  tickWith(ids());
  assert.equal(cluster.core(1).isQuiet, false);
});

test('a leader that is woken because its peers are absent steps down within E', () => {
  const cluster = resting();
  cluster.isolate(1);
  cluster.core(1).wake(cluster.nowMs, ids());
  for (let step = 0; step < 10; step++) {
    cluster.nowMs += 100;
    cluster.core(1).tick(cluster.nowMs, ids());
    cluster.settle();
  }
  assert.equal(cluster.core(1).role, Role.Follower);
});

test('a follower at rest helps nobody against its leader while the node of that lives', () => {
  const cluster = resting();
  cluster.nowMs += 60_000;
  const { term, lastIndex } = cluster.core(2);
  const ask: Message = {
    kind: 'preVote',
    groupId: cluster.node(2).config.groupId,
    from: nodeId(3),
    to: nodeId(2),
    term: term + 1,
    lastIndex,
    lastTerm: term,
    transfer: false,
  };
  cluster.core(2).leaderLived(cluster.nowMs - 200);
  cluster.core(2).step(ask, cluster.nowMs);
  const sent = cluster.node(2).drain();
  assert.deepEqual(
    sent.map((message) => [message.kind, message.to]),
    [['heartbeatResponse', 1]],
    'no vote, but the leader is told',
  );
  assert.equal(cluster.core(2).isQuiet, false);
});

test('a follower that wakes goes on from the last sign of life: it campaigns between E and 2E after it', () => {
  const cluster = resting();
  cluster.isolate(1);
  cluster.nowMs += 60_000;
  const lastBeatMs = cluster.nowMs - 1000;
  for (const id of [2, 3]) {
    cluster.core(id).leaderLived(lastBeatMs);
    cluster.core(id).wake(cluster.nowMs, ids(2, 3));
  }
  cluster.settle();
  cluster.tick(11, [2, 3]);
  const terms = [2, 3].map((id) => cluster.core(id).term);
  assert.ok(Math.max(...terms) > 1, 'somebody stood for election');
});

test('a group does not go to rest while a read or a transfer of leadership waits', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1).tick(1);
  cluster.lose = (message) => message.kind === 'timeoutNow';
  cluster.core(1).transferLeadership(nodeId(2), cluster.nowMs);
  cluster.tick(9);
  for (const node of cluster.nodes.values()) assert.equal(node.core.isQuiet, false);
  cluster.tick(20);
  assert.ok(cluster.core(1).isQuiet);
});

test('a leader at rest that is asked while it is cut off is awake, and steps down like any other', () => {
  const cluster = resting();
  cluster.isolate(1);
  cluster.propose(1, 'x');
  cluster.settle().tick(21, [1]);
  assert.equal(cluster.core(1).role, Role.Follower);
});

/** Counts offers of rest that node 1 makes while time passes and messages for which `loses` says so are lost. */
function offersIn(cluster: CoreCluster, ticks: number, loses: (message: Message) => boolean): number {
  let offers = 0;
  cluster.lose = (message) => {
    if (message.kind === 'heartbeat' && message.from === 1 && message.rest) offers++;
    return loses(message);
  };
  cluster.tick(ticks);
  cluster.lose = () => false;
  return offers;
}

const isAnswer = (message: Message): boolean => message.kind === 'heartbeatResponse';

test('a leader that is on its way out offers no rest', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1).tick(1);
  cluster.lose = isAnswer;
  const steps = [{ kind: 'remove' as const, nodeId: nodeId(1) }];
  cluster.core(1).proposeConfChange({ steps, context: Buffer.alloc(0) }, cluster.nowMs);
  cluster.settle();
  assert.equal(cluster.core(1).role, Role.Leader, 'it has yet to tell the others');
  assert.equal(offersIn(cluster, 9, isAnswer), 0);
});

test('a leader offers no rest while a read waits', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1).tick(1);
  cluster.lose = isAnswer;
  cluster.core(1).readIndex(7, cluster.nowMs);
  cluster.settle();
  assert.equal(offersIn(cluster, 9, isAnswer), 0);
});

test('a leader does not rest while a snapshot is on its way, even to a node that is absent', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1);
  cluster.isolate(3);
  for (let count = 0; count < 5; count++) cluster.write(1, `x${count}`);
  cluster.node(1).log.truncatePrefix(cluster.core(1).lastIndex);
  cluster.heal();
  cluster.lose = (message) => message.kind === 'snapshot';
  cluster.tick(3);
  assert.ok(
    cluster
      .core(1)
      .status()
      .progress.some(({ state }) => state === 'snapshot'),
  );
  for (let step = 0; step < 9; step++) {
    cluster.nowMs += 100;
    for (const id of [1, 2]) cluster.core(id).tick(cluster.nowMs, ids(1, 2));
    cluster.settle();
  }
  assert.equal(cluster.core(1).isQuiet, false);
});

test('acceptances of an offer that something came after do not put the leader to rest', () => {
  const cluster = new CoreCluster([1, 2, 3], [], REST).elect(1);
  cluster.lose = (message) => isAnswer(message) && message.from === 3;
  cluster.tick(8);
  assert.ok(cluster.core(2).isQuiet && !cluster.core(1).isQuiet, 'node 2 alone has said that it rests');
  cluster.lose = () => false;
  cluster.propose(1, 'x');
  cluster.settle();
  assert.ok(offersIn(cluster, 8, (message) => message.kind === 'heartbeat' && message.to === 2) > 0);
  assert.ok(cluster.core(3).isQuiet);
  assert.equal(cluster.core(1).isQuiet, false, 'node 2 is awake');
});

test('a leader that was woken heartbeats for a while before it offers rest again', () => {
  const cluster = resting();
  cluster.core(1).wake(cluster.nowMs);
  assert.equal(
    offersIn(cluster, 1, () => false),
    0,
  );
});

test('what only repeats that a group is at rest wakes nobody; anything else does', () => {
  const { nowMs: sentAtMs } = resting();
  const { term, lastIndex } = resting().core(1);
  const envelope = { groupId: resting().node(1).config.groupId, term };
  const answer = { ...envelope, from: nodeId(2), to: nodeId(1), sentAtMs };
  const acknowledgement = { ...answer, kind: 'appendResponse' as const, index: lastIndex, hintIndex: 0, hintTerm: 0 };
  const accepted = { ...answer, kind: 'heartbeatResponse' as const, readRound: 0, rest: true };
  const beat = { ...envelope, from: nodeId(1), to: nodeId(2), kind: 'heartbeat' as const, sentAtMs, readRound: 0 };
  const stillQuiet = (message: Message): boolean => {
    const cluster = resting();
    cluster.deliver(message);
    return cluster.core(message.to).isQuiet;
  };
  assert.ok(stillQuiet({ ...acknowledgement, reject: false }), 'an acknowledgement that a slow disk held back');
  assert.equal(stillQuiet({ ...acknowledgement, reject: true }), false);
  assert.ok(stillQuiet(accepted));
  assert.equal(stillQuiet({ ...accepted, term: term + 1 }), false, 'and this leads no more');
  assert.ok(stillQuiet({ ...beat, commitIndex: lastIndex, rest: true }));
  assert.equal(stillQuiet({ ...beat, commitIndex: lastIndex, rest: false }), false);
  assert.equal(stillQuiet({ ...beat, commitIndex: lastIndex - 1, rest: true }), false);
});

test('what an offer of rest has overtaken on its way does not end the rest, and what has overtaken an offer ends it', () => {
  const cluster = resting();
  const { term, lastIndex } = cluster.core(1);
  const envelope = { groupId: cluster.node(1).config.groupId, from: nodeId(1), to: nodeId(2), term };
  const now = cluster.nowMs;
  const beat = { ...envelope, kind: 'heartbeat' as const, commitIndex: lastIndex, readRound: 0 };
  const older = { ...beat, sentAtMs: now - 5000, rest: false };
  const append: Message = {
    ...envelope,
    kind: 'append',
    prevIndex: lastIndex,
    prevTerm: term,
    entries: [],
    commitIndex: lastIndex,
    sentAtMs: now - 5000,
  };
  for (const late of [older, append]) {
    cluster.deliver(late);
    assert.ok(cluster.core(2).isQuiet, late.kind);
    const [answer, ...more] = cluster.node(2).drain();
    assert.deepEqual(more, []);
    if (answer?.kind === 'heartbeatResponse') assert.ok(answer.rest, 'and says that it rests');
  }
  cluster.deliver({ ...append, sentAtMs: now });
  assert.equal(cluster.core(2).isQuiet, false, 'a new append');
  cluster.deliver({ ...beat, sentAtMs: now + 10, rest: false });
  cluster.deliver({ ...beat, sentAtMs: now, rest: true });
  assert.equal(cluster.core(2).isQuiet, false, 'an old offer');
  cluster.deliver({ ...beat, sentAtMs: now + 10, rest: true });
  assert.ok(cluster.core(2).isQuiet);
});

test('a group rests under a new leader too whose clock is behind that of the one before', () => {
  const cluster = resting();
  const { term, lastIndex } = cluster.core(1);
  const envelope = { groupId: cluster.node(1).config.groupId, from: nodeId(3), to: nodeId(2), term: term + 1 };
  const noOp = { term: term + 1, index: lastIndex + 1, kind: 0 as const, payload: Buffer.alloc(0) };
  const prev = { prevIndex: lastIndex, prevTerm: term, sentAtMs: 1 };
  cluster.deliver({ ...envelope, ...prev, kind: 'append', entries: [noOp], commitIndex: lastIndex + 1 });
  cluster.node(2).drain();
  const beat = { kind: 'heartbeat' as const, commitIndex: lastIndex + 1, sentAtMs: 2, readRound: 0, rest: true };
  cluster.deliver({ ...envelope, ...beat });
  assert.ok(cluster.core(2).isQuiet);
});

test('a leader goes by the newest word of a follower about rest, in whatever order its answers come', () => {
  const offering = new CoreCluster([1, 2, 3], [], REST).elect(1);
  const held: Message[] = [];
  offering.lose = (message) => message.kind === 'heartbeatResponse' && message.from === 2 && held.push(message) > 0;
  offering.tick(6);
  const accepted = held.filter((message) => message.kind === 'heartbeatResponse' && message.rest);
  assert.ok(accepted.length > 0 && !offering.core(1).isQuiet);
  offering.core(2).wake(offering.nowMs);
  const [awake] = offering.node(2).drain();
  offering.deliver(awake!);
  for (const late of accepted) offering.deliver(late);
  for (const node of offering.nodes.values()) node.drain();
  offering.core(1).tick(offering.nowMs + 100);
  assert.equal(offering.core(1).isQuiet, false, 'node 2 has woken since it accepted');

  const cluster = resting();
  const { term } = cluster.core(1);
  const envelope = { groupId: cluster.node(1).config.groupId, from: nodeId(2), to: nodeId(1), term };
  const answer = { ...envelope, kind: 'heartbeatResponse' as const, readRound: 0, rest: false };
  cluster.deliver({ ...answer, sentAtMs: cluster.nowMs - 5000 });
  assert.ok(cluster.core(1).isQuiet, 'said before node 2 accepted');
  cluster.core(2).wake(cluster.nowMs);
  cluster.settle();
  assert.equal(cluster.core(1).isQuiet, false);
});

test('followers that wake together after a long silence do not all stand for election in the next tick', () => {
  const cluster = resting([1, 2, 3, 4, 5, 6, 7]);
  cluster.nowMs += 60_000;
  const others = [2, 3, 4, 5, 6, 7];
  for (const id of others) cluster.core(id).wake(cluster.nowMs, ids(...others));
  cluster.collect().splice(0);
  cluster.nowMs += 100;
  for (const id of others) cluster.core(id).tick(cluster.nowMs, ids(...others));
  const standing = others.filter((id) => cluster.core(id).role !== Role.Follower);
  assert.ok(standing.length <= 3, `${standing.length} of 6`);
});

test('news of an older beat takes nothing from what a newer one promised', () => {
  const cluster = resting();
  cluster.nowMs += 60_000;
  const { term, lastIndex } = cluster.core(2);
  cluster.core(2).leaderLived(cluster.nowMs - 200);
  cluster.core(2).leaderLived(cluster.nowMs - 30_000);
  const envelope = { groupId: cluster.node(2).config.groupId, from: nodeId(3), to: nodeId(2), term: term + 1 };
  cluster.deliver({ ...envelope, kind: 'preVote', lastIndex, lastTerm: term, transfer: false });
  assert.ok(
    cluster
      .node(2)
      .drain()
      .every(({ kind }) => kind !== 'preVoteResponse'),
  );
});

test('a leader at rest has sent nothing that a broken connection could have lost', () => {
  const cluster = resting();
  cluster.core(1).reportUnreachable(nodeId(2));
  assert.ok(cluster.core(1).isQuiet);
  assert.deepEqual(
    cluster
      .core(1)
      .status()
      .progress.map(({ state }) => state),
    ['replicate', 'replicate'],
  );
});
