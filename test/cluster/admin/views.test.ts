import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judgeHealth } from '../../../src/cluster/admin/health.ts';
import { jobView, nodeView } from '../../../src/cluster/admin/views.ts';
import type { ClusterStatus, JobView, NodeStatus, ReplicaStatus } from '../../../src/cluster/contract/admin.ts';
import { groupId, hlcTimestamp, nodeId } from '../../../src/platform/index.ts';
import { AdminCluster } from './admin-cluster.ts';

const T = 6_000;

describe('the status of a cluster', () => {
  test('has every node and replica, with the leader telling how far the others are', async () => {
    const cluster = await AdminCluster.found();
    const leader = (await cluster.sim.serving()).id;
    await cluster.sim.proposeAll(cluster.sim.node(leader), 20, 'x');
    await cluster.sim.until(() => cluster.sim.agreed());
    const asked = [1, 2, 3].find((id) => id !== leader)!;
    const status = await cluster.ask(asked, (backend) => backend.status([], T));
    assert.deepEqual([status.answeredBy, status.catalogProblem], [asked, '']);
    assert.deepEqual(
      status.nodes.map(({ nodeId: id, isReachable, routesVersion }) => [id, isReachable, routesVersion]),
      [1, 2, 3].map((id) => [id, true, 1]),
    );
    for (const { nodeId: id, replicas } of status.nodes) {
      const [replica] = replicas;
      assert.deepEqual(
        [replica!.role, replica!.suffrage, replica!.leader, replica!.lagEntries, replica!.storedBytes],
        [id === leader ? 'leader' : 'follower', 'voter', leader, 0, 4096],
      );
      assert.equal(replica!.leaseRemainingMs > 0, id === leader);
      assert.equal(replica!.hlcCeilingMs, 77);
    }
    const one = await cluster.ask(asked, (backend) => backend.status([groupId(1)], T));
    assert.equal(one.nodes.flatMap(({ replicas }) => replicas).length, 3);
  });

  test('and the members refuse a group that there is not, unless nobody knows which there are', async () => {
    const cluster = await AdminCluster.found();
    const leader = (await cluster.sim.serving()).id;
    const unknown = { code: 'GROUP_NOT_FOUND', message: 'there is no group 77; there are 1' };
    await assert.rejects(
      cluster.ask(leader, (backend) => backend.status([groupId(1), groupId(77)], T)),
      unknown,
    );
    await assert.rejects(
      cluster.ask(leader, (backend) => backend.members([groupId(77)], T)),
      unknown,
    );
    cluster.catalog.isAway = true;
    const status = await cluster.ask(leader, (backend) => backend.status([groupId(77)], T));
    assert.deepEqual(
      status.nodes.flatMap(({ replicas }) => replicas),
      [],
    );
  });

  test('says who does not answer, and goes on without the catalog', async () => {
    const cluster = await AdminCluster.found();
    const leader = (await cluster.sim.serving()).id;
    const dead = [1, 2, 3].find((id) => id !== leader)!;
    cluster.sim.node(dead).crash();
    cluster.catalog.isAway = true;
    const status = await cluster.ask(leader, (backend) => backend.status([], T));
    assert.match(status.catalogProblem, /no leader of the catalog/);
    const gone = status.nodes.find(({ nodeId: id }) => id === dead)!;
    assert.deepEqual([gone.isReachable, gone.replicas.length], [false, 0]);
    assert.notEqual(gone.problem, '');
    const health = await cluster.ask(leader, (backend) => backend.health(T));
    assert.deepEqual(
      health.problems.map(({ severity, subject }) => [severity, subject]),
      [
        ['critical', 'catalog'],
        ['warning', `node ${dead}`],
        ['warning', 'group 1'],
      ],
    );
  });

  test('of a healthy cluster has no problems', async () => {
    const cluster = await AdminCluster.found();
    assert.deepEqual(await cluster.ask(2, (backend) => backend.health(T)), {
      isHealthy: true,
      problems: [],
      nodeCount: 3,
      groupCount: 1,
    });
  });
});

const replica = (group: number, rest: Partial<ReplicaStatus> = {}): ReplicaStatus => ({
  groupId: groupId(group),
  role: 'follower',
  suffrage: 'voter',
  term: 2,
  commitIndex: 9,
  appliedIndex: 9,
  firstIndex: 1,
  lastIndex: 9,
  leaseRemainingMs: 0,
  voters: [1, 2, 3].map(nodeId),
  ...rest,
});

const node = (id: number, replicas: readonly ReplicaStatus[], rest: Partial<NodeStatus> = {}): NodeStatus => ({
  nodeId: nodeId(id),
  address: `node${id}`,
  isReachable: true,
  problem: '',
  version: '1',
  routesVersion: 4,
  clockOffsetMs: 0,
  clockErrorMs: 0,
  isClockOff: false,
  replicas,
  ...rest,
});

const leads = { role: 'leader' };
const problemsOf = (nodes: readonly NodeStatus[], jobs: readonly JobView[] = [], groups?: number[]) => {
  const status: ClusterStatus = { answeredBy: nodeId(1), nodes, catalogProblem: '' };
  const listed = groups?.map((id) => ({
    id: groupId(id),
    state: 'ACTIVE',
    founders: [],
    createdMs: 0,
    revision: 1,
    routeCount: 0,
  }));
  const report = judgeHealth(status, listed, jobs, 1_000_000);
  assert.equal(report.isHealthy, !report.problems.some(({ severity }) => severity === 'critical'));
  return report.problems.map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`);
};

describe('health', () => {
  test('is critical for a group without a quorum, without a leader, or without a replica', () => {
    const silent = (id: number) => node(id, [], { isReachable: false, problem: 'refused' });
    const lost = problemsOf([node(1, [replica(5)]), silent(2), silent(3)]);
    assert.match(lost.at(-1)!, /^critical group 5: of its 3 voters 1 answer, and it takes 2; bring back node 2 or 3$/);
    const leaderless = problemsOf([1, 2, 3].map((id) => node(id, [replica(5)])));
    assert.match(leaderless[0]!, /^critical group 5: it has no leader now/);
    assert.match(problemsOf([node(1, [])], [], [8])[0]!, /^critical group 8: no node that answers has a replica/);
  });

  test('warns of a group that can lose nobody more, of lags, clocks, nodes without a directory, stuck jobs', () => {
    const silent = node(3, [], { isReachable: false, problem: 'refused' });
    const thin = problemsOf([node(1, [replica(5, leads)]), node(2, [replica(5)]), silent]);
    assert.match(thin.at(-1)!, /^warning group 5: it serves, and would stop if one more of the nodes 1, 2 were lost$/);
    const all = (rest: Partial<NodeStatus>, lagEntries = 0, jobs: readonly JobView[] = []) =>
      problemsOf(
        [node(1, [replica(5, leads)]), node(2, [replica(5, { lagEntries })], rest), node(3, [replica(5)])],
        jobs,
      );
    assert.deepEqual(all({}), []);
    assert.match(all({}, 10_001)[0]!, /the replica on node 2 is 10001 entries behind/);
    assert.match(all({ clockOffsetMs: -501 })[0]!, /^warning node 2: its clock is 501 ms behind; set it with NTP$/);
    assert.deepEqual(all({ clockOffsetMs: -700, clockErrorMs: 250 }), [], 'the round trip may have been as long');
    assert.match(
      all({ clockOffsetMs: 3_720_000, clockErrorMs: 3, isClockOff: true })[0]!,
      /^warning node 2: its clock is 1 h 2 min ahead, within 3 ms; it goes by the others and leaves leadership to them; set/,
    );
    const ahead = problemsOf([
      node(1, [replica(5, { ...leads, timeLeadMs: 10 * 365 * 86_400_000 })]),
      node(2, [replica(5)]),
      node(3, [replica(5)]),
    ]);
    assert.match(ahead[0]!, /^warning group 5: its time leads the clocks by 3650 d: .*accept_time$/);
    assert.match(all({ routesVersion: 0 })[0]!, /no directory of ranges yet/);
    const job = { id: 4, phase: 'FENCE', isFinished: false, updatedMs: 900_000, lastError: 'no leader' } as JobView;
    assert.deepEqual(all({}, 0, [job]), ['warning job 4: it has been in FENCE for 100 s: no leader']);
    assert.deepEqual(all({}, 0, [{ ...job, isFinished: true }]), []);
  });

  test('is critical where the leader refuses writes, and warns where others do or where they are slowed', () => {
    const held = (at: number, level: string) =>
      problemsOf(
        [1, 2, 3].map((id) =>
          node(id, [replica(5, id === 1 ? leads : {})], {
            activity: {
              upMs: 1,
              logLevel: 'info',
              clients: 0,
              commands: 0,
              commandErrors: 0,
              latencyBoundsMs: [],
              latencyCounts: [0],
              hotRanges: [],
              heldBack: id === at ? [{ groupId: groupId(5), level, reason: 'the disk is full' }] : [],
            },
          }),
        ),
      );
    assert.deepEqual(held(1, 'stop'), ['critical group 5: writes are refused by node 1: the disk is full']);
    assert.deepEqual(held(2, 'stop'), ['warning group 5: writes are refused by node 2: the disk is full']);
    assert.deepEqual(held(1, 'slow'), ['warning group 5: writes are slowed by node 1: the disk is full']);
    assert.deepEqual(held(0, 'stop'), []);
  });

  test('does not take an old leader that has not noticed for the present one', () => {
    const old = replica(5, { ...leads, term: 1, voters: [1].map(nodeId) });
    const [problem] = problemsOf([
      node(1, [old]),
      node(2, [replica(5, leads)]),
      node(3, [], { isReachable: false }),
    ]).slice(1);
    assert.match(problem!, /would stop if one more of the nodes 1, 2/);
  });
});

describe('rows as operators see them', () => {
  test('a node that was not heard of for ten seconds is gone', () => {
    const row = {
      nodeId: nodeId(3),
      revision: 1,
      incarnation: Buffer.alloc(16, 0xab),
      address: 'h:1',
      locality: '',
      capabilities: 0b1001n,
      heartbeatMs: 50_000,
      leaderCount: 1,
      replicaCount: 2,
      storedBytes: 3,
    };
    assert.equal(nodeView(row, 59_999, 'serving').isAlive, true);
    assert.equal(nodeView(row, 60_000, 'serving').isAlive, false);
    assert.equal(nodeView(row, 40_000, 'serving').heartbeatAgeMs, 0, 'a clock that is behind makes nobody young');
    assert.deepEqual(nodeView(row, 50_000, 'serving').capabilities, [0, 3]);
    assert.equal(nodeView(row, 50_000, 'serving').incarnation, 'ab'.repeat(16));
  });

  test('a job is abortable exactly until its source has released the range', () => {
    const row = {
      id: 1,
      revision: 1,
      routeId: 2,
      start: Buffer.from('a'),
      end: undefined,
      src: groupId(1),
      dst: groupId(2),
      attempt: 1,
      fenceTs: hlcTimestamp(0n),
      spanEpoch: 0,
      progress: Buffer.alloc(0),
      lastError: '',
      createdMs: 1,
      updatedMs: 2,
    };
    const of = (phase: 'PLANNED' | 'FENCE' | 'RELEASE' | 'CLEANUP' | 'DONE' | 'ABORTED') => jobView({ ...row, phase });
    assert.deepEqual(
      (['PLANNED', 'FENCE', 'RELEASE', 'CLEANUP', 'DONE', 'ABORTED'] as const).map((phase) => [
        of(phase).isAbortable,
        of(phase).isFinished,
      ]),
      [
        [true, false],
        [true, false],
        [false, false],
        [false, false],
        [false, true],
        [false, true],
      ],
    );
    assert.equal('end' in of('DONE'), false);
  });
});
