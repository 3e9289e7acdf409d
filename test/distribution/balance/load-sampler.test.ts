import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KeySketch, SKETCH_KEYS } from '../../../src/distribution/balance/key-sketch.ts';
import { decodeWindow, encodeWindow } from '../../../src/distribution/balance/load-codec.ts';
import { DEFAULT_SAMPLER_LIMITS, LoadSampler } from '../../../src/distribution/balance/load-sampler.ts';
import {
  clusterWindow,
  type LoadWindow,
  type ReportedWindow,
  type RouteLoad,
  scoreOf,
} from '../../../src/distribution/balance/load-window.ts';
import { CatalogCorruptError } from '../../../src/distribution/contract/errors.ts';
import type { RouteTable } from '../../../src/distribution/routes/route-table.ts';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { bytes, delta, group, route, upsert } from '../builders.ts';
import { loadOf, MINUTE_MS, tableOf } from './views.ts';

const rowOf = (window: LoadWindow, table: RouteTable, key: string): RouteLoad | undefined =>
  window.routes.find((row) => row.routeId === table.lookup(bytes(key))!.id);

/** Names in `[start, start + 'z')` that differ in their digits. */
const name = (start: string, number: number): Buffer => bytes(`${start}${String(number).padStart(6, '0')}`);

/** The table with another owner of the range of 'd'. */
function withOtherOwner(table: RouteTable): RouteTable {
  const { id } = table.lookup(bytes('d'))!;
  return table.apply(delta(2, [upsert({ ...route(id, 'c', 'f', 2), modifiedVersion: 2 })]));
}

describe('a load sampler', () => {
  test('counts every access of every range once, in windows that follow each other', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const random = new SeededRandom(seed);
        const table = tableOf(['c', 'f', 'm', 'x']);
        const sampler = new LoadSampler(100, seed);
        let startMs = 100;
        for (let round = 0; round < 3; round++) {
          const expected = new Map<number, number[]>();
          for (let left = 300; left > 0; left--) {
            const key = random.bytes(1 + random.int(2));
            key[0] = 1 + (key[0]! % 255);
            const isWrite = random.int(3) === 0;
            sampler.record(table, key, isWrite, 10);
            const row = expected.get(table.lookup(key)!.id) ?? [0, 0, 0, 0];
            row[isWrite ? 1 : 0]!++;
            row[isWrite ? 3 : 2]! += 10;
            expected.set(table.lookup(key)!.id, row);
          }
          const window = sampler.closeWindow(startMs + 50);
          assert.deepEqual([window.startMs, window.endMs, window.coarse], [startMs, startMs + 50, []]);
          assert.deepEqual(
            new Map(
              window.routes.map((row) => [row.routeId, [row.reads, row.writes, row.readBytes, row.writtenBytes]]),
            ),
            expected,
          );
          startMs += 50;
        }
      }),
      { numRuns: 30 },
    );
  });

  test('counts in the new ranges after a split, and begins anew for a range that changed', () => {
    const before = tableOf(['m']);
    const sampler = new LoadSampler(0, 1);
    for (let left = 5; left > 0; left--) sampler.record(before, bytes('x'), false, 1);
    const old = before.lookup(bytes('x'))!;
    const after = before.apply(delta(2, [upsert({ ...route(old.id, 'm', '', 2), modifiedVersion: 2 })]));
    sampler.record(after, bytes('x'), true, 1);
    const wide = tableOf(['c', 'f', 'm', 'x']);
    const other = new LoadSampler(0, 1);
    other.record(wide, bytes('d'), false, 1);
    other.record(withOtherOwner(wide), bytes('d'), false, 1);
    assert.deepEqual(
      other.closeWindow(10).routes.map((row) => [row.routeVersion, row.reads]),
      [[2, 1]],
    );
    sampler.record(after, bytes('a'), true, 1);
    const row = rowOf(sampler.closeWindow(10), after, 'x')!;
    assert.deepEqual([row.reads, row.writes, row.groupId, row.routeVersion], [0, 1, 2, 2]);
  });

  test('counts by group what it has no room for, and gives the places out again in the next window', () => {
    const table = tableOf(['c', 'f', 'm', 'x']);
    const sampler = new LoadSampler(0, 1, { ...DEFAULT_SAMPLER_LIMITS, routes: 2 });
    for (const key of ['a', 'd', 'g', 'g', 'y']) sampler.record(table, bytes(key), false, 1);
    const first = sampler.closeWindow(10);
    assert.deepEqual(
      first.routes.map((row) => row.reads),
      [1, 1],
    );
    assert.deepEqual(first.coarse, [{ groupId: 1, reads: 3, writes: 0 }]);
    sampler.record(table, bytes('y'), false, 1);
    const second = sampler.closeWindow(20);
    assert.equal(rowOf(second, table, 'y')?.reads, 1);
    assert.deepEqual(second.coarse, []);
  });

  test('says from its second window on how the load of a warm range lies in it', () => {
    const table = tableOf(['m']);
    const sampler = new LoadSampler(0, 3);
    const random = new SeededRandom(5);
    let window: LoadWindow | undefined;
    for (let round = 0; round < 3; round++) {
      // All of the load is in a small corner of the range, as keys with a common prefix are.
      for (let left = 40_000; left > 0; left--)
        sampler.record(table, name('p', random.int(100_000)), left % 4 === 0, 1);
      window = sampler.closeWindow((round + 1) * MINUTE_MS);
      assert.equal(rowOf(window, table, 'p')!.detail?.isAligned, round > 0);
    }
    const { bounds, weights, sampledOps, topKeys } = rowOf(window!, table, 'p')!.detail!;
    assert.equal(bounds.length, 15);
    assert.equal(weights.length, 16);
    assert.ok(bounds.every((bound, at) => at === 0 || Buffer.compare(bounds[at - 1]!, bound) < 0));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    assert.ok(weights.every((weight) => weight / total < 0.25));
    assert.ok(sampledOps > 3_000 && sampledOps < 8_000);
    assert.ok(topKeys.every((top) => top.leastShare < 0.1));
  });

  test('never names the start of a range as a place to cut it at', () => {
    const table = tableOf(['m']);
    const sampler = new LoadSampler(0, 3);
    const random = new SeededRandom(5);
    for (let round = 0; round < 2; round++) {
      for (let left = 20_000; left > 0; left--) {
        sampler.record(table, random.int(2) === 0 ? bytes('m') : name('p', random.int(1_000)), false, 1);
      }
      if (round === 0) sampler.closeWindow(10);
    }
    const { bounds } = rowOf(sampler.closeWindow(20), table, 'p')!.detail!;
    assert.ok(bounds.length > 3 && bounds.every((bound) => Buffer.compare(bound, bytes('m')) > 0));
  });

  test('finds the key that has most of the load, and never says more of it than there is', () => {
    for (const share of [0.5, 0.85, 0.97]) {
      const table = tableOf(['m']);
      const sampler = new LoadSampler(0, 7);
      const random = new SeededRandom(9);
      for (let left = 60_000; left > 0; left--) {
        sampler.record(table, random.next() < share ? bytes('phot') : name('p', random.int(50_000)), false, 1);
      }
      const top = rowOf(sampler.closeWindow(MINUTE_MS), table, 'p')!.detail!.topKeys[0]!;
      assert.equal(top.key.toString('latin1'), 'phot');
      assert.ok(top.leastShare <= share + 0.005 && top.leastShare > share - 0.1, `${share}: ${top.leastShare}`);
    }
  });

  test('gives a detail to so many ranges, and takes it from those that cooled down', () => {
    const table = tableOf(['m']);
    const sampler = new LoadSampler(0, 1, { routes: 10, details: 1, detailFrom: 1_000 });
    const warm = (key: string): void => {
      for (let left = 3_000; left > 0; left--) sampler.record(table, bytes(key), false, 1);
    };
    warm('a');
    warm('x');
    const first = sampler.closeWindow(10);
    assert.equal(rowOf(first, table, 'x')?.detail, undefined);
    assert.ok(rowOf(first, table, 'a')?.detail !== undefined);
    sampler.record(table, bytes('a'), false, 1);
    sampler.closeWindow(20);
    warm('x');
    assert.ok(rowOf(sampler.closeWindow(30), table, 'x')?.detail !== undefined);
  });

  test('keeps no key that is too long, and counts it all the same', () => {
    const table = tableOf(['m']);
    const sampler = new LoadSampler(0, 1);
    const long = Buffer.alloc(2_000, 'z');
    for (let left = 20_000; left > 0; left--) sampler.record(table, long, false, 1);
    const row = rowOf(sampler.closeWindow(10), table, 'z')!;
    assert.deepEqual([row.reads, row.detail?.topKeys], [20_000, []]);
    assert.ok(row.detail!.sampledOps > 500);
  });
});

describe('the report of a window', () => {
  const nat = fc.maxSafeNat();
  const key = fc.uint8Array({ maxLength: 8 }).map((value) => Buffer.from(value));
  const share = fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0);
  const owner = fc.integer({ min: 1, max: 0xffff_ffff }).map(group);
  const detail = fc.record({
    bounds: fc.array(key, { maxLength: 4 }),
    weights: fc.array(nat, { maxLength: 5 }),
    topKeys: fc.array(fc.record({ key, share, leastShare: share }), { maxLength: 3 }),
    sampledOps: nat,
    isAligned: fc.boolean(),
  });
  const load = fc.record({
    routeId: nat,
    start: key,
    groupId: owner,
    routeVersion: nat,
    reads: nat,
    writes: nat,
    readBytes: nat,
    writtenBytes: nat,
    detail: fc.option(detail, { nil: undefined }),
  });
  const report = fc.record({
    nodeId: fc.integer({ min: 1, max: 65_535 }).map(nodeId),
    startMs: nat,
    endMs: nat,
    ledGroups: fc.array(owner, { maxLength: 4 }),
    routes: fc.array(load, { maxLength: 4 }),
    coarse: fc.array(fc.record({ groupId: owner, reads: nat, writes: nat }), { maxLength: 3 }),
  });

  test('comes back from its bytes, and is refused when they are cut or continued', () => {
    fc.assert(
      fc.property(report, fc.nat(), (window, cut) => {
        const encoded = encodeWindow(window);
        assert.equal(JSON.stringify(decodeWindow(encoded)), JSON.stringify(window));
        assert.deepEqual(encodeWindow(decodeWindow(encoded)), encoded);
        assert.throws(() => decodeWindow(encoded.subarray(0, cut % encoded.length)), CatalogCorruptError);
        assert.throws(() => decodeWindow(Buffer.concat([encoded, Buffer.of(0)])), CatalogCorruptError);
        encoded[0] = 99;
        assert.throws(() => decodeWindow(encoded), CatalogCorruptError);
      }),
    );
  });

  test('of one range has the bytes that other programs know', () => {
    const table = tableOf(['m']);
    const row = loadOf(table, 'x', 9, {
      detail: {
        bounds: [bytes('n')],
        weights: [1, 2],
        topKeys: [{ key: bytes('x'), share: 0.5, leastShare: 0.25 }],
        sampledOps: 3,
        isAligned: true,
      },
    });
    const encoded = encodeWindow({
      nodeId: nodeId(258),
      startMs: 1,
      endMs: 2,
      ledGroups: [group(1)],
      routes: [row],
      coarse: [{ groupId: group(7), reads: 4, writes: 5 }],
    });
    assert.equal(encoded.toString('hex'), GOLDEN_WINDOW);
  });
});

const GOLDEN_WINDOW =
  '010102000000000000000100000000000000020000000100000001000000010000000000000003000000016d0000000100000000000000010000000000000009000000000000000000000000000000000000000000000000010001000000016e000200000000000000010000000000000002000100000001783fe00000000000003fd0000000000000000000000000000301000000010000000700000000000000040000000000000005';

describe('a sketch of keys', () => {
  test('never says less than a key weighs at most, nor more than it weighs at least', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const random = new SeededRandom(seed);
        const sketch = new KeySketch();
        const truth = new Map<string, number>();
        let total = 0;
        for (let left = 600; left > 0; left--) {
          const key = random.int(3) === 0 ? name('h', random.int(3)) : name('c', random.int(200));
          const weight = 1 + random.int(4);
          sketch.add(key, weight);
          total += weight;
          truth.set(key.toString('latin1'), (truth.get(key.toString('latin1')) ?? 0) + weight);
        }
        const heaviest = sketch.heaviest();
        assert.ok(heaviest.length <= SKETCH_KEYS);
        for (const { key, weight, least } of heaviest) {
          const real = truth.get(key.toString('latin1'))!;
          assert.ok(least <= real && real <= weight, `${key}: ${least} <= ${real} <= ${weight}`);
        }
        const watched = new Set(heaviest.map(({ key }) => key.toString('latin1')));
        for (const [key, real] of truth) assert.ok(real <= total / SKETCH_KEYS || watched.has(key));
      }),
      { numRuns: 50 },
    );
  });
});

describe('a window of the cluster', () => {
  const table = tableOf(['m'], (at) => ({ groupId: group(at + 1) }));
  const report = (node: number, led: number[], loads: RouteLoad[], coarse: number[] = []): ReportedWindow => ({
    nodeId: nodeId(node),
    ledGroups: led.map(group),
    startMs: 0,
    endMs: MINUTE_MS,
    routes: loads,
    coarse: coarse.map((id) => ({ groupId: group(id), reads: 1, writes: 0 })),
  });

  test('holds what the leader of the whole window counted, and nothing of a group with two', () => {
    const merged = clusterWindow([
      report(1, [1, 2], [loadOf(table, 'a', 5), loadOf(table, 'x', 6)]),
      report(2, [2], [loadOf(table, 'x', 7), loadOf(table, 'a', 1)]),
    ])!;
    assert.deepEqual(
      [...merged.routes.values()].map((load) => [load.routeId, load.reads, load.nodeId]),
      [[table.lookup(bytes('a'))!.id, 5, 1]],
    );
    assert.deepEqual([...merged.completeGroups], [[1, 1]]);
    assert.equal(clusterWindow([]), undefined);
  });

  test('is not complete for a group whose ranges were counted together', () => {
    const merged = clusterWindow([report(1, [1, 2], [loadOf(table, 'a', 5)], [1])])!;
    assert.deepEqual([...merged.completeGroups.keys()], [2]);
    assert.equal(merged.routes.size, 1);
  });

  test('scores by its true length, a write as four reads', () => {
    const load = { ...loadOf(table, 'a', 100), writes: 50 };
    assert.equal(scoreOf(load, { startMs: 0, endMs: MINUTE_MS }), 300);
    assert.equal(scoreOf(load, { startMs: 0, endMs: MINUTE_MS / 2 }), 600);
    assert.equal(scoreOf(load, { startMs: 5, endMs: 5 }), 0);
  });
});
