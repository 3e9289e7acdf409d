/** New keys are written without a look into the database, and none that is there is taken for a new one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hlcTimestamp } from '../../src/platform/index.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import type { LevelSnapshot, OpenLevel } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { KeyFilter } from '../../src/store/reads/key-filter.ts';
import { RowKind } from '../../src/store/rows/codec.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { copyOf, install } from './copies.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const NEVER = ts(0);
const VALUE = Buffer.from('value');
const nameOf = (number: number): string => `key:${String(number).padStart(12, '0')}`;

describe('a filter of keys', () => {
  const filled = (budgetBytes: number, keys: number, expectedKeys = 0): KeyFilter => {
    const filter = new KeyFilter(budgetBytes, expectedKeys);
    for (let at = 0; at < keys; at++) filter.add(nameOf(at));
    return filter;
  };
  const mistakes = (filter: KeyFilter, keys: number): number => {
    let taken = 0;
    for (let at = keys; at < 2 * keys; at++) if (filter.mayHave(nameOf(at))) taken++;
    return taken / keys;
  };

  test('has all that were added, and takes fewer than one of two hundred others for one of them', () => {
    for (const expectedKeys of [0, 30_000]) {
      const filter = filled(1 << 20, 30_000, expectedKeys);
      for (let at = 0; at < 30_000; at++) assert.ok(filter.mayHave(nameOf(at)));
      const share = mistakes(filter, 30_000);
      assert.ok(share < 0.005, `${share}`);
      assert.equal(filter.isCrowded, false);
    }
  });

  test('stays within its budget, and then has all the same', () => {
    const filter = filled(32 << 10, 30_000);
    for (let at = 0; at < 30_000; at++) assert.ok(filter.mayHave(nameOf(at)));
    assert.equal(filter.isCrowded, true);
    assert.ok(filter.sizeBytes <= 32 << 10);
  });
});

/** A store whose looks for newest versions in the database are counted. */
function bed() {
  const levels = new SimulatedLevels();
  const bed = { looks: 0 };
  const openLevel: OpenLevel = (location) => {
    const level = levels.openLevel(location);
    const getSync = level.getSync.bind(level) as (
      key: Buffer,
      options?: { snapshot: LevelSnapshot },
    ) => Buffer | undefined;
    level.getSync = (key: Buffer, options?: { snapshot: LevelSnapshot }) => {
      if (key[0] === RowKind.Latest) bed.looks++;
      return getSync(key, options);
    };
    return level;
  };
  const open = () =>
    openGroupStore({
      location: 'store',
      openLevel,
      folders: levels,
      disk: new MemoryDisk(),
      limits: { flushBytes: 1 << 30 },
    });
  const looksOf = (work: () => void): number => {
    const before = bed.looks;
    work();
    return bed.looks - before;
  };
  return { levels, open, looksOf };
}

function put(store: GroupStore, from: number, to: number): void {
  for (let at = from; at < to; at++) {
    const writer = store.write();
    const index = store.appliedIndex + 1;
    writer.put(Buffer.from(nameOf(at)), VALUE, ts(index), NEVER);
    writer.commit(index);
  }
}

function raise(store: GroupStore): void {
  const writer = store.write();
  store.setGcThreshold(writer, ts(store.appliedIndex));
  writer.setMeta('mark', Buffer.from('x'));
  writer.commit(store.appliedIndex + 1);
}

/** None of these keys is taken for one that is not there. */
function assertThere(store: GroupStore, count: number): void {
  store.forgetCached?.();
  for (let at = 0; at < count; at++) assert.ok(store.latest(Buffer.from(nameOf(at))) !== undefined, nameOf(at));
}

/** Collects row by row. @param between is called between two rows */
async function collect(store: GroupStore, between: () => Promise<void> | void = () => {}): Promise<void> {
  raise(store);
  while (!(await store.collectGarbage(1_000, 1))) await between();
}

describe('the store of a group', () => {
  test('that began empty looks for no new key in its database, and for all that are there', async () => {
    const { open, looksOf } = bed();
    const store = await open();
    assert.equal(
      looksOf(() => put(store, 0, 500)),
      0,
    );
    await store.flush();
    assertThere(store, 500);
    assert.equal(
      looksOf(() => put(store, 500, 1_000)),
      0,
    );
    store.forgetCached?.();
    await store.flush();
    store.forgetCached?.();
    assert.equal(
      looksOf(() => put(store, 0, 10)),
      10,
    );
    await store.close();
  });

  test('that was opened again knows its keys when a pass of collection is through', async () => {
    const { open, looksOf } = bed();
    const first = await open();
    put(first, 0, 50);
    await first.close();
    const store = await open();
    assert.equal(
      looksOf(() => put(store, 50, 60)),
      10,
    );
    let next = 60;
    await collect(store, async () => {
      // The walk has to come to an end.
      if (next === 120) return;
      // Some of them before the walk has come by, some behind it; some on disk at once, some later.
      put(store, next, next + 1);
      if (next++ % 3 === 0) await store.flush();
    });
    assert.equal(next, 120);
    await store.flush();
    assertThere(store, next);
    assert.equal(
      looksOf(() => put(store, next, next + 100)),
      0,
    );
    await store.close();
  });

  test('has keys that waited in memory when the walk began', async () => {
    const { levels, open } = bed();
    const first = await open();
    put(first, 1, 2);
    await first.close();
    const store = await open();
    raise(store);
    // The walk flushes first, and begins then.
    let isWritten = false;
    levels.beforeBatch = async () => {
      if (!isWritten) put(store, 0, 1);
      isWritten = true;
    };
    while (!(await store.collectGarbage(1_000)));
    await store.flush();
    assertThere(store, 2);
    await store.close();
  });

  test('finds what was looked for before it was written', async () => {
    const store = await bed().open();
    assert.equal(store.latest(Buffer.from(nameOf(0))), undefined);
    put(store, 0, 1);
    await store.flush();
    assertThere(store, 1);
    await store.close();
  });

  test('finds what was deleted, collected and written again', async () => {
    const { open } = bed();
    const store = await open();
    put(store, 0, 20);
    const writer = store.write();
    const index = store.appliedIndex + 1;
    for (let at = 0; at < 20; at += 2) writer.delete(Buffer.from(nameOf(at)), ts(index));
    writer.commit(index);
    await collect(store);
    put(store, 0, 20);
    await store.flush();
    assertThere(store, 20);
    await store.close();
  });

  test('knows nothing of the keys of a copy that was installed', async () => {
    const source = await bed().open();
    put(source, 0, 30);
    const { open } = bed();
    const store = await open();
    put(store, 100, 101);
    await install(store, await copyOf(source));
    assertThere(store, 30);
    await store.close();
    await source.close();
  });
});
