import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { firstInOrder } from '../../../../src/adapter/redis/commands/sort/first-in-order.ts';

interface Item {
  readonly weight: number;
  readonly index: number;
}

const inOrder = (one: Item, other: Item): number => one.weight - other.weight || one.index - other.index;

test('the first of many items are those that sorting all of them brings to the front', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 200 }), fc.nat(220), (weights, count) => {
      const items = (): Item[] => weights.map((weight, index) => ({ weight, index }));
      assert.deepEqual(firstInOrder(items(), count, inOrder), items().sort(inOrder).slice(0, count));
    }),
  );
});

test('a few of many items take about one comparison each', () => {
  const items = Array.from({ length: 100_000 }, (_, index) => ({ weight: (index * 7_919) % 100_003, index }));
  let comparisons = 0;
  firstInOrder(items, 10, (one, other) => {
    comparisons++;
    return inOrder(one, other);
  });
  assert.ok(comparisons < 110_000, `${comparisons} comparisons`);
});
