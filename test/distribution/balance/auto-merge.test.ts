import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BalanceView } from '../../../src/distribution/balance/actions.ts';
import { IDLE_WINDOWS, MERGE_AFTER_SPLIT_MS, planMerges } from '../../../src/distribution/balance/auto-merge.ts';
import { HOT_WINDOWS, planSplits } from '../../../src/distribution/balance/hotspots.ts';
import type { ClusterLoad, ClusterWindow } from '../../../src/distribution/balance/load-window.ts';
import type { RouteTable } from '../../../src/distribution/routes/route-table.ts';
import { timestampOfMs } from '../../../src/platform/index.ts';
import { bytes, group } from '../builders.ts';
import { detailOf, documentWith, loadOf, tableOf, viewOf, windowOf } from './views.ts';

const MIB = 2 ** 20;
const table = tableOf(['m']);
const small = new Map([
  [2, MIB],
  [3, MIB],
]);
const quiet = (loads: ClusterLoad[] = [], complete = [1], from = 0): ClusterWindow[] =>
  Array.from({ length: IDLE_WINDOWS }, (_, at) => windowOf(from + at, loads, complete));
const merges = (rest: Partial<BalanceView>, from?: Buffer) =>
  planMerges(viewOf({ routes: table, windows: quiet(), rangeBytes: small, ...rest }), from);

describe('neighbours', () => {
  test('are merged when both are small and were idle for six windows', () => {
    const { actions } = merges({});
    assert.deepEqual(
      actions.map(({ reason, ...action }) => action),
      [{ kind: 'merge', leftId: 2, rightId: 3, boundary: bytes('m') }],
    );
    assert.match(
      actions[0]!.reason,
      /ranges 2 and 3 of group 1, which meet at 'm', were idle for 6 windows and are small/,
    );
    assert.equal(merges({ windows: quiet([loadOf(table, 'a', 4_999)]) }).actions.length, 1);
  });

  test('are not merged when one of them was asked for something in any of the windows', () => {
    for (const key of ['a', 'x']) {
      for (let busy = 0; busy < IDLE_WINDOWS; busy++) {
        const windows = quiet().map((window, at) => (at === busy ? windowOf(at, [loadOf(table, key, 5_000)]) : window));
        assert.deepEqual(merges({ windows }).actions, []);
      }
    }
  });

  test('are not merged while load or size is not known', () => {
    assert.deepEqual(merges({ windows: quiet().slice(1) }).actions, []);
    assert.deepEqual(merges({ windows: quiet([], []) }).actions, []);
    const hole = [...quiet([], [1]).slice(0, 3), ...quiet([], [1], 4).slice(0, 3)];
    assert.deepEqual(merges({ windows: hole }).actions, []);
    for (const missing of [2, 3]) {
      const rangeBytes = new Map([...small].filter(([id]) => id !== missing));
      assert.deepEqual(merges({ rangeBytes }).actions, []);
    }
  });

  test('are not merged when one is large', () => {
    const rangeBytes = (bytesOfLast: number) => new Map([...small, [3, bytesOfLast]]);
    const clusterState = documentWith({ settings: { 'ranges.bytes': String(100 * MIB) } });
    assert.deepEqual(merges({ clusterState, rangeBytes: rangeBytes(25 * MIB) }).actions, []);
    assert.equal(merges({ clusterState, rangeBytes: rangeBytes(25 * MIB - 1) }).actions.length, 1);
  });

  test('are not merged across groups, while a job has one, or with the cluster\u2019s own rows', () => {
    const apart = tableOf(['m'], (at) => ({ groupId: group(at + 1) }));
    assert.deepEqual(merges({ routes: apart, windows: quiet([], [1, 2]) }).actions, []);
    const moving = tableOf(['m'], (at) => (at === 1 ? { state: 'MOVING', jobId: 3 } : {}));
    assert.deepEqual(merges({ routes: moving }).actions, []);
    const reserved = new Map([...small, [1, MIB]]);
    const { actions } = merges({ rangeBytes: reserved }, Buffer.alloc(0));
    assert.deepEqual(
      actions.map((action) => action.kind === 'merge' && action.leftId),
      [2],
    );
  });

  test('are looked at from where the last plan ended', () => {
    const routes = tableOf(['f', 'm', 't']);
    const rangeBytes = new Map([2, 3, 4, 5].map((id) => [id, MIB]));
    const first = merges({ routes, rangeBytes });
    const second = merges({ routes, rangeBytes }, first.next);
    const third = merges({ routes, rangeBytes }, second.next);
    const boundaries = [first, second, third].map(({ actions: [action] }) =>
      action?.kind === 'merge' ? action.boundary.toString('latin1') : '',
    );
    assert.deepEqual(boundaries, ['f', 'm', 't']);
    assert.deepEqual(merges({ routes, rangeBytes }, third.next).next, bytes('\x01'));
  });

  test('that were cut lately stay apart', () => {
    const nowMs = 100 * 60_000;
    const cut = (agoMs: number): RouteTable => tableOf(['m'], () => ({ splitAtTs: timestampOfMs(nowMs - agoMs) }));
    assert.deepEqual(merges({ routes: cut(MERGE_AFTER_SPLIT_MS - 1), nowMs }).actions, []);
    assert.equal(merges({ routes: cut(MERGE_AFTER_SPLIT_MS), nowMs }).actions.length, 1);
  });

  test('that would be merged are never such that the merged range would be cut, whatever their load', () => {
    for (const score of [100, 4_000, 4_999, 5_000, 20_000, 49_999, 50_000]) {
      const loads = ['a', 'x'].map((key) => loadOf(table, key, score));
      if (merges({ windows: quiet(loads) }).actions.length === 0) continue;
      const joined = tableOf([]);
      const sum = loadOf(joined, 'a', 2 * score, { detail: detailOf() });
      const windows = Array.from({ length: HOT_WINDOWS }, (_, at) => windowOf(at, [sum]));
      assert.deepEqual(planSplits(viewOf({ routes: joined, windows })).actions, []);
    }
  });
});
