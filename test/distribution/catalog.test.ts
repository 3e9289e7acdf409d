import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { SplitItem } from '../../src/distribution/catalog/catalog-routes.ts';
import { advanceCatalog } from '../../src/distribution/catalog/catalog-state.ts';
import { CAPABILITIES } from '../../src/distribution/catalog/features.ts';
import {
  CATALOG_END,
  CATALOG_START,
  deltaKey,
  isReservedKey,
  META_KEY,
  originalKey,
  RESERVED_END,
  userKey,
} from '../../src/distribution/contract/catalog-keys.ts';
import type { JobPhase, JobRow } from '../../src/distribution/contract/catalog-rows.ts';
import { CatalogCorruptError, CatalogError } from '../../src/distribution/contract/errors.ts';
import { RouteEngine } from '../../src/distribution/routes/route-engine.ts';
import { RouteTable } from '../../src/distribution/routes/route-table.ts';
import { hlcTimestamp, nodeId, SeededRandom } from '../../src/platform/index.ts';
import { bytes, group, nodeReport } from './builders.ts';
import { CatalogModel, founded, SPLIT_TS, visible } from './catalog-model.ts';

const seeds = (): fc.Arbitrary<number> => fc.integer({ min: 0, max: 0xffff_ffff });

const batch = (model: CatalogModel, id: number, items: SplitItem[], expectedVersion = model.version) =>
  ({ kind: 'batchSplit', expectedVersion, batchId: Buffer.alloc(16, id), items, splitAtTs: SPLIT_TS }) as const;
const item = (model: CatalogModel, key: string): SplitItem => ({ routeId: model.route(key).id, splitKey: bytes(key) });

const FORWARD: JobPhase[] = [
  'PREP_TARGET',
  'ARM_SOURCE',
  'BACKFILL',
  'CATCH_UP',
  'FENCE',
  'RELEASE',
  'ACTIVATE',
  'PUBLISH',
];

/** Takes a fresh move of the route of `key` to `phase`. */
function moveUpTo(model: CatalogModel, key: string, phase: JobPhase, dst = 2): JobRow {
  const { id, start } = model.route(key);
  let { job } = model.run({
    kind: 'createMove',
    expectedVersion: model.version,
    routeId: id,
    start,
    dst: group(dst),
  });
  for (const next of FORWARD.slice(0, FORWARD.indexOf(phase) + 1)) {
    job = model.run({
      kind: 'transitionJob',
      jobId: job.id,
      expectedRevision: job.revision,
      phase: next,
      ...(next === 'ACTIVATE' ? { fenceTs: hlcTimestamp(900n), spanEpoch: 2 } : {}),
    }).job;
  }
  return job;
}

const step = (job: JobRow, phase: JobPhase) =>
  ({ kind: 'transitionJob', jobId: job.id, expectedRevision: job.revision, phase }) as const;

describe('the keys of the catalog', () => {
  test('cannot be reached from outside, and keys from outside keep their order and come back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 0x63, 255), fc.nat(255)), { maxLength: 5 }), {
          maxLength: 20,
        }),
        (keys) => {
          const raw = keys.map((key) => Buffer.from(key)).sort(Buffer.compare);
          const stored = raw.map(userKey);
          for (const [at, key] of stored.entries()) {
            assert.ok(!isReservedKey(key));
            assert.ok(Buffer.compare(key, RESERVED_END) >= 0);
            assert.deepEqual(originalKey(key), raw[at]);
            if (at > 0)
              assert.equal(
                Math.sign(Buffer.compare(stored[at - 1]!, key)),
                Math.sign(Buffer.compare(raw[at - 1]!, raw[at]!)),
              );
          }
        },
      ),
    );
    assert.equal(originalKey(META_KEY), undefined);
    assert.equal(originalKey(Buffer.of(1, 2)), undefined);
  });

  test('lie in the reserved route of the catalog group', () => {
    const model = CatalogModel.bootstrapped();
    for (const key of model.storedRows().map((row) => row.key)) {
      assert.ok(isReservedKey(key));
      assert.ok(Buffer.compare(key, CATALOG_START) >= 0 && Buffer.compare(key, CATALOG_END) < 0);
      assert.equal(model.state.routes.groupOf(key), 1);
    }
  });
});

describe('a bootstrap', () => {
  const ranges = (...list: [string, string, number][]) =>
    list.map(([start, end, owner]) => ({
      start: bytes(start),
      end: end === '' ? undefined : bytes(end),
      groupId: group(owner),
    }));
  const bootstrap = (list: ReturnType<typeof ranges>) =>
    ({ kind: 'bootstrap', incarnation: 1, catalogGroup: group(1), ranges: list, groups: founded(1, 2, 3) }) as const;

  test('gives the reserved keys to the catalog group and all others as configured', () => {
    const model = new CatalogModel();
    const result = model.run(bootstrap(ranges(['', 'f', 3], ['f', '', 2])));
    assert.deepEqual(result, { version: 1, routeIds: [1, 2, 3] });
    assert.deepEqual(
      [...model.state.routes.all()].map(({ start, groupId }) => [start.toString('latin1'), groupId]),
      [
        ['', 1],
        ['\x01', 3],
        ['f', 2],
      ],
    );
    assert.equal(model.state.log.delta(1)?.cause, 'bootstrap');
    assert.equal(model.refusal(bootstrap(ranges(['', '', 1]))), 'ALREADY_BOOTSTRAPPED');
  });

  test('refuses ranges that miss, repeat or misplace a key', () => {
    const model = new CatalogModel();
    const wrong = [
      ranges(),
      ranges(['a', '', 1]),
      ranges(['', 'f', 1]),
      ranges(['', 'f', 1], ['g', '', 1]),
      ranges(['', 'g', 1], ['f', '', 1]),
      ranges(['', '', 1], ['f', '', 1]),
      ranges(['', 'f', 1], ['f', 'f', 1], ['f', '', 1]),
      ranges(['', '\x01', 1], ['\x01', '', 1]),
    ];
    for (const list of wrong) assert.equal(model.refusal(bootstrap(list)), 'INVALID_RANGES');
    assert.equal(model.refusal(batch(model, 1, [{ routeId: 1, splitKey: bytes('x') }])), 'NOT_BOOTSTRAPPED');
  });
});

describe('a split', () => {
  test('replaces a route by two children of the same group in one version', () => {
    const model = CatalogModel.bootstrapped();
    const parent = model.route('c');
    const { version, routeIds } = model.split('c');
    assert.equal(version, 2);
    const [left, right] = [model.route('b'), model.route('c')];
    assert.deepEqual([left.id, right.id], routeIds);
    for (const child of [left, right]) {
      assert.equal(child.parentId, parent.id);
      assert.equal(child.groupId, parent.groupId);
      assert.equal(child.splitAtTs, SPLIT_TS);
      assert.equal(child.createdVersion, 2);
    }
    assert.equal(model.state.log.delta(2)?.mutations.length, 3);
  });

  test('is refused for another version, another route, a key at the edge, reserved keys and a moving route', () => {
    const model = CatalogModel.bootstrapped();
    const { id } = model.route('c');
    const split = (key: string, routeId = id, expectedVersion = model.version) =>
      model.refusal({ kind: 'split', expectedVersion, routeId, splitKey: bytes(key), splitAtTs: SPLIT_TS });
    assert.equal(split('c', id, 5), 'VERSION_MISMATCH');
    assert.equal(split('x'), 'ROUTE_NOT_FOUND');
    assert.equal(split('m'), 'ROUTE_NOT_FOUND');
    assert.equal(split('\x01'), 'INVALID_SPLIT_KEY');
    assert.equal(split('\x00c', 1), 'RESERVED_RANGE');
    moveUpTo(model, 'c', 'PREP_TARGET');
    assert.equal(split('c'), 'ROUTE_BUSY');
  });
});

describe('a batch of splits', () => {
  test('makes 256 cuts in one version, several of them in one route', () => {
    const model = CatalogModel.bootstrapped();
    const items = Array.from({ length: 256 }, (_, at) => item(model, `n${String(at).padStart(3, '0')}`));
    const { version, routeIds } = model.run(batch(model, 1, items.reverse()));
    assert.equal(version, 2);
    assert.equal(routeIds.length, 257);
    assert.equal(model.state.routes.size, 3 + 256);
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
    assert.equal(model.refusal(batch(model, 2, [...items, item(model, 'c')])), 'BATCH_INVALID');
    assert.equal(model.refusal(batch(model, 2, [])), 'BATCH_INVALID');
  });

  test('is made as a whole or not at all, with a reason for every item that cannot be', () => {
    const model = CatalogModel.bootstrapped();
    const items = [item(model, 'c'), { routeId: 99, splitKey: bytes('d') }, item(model, 'c'), item(model, '\x00x')];
    const plan = model.plan(batch(model, 1, items));
    assert.ok(plan instanceof CatalogError);
    assert.equal(plan.code, 'BATCH_REJECTED');
    assert.deepEqual(
      plan.items.map(({ index, code }) => [index, code]),
      [
        [1, 'ROUTE_NOT_FOUND'],
        [2, 'INVALID_SPLIT_KEY'],
        [3, 'RESERVED_RANGE'],
      ],
    );
  });

  test('gives its first answer again, and refuses the id for anything else', () => {
    const model = CatalogModel.bootstrapped();
    const items = [item(model, 'c'), item(model, 'x'), item(model, 'e')];
    const request = batch(model, 1, items);
    const first = model.run(request);
    model.split('d');
    const before = model.version;
    assert.deepEqual(model.run(request), first);
    assert.equal(model.version, before);
    assert.equal(model.refusal(batch(model, 1, items.slice(1))), 'BATCH_REUSED');
    assert.equal(
      model.refusal(batch(model, 1, [item(model, 'g'), item(model, 'h'), item(model, 'i')])),
      'BATCH_REUSED',
    );
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('is refused as stale when its first answer is forgotten', () => {
    const model = CatalogModel.bootstrapped({ minVersions: 2, minAgeMs: 0 });
    const request = batch(model, 1, [item(model, 'c')]);
    model.run(request);
    for (const key of ['d', 'e', 'f', 'g']) {
      model.nowMs += 10;
      model.split(key);
    }
    assert.equal(model.refusal(request), 'VERSION_MISMATCH');
  });

  test('is refused when it would not fit into an entry', () => {
    const model = CatalogModel.bootstrapped();
    const items = Array.from({ length: 256 }, (_, at) =>
      item(model, `n${String(at).padStart(3, '0')}${'k'.repeat(2000)}`),
    );
    assert.equal(model.refusal(batch(model, 1, items)), 'BATCH_INVALID');
  });
});

describe('a merge', () => {
  const merge = (model: CatalogModel, boundary: string, leftKey: string) =>
    ({
      kind: 'merge',
      expectedVersion: model.version,
      leftId: model.route(leftKey).id,
      rightId: model.route(boundary).id,
      boundary: bytes(boundary),
    }) as const;

  test('joins two neighbours of one group', () => {
    const model = CatalogModel.bootstrapped();
    model.split('c');
    model.split('e');
    model.run(merge(model, 'e', 'd'));
    assert.deepEqual([model.route('e').start, model.route('e').end], [bytes('c'), bytes('m')]);
    model.run(merge(model, 'c', 'b'));
    assert.equal(model.state.routes.size, 3);
  });

  test('is refused across groups, for routes apart, and for reserved or moving ones', () => {
    const model = CatalogModel.bootstrapped();
    assert.equal(model.refusal(merge(model, 'm', 'c')), 'DIFFERENT_GROUPS');
    assert.equal(model.refusal(merge(model, '\x01', '\x00')), 'RESERVED_RANGE');
    model.split('c');
    model.split('e');
    assert.equal(model.refusal(merge(model, 'e', 'b')), 'NOT_ADJACENT');
    assert.equal(model.refusal({ ...merge(model, 'e', 'c'), boundary: bytes('f') }), 'NOT_ADJACENT');
    moveUpTo(model, 'e', 'PREP_TARGET');
    assert.equal(model.refusal(merge(model, 'e', 'd')), 'ROUTE_BUSY');
  });
});

describe('a move job', () => {
  test('takes its route through to the other group', () => {
    const model = CatalogModel.bootstrapped();
    model.split('c');
    let job = moveUpTo(model, 'c', 'PUBLISH');
    assert.equal(model.route('c').state, 'MOVING');
    assert.equal(model.route('c').groupId, 1);
    ({ job } = model.run({ kind: 'setGroup', jobId: job.id, expectedRevision: job.revision }));
    const moved = model.route('c');
    assert.deepEqual(
      [moved.groupId, moved.state, moved.spanEpoch, moved.minWriteTs, moved.jobId],
      [2, 'ACTIVE', 2, 900n, 0],
    );
    assert.equal(job.phase, 'CLEANUP');
    ({ job } = model.run(step(job, 'DONE')));
    assert.equal(model.state.jobs.size, 0);
    assert.deepEqual(
      model.state.finished.map((row) => row.job.phase),
      ['DONE'],
    );
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('can be given up before the source released the range, and never after', () => {
    for (const phase of ['PREP_TARGET', 'ARM_SOURCE', 'BACKFILL', 'CATCH_UP', 'FENCE'] as const) {
      const model = CatalogModel.bootstrapped();
      let job = moveUpTo(model, 'c', phase);
      ({ job } = model.run(step(job, 'ABORTING')));
      assert.equal(model.refusal(step(job, 'RELEASE')), 'JOB_PHASE');
      model.run(step(job, 'ABORTED'));
      assert.deepEqual([model.route('c').state, model.route('c').groupId], ['ACTIVE', 1]);
      assert.equal(model.state.log.delta(model.version)?.cause, 'moveAbort');
    }
    for (const phase of ['RELEASE', 'ACTIVATE', 'PUBLISH'] as const) {
      const model = CatalogModel.bootstrapped();
      assert.equal(model.refusal(step(moveUpTo(model, 'c', phase), 'ABORTING')), 'JOB_PHASE');
    }
  });

  test('goes back a phase only as a new attempt', () => {
    const model = CatalogModel.bootstrapped();
    const job = moveUpTo(model, 'c', 'FENCE');
    assert.equal(model.refusal(step(job, 'CATCH_UP')), 'JOB_PHASE');
    const again = model.run({ ...step(job, 'CATCH_UP'), attempt: job.attempt + 1 }).job;
    assert.equal(model.refusal(step(again, 'PREP_TARGET')), 'JOB_PHASE');
    assert.equal(model.refusal({ ...step(again, 'FENCE'), attempt: job.attempt }), 'JOB_PHASE');
    model.run({ ...step(again, 'PREP_TARGET'), attempt: again.attempt + 1 });
  });

  test('is changed only by who saw its last revision', () => {
    const model = CatalogModel.bootstrapped();
    const job = moveUpTo(model, 'c', 'FENCE');
    model.run(step(job, 'ABORTING'));
    assert.equal(model.refusal(step(job, 'RELEASE')), 'JOB_CHANGED');
    assert.equal(model.refusal({ kind: 'setGroup', jobId: job.id, expectedRevision: job.revision }), 'JOB_CHANGED');
    assert.equal(model.refusal(step({ ...job, id: 9 }, 'DONE')), 'JOB_NOT_FOUND');
  });

  test('skips no phase, publishes only from PUBLISH, and activates only with the answer of the release', () => {
    const model = CatalogModel.bootstrapped();
    const job = moveUpTo(model, 'c', 'BACKFILL');
    assert.equal(model.refusal(step(job, 'FENCE')), 'JOB_PHASE');
    assert.equal(model.refusal({ kind: 'setGroup', jobId: job.id, expectedRevision: job.revision }), 'JOB_PHASE');
    const other = CatalogModel.bootstrapped();
    const released = moveUpTo(other, 'c', 'RELEASE');
    assert.equal(other.refusal(step(released, 'ACTIVATE')), 'JOB_PHASE');
    const published = other.run({ ...step(released, 'ACTIVATE'), spanEpoch: 2, fenceTs: hlcTimestamp(3n) }).job;
    assert.equal(other.refusal({ ...step(published, 'PUBLISH'), spanEpoch: 1 }), 'JOB_PHASE');
    assert.equal(other.refusal(step(other.run(step(published, 'PUBLISH')).job, 'CLEANUP')), 'JOB_PHASE');
  });

  test('is the only one between its two groups, and not within one', () => {
    const model = CatalogModel.bootstrapped();
    model.split('c');
    const create = (key: string, dst: number) =>
      ({
        kind: 'createMove',
        expectedVersion: model.version,
        routeId: model.route(key).id,
        start: model.route(key).start,
        dst: group(dst),
      }) as const;
    assert.equal(model.refusal(create('c', 1)), 'SAME_GROUP');
    moveUpTo(model, 'c', 'BACKFILL');
    assert.equal(model.refusal(create('b', 2)), 'JOB_LIMIT');
    assert.equal(model.refusal(create('x', 1)), 'JOB_LIMIT');
    model.run(create('x', 3));
    assert.equal(model.refusal(create('\x00', 3)), 'RESERVED_RANGE');
  });
});

describe('the node table', () => {
  const node = (incarnation: number, heartbeatMs: number) => ({
    nodeId: nodeId(4),
    incarnation: Buffer.alloc(16, incarnation),
    address: '127.0.0.1:1',
    locality: 'region=eu',
    capabilities: 5n,
    heartbeatMs,
    leaderCount: 1,
    replicaCount: 2,
    storedBytes: 3,
  });

  test('takes heartbeats of the known incarnation only, and none of a removed one', () => {
    const model = CatalogModel.bootstrapped();
    model.run({ kind: 'putNode', node: node(1, 10), expectedRevision: 0 });
    model.run({ kind: 'putNode', node: node(1, 20), expectedRevision: undefined });
    assert.equal(model.state.nodes.get(nodeId(4))?.revision, 2);
    assert.equal(model.refusal({ kind: 'putNode', node: node(1, 30), expectedRevision: 1 }), 'NODE_CHANGED');
    assert.equal(model.refusal({ kind: 'putNode', node: node(2, 30), expectedRevision: undefined }), 'NODE_CHANGED');
    assert.equal(
      model.refusal({ kind: 'removeNode', nodeId: nodeId(4), incarnation: Buffer.alloc(16, 9) }),
      'NODE_NOT_FOUND',
    );
    model.run({ kind: 'removeNode', nodeId: nodeId(4), incarnation: Buffer.alloc(16, 1) });
    assert.equal(model.refusal({ kind: 'putNode', node: node(1, 40), expectedRevision: undefined }), 'NODE_REMOVED');
    model.run({ kind: 'putNode', node: node(2, 40), expectedRevision: undefined });
    const unheard = { kind: 'removeNode' as const, nodeId: nodeId(5), incarnation: Buffer.alloc(16, 7) };
    model.run(unheard);
    assert.equal(model.refusal(unheard), 'NODE_NOT_FOUND', 'once is enough');
    const late = { ...node(7, 50), nodeId: nodeId(5) };
    assert.equal(model.refusal({ kind: 'putNode', node: late, expectedRevision: undefined }), 'NODE_REMOVED');
    assert.equal(model.version, 1);
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('keeps where clients reach a node once every program can read that, and has the others told when it changes', () => {
    const model = CatalogModel.bootstrapped();
    const at = (port: number) => [{ service: 'redis', host: 'h', port }];
    const put = (id: number, port: number): void => {
      const report = { ...nodeReport(id), endpoints: at(port) };
      model.run({ kind: 'putNode', node: report, expectedRevision: undefined });
    };
    const [row, revision] = [() => model.state.nodes.get(nodeId(1)), () => model.state.meta!.documentRevision];
    for (const id of [1, 2, 3]) put(id, 1);
    assert.equal('endpoints' in row()!, false, 'an older program could not read the row');
    model.run({ kind: 'activateFeature', name: 'nodes.endpoints' });
    const before = revision();
    put(1, 1);
    assert.deepEqual(row()!.endpoints, at(1));
    assert.equal(revision(), before + 1);
    put(1, 1);
    assert.equal(revision(), before + 1, 'nothing new');
    put(1, 2);
    assert.deepEqual([row()!.endpoints, revision()], [at(2), before + 2]);
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });
});

describe('the change log', () => {
  /** Cuts at `count` new keys, one version and 1 s each. */
  const grow = (model: CatalogModel, count: number): void => {
    for (let at = 0; at < count; at++) {
      model.nowMs += 1000;
      model.split(`x${String(model.version).padStart(6, '0')}`);
    }
  };

  test('keeps what is young, recent or still needed by a watcher', () => {
    const policy = { minVersions: 5, minAgeMs: 8_500 };
    const byAge = CatalogModel.bootstrapped(policy);
    grow(byAge, 30);
    assert.equal(byAge.state.meta?.deltaFloor, byAge.version - 8);
    const byCount = CatalogModel.bootstrapped({ ...policy, minAgeMs: 0 });
    grow(byCount, 30);
    assert.equal(byCount.state.meta?.deltaFloor, byCount.version - 4);
    byCount.slowestCursor = byCount.version - 1;
    const cursor = byCount.slowestCursor;
    grow(byCount, 20);
    assert.equal(byCount.state.meta?.deltaFloor, cursor + 1);
    assert.deepEqual(visible(byCount.reloaded()), visible(byCount.state));
  });

  test('gives up on a slow watcher at its byte limit, but keeps the newest delta', () => {
    const model = CatalogModel.bootstrapped({ maxBytes: 2_000 });
    model.slowestCursor = 1;
    grow(model, 40);
    assert.ok(model.state.log.sizeBytes <= 2_000);
    assert.ok(model.state.log.count >= 5);
    const tiny = CatalogModel.bootstrapped({ maxBytes: 1 });
    grow(tiny, 5);
    assert.equal(tiny.state.log.count, 1);
    assert.equal(tiny.state.meta?.deltaFloor, tiny.version);
  });

  test('removes a bounded number of deltas per commit', () => {
    const model = CatalogModel.bootstrapped({ minVersions: 100, minAgeMs: 0, maxTrimmedPerCommit: 3 });
    grow(model, 50);
    assert.equal(model.state.log.floor, 1);
    const impatient = new CatalogModel({ minVersions: 1, minAgeMs: 0, maxTrimmedPerCommit: 3 });
    impatient.state = model.state;
    impatient.nowMs = model.nowMs;
    grow(impatient, 4);
    assert.equal(impatient.state.log.floor, 1 + 4 * 3);
  });

  test('leaves older states as they were', () => {
    const model = CatalogModel.bootstrapped({ minVersions: 1, minAgeMs: 0 });
    const before = model.state;
    const seen = visible(before);
    grow(model, 3);
    const fork = new CatalogModel({ minVersions: 100 });
    fork.state = before;
    grow(fork, 200);
    assert.deepEqual(visible(before), seen);
    assert.equal(fork.state.log.delta(2)?.version, 2);
    assert.equal(model.state.log.count, 1);
  });
});

describe('a catalog', () => {
  test('is the same loaded from its rows as taken forward, and its log rebuilds every version', () => {
    fc.assert(
      fc.property(seeds(), (seed) => {
        const random = new SeededRandom(seed);
        const model = CatalogModel.bootstrapped();
        const history = new Map<number, unknown[]>();
        for (let turn = 0; turn < 60; turn++) {
          model.nowMs += random.int(1000);
          randomOperation(model, random, turn);
          history.set(model.version, [...model.state.routes.all()]);
          if (turn % 15 === 0) assert.deepEqual(visible(model.reloaded()), visible(model.state));
        }
        const engine = new RouteEngine(7, 100);
        let table = RouteTable.empty(7);
        for (let version = 1; version <= model.version; version++) {
          table = table.apply(model.state.log.delta(version)!);
          engine.publish(table);
        }
        for (const [version, rows] of history) assert.deepEqual([...engine.at(version)!.all()], rows);
      }),
      { numRuns: 25 },
    );
  });

  test('refuses to load with a hole in its log, a version without its delta, or routes and groups that do not fit', () => {
    const model = CatalogModel.bootstrapped({}, [1, 2]);
    for (const key of ['c', 'e', 'p']) model.split(key);
    const without = (key: Buffer) => {
      const damaged = new CatalogModel();
      for (const [name, value] of model.rows) if (name !== key.toString('latin1')) damaged.rows.set(name, value);
      return () => damaged.reloaded();
    };
    for (const { key } of model.storedRows()) assert.throws(without(key), CatalogCorruptError);
    assert.throws(() => advanceCatalog(model.state, [{ key: deltaKey(2), value: undefined }]), CatalogCorruptError);
    const split = model.plan(batch(model, 1, [item(model, 'x')]));
    assert.ok(!(split instanceof CatalogError));
    for (let at = 0; at < split.mutations.length; at++) {
      const partial = split.mutations.filter((_, index) => index !== at);
      assert.throws(() => advanceCatalog(model.state, partial), CatalogCorruptError);
    }
  });
});

/** One operation of any kind; refusals are fine. */
function randomOperation(model: CatalogModel, random: SeededRandom, turn: number): void {
  const key = random.bytes(1 + random.int(2)).toString('latin1');
  const { id, start } = model.route(key);
  const expectedVersion = model.version;
  const jobs = [...model.state.jobs.values()];
  const job = jobs[random.int(Math.max(1, jobs.length))];
  const operations = [
    { kind: 'split', expectedVersion, routeId: id, splitKey: bytes(key), splitAtTs: SPLIT_TS } as const,
    batch(model, turn, [item(model, key), item(model, `${key}q`), item(model, random.bytes(1).toString('latin1'))]),
    {
      kind: 'merge',
      expectedVersion,
      leftId: model.state.routes.before(start)?.id ?? 0,
      rightId: id,
      boundary: start,
    } as const,
    { kind: 'createMove', expectedVersion, routeId: id, start, dst: group(1 + random.int(5)) } as const,
    { kind: 'createGroup', id: undefined, founders: [nodeId(1 + random.int(2))], preferredLeader: undefined } as const,
    { kind: 'removeGroup', id: group(1 + random.int(7)) } as const,
    { kind: 'setSetting', name: 'autosplit', value: ['on', 'off', ''][random.int(3)]! } as const,
    { kind: 'activateFeature', name: 'ranges.move' } as const,
    {
      kind: 'putNode',
      node: nodeReport(1 + random.int(3), {
        incarnation: Buffer.alloc(16, 1),
        address: '',
        capabilities: random.int(3) === 0 ? 0n : CAPABILITIES,
        heartbeatMs: turn,
      }),
      expectedRevision: undefined,
    } as const,
    {
      kind: 'leaseWork',
      name: 'gc/1',
      node: nodeId(1 + random.int(3)),
      incarnation: Buffer.alloc(16, 1),
      leaseMs: 500,
      progress: undefined,
    } as const,
  ];
  const operation = operations[random.int(operations.length)]!;
  if (job === undefined || random.int(2) === 0) {
    const plan = model.plan(operation);
    if (!(plan instanceof CatalogError)) model.commit(plan);
    return;
  }
  const phase = [...FORWARD, 'DONE', 'ABORTING', 'ABORTED'][random.int(FORWARD.length + 3)] as JobPhase;
  const plans = [
    model.plan({ ...step(job, phase), spanEpoch: Math.max(2, job.spanEpoch) }),
    model.plan({ kind: 'setGroup', jobId: job.id, expectedRevision: job.revision }),
  ];
  const plan = plans.find((candidate) => !(candidate instanceof CatalogError));
  if (plan !== undefined && !(plan instanceof CatalogError)) model.commit(plan);
}
