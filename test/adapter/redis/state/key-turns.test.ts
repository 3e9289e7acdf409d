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

  test('are shared by those that wait for nothing else, up to a number', async () => {
    const turns = new KeyTurns();
    const ran: string[] = [];
    const ends: (() => void)[] = [];
    const join = (item: string, ...names: string[]): Promise<void> =>
      turns.join(keys(...names), item, 3, (items) => {
        ran.push(items.join(' '));
        return new Promise((resolve) => ends.push(resolve));
      });
    const all = [join('first', 'a', 'b')];
    await settle();
    all.push(join('second', 'a', 'c'), join('third', 'c', 'd'));
    // It is behind the first alone, and shares no key with the others.
    all.push(join('fourth', 'b'), join('fifth', 'd'), join('sixth', 'a'));
    all.push(turns.take(keys('d'), async () => void ran.push('alone')));
    all.push(join('seventh', 'd'));
    await settle();
    assert.deepEqual(ran, ['first']);
    while (ends.length > 0) {
      for (const end of ends.splice(0)) end();
      await settle();
    }
    await Promise.all(all);
    assert.deepEqual(ran.slice(0, 3).toSorted(), ['first', 'fourth', 'second third fifth']);
    assert.deepEqual(ran.slice(3).toSorted(), ['alone', 'seventh', 'sixth']);
    assert.ok(ran.indexOf('alone') < ran.indexOf('seventh'));
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
