/** Long reads of one node: few at a time, and with a bound on what their replies take together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MomentLine } from '../../../../src/adapter/redis/state/moment-line.ts';
import { BusyError } from '../../../../src/raftengine/errors.ts';

const MIB = 1024 * 1024;

const line = (): MomentLine => new MomentLine({ snapshot: () => Promise.reject(new Error('not asked')) });

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('four reads are under way at a time, the others begin in their order as those end, and too many are refused', async () => {
  const reads = line();
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const take = (nth: number): Promise<number> =>
    reads.take(async () => {
      begun.push(nth);
      await new Promise<void>((resolve) => ends.push(resolve));
      if (nth === 1) throw new Error('it fails');
      return nth;
    });
  const all = Array.from({ length: 1_004 }, (_, nth) => take(nth));
  const failed = assert.rejects(all[1]!, { message: 'it fails' });
  await assert.rejects(take(1_004), BusyError);
  await settled();
  assert.deepEqual(begun, [0, 1, 2, 3]);
  ends.shift()!();
  ends.shift()!();
  await settled();
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5]);
  while (begun.length < all.length || ends.length > 0) {
    for (const end of ends.splice(0)) end();
    await settled();
  }
  await failed;
  assert.equal(await all[1_003], 1_003);
  const after = take(7);
  ends.shift()!();
  assert.equal(await after, 7);
});

test('replies of reads that are under way have 512 MiB together', async () => {
  const reads = line();
  let end: () => void = () => undefined;
  const first = reads.take(async (grows) => {
    assert.equal(grows(300 * MIB), true);
    await new Promise<void>((resolve) => {
      end = resolve;
    });
  });
  const second = (bytes: number): Promise<boolean> => reads.take(async (grows) => grows(bytes));
  assert.equal(await second(213 * MIB), false);
  assert.equal(await second(212 * MIB), true);
  end();
  await first;
  assert.equal(await second(512 * MIB), true);
  assert.equal(await second(513 * MIB), false);
});
