/**
 * A transaction across groups is evaluated over rows that were read one after the other, and checked afterwards whether they were true at one moment.
 * Until then a body may be torn: its head of one moment, its pages of another. Whatever comes of that is thrown away, but it has to come: an
 * operation on a torn body returns or throws.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type BodyAccess,
  openHash,
  openList,
  openOrdered,
  openSet,
  type Rows,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, type MemoryRows, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('key');
const SEEDS = 150;
const ELEMENTS = 60;
/** Far more than any operation needs: it would go on for ever. */
const MAX_READS = 100_000;
const ENDLESS = 'an operation does not end';

type StoredRow = ReturnType<Rows['get']>;

/** Each row as it was at one of two moments, and what was written since. */
class TornRows implements Rows {
  readonly ts;
  private reads = 0;
  private readonly chosen = new Map<string, StoredRow>();
  private readonly moments: readonly MemoryRows[];
  private readonly random: SeededRandom;

  constructor(moments: readonly MemoryRows[], random: SeededRandom) {
    this.moments = moments;
    this.random = random;
    this.ts = moments[0]!.ts;
  }

  get(key: Buffer): StoredRow {
    if (this.reads++ > MAX_READS) throw new Error(ENDLESS);
    const name = key.toString('latin1');
    if (!this.chosen.has(name)) this.chosen.set(name, this.moments[this.random.int(this.moments.length)]!.get(key));
    return this.chosen.get(name);
  }

  put(key: Buffer, value: Buffer, expireTs: Parameters<Rows['put']>[2]): void {
    this.chosen.set(key.toString('latin1'), { value, expireTs, commitTs: this.ts });
  }

  delete(key: Buffer): void {
    this.chosen.set(key.toString('latin1'), undefined);
  }
}

type Act = (access: BodyAccess, random: SeededRandom) => unknown;

interface Kind {
  readonly name: string;
  /** Makes the body what it is at the first moment. */
  readonly fill: (access: TestAccess, random: SeededRandom) => void;
  /** Changes it until the second one, and is tried on torn ones. */
  readonly acts: Readonly<Record<string, Act>>;
}

const nameOf = (random: SeededRandom): Buffer => bytesOf(`element-${random.int(ELEMENTS)}`);

const kinds: readonly Kind[] = [
  {
    name: 'list',
    fill(access) {
      const list = openList(access, KEY);
      list.pushLast(Array.from({ length: ELEMENTS }, (_, at) => bytesOf(`element-${at}`)));
      list.save();
    },
    acts: Object.fromEntries(
      Object.entries<(list: ReturnType<typeof openList>, random: SeededRandom) => unknown>({
        popFirst: (list, random) => list.popFirst(1 + random.int(12)),
        popLast: (list, random) => list.popLast(1 + random.int(12)),
        pushFirst: (list, random) => list.pushFirst([nameOf(random)]),
        pushLast: (list, random) => list.pushLast([nameOf(random)]),
        remove: (list, random) => list.remove(nameOf(random), 0),
        trim: (list, random) => list.trim(random.int(6), list.length - 1 - random.int(6)),
        insert: (list, random) => list.insertBeside(nameOf(random), bytesOf('new'), 'after'),
        set: (list, random) => list.set(random.int(list.length), bytesOf('other')),
        range: (list, random) => list.range(random.int(list.length), list.length - 1),
        backwards: (list) => [...list.values(list.length - 1, -1)],
      }).map(([name, act]): [string, Act] => [
        name,
        (access, random) => {
          const list = openList(access, KEY);
          if (list.length === 0) return;
          act(list, random);
          list.save();
        },
      ]),
    ),
  },
  {
    name: 'sorted set',
    fill(access, random) {
      const order = openOrdered(access, KEY);
      for (let at = 0; at < ELEMENTS; at++) order.set(bytesOf(`element-${at}`), random.int(40));
      order.save();
    },
    acts: Object.fromEntries(
      Object.entries<(order: ReturnType<typeof openOrdered>, random: SeededRandom) => unknown>({
        set: (order, random) => order.set(nameOf(random), random.int(40)),
        delete: (order, random) => order.delete([nameOf(random), nameOf(random)]),
        popMin: (order, random) => order.popMin(1 + random.int(12)),
        popMax: (order, random) => order.popMax(1 + random.int(12)),
        removeRange: (order, random) => order.removeRange({ by: 'rank', from: random.int(20), to: 20 + random.int(9) }),
        rank: (order, random) => order.rank(nameOf(random)),
        range: (order, random) => [...order.range({ by: 'rank', from: random.int(20), to: order.size - 1 })],
        scan: (order, random) => order.scan(random.int(30), 10),
        random: (order, random) => order.randomDistinct(1 + random.int(20)),
        entries: (order) => [...order.entries()],
      }).map(([name, act]): [string, Act] => [
        name,
        (access, random) => {
          const order = openOrdered(access, KEY);
          if (order.size === 0) return;
          act(order, random);
          order.save();
        },
      ]),
    ),
  },
  {
    name: 'set',
    fill(access) {
      const set = openSet(access, KEY);
      for (let at = 0; at < ELEMENTS; at++) set.add(bytesOf(`element-${at}`));
      set.save();
    },
    acts: Object.fromEntries(
      Object.entries<(set: ReturnType<typeof openSet>, random: SeededRandom) => unknown>({
        add: (set, random) => set.add(nameOf(random)),
        delete: (set, random) => set.delete(Array.from({ length: 1 + random.int(12) }, () => nameOf(random))),
        pop: (set, random) => set.pop(1 + random.int(12)),
        random: (set, random) => set.randomDistinct(1 + random.int(Math.ceil(set.size / 3))),
        scan: (set, random) => set.scan(random.int(20), 10),
        members: (set) => [...set.members()],
      }).map(([name, act]): [string, Act] => [
        name,
        (access, random) => {
          const set = openSet(access, KEY);
          if (set.size === 0) return;
          act(set, random);
          set.save();
        },
      ]),
    ),
  },
  {
    name: 'hash',
    fill(access) {
      const hash = openHash(access, KEY);
      for (let at = 0; at < ELEMENTS; at++) hash.set(bytesOf(`element-${at}`), bytesOf(`value-${at}`));
      hash.save();
    },
    acts: Object.fromEntries(
      Object.entries<(hash: ReturnType<typeof openHash>, random: SeededRandom) => unknown>({
        set: (hash, random) => hash.set(nameOf(random), nameOf(random)),
        delete: (hash, random) => hash.delete(Array.from({ length: 1 + random.int(12) }, () => nameOf(random))),
        random: (hash, random) => hash.randomDistinct(1 + random.int(Math.ceil(hash.size / 3))),
        entries: (hash) => [...hash.entries()],
      }).map(([name, act]): [string, Act] => [
        name,
        (access, random) => {
          const hash = openHash(access, KEY);
          if (hash.size === 0) return;
          act(hash, random);
          hash.save();
        },
      ]),
    ),
  },
];

describe('an operation on a torn body ends', () => {
  for (const { name, fill, acts } of kinds) {
    const names = Object.keys(acts);
    test(`of a ${name}: ${names.join(', ')}`, () => {
      let torn = 0;
      for (let seed = 1; seed <= SEEDS; seed++) {
        const random = new SeededRandom(seed);
        const access = accessTo(TINY_LIMITS, seed);
        fill(access, random);
        const before = access.view.copy();
        for (let left = 1 + random.int(12); left > 0; left--) acts[names[random.int(names.length)]!]!(access, random);
        for (const act of names) {
          const view = new TornRows([before, access.view], random);
          try {
            acts[act]!({ ...access, view }, random);
          } catch (error) {
            torn += 1;
            assert.notEqual((error as Error).message, ENDLESS, `seed ${seed}, ${act}`);
          }
        }
      }
      assert.ok(torn > SEEDS / 10, `hardly anything was torn: ${torn} of ${SEEDS * names.length}`);
    });
  }

  test('of a set whose pages have lost more names than its head knows', () => {
    // So many names fill a page, and so few are left in each that it is not filled up again.
    const [names, inPage, left] = [420, 42, 11];
    const nameAt = (at: number): Buffer => bytesOf(`name-${String(at).padStart(6, '0')}`);
    const access = accessTo();
    const set = openSet(access, KEY);
    for (let at = 0; at < names; at++) set.add(nameAt(at));
    set.save();
    const before = access.view.copy();
    // Not in one go: what stays would be written anew.
    for (let place = left; place < inPage; place++) {
      const after = openSet(access, KEY);
      after.delete(Array.from({ length: names / inPage }, (_, page) => nameAt(page * inPage + place)));
      after.save();
    }
    const view = new TornRows([access.view], new SeededRandom(1));
    const headKey = access.storageKey(KEY);
    view.put(headKey, before.get(headKey)!.value, before.get(headKey)!.expireTs);
    assert.throws(() => openSet({ ...access, view }, KEY).randomDistinct(names / 3), /as many names as are counted/);
  });
});
