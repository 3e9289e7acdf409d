import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { storeShare } from '../../src/node/store-budget.ts';

const MIB = 1024 ** 2;

const totalOf = (nodeBytes: number, groups: number): number => {
  const { limits, level } = storeShare(nodeBytes, groups);
  return (
    groups *
    (limits.cacheBytes - limits.lentBytes + limits.bufferBytes + level.blockCacheBytes + 2 * level.writeBufferBytes)
  );
};

test('all stores of a node together stay within its budget, as long as that is not less than they need', () => {
  const cases = fc.record({ groups: fc.integer({ min: 1, max: 1000 }), mib: fc.integer({ min: 8, max: 64 * 1024 }) });
  fc.assert(
    fc.property(cases, ({ groups, mib }) => {
      const least = 2.5 * MIB;
      assert.ok(totalOf(mib * MIB, groups) <= Math.max(mib * MIB, groups * 8 * least));
      if ((mib * MIB) / groups >= 8 * MIB) assert.ok(totalOf(mib * MIB, groups) <= mib * MIB);
    }),
  );
});

test('a store is flushed well before its buffer is full', () => {
  for (const groups of [1, 10, 1000]) {
    const { flushBytes, bufferBytes, lentBytes, cacheBytes } = storeShare(256 * MIB, groups).limits;
    assert.ok(flushBytes <= (bufferBytes - lentBytes) / 4);
    assert.ok(lentBytes < cacheBytes);
  }
});
