import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { BalancePlan } from '../../../src/distribution/balance/actions.ts';
import { planSplits, SPLIT_COOLDOWN_MS } from '../../../src/distribution/balance/hotspots.ts';
import { LoadSampler } from '../../../src/distribution/balance/load-sampler.ts';
import type { ClusterLoad, ClusterWindow } from '../../../src/distribution/balance/load-window.ts';
import { chooseSplit } from '../../../src/distribution/balance/split-key.ts';
import { type KeyRules, PLAIN_KEYS } from '../../../src/distribution/keyspaces.ts';
import type { RouteTable } from '../../../src/distribution/routes/route-table.ts';
import { nodeId, SeededRandom, timestampOfMs } from '../../../src/platform/index.ts';
import { bytes, isBelow } from '../builders.ts';
import { detailOf, documentWith, loadOf, MINUTE_MS, tableOf, viewOf, windowOf } from './views.ts';

const table = tableOf(['m', 't']);
const HOT = 60_000;
const hot = (key = 'c', rest: Partial<ClusterLoad> = {}, from: RouteTable = table): ClusterLoad =>
  loadOf(from, key, HOT, { detail: detailOf(), ...rest });
const threeOf = (load: ClusterLoad): ClusterWindow[] => [0, 1, 2].map((at) => windowOf(at, [load]));
const plan = (windows: ClusterWindow[], rest: Parameters<typeof viewOf>[0] = {}): BalancePlan =>
  planSplits(viewOf({ routes: table, windows, ...rest }));
const at = (ms: number) => timestampOfMs(ms);

describe('a hot range', () => {
  test('is cut after three hot windows in a row, at half of its load', () => {
    const { actions } = plan(threeOf(hot()));
    assert.equal(actions.length, 1);
    const [action] = actions;
    assert.ok(action?.kind === 'split');
    assert.deepEqual([action.routeId, action.keys], [2, [bytes('c')]]);
    assert.match(
      action.reason,
      /range 2 of group 1 \(60000 weighted operations a minute\) was hot for 3 windows: 50 %/,
    );
  });

  test('is not cut after two, and not after three of which one is missing, cool, of another leader or of another time', () => {
    const windows = threeOf(hot());
    const nothing = (changed: ClusterWindow[]): void => assert.deepEqual(plan(changed).actions, []);
    nothing(windows.slice(1));
    for (const place of [0, 1, 2]) {
      const broken = (load: ClusterLoad[]): ClusterWindow[] =>
        windows.map((window, index) => (index === place ? windowOf(index, load) : window));
      nothing(broken([]));
      nothing(broken([loadOf(table, 'c', 49_999, { detail: detailOf() })]));
      nothing(broken([hot('c', { nodeId: nodeId(2) })]));
      nothing(broken([hot('c', { routeVersion: 9 })]));
    }
    nothing([windowOf(0, [hot()]), windowOf(1, [hot()]), windowOf(3, [hot()])]);
    nothing([windowOf(0, [hot()]), windowOf(2, [hot()]), windowOf(3, [hot()])]);
  });

  test('counts each window once, however often it is looked at', () => {
    const two = threeOf(hot()).slice(0, 2);
    for (let left = 5; left > 0; left--) assert.deepEqual(plan(two).actions, []);
  });

  test('is judged by the score that is set', () => {
    const clusterState = documentWith({ settings: { 'autosplit.score': '60001' } });
    assert.deepEqual(plan(threeOf(hot()), { clusterState }).actions, []);
  });

  test('is left alone for ten minutes after it was cut, by the time of the cut in the catalog', () => {
    const nowMs = 10_000_000;
    const cutBefore = (ms: number): RouteTable => tableOf(['m', 't'], () => ({ splitAtTs: at(nowMs - ms) }));
    const recent = cutBefore(SPLIT_COOLDOWN_MS - 1);
    const { actions, notes } = plan(threeOf(hot()), { routes: recent, nowMs });
    assert.deepEqual(actions, []);
    assert.match(notes[0]!, /was cut lately and is left alone for 1 s/);
    assert.equal(plan(threeOf(hot()), { routes: cutBefore(SPLIT_COOLDOWN_MS), nowMs }).actions.length, 1);
  });

  test('is not cut while a job has it, when it is gone, or when it is the cluster\u2019s own', () => {
    const moving = tableOf(['m', 't'], () => ({ state: 'MOVING', jobId: 4 }));
    assert.deepEqual(plan(threeOf(hot()), { routes: moving }).actions, []);
    assert.deepEqual(plan(threeOf(hot('c', { routeId: 99 }))).actions, []);
    const own = detailOf({ bounds: ['\x00b', '\x00c', '\x00d'].map(bytes) });
    assert.deepEqual(plan(threeOf(hot('\x00', { detail: own }))).actions, []);
  });

  test('is not cut above the number of ranges that is allowed', () => {
    const few = (max: number) => ({ clusterState: documentWith({ settings: { 'ranges.max': String(max) } }) });
    const windows = threeOf(hot());
    assert.deepEqual(plan(windows, few(4)).actions, []);
    assert.equal(plan(windows, few(5)).actions.length, 1);
    const one = threeOf(hot('c', { detail: detailOf({ topKeys: [{ key: bytes('bb'), share: 1, leastShare: 0.9 }] }) }));
    assert.deepEqual(plan(one, few(5)).actions, []);
    assert.equal(plan(one, few(6)).actions.length, 1);
  });

  test('comes first when it is the hottest that can be cut, one at a time', () => {
    const hottest = loadOf(table, 'x', 3 * HOT);
    const second = loadOf(table, 'n', 2 * HOT, { detail: detailOf({ bounds: [bytes('p')], weights: [1_000, 1_000] }) });
    const windows = [0, 1, 2].map((index) => windowOf(index, [hot(), second, hottest]));
    const { actions, notes } = plan(windows);
    assert.deepEqual(
      actions.map((action) => action.kind === 'split' && action.keys),
      [[bytes('p')]],
    );
    assert.match(notes[0]!, /range 4 .* is not cut: how its load lies/);
  });
});

describe('a split key', () => {
  const whole = { start: bytes('a'), end: bytes('z') };
  const top = (key: string, leastShare: number) => [{ key: bytes(key), share: leastShare, leastShare }];

  test('sets a key apart that has most of the load', () => {
    const choice = chooseSplit(whole, detailOf({ topKeys: top('k', 0.8) }), 50_000);
    assert.deepEqual(choice.kind === 'cut' && choice.keys, [bytes('k'), bytes('k\0')]);
    const atStart = chooseSplit(whole, detailOf({ topKeys: top('a', 0.9) }), 50_000);
    assert.deepEqual(atStart.kind === 'cut' && atStart.keys, [bytes('a\0')]);
    const apart = chooseSplit({ start: bytes('k'), end: bytes('k\0') }, detailOf({ topKeys: top('k', 1) }), 50_000);
    assert.match(apart.why, /which cannot be cut/);
  });

  test('does so only for enough of enough load', () => {
    const keysOf = (leastShare: number, score: number) => {
      const choice = chooseSplit(whole, detailOf({ topKeys: top('k', leastShare) }), score);
      return choice.kind === 'cut' ? choice.keys.length : 0;
    };
    assert.equal(keysOf(0.79, 100_000), 1);
    assert.equal(keysOf(0.9, 27_000), 1);
    assert.equal(keysOf(0.9, 28_000), 2);
  });

  test('is the one nearest to half of the load, and none when no key divides it', () => {
    const choose = (weights: number[]) => chooseSplit(whole, detailOf({ weights }), 50_000);
    const chosen = choose([100, 300, 500, 100]);
    assert.deepEqual(chosen.kind === 'cut' && chosen.keys, [bytes('c')]);
    assert.equal(choose([10, 10, 10, 970]).kind, 'decline');
    assert.equal(choose([0, 0, 0, 0]).kind, 'decline');
    assert.equal(chooseSplit(whole, detailOf({ bounds: [], weights: [9_000] }), 50_000).kind, 'decline');
  });

  test('is none of the keys outside', () => {
    const detail = detailOf({ bounds: ['b', 'c', 'x'].map(bytes) });
    const weights = [400, 300, 250, 50];
    const within = (start: string, end: string | undefined) =>
      chooseSplit(
        { start: bytes(start), end: end === undefined ? undefined : bytes(end) },
        { ...detail, weights },
        50_000,
      );
    assert.equal(within('c', undefined).kind, 'decline');
    assert.equal(within('', 'b').kind, 'decline');
    const choice = within('', 'c');
    assert.deepEqual(choice.kind === 'cut' && choice.keys, [bytes('b')]);
  });

  test('is not chosen from what was not watched for a whole window, or from a few operations', () => {
    assert.equal(chooseSplit(whole, undefined, 50_000).kind, 'decline');
    assert.equal(chooseSplit(whole, detailOf({ isAligned: false }), 50_000).kind, 'decline');
    assert.equal(chooseSplit(whole, detailOf({ sampledOps: 499 }), 50_000).kind, 'decline');
  });

  test('never lies inside an object of several stored keys', () => {
    // Objects are named by their first byte.
    const rules: KeyRules = {
      align: (key) => key.subarray(0, 1),
      after: (key) => Buffer.of(key[0]! + 1),
    };
    const choice = chooseSplit(whole, detailOf({ topKeys: top('kxy', 0.9) }), 50_000, rules);
    assert.deepEqual(choice.kind === 'cut' && choice.keys, [bytes('k'), bytes('l')]);
    const inside = detailOf({ bounds: ['c', 'cc', 'd'].map(bytes), weights: [300, 200, 300, 200] });
    const other = chooseSplit(whole, inside, 50_000, rules);
    assert.deepEqual(other.kind === 'cut' && other.keys, [bytes('c')]);
    const within = detailOf({ bounds: ['c', 'cc', 'd'].map(bytes), weights: [100, 400, 400, 100] });
    assert.equal(chooseSplit(whole, within, 50_000, rules).kind, 'decline');
  });

  test('is strictly inside its range, and divides the load that it was chosen from, whatever the keys are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const random = new SeededRandom(seed);
        const routes = tableOf(['c', 'm', 'mm']);
        const sampler = new LoadSampler(0, seed, { routes: 100, details: 10, detailFrom: 100 });
        const hotKey = random.bytes(1 + random.int(3));
        const hotShare = random.int(3) * 0.45;
        for (let round = 1; round <= 2; round++) {
          for (let left = 12_000; left > 0; left--) {
            const key = random.next() < hotShare ? hotKey : random.bytes(1 + random.int(4));
            key[0] = Math.max(1, key[0]!);
            sampler.record(routes, key, random.int(2) === 0, 1);
          }
          if (round === 1) sampler.closeWindow(MINUTE_MS);
        }
        for (const load of sampler.closeWindow(2 * MINUTE_MS).routes) {
          const route = routes.startingAt(load.start)!;
          const choice = chooseSplit(route, load.detail, 60_000, PLAIN_KEYS);
          if (choice.kind === 'decline') continue;
          let before = route.start;
          for (const key of choice.keys) {
            assert.ok(Buffer.compare(before, key) < 0 && isBelow(key, route.end), `${choice.why} in route ${route.id}`);
            before = key;
          }
        }
      }),
      { numRuns: 15 },
    );
  });
});
