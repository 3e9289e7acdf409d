import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type GroupId, groupId, nodeId } from '../../src/platform/index.ts';
import { DEFAULT_ENGINE_LIMITS, type EngineLimits } from '../../src/raftengine/contract/limits.ts';
import type { PeerProgress } from '../../src/raftengine/core/types.ts';
import { MalformedFrameError } from '../../src/raftengine/errors.ts';
import type { Replica } from '../../src/raftengine/replica/replica.ts';
import {
  decodeStep,
  decodeWanted,
  encodeAsk,
  encodeBegin,
  encodeCommit,
  encodeSegment,
  encodeWanted,
  type TransferStep,
} from '../../src/raftengine/snapshot/snapshot-codec.ts';
import { SnapshotReceiver } from '../../src/raftengine/snapshot/snapshot-receiver.ts';
import type { ListMachine } from '../support/list-machine.ts';
import { type EngineNode, GROUP, SimulatedEngines } from '../support/simulated-engines.ts';

const OTHER_GROUP = groupId(2);
const SHORT_LOG = { retainEntries: 50, truncateIntervalMs: 100 };

/** A cluster of which one follower is down and has missed more than the log holds. */
async function clusterWithStraggler(limits = {}) {
  const cluster = await SimulatedEngines.found({ limits: { ...SHORT_LOG, ...limits } });
  const leader = await cluster.serving();
  const follower = cluster.up().find((node) => node !== leader)!;
  follower.crash();
  await cluster.proposeAll(leader, 400, 'v');
  await cluster.until(() => leader.group.status().firstIndex > 100);
  return { cluster, leader, follower };
}

const held = (node: EngineNode): number => node.group.status().lastIndex - node.group.status().firstIndex + 1;

test('every step of a transfer reads back as it was written, and a cut one is refused', () => {
  const count = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  const meta = {
    index: 77,
    term: 3,
    conf: { voters: [nodeId(1)], votersOutgoing: [], learners: [nodeId(9)], learnersNext: [], autoLeave: false },
  };
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 40 }), count, count, (group, session, number) => {
      const id = groupId(group);
      const steps: readonly (readonly [Buffer, TransferStep])[] = [
        [encodeSegment(id, session, number), { step: 'segment', group: id, session, number }],
        [encodeCommit(id, session), { step: 'commit', group: id, session }],
        [
          encodeAsk(id, nodeId(4), session, number),
          { step: 'ask', group: id, to: nodeId(4), term: session, leastIndex: number },
        ],
      ];
      for (const [bytes, step] of steps) {
        assert.deepEqual(decodeStep(bytes, nodeId(2)), step);
        assert.throws(() => decodeStep(bytes.subarray(0, bytes.length - 1), nodeId(2)), MalformedFrameError);
      }
    }),
  );
  const begin = decodeStep(encodeBegin(groupId(5), 3, meta, nodeId(7), nodeId(2)), nodeId(2));
  assert.deepEqual(begin, {
    step: 'begin',
    token: { kind: 'snapshot', groupId: 5, from: 7, to: 2, term: 3, snapshot: meta },
  });
  assert.throws(() => decodeStep(Buffer.of(9, 1, 1), nodeId(2)), MalformedFrameError);
  fc.assert(
    fc.property(count, fc.array(fc.boolean(), { maxLength: 70 }), (session, wanted) => {
      const missing = wanted.flatMap((isMissing, at) => (isMissing ? [at] : []));
      const bytes = encodeWanted(session, wanted.length, missing);
      assert.deepEqual(decodeWanted(bytes, wanted.length), { session, missing });
      assert.throws(() => decodeWanted(bytes, wanted.length + 1), MalformedFrameError);
    }),
  );
  assert.equal(decodeWanted(Buffer.of(0), 5), undefined);
});

test('a transfer that broke goes on with the segments that are missing, from the same cut', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler({ snapshotStreams: 1 });
  const gate = Promise.withResolvers<void>();
  await cluster.restart(follower.id);
  await cluster.until(() => leader.list.segmentsSent === 3);
  leader.list.snapshotGate = gate.promise;
  cluster.fabric.breakConnection(leader.id, follower.id);
  await cluster.until(() => leader.snapshotFailures.length > 0);
  leader.list.snapshotGate = undefined;
  gate.resolve();
  await cluster.until(() => follower.list.values.length === 400);
  await cluster.until(() => leader.sent.length > 0);
  assert.equal(leader.list.cuts, 1, 'it was cut once');
  const [sent] = leader.sent;
  assert.ok(sent !== undefined && sent.sentSegments < sent.segments, `${sent?.sentSegments} of ${sent?.segments}`);
  assert.ok(sent.sentBytes < sent.bytes);
  await cluster.until(() => leader.list.cutsClosed === 1);
  await cluster.until(() => cluster.agreed());
});

test('a receiver that restarts in the middle keeps the segments that came whole', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler({ snapshotStreams: 1 });
  await cluster.restart(follower.id);
  await cluster.until(() => leader.list.segmentsSent === 4);
  follower.crash();
  await cluster.until(() => leader.snapshotFailures.length > 0);
  await cluster.restart(follower.id);
  await cluster.until(() => follower.list.values.length === 400 && leader.sent.length > 0);
  assert.ok(leader.sent.at(-1)!.sentSegments < leader.sent.at(-1)!.segments);
  await cluster.until(() => cluster.agreed());
});

test('a follower sends in the place of its leader, and the leader sends itself when that fails', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler({
    snapshotsFromFollowers: true,
    snapshotKeepMs: 2000,
  });
  const helper = cluster.up().find((node) => node !== leader && node !== follower)!;
  await cluster.restart(follower.id);
  await cluster.until(() => follower.list.values.length === 400 && helper.sent.length > 0);
  assert.deepEqual([helper.sent.length, leader.sent.length, leader.list.cuts], [1, 0, 0]);
  assert.equal(follower.group.leader()?.nodeId, leader.id, 'the helper is not taken for the leader');
  await cluster.until(() => cluster.agreed());
  // Now the helper's machine refuses to cut.
  follower.crash();
  await cluster.proposeAll(leader, 400, 'w');
  await cluster.until(() => leader.group.status().firstIndex > 600);
  helper.list.openSnapshot = () => Promise.reject(new Error('the disk is full'));
  await cluster.restart(follower.id);
  await cluster.until(() => follower.list.values.length === 800 && leader.sent.length > 0);
  assert.equal(leader.snapshotFailures.length, 1, 'it was not tried a second time with the helper');
  await cluster.until(() => cluster.agreed());
});

test('one cut serves all peers that need one', async () => {
  const cluster = await SimulatedEngines.found({ limits: SHORT_LOG, founders: [1, 2, 3, 4, 5] });
  const leader = await cluster.serving();
  const down = cluster
    .up()
    .filter((node) => node !== leader)
    .slice(0, 2);
  for (const node of down) node.crash();
  await cluster.proposeAll(leader, 400, 'v');
  await cluster.until(() => leader.group.status().firstIndex > 100);
  const gate = Promise.withResolvers<void>();
  leader.list.snapshotGate = gate.promise;
  for (const node of down) await cluster.restart(node.id);
  await cluster.until(() => leader.group.status().progress.filter((peer) => peer.state === 'snapshot').length === 2);
  await cluster.simulation.runFor(100);
  gate.resolve();
  await cluster.until(() => down.every((node) => node.list.values.length === 400));
  assert.equal(leader.list.cuts, 1);
  await cluster.until(() => leader.list.cutsClosed === 1);
});

test('the log is held behind a peer that has just got a snapshot, and is cut when it has caught up', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler({
    retainEntries: 10,
    snapshotStreams: 1,
    // An entry at a time: the peer needs many looks at the log to catch up.
    maxAppendBytes: 1,
    maxInflightMessages: 1,
  });
  const gate = Promise.withResolvers<void>();
  leader.list.snapshotGate = gate.promise;
  await cluster.restart(follower.id);
  await cluster.until(() => leader.list.cuts === 1);
  // The group goes on by far more than is kept, and the peer takes long for each of it.
  await cluster.proposeAll(leader, 600, 'w');
  assert.ok(held(leader) >= 600, 'the log is held for the transfer');
  gate.resolve();
  await cluster.until(() => follower.list.values.length === 1000);
  assert.equal(follower.list.installed, 1, 'one snapshot was enough');
  await cluster.until(() => held(leader) <= 20);
  await cluster.until(() => cluster.agreed());
});

test('a log that is held for a peer that died again is cut after a while', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler({ retainEntries: 10, snapshotKeepMs: 3000 });
  await cluster.restart(follower.id);
  await cluster.until(() => leader.sent.length === 1);
  follower.crash();
  await cluster.proposeAll(leader, 300, 'w');
  await cluster.until(() => held(leader) <= 20, 20_000);
});

test('segments are sent some at a time, and never faster than the node may', async () => {
  const limits = { snapshotBytesPerSecond: 1000, snapshotStreams: 4 };
  const { cluster, leader, follower } = await clusterWithStraggler(limits);
  await cluster.restart(follower.id);
  await cluster.until(() => follower.list.values.length === 400 && leader.sent.length > 0);
  const [sent] = leader.sent;
  const leastMs = ((sent!.bytes - limits.snapshotBytesPerSecond / 4) / limits.snapshotBytesPerSecond) * 1000 - 100;
  assert.ok(sent!.durationMs >= leastMs, `${sent!.durationMs} ms for ${sent!.bytes} bytes`);
});

test('a sender that falls silent makes room for another transfer', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler({ snapshotStreams: 1, snapshotIdleMs: 1000 });
  await cluster.restart(follower.id);
  await cluster.until(() => leader.list.segmentsSent === 2);
  leader.crash();
  await cluster.until(() => follower.snapshotFailures.length > 0);
  const other = await cluster.serving();
  assert.notEqual(other, leader);
  await cluster.until(() => follower.list.values.length === 400);
  await cluster.restart(leader.id);
  await cluster.until(() => cluster.agreed());
});

test('a sender that says nothing more after it began is given up, and what came is kept for the next one', async () => {
  const cluster = await SimulatedEngines.found();
  const { clock, scheduler } = cluster.node(1).machine;
  const group = groupId(1);
  const failures: string[] = [];
  let discarded = 0;
  const stage = {
    segments: 2,
    missing: [0, 1],
    receive: async (_at: number, frames: AsyncIterable<Buffer>) => {
      for await (const frame of frames) assert.ok(frame.length > 0);
    },
    discard: async () => {
      discarded += 1;
    },
  };
  const replica = { applied: 0, stateMachine: { stageSnapshot: async () => stage } } as unknown as Replica;
  const receiver = new SnapshotReceiver({
    clock,
    scheduler,
    limits: { ...DEFAULT_ENGINE_LIMITS, snapshotIdleMs: 1000 },
    findReplica: () => replica,
    onFailed: (_group, _peer, error) => failures.push(error.message),
  });
  const snapshot = { index: 5, term: 1, conf: cluster.founders };
  const token = { kind: 'snapshot' as const, groupId: group, from: nodeId(2), to: nodeId(1), term: 1, snapshot };
  const begin = (from: number) => receiver.receive(nodeId(from), { step: 'begin', token }, one('{}'));
  const wanted = decodeWanted(await begin(2), 2)!;
  assert.deepEqual(wanted.missing, [0, 1]);
  await assert.rejects(begin(3), /receives a snapshot already/);
  await cluster.simulation.runFor(700);
  const first = { step: 'segment' as const, group, session: wanted.session, number: 0 };
  await receiver.receive(nodeId(2), first, one('bytes'));
  await assert.rejects(receiver.receive(nodeId(2), first, one('bytes')), /was not asked for/);
  await assert.rejects(receiver.receive(nodeId(3), { ...first, number: 1 }, one('bytes')), /no such transfer/);
  await assert.rejects(
    receiver.receive(nodeId(2), { step: 'commit', group, session: wanted.session }, one('')),
    /1 segments did not come/,
  );
  await cluster.simulation.runFor(700);
  assert.deepEqual([failures.length, discarded], [0, 0], 'it was heard of a moment ago');
  await cluster.simulation.runFor(2000);
  assert.deepEqual([failures.length, discarded], [1, 1]);
  assert.match(failures[0]!, /sent nothing/);
  await begin(3);
  // Whoever begins again replaces what it began.
  await begin(3);
  assert.equal(discarded, 2);
});

async function* one(text: string): AsyncGenerator<Buffer> {
  if (text !== '') yield Buffer.from(text);
}

test('a copy that is of another index or term than was announced is not offered to the replica', async () => {
  const cluster = await SimulatedEngines.found();
  const { clock, scheduler } = cluster.node(1).machine;
  const group = groupId(1);
  const conf = cluster.founders;
  let offered = 0;
  for (const [index, term] of [
    [6, 1],
    [5, 2],
    [5, 1],
  ] as const) {
    const failures: string[] = [];
    const stage = { segments: 0, missing: [], finish: async () => ({ index, term, conf }), discard: async () => {} };
    const replica = {
      applied: 0,
      stateMachine: { stageSnapshot: async () => stage },
      offerSnapshot: async () => {
        offered += 1;
        return true;
      },
    } as unknown as Replica;
    const receiver = new SnapshotReceiver({
      clock,
      scheduler,
      limits: DEFAULT_ENGINE_LIMITS,
      findReplica: () => replica,
      onFailed: (_group, _peer, error) => failures.push(error.message),
    });
    const snapshot = { index: 5, term: 1, conf };
    const token = { kind: 'snapshot' as const, groupId: group, from: nodeId(2), to: nodeId(1), term: 3, snapshot };
    const { session } = decodeWanted(await receiver.receive(nodeId(2), { step: 'begin', token }, one('{}')), 0)!;
    const commit = receiver.receive(nodeId(2), { step: 'commit', group, session }, one(''));
    if (index === 5 && term === 1) assert.ok(await commit);
    else await assert.rejects(commit, /the snapshot is of index \d and term \d, announced were 5 and 1/);
    assert.deepEqual([offered, failures.length], index === 5 && term === 1 ? [1, 0] : [0, 1]);
  }
});

test('a copy that was being cut when leadership ended does not leave', async () => {
  const { cluster, leader, follower } = await clusterWithStraggler();
  const other = cluster.up().find((node) => node !== leader)!;
  const gate = Promise.withResolvers<void>();
  const openSnapshot = leader.list.openSnapshot.bind(leader.list);
  let isCutting = false;
  leader.list.openSnapshot = async () => {
    isCutting = true;
    await gate.promise;
    return openSnapshot();
  };
  await cluster.restart(follower.id);
  await cluster.until(() => isCutting);
  await cluster.simulation.runToEnd(leader.group.transferLeadership(other.id));
  gate.resolve();
  await cluster.until(() => leader.snapshotFailures.length > 0);
  assert.deepEqual(leader.snapshotFailures, ['leadership ended before the snapshot left']);
  assert.equal(leader.sent.length, 0);
  await cluster.until(() => follower.list.values.length === 400);
  await cluster.until(() => cluster.agreed());
});

/** Two groups, of which one follower of both is down and has missed more than their logs hold. */
async function groupsWithStraggler(limits: Partial<EngineLimits>) {
  const cluster = await SimulatedEngines.found({ limits: { ...SHORT_LOG, ...limits }, groups: [GROUP, OTHER_GROUP] });
  const leader = await cluster.serving();
  const [other, follower] = cluster.up().filter((node) => node !== leader) as [EngineNode, EngineNode];
  const lead = async (node: EngineNode, group: GroupId): Promise<void> => {
    const before = await cluster.serving(group);
    if (before !== node) await cluster.simulation.runToEnd(before.groupAt(group).transferLeadership(node.id));
    await cluster.until(() => cluster.leaderOf(group) === node);
  };
  const letMiss = async (): Promise<void> => {
    follower.crash();
    for (const group of cluster.groups) {
      const { id } = await cluster.serving(group);
      for (let at = 0; at < 200; at++) await cluster.simulation.runToEnd(cluster.node(id).propose(`v${at}`, group));
      await cluster.until(() => cluster.node(id).groupAt(group).status().firstIndex > 100);
    }
  };
  const hasAll = (group: GroupId): boolean => follower.stateMachines.get(group)!.values.length === 200;
  return { cluster, leader, other, follower, lead, letMiss, hasAll };
}

test('two leaders that want each other to send to the same peer do not wait for each other', async () => {
  const { cluster, leader, other, follower, lead, letMiss, hasAll } = await groupsWithStraggler({
    snapshotsFromFollowers: true,
  });
  await lead(leader, GROUP);
  await lead(other, OTHER_GROUP);
  await letMiss();
  await cluster.restart(follower.id);
  await cluster.until(() => hasAll(GROUP) && hasAll(OTHER_GROUP));
});

/** A leader whose snapshot waits behind one of the other group, loses its leadership, and has it again. */
async function leaderAgain(limits: Partial<EngineLimits>) {
  const setup = await groupsWithStraggler(limits);
  const { cluster, leader, other, follower, lead, letMiss } = setup;
  for (const group of cluster.groups) await lead(leader, group);
  await letMiss();
  const first = gated(leader.stateMachines.get(OTHER_GROUP)!);
  const between = gated(other.list);
  const own = gated(leader.list);
  await cluster.restart(follower.id);
  await cluster.until(() => first.isCutting && leader.group.status().progress.some(isBehind));
  await lead(other, GROUP);
  await cluster.until(() => between.isCutting);
  await lead(leader, GROUP);
  await cluster.until(() => leader.group.status().progress.some(isBehind));
  between.open();
  first.open();
  await cluster.until(() => leader.snapshotFailures.length > 0);
  assert.deepEqual(leader.snapshotFailures, ['leadership ended before the snapshot was cut']);
  return { ...setup, own };
}

test('a snapshot that waits since an earlier leadership does not stand for one of the present', async () => {
  const { cluster, own, hasAll } = await leaderAgain({ snapshotRetryMs: 600_000, snapshotMaxRetryMs: 600_000 });
  own.open();
  await cluster.until(() => hasAll(GROUP) && hasAll(OTHER_GROUP));
});

test('a leadership that ended before its snapshot left is no failure of the peer', async () => {
  const snapshotRetryMs = 10_000;
  const { cluster, own, hasAll } = await leaderAgain({ snapshotRetryMs });
  await cluster.until(() => own.isCutting);
  own.fail();
  // The first failure in a row; the rest after the second would be twice as long.
  await cluster.until(() => hasAll(GROUP), 1.5 * snapshotRetryMs);
});

test('the failure of a snapshot is not told to a later leadership', async () => {
  const limits = { snapshotRetryMs: 5000 };
  const { cluster, leader, other, follower, lead, letMiss, hasAll } = await groupsWithStraggler(limits);
  for (const group of cluster.groups) await lead(leader, group);
  await letMiss();
  const failing = gated(leader.list);
  const between = gated(other.list);
  await cluster.restart(follower.id);
  await cluster.until(() => failing.isCutting);
  failing.fail();
  await cluster.until(() => leader.snapshotFailures.length > 0);
  const own = gated(leader.list);
  await lead(other, GROUP);
  await cluster.until(() => between.isCutting);
  await lead(leader, GROUP);
  await cluster.until(() => own.isCutting);
  await cluster.simulation.runFor(2 * limits.snapshotRetryMs);
  own.open();
  await cluster.until(
    () => hasAll(GROUP) && leader.group.status().progress.every(({ state }) => state === 'replicate'),
  );
  await cluster.simulation.runFor(1000);
  between.open();
  assert.equal(leader.sent.filter((sent) => sent.groupId === GROUP).length, 1);
});

const isBehind = ({ state }: PeerProgress): boolean => state === 'snapshot';

/** Holds the cuts of a state machine back. */
function gated(stateMachine: ListMachine) {
  const gate = Promise.withResolvers<void>();
  const openSnapshot = stateMachine.openSnapshot.bind(stateMachine);
  const cut = {
    isCutting: false,
    open: () => gate.resolve(),
    /** Those after it succeed. */
    fail: () => {
      stateMachine.openSnapshot = openSnapshot;
      gate.reject(new Error('the disk is full'));
    },
  };
  stateMachine.openSnapshot = async () => {
    cut.isCutting = true;
    await gate.promise;
    return openSnapshot();
  };
  return cut;
}
