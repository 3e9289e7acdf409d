import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startRedisServer } from '../../../../src/adapter/redis/server/server.ts';
import { handOver, handOverAll } from '../../../../src/node/hand-over.ts';
import { groupId, nodeId, SystemClock, SystemRandom, SystemScheduler } from '../../../../src/platform/index.ts';
import type { GroupStatus, RaftGroup } from '../../../../src/raftengine/contract/types.ts';
import { type PeerProgress, Role } from '../../../../src/raftengine/core/types.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { RawClient } from '../harness.ts';

async function replyTo(leads: boolean, ...command: string[]): Promise<unknown> {
  const server = await startRedisServer({
    kv: new FakeKv(),
    host: '127.0.0.1',
    port: 0,
    clock: new SystemClock(),
    scheduler: new SystemScheduler(),
    random: new SystemRandom(),
    handOver: async () => leads,
  });
  const client = await RawClient.connect(server.port);
  try {
    return await client.call(...command);
  } finally {
    client.close();
    await server.stop();
  }
}

describe('FAILOVER', () => {
  test('answers OK when leadership was handed over', async () => {
    assert.equal(await replyTo(true, 'FAILOVER'), '+OK');
    assert.equal(await replyTo(true, 'FAILOVER', 'TIMEOUT', '100'), '+OK');
  });

  test('is refused on a node that leads nothing', async () => {
    assert.equal(await replyTo(false, 'FAILOVER'), '-ERR FAILOVER requires connected replicas.');
  });

  test('takes no target, has nothing to abort, and checks its arguments', async () => {
    assert.match(String(await replyTo(true, 'FAILOVER', 'TO', 'host', '6379')), /^-ERR FAILOVER requires connected/);
    assert.equal(await replyTo(true, 'FAILOVER', 'ABORT'), '-ERR No failover in progress.');
    assert.equal(await replyTo(true, 'FAILOVER', 'NOW'), '-ERR syntax error');
    assert.match(String(await replyTo(true, 'FAILOVER', 'TIMEOUT', '0')), /must be greater than 0/);
  });
});

describe('handing leadership over', () => {
  const peer = (node: number, matchIndex: number, isLearner = false): PeerProgress => ({
    nodeId: nodeId(node),
    matchIndex,
    nextIndex: matchIndex + 1,
    state: 'replicate',
    isLearner,
    recentlyActive: true,
  });
  const group = (role: Role, progress: readonly PeerProgress[], moves: number[]): RaftGroup => {
    let present = role;
    const id = groupId(++groups);
    const status = (): GroupStatus => ({ groupId: id, role: present, progress }) as unknown as GroupStatus;
    const transferLeadership = async (to: number): Promise<void> => {
      moves.push(to);
      present = Role.Follower;
    };
    return { groupId: id, status, transferLeadership } as unknown as RaftGroup;
  };
  let groups = 0;

  test('chooses the voter that is furthest, never a learner', async () => {
    const moves: number[] = [];
    assert.equal(await handOver([group(Role.Leader, [peer(2, 5), peer(3, 9), peer(4, 12, true)], moves)]), true);
    assert.deepEqual(moves, [3]);
  });

  test('leaves groups alone that others lead or nobody else votes in', async () => {
    const moves: number[] = [];
    assert.equal(await handOver([group(Role.Follower, [], moves), group(Role.Leader, [], moves)]), false);
    assert.deepEqual(moves, []);
  });

  test('before a stop hands over what can be, and does not wait for the rest', async () => {
    const moves: number[] = [];
    const stuck = group(Role.Leader, [peer(3, 1)], moves);
    stuck.transferLeadership = () => new Promise(() => {});
    const refusing = group(Role.Leader, [peer(3, 1)], moves);
    refusing.transferLeadership = () => Promise.reject(new Error('not caught up'));
    const common = { scheduler: new SystemScheduler(), clock: new SystemClock(), withinMs: 40 };
    const everybody = { ...common, mayLead: () => true };
    for (const difficult of [refusing, stuck]) {
      const others = [group(Role.Leader, [peer(2, 1)], moves), difficult];
      const { groups: handed, left } = await handOverAll({ ...everybody, groups: () => others });
      assert.deepEqual([handed, left], [1, 1]);
    }
    assert.deepEqual(moves, [2, 2]);
  });

  test('before a stop asks again for what was refused, and never a node that should not lead', async () => {
    const moves: number[] = [];
    const common = { scheduler: new SystemScheduler(), clock: new SystemClock(), withinMs: 60_000 };
    const late = group(Role.Leader, [peer(2, 5), peer(3, 9)], moves);
    const { transferLeadership } = late;
    let refusals = 2;
    late.transferLeadership = (to) =>
      refusals-- > 0 ? Promise.reject(new Error('not caught up')) : transferLeadership(to);
    const handed = await handOverAll({ ...common, mayLead: (node) => node !== 3, groups: () => [late] });
    assert.deepEqual([handed.groups, handed.left, moves], [1, 0, [2]]);
    const alone = group(Role.Leader, [peer(3, 9)], moves);
    const kept = await handOverAll({ ...common, mayLead: (node) => node !== 3, groups: () => [alone] });
    assert.deepEqual([kept.groups, kept.left, moves], [0, 1, [2]]);
  });
});
