import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { CatalogOp, NodeOp } from '../../src/distribution/catalog/catalog.ts';
import { clusterStateOf, loadCatalog } from '../../src/distribution/catalog/catalog-state.ts';
import { CAPABILITIES, FEATURES, isFeatureActive } from '../../src/distribution/catalog/features.ts';
import { settingOf, switchOf } from '../../src/distribution/catalog/settings.ts';
import { groupKey } from '../../src/distribution/contract/catalog-keys.ts';
import { encodeGroup } from '../../src/distribution/contract/cluster-rows.ts';
import type { GroupRow, WorkRow } from '../../src/distribution/contract/cluster-types.ts';
import { CatalogCorruptError, CatalogError } from '../../src/distribution/contract/errors.ts';
import { type NodeId, nodeId, SeededRandom } from '../../src/platform/index.ts';
import { bytes, group, nodeReport } from './builders.ts';
import { CatalogModel, founded, visible } from './catalog-model.ts';

const incarnationOf = (id: number, life = 1): Buffer => Buffer.alloc(16, id * 16 + life);
const heartbeat = (id: number, capabilities = CAPABILITIES, leaderCount = 0, life = 1): NodeOp => ({
  kind: 'putNode',
  node: nodeReport(id, {
    incarnation: incarnationOf(id, life),
    address: `127.0.0.1:${id}`,
    capabilities,
    leaderCount,
  }),
  expectedRevision: undefined,
});

/** Nodes 1 to 3 have been heard of. */
function cluster(): CatalogModel {
  const model = CatalogModel.bootstrapped();
  for (const id of [1, 2, 3]) model.run(heartbeat(id));
  return model;
}

const create = (founders: number[], id?: number, preferredLeader?: number) =>
  ({
    kind: 'createGroup',
    id: id === undefined ? undefined : group(id),
    founders: founders.map(nodeId),
    preferredLeader: preferredLeader === undefined ? undefined : nodeId(preferredLeader),
  }) as const;
const named = (name: number, founders: number[], id?: number) => ({
  ...create(founders, id),
  requestId: Buffer.alloc(16, name),
});
const drop = (id: number) => ({ kind: 'removeGroup', id: group(id) }) as const;
const set = (name: string, value: string) => ({ kind: 'setSetting', name, value }) as const;
const move = (model: CatalogModel, key: string, dst: number) =>
  ({
    kind: 'createMove',
    expectedVersion: model.version,
    routeId: model.route(key).id,
    start: model.route(key).start,
    dst: group(dst),
  }) as const;

/** An operation whose answer was lost is asked for again: the same answer, and nothing is written. */
function repeats(model: CatalogModel, op: CatalogOp): void {
  const first = model.run(op);
  const again = model.plan(op);
  assert.ok(!(again instanceof CatalogError));
  assert.deepEqual([again.mutations, again.result], [[], first]);
}

describe('groups in the catalog', () => {
  test('are found again by the name of the request that made them, also when they are gone', () => {
    const model = cluster();
    repeats(model, named(1, [1, 2]));
    const made = model.run(named(1, [2, 1]));
    const other = model.run(named(2, [1, 2]));
    assert.notEqual(other.id, made.id);
    assert.equal(model.refusal(named(1, [1, 3])), 'GROUP_EXISTS', 'the same name with other founders is a mistake');
    assert.equal(model.refusal(named(2, [1, 2], made.id)), 'GROUP_EXISTS');
    assert.equal(model.refusal({ ...create([1]), requestId: Buffer.alloc(3) }), 'INVALID_GROUP');
    model.run(drop(made.id));
    assert.equal(model.run(named(1, [1, 2])).state, 'REMOVED');
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('are there from the bootstrap on, with everything that ranges name', () => {
    const model = new CatalogModel();
    const bootstrap = (groups: ReturnType<typeof founded>) =>
      ({
        kind: 'bootstrap',
        incarnation: 1,
        catalogGroup: group(1),
        ranges: [{ start: bytes(''), end: undefined, groupId: group(2) }],
        groups,
      }) as const;
    const three = founded(1, 2, 3);
    for (const wrong of [
      founded(1),
      founded(2),
      founded(1, 2, 2),
      founded(0, 1, 2),
      [...three.slice(1), { ...three[0]!, founders: [] }],
      [...three.slice(1), { ...three[0]!, founders: [nodeId(0)] }],
      [...three.slice(1), { ...three[0]!, founders: [nodeId(1), nodeId(1)] }],
      [...three.slice(1), { ...three[0]!, preferredLeader: nodeId(9) }],
    ]) {
      assert.equal(model.refusal(bootstrap(wrong)), 'INVALID_GROUP');
    }
    model.nowMs = 5;
    model.run(bootstrap(three));
    assert.deepEqual(
      clusterStateOf(model.state).groups.map(({ id, state, revision, createdMs }) => [id, state, revision, createdMs]),
      [
        [1, 'ACTIVE', 1, 5],
        [2, 'ACTIVE', 1, 5],
        [3, 'ACTIVE', 1, 5],
      ],
    );
    assert.equal(clusterStateOf(model.state).revision, 1);
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('are created on known nodes, with the next id or a free one', () => {
    const model = cluster();
    assert.equal(model.run(create([1, 2], undefined, 2)).id, 5);
    assert.equal(model.run(create([3], 9)).id, 9);
    assert.equal(model.run(create([3])).id, 10);
    assert.equal(model.refusal(create([1, 4])), 'NODE_NOT_FOUND');
    assert.equal(model.refusal(create([])), 'INVALID_GROUP');
    assert.equal(model.refusal(create([1, 1])), 'INVALID_GROUP');
    assert.equal(model.refusal(create([1], 0)), 'INVALID_GROUP');
    assert.equal(model.refusal(create([1, 2], undefined, 3)), 'INVALID_GROUP');
    assert.equal(model.refusal(create([1, 2], 9)), 'GROUP_EXISTS');
    repeats(model, create([2, 3], 11));
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('are removed when nothing names them, and their ids never come back', () => {
    const model = cluster();
    assert.equal(model.refusal(drop(1)), 'GROUP_BUSY');
    assert.equal(model.refusal(drop(2)), 'GROUP_BUSY');
    assert.equal(model.refusal(drop(8)), 'GROUP_NOT_FOUND');
    let { job } = model.run(move(model, 'x', 4));
    assert.equal(model.refusal(drop(4)), 'GROUP_BUSY');
    ({ job } = model.run({ kind: 'transitionJob', jobId: job.id, expectedRevision: 1, phase: 'ABORTING' }));
    model.run({ kind: 'transitionJob', jobId: job.id, expectedRevision: 2, phase: 'ABORTED' });
    repeats(model, drop(4));
    assert.equal(model.state.groups.get(group(4))?.state, 'REMOVED');
    assert.equal(model.refusal(create([1, 2, 3], 4)), 'GROUP_EXISTS');
    assert.equal(model.run(create([1])).id, 5);
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('get ranges only while they are there', () => {
    const model = cluster();
    model.run(drop(4));
    assert.equal(model.refusal(move(model, 'x', 4)), 'GROUP_REMOVED');
    assert.equal(model.refusal(move(model, 'x', 77)), 'GROUP_NOT_FOUND');
    model.run(move(model, 'x', 3));
  });

  test('are damage when a route names one that is not there', () => {
    const model = cluster();
    const gone: GroupRow = { ...model.state.groups.get(group(2))!, state: 'REMOVED' };
    model.rows.set(groupKey(group(2)).toString('latin1'), encodeGroup(gone));
    assert.throws(() => loadCatalog(model.storedRows()), CatalogCorruptError);
    const other = cluster();
    other.commit({ mutations: [{ key: groupKey(group(2)), value: encodeGroup(gone) }], delta: undefined, result: 0 });
    assert.throws(() => other.split('x'), CatalogCorruptError);
  });
});

describe('settings', () => {
  test('are set, set again and removed, and hold what they begin with while nobody has set them', () => {
    const model = cluster();
    assert.equal(switchOf(clusterStateOf(model.state), 'autosplit'), 'on');
    assert.equal(switchOf(clusterStateOf(model.state), 'automerge'), 'observe');
    repeats(model, set('autosplit', 'observe'));
    assert.equal(model.run(set('autosplit', 'on')).revision, 2);
    assert.equal(switchOf(clusterStateOf(model.state), 'autosplit'), 'on');
    repeats(model, set('ranges.max', '64'));
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
    model.run(set('autosplit', ''));
    model.run(set('ranges.max', ''));
    assert.deepEqual(clusterStateOf(model.state).settings, []);
    assert.equal(settingOf(clusterStateOf(model.state), 'ranges.max'), '100000');
    const removal = model.plan(set('autosplit', ''));
    assert.ok(!(removal instanceof CatalogError) && removal.mutations.length === 0);
  });

  test('are refused when nobody knows them or the value', () => {
    const model = cluster();
    assert.equal(model.refusal(set('autosplt', 'on')), 'INVALID_SETTING');
    assert.equal(model.refusal(set('toString', 'on')), 'INVALID_SETTING');
    assert.equal(model.refusal(set('autosplit', 'yes')), 'INVALID_SETTING');
    for (const value of ['-1', '15', '1e3', '64.5', '99999999999999999999', 'many']) {
      assert.equal(model.refusal(set('ranges.max', value)), 'INVALID_SETTING');
    }
  });
});

describe('a feature', () => {
  const activate = (name = 'ranges.move') => ({ kind: 'activateFeature', name }) as const;
  const without = (name: string): bigint => CAPABILITIES & ~(1n << BigInt(FEATURES[name]!.bit));

  test('has a bit of its own', () => {
    const bits = Object.values(FEATURES).map((feature) => feature.bit);
    assert.equal(new Set(bits).size, bits.length);
    assert.ok(bits.every((bit) => bit >= 0 && bit < 64));
  });

  test('is switched on when every node has its bit, and the refusal names those that do not', () => {
    const model = CatalogModel.bootstrapped();
    model.run(heartbeat(1));
    model.run(heartbeat(2, without('ranges.move')));
    const refused = model.plan(activate());
    assert.ok(refused instanceof CatalogError && refused.code === 'FEATURE_UNSUPPORTED');
    assert.match(refused.message, /upgrade: 2, 3 \(not heard of yet\)$/);
    model.run(heartbeat(2));
    model.run(heartbeat(3, without('groups.create')));
    model.nowMs += 1;
    repeats(model, activate());
    assert.equal(isFeatureActive(clusterStateOf(model.state), 'ranges.move'), true);
    assert.equal(model.state.features.get('ranges.move')?.activatedMs, model.nowMs);
    assert.equal(model.refusal(activate('groups.create')), 'FEATURE_UNSUPPORTED');
    assert.equal(model.refusal(activate('constructor')), 'FEATURE_UNKNOWN');
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('does not wait for a founder that was removed for good', () => {
    const model = cluster();
    model.run({ kind: 'removeNode', nodeId: nodeId(3), incarnation: incarnationOf(3) });
    model.run(activate());
  });

  test('keeps out nodes that lack it, and refuses a node that comes back without it', () => {
    const model = cluster();
    model.run(activate());
    const refused = model.plan(heartbeat(4, without('ranges.move')));
    assert.ok(refused instanceof CatalogError && refused.code === 'NODE_LACKS_FEATURE');
    assert.match(refused.message, /ranges\.move/);
    assert.equal(model.refusal(heartbeat(2, without('ranges.move'))), 'NODE_LACKS_FEATURE');
    model.run(heartbeat(2, without('groups.create')));
    model.run(heartbeat(4));
  });
});

describe('the revision of the cluster state', () => {
  test('rises with every change that nodes must hear of, and not with heartbeats and leases', () => {
    const model = CatalogModel.bootstrapped();
    const rises = (op: CatalogOp): number => {
      const before = clusterStateOf(model.state).revision;
      const plan = model.plan(op);
      if (plan instanceof CatalogError) throw plan;
      model.commit(plan);
      assert.deepEqual(visible(model.reloaded()), visible(model.state));
      return clusterStateOf(model.state).revision - before;
    };
    assert.equal(rises(heartbeat(1)), 1);
    assert.equal(rises(heartbeat(1, CAPABILITIES, 5)), 0);
    assert.equal(rises(heartbeat(1, 1n, 5)), 1);
    assert.equal(rises(create([1])), 1);
    assert.equal(rises(drop(5)), 1);
    assert.equal(rises(drop(5)), 0);
    assert.equal(rises(set('autosplit', 'on')), 1);
    assert.equal(rises(set('autosplit', '')), 1);
    const lease = { name: 'gc/1', node: nodeId(1), incarnation: incarnationOf(1), progress: undefined };
    assert.equal(rises({ kind: 'leaseWork', leaseMs: 10, ...lease }), 0);
    assert.equal(rises({ kind: 'releaseWork', isDone: true, ...lease }), 0);
    assert.equal(rises(move(model, 'x', 3)), 0);
    assert.equal(rises({ kind: 'removeNode', nodeId: nodeId(1), incarnation: incarnationOf(1) }), 1);
    assert.ok(rises({ kind: 'restore', incarnation: 8 }) > 1_000);
  });
});

describe('a state of the catalog', () => {
  test('stays as it was when the catalog goes on, and shares what did not change', () => {
    const model = cluster();
    const before = model.state;
    const seen = visible(before);
    model.run(heartbeat(1, CAPABILITIES, 7));
    assert.equal(model.state.groups, before.groups);
    assert.equal(model.state.tombstones, before.tombstones);
    model.run(create([1]));
    model.run(set('autosplit', 'on'));
    model.run({ kind: 'activateFeature', name: 'ranges.move' });
    const lease = { name: 'gc/1', node: nodeId(1), incarnation: incarnationOf(1), progress: undefined };
    model.run({ kind: 'leaseWork', leaseMs: 10, ...lease });
    model.run({ kind: 'removeNode', nodeId: nodeId(2), incarnation: incarnationOf(2) });
    model.run({ kind: 'removeNode', nodeId: nodeId(3), incarnation: incarnationOf(3) });
    model.run(move(model, 'x', 3));
    assert.deepEqual(visible(before), seen);
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });
});

describe('a unit of work', () => {
  const lease = (node: number, leaseMs = 100, rest: { name?: string; life?: number; progress?: Buffer } = {}) =>
    ({
      kind: 'leaseWork',
      name: rest.name ?? 'gc/7',
      node: nodeId(node),
      incarnation: incarnationOf(node, rest.life),
      leaseMs,
      progress: rest.progress,
    }) as const;
  const release = (node: number, isDone = false, progress?: Buffer) =>
    ({
      kind: 'releaseWork',
      name: 'gc/7',
      node: nodeId(node),
      incarnation: incarnationOf(node),
      isDone,
      progress,
    }) as const;

  test('has one holder until the lease of a dead one runs out, and hands its notes on', () => {
    const model = cluster();
    assert.equal(model.run(lease(1, 100, { progress: bytes('half') })).leaseUntilMs, model.nowMs + 100);
    assert.equal(model.refusal(lease(2)), 'WORK_HELD');
    model.nowMs += 99;
    assert.equal(model.refusal(lease(2)), 'WORK_HELD');
    model.nowMs += 1;
    const taken = model.run(lease(2));
    assert.deepEqual([taken.holder, taken.progress], [2, bytes('half')]);
    assert.equal(model.refusal(lease(1)), 'WORK_HELD');
    assert.equal(model.refusal(release(1)), 'WORK_NOT_HELD');
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('is renewed by its holder, and never for a shorter time than before', () => {
    const model = cluster();
    const first = model.run(lease(1, 1000));
    model.nowMs += 10;
    assert.equal(model.run(lease(1, 5)).leaseUntilMs, first.leaseUntilMs);
    assert.equal(model.run(lease(1, 2000)).leaseUntilMs, model.nowMs + 2000);
  });

  test('is free when it was given back, and gone when it is done; both can be said twice', () => {
    const model = cluster();
    model.run(lease(1));
    repeats(model, release(1, false, bytes('note')));
    assert.equal(model.run(lease(2)).progress.toString(), 'note');
    model.run(release(2, true));
    assert.equal(model.state.work.size, 0);
    const again = model.plan(release(2, true));
    assert.ok(!(again instanceof CatalogError) && again.mutations.length === 0);
    assert.equal(model.refusal(release(2)), 'WORK_NOT_HELD');
  });

  test('is taken only by nodes of the cluster, and has bounds', () => {
    const model = cluster();
    assert.equal(model.refusal(lease(4)), 'NODE_NOT_FOUND');
    assert.equal(model.refusal(lease(1, 100, { life: 2 })), 'NODE_NOT_FOUND');
    for (const leaseMs of [0, -1, 0.5, 3_600_001]) assert.equal(model.refusal(lease(1, leaseMs)), 'INVALID_WORK');
    assert.equal(model.refusal(lease(1, 1, { name: '' })), 'INVALID_WORK');
    assert.equal(model.refusal(lease(1, 1, { name: 'x'.repeat(129) })), 'INVALID_WORK');
    assert.equal(model.refusal(lease(1, 1, { progress: Buffer.alloc(4097) })), 'INVALID_WORK');
  });

  test('is never held by two nodes, whoever asks for what and whenever, as far as the holders know', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const random = new SeededRandom(seed);
        const model = cluster();
        /** Until when a node believes that it holds the unit, by the answers that it got; some answers are lost. */
        const beliefs = new Map<NodeId, number>();
        for (let turn = 0; turn < 80; turn++) {
          model.nowMs += random.int(3) * random.int(20);
          const node = 1 + random.int(3);
          const isRelease = random.int(5) === 0;
          const plan = model.plan(isRelease ? release(node, random.int(3) === 0) : lease(node, 1 + random.int(60)));
          // A holder that gives the unit back has stopped before it says so.
          if (isRelease) beliefs.delete(nodeId(node));
          if (!(plan instanceof CatalogError)) {
            model.commit(plan);
            const row = plan.result as WorkRow;
            const isHeard = random.int(4) > 0;
            if (!isRelease && isHeard) beliefs.set(nodeId(node), row.leaseUntilMs);
          }
          const holders = [...beliefs].filter(([, untilMs]) => model.nowMs < untilMs);
          assert.ok(holders.length <= 1, `nodes ${holders.map(([id]) => id).join(' and ')} both hold the unit`);
        }
        assert.deepEqual(visible(model.reloaded()), visible(model.state));
      }),
      { numRuns: 60 },
    );
  });
});
