/**
 * In how many rounds a body that lies in another group is read. Each round is a message there and back, and a command that takes more than 256 is
 * refused, so what touches many rows must ask for them together.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  copyValue,
  newHash,
  newList,
  newOrdered,
  openHash,
  openList,
  openOrdered,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { BufferedView } from '../../../../src/kv/txn/transaction-view.ts';
import { timestampOfMs } from '../../../../src/platform/index.ts';
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

describe('a hash from afar', () => {
  const stored = accessTo();
  stored.view.ts = timestampOfMs(1_000_000);
  const hash = newHash(stored, KEY);
  // Every tenth value has a row of its own, every hundredth name too; half of the fields expire, and some of these have.
  const fields = MEMBERS.map((member, nth) => (nth % 100 === 7 ? Buffer.concat([member, Buffer.alloc(200)]) : member));
  const valueAt = (nth: number): Buffer => Buffer.alloc(nth % 10 === 3 ? 600 : 5, 'v');
  for (const [nth, field] of fields.entries())
    hash.set(field, valueAt(nth), nth % 2 === 0 ? 1_000_001 + ((nth * 7919) % 1_000_000) : 0);
  hash.save();
  stored.view.ts = timestampOfMs(1_100_000);
  const some = (count: number): Buffer[] => Array.from({ length: count }, (_, nth) => fields[(nth * 37) % SIZE]!);
  const alive = some(2_000)
    .filter((field) => openHash(stored, KEY).has(field))
    .slice(0, 1_000);
  const size = openHash(stored, KEY).size;

  for (const [what, most, run] of [
    ['its size', 6, (access) => assert.equal(openHash(access, KEY).size, size)],
    ['all of it', 12, (access) => assert.equal([...openHash(access, KEY).entries()].length, size)],
    ['all names', 24, (access) => assert.equal([...openHash(access, KEY).fields()].length, size)],
    ['five hundred at random', 24, (access) => openHash(access, KEY).randomDistinct(500)],
    ['a part of a scan', 12, (access) => openHash(access, KEY).scan(0, 5_000)],
    [
      'values of many',
      4,
      (access) => {
        const opened = openHash(access, KEY);
        opened.prefetch(some(1_000));
        for (const field of some(1_000)) opened.get(field);
      },
    ],
    [
      'a thousand set',
      40,
      (access) => {
        const opened = openHash(access, KEY);
        opened.prefetchExpiries(some(1_000));
        for (const field of some(1_000)) opened.set(field, KEY);
        opened.save();
      },
    ],
    [
      'a thousand with another expiry',
      40,
      (access) => {
        const opened = openHash(access, KEY);
        opened.prefetchExpiries(alive, 1_500_000);
        for (const field of alive) opened.setExpiry(field, 1_500_000);
        opened.save();
      },
    ],
    [
      'a thousand removals',
      60,
      (access) => {
        const opened = openHash(access, KEY);
        opened.delete(alive);
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

describe('a copy of what may be copied from afar', () => {
  const members = MEMBERS.slice(0, 1_000);
  for (const [what, make] of [
    [
      'a hash',
      (access) => {
        const hash = newHash(access, KEY);
        for (const [nth, field] of members.entries())
          hash.set(field, Buffer.alloc(nth % 10 === 3 ? 600 : 5), nth % 2 === 0 ? 1_000_001 + scoreOf(nth) : 0);
        hash.save();
      },
    ],
    [
      'a sorted set',
      (access) => {
        const set = newOrdered(access, KEY);
        for (const [nth, member] of members.entries()) set.set(member, scoreOf(nth));
        set.save();
      },
    ],
    [
      'a list',
      (access) => {
        const list = newList(access, KEY);
        list.pushLast(members);
        list.save();
      },
    ],
  ] as readonly (readonly [string, (access: TestAccess) => void])[]) {
    test(`${what} in few rounds`, () => {
      const stored = accessTo();
      make(stored);
      const taken = rounds(stored, (access) =>
        copyValue(access, access.storageKey(KEY), access.storageKey(bytesOf('copy'))),
      );
      assert.ok(taken <= 16, `${taken} rounds`);
    });
  }
});
