/** What an install finds and leaves beside the store, and who may still be at work on it. */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Disk, hlcTimestamp, SeededRandom, SystemDisk } from '../../src/platform/index.ts';
import type { GroupStore, GroupStoreOptions } from '../../src/store/contract/types.ts';
import { removeGroupStore } from '../../src/store/folders/folders.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { DiskLevelFolders } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { copyOf, install, stage } from './copies.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const bytes = (text: string): Buffer => Buffer.from(text);
const NEVER = ts(0);

interface StoreFolders {
  readonly levels: SimulatedLevels;
  readonly disk: MemoryDisk;
  readonly failures: Error[];
  readonly options: GroupStoreOptions;
}

function bed(): StoreFolders {
  const levels = new SimulatedLevels();
  const disk = new MemoryDisk();
  const failures: Error[] = [];
  const { openLevel } = levels;
  const onFailure = (error: Error): unknown => failures.push(error);
  return { levels, disk, failures, options: { location: 'store', openLevel, folders: levels, disk, onFailure } };
}

function put(store: GroupStore, key: string, value: string, commitTs = store.appliedIndex + 1): void {
  const writer = store.write();
  writer.put(bytes(key), bytes(value), ts(commitTs), NEVER);
  writer.commit(store.appliedIndex + 1);
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-installs-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A store with `count` keys. */
async function storeOf(options: GroupStoreOptions, count: number): Promise<GroupStore> {
  const store = await openGroupStore(options);
  for (let at = 0; at < count; at++) put(store, `k${at}`, 'x');
  return store;
}

test('a swapped-in store of which only idle files are left gives way to the one before it', async () => {
  await inFolder(async (folder) => {
    const location = join(folder, 'store');
    await (await storeOf({ location: `${location}.rollback` }, 50)).close();
    await mkdir(location);
    for (const name of ['LOCK', 'LOG']) await writeFile(join(location, name), '');
    const putBack: Error[] = [];
    const store = await openGroupStore({ location, onPutBack: (error) => putBack.push(error) });
    assert.equal(store.appliedIndex, 50);
    assert.match(putBack[0]!.message, /holds nothing of its copy/);
    await store.close();
    assert.deepEqual(await readdir(folder), ['store']);
  });
});

test('a copy that lost its newest rows on the way to its place is not taken, and the store stays what it was', async () => {
  /** The log of the copy is gone when it is opened in the place of the store. */
  class Losing extends DiskLevelFolders {
    override async rename(from: string, to: string): Promise<void> {
      await super.rename(from, to);
      if (!from.endsWith('.incoming')) return;
      for (const name of await readdir(to)) if (name.endsWith('.log')) await unlink(join(to, name));
    }
  }
  await inFolder(async (folder) => {
    const source = await storeOf({ location: join(folder, 'source') }, 50);
    const options = { location: join(folder, 'target'), folders: new Losing() };
    let target = await storeOf(options, 5);
    await assert.rejects(install(target, await copyOf(source)), /is of index 0, not of its copy's/);
    put(target, 'k0', 'on');
    await target.close();
    target = await openGroupStore(options);
    assert.deepEqual([target.appliedIndex, target.latest(bytes('k0'))?.value.toString()], [6, 'on']);
    await target.close();
    await source.close();
  });
});

test('the predecessor that one install left is never put in the place of the store by the next one', async () => {
  const { levels, options, failures } = bed();
  const source = await storeOf(bed().options, 30);
  const target = await storeOf(options, 3);
  levels.beforeFolderChange = (change, location) => {
    if (change === 'rename' && location === 'store.rollback') throw new Error('EBUSY');
  };
  await install(target, await copyOf(source));
  assert.deepEqual(levels.locations(), ['store', 'store.rollback']);
  put(target, 'k', 'acknowledged');
  await target.flush();
  // It cannot be removed now either: nothing is begun.
  put(source, 'more', 'x');
  await assert.rejects(install(target, await copyOf(source)), /EBUSY/);
  assert.deepEqual([target.durableIndex, target.latest(bytes('k'))?.value.toString()], [31, 'acknowledged']);
  levels.beforeFolderChange = () => {};
  put(source, 'and more', 'x');
  await install(target, await copyOf(source));
  assert.equal(target.appliedIndex, 32);
  assert.deepEqual(levels.locations(), ['store']);
  assert.deepEqual(failures, []);
  await target.close();
});

test('a copy that is discarded while it is proven is gone, and nothing is written any more', async () => {
  const source = await storeOf(bed().options, 300);
  const copy = await copyOf(source);
  for (let at = 0, isReached = true; isReached; at++) {
    const { levels, options, failures } = bed();
    const target = await storeOf(options, 3);
    const staged = await stage(target, copy);
    let steps = 0;
    let discarded: Promise<void> | undefined;
    const step = async (): Promise<void> => {
      if (steps++ === at) discarded = staged.discard();
      await new Promise((resolve) => setImmediate(resolve));
    };
    levels.beforeOpen = step;
    levels.beforeBatch = step;
    const finished = staged.finish().then(
      () => 'finished',
      () => 'given up',
    );
    assert.equal(await finished, at < 2 ? 'given up' : 'finished', `step ${at}`);
    isReached = discarded !== undefined;
    await discarded;
    if (isReached) {
      assert.deepEqual(levels.locations(), ['store'], `step ${at}`);
      await assert.rejects(staged.install(), { code: 'CORRUPT_SNAPSHOT' });
    }
    await install(target, copy);
    assert.equal(target.appliedIndex, 300);
    await target.close();
    assert.deepEqual(failures, []);
  }
});

test('a copy that is discarded is not proven to its end', async () => {
  const segmentLimits = { blockBytes: 200, minSegmentBytes: 1000, maxSegmentBytes: 4000 };
  const source = await storeOf({ ...bed().options, segmentLimits }, 2000);
  const copy = await copyOf(source);
  assert.ok(copy.manifest.segments.length > 5);
  const { disk, options } = bed();
  const target = await storeOf(options, 3);
  const staged = await stage(target, copy);
  let opened = 0;
  let discarded: Promise<void> | undefined;
  disk.before = (operation) => {
    if (operation !== 'open') return;
    opened += 1;
    discarded ??= staged.discard();
  };
  await assert.rejects(staged.finish(), { code: 'CORRUPT_SNAPSHOT' });
  await discarded;
  assert.equal(opened, 1);
  await target.close();
});

test('a removal that ends at any step leaves a whole store or none', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    for (let crashAt = 0, isDone = false; !isDone; crashAt++) {
      const { levels, disk, options } = bed();
      const random = new SeededRandom(seed * 1000 + crashAt);
      levels.orderOfFiles = (files) => {
        const left = [...files];
        return files.map(() => left.splice(random.int(left.length), 1)[0]!);
      };
      await (await storeOf(options, 20)).close();
      // Left by a swap.
      await (await storeOf({ ...options, location: 'store.rollback' }, 10)).close();
      let steps = 0;
      levels.beforeFolderChange = () => {
        if (steps++ >= crashAt) throw new Error('the process dies');
      };
      isDone = await removeGroupStore('store', levels, disk).then(
        () => true,
        () => false,
      );
      await levels.crash(random);
      levels.beforeFolderChange = () => {};
      const store = await openGroupStore(options);
      const story = `seed ${seed}, step ${crashAt}`;
      assert.ok([0, 20].includes(store.appliedIndex), `${story}: index ${store.appliedIndex}`);
      assert.deepEqual(levels.locations(), ['store'], story);
      await store.close();
      assert.ok(crashAt < 40);
    }
  }
});

test('a rename is stable under its new name, with the files in it, and a removal is stable', async () => {
  await inFolder(async (folder) => {
    const done: string[] = [];
    const disk = new SystemDisk();
    const recording: Disk = {
      open: (path, options) => disk.open(path, options),
      list: (path) => disk.list(path),
      makeFolder: (path) => disk.makeFolder(path),
      rename: async (from, to) => {
        await disk.rename(from, to);
        done.push(`rename ${from} ${to}`);
      },
      remove: async (path) => {
        await disk.remove(path);
        done.push(`remove ${path}`);
      },
      syncFolder: async (path) => {
        await disk.syncFolder(path);
        done.push(`sync ${path}`);
      },
    };
    const folders = new DiskLevelFolders(recording);
    const [one, other] = [join(folder, 'one'), join(folder, 'other')];
    await mkdir(one);
    await writeFile(join(one, 'file'), '');
    await folders.rename(one, other);
    await folders.remove(other);
    await folders.remove(other);
    assert.deepEqual(done, [
      `sync ${one}`,
      `rename ${one} ${other}`,
      `sync ${folder}`,
      `remove ${other}`,
      `sync ${folder}`,
    ]);
    assert.equal(await folders.exists(other), false);
  });
});

test('an install without room on the disk fails at once, and nothing of it happens when there is room', async () => {
  const noSpace = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  const source = await storeOf(bed().options, 30);
  const copy = await copyOf(source);
  for (const isFullBefore of [false, true]) {
    const { levels, options, failures } = bed();
    let isFull = false;
    const target = await storeOf({ ...options, hasSpace: async () => !isFull, limits: { flushIntervalMs: 1e9 } }, 3);
    const staged = await stage(target, copy);
    await staged.finish();
    const changes: string[] = [];
    levels.beforeFolderChange = (change, location) => {
      changes.push(`${change} ${location}`);
    };
    levels.beforeBatch = async () => {
      if (isFull) throw noSpace;
    };
    isFull = true;
    const flushed = isFullBefore ? target.flush() : undefined;
    while (isFullBefore && target.pressures?.().isOutOfSpace !== true) await new Promise((r) => setImmediate(r));
    await assert.rejects(staged.install(), /no space left on device/);
    assert.equal(target.pressures?.().isOutOfSpace, true, 'there is no room yet');
    assert.equal(target.latest(bytes('k1'))?.value.toString(), 'x', 'the store answers');
    put(target, 'k', 'meanwhile');
    isFull = false;
    await flushed;
    await target.flush();
    while (target.pressure() !== undefined) await target.pressure();
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      changes.filter((change) => change.startsWith('rename')),
      [],
    );
    await install(target, copy);
    assert.equal(target.appliedIndex, 30);
    assert.deepEqual(failures, []);
    await target.close();
  }
});

test('a pass of collection does not go on over a copy that was installed under it', async () => {
  const { options } = bed();
  const target = await openGroupStore(options);
  for (let at = 1; at <= 20; at++) put(target, `k${at % 5}`, `v${at}`, at * 10);
  const writer = target.write();
  target.setGcThreshold(writer, ts(1000));
  writer.commit(target.appliedIndex + 1);
  assert.equal(await target.collectGarbage(1000, 1), false, 'the pass is in the middle');
  // The copy's own threshold is lower: what its reads may ask for stays.
  const source = await openGroupStore(bed().options);
  for (let at = 1; at <= 30; at++) put(source, `k${at % 5}`, `w${at}`, at * 10);
  await install(target, await copyOf(source));
  while (!(await target.collectGarbage(1000)));
  for (let at = 5; at <= 30; at++) {
    const row = await target.get(bytes(`k${at % 5}`), ts(at * 10 + 5));
    assert.equal(row?.value.toString(), `w${at}`, `at ${at * 10 + 5}`);
  }
  await target.close();
});

test('a slice of collection that runs when an install begins removes nothing from the copy', async () => {
  const KEYS = 3000;
  const { levels, options } = bed();
  const target = await openGroupStore(options);
  for (const commitTs of [10, 20, 30]) {
    const unit = target.write();
    for (let at = 0; at < KEYS; at++) unit.put(bytes(`k${at}`), bytes('old'), ts(commitTs), NEVER);
    unit.commit(target.appliedIndex + 1);
  }
  await target.flush();
  const unit = target.write();
  target.setGcThreshold(unit, ts(1000));
  unit.commit(target.appliedIndex + 1);
  const source = await openGroupStore(bed().options);
  for (const commitTs of [10, 20, 30]) {
    const unit = source.write();
    for (let at = 0; at < KEYS; at++) unit.put(bytes(`k${at}`), bytes('new'), ts(commitTs), NEVER);
    unit.commit(source.appliedIndex + 2);
  }
  const staged = await stage(target, await copyOf(source));
  await staged.finish();
  // The first batch of the slice takes long; others are to follow.
  const gate = Promise.withResolvers<void>();
  const inside = Promise.withResolvers<void>();
  levels.beforeBatch = async (operations) => {
    if (!operations.some(({ type, key }) => type === 'del' && key[0] === 'V'.charCodeAt(0))) return;
    inside.resolve();
    await gate.promise;
  };
  const collecting = target.collectGarbage(60_000).catch(() => false);
  await inside.promise;
  const installing = staged.install();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await target.collectGarbage(1), false, 'none begins now');
  gate.resolve();
  levels.beforeBatch = async () => {};
  await installing;
  await collecting;
  for (let at = 0; at < KEYS; at += 97) {
    assert.equal((await target.get(bytes(`k${at}`), ts(15)))?.value.toString(), 'new', `k${at}`);
  }
  await target.close();
});

test('the folder of a new store has a stable name before anything is in it', async (t) => {
  await inFolder(async (folder) => {
    const location = join(folder, 'nodes', 'group-1');
    const synced: [string, number][] = [];
    const open = fs.promises.open.bind(fs.promises);
    t.mock.method(fs.promises, 'open', async (path: string, flags: string) => {
      const handle = await open(path, flags);
      const sync = handle.sync.bind(handle);
      t.mock.method(handle, 'sync', async () => {
        synced.push([path, (await readdir(location)).length]);
        await sync();
      });
      return handle;
    });
    const store = await openGroupStore({ location });
    await store.close();
    for (const parent of [folder, join(folder, 'nodes')]) {
      assert.ok(
        synced.some(([path, names]) => path === parent && names === 0),
        parent,
      );
    }
  });
});
