import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { newHash, newSet, openHash, openSet } from '../../../../src/adapter/redis/bodies/index.ts';
import { accessTo, bytesOf, checkAll, latin1, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('names');

/** Few hundred different ones: short, full, long ones with a row, and some beyond what a row's key can have. */
const name = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 300 }).map((n) => `n${n}`) },
  { weight: 2, arbitrary: fc.integer({ min: 10, max: 24 }).map((n) => 'm'.repeat(n)) },
  { weight: 2, arbitrary: fc.integer({ min: 25, max: 60 }).map((n) => 'l'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 250, max: 262 }).map((n) => 'x'.repeat(n)) },
  { weight: 1, arbitrary: fc.constant('') },
);
const value = fc.oneof(
  { weight: 6, arbitrary: fc.string({ maxLength: 12, unit: 'binary-ascii' }) },
  { weight: 1, arbitrary: fc.integer({ min: 50, max: 80 }).map((n) => 'v'.repeat(n)) },
);

const weighted = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });
const operation = fc.oneof(
  weighted(
    5,
    fc.array(fc.tuple(name, value), { minLength: 1, maxLength: 40, size: 'max' }).map((set) => ({ set })),
  ),
  weighted(
    4,
    fc.array(name, { minLength: 1, maxLength: 30, size: 'max' }).map((remove) => ({ remove })),
  ),
  weighted(
    2,
    fc.double({ min: 0, max: 1, noNaN: true }).map((part) => ({ part })),
  ),
  weighted(
    3,
    fc.integer({ min: 1, max: 12 }).map((pop) => ({ pop })),
  ),
);
const batches = fc.array(fc.array(operation, { minLength: 1, maxLength: 3 }), { maxLength: 20, size: 'max' });
const initial = fc.array(fc.tuple(name, value), { maxLength: 300, size: 'max' });

describe('a hash', () => {
  test('does what a map does, through every conversion and compaction', () => {
    fc.assert(
      fc.property(initial, batches, fc.integer(), (pairs, steps, seed) => {
        const access = accessTo(TINY_LIMITS, seed);
        const model = new Map(pairs);
        const hash = newHash(access, KEY);
        for (const [field, text] of pairs) hash.set(bytesOf(field), bytesOf(text));
        hash.save();
        for (const step of steps) {
          const changed = openHash(access, KEY);
          for (const op of step) {
            if ('set' in op) {
              for (const [field, text] of op.set) {
                assert.equal(changed.set(bytesOf(field), bytesOf(text)), !model.has(field));
                model.set(field, text);
              }
              continue;
            }
            let names = 'remove' in op ? op.remove : [...model.keys()];
            if ('part' in op) names = names.slice(0, Math.floor(op.part * (names.length + 1)));
            if ('pop' in op) names = changed.randomDistinct(op.pop).map(latin1);
            const there = new Set(names.filter((each) => model.delete(each)));
            assert.equal(changed.delete(names.map(bytesOf)), there.size);
          }
          changed.save();
          checkAll(access, KEY);
          const read = openHash(access, KEY);
          assert.equal(read.size, model.size);
          const entries = [...read.entries()].map((entry) => [latin1(entry.name), latin1(entry.value)] as const);
          assert.deepEqual(new Map(entries), model);
          assert.equal(entries.length, model.size);
          for (const [field, text] of model) assert.equal(latin1(read.get(bytesOf(field))!), text);
          assert.equal(read.get(bytesOf('absent')), undefined);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('changes a value in place: one row, and no head', () => {
    const access = accessTo();
    const hash = newHash(access, KEY);
    for (let n = 0; n < 500; n++) hash.set(bytesOf(`field ${n}`), bytesOf('before'));
    hash.save();
    access.view.forget();
    const changed = openHash(access, KEY);
    changed.set(bytesOf('field 77'), bytesOf('after'));
    changed.save();
    assert.equal(access.view.written.size, 1);
    assert.equal(latin1(openHash(access, KEY).get(bytesOf('field 77'))!), 'after');
  });
});

describe('a set', () => {
  test('does what a set does, through every conversion and compaction', () => {
    fc.assert(
      fc.property(initial, batches, fc.integer(), (pairs, steps, seed) => {
        const access = accessTo(TINY_LIMITS, seed);
        const model = new Set(pairs.map(([member]) => member));
        const set = newSet(access, KEY);
        for (const [member] of pairs) set.add(bytesOf(member));
        set.save();
        for (const step of steps) {
          const changed = openSet(access, KEY);
          for (const op of step) {
            if ('set' in op) {
              for (const [member] of op.set) {
                assert.equal(changed.add(bytesOf(member)), !model.has(member));
                model.add(member);
              }
            } else if ('remove' in op) {
              const there = new Set(op.remove.filter((member) => model.delete(member)));
              assert.equal(changed.delete(op.remove.map(bytesOf)), there.size);
            } else {
              const count = 'pop' in op ? op.pop : Math.floor(op.part * (model.size + 1));
              const popped = changed.pop(count).map(latin1);
              assert.equal(popped.length, Math.min(count, model.size));
              for (const member of popped) assert.ok(model.delete(member), 'a popped member was there, once');
            }
          }
          changed.save();
          checkAll(access, KEY);
          const read = openSet(access, KEY);
          assert.equal(read.size, model.size);
          assert.deepEqual([...read.members()].map(latin1).sort(), [...model].sort());
          for (const member of model) assert.ok(read.has(bytesOf(member)));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('scans every member that stays, whatever comes and goes meanwhile', () => {
    const member = fc.integer({ min: 0, max: 400 });
    const change = fc.record({
      add: fc.array(member, { maxLength: 12 }),
      remove: fc.array(member, { maxLength: 40, size: 'max' }),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(member, { maxLength: 250, size: 'max' }),
        fc.array(change, { minLength: 1, maxLength: 30, size: 'max' }),
        fc.integer({ min: 1, max: 20 }),
        (initialMembers, changes, atLeast) => {
          const access = accessTo(TINY_LIMITS);
          const set = newSet(access, KEY);
          for (const each of initialMembers) set.add(bytesOf(`m${each}`));
          set.save();
          const staying = new Set(initialMembers);
          const seen = new Set<string>();
          let cursor = 0;
          for (let call = 0; ; call++) {
            assert.ok(call < 1_000, 'a scan ends');
            const part = openSet(access, KEY).scan(cursor, atLeast);
            for (const each of part.names) seen.add(latin1(each));
            cursor = part.cursor;
            if (cursor === 0) break;
            const { add, remove } = changes[call % changes.length]!;
            const changed = openSet(access, KEY);
            for (const each of add) changed.add(bytesOf(`m${each}`));
            changed.delete(remove.map((each) => bytesOf(`m${each}`)));
            for (const each of remove) staying.delete(each);
            changed.save();
          }
          for (const each of staying) assert.ok(seen.has(`m${each}`), `m${each} was there all the time`);
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** A set that was grown, shrunk and compacted, so that its pages hold unlike numbers of names. */
function wornSet(access: TestAccess, seed: number): string[] {
  const set = newSet(access, KEY);
  for (let n = 0; n < 600; n++) set.add(bytesOf(n % 7 === 0 ? `a longer member ${n}` : `m${n}`));
  set.save();
  const worn = openSet(access, KEY);
  const random = accessTo(undefined, seed).random;
  for (const each of [...worn.members()]) if (random.next() < 0.55) worn.delete([each]);
  for (let n = 600; n < 640; n++) worn.add(bytesOf(`m${n}`));
  worn.save();
  return [...openSet(access, KEY).members()].map(latin1);
}

/** The sum of (observed - expected)^2 / expected is nearly normal around `cells - 1` when all cells are equally likely. */
function assertUniform(counts: ReadonlyMap<string, number>, cells: number, draws: number): void {
  const expected = draws / cells;
  let sum = (cells - counts.size) * expected;
  for (const count of counts.values()) sum += (count - expected) ** 2 / expected;
  const freedom = cells - 1;
  assert.ok(counts.size <= cells);
  assert.ok(
    sum < freedom + 5 * Math.sqrt(2 * freedom),
    `chi-square ${sum.toFixed(1)} with ${freedom} degrees of freedom`,
  );
}

describe('random members', () => {
  test('are drawn with equal chances out of a set that was grown, shrunk and compacted', () => {
    const access = accessTo({ ...TINY_LIMITS, pageBytes: 128, rosterNames: 16 }, 20_260_101);
    const members = wornSet(access, 7);
    const set = openSet(access, KEY);
    const draws = 100_000;
    const [single, several] = [new Map<string, number>(), new Map<string, number>()];
    for (let draw = 0; draw < draws; draw++) {
      const drawn = latin1(set.random()!);
      single.set(drawn, (single.get(drawn) ?? 0) + 1);
    }
    assertUniform(single, members.length, draws);
    for (let draw = 0; draw < draws / 50; draw++) {
      const chosen = set.randomDistinct(50).map(latin1);
      assert.equal(new Set(chosen).size, 50);
      for (const each of chosen) several.set(each, (several.get(each) ?? 0) + 1);
    }
    assertUniform(several, members.length, draws);
  });

  test('take few reads each', () => {
    const access = accessTo();
    wornSet(access, 3);
    const set = openSet(access, KEY);
    access.view.forget();
    for (let draw = 0; draw < 1_000; draw++) set.random();
    assert.ok(access.view.reads < 8_000, `${access.view.reads} reads`);
  });
});
