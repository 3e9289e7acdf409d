import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hlcTimestamp } from '../../src/platform/index.ts';
import type { GroupStore, GroupStoreOptions, StoreRow } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import type { Level } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { BEHIND_ALL_NAMES, DeadRanges } from '../../src/store/ranges/dead-ranges.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { copyOf, install } from './copies.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const NEVER = ts(0);
const KEYS = 2_000;
const keyOf = (number: number): Buffer => Buffer.from(String(number).padStart(6, '0'));

test('a range is jumped over from anywhere inside, in both directions, by reads that are late enough', () => {
  const dead = new DeadRanges();
  dead.add({ start: 'b', end: 'f', sinceTs: ts(10), index: 5 });
  assert.equal(dead.from('b', ts(10), 5)?.end, 'f');
  assert.equal(dead.from('e', ts(11), 6)?.end, 'f');
  assert.equal(dead.from('a', ts(10), 5), undefined);
  assert.equal(dead.from('f', ts(10), 5), undefined, 'the end is outside');
  assert.equal(dead.below('f', ts(10), 5)?.start, 'b');
  assert.equal(dead.below('c', ts(10), 5)?.start, 'b');
  assert.equal(dead.below('b', ts(10), 5), undefined, 'what is below the start is outside');
  assert.equal(dead.from('b', ts(9), 5), undefined, 'it was alive then');
  assert.equal(dead.from('b', ts(10), 4), undefined, 'a view from before it was learned');
});

test('a value that is written cuts a range in two, and a new range takes the place of what it covers', () => {
  const dead = new DeadRanges();
  const all = (): string[] => {
    const found = ['a', 'a\0', 'b', 'c', 'c\0', 'f', 'j'].map((name) => dead.from(name, ts(99), 99));
    const texts = found.map((range) => `${range?.start}-${range?.end}`.replaceAll('\0', '0'));
    return [...new Set(texts)].filter((text) => text !== 'undefined-undefined');
  };
  dead.add({ start: 'a', end: 'k', sinceTs: ts(1), index: 1 });
  dead.written('c');
  assert.deepEqual(all(), ['a-c', 'c0-k']);
  dead.written('zz');
  dead.written('a');
  assert.deepEqual(all(), ['a0-c', 'c0-k']);
  dead.add({ start: 'b', end: 'f', sinceTs: ts(2), index: 2 });
  assert.deepEqual(all(), ['a0-b', 'b-f', 'f-k']);
  dead.add({ start: '', end: BEHIND_ALL_NAMES, sinceTs: ts(3), index: 3 });
  assert.equal(dead.size, 1);
  dead.clear();
  assert.equal(dead.size, 0);
});

test('what is remembered is bounded: the least used goes, and a range that would be cut into too many', () => {
  const dead = new DeadRanges(3);
  for (const start of ['a', 'c', 'e', 'g']) {
    dead.add({ start, end: `${start}~`, sinceTs: ts(1), index: 1 });
    dead.from('a', ts(1), 1);
  }
  assert.equal(dead.size, 3);
  assert.notEqual(dead.from('a', ts(1), 1), undefined, 'it is in use');
  assert.equal(dead.from('c', ts(1), 1), undefined);
  dead.written('e1');
  assert.equal(dead.size, 2);
  assert.equal(dead.from('e', ts(1), 1), undefined);
});

test('somebody who watched while too much was written learns nothing', () => {
  const dead = new DeadRanges();
  const range = { start: 'a', end: 'z', sinceTs: ts(1), index: 1 };
  const watch = dead.watch();
  dead.written('m');
  dead.learn(range, watch);
  assert.equal(dead.from('a', ts(1), 1)?.end, 'm', 'a few cut what is learned');
  dead.clear();
  dead.learn(range, watch);
  assert.equal(dead.size, 0, 'it saw rows that are not the store of now');
  const second = dead.watch();
  for (let count = 0; count <= 16_384; count++) dead.written('m');
  dead.learn(range, second);
  assert.equal(dead.size, 0);
  dead.end(second);
});

/** A store whose databases count the rows that iterators give out. */
async function countingStore(
  options: Partial<GroupStoreOptions> = {},
): Promise<{ store: GroupStore; rowsRead: () => number }> {
  const levels = new SimulatedLevels();
  let rows = 0;
  const openLevel = (location: string): Level => {
    const level = levels.openLevel(location);
    const { iterator } = level;
    level.iterator = (options) => {
      const inner = iterator.call(level, options);
      return {
        nextv: async (size) => {
          const page = await inner.nextv(size);
          rows += page.length;
          return page;
        },
        close: () => inner.close(),
      };
    };
    return level;
  };
  const disk = new MemoryDisk();
  const store = await openGroupStore({ ...options, location: 'store', openLevel, folders: levels, disk });
  return {
    store,
    rowsRead: () => {
      const read = rows;
      rows = 0;
      return read;
    },
  };
}

let index = 0;

function write(store: GroupStore, change: (writer: ReturnType<GroupStore['write']>) => void): void {
  const writer = store.write();
  change(writer);
  writer.commit(++index);
}

const fill = (store: GroupStore, commitTs: number): void =>
  write(store, (writer) => {
    for (let key = 0; key < KEYS; key++) writer.put(keyOf(key), Buffer.from('v'), ts(commitTs), NEVER);
  });

async function scan(store: GroupStore, readTs: number, reverse = false): Promise<readonly StoreRow[]> {
  const request = { start: keyOf(0), end: keyOf(KEYS), readTs: ts(readTs), limit: KEYS, reverse };
  return (await store.scan(request)).rows;
}

test('after a range delete no scan walks over what it has deleted', async () => {
  const { store, rowsRead } = await countingStore();
  fill(store, 10);
  await store.flush();
  write(store, (writer) => writer.deleteRange(keyOf(0), keyOf(KEYS), ts(20)));
  write(store, (writer) => writer.put(keyOf(777), Buffer.from('alive'), ts(30), NEVER));
  await store.flush();
  await store.settleCounters();
  for (const reverse of [false, true]) {
    rowsRead();
    const rows = await scan(store, 40, reverse);
    assert.deepEqual(
      rows.map(({ key }) => key),
      [keyOf(777)],
    );
    assert.ok(rowsRead() < 40, 'a page on each side of the living key');
  }
  assert.equal((await scan(store, 15)).length, KEYS, 'before the delete all are there');
  await store.close();
});

for (const reverse of [false, true]) {
  test(`keys that were deleted one by one are walked over once, ${reverse ? 'downwards' : 'upwards'}`, async () => {
    const { store, rowsRead } = await countingStore();
    fill(store, 10);
    await store.flush();
    for (let key = 0; key < KEYS; key++)
      if (key !== 500) write(store, (writer) => writer.delete(keyOf(key), ts(20 + key)));
    await store.flush();
    rowsRead();
    assert.equal((await scan(store, 5000, reverse)).length, 1);
    assert.ok(rowsRead() >= KEYS);
    assert.equal((await scan(store, 5001, reverse)).length, 1);
    assert.ok(rowsRead() < 40);
    // What was alive at some moment is still found there.
    assert.equal((await scan(store, 20 + KEYS / 2, reverse)).length, KEYS / 2);
    // What comes to life is found, and what dies again is jumped over with its neighbours.
    write(store, (writer) => writer.put(keyOf(1200), Buffer.from('again'), ts(6000), NEVER));
    assert.equal((await scan(store, 6001, reverse)).length, 2);
    write(store, (writer) => writer.delete(keyOf(1200), ts(6002)));
    await store.flush();
    assert.equal((await scan(store, 6003, reverse)).length, 1);
    rowsRead();
    assert.equal((await scan(store, 6004, reverse)).length, 1);
    assert.ok(rowsRead() < 40);
    await store.close();
  });
}

test('values that are written while a scan walks over dead rows are found by the next one', async () => {
  const { store } = await countingStore();
  fill(store, 10);
  for (let key = 0; key < KEYS; key++) write(store, (writer) => writer.delete(keyOf(key), ts(20)));
  await store.flush();
  const first = scan(store, 30);
  write(store, (writer) => writer.put(keyOf(900), Buffer.from('new'), ts(40), NEVER));
  assert.equal((await first).length, 0);
  assert.equal((await scan(store, 41)).length, 1);
  await store.close();
});

test('rows of an installed copy are found where the store before had only dead ones', async () => {
  const { store } = await countingStore();
  fill(store, 10);
  write(store, (writer) => writer.deleteRange(keyOf(0), keyOf(KEYS), ts(20)));
  const other = await countingStore();
  fill(other.store, 30);
  index += 10;
  write(other.store, (writer) => writer.put(keyOf(1), Buffer.from('w'), ts(31), NEVER));
  assert.equal((await scan(store, 40)).length, 0);
  await install(store, await copyOf(other.store));
  assert.equal((await scan(store, 40)).length, KEYS);
  await Promise.all([store.close(), other.store.close()]);
});

describe('keys that a range delete took', () => {
  const options: Partial<GroupStoreOptions> = {
    counterClassOf: () => 0,
    counterRangeOf: () => ({ start: Buffer.from('0'), end: Buffer.from('9') }),
  };
  const counted = async (store: GroupStore): Promise<[number, number]> => {
    await store.settleCounters();
    return [store.liveKeys(0), await store.countRange(0, Buffer.alloc(0), undefined)];
  };

  test('are counted by those that it has left, however many it took', async () => {
    const { store, rowsRead } = await countingStore(options);
    fill(store, 10);
    await store.flush();
    rowsRead();
    write(store, (writer) => writer.deleteRange(keyOf(3), keyOf(KEYS), ts(20)));
    write(store, (writer) => writer.put(keyOf(5), Buffer.from('v'), ts(21), NEVER));
    await store.settleCounters();
    assert.ok(rowsRead() < 10);
    assert.deepEqual(await counted(store), [4, 4]);
    await store.close();
  });

  test('are looked at where something older has come since', async () => {
    const { store } = await countingStore(options);
    fill(store, 10);
    write(store, (writer) => writer.deleteRange(keyOf(3), keyOf(KEYS), ts(20)));
    write(store, (writer) => writer.put(keyOf(KEYS), Buffer.from('v'), ts(15), NEVER));
    assert.deepEqual(await counted(store), [4, 4]);
    await store.close();
  });

  test('are looked at where another took some at the same moment', async () => {
    const { store } = await countingStore(options);
    fill(store, 10);
    write(store, (writer) => {
      writer.deleteRange(keyOf(500), keyOf(KEYS), ts(20));
      writer.deleteRange(keyOf(3), keyOf(600), ts(20));
    });
    assert.deepEqual(await counted(store), [3, 3]);
    await store.close();
  });
});
