import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HistoryGrowth } from '../../../src/cluster/gc/growth.ts';
import { timestampOfMs } from '../../../src/platform/index.ts';

const MIB = 1 << 20;
const at = (ms: number) => timestampOfMs(ms);

test('a safepoint is worth it while a MiB became history that it is not above', () => {
  const growth = new HistoryGrowth();
  growth.note(MIB - 1, 1_000);
  assert.equal(growth.isAbove(at(0)), false);
  growth.note(MIB, 2_000);
  assert.equal(growth.isAbove(at(1_999)), true);
  assert.equal(growth.isAbove(at(2_000)), false);
  growth.note(2 * MIB - 1, 3_000);
  assert.equal(growth.isAbove(at(2_000)), false);
});

test('a store that goes takes what it had seen along', () => {
  const growth = new HistoryGrowth();
  growth.note(5 * MIB, 1_000);
  growth.note(MIB, 2_000);
  growth.note(2 * MIB, 3_000);
  assert.equal(growth.isAbove(at(2_000)), true);
});
