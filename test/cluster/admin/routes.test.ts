import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PAGE_ROUTES, routePages, watchRoutes } from '../../../src/cluster/admin/route-watch.ts';
import type { RoutesChange, RouteView } from '../../../src/cluster/contract/admin.ts';
import { SETTINGS } from '../../../src/distribution/catalog/settings.ts';
import type { CatalogDelta, Route } from '../../../src/distribution/contract/types.ts';
import { RouteEngine } from '../../../src/distribution/routes/route-engine.ts';
import { RouteTableLoader } from '../../../src/distribution/routes/route-table.ts';
import { groupId, KvorumError, nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { ArrayDirectory, bytes, delta, route } from '../../distribution/builders.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';
import { AdminCluster } from './admin-cluster.ts';

const T = 5_000;
const code = (wanted: string, message?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof KvorumError, String(error));
  assert.equal(error.code, wanted);
  if (message !== undefined) assert.match(error.message, message);
  return true;
};

/** Two groups on one node; all keys are in group 1. */
const single = () => AdminCluster.found({ founders: [1], groups: [groupId(1), groupId(2)] });

const listed = (cluster: AdminCluster, id = 1): RouteView[] =>
  [...cluster.backends.get(id)!.routes({ start: Buffer.alloc(0), limit: 0 })].flatMap((page) => page.routes);

describe('routes by key', () => {
  test('are split and merged without naming a version', async () => {
    const cluster = await single();
    const split = await cluster.ask(1, (backend) => backend.split(bytes('m'), undefined, T));
    assert.deepEqual(
      listed(cluster).map(({ start, groupId: owner }) => [start.toString('latin1'), owner]),
      [
        ['', 1],
        ['\x01', 1],
        ['m', 1],
      ],
    );
    assert.deepEqual(
      split.routeIds,
      listed(cluster)
        .slice(1)
        .map(({ id }) => id),
    );
    await assert.rejects(
      cluster.ask(1, (backend) => backend.split(bytes('m'), undefined, T)),
      code('INVALID_SPLIT_KEY', /starts at 'm' already/),
    );
    await assert.rejects(
      cluster.ask(1, (backend) => backend.split(bytes('\0c'), undefined, T)),
      code('RESERVED_RANGE'),
    );
    await assert.rejects(
      cluster.ask(1, (backend) => backend.merge(bytes('n'), undefined, T)),
      code('NOT_A_BOUNDARY', /no route starts at 'n'; .* such as 'm'/),
    );
    await assert.rejects(
      cluster.ask(1, (backend) => backend.merge(Buffer.alloc(0), undefined, T)),
      code('NOT_A_BOUNDARY', /none on its left/),
    );
    const merged = await cluster.ask(1, (backend) => backend.merge(bytes('m'), undefined, T));
    assert.equal(merged.version, split.version + 1);
    assert.equal(listed(cluster).length, 2);
  });

  test('of different groups are merged by a job that moves the smaller one', async () => {
    for (const [leftBytes, rightBytes, moved] of [
      [100, 5_000, 'left'],
      [5_000, 100, 'right'],
      [undefined, 100, 'right'],
    ] as const) {
      const cluster = await single();
      await cluster.ask(1, (backend) => backend.split(bytes('m'), undefined, T));
      const { id: moving } = await cluster.ask(1, (backend) =>
        backend.move({ key: bytes('x') }, groupId(2), undefined, T),
      );
      cluster.catalog.finishMove(moving);
      if (leftBytes !== undefined) cluster.rangeBytes.set('\x01', leftBytes);
      cluster.rangeBytes.set('m', rightBytes);
      const [left, right] = listed(cluster).slice(1) as [RouteView, RouteView];
      assert.deepEqual([left.groupId, right.groupId], [1, 2]);
      const { job, routeIds } = await cluster.ask(1, (backend) => backend.merge(bytes('m'), undefined, T));
      const [goes, stays] = moved === 'left' ? [left, right] : [right, left];
      assert.deepEqual([job?.routeId, job?.dst, job?.mergeWith, routeIds], [goes.id, stays.groupId, stays.id, []]);
      assert.equal(job?.isAbortable, true);
      await cluster.ask(1, (backend) => backend.abortJob(job!.id, T));
    }
  });

  test('are looked at again when somebody else was faster, and when this node is behind', async () => {
    const cluster = await single();
    cluster.catalog.before = async () => {
      // Another split is decided first; this node learns of it a moment later.
      cluster.deaf.add(1);
      const { meta, routes } = cluster.catalog.state;
      cluster.catalog.apply({
        kind: 'split',
        expectedVersion: meta!.version,
        routeId: routes.lookup(bytes('d'))!.id,
        splitKey: bytes('d'),
        splitAtTs: 1n as never,
      });
      cluster.sim.node(1).machine.scheduler.after(300, () => {
        cluster.deaf.delete(1);
        cluster.publish();
      });
    };
    const result = await cluster.ask(1, (backend) => backend.split(bytes('m'), undefined, T));
    assert.equal(result.version, 3);
    assert.equal(cluster.catalog.requests.length, 2, 'asked once in vain and once for good');
  });

  test('are refused at another version when the operator insists on one', async () => {
    const cluster = await single();
    const before = cluster.directories.get(1)!.current.version;
    await cluster.ask(1, (backend) => backend.split(bytes('d'), before, T));
    await assert.rejects(
      cluster.ask(1, (backend) => backend.split(bytes('m'), before, T)),
      code('VERSION_MISMATCH', /at version 2, not 1; look again/),
    );
    assert.equal(cluster.catalog.requests.length, 1, 'the catalog was not even asked');
  });

  test('show a change to whoever asks the same node next', async () => {
    const cluster = await single();
    cluster.deaf.add(1);
    cluster.sim.node(1).machine.scheduler.after(500, () => {
      cluster.deaf.delete(1);
      cluster.publish();
    });
    await cluster.ask(1, (backend) => backend.split(bytes('m'), undefined, T));
    await cluster.ask(1, (backend) => backend.merge(bytes('m'), undefined, T));
  });

  test('are cut many at once, and a repeated batch answers what it answered', async () => {
    const cluster = await single();
    const keys = ['d', 'm', 't'].map(bytes);
    const id = Buffer.alloc(16, 7);
    const first = await cluster.ask(1, (backend) => backend.batchSplit(keys, id, undefined, T));
    assert.equal(first.routeIds.length, 4);
    await cluster.ask(1, (backend) => backend.split(bytes('x'), undefined, T));
    assert.deepEqual(
      await cluster
        .ask(1, (backend) => backend.batchSplit(keys.slice(0, 2).concat(keys[2]!), id, undefined, T))
        .catch((error) => error.code),
      'BATCH_REUSED',
    );
    const fresh = await single();
    const once = await fresh.ask(1, (backend) => backend.batchSplit(keys, id, undefined, T));
    assert.deepEqual(await fresh.ask(1, (backend) => backend.batchSplit(keys, id, undefined, T)), once);
    await assert.rejects(
      fresh.ask(1, (backend) => backend.batchSplit(keys, Buffer.alloc(16, 8), undefined, T)),
      code('INVALID_SPLIT_KEY', /start at all of these keys already/),
    );
    await assert.rejects(
      fresh.ask(1, (backend) => backend.batchSplit([bytes('d'), bytes('e')], Buffer.alloc(16, 9), undefined, T)),
      code('BATCH_REJECTED'),
    );
    for (const [wrong, batchId] of [
      [[], id],
      [Array.from({ length: 257 }, (_, at) => bytes(`k${at}`)), id],
      [keys, Buffer.alloc(3)],
    ] as const) {
      await assert.rejects(
        fresh.ask(1, (backend) => backend.batchSplit(wrong, batchId, undefined, T)),
        code('INVALID_ARGUMENT'),
      );
    }
  });

  test('wait for a directory before anything is decided', async () => {
    const cluster = await single();
    const node = await cluster.start(2);
    assert.ok(node.isUp);
    // A node that has just started knows no version.
    const empty = new RouteEngine(0);
    assert.deepEqual(
      [...routePages(empty.current, { start: Buffer.alloc(0), limit: 0 })],
      [{ version: 0, incarnation: 0, routes: [] }],
    );
  });
});

describe('moves', () => {
  test('are begun by a key or an id, listed, and given up', async () => {
    const cluster = await single();
    await cluster.ask(1, (backend) => backend.split(bytes('m'), undefined, T));
    const right = listed(cluster).at(-1)!;
    const job = await cluster.ask(1, (backend) => backend.move({ id: right.id }, groupId(2), undefined, T));
    assert.deepEqual([job.routeId, job.src, job.dst, job.phase, job.isAbortable], [right.id, 1, 2, 'PLANNED', true]);
    assert.equal(listed(cluster).at(-1)!.state, 'MOVING');
    await assert.rejects(
      cluster.ask(1, (backend) => backend.move({ key: bytes('z') }, groupId(2), undefined, T)),
      code('ROUTE_BUSY'),
    );
    await assert.rejects(
      cluster.ask(1, (backend) => backend.move({ id: 999 }, groupId(2), undefined, T)),
      code('ROUTE_NOT_FOUND'),
    );
    await assert.rejects(
      cluster.ask(1, (backend) => backend.move({ key: bytes('b') }, groupId(9), undefined, T)),
      code('GROUP_NOT_FOUND', /there are 1, 2/),
    );
    assert.deepEqual(await cluster.ask(1, (backend) => backend.jobs(0, 5, T)), [job]);

    // The driver goes one step on between the look and the word.
    cluster.catalog.before = () => {
      cluster.catalog.apply({ kind: 'transitionJob', jobId: job.id, expectedRevision: 1, phase: 'PREP_TARGET' });
    };
    const aborted = await cluster.ask(1, (backend) => backend.abortJob(job.id, T));
    assert.deepEqual([aborted.changed, aborted.job.phase], [true, 'ABORTING']);
    assert.equal((await cluster.ask(1, (backend) => backend.abortJob(job.id, T))).changed, false);
    const revision = aborted.job.revision;
    cluster.catalog.apply({ kind: 'transitionJob', jobId: job.id, expectedRevision: revision, phase: 'ABORTED' });
    assert.deepEqual(await cluster.ask(1, (backend) => backend.jobs(0, 0, T)), []);
    assert.equal((await cluster.ask(1, (backend) => backend.jobs(job.id, 0, T)))[0]!.isFinished, true);
    await assert.rejects(
      cluster.ask(1, (backend) => backend.abortJob(99, T)),
      code('JOB_NOT_FOUND'),
    );
  });

  test('are not given up once the source has released the range', async () => {
    const cluster = await single();
    await cluster.ask(1, (backend) => backend.split(bytes('m'), undefined, T));
    const { id } = await cluster.ask(1, (backend) => backend.move({ key: bytes('m') }, groupId(2), undefined, T));
    let revision = 1;
    const step = (phase: 'PREP_TARGET' | 'ARM_SOURCE' | 'BACKFILL' | 'CATCH_UP' | 'FENCE' | 'RELEASE') => {
      cluster.catalog.apply({ kind: 'transitionJob', jobId: id, expectedRevision: revision++, phase });
    };
    for (const phase of ['PREP_TARGET', 'ARM_SOURCE', 'BACKFILL', 'CATCH_UP', 'FENCE', 'RELEASE'] as const) step(phase);
    await assert.rejects(
      cluster.ask(1, (backend) => backend.abortJob(id, T)),
      code('NOT_ABORTABLE', /is in RELEASE and only goes forward/),
    );
  });
});

describe('groups, settings and features', () => {
  test('come from the catalog, with what this node knows beside', async () => {
    const cluster = await single();
    const [first, second] = await cluster.ask(1, (backend) => backend.groups(T));
    assert.deepEqual([first!.leader, first!.routeCount, second!.routeCount], [1, 2, 0]);
    const create = (founders: number[], leader?: number) =>
      cluster.ask(1, (backend) =>
        backend.createGroup(undefined, founders.map(nodeId), leader === undefined ? undefined : nodeId(leader), T),
      );
    const created = await create([1]);
    assert.deepEqual([created.id, created.founders, created.state], [3, [1], 'ACTIVE']);
    await assert.rejects(create([]), code('INVALID_ARGUMENT'));
    await assert.rejects(create([1, 1]), code('INVALID_ARGUMENT', /twice/));
    await assert.rejects(create([1], 2), code('INVALID_ARGUMENT', /none of the founders/));
    await assert.rejects(
      create([1, 7]),
      code('NODE_NOT_FOUND', /node 7 is not in the cluster; start it first. There are 1/),
    );
    assert.equal((await cluster.ask(1, (backend) => backend.removeGroup(created.id, T))).state, 'REMOVED');
    await assert.rejects(
      cluster.ask(1, (backend) => backend.removeGroup(groupId(1), T)),
      code('GROUP_BUSY'),
    );
  });

  test('are listed with their defaults, and go back to them', async () => {
    const cluster = await single();
    const named = async (name: string) =>
      (await cluster.ask(1, (backend) => backend.settings(T))).find((setting) => setting.name === name)!;
    assert.deepEqual(await named('autosplit'), {
      name: 'autosplit',
      value: SETTINGS.autosplit.initial,
      revision: 0,
      isDefault: true,
      description: SETTINGS.autosplit.description,
      allowed: SETTINGS.autosplit.values.join(', '),
    });
    const set = await cluster.ask(1, (backend) => backend.setSetting('autosplit', 'on', T));
    assert.deepEqual([set.value, set.isDefault, set.revision], ['on', false, 1]);
    assert.equal((await named('autosplit')).value, 'on');
    const cleared = await cluster.ask(1, (backend) => backend.setSetting('autosplit', '', T));
    assert.deepEqual([cleared.value, cleared.isDefault], [SETTINGS.autosplit.initial, true]);
    await assert.rejects(
      cluster.ask(1, (backend) => backend.setSetting('autosplit', 'maybe', T)),
      code('INVALID_SETTING'),
    );
    await assert.rejects(
      cluster.ask(1, (backend) => backend.setSetting('color', 'red', T)),
      code('INVALID_SETTING', /there are/),
    );
  });

  test('name the nodes that stand in the way of a feature', async () => {
    const cluster = await single();
    const before = await cluster.ask(1, (backend) => backend.features(T));
    const [able, unable] = ['ranges.move', 'ranges.balance'].map((name) => before.find((each) => each.name === name)!);
    assert.deepEqual([able!.isActive, able!.missingOn, unable!.missingOn], [false, [], [1]]);
    assert.equal((await cluster.ask(1, (backend) => backend.activateFeature('ranges.move', T))).isActive, true);
    await assert.rejects(
      cluster.ask(1, (backend) => backend.activateFeature('ranges.balance', T)),
      code('FEATURE_UNSUPPORTED'),
    );
  });
});

/** Longer than a stream waits between two looks at the directory. */
const LONG_MS = 60_000;

describe('the directory as a stream', () => {
  const engineOf = (rows: readonly Route[]): RouteEngine => {
    const loader = new RouteTableLoader();
    for (const row of rows) loader.add(row);
    const engine = new RouteEngine(0);
    engine.publish(loader.finish(1, 5));
    return engine;
  };

  test('comes in pages of one version, filtered as asked', () => {
    const rows = Array.from({ length: PAGE_ROUTES + 3 }, (_, at) =>
      route(
        at + 1,
        at === 0 ? '' : `k${String(at).padStart(4, '0')}`,
        at === PAGE_ROUTES + 2 ? '' : `k${String(at + 1).padStart(4, '0')}`,
        1 + (at % 2),
      ),
    );
    const table = engineOf(rows).current;
    const ids = (filter: Partial<Parameters<typeof routePages>[1]>) =>
      [...routePages(table, { start: Buffer.alloc(0), limit: 0, ...filter })].map((page) =>
        page.routes.map(({ id }) => id),
      );
    assert.deepEqual(
      ids({}).map((page) => page.length),
      [PAGE_ROUTES, 3],
    );
    assert.deepEqual(ids({ limit: 2 }), [[1, 2]]);
    assert.deepEqual(ids({ start: bytes('k0002'), end: bytes('k0004') }), [[3, 4]]);
    assert.deepEqual(ids({ groupId: groupId(2), start: bytes('k0003x'), end: bytes('k0008') }), [[4, 6, 8]]);
    assert.deepEqual(ids({ groupId: groupId(3) }), [[]]);
  });

  test('leads whoever follows it to each version, whatever changes and however many at once', async () => {
    const seed = Number(process.env.SEED ?? 20_261_121);
    const random = new SeededRandom(seed);
    const directory = new ArrayDirectory([route(1, '', '', 1)], 2);
    const engine = engineOf(directory.rows);
    const scheduler = new ManualScheduler(new ManualClock());
    const abort = new AbortController();
    const stream = watchRoutes(engine, scheduler, false, abort.signal);
    let known = new Map<string, RouteView>();
    const take = (change: RoutesChange): void => {
      if (change.isSnapshot) known = new Map();
      for (const { id, start } of change.removed) {
        assert.equal(known.get(start.toString('hex'))?.id, id, `seed ${seed}`);
        known.delete(start.toString('hex'));
      }
      for (const row of change.upserts) {
        const start = row.start.toString('hex');
        assert.equal(known.get(start)?.id ?? row.id, row.id, `seed ${seed}: the row before was not taken out`);
        known.set(start, row);
      }
    };
    const follow = async (): Promise<void> => {
      for (;;) {
        const next = stream.next();
        let isThere = false;
        const settled = (): void => {
          isThere = true;
        };
        next.then(settled, settled);
        for (let turns = 0; !isThere; turns++) {
          assert.ok(turns < 1_000, `seed ${seed}: no change comes`);
          scheduler.advance(LONG_MS);
          await new Promise((resolve) => setImmediate(resolve));
        }
        const change = (await next).value as RoutesChange;
        take(change);
        if (!change.hasMore) return;
      }
    };
    await follow();
    for (let version = 2; version <= 60; ) {
      let deltas = 1 + random.int(4);
      for (; deltas > 0; deltas--) {
        const mutations = directory.change(random, 3);
        const stamped: CatalogDelta = delta(
          version,
          mutations.map((mutation) =>
            mutation.kind === 'delete'
              ? mutation
              : { kind: 'upsert', route: { ...mutation.route, modifiedVersion: version } },
          ),
        );
        engine.publish(engine.current.apply(stamped));
        version++;
      }
      await follow();
      const seen = [...known.values()].sort((left, right) => Buffer.compare(left.start, right.start));
      assert.deepEqual(
        seen.map(({ id, groupId: owner }) => [id, owner]),
        directory.rows.map(({ id, groupId: owner }) => [id, owner]),
        `seed ${seed}, version ${version}`,
      );
    }
    const over = stream.next();
    abort.abort();
    assert.deepEqual(await over, { done: true, value: undefined });
  });

  test('begins anew when the catalog has begun a new life', async () => {
    const engine = engineOf([route(1, '', '', 1)]);
    const scheduler = new ManualScheduler(new ManualClock());
    const stream = watchRoutes(engine, scheduler, true, new AbortController().signal);
    const next = stream.next();
    await new Promise((resolve) => setImmediate(resolve));
    engine.publish(engine.current.inIncarnation(6));
    scheduler.advance(LONG_MS);
    const change = (await next).value as RoutesChange;
    assert.deepEqual([change.isSnapshot, change.incarnation, change.upserts.length], [true, 6, 1]);
    void stream.return(undefined);
  });
});
