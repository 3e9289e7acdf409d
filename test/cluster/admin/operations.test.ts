import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose, type Findings } from '../../../src/cluster/admin/diagnosis.ts';
import { type ToldLock, TxnOperator } from '../../../src/cluster/admin/txn-operator.ts';
import type { GroupMembers, Member } from '../../../src/cluster/contract/admin.ts';
import type { NodeExamination } from '../../../src/cluster/contract/admin-operations.ts';
import type { NodeRow } from '../../../src/distribution/contract/catalog-rows.ts';
import type { ClusterState } from '../../../src/distribution/contract/cluster-types.ts';
import type { StatusReply, TxnClient, TxnStatus } from '../../../src/kv/contract/txn.ts';
import { groupId, type KvorumError, nodeId, timestampOfMs } from '../../../src/platform/index.ts';
import { EXAMINATION, STATUS } from '../../adapter/grpc/fake-backend.ts';

const [ONE, TWO] = [groupId(1), groupId(2)];
const NOW_MS = 100_000;
const ts = (ms: number) => timestampOfMs(ms);
const id = (byte: number): Buffer => Buffer.alloc(16, byte);

const lock = (txn: number, key: string, more: Partial<ToldLock> = {}): ToldLock => ({
  txnId: id(txn),
  primary: Buffer.from('a'),
  key: Buffer.from(key),
  end: undefined,
  kind: 'put',
  startTs: ts(NOW_MS - 1_000 * txn),
  deadlineTs: ts(NOW_MS + 5_000),
  ...more,
});

/** Locks of two groups, and a primary that answers as it is told to. */
function bed(locks: Readonly<Record<number, readonly ToldLock[]>>, status: StatusReply, fate?: TxnStatus) {
  const asked: string[] = [];
  const client = {
    status: async () => {
      asked.push('status');
      return status;
    },
    abort: async () => {
      asked.push('abort');
      return { kind: 'rolledBack' };
    },
    resolve: async (group: number, verdicts: readonly unknown[]) => {
      asked.push(`resolve ${group}`);
      return verdicts.length;
    },
  } as unknown as TxnClient;
  const operator = new TxnOperator({
    client,
    clock: { nowMs: () => NOW_MS, monotonicMs: () => 0 },
    groupIds: async () => [ONE, TWO],
    groupOf: () => ONE,
    locksOf: async (group) => {
      const here = locks[group];
      if (here === undefined) throw new Error('nobody leads it');
      return here;
    },
    fateOf: async () => fate,
  });
  return { operator, asked };
}

const withCode = (code: string) => (error: unknown) => (error as KvorumError).code === code;

describe('transactions as operators see them', () => {
  test('are put together from the locks of all groups, oldest first', async () => {
    const { operator, asked } = bed(
      { 1: [lock(1, 'a'), lock(2, 'a')], 2: [lock(2, 'b'), lock(3, 'c')] },
      { kind: 'forgotten' },
    );
    const report = await operator.list([], 2, undefined, undefined, 1_000);
    assert.deepEqual(
      report.transactions.map(({ txnId, ageMs, lockCount, fate, isExpired }) => [
        txnId[0],
        ageMs,
        lockCount,
        fate,
        isExpired,
      ]),
      [
        [3, 3_000, 1, 'open', false],
        [2, 2_000, 2, 'open', false],
      ],
    );
    assert.equal(report.hasMore, true);
    assert.deepEqual(asked, [], 'looking decides nothing');
  });

  test('say which groups did not answer', async () => {
    const { operator } = bed({ 1: [] }, { kind: 'forgotten' });
    assert.deepEqual((await operator.list([], 9, undefined, undefined, 1_000)).problems, ['group 2: nobody leads it']);
    await assert.rejects(operator.resolve(id(1), false, 1_000), /not all groups answered: group 2/);
  });

  test('have a record where they have no locks', async () => {
    const { operator } = bed({ 1: [], 2: [] }, { kind: 'forgotten' }, { kind: 'committed', commitTs: ts(77_000) });
    await assert.rejects(operator.list([], 1, id(5), undefined, 1_000), withCode('TXN_NOT_FOUND'));
    const [found] = (await operator.list([], 1, id(5), Buffer.from('a'), 1_000)).transactions;
    assert.deepEqual([found?.fate, found?.commitMs, found?.lockCount], ['committed', 77_000, 0]);
  });

  test('that may still be going on are left alone unless somebody forces it', async () => {
    const locks = { 1: [lock(1, 'a')], 2: [lock(1, 'b')] };
    const pending: StatusReply = { kind: 'pending', deadlineTs: ts(NOW_MS + 5_000) };
    const patient = bed(locks, pending);
    await assert.rejects(patient.operator.resolve(id(1), false, 1_000), withCode('TXN_OPEN'));
    assert.deepEqual(patient.asked, ['status']);
    const forced = bed(locks, pending);
    const result = await forced.operator.resolve(id(1), true, 1_000);
    assert.deepEqual([result.fate, result.endedLocks], ['rolledBack', 2]);
    assert.deepEqual(forced.asked.sort(), ['abort', 'resolve 1', 'resolve 2', 'status']);
  });

  test('end by their fate, and not at all when that was forgotten', async () => {
    const locks = { 1: [lock(1, 'a')], 2: [lock(1, 'b')] };
    const committed = bed(locks, { kind: 'committed', commitTs: ts(1) });
    assert.equal((await committed.operator.resolve(id(1), false, 1_000)).fate, 'committed');
    assert.ok(!committed.asked.includes('abort'));
    const forgotten = bed(locks, { kind: 'forgotten' });
    assert.deepEqual((await forgotten.operator.resolve(id(1), true, 1_000)).endedLocks, 0);
    assert.deepEqual(forgotten.asked, ['status']);
  });
});

const member = (node: number, more: Partial<Member> = {}): Member => ({
  nodeId: nodeId(node),
  address: '',
  suffrage: 'voter',
  isLeader: false,
  state: 'replicate',
  matchIndex: 100,
  lagEntries: 0,
  isActive: true,
  ...more,
});

const group = (number: number, leader: number, members: readonly Member[]): GroupMembers => ({
  groupId: groupId(number),
  leader: nodeId(leader),
  term: 1,
  lastIndex: 100,
  isJoint: false,
  members,
  problem: '',
});

const three = (number: number, leader: number): GroupMembers =>
  group(number, leader, [member(1), member(2), member(3)]);
const examined = (node: number, more: Partial<NodeExamination> = {}): NodeExamination => ({
  ...EXAMINATION,
  nodeId: nodeId(node),
  clockOffsetMs: 0,
  clockErrorMs: 0,
  ...more,
});
const row = (node: number, heartbeatMs = NOW_MS): NodeRow =>
  ({ nodeId: nodeId(node), address: `10.0.0.${node}:50051`, heartbeatMs }) as unknown as NodeRow;
const well: Findings = {
  status: STATUS,
  examinations: [1, 2, 3].map((node) => examined(node)),
  members: [three(1, 1), three(2, 2), three(3, 3)],
  clusterState: { nodes: [row(1), row(2), row(3)] } as unknown as ClusterState,
  nowMs: NOW_MS,
};

describe('the diagnosis', () => {
  const said = (more: Partial<Findings>): string[] =>
    diagnose({ ...well, ...more }).map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`);

  test('finds nothing where nothing is wrong', () => assert.deepEqual(said({}), []));

  test('takes the round trip off what clocks seem to differ by', () => {
    const slow = examined(2, { clockOffsetMs: 400, clockErrorMs: 200 });
    assert.deepEqual(said({ examinations: [examined(1), slow, examined(3)] }), []);
  });

  for (const [what, examination, message] of [
    ['a slow disk', { syncMedianMs: 35 }, /node 2: its disk takes 35 ms.*use a faster disk/],
    ['a disk that stalls', { syncMaxMs: 900 }, /at worst 900 ms/],
    ['a late event loop', { loopLagMaxMs: 250 }, /node 2: its event loop was 250 ms late/],
    ['a disk that fills up', { diskFreeBytes: 2 ** 31 }, /warning node 2: its disk has 2048 MiB left/],
    ['a disk that is full', { diskFreeBytes: 2 ** 20 }, /critical node 2: its disk has 1 MiB left/],
    ['memory that runs out', { memoryUsedBytes: 0.95 * 2 ** 33 }, /uses 95 % of its memory limit/],
    ['clocks that differ', { clockOffsetMs: 400 }, /node 2: its clock is 400 ms ahead of that of node 1/],
    ['an older program', { version: '0.0.9' }, /different versions \(0\.1\.0 on 1, 3; 0\.0\.9 on 2\)/],
    ['another configuration', { shared: ['clusterName=other'] }, /clusterName is kvorum on 1, 3; other on 2/],
    ['a dangerous setting', { remarks: ['its debug commands are enabled'] }, /node 2: its debug commands are enabled/],
    ['a node that cannot be examined', { problem: 'it is old' }, /node 2: it could not be examined: it is old/],
  ] as const) {
    test(`names ${what}`, () => {
      const all = said({ examinations: [examined(1), examined(2, examination), examined(3)] });
      assert.equal(all.length, 1, all.join('\n'));
      assert.match(all[0]!, message);
    });
  }

  for (const [what, members, message] of [
    [
      'a learner that was left behind',
      [member(1), member(2), member(3), member(4, { suffrage: 'learner' })],
      /promote 2 4$/,
    ],
    [
      'a learner that is gone',
      [member(1), member(2), member(3), member(4, { suffrage: 'learner', isActive: false })],
      /remove 2 4$/,
    ],
    ['a single copy', [member(2)], /its data is on node 2 alone although there are 3 nodes/],
    ['an even number of voters', [member(1), member(2)], /2 voters, which survive no more losses than 1/],
  ] as const) {
    test(`names ${what}`, () => {
      const all = said({ members: [three(1, 1), group(2, 2, members), three(3, 3)] });
      assert.equal(all.length, 1, all.join('\n'));
      assert.match(all[0]!, message);
    });
  }

  test('lets a learner catch up in peace', () => {
    const learner = member(4, { suffrage: 'learner', lagEntries: 50_000 });
    assert.deepEqual(said({ members: [group(2, 2, [member(1), member(2), member(3), learner])] }), []);
  });

  test('names leaders that are not spread, and nodes that are gone with their votes', () => {
    const led = [1, 2, 3, 4, 5, 6].map((number) => three(number, 1));
    assert.match(said({ members: led })[0]!, /node 1 leads 6 groups and node 2 leads 0/);
    const clusterState = { nodes: [row(1), row(2), row(3, NOW_MS - 90_000)] } as unknown as ClusterState;
    assert.match(
      said({ clusterState })[0]!,
      /warning node 3: it was not heard of for 90 s and has 3 votes; bring it back, or replace it/,
    );
  });
});
