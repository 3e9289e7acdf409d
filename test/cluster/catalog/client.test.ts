import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LostResultError } from '../../../src/cluster/catalog/errors.ts';
import type { JobRow } from '../../../src/distribution/contract/catalog-rows.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { LeaderUnavailableError } from '../../../src/kv/contract/errors.ts';
import { groupId, hlcTimestamp, nodeId } from '../../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { nodeReport } from '../../distribution/builders.ts';
import { visible } from '../../distribution/catalog-model.ts';
import type { Delivery, FakeCatalogCluster } from '../../support/fake-catalog.ts';
import { bytes, founded, moveOf, routeAt, splitAt, versionOf } from './founded.ts';

const refusedWith =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof CatalogError && error.code === code;

/** The next question has this fate, those after it arrive. */
function once(cluster: FakeCatalogCluster, fate: Delivery, then: () => void = () => undefined): void {
  cluster.delivery = () => {
    cluster.delivery = () => {
      then();
      return 'ok';
    };
    return fate;
  };
}

const node = nodeReport(1, { address: 'a:1', capabilities: 0n, heartbeatMs: 1 });

describe('a client of the catalog', () => {
  test('gets results, jobs and the cluster state from wherever the leader is', async () => {
    const cluster = await founded(2);
    const client = cluster.client();
    const state = cluster.leaders[0]!.state;
    const { version, job } = await cluster.time.outcome(client.run(moveOf(state, 'x', 3)));
    assert.equal(version, 2);
    assert.deepEqual(job, cluster.leaders[0]!.state?.jobs.get(job.id));
    cluster.group.elect(undefined);
    const jobs = client.jobs();
    await cluster.time.pass(500);
    cluster.group.elect(1);
    assert.deepEqual(await cluster.time.outcome(jobs), [job]);
    const clusterState = await cluster.time.outcome(client.clusterState());
    assert.deepEqual(
      clusterState.groups.map(({ id }) => id),
      [1, 2, 3, 4],
    );
  });

  test('lists unfinished jobs, then finished ones with the newest first', async () => {
    const cluster = await founded();
    const client = cluster.client();
    const state = () => cluster.leaders[0]!.state;
    const ended: JobRow[] = [];
    for (const dst of [3, 4]) {
      const { job } = await cluster.time.outcome(client.run(moveOf(state(), 'x', dst)));
      const abort = { kind: 'transitionJob', jobId: job.id } as const;
      await cluster.time.outcome(client.run({ ...abort, expectedRevision: 1, phase: 'ABORTING' }));
      ended.push((await cluster.time.outcome(client.run({ ...abort, expectedRevision: 2, phase: 'ABORTED' }))).job);
      await cluster.time.pass(5);
    }
    const { job } = await cluster.time.outcome(client.run(moveOf(state(), 'a', 3)));
    assert.deepEqual(await cluster.time.outcome(client.jobs()), [job, ...ended.reverse()]);
  });

  test('gets refusals with their reason and their items, and the proxy does not repeat them', async () => {
    const cluster = await founded();
    const client = cluster.client();
    const state = cluster.leaders[0]!.state;
    let questions = 0;
    cluster.delivery = () => {
      questions++;
      return 'ok';
    };
    const { job } = await cluster.time.outcome(client.run(moveOf(state, 'x', 3)));
    await assert.rejects(
      cluster.time.outcome(client.run({ ...splitAt(state, 'x'), expectedVersion: 2 })),
      refusedWith('ROUTE_BUSY'),
    );
    const items = [
      { routeId: routeAt(state, 'c').id, splitKey: bytes('c') },
      { routeId: job.routeId, splitKey: bytes('y') },
    ];
    const batch = { kind: 'batchSplit', expectedVersion: 2, batchId: Buffer.alloc(16, 1) } as const;
    await assert.rejects(
      cluster.time.outcome(client.run({ ...batch, items, splitAtTs: hlcTimestamp(9n) })),
      (error: unknown) => error instanceof CatalogError && error.items.length === 1 && error.items[0]!.index === 1,
    );
    assert.equal(questions, 3);
  });

  test('finds out about every kind of operation whose answer was lost', async () => {
    const cluster = await founded();
    const client = cluster.client();
    const state = () => cluster.leaders[0]!.state;
    const { time, group } = cluster;
    /** Runs once with the answer lost; what it says and the rows are those of one execution. */
    const loses = async <Result>(request: Parameters<typeof client.run>[0]): Promise<Result> => {
      const before = versionOf(state());
      once(cluster, 'answer lost');
      const result = await time.outcome(client.run(request));
      assert.ok(versionOf(state()) <= before + 1, `${request.kind} took place once`);
      assert.deepEqual(visible(state()!), visible(group.loaded()));
      return result as Result;
    };
    const split = await loses<{ version: number; routeIds: number[] }>(splitAt(state(), 'c'));
    assert.deepEqual([split.version, split.routeIds.length], [2, 2]);
    const [leftId, rightId] = split.routeIds as [number, number];
    const merged = await loses({ kind: 'merge', expectedVersion: 2, leftId, rightId, boundary: bytes('c') });
    assert.deepEqual(merged, { version: 3, routeIds: [routeAt(state(), 'c').id] });
    const items = [{ routeId: routeAt(state(), 'c').id, splitKey: bytes('d') }];
    const batchId = Buffer.alloc(16, 2);
    const batch = await loses({ kind: 'batchSplit', expectedVersion: 3, batchId, items, splitAtTs: hlcTimestamp(1n) });
    assert.deepEqual(batch, { version: 4, routeIds: [routeAt(state(), 'c').id, routeAt(state(), 'd').id] });

    const { job, version } = await loses<{ job: JobRow; version: number }>(moveOf(state(), 'x', 3));
    assert.deepEqual([job.phase, job.dst, version], ['PLANNED', 3, 5]);
    const step = { kind: 'transitionJob', jobId: job.id } as const;
    const prepared = await loses<{ job: JobRow }>({ ...step, expectedRevision: 1, phase: 'PREP_TARGET' });
    assert.deepEqual([prepared.job.phase, prepared.job.revision], ['PREP_TARGET', 2]);
    const noted = await loses<{ job: JobRow }>({
      ...step,
      expectedRevision: 2,
      phase: 'PREP_TARGET',
      progress: bytes('note'),
      lastError: 'x'.repeat(2_000),
    });
    assert.deepEqual([noted.job.revision, noted.job.progress], [3, bytes('note')]);
    let revision = 3;
    for (const phase of ['ARM_SOURCE', 'BACKFILL', 'CATCH_UP', 'FENCE', 'RELEASE'] as const) {
      await loses({ ...step, expectedRevision: revision++, phase });
    }
    await loses({
      ...step,
      expectedRevision: revision++,
      phase: 'ACTIVATE',
      spanEpoch: 2,
      fenceTs: hlcTimestamp(77n),
    });
    await loses({ ...step, expectedRevision: revision++, phase: 'PUBLISH' });
    const published = await loses<{ job: JobRow; version: number }>({
      kind: 'setGroup',
      jobId: job.id,
      expectedRevision: revision++,
    });
    assert.deepEqual([published.job.phase, published.version], ['CLEANUP', 6]);
    assert.equal(routeAt(state(), 'x').groupId, 3);
    const done = await loses<{ job: JobRow }>({ ...step, expectedRevision: revision, phase: 'DONE' });
    assert.equal(done.job.phase, 'DONE');

    const second = (await time.outcome(client.run(moveOf(state(), 'x', 4)))).job;
    const undo = { kind: 'transitionJob', jobId: second.id } as const;
    await loses({ ...undo, expectedRevision: 1, phase: 'ABORTING' });
    const aborted = await loses<{ job: JobRow; version: number }>({ ...undo, expectedRevision: 2, phase: 'ABORTED' });
    assert.deepEqual([aborted.job.phase, aborted.version], ['ABORTED', versionOf(state())]);

    const put = await loses({ kind: 'putNode', node, expectedRevision: 0 });
    assert.deepEqual(put, { ...node, revision: 1 });
    assert.deepEqual(await loses({ kind: 'setSetting', name: 'autosplit', value: 'on' }), {
      name: 'autosplit',
      revision: 1,
      value: 'on',
    });
    const group9 = { kind: 'createGroup', id: groupId(9), founders: [nodeId(1)], preferredLeader: undefined } as const;
    assert.equal((await loses<{ revision: number }>(group9)).revision, 1);
    assert.equal((await loses<{ state: string }>({ kind: 'removeGroup', id: groupId(9) })).state, 'REMOVED');
    const removed = await loses<{ nodeId: number }>({
      kind: 'removeNode',
      nodeId: node.nodeId,
      incarnation: node.incarnation,
    });
    assert.equal(removed.nodeId, 1);
    assert.equal(state()?.nodes.size, 0);
  });

  test('is told of a refusal when its lost request never came and another one was faster', async () => {
    const cluster = await founded();
    const client = cluster.client();
    const leader = cluster.leaders[0]!;
    const other = splitAt(leader.state, 'c');
    const merge = {
      kind: 'merge',
      expectedVersion: 1,
      leftId: routeAt(leader.state, 'a').id,
      rightId: routeAt(leader.state, 'x').id,
      boundary: bytes('m'),
    } as const;
    for (const request of [splitAt(leader.state, 'd'), moveOf(leader.state, 'x', 3), merge]) {
      let isFirst = request.kind === 'split';
      once(cluster, 'question lost', () => {
        if (isFirst) void leader.run(other);
        isFirst = false;
      });
      await assert.rejects(cluster.time.outcome(client.run(request)), refusedWith('VERSION_MISMATCH'), request.kind);
    }
    assert.equal(versionOf(leader.state), 2);
  });

  test('does not take the same split of somebody else for its own lost one', async () => {
    const cluster = await founded();
    const leader = cluster.leaders[0]!;
    const [own, other] = [splitAt(leader.state, 'c'), splitAt(leader.state, 'c')];
    once(cluster, 'question lost', () => void leader.run(other));
    await assert.rejects(cluster.time.outcome(cluster.client().run(own)), refusedWith('VERSION_MISMATCH'));
  });

  test('does not take a step of another driver for its own lost one', async () => {
    const cluster = await founded();
    const client = cluster.client();
    const leader = cluster.leaders[0]!;
    const { job } = await cluster.time.outcome(client.run(moveOf(leader.state, 'x', 3)));
    const step = { kind: 'transitionJob', jobId: job.id, expectedRevision: 1 } as const;
    once(cluster, 'question lost', () => void leader.run({ ...step, phase: 'ABORTING' }));
    await assert.rejects(
      cluster.time.outcome(client.run({ ...step, phase: 'PREP_TARGET' })),
      refusedWith('JOB_CHANGED'),
    );
    // Two revisions further nobody can tell whose the first one was.
    once(cluster, 'answer lost', () => void leader.run({ ...step, expectedRevision: 3, phase: 'ABORTED' }));
    await assert.rejects(
      cluster.time.outcome(client.run({ ...step, expectedRevision: 2, phase: 'ABORTING' })),
      LostResultError,
    );
  });

  test('finds the group that a request with a name made when its answer is lost, also when others were made meanwhile', async () => {
    const cluster = await founded();
    const client = cluster.client();
    await cluster.time.outcome(client.run({ kind: 'putNode', node, expectedRevision: undefined }));
    const create = (name: number) =>
      ({
        kind: 'createGroup',
        id: undefined,
        founders: [node.nodeId],
        preferredLeader: undefined,
        requestId: Buffer.alloc(16, name),
      }) as const;
    once(cluster, 'answer lost');
    const row = await cluster.time.outcome(client.run(create(1)));
    assert.equal(cluster.leaders[0]!.state?.groups.size, 5, 'one group was made');
    const other = await cluster.time.outcome(client.run(create(2)));
    assert.notEqual(other.id, row.id);
    assert.deepEqual(await cluster.time.outcome(client.run(create(1))), row);
  });

  test('says that it does not know when a group without an id may have been made', async () => {
    const cluster = await founded();
    const client = cluster.client();
    await cluster.time.outcome(client.run({ kind: 'putNode', node, expectedRevision: undefined }));
    once(cluster, 'answer lost');
    const request = {
      kind: 'createGroup',
      id: undefined,
      founders: [node.nodeId],
      preferredLeader: undefined,
    } as const;
    await assert.rejects(cluster.time.outcome(client.run(request)), OutcomeUnknownError);
    assert.equal(cluster.leaders[0]!.state?.groups.size, 5);
  });

  test('gives up in time: nothing happened without a leader, unknown once a request was lost', async () => {
    const cluster = await founded();
    const client = cluster.client();
    const op = splitAt(cluster.leaders[0]!.state, 'c');
    once(cluster, 'question lost', () => undefined);
    const lost = client.run(op, 1_000);
    await cluster.time.step();
    cluster.group.elect(undefined);
    const before = cluster.time.monotonicMs();
    await assert.rejects(cluster.time.outcome(lost), OutcomeUnknownError);
    await assert.rejects(cluster.time.outcome(client.run(op, 1_000)), LeaderUnavailableError);
    assert.ok(cluster.time.monotonicMs() - before < 3_000);
  });
});
