import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mutants } from '../../jepsen/mutants/index.ts';
import { nemeses, nemesisFamilies, resolveNemeses } from '../../jepsen/nemeses/index.ts';
import { ShuffleBag } from '../../jepsen/shuffle-bag.ts';
import { fullSuite, leftToFullSuite, partOf, quickSuite } from '../../jepsen/suite.ts';
import { makeWorkload, workloads } from '../../jepsen/workloads/index.ts';
import { SeededRandom } from '../../src/platform/index.ts';

describe('the lists of tests', () => {
  for (const [name, entries] of Object.entries({ quickSuite, fullSuite, mutants })) {
    test(`${name} names workloads and faults that exist`, () => {
      for (const entry of entries) {
        assert.equal(makeWorkload(entry.workload, entry.nemeses).name, entry.workload);
        assert.ok(resolveNemeses(entry.nemeses).length >= entry.nemeses.length);
        assert.ok(entry.seconds > 0);
      }
    });
  }

  test('the quick suite runs every workload but those that are left to the full one', () => {
    const inQuickSuite = quickSuite.map(({ workload }) => workload);
    assert.deepEqual([...inQuickSuite, ...leftToFullSuite].sort(), Object.keys(workloads).sort());
    const inFullSuite = new Set(fullSuite.map(({ workload }) => workload));
    assert.deepEqual([...inFullSuite].sort(), Object.keys(workloads).sort());
  });

  test('the parts of a suite are all of it, each run once', () => {
    const parts = ['1/3', '2/3', '3/3'].map((part) => partOf(quickSuite, part));
    assert.deepEqual(new Set(parts.flat()), new Set(quickSuite));
    assert.equal(parts.flat().length, quickSuite.length);
    assert.deepEqual(partOf(quickSuite, '1/1'), quickSuite);
    for (const part of ['0/2', '3/2', '2', 'a/b', '1/0']) assert.throws(() => partOf(quickSuite, part), /is no part/);
  });

  test('every fault belongs to a family, and names are unique', () => {
    const inFamilies = Object.values(nemesisFamilies).flat().sort();
    assert.deepEqual(inFamilies, nemeses.map(({ name }) => name).sort());
    assert.equal(new Set(inFamilies).size, inFamilies.length);
  });

  test('an unknown name is refused with what is known', () => {
    assert.throws(() => resolveNemeses(['flood']), /unknown nemesis flood; known are kill/);
    assert.throws(() => makeWorkload('nothing', []), /unknown workload nothing; known are register/);
  });
});

describe('the shuffle bag', () => {
  test('gives everything its turn before anything comes again', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bag = new ShuffleBag(['a', 'b', 'c', 'd', 'e'], new SeededRandom(seed));
      const round = Array.from({ length: 5 }, () => bag.take(1)[0]!);
      assert.deepEqual(round.sort(), ['a', 'b', 'c', 'd', 'e'], `seed ${seed}`);
    }
  });

  test('draws different items at once, in the order of the list, all of them within few draws', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bag = new ShuffleBag(['a', 'b', 'c', 'd', 'e'], new SeededRandom(seed));
      const draws = Array.from({ length: 3 }, () => bag.take(2));
      for (const [one, other] of draws) assert.ok(one! < other!, `seed ${seed}`);
      assert.equal(new Set(draws.flat()).size, 5, `seed ${seed}`);
    }
  });

  test('gives all that it has when more is asked for', () => {
    assert.deepEqual(new ShuffleBag(['a', 'b'], new SeededRandom(1)).take(5), ['a', 'b']);
  });
});
