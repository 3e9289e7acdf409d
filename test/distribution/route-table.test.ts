import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RouteTableError } from '../../src/distribution/contract/errors.ts';
import type { Route, RouteMutation } from '../../src/distribution/contract/types.ts';
import { BTree, BTreeLoader, Place } from '../../src/distribution/routes/btree.ts';
import { RouteEngine } from '../../src/distribution/routes/route-engine.ts';
import { RouteTable, RouteTableLoader } from '../../src/distribution/routes/route-table.ts';
import { SeededRandom } from '../../src/platform/index.ts';
import { ArrayDirectory, bytes, delta, group, remove, route, upsert } from './builders.ts';

const seeds = (): fc.Arbitrary<number> => fc.integer({ min: 0, max: 0xffff_ffff });

function loaded(rows: readonly Route[], version = 1): RouteTable {
  const loader = new RouteTableLoader();
  for (const row of rows) loader.add(row);
  return loader.finish(version, 1);
}

const threeRoutes = (): Route[] => [route(1, '', 'g', 1), route(2, 'g', 'p', 2), route(3, 'p', '', 1)];
const refused = (table: RouteTable, mutations: RouteMutation[], message: RegExp): void => {
  assert.throws(
    () => table.apply(delta(table.version + 1, mutations)),
    (error: unknown) => error instanceof RouteTableError && message.test(error.message),
  );
};

describe('the persistent tree', () => {
  test('agrees with a sorted map under random sets and deletes, and old trees do not change', () => {
    fc.assert(
      fc.property(seeds(), (seed) => {
        const random = new SeededRandom(seed);
        const model = new Map<string, string>();
        const width = 4;
        let tree = BTree.empty(width);
        const kept: { tree: BTree; rows: string[] }[] = [];
        const rowsOf = (of: BTree): string[] =>
          [...of.walk(Buffer.alloc(0))].map(
            ({ leaf, index }) =>
              `${leaf.keys.key(index).toString('hex')}=${leaf.records.toString('hex', index * width, index * width + width)}`,
          );
        const deleteShare = 1 + random.int(7);
        for (let step = 0; step < 1500; step++) {
          const key = random.bytes(random.int(3));
          if (random.int(10) < (step < 750 ? 2 : deleteShare)) {
            tree = tree.delete(key);
            model.delete(key.toString('hex'));
          } else {
            const record = random.bytes(width);
            tree = tree.set(key, record);
            model.set(key.toString('hex'), record.toString('hex'));
          }
          assert.equal(tree.size, model.size);
          if (step % 300 === 0) kept.push({ tree, rows: rowsOf(tree) });
        }
        const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, record]) => `${key}=${record}`);
        assert.deepEqual(rowsOf(tree), expected);
        for (const { tree: old, rows } of kept) assert.deepEqual(rowsOf(old), rows);

        const keys = expected.map((row) => row.split('=')[0]!);
        const place = new Place();
        for (let probe = 0; probe < 200; probe++) {
          const key = random.bytes(random.int(4));
          const hex = key.toString('hex');
          const at = keys.findLastIndex((candidate) => candidate <= hex);
          assert.equal(tree.floor(key, place), at >= 0);
          if (at < 0) continue;
          assert.equal(place.key().toString('hex'), keys[at]);
          assert.equal(place.nextKey()?.toString('hex'), keys[at + 1]);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('is the same after loading as after setting one by one', () => {
    for (const count of [0, 1, 48, 49, 97, 2305, 5000]) {
      const loader = new BTreeLoader(0);
      let tree = BTree.empty(0);
      for (let id = 0; id < count; id++) {
        const key = bytes(String(id).padStart(6, '0'));
        loader.add(key);
        tree = tree.set(key);
      }
      const keysOf = (of: BTree): string[] =>
        [...of.walk(bytes(''))].map(({ leaf, index }) => String(leaf.keys.key(index)));
      const built = loader.finish();
      assert.deepEqual(keysOf(built), keysOf(tree));
      assert.equal(built.size, count);
      let shrinking = built;
      for (let id = 0; id < count; id++) shrinking = shrinking.delete(bytes(String(id).padStart(6, '0')));
      assert.equal(shrinking.size, 0);
      assert.equal(shrinking.height, 0);
    }
  });

  test('orders keys that share a long beginning as Buffer.compare does', () => {
    const keys = ['', 'a', 'ab'].map((tail) => bytes(`${'x'.repeat(40)}${tail}`));
    const tree = keys.reduce((built, key) => built.set(key), BTree.empty(0));
    const place = new Place();
    assert.ok(tree.floor(bytes(`${'x'.repeat(40)}aa`), place));
    assert.deepEqual(place.key(), keys[1]);
    assert.ok(!tree.floor(bytes('x'.repeat(39)), place));
  });
});

describe('a route table', () => {
  test('agrees with a sorted array through random splits, merges, moves and batches, in every kept version', () => {
    fc.assert(
      fc.property(seeds(), (seed) => {
        const random = new SeededRandom(seed);
        const model = new ArrayDirectory([route(1, '', '')], 2);
        const engine = new RouteEngine(1);
        engine.publish(loaded(model.rows));
        const history = new Map<number, Route[]>();
        for (let step = 0; step < 150; step++) {
          const mutations = model.change(random, 5);
          const table = engine.current.apply(delta(engine.current.version + 1, mutations));
          engine.publish(table);
          history.set(table.version, model.rows.slice());
          assert.equal(table.size, model.rows.length);
          for (let probe = 0; probe < 10; probe++) {
            const key = random.bytes(random.int(4));
            assert.deepEqual(table.lookup(key), model.lookup(key));
            assert.equal(table.groupOf(key), model.lookup(key).groupId);
            const other = random.int(8) === 0 ? undefined : random.bytes(random.int(4));
            assert.deepEqual([...table.overlap(key, other)], model.overlap(key, other));
          }
        }
        for (let owner = 1; owner <= 5; owner++) {
          const own = model.rows.filter((row) => row.groupId === owner);
          assert.deepEqual([...engine.current.ofGroup(group(owner))], own);
        }
        assert.deepEqual(
          engine.current.groups(),
          [...new Set(model.rows.map((row) => row.groupId))].sort((a, b) => a - b),
        );
        assert.equal(engine.versions().length, 32);
        for (const version of engine.versions()) {
          assert.deepEqual([...engine.at(version)!.all()], history.get(version));
        }
        assert.deepEqual([...loaded(model.rows).all()], model.rows);
      }),
      { numRuns: 20 },
    );
  });

  test('refuses a delta that would leave a gap, an overlap or a wrong row, and stays as it was', () => {
    const table = loaded(threeRoutes());
    const [first, second, third] = threeRoutes() as [Route, Route, Route];
    refused(table, [remove(second)], /does not end there/);
    refused(table, [remove(first)], /start of the key space/);
    refused(table, [upsert({ ...second, end: bytes('m') })], /followed by/);
    refused(table, [upsert({ ...second, end: bytes('q') })], /followed by/);
    refused(table, [upsert(route(4, 'c', 'g'))], /does not end there/);
    refused(table, [upsert({ ...first, end: bytes('c') }), upsert(route(4, 'd', 'g'))], /followed by/);
    refused(table, [upsert({ ...first, end: bytes('c') }), upsert(route(2, 'c', 'g'))], /used before/);
    refused(table, [upsert(route(4, 'g', 'p'))], /both start/);
    refused(table, [remove(second), upsert({ ...second })], /twice/);
    refused(table, [remove({ ...second, id: 3 })], /no route 3/);
    refused(table, [remove(second), upsert({ ...first, end: bytes('o') })], /followed by/);
    assert.throws(() => table.apply(delta(3, [])), RouteTableError);
    assert.deepEqual([...table.all()], [first, second, third]);
  });

  test('refuses random sabotage of valid deltas', () => {
    fc.assert(
      fc.property(seeds(), (seed) => {
        const random = new SeededRandom(seed);
        const model = new ArrayDirectory([route(1, '', '')], 2);
        let table = loaded(model.rows);
        for (let step = 0; step < 40; step++) {
          const mutations = model.change(random, 3);
          if (mutations.length > 1) {
            // Any strict subset of a split or merge leaves a gap, an overlap, or a row of a used id.
            const missing = random.int(mutations.length);
            const sabotaged = mutations.filter((_, at) => at !== missing);
            assert.throws(() => table.apply(delta(table.version + 1, sabotaged)), RouteTableError);
          }
          table = table.apply(delta(table.version + 1, mutations));
        }
      }),
      { numRuns: 40 },
    );
  });

  test('is not loaded from pages with a gap, an overlap, an end too early or an id twice', () => {
    const [first, second, third] = threeRoutes() as [Route, Route, Route];
    assert.throws(() => loaded([first, third]), RouteTableError);
    assert.throws(() => loaded([first, { ...second, start: bytes('f') }, third]), RouteTableError);
    assert.throws(() => loaded([first, second]), RouteTableError);
    assert.throws(() => loaded([]), RouteTableError);
    assert.throws(() => loaded([first, second, { ...third, id: 1 }]), RouteTableError);
    assert.throws(() => loaded([first, { ...second, end: bytes('g') }]), RouteTableError);
  });

  test('answers nothing before the first version', () => {
    const table = RouteTable.empty(1);
    assert.equal(table.lookup(bytes('a')), undefined);
    assert.equal(table.groupOf(bytes('a')), undefined);
    assert.deepEqual([...table.all()], []);
    assert.deepEqual(table.groups(), []);
  });
});

describe('the route engine', () => {
  test('ignores versions that are not newer, and forgets the history of another incarnation', () => {
    const engine = new RouteEngine(1);
    const first = loaded(threeRoutes());
    const second = first.apply(delta(2, [upsert({ ...threeRoutes()[1]!, groupId: group(3) })]));
    assert.ok(engine.publish(second));
    assert.ok(!engine.publish(first));
    assert.ok(!engine.publish(second));
    assert.equal(engine.current, second);

    const loader = new RouteTableLoader();
    for (const row of threeRoutes()) loader.add(row);
    const restored = loader.finish(1, 2);
    assert.ok(engine.publish(restored));
    assert.deepEqual(engine.versions(), [1]);
    assert.ok(!engine.publish(second.apply(delta(3, []))));
    assert.equal(engine.current, restored);
  });
});
