/**
 * In how many rounds a body that lies in another group is read. Each round is a message there and back, and a command that takes more than 256 is
 * refused, so what touches many rows must ask for them together.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { newList, newOrdered, openList, openOrdered } from '../../../../src/adapter/redis/bodies/index.ts';
import { BufferedView } from '../../../../src/kv/txn/transaction-view.ts';
import { accessTo, bytesOf, type TestAccess } from './memory-rows.ts';

const KEY = bytesOf('k');
const SIZE = 20_000;
const MEMBERS = Array.from({ length: SIZE }, (_, nth) => bytesOf(`member:${nth}`));
const scoreOf = (nth: number): number => (nth * 7919) % 100_003;

/** Runs something until nothing is missing any more. @returns how often rows had to be brought */
function rounds(stored: TestAccess, run: (access: TestAccess) => void): number {
  const known = new Map<string, ReturnType<typeof stored.view.get>>();
  for (let round = 0; round < 1_000; round++) {
    const view = new BufferedView(stored.view.ts, known);
    try {
      run({ ...stored, view: view as unknown as TestAccess['view'] });
      return round;
    } catch (error) {
      if (view.missing === undefined) throw error;
      for (const key of view.missing) known.set(key.toString('latin1'), stored.view.get(key));
    }
  }
  assert.fail('it never ends');
}

describe('a sorted set from afar', () => {
  const stored = accessTo();
  const set = newOrdered(stored, KEY);
  for (const [nth, member] of MEMBERS.entries()) set.set(member, scoreOf(nth));
  set.save();

  const some = (count: number): Buffer[] => Array.from({ length: count }, (_, nth) => MEMBERS[(nth * 37) % SIZE]!);
  for (const [what, most, run] of [
    ['all of it', 5, (access) => assert.equal([...openOrdered(access, KEY).entries()].length, SIZE)],
    [
      'most positions, backwards',
      8,
      (access) => [...openOrdered(access, KEY).range({ by: 'rank', from: 10, to: SIZE }, { isReverse: true })],
    ],
    [
      'a hundred in the middle',
      8,
      (access) => [...openOrdered(access, KEY).range({ by: 'rank', from: 9_000, to: 9_099 })],
    ],
    [
      'five thousand by score',
      30,
      (access) => [
        ...openOrdered(access, KEY).range({
          by: 'score',
          min: { score: 20_000, isExclusive: false },
          max: { score: 45_000, isExclusive: true },
        }),
      ],
    ],
    ['a rank', 10, (access) => openOrdered(access, KEY).rank(MEMBERS[4_711]!)],
    [
      'scores of many',
      2,
      (access) => {
        const opened = openOrdered(access, KEY);
        opened.prefetch(some(1_000));
        for (const member of some(1_000)) opened.score(member);
      },
    ],
    ['five hundred at random', 8, (access) => openOrdered(access, KEY).randomDistinct(500)],
    [
      'a thousand changes',
      10,
      (access) => {
        const opened = openOrdered(access, KEY);
        const changes = some(1_000).map((member, nth) => ({ member, score: nth * 91 }));
        opened.prefetchChanges(changes);
        for (const { member, score } of changes) opened.set(member, score);
        opened.save();
      },
    ],
    [
      'a thousand new members',
      12,
      (access) => {
        const opened = openOrdered(access, KEY);
        const changes = some(1_000).map((_, nth) => ({ member: bytesOf(`new:${nth}`), score: nth * 91 }));
        opened.prefetchChanges(changes);
        for (const { member, score } of changes) opened.set(member, score);
        opened.save();
      },
    ],
    [
      'a thousand removals',
      12,
      (access) => {
        const opened = openOrdered(access, KEY);
        opened.prefetchRemovals(some(1_000));
        opened.delete(some(1_000));
        opened.save();
      },
    ],
    [
      'a thousand from the lowest',
      16,
      (access) => {
        const opened = openOrdered(access, KEY);
        opened.popMin(1_000);
        opened.save();
      },
    ],
    [
      'a removed range',
      20,
      (access) => {
        const opened = openOrdered(access, KEY);
        opened.removeRange({ by: 'rank', from: 5_000, to: 6_999 });
        opened.save();
      },
    ],
  ] as readonly (readonly [string, number, (access: TestAccess) => void])[]) {
    test(`${what} in at most ${most} rounds`, () => {
      const taken = rounds(stored, run);
      assert.ok(taken <= most, `${taken} rounds`);
    });
  }
});

describe('a list from afar', () => {
  const stored = accessTo();
  const list = newList(stored, KEY);
  list.pushLast(MEMBERS);
  list.save();

  for (const [what, most, run] of [
    ['all of it', 5, (access) => assert.equal(openList(access, KEY).range(0, SIZE).length, SIZE)],
    ['a thousand in the middle', 8, (access) => openList(access, KEY).range(9_000, 9_999)],
    ['a search through all of it', 24, (access) => openList(access, KEY).insertBeside(bytesOf('none'), KEY, 'after')],
  ] as readonly (readonly [string, number, (access: TestAccess) => void])[]) {
    test(`${what} in at most ${most} rounds`, () => {
      const taken = rounds(stored, run);
      assert.ok(taken <= most, `${taken} rounds`);
    });
  }
});
