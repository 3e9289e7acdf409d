import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ListBody, newList, openList } from '../../../../src/adapter/redis/bodies/index.ts';
import { accessTo, bytesOf, checkAll, latin1, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('list');

/** Few different ones, so that searches find something; some long ones. */
const value = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 12 }).map((n) => `v${n}`) },
  { weight: 2, arbitrary: fc.integer({ min: 10, max: 24 }).map((n) => 'm'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 25, max: 90 }).map((n) => 'l'.repeat(n)) },
);
/** A place in a list of any length. */
const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

const weighted = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });
/** What lets a list become short is rare, so that most sequences keep it long. */
const operation = fc.oneof(
  weighted(
    6,
    fc.record({
      kind: fc.constantFrom('pushFirst', 'pushLast'),
      values: fc.array(value, { minLength: 1, maxLength: 40, size: 'max' }),
    }),
  ),
  weighted(4, fc.record({ kind: fc.constantFrom('popFirst', 'popLast'), count: fc.integer({ min: 1, max: 12 }) })),
  weighted(1, fc.record({ kind: fc.constantFrom('popFirst', 'popLast'), count: fc.integer({ min: 1, max: 400 }) })),
  weighted(3, fc.record({ kind: fc.constant('set'), at: place, value })),
  weighted(6, fc.record({ kind: fc.constantFrom('before', 'after'), pivot: value, value })),
  weighted(3, fc.record({ kind: fc.constant('remove'), value, count: fc.integer({ min: -5, max: 5 }) })),
  weighted(
    2,
    fc.record({ kind: fc.constant('trim'), from: place.map((at) => at / 8), to: place.map((at) => 1 - at / 8) }),
  ),
  weighted(1, fc.record({ kind: fc.constant('trim'), from: place, to: place })),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Does the same to a list and to an array. */
function apply(list: ListBody, model: string[], op: Operation): void {
  switch (op.kind) {
    case 'pushFirst': {
      const { values } = op as { values: string[] };
      list.pushFirst(values.map(bytesOf));
      model.unshift(...values.toReversed());
      return;
    }
    case 'pushLast': {
      const { values } = op as { values: string[] };
      list.pushLast(values.map(bytesOf));
      model.push(...values);
      return;
    }
    case 'popFirst': {
      const { count } = op as { count: number };
      assert.deepEqual(list.popFirst(count).map(latin1), model.splice(0, count));
      return;
    }
    case 'popLast': {
      const { count } = op as { count: number };
      const from = Math.max(0, model.length - count);
      assert.deepEqual(list.popLast(count).map(latin1), model.splice(from).reverse());
      return;
    }
    case 'set': {
      const { at, value: text } = op as { at: number; value: string };
      if (model.length === 0) return;
      const index = Math.floor(at * model.length);
      list.set(index, bytesOf(text));
      model[index] = text;
      return;
    }
    case 'before':
    case 'after': {
      const { pivot, value: text } = op as { pivot: string; value: string };
      const index = model.indexOf(pivot);
      assert.equal(list.insertBeside(bytesOf(pivot), bytesOf(text), op.kind), index >= 0);
      if (index >= 0) model.splice(op.kind === 'before' ? index : index + 1, 0, text);
      return;
    }
    case 'remove': {
      const { value: text, count } = op as { value: string; count: number };
      let left = count === 0 ? Number.POSITIVE_INFINITY : Math.abs(count);
      const before = model.length;
      let at = count < 0 ? model.length - 1 : 0;
      while (left > 0 && at >= 0 && at < model.length) {
        if (model[at] === text) {
          model.splice(at, 1);
          left--;
          if (count < 0) at--;
        } else at += count < 0 ? -1 : 1;
      }
      assert.equal(list.remove(bytesOf(text), count), before - model.length);
      return;
    }
    case 'trim': {
      const { from, to } = op as { from: number; to: number };
      const [start, end] = [Math.floor(from * model.length), Math.floor(to * (model.length + 3))];
      list.trim(start, end);
      model.splice(0, model.length, ...model.slice(start, end + 1));
      return;
    }
  }
}

function compare(list: ListBody, model: readonly string[]): void {
  assert.equal(list.length, model.length);
  assert.deepEqual([...list.values()].map(latin1), model);
  assert.deepEqual([...list.values(list.length - 1, -1)].map(latin1), model.toReversed());
  for (let index = 0; index < model.length; index += 1 + (model.length >> 4)) {
    assert.equal(latin1(list.at(index)!), model[index]);
    assert.deepEqual(list.range(index, index + 7).map(latin1), model.slice(index, index + 8));
  }
  assert.equal(list.at(model.length), undefined);
}

describe('a list', () => {
  test('does what an array does, through every conversion and split', () => {
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 300, size: 'max' }),
        fc.array(fc.array(operation, { minLength: 1, maxLength: 4 }), { maxLength: 25, size: 'max' }),
        (initial, batches) => {
          const access = accessTo(TINY_LIMITS);
          const model = [...initial];
          const list = newList(access, KEY);
          list.pushLast(initial.map(bytesOf));
          list.save();
          checkAll(access, KEY);
          for (const batch of batches) {
            const changed = openList(access, KEY);
            for (const op of batch) apply(changed, model, op);
            changed.save();
            checkAll(access, KEY);
            compare(openList(access, KEY), model);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  test('finds positions from either end, after a number of matches, within a number of values', () => {
    const search = fc.record({
      rank: fc.integer({ min: -4, max: 4 }).filter((rank) => rank !== 0),
      count: fc.constantFrom(1, 2, 5, Number.POSITIVE_INFINITY),
      atMost: fc.constantFrom(1, 10, 50, Number.POSITIVE_INFINITY),
    });
    fc.assert(
      fc.property(fc.array(value, { maxLength: 120, size: 'max' }), value, search, (values, wanted, options) => {
        const access = accessTo(TINY_LIMITS);
        const list = newList(access, KEY);
        list.pushLast(values.map(bytesOf));
        list.save();
        const order = values.map((_, index) => index);
        if (options.rank < 0) order.reverse();
        const looked = order.slice(0, options.atMost === Number.POSITIVE_INFINITY ? undefined : options.atMost);
        const matches = looked.filter((index) => values[index] === wanted).slice(Math.abs(options.rank) - 1);
        const expected = options.count === Number.POSITIVE_INFINITY ? matches : matches.slice(0, options.count);
        assert.deepEqual(openList(access, KEY).positions(bytesOf(wanted), options), expected);
      }),
    );
  });

  test('serves as a queue of any length, and leaves nothing behind', () => {
    const access = accessTo(TINY_LIMITS);
    let [pushed, popped] = [0, 0];
    for (let round = 0; round < 3_000; round++) {
      const list = openList(access, KEY);
      if (round % 5 !== 4 || round > 2_000) list.pushFirst([bytesOf(`item ${pushed++}`)]);
      if (round % 5 === 4 || round > 2_000)
        for (const item of list.popLast(3)) assert.equal(latin1(item), `item ${popped++}`);
      list.save();
      if (round % 50 === 0) checkAll(access, KEY);
    }
    while (popped < pushed) {
      const list = openList(access, KEY);
      for (const item of list.popLast(1)) assert.equal(latin1(item), `item ${popped++}`);
      list.save();
    }
    access.view.collect();
    assert.deepEqual(access.view.keys(), []);
  });
});
