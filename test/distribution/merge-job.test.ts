import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { earlierResult } from '../../src/cluster/catalog/earlier-result.ts';
import type { JobPhase, JobRow } from '../../src/distribution/contract/catalog-rows.ts';
import { CatalogError } from '../../src/distribution/contract/errors.ts';
import { hlcTimestamp } from '../../src/platform/index.ts';
import { bytes, group } from './builders.ts';
import { CatalogModel } from './catalog-model.ts';

/** Keys up to m are group 1's, those behind group 2's. */
const merge = (model: CatalogModel, moves: 'left' | 'right' = 'right') =>
  ({
    kind: 'createMerge',
    expectedVersion: model.version,
    leftId: model.route('a').id,
    rightId: model.route('x').id,
    boundary: bytes('m'),
    moves,
  }) as const;

/** Takes a job to a phase as its driver would. */
function take(model: CatalogModel, id: number, phases: readonly JobPhase[]): JobRow {
  for (const phase of phases) {
    const { revision } = model.state.jobs.get(id)!;
    const answered = phase === 'PUBLISH' ? { spanEpoch: 5, fenceTs: hlcTimestamp(77n) } : {};
    model.run({ kind: 'transitionJob', jobId: id, expectedRevision: revision, phase, ...answered });
  }
  return model.state.jobs.get(id)!;
}

const TO_PUBLISH: readonly JobPhase[] = [
  'PREP_TARGET',
  'ARM_SOURCE',
  'BACKFILL',
  'CATCH_UP',
  'FENCE',
  'RELEASE',
  'PUBLISH',
];

const publish = (model: CatalogModel, { id, revision }: JobRow) =>
  model.run({ kind: 'setGroup', jobId: id, expectedRevision: revision });

describe('a merge of neighbours in different groups', () => {
  for (const moves of ['left', 'right'] as const) {
    test(`is one job, which moves the ${moves} one and joins both in the version that publishes the move`, () => {
      const model = CatalogModel.bootstrapped();
      const [left, right] = [model.route('a'), model.route('x')];
      assert.notEqual(left.groupId, right.groupId);
      const { job, version } = model.run(merge(model, moves));
      const [moving, other] = moves === 'left' ? [left, right] : [right, left];
      assert.deepEqual(
        [job.routeId, job.src, job.dst, job.mergeWith],
        [moving.id, moving.groupId, other.groupId, other.id],
      );
      assert.deepEqual([model.route('a').state, model.route('x').state], ['MOVING', 'MOVING']);
      publish(model, take(model, job.id, TO_PUBLISH));
      assert.equal(model.version, version! + 1);
      const joined = model.route('a');
      assert.equal(joined.id, model.route('x').id);
      assert.ok(![left.id, right.id].includes(joined.id));
      assert.deepEqual(
        [joined.start, joined.end, joined.groupId, joined.state, joined.jobId, joined.spanEpoch, joined.minWriteTs],
        [left.start, right.end, other.groupId, 'ACTIVE', 0, 5, 77n],
      );
      assert.deepEqual([...model.reloaded().routes.all()], [...model.state.routes.all()]);
      assert.equal(model.reloaded().jobs.get(job.id)?.mergeWith, other.id, 'the row says it too');
    });
  }

  test('holds both until it is over: nobody splits, moves or merges either', () => {
    const model = CatalogModel.bootstrapped();
    const { job } = model.run(merge(model));
    for (const key of ['b', 'x']) {
      const route = model.route(key);
      const { version: expectedVersion } = model;
      const split = {
        kind: 'split',
        expectedVersion,
        routeId: route.id,
        splitKey: bytes(key),
        splitAtTs: hlcTimestamp(1n),
      };
      assert.equal(model.refusal({ ...split, kind: 'split' }), 'ROUTE_BUSY');
      const move = {
        kind: 'createMove',
        expectedVersion,
        routeId: route.id,
        start: route.start,
        dst: group(3),
      } as const;
      assert.equal(model.refusal(move), 'ROUTE_BUSY');
    }
    assert.equal(model.refusal(merge(model)), 'ROUTE_BUSY');
    assert.equal(model.state.jobs.size, 1);
    assert.ok(job.id > 0);
  });

  test('is given up before the release, and then both are as they were', () => {
    for (let steps = 0; steps <= 5; steps++) {
      const model = CatalogModel.bootstrapped();
      const before = [model.route('a'), model.route('x')];
      const { job } = model.run(merge(model));
      take(model, job.id, [...TO_PUBLISH.slice(0, steps), 'ABORTING']);
      take(model, job.id, ['ABORTED']);
      for (const [at, key] of ['a', 'x'].entries()) {
        assert.deepEqual({ ...model.route(key), modifiedVersion: 0 }, { ...before[at]!, modifiedVersion: 0 });
      }
      assert.deepEqual([...model.reloaded().routes.all()], [...model.state.routes.all()]);
    }
    const model = CatalogModel.bootstrapped();
    const { job } = model.run(merge(model));
    const { revision: expectedRevision } = take(model, job.id, TO_PUBLISH.slice(0, 6));
    assert.equal(
      model.refusal({ kind: 'transitionJob', jobId: job.id, expectedRevision, phase: 'ABORTING' }),
      'JOB_PHASE',
    );
  });

  test('is refused where a merge or a move would be', () => {
    const model = CatalogModel.bootstrapped();
    assert.equal(model.refusal({ ...merge(model), expectedVersion: 9 }), 'VERSION_MISMATCH');
    assert.equal(model.refusal({ ...merge(model), boundary: bytes('n') }), 'NOT_ADJACENT');
    assert.equal(model.refusal({ ...merge(model), leftId: 99 }), 'NOT_ADJACENT');
    const { id: routeId } = model.route('a');
    const splitAtTs = hlcTimestamp(1n);
    model.run({ kind: 'split', expectedVersion: model.version, routeId, splitKey: bytes('c'), splitAtTs });
    const same = { ...merge(model), leftId: model.route('a').id, rightId: model.route('c').id, boundary: bytes('c') };
    assert.equal(model.refusal(same), 'SAME_GROUP');
  });

  test('is found again when the answer to its beginning was lost', () => {
    const model = CatalogModel.bootstrapped();
    const request = merge(model);
    assert.deepEqual(earlierResult(model.state, request), { kind: 'repeat' });
    const result = model.run(request);
    assert.deepEqual(earlierResult(model.state, request), { kind: 'done', reply: result });
    assert.deepEqual(earlierResult(model.state, { ...request, moves: 'left' }), { kind: 'repeat' });
  });

  test('leaves a partition of the key space, whatever happens to it', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 99 }), { maxLength: 40 }), (draws) => {
        const model = CatalogModel.bootstrapped();
        for (const draw of draws) {
          const routes = [...model.state.routes.all()].slice(1);
          const job = [...model.state.jobs.values()][draw % Math.max(1, model.state.jobs.size)];
          if (draw < 30) {
            const at = 1 + (draw % Math.max(1, routes.length - 1));
            const [left, right] = [routes[at - 1], routes[at]];
            if (left === undefined || right === undefined) continue;
            const pair = { expectedVersion: model.version, leftId: left.id, rightId: right.id, boundary: right.start };
            const plan = model.plan({ kind: 'createMerge', ...pair, moves: draw % 2 === 0 ? 'left' : 'right' });
            if (!(plan instanceof CatalogError)) model.commit(plan);
          } else if (draw < 45) {
            const splitKey = bytes(String.fromCharCode(0x61 + (draw % 26)));
            const route = model.route(splitKey.toString());
            const cut = { expectedVersion: model.version, routeId: route.id, splitKey, splitAtTs: hlcTimestamp(1n) };
            const plan = model.plan({ kind: 'split', ...cut });
            if (!(plan instanceof CatalogError)) model.commit(plan);
          } else if (job !== undefined) {
            if (job.phase === 'PUBLISH') publish(model, job);
            else if (job.phase === 'CLEANUP') take(model, job.id, ['DONE']);
            else if (job.phase === 'ABORTING') take(model, job.id, ['ABORTED']);
            else if (draw > 90 && job.phase !== 'RELEASE') take(model, job.id, ['ABORTING']);
            else take(model, job.id, [TO_PUBLISH[TO_PUBLISH.indexOf(job.phase) + 1]!]);
          }
          let end: Buffer | undefined = Buffer.alloc(0);
          for (const route of model.state.routes.all()) {
            assert.ok(end?.equals(route.start));
            end = route.end;
            const held = model.state.jobs.get(route.jobId);
            assert.equal(route.state === 'MOVING', route.jobId !== 0);
            assert.ok(route.jobId === 0 || held?.routeId === route.id || held?.mergeWith === route.id);
          }
          assert.equal(end, undefined);
        }
        assert.deepEqual([...model.reloaded().routes.all()], [...model.state.routes.all()]);
      }),
      { numRuns: 200 },
    );
  });
});
