/** A map whose entries come and go: what is in it, and what becomes of what was. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import fc from 'fast-check';
import { FlowingMap } from '../../src/platform/index.ts';

const oldBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')!.space_used_size;

describe('a map whose entries come and go', () => {
  test('has what was put into it and not taken out, in that order', () => {
    const step = fc.record({ isDelete: fc.boolean(), key: fc.nat(40), value: fc.nat() }, { noNullPrototype: true });
    fc.assert(
      fc.property(fc.array(step, { minLength: 200, maxLength: 2_000 }), (steps) => {
        const flowing = new FlowingMap<number, number>();
        const plain = new Map<number, number>();
        for (const { isDelete, key, value } of steps) {
          if (isDelete) assert.equal(flowing.delete(key), plain.delete(key));
          else {
            flowing.set(key, value);
            plain.set(key, value);
          }
          assert.equal(flowing.get(key), plain.get(key));
          assert.equal(flowing.size, plain.size);
        }
        assert.deepEqual(flowing.keys(), [...plain.keys()]);
        assert.deepEqual(flowing.values(), [...plain.values()]);
        flowing.clear();
        assert.equal(flowing.size, 0);
      }),
      { numRuns: 30 },
    );
  });

  test('keeps nothing alive that was taken out of it, also when its table has become old', () => {
    const flowing = new FlowingMap<string, number[]>();
    for (let at = 0; at < 800; at++) flowing.set(`key ${at}`, [at]);
    // Nothing comes and goes for some collections of young objects.
    let garbage: number[] = [];
    for (let at = 0; at < 200_000; at++) garbage = new Array<number>(60).fill(at);
    assert.equal(garbage.length, 60);
    const before = oldBytes();
    let most = 0;
    for (let at = 800; at < 300_000; at++) {
      flowing.set(`key ${at}`, new Array<number>(60).fill(at));
      flowing.delete(`key ${at - 800}`);
      if (at % 5_000 === 0) most = Math.max(most, oldBytes() - before);
    }
    // 150 MB have passed through it, half a megabyte at a time; a plain map makes more than half of that old.
    assert.ok(most < 8_000_000, `${most} bytes became old`);
  });
});
