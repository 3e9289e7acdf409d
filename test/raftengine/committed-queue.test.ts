import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Entry, EntryKind } from '../../src/raftengine/core/types.ts';
import { CommittedQueue } from '../../src/raftengine/replica/committed-queue.ts';

const entries = (...payloads: readonly string[]): Entry[] =>
  payloads.map((payload, at) => ({ index: at + 1, term: 1, kind: EntryKind.Normal, payload: Buffer.from(payload) }));

describe('entries that wait to be applied', () => {
  test('leave in chunks that end at either limit, and hold one entry at least', () => {
    const queue = new CommittedQueue();
    queue.push(entries('aaaa', 'b', 'c', 'd'));
    const take = (count: number, bytes: number): number[] => queue.take(count, bytes).map(({ index }) => index);
    assert.deepEqual(take(9, 1), [1]);
    assert.deepEqual(take(2, 99), [2, 3]);
    queue.push(entries('e', 'f'));
    assert.deepEqual(take(9, 99), [4, 1, 2]);
    assert.ok(queue.isEmpty);
  });

  test('leave in a chunk that ends with an entry after which the state machine wants to be asked', () => {
    const queue = new CommittedQueue();
    queue.push(entries('a', 'stop', 'b', 'c'));
    const isLast = ({ payload }: Entry): boolean => payload.toString() === 'stop';
    assert.deepEqual([queue.take(9, 99, isLast).length, queue.take(9, 99, isLast).length], [2, 2]);
  });

  test('leave alone when they are large', () => {
    const queue = new CommittedQueue();
    queue.push(entries('a', 'b', 'large', 'c'));
    assert.equal(queue.first?.payload.toString(), 'a');
    const take = (): string[] => queue.take(9, 99, () => false, 5).map(({ payload }) => payload.toString());
    assert.deepEqual([take(), take(), take()], [['a', 'b'], ['large'], ['c']]);
    assert.equal(queue.first, undefined);
  });
});
