/** Values of applied state without a command: what may be answered so, and what may not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytes } from '../support/lone-group.ts';
import { captureOn, fence, release, SpanGroup } from './span-group.ts';
import { finish, put, request, txn } from './txn/entries.ts';

const now = (bed: SpanGroup, ...keys: readonly string[]): (string | undefined)[] | undefined =>
  bed.executor.reads.now(keys.map(bytes))?.map((found) => found?.value.toString());

describe('what is read at once', () => {
  test('is what was applied, and nothing that is on its way', () => {
    const bed = new SpanGroup();
    assert.deepEqual(now(bed, 'b', 'c'), [undefined, undefined]);
    const set = bed.set('b', '1');
    bed.scheduler.endTurn();
    assert.ok(!set.isDone);
    assert.deepEqual(now(bed, 'b'), [undefined]);
    bed.raft.commit();
    assert.equal(set.reply, 'OK');
    assert.deepEqual(now(bed, 'b', 'c'), ['1', undefined]);
    bed.run((view) => view.delete(bytes('b')));
    bed.settle();
    assert.deepEqual(now(bed, 'b'), [undefined]);
  });

  test('is nothing without a lease, and nothing where another node leads', () => {
    const bed = new SpanGroup();
    bed.raft.hasLease = false;
    assert.equal(now(bed, 'b'), undefined);
    bed.raft.hasLease = true;
    assert.deepEqual(now(bed, 'b'), [undefined]);
    bed.raft.stepDown();
    assert.equal(now(bed, 'b'), undefined);
  });

  test('is nothing of keys that belong elsewhere', async () => {
    const bed = new SpanGroup();
    assert.equal(now(bed, 'b', 'zz'), undefined);
    await bed.done(captureOn, fence);
    assert.deepEqual(now(bed, 'g'), [undefined], 'what is fenced may be read');
    await bed.done(release);
    assert.equal(now(bed, 'g'), undefined);
    assert.deepEqual(now(bed, 'b'), [undefined]);
  });

  test('is nothing of a key that a transaction holds: another group may have acknowledged it', async () => {
    const bed = new SpanGroup();
    const held = { ...txn('t', 1n, 'b'), startTs: bed.hlc.next() };
    await bed.answer(bed.executor.txns.prepare(request(held, [put('b', '1')])));
    assert.equal(now(bed, 'b'), undefined);
    assert.deepEqual(now(bed, 'c'), [undefined]);
    await bed.answer(bed.executor.txns.commit({ ...finish(held, ['b']), commitTs: bed.hlc.next() }));
    assert.deepEqual(now(bed, 'b'), ['1']);
  });

  test('is nothing of values that expire: that takes a timestamp', () => {
    const bed = new SpanGroup();
    bed.set('b', '1', 1_000);
    bed.settle();
    assert.equal(now(bed, 'b'), undefined);
  });
});
