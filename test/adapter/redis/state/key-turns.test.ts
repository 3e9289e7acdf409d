/** Turns of transactions that share keys. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KeyTurns } from '../../../../src/adapter/redis/state/key-turns.ts';

describe('turns', () => {
  const keys = (...names: string[]): Buffer[] => names.map((name) => Buffer.from(name));
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('come one after the other where keys are shared, and side by side elsewhere', async () => {
    const turns = new KeyTurns();
    const began: string[] = [];
    const ends: Record<string, () => void> = {};
    const take = (name: string, ...names: string[]): Promise<void> =>
      turns.take(
        keys(...names),
        () =>
          new Promise((resolve) => {
            began.push(name);
            ends[name] = resolve;
          }),
      );
    const all = [take('first', 'a', 'b'), take('second', 'b', 'c'), take('other', 'd'), take('third', 'c', 'a')];
    await settle();
    assert.deepEqual(began, ['first', 'other']);
    ends.first!();
    await settle();
    assert.deepEqual(began, ['first', 'other', 'second']);
    ends.second!();
    await settle();
    assert.deepEqual(began, ['first', 'other', 'second', 'third']);
    ends.third!();
    ends.other!();
    await Promise.all(all);
  });

  test('go on behind one that fails', async () => {
    const turns = new KeyTurns();
    const failing = turns.take(keys('a'), async () => {
      throw new Error('lost');
    });
    const next = turns.take(keys('a'), async () => 'done');
    await assert.rejects(failing, /lost/);
    assert.equal(await next, 'done');
  });
});
