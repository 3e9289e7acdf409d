import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { META_KEY } from '../../../src/distribution/contract/catalog-keys.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { BusyError, NotLeaderError, OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { nodeReport } from '../../distribution/builders.ts';
import { visible } from '../../distribution/catalog-model.ts';
import { FakeCatalogCluster, type Fate } from '../../support/fake-catalog.ts';
import { BOOTSTRAP, bytes, founded, moveOf, routeAt, splitAt, versionOf } from './founded.ts';

const refusedWith =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof CatalogError && error.code === code;

describe('the leader of the catalog', () => {
  test('has no state before it leads, an empty one before the bootstrap, and the rows of the first version after it', async () => {
    const cluster = new FakeCatalogCluster();
    const leader = cluster.leaders[0]!;
    await assert.rejects(
      leader.read((state) => state),
      NotLeaderError,
    );
    assert.equal(leader.state, undefined);
    cluster.group.elect(0);
    await cluster.time.until('the rows are loaded', () => leader.state !== undefined);
    assert.equal(await cluster.time.outcome(leader.read((state) => state.meta)), undefined);
    assert.equal(leader.leaderTerm, 1);
    await assert.rejects(
      cluster.time.outcome(leader.run({ kind: 'setSetting', name: 'autosplit', value: 'on' })),
      refusedWith('NOT_BOOTSTRAPPED'),
    );
    assert.equal((await cluster.time.outcome(leader.bootstrap(BOOTSTRAP))).version, 1);
    await assert.rejects(cluster.time.outcome(leader.bootstrap(BOOTSTRAP)), refusedWith('ALREADY_BOOTSTRAPPED'));
    assert.deepEqual(visible(leader.state!), visible(cluster.group.loaded()));
  });

  test('takes a group that owns no keys yet for one without rows', async () => {
    const cluster = new FakeCatalogCluster();
    cluster.group.ownsReserved = false;
    cluster.group.elect(0);
    const leader = cluster.leaders[0]!;
    assert.equal(await cluster.time.outcome(leader.read((state) => state.meta)), undefined);
    cluster.group.ownsReserved = true;
    await cluster.time.outcome(leader.bootstrap(BOOTSTRAP));
    assert.equal(versionOf(leader.state), 1);
  });

  test('decides requests one after another, each from what the one before it left', async () => {
    const { leaders, time, group } = await founded();
    const leader = leaders[0]!;
    const versions: number[] = [];
    leader.onChange(() => versions.push(versionOf(leader.state)));
    const first = splitAt(leader.state, 'c');
    const results = await time.outcome(
      Promise.allSettled([
        leader.run(first),
        // Meant for the version that the first one ends.
        leader.run(splitAt(leader.state, 'd')),
        leader.run({ ...splitAt(leader.state, 'x'), expectedVersion: 2 }),
      ]),
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.ok(refusedWith('VERSION_MISMATCH')((results[1] as PromiseRejectedResult).reason));
    assert.deepEqual(versions, [2, 3]);
    assert.deepEqual(visible(leader.state!), visible(group.loaded()));
  });

  test('cuts where an object begins, whatever key it is asked to cut at, and knows the request again', async () => {
    const { leaders, time } = await founded(1, { align: (key) => key.subarray(0, 1) });
    const leader = leaders[0]!;
    const asked = splitAt(leader.state, 'cxx');
    await time.outcome(leader.run(asked));
    assert.deepEqual([routeAt(leader.state, 'c').start, routeAt(leader.state, 'bz').end], [bytes('c'), bytes('c')]);
    assert.equal((await time.outcome(leader.run(asked, true))).version, 2);
    assert.equal(versionOf(leader.state), 2);
  });

  test('forgets everything when it leads no more, and those who wait are told to go elsewhere', async () => {
    const { leaders, time, group } = await founded(2);
    const leader = leaders[0]!;
    let changes = 0;
    leader.onChange(() => changes++);
    const waiting = [splitAt(leader.state, 'c'), splitAt(leader.state, 'd')].map((op) => leader.run(op));
    group.elect(1);
    assert.equal(leader.state, undefined);
    assert.equal(changes, 1);
    const outcomes = await time.outcome(Promise.allSettled(waiting));
    assert.ok((outcomes[0] as PromiseRejectedResult).reason instanceof OutcomeUnknownError);
    assert.ok((outcomes[1] as PromiseRejectedResult).reason instanceof NotLeaderError);
    await time.until('the next leader has the rows', () => leaders[1]!.state !== undefined);
    assert.deepEqual(visible(leaders[1]!.state!), visible(group.loaded()));
    assert.equal(leaders[1]!.leaderTerm, 2);
  });

  test('reads the rows again when an outcome is unknown, whichever it was', async () => {
    for (const fate of ['applied, unheard', 'lost', 'late'] satisfies Fate[]) {
      const { leaders, time, group } = await founded();
      const leader = leaders[0]!;
      const op = splitAt(leader.state, 'c');
      group.fate = (kind) => (kind === 'write' ? fate : 'ok');
      await assert.rejects(time.outcome(leader.run(op)), OutcomeUnknownError);
      group.fate = () => 'ok';
      // The same again: done if it was not, and answered the same if it was.
      const again = await time.outcome(leader.run(op, true));
      assert.equal(again.version, 2, fate);
      group.applyLate();
      assert.deepEqual(
        (await time.outcome(leader.read((state) => visible(state)))) as object,
        visible(group.loaded()),
        fate,
      );
      assert.equal(versionOf(leader.state), 2, fate);
    }
  });

  test('writes nothing on rows that another leader has changed, and decides again from the new ones', async () => {
    const { leaders, time, group } = await founded(2);
    const [first, second] = [leaders[0]!, leaders[1]!];
    // Both believe that they lead.
    group.usurpers.add(0).add(1);
    group.elect(1);
    await time.until('both have loaded', () => first.state !== undefined && second.state !== undefined);
    await time.outcome(second.run({ kind: 'setSetting', name: 'autosplit', value: 'on' }));
    const { job } = await time.outcome(second.run(moveOf(second.state, 'x', 3)));
    assert.equal(versionOf(first.state), 1);
    // The first one's knowledge allows it; the rows do not.
    await assert.rejects(time.outcome(first.run(splitAt(first.state, 'x'))), refusedWith('VERSION_MISMATCH'));
    // Neither what names no version is decided from old rows.
    await time.outcome(first.run({ kind: 'transitionJob', jobId: job.id, expectedRevision: 1, phase: 'ABORTING' }));
    await assert.rejects(
      time.outcome(second.run({ kind: 'transitionJob', jobId: job.id, expectedRevision: 1, phase: 'PREP_TARGET' })),
      refusedWith('JOB_CHANGED'),
    );
    // Nor is anything answered from them.
    await time.outcome(second.run(splitAt(second.state, 'c')));
    assert.equal(await time.outcome(first.read((state) => versionOf(state))), 3);
    assert.deepEqual(visible(first.state!), visible(group.loaded()));
  });

  test('does not put pages of different moments together', async () => {
    const { leaders, time, group } = await founded(2);
    const first = leaders[0]!;
    for (const key of ['b', 'd', 'f', 'h']) await time.outcome(first.run(splitAt(first.state, key)));
    const { job } = await time.outcome(first.run(moveOf(first.state, 'x', 3)));
    const step = { kind: 'transitionJob', jobId: job.id, expectedRevision: 1, phase: 'ABORTING' } as const;
    let pages = 0;
    let mayLoad = false;
    group.usurpers.add(0);
    group.fate = (kind, node) => {
      if (node === 0) return 'ok';
      if (!mayLoad) return 'refused';
      // The next leader has read the rows of jobs, and the one before it writes once more.
      if (kind === 'scan' && ++pages === 3) void first.run(step);
      return 'ok';
    };
    group.elect(1);
    await time.until('the first one is ready', () => first.state !== undefined);
    mayLoad = true;
    await time.until('the next leader has the rows', () => leaders[1]!.state !== undefined);
    assert.ok(pages > 5, 'it read twice');
    assert.equal(group.loaded().jobs.get(job.id)?.phase, 'ABORTING');
    assert.deepEqual(visible(leaders[1]!.state!), visible(group.loaded()));
  });

  test('serves again after failed attempts to read the rows', async () => {
    const { leaders, time, group } = await founded(2);
    let failures = 3;
    group.fate = (kind) => (kind !== 'write' && failures-- > 0 ? 'refused' : 'ok');
    group.elect(1);
    assert.equal(await time.outcome(leaders[1]!.read((state) => versionOf(state))), 1);
  });

  test('refuses everything while rows are damaged, and says so', async () => {
    const cluster = await founded(2);
    const name = META_KEY.toString('latin1');
    const meta = cluster.group.rows.get(name)!;
    cluster.group.rows.delete(name);
    cluster.group.elect(1);
    await assert.rejects(cluster.time.outcome(cluster.leaders[1]!.read((state) => state)), { code: 'CATALOG_CORRUPT' });
    assert.ok(cluster.errors.length > 0);
    cluster.group.rows.set(name, meta);
    await cluster.time.until('it has looked again', () => cluster.leaders[1]!.state !== undefined);
  });

  test('does not take a catalog whose rows it cannot see for a cluster that is to be founded', async () => {
    const cluster = await founded(2);
    cluster.group.refusesScans = true;
    cluster.group.elect(1);
    await assert.rejects(cluster.time.outcome(cluster.leaders[1]!.bootstrap(BOOTSTRAP)), { code: 'CATALOG_CORRUPT' });
    assert.equal(versionOf(cluster.group.loaded()), 1);
    assert.equal(cluster.leaders[1]!.state, undefined);
  });

  test('turns requests away when too many wait, and a busy group has done nothing', async () => {
    const { leaders, time, group } = await founded();
    const leader = leaders[0]!;
    group.fate = (kind) => (kind === 'write' ? 'busy' : 'ok');
    await assert.rejects(time.outcome(leader.run(splitAt(leader.state, 'c'))), BusyError);
    assert.equal(versionOf(leader.state), 1, 'the state is still known');
    group.fate = () => 'ok';
    const reads = Array.from({ length: 1_100 }, () => leader.read((state) => versionOf(state)));
    const refused = (await time.outcome(Promise.allSettled(reads))).filter(({ status }) => status === 'rejected');
    assert.ok(refused.length > 0 && refused.length < 100);
    assert.ok((refused[0] as PromiseRejectedResult).reason instanceof BusyError);
  });

  test('refuses what makes no sense, and goes on whatever its listeners do', async () => {
    const cluster = await founded();
    const { leaders, time } = cluster;
    const leader = leaders[0]!;
    const senseless = { kind: 'batchSplit', expectedVersion: 1 } as unknown as ReturnType<typeof splitAt>;
    await assert.rejects(time.outcome(leader.run(senseless)), { code: 'CATALOG_MESSAGE' });
    leader.onChange(() => {
      throw new Error('a listener failed');
    });
    assert.equal((await time.outcome(leader.run(splitAt(leader.state, 'c')))).version, 2);
    assert.equal(cluster.errors.length, 1);
  });

  test('loses its place at any await and leaves whole rows behind', async () => {
    for (let at = 1; at <= 14; at++) {
      const { leaders, time, group } = await founded(2);
      let steps = 0;
      group.fate = () => {
        if (++steps === at) group.elect(group.leader === 0 ? 1 : 0);
        return 'ok';
      };
      group.elect(1);
      const outcomes = [0, 1].flatMap((node) => {
        const leader = leaders[node]!;
        return [
          leader.run({ kind: 'setSetting', name: 'autosplit', value: 'on' }),
          leader.run({
            kind: 'putNode',
            node: nodeReport(BOOTSTRAP.groups[0]!.founders[0]!, { address: 'a:1', capabilities: 0n, heartbeatMs: 1 }),
            expectedRevision: undefined,
          }),
        ];
      });
      const settled = await time.outcome(Promise.allSettled(outcomes));
      const leader = leaders[group.leader!]!;
      await time.until('somebody serves', () => leader.state !== undefined);
      assert.deepEqual(
        await time.outcome(leader.read((state) => visible(state))),
        visible(group.loaded()),
        `leadership lost at step ${at}`,
      );
      const isSet = group.loaded().settings.get('autosplit')?.value === 'on';
      const isAcknowledged = settled.some((one, index) => index % 2 === 0 && one.status === 'fulfilled');
      assert.ok(isSet || !isAcknowledged, `an acknowledged setting is there, step ${at}`);
    }
  });

  test('asks for the slowest watcher with every commit', async () => {
    const { leaders, time } = await founded();
    const leader = leaders[0]!;
    let asked = 0;
    leader.trackSlowestCursor(() => {
      asked++;
      return 1;
    });
    await time.outcome(leader.run(splitAt(leader.state, 'c')));
    assert.equal(asked, 1);
  });

  test('keeps the timestamp of the meta row in every commit, also of those that change no route', async () => {
    const { leaders, time, group } = await founded();
    const name = META_KEY.toString('latin1');
    const before = group.rows.get(name)!;
    await time.outcome(leaders[0]!.run({ kind: 'setSetting', name: 'autosplit', value: 'on' }));
    const { job } = await time.outcome(leaders[0]!.run(moveOf(leaders[0]!.state, 'x', 3)));
    const between = group.rows.get(name)!;
    await time.outcome(
      leaders[0]!.run({ kind: 'transitionJob', jobId: job.id, expectedRevision: 1, phase: 'PREP_TARGET' }),
    );
    const after = group.rows.get(name)!;
    assert.ok(before.commitTs < between.commitTs && between.commitTs < after.commitTs);
    assert.deepEqual(between.value, after.value);
    assert.equal(routeAt(leaders[0]!.state, 'x').jobId, job.id);
  });
});
