import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LevelOperation } from '../../src/store/level/level.ts';
import { type FrozenRows, RowIterator, rowOf, SimulatedRows } from '../../src/store/level/simulated-rows.ts';

const KEYS = 900;

const keyOf = (number: number): Buffer => Buffer.from(String(number).padStart(4, '0'));
const operation = fc
  .tuple(fc.nat(KEYS - 1), fc.option(fc.nat(99), { freq: 2 }))
  .map(
    ([key, value]): LevelOperation =>
      value === null ? { type: 'del', key: keyOf(key) } : { type: 'put', key: keyOf(key), value: Buffer.from([value]) },
  );
const step = fc.record({
  batch: fc.array(operation, { maxLength: 400, size: 'max' }),
  isUndone: fc.boolean(),
  isFrozen: fc.boolean(),
});

type Model = ReadonlyMap<string, number>;

const inOrder = (model: Model): [string, number][] => [...model].sort(([left], [right]) => (left < right ? -1 : 1));

async function rowsOf(view: FrozenRows, options: ConstructorParameters<typeof RowIterator>[1], page: number) {
  const iterator = new RowIterator(view, options);
  const rows: [string, number][] = [];
  for (;;) {
    const next = await iterator.nextv(page);
    if (next.length === 0) return rows;
    for (const [key, value] of next) rows.push([key.toString(), value[0]!]);
  }
}

test('a simulated database holds what was put, gives it in order, and frozen views of it never change', async () => {
  const bound = fc.option(fc.nat(KEYS), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 8 }),
      bound,
      bound,
      fc.integer({ min: 1, max: 50 }),
      fc.option(fc.nat(40), { nil: undefined }),
      async (steps, from, to, page, limit) => {
        const rows = new SimulatedRows();
        const model = new Map<string, number>();
        const frozen: { view: FrozenRows; model: Model }[] = [];
        for (const { batch, isUndone, isFrozen } of steps) {
          const undo = rows.apply(batch);
          if (isUndone) rows.apply(undo);
          else {
            for (const each of batch) {
              if (each.type === 'put') model.set(each.key.toString(), each.value[0]!);
              else model.delete(each.key.toString());
            }
          }
          if (isFrozen) frozen.push({ view: rows.freeze(), model: new Map(model) });
        }
        frozen.push({ view: rows, model });
        for (const { view, model: expected } of frozen) {
          const gte = from === undefined ? undefined : keyOf(from);
          const lt = to === undefined ? undefined : keyOf(to);
          const inside = inOrder(expected).filter(
            ([key]) => (gte === undefined || key >= gte.toString()) && (lt === undefined || key < lt.toString()),
          );
          const bounds = { ...(gte && { gte }), ...(lt && { lt }), ...(limit === undefined ? {} : { limit }) };
          assert.deepEqual(await rowsOf(view, bounds, page), inside.slice(0, limit));
          assert.deepEqual(
            await rowsOf(view, { ...bounds, reverse: true }, page),
            inside.slice().reverse().slice(0, limit),
          );
          for (let key = 0; key < KEYS; key += 7)
            assert.equal(rowOf(view, keyOf(key))?.[0], expected.get(keyOf(key).toString()));
        }
      },
    ),
    { numRuns: 60 },
  );
});
