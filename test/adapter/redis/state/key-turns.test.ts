/** Turns of transactions that share keys. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KeyTurns } from '../../../../src/adapter/redis/state/key-turns.ts';
import { SystemClock, SystemScheduler } from '../../../../src/platform/index.ts';

describe('turns', () => {
  const keys = (...names: string[]): Buffer[] => names.map((name) => Buffer.from(name));
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const turnsNow = (): KeyTurns => new KeyTurns({ clock: new SystemClock(), scheduler: new SystemScheduler() });

  test('come one after the other where keys are shared, and side by side elsewhere', async () => {
    const turns = turnsNow();
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
    const turns = turnsNow();
    const ran: string[] = [];
    const ends: (() => void)[] = [];
    const join = (item: string, ...names: string[]): Promise<void> =>
      turns.join(
        keys(...names),
        item,
        (items) => {
          ran.push(items.join(' '));
          return new Promise((resolve) => ends.push(resolve));
        },
        { most: 3, source: {}, kin: undefined },
      );
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

  test('are one after the other for one source, and joined by what waits for all that is before them', async () => {
    const turns = turnsNow();
    const ran: string[] = [];
    const ends: (() => void)[] = [];
    const source = {};
    const join = (item: string, names: readonly string[], of?: object): Promise<void> =>
      turns.join(
        keys(...names),
        item,
        (items) => {
          ran.push(items.join(' '));
          return new Promise((resolve) => ends.push(resolve));
        },
        { most: 8, source: of ?? {}, kin: undefined },
      );
    const all = [join('first', ['a', 'x'], source)];
    await settle();
    all.push(join('second', ['b'], source), join('third', ['b', 'a']), join('fourth', ['x', 'c', 'b']));
    await settle();
    assert.deepEqual(ran, ['first']);
    ends.shift()!();
    await settle();
    assert.deepEqual(ran, ['first', 'second third fourth']);
    all.push(join('fifth', ['d'], source), join('sixth', ['d']), join('other', ['e']));
    await settle();
    assert.deepEqual(ran.slice(2), ['other']);
    for (let end = ends.shift(); end !== undefined; end = ends.shift()) {
      end();
      await settle();
    }
    await Promise.all(all);
    assert.deepEqual(ran.slice(2), ['other', 'fifth sixth']);
  });

  test('are shared by what is of one kind, comes at one time and waits for nothing', async () => {
    const turns = turnsNow();
    const ran: string[] = [];
    const ends: (() => void)[] = [];
    const join = (item: string, kin: string | undefined, ...names: string[]): Promise<void> =>
      turns.join(
        keys(...names),
        item,
        (items) => {
          ran.push(items.join(' '));
          return new Promise((resolve) => ends.push(resolve));
        },
        { most: 3, source: {}, kin },
      );
    const all = [join('first', '1 2', 'a'), join('second', '1 2', 'b'), join('other', '2 3', 'c')];
    all.push(join('none', undefined, 'd'), join('next', '1 2', 'd'), join('third', '1 2', 'e'));
    all.push(join('one too many', '1 2', 'f'));
    await settle();
    await settle();
    assert.deepEqual(ran.toSorted(), ['first second third', 'none next', 'one too many', 'other']);
    all.push(join('late', '1 2', 'g'));
    // Whoever comes alone may wait a moment for others of its kind.
    let isOver = false;
    const ending = Promise.all(all).then(() => {
      isOver = true;
    });
    while (!isOver) {
      for (const end of ends.splice(0)) end();
      await settle();
    }
    await ending;
    assert.deepEqual(ran.slice(4), ['late']);
  });

  test('go on behind one that fails', async () => {
    const turns = turnsNow();
    const failing = turns.take(keys('a'), async () => {
      throw new Error('lost');
    });
    const next = turns.take(keys('a'), async () => 'done');
    await assert.rejects(failing, /lost/);
    assert.equal(await next, 'done');
  });
});
