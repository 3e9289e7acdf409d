import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  decideAddLearner,
  decidePromote,
  decideRemove,
  decideTransfer,
} from '../../../src/cluster/admin/membership-rules.ts';
import {
  decodeOutcome,
  decodeRequest,
  encodeOutcome,
  encodeRequest,
} from '../../../src/cluster/admin/node-messages.ts';
import { AdminError, type AdminErrorCode } from '../../../src/cluster/contract/admin-errors.ts';
import { RemoteError } from '../../../src/kv/contract/errors.ts';
import { groupId, nodeId } from '../../../src/platform/index.ts';
import type { GroupStatus } from '../../../src/raftengine/contract/types.ts';
import type { PeerProgress } from '../../../src/raftengine/core/types.ts';
import { NotLeaderError } from '../../../src/raftengine/errors.ts';
import { AdminCluster } from './admin-cluster.ts';

const peer = (id: number, matchIndex: number, rest: Partial<PeerProgress> = {}): PeerProgress => ({
  nodeId: nodeId(id),
  matchIndex,
  nextIndex: matchIndex + 1,
  state: 'replicate',
  isLearner: false,
  recentlyActive: true,
  ...rest,
});

/** Node 1 leads voters 1, 2, 3 with learner 4; its log ends at 5,000. */
const leading = (progress: readonly PeerProgress[], voters = [1, 2, 3]): GroupStatus => ({
  groupId: groupId(7),
  nodeId: nodeId(1),
  role: 'leader',
  term: 3,
  leader: nodeId(1),
  commitIndex: 5_000,
  appliedIndex: 5_000,
  firstIndex: 1,
  lastIndex: 5_000,
  conf: {
    voters: voters.map(nodeId),
    votersOutgoing: [],
    learners: [nodeId(4)],
    learnersNext: [],
    autoLeave: false,
  },
  leaseRemainingMs: 500,
  progress,
});

const nodes = (...ids: number[]): ReadonlySet<ReturnType<typeof nodeId>> => new Set(ids.map(nodeId));

const refused = (code: AdminErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AdminError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

describe('the rules of membership', () => {
  test('a learner is promoted only when it answers and is near the end of the log', () => {
    const promote = (progress: PeerProgress, isHeardFrom = true) =>
      decidePromote(leading([progress]), nodeId(4), isHeardFrom, 1_024);
    assert.deepEqual(promote(peer(4, 3_976)), { kind: 'addVoter', nodeId: 4 });
    assert.throws(
      () => promote(peer(4, 3_975)),
      refused('LEARNER_BEHIND', /is 1,025 entries behind; .* at most 1,024 entries/),
    );
    assert.throws(
      () => promote(peer(4, 4_999), false),
      refused('LEARNER_BEHIND', /does not answer .*\(1 entry behind\)/),
    );
    assert.throws(
      () => promote(peer(4, 4_999, { state: 'snapshot' })),
      refused('LEARNER_BEHIND', /receiving a snapshot/),
    );
    assert.throws(
      () => decidePromote({ ...leading([peer(4, 0)]), lastIndex: 100 }, nodeId(4), true, 1_024),
      refused('LEARNER_BEHIND', /has confirmed nothing yet/),
    );
  });

  test('promoting a voter does nothing, promoting a stranger is refused', () => {
    const status = leading([peer(2, 5_000)]);
    assert.equal(decidePromote(status, nodeId(2), true, 0), undefined);
    assert.throws(
      () => decidePromote(status, nodeId(9), true, 0),
      refused('NOT_A_MEMBER', /add it as a learner first/),
    );
  });

  test('a voter never becomes a learner by being added', () => {
    const status = leading([]);
    assert.throws(() => decideAddLearner(status, nodeId(2)), refused('NOT_A_LEARNER', /remove it first/));
    assert.deepEqual(decideAddLearner(status, nodeId(4)), { kind: 'addLearner', nodeId: 4 });
  });

  test('the last voter stays, and so does every voter without whom too few would answer', () => {
    const status = leading([]);
    assert.deepEqual(decideRemove(status, nodeId(3), nodes(1, 2)), { kind: 'remove', nodeId: 3 });
    assert.throws(
      () => decideRemove(status, nodeId(2), nodes(1, 2)),
      refused('QUORUM_AT_RISK', /without node 2, group 7 would need 2 of the voters 1, 3, and 3 does not answer/),
    );
    assert.throws(
      () => decideRemove(leading([], [1]), nodeId(1), nodes(1)),
      refused('LAST_VOTER', /data would be lost/),
    );
    assert.deepEqual(
      decideRemove(leading([], [1]), nodeId(4), nodes(1)),
      { kind: 'remove', nodeId: 4 },
      'a learner may go',
    );
    assert.equal(decideRemove(status, nodeId(9), nodes(1)), undefined, 'who is not there is gone already');
  });

  test('leadership goes to a voter that answers, and among those to the one that has most', () => {
    const status = leading([peer(2, 4_000), peer(3, 4_500), peer(4, 5_000, { isLearner: true })]);
    assert.equal(decideTransfer(status, undefined, nodes(1, 2, 3, 4)), 3);
    assert.equal(decideTransfer(status, undefined, nodes(1, 2)), 2);
    assert.equal(decideTransfer(status, nodeId(1), nodes(1)), undefined);
    assert.throws(() => decideTransfer(status, nodeId(4), nodes(4)), refused('NOT_A_VOTER', /voters are 1, 2, 3/));
    assert.throws(() => decideTransfer(status, nodeId(2), nodes(1)), refused('NO_SUCCESSOR', /does not answer/));
    assert.throws(() => decideTransfer(status, undefined, nodes(1)), refused('NO_SUCCESSOR', /no other voter/));
  });
});

describe('what nodes ask each other for operators', () => {
  test('comes through as it was, refusals with their code', () => {
    const request = { op: 'addLearner', group: groupId(7), node: nodeId(4), address: 'h:1', timeoutMs: 12.5 } as const;
    assert.deepEqual(decodeRequest(encodeRequest(request)), request);
    assert.deepEqual(decodeOutcome(encodeOutcome({ value: { a: [1, 'x'] } })), { a: [1, 'x'] });
    assert.throws(
      () => decodeOutcome(encodeOutcome({ error: new AdminError('LAST_VOTER', 'words') })),
      (error: RemoteError) => error.code === 'LAST_VOTER' && error.disposition === 'final' && error.message === 'words',
    );
    assert.throws(
      () => decodeOutcome(encodeOutcome({ error: new TypeError('a bug') })),
      (error: RemoteError) => error.code === 'INTERNAL' && error.disposition === 'unknown',
    );
  });

  test('is refused when it cannot be read', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from([0xc1]), Buffer.from([0xc0]), Buffer.from('nonsense')]) {
      assert.throws(() => decodeRequest(bytes), RemoteError);
      assert.throws(() => decodeOutcome(bytes), RemoteError);
    }
    assert.throws(() => decodeOutcome(encodeRequest({ op: 'report' })), RemoteError);
  });
});

describe('membership through any node', () => {
  const G = groupId(1);
  const SECONDS_10 = 10_000;

  test('one node grows to three, asked at whichever node', async () => {
    const cluster = await AdminCluster.found({ founders: [1] });
    await cluster.start(2);
    const added = await cluster.ask(1, (backend) => backend.addLearner(G, nodeId(2), 'node2:50051', SECONDS_10));
    assert.deepEqual([added.changed, added.note], [true, '']);
    assert.deepEqual(
      added.group.members.map(({ nodeId: id, suffrage }) => [id, suffrage]),
      [
        [1, 'voter'],
        [2, 'learner'],
      ],
    );
    const again = await cluster.ask(1, (backend) => backend.addLearner(G, nodeId(2), 'node2:50051', SECONDS_10));
    assert.equal(again.changed, false);
    await cluster.sim.until(() => cluster.sim.node(2).group.status().appliedIndex > 1);

    const promoted = await cluster.ask(2, (backend) => backend.promote(G, nodeId(2), SECONDS_10));
    assert.equal(promoted.changed, true);
    assert.deepEqual((await cluster.ask(2, (backend) => backend.promote(G, nodeId(2), SECONDS_10))).changed, false);
    await cluster.start(3);
    await cluster.ask(2, (backend) => backend.addLearner(G, nodeId(3), 'node3:50051', SECONDS_10));
    await cluster.sim.until(() => cluster.sim.node(3).group.status().appliedIndex > 1);
    await cluster.ask(3, (backend) => backend.promote(G, nodeId(3), SECONDS_10));
    const [group] = await cluster.ask(3, (backend) => backend.members([], SECONDS_10));
    assert.deepEqual(
      group!.members.map(({ suffrage, isActive, lagEntries }) => [suffrage, isActive, lagEntries]),
      [1, 2, 3].map(() => ['voter', true, 0]),
    );
  });

  test('a learner that does not answer, or has a long way to go, is not promoted', async () => {
    const cluster = await AdminCluster.found({ founders: [1], limits: { maxPromoteLag: 5, tickMs: 10 } });
    await cluster.start(2);
    await cluster.ask(1, (backend) => backend.addLearner(G, nodeId(2), 'node2:50051', SECONDS_10));
    await cluster.sim.until(() => cluster.sim.node(2).group.status().appliedIndex > 1);
    cluster.sim.fabric.partition([nodeId(1)], [nodeId(2)]);
    await cluster.sim.proposeAll(cluster.sim.node(1), 50, 'x');
    // The leader forgets whom it heard once an election timeout.
    await cluster.sim.simulation.runFor(3_000);
    await assert.rejects(
      cluster.ask(1, (backend) => backend.promote(G, nodeId(2), SECONDS_10)),
      /does not answer its leader \(5\d entries behind\)/,
    );
    cluster.sim.fabric.heal();
    await cluster.sim.until(() => cluster.sim.agreed());
    assert.equal((await cluster.ask(1, (backend) => backend.promote(G, nodeId(2), SECONDS_10))).changed, true);
  });

  test('a group on a node without a replica gets one, and the operator hears when it does not', async () => {
    const cluster = await AdminCluster.found({ founders: [1], groups: [groupId(1), groupId(2)] });
    const node = await cluster.start(2);
    await cluster.sim.simulation.runToEnd(node.engine.removeGroup(groupId(2)));
    assert.equal(node.engine.group(groupId(2)), undefined);
    const added = await cluster.ask(1, (backend) =>
      backend.addLearner(groupId(2), nodeId(2), 'node2:50051', SECONDS_10),
    );
    assert.equal(added.note, '');
    await cluster.sim.until(() => (node.engine.group(groupId(2))?.status().appliedIndex ?? 0) > 1);
    const absent = await cluster.ask(1, (backend) =>
      backend.addLearner(groupId(2), nodeId(9), 'node9:50051', SECONDS_10),
    );
    assert.match(absent.note, /^node 9 did not open its replica of group 2 yet \(.*\); start it and add it again$/);
  });

  test('a removal that would leave too few is refused at the leader, a right one is done', async () => {
    const cluster = await AdminCluster.found({ founders: [1, 2, 3] });
    const leader = (await cluster.sim.serving()).id as number;
    const [dead, alive] = [1, 2, 3].filter((id) => id !== leader) as [number, number];
    cluster.sim.node(dead).crash();
    await cluster.sim.simulation.runFor(3_000);
    const remove = (id: number) => cluster.ask(alive, (backend) => backend.removeMember(G, nodeId(id), SECONDS_10));
    await assert.rejects(remove(alive), (error: RemoteError) => error.code === 'QUORUM_AT_RISK');
    assert.equal((await remove(dead)).changed, true);
    assert.equal((await remove(dead)).changed, false);
    assert.equal((await remove(alive)).changed, true);
    await assert.rejects(
      cluster.ask(leader, (backend) => backend.removeMember(G, nodeId(leader), SECONDS_10)),
      (error: RemoteError) => error.code === 'LAST_VOTER',
    );
  });

  test('leadership goes where it is told to, or to somebody else', async () => {
    const cluster = await AdminCluster.found();
    const before = (await cluster.sim.serving()).id;
    const target = [1, 2, 3].find((id) => id !== before)!;
    const told = await cluster.ask(3, (backend) => backend.transferLeader(G, nodeId(target), SECONDS_10));
    assert.deepEqual(told, { groupId: 1, from: before, to: target, changed: true });
    assert.equal((await cluster.sim.serving()).id, target);
    const repeated = await cluster.ask(1, (backend) => backend.transferLeader(G, nodeId(target), SECONDS_10));
    assert.equal(repeated.changed, false);
    const anybody = await cluster.ask(1, (backend) => backend.transferLeader(G, undefined, SECONDS_10));
    assert.notEqual(anybody.to, target);
  });

  test('a node that does not lead sends the request on instead of refusing it', async () => {
    const cluster = await AdminCluster.found();
    const leader = (await cluster.sim.serving()).id;
    const follower = [1, 2, 3].find((id) => id !== leader)!;
    const error = await cluster.sim.simulation.runToEnd(
      new Promise((resolve) =>
        cluster.handlerOf(follower)(encodeRequest({ op: 'members', group: G }), (failure) => resolve(failure)),
      ),
    );
    assert.ok(error instanceof NotLeaderError);
    assert.equal(error.leaderHint, leader);
  });

  test('what cannot be is refused before a leader is asked', async () => {
    const cluster = await AdminCluster.found({ founders: [1] });
    const refusedWith = (code: string, run: Promise<unknown>) =>
      assert.rejects(run, (error: AdminError) => error.code === code);
    await refusedWith(
      'GROUP_NOT_FOUND',
      cluster.ask(1, (backend) => backend.promote(groupId(9), nodeId(2), 5_000)),
    );
    await refusedWith(
      'NODE_NOT_FOUND',
      cluster.ask(1, (backend) => backend.addLearner(G, nodeId(2), '', 5_000)),
    );
    for (const address of ['node2', 'node2:0', 'node2:70000', 'http://node2:1']) {
      await refusedWith(
        'INVALID_ARGUMENT',
        cluster.ask(1, (backend) => backend.addLearner(G, nodeId(2), address, 5_000)),
      );
    }
  });

  test('members of a group without a leader say why they are not known', async () => {
    const cluster = await AdminCluster.found();
    cluster.sim.node(2).crash();
    cluster.sim.node(3).crash();
    await cluster.sim.simulation.runFor(5_000);
    const [group] = await cluster.ask(1, (backend) => backend.members([], 2_000));
    assert.match(group!.problem, /no leader could be reached/);
    assert.deepEqual(group!.members, []);
  });
});
