import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeReplace, encodeReplace } from '../../../src/cluster/admin/replace-record.ts';
import type { AdminError } from '../../../src/cluster/contract/admin-errors.ts';
import type { ReplaceRequest, ReplaceStatus } from '../../../src/cluster/contract/admin-operations.ts';
import { groupId, type KvorumError, nodeId } from '../../../src/platform/index.ts';
import { AdminCluster } from './admin-cluster.ts';

const SECONDS_10 = 10_000;
const GROUPS = [groupId(1), groupId(2)];

const order = (more: Partial<ReplaceRequest> = {}): ReplaceRequest => ({
  dead: nodeId(3),
  successor: nodeId(4),
  address: 'node4:50051',
  mayAnswer: false,
  isDryRun: false,
  ...more,
});

const withCode =
  (code: string, message = /./) =>
  (error: unknown) => {
    assert.equal((error as KvorumError).code, code, String(error));
    assert.match((error as KvorumError).message, message);
    return true;
  };

async function clusterWithDeadNode(): Promise<AdminCluster> {
  const cluster = await AdminCluster.found({ founders: [1, 2, 3], groups: GROUPS });
  cluster.sim.node(3).crash();
  await cluster.sim.simulation.runFor(3_000);
  for (const group of GROUPS) await cluster.sim.serving(group);
  return cluster;
}

const replace = (cluster: AdminCluster, at = 1, more: Partial<ReplaceRequest> = {}): Promise<ReplaceStatus> =>
  cluster.ask(at, (backend) => backend.replace(order(more), SECONDS_10));

/** Says it until the stage is reached. */
async function until(cluster: AdminCluster, stage: ReplaceStatus['stage'], at = 1): Promise<ReplaceStatus> {
  for (let tries = 0; tries < 50; tries++) {
    const status = await replace(cluster, at);
    if (status.stage === stage) return status;
    // Its heartbeat.
    if (cluster.catalog.state.nodes.has(nodeId(4))) cluster.introduce(4);
    await cluster.sim.simulation.runFor(200);
  }
  return assert.fail(`${stage} was not reached: ${JSON.stringify(await replace(cluster, at))}`);
}

async function votersOf(cluster: AdminCluster): Promise<number[][]> {
  const groups = await cluster.ask(1, (backend) => backend.members(GROUPS, SECONDS_10));
  return groups.map(({ members }) => members.filter((each) => each.suffrage === 'voter').map((each) => each.nodeId));
}

describe('the replacement of a dead node', () => {
  test('fences it, takes it out of every group, and gives its votes to the successor', async () => {
    const cluster = await clusterWithDeadNode();
    const waiting = await until(cluster, 'AWAIT_NODE');
    assert.match(waiting.message, /start node 4 with an empty data folder and --join/);
    assert.deepEqual(await votersOf(cluster), [
      [1, 2],
      [1, 2],
    ]);
    assert.throws(() => cluster.introduce(3), withCode('NODE_REMOVED'), 'the old life is refused from then on');
    await cluster.start(4);
    cluster.introduce(4);
    const done = await until(cluster, 'DONE');
    assert.deepEqual(
      done.groups.map(({ groupId: id, state }) => [id, state]),
      GROUPS.map((id) => [id, 'done']),
    );
    assert.deepEqual(await votersOf(cluster), [
      [1, 2, 4],
      [1, 2, 4],
    ]);
    assert.deepEqual([...cluster.catalog.state.work.keys()], [], 'nothing is left to remember');
    assert.equal((await replace(cluster)).stage, 'DONE', 'saying it again does no harm');
  });

  test('is looked at before anything is done', async () => {
    const cluster = await clusterWithDeadNode();
    const look = await replace(cluster, 1, { isDryRun: true });
    assert.equal(look.stage, 'CHECK');
    assert.match(look.message, /leaves 2 groups and its data folder can never come back/);
    assert.deepEqual(await votersOf(cluster), [
      [1, 2, 3],
      [1, 2, 3],
    ]);
    assert.deepEqual([...cluster.catalog.state.tombstones], []);
  });

  test('goes on at another node when the one that began it is gone', async () => {
    const cluster = await clusterWithDeadNode();
    await until(cluster, 'AWAIT_NODE');
    await cluster.start(4);
    cluster.introduce(4);
    await assert.rejects(replace(cluster, 2), withCode('WORK_HELD'), 'two do not work at once');
    cluster.catalog.nowMs += 20_000;
    await until(cluster, 'DONE', 2);
    assert.deepEqual(await votersOf(cluster), [
      [1, 2, 4],
      [1, 2, 4],
    ]);
  });

  test('waits for a majority in each group, and tells what holds it up', async () => {
    const cluster = await clusterWithDeadNode();
    cluster.sim.node(2).crash();
    await cluster.sim.simulation.runFor(3_000);
    await assert.rejects(replace(cluster), withCode('QUORUM_AT_RISK', /not all groups have a leader/));
    assert.deepEqual([...cluster.catalog.state.tombstones], [], 'nothing was fenced');
  });

  test('is refused while the node answers, unless that is meant', async () => {
    const cluster = await AdminCluster.found({ founders: [1, 2, 3], groups: GROUPS });
    await assert.rejects(replace(cluster), withCode('NODE_ANSWERS', /stop its process first/));
    await assert.rejects(replace(cluster, 3), withCode('NODE_ANSWERS', /ask another node/));
    assert.equal((await replace(cluster, 1, { mayAnswer: true, isDryRun: true })).stage, 'CHECK');
  });

  test('fences the folder of a node that was met and ended before its first heartbeat', async () => {
    const cluster = await clusterWithDeadNode();
    const folder = 'ab'.repeat(16);
    cluster.met.set(9, folder);
    const again = { dead: nodeId(9), successor: nodeId(9), address: 'node9:50051' };
    const { stage } = await replace(cluster, 1, again);
    assert.equal(stage, 'AWAIT_NODE');
    assert.deepEqual([...cluster.catalog.state.tombstones], [`9/${folder}`]);
    assert.equal((await replace(cluster, 1, again)).stage, 'AWAIT_NODE', 'said again it fences nothing more');
  });

  test('is refused for a node that nobody knows, and by another successor than it was begun with', async () => {
    const cluster = await clusterWithDeadNode();
    await assert.rejects(replace(cluster, 1, { dead: nodeId(9) }), withCode('NODE_NOT_FOUND', /there are 1, 2, 3/));
    await until(cluster, 'AWAIT_NODE');
    await assert.rejects(
      replace(cluster, 1, { successor: nodeId(5) }),
      withCode('REPLACE_CONFLICT', /being replaced by node 4; go on with `replace 3 4`/),
    );
  });

  test('gives no vote to a successor that has not caught up, and none to the last life of the node', async () => {
    const cluster = await clusterWithDeadNode();
    await until(cluster, 'AWAIT_NODE');
    await cluster.start(4);
    cluster.introduce(4);
    cluster.sim.fabric.partition([nodeId(4)], [nodeId(1), nodeId(2)]);
    const status = await replace(cluster);
    await cluster.sim.simulation.runFor(2_000);
    const later = await replace(cluster);
    assert.deepEqual([status.stage, later.stage], ['CATCH_UP', 'CATCH_UP']);
    assert.match(later.groups[0]!.problem, /did not open its replica|does not answer its leader/);
    assert.deepEqual(await votersOf(cluster), [
      [1, 2],
      [1, 2],
    ]);
    cluster.sim.fabric.heal();
    await until(cluster, 'DONE');
  });

  test('keeps a learner a learner', async () => {
    const cluster = await AdminCluster.found({ founders: [1, 2], groups: [groupId(1)] });
    await cluster.start(3);
    cluster.introduce(3);
    await cluster.ask(1, (backend) => backend.addLearner(groupId(1), nodeId(3), 'node3:50051', SECONDS_10));
    cluster.sim.node(3).crash();
    await until(cluster, 'AWAIT_NODE');
    await cluster.start(4);
    cluster.introduce(4);
    await until(cluster, 'DONE');
    const [group] = await cluster.ask(1, (backend) => backend.members([groupId(1)], SECONDS_10));
    assert.deepEqual(
      group!.members.map(({ nodeId: id, suffrage }) => [id, suffrage]),
      [
        [1, 'voter'],
        [2, 'voter'],
        [4, 'learner'],
      ],
    );
  });
});

describe('the notes of a replacement', () => {
  test('come back as they were', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 0xffff_ffff }), { maxLength: 50 });
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.integer({ min: 1, max: 65_535 }),
        fc.boolean(),
        ids,
        ids,
        (life, successor, isRemoved, voters, learners) => {
          const sorted = (groups: number[]) => groups.map(groupId).sort((a, b) => a - b);
          const record = {
            incarnation: Buffer.from(life),
            successor: nodeId(successor),
            address: 'host:50051',
            isRemoved,
            voterOf: sorted(voters),
            learnerOf: sorted(learners),
          };
          assert.deepEqual(decodeReplace(encodeReplace(record)), record);
        },
      ),
    );
  });

  test('hold thousands of groups, and say so when there are more', () => {
    const record = (count: number) => ({
      incarnation: Buffer.alloc(16, 7),
      successor: nodeId(4),
      address: '',
      isRemoved: false,
      voterOf: Array.from({ length: count }, (_, at) => groupId(5 * at + 1)),
      learnerOf: [],
    });
    assert.equal(decodeReplace(encodeReplace(record(4_000))).voterOf.length, 4_000);
    assert.throws(
      () => encodeReplace(record(5_000)),
      (error: AdminError) => error.code === 'INVALID_ARGUMENT',
    );
    assert.throws(() => decodeReplace(Buffer.from([9])), withCode('REPLACE_CONFLICT'));
    assert.throws(() => decodeReplace(encodeReplace(record(3)).subarray(0, 20)), withCode('REPLACE_CONFLICT'));
  });
});
