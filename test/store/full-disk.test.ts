import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { DEFAULT_LEVEL_MEMORY, openClassicLevel } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { until } from '../support/until.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const FOREVER = ts(0);
const bytes = (text: string): Buffer => Buffer.from(text);
const LIMITS = { bufferBytes: 4096, flushBytes: 1024, flushIntervalMs: 10 };

const noSpace = (): Error =>
  Object.assign(new Error('write failed'), { cause: new Error('IO error: No space left on device') });

/** A store on a disk that can be full. */
class FullDiskStore {
  readonly levels = new SimulatedLevels();
  readonly failures: Error[] = [];
  isFull = false;
  attempts = 0;

  constructor() {
    this.levels.beforeBatch = async () => {
      if (!this.isFull) return;
      this.attempts++;
      throw noSpace();
    };
  }

  open(): Promise<GroupStore> {
    return openGroupStore({
      location: '/s',
      openLevel: this.levels.openLevel,
      folders: this.levels,
      limits: LIMITS,
      hasSpace: async () => !this.isFull,
      onFailure: (error) => this.failures.push(error),
    });
  }
}

function put(store: GroupStore, index: number, key: string, value: string): void {
  const writer = store.write();
  writer.put(bytes(key), bytes(value), ts(index), FOREVER);
  writer.commit(index);
}

test('a full disk keeps what was applied readable, and it is durable as soon as there is room', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  put(store, 1, 'before', 'old');
  await store.flush();
  bed.isFull = true;
  put(store, 2, 'before', 'new');
  put(store, 3, 'more', 'value');
  const flushed = store.flush();
  await until(() => store.pressures?.().isOutOfSpace === true);
  assert.equal(store.durableIndex, 1, 'nothing is called durable that is not');
  assert.equal(store.latest(bytes('before'))?.value.toString(), 'new');
  assert.equal((await store.get(bytes('before'), ts(1)))?.value.toString(), 'old');
  put(store, 4, 'later', 'value');
  assert.equal(store.latest(bytes('later'))?.value.toString(), 'value');
  bed.isFull = false;
  await flushed;
  await store.flush();
  assert.equal(store.durableIndex, 4);
  assert.equal(store.pressures?.().isOutOfSpace, false);
  await store.close();
  const again = await bed.open();
  assert.equal(again.appliedIndex, 4);
  assert.equal(again.latest(bytes('before'))?.value.toString(), 'new');
  await again.close();
  assert.deepEqual(bed.failures, []);
});

test('a store that is closed on a full disk says so, has not failed, and can be opened again', async () => {
  for (const hasMore of [true, false]) {
    const bed = new FullDiskStore();
    const store = await bed.open();
    put(store, 1, 'a', '1');
    await store.flush();
    if (hasMore) put(store, 2, 'a', '2');
    bed.isFull = true;
    await assert.rejects(store.close(), { code: 'STORE_FAILED' });
    assert.deepEqual(bed.failures, [], 'nothing is lost: the log has it');
    bed.isFull = false;
    const again = await bed.open();
    assert.equal(again.appliedIndex, 1);
    await again.close();
  }
});

test('a store on a full disk asks for a pause once its buffer is full, and goes on when there is room', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  bed.isFull = true;
  let index = 0;
  while (store.pressure() === undefined) put(store, ++index, `key${index}`, 'x'.repeat(200));
  let isRelieved = false;
  const relieved = store.pressure()!.then(() => {
    isRelieved = true;
  });
  await until(() => bed.attempts > 0);
  assert.equal(isRelieved, false);
  bed.isFull = false;
  await relieved;
  await store.flush();
  assert.equal(store.durableIndex, index);
  await store.close();
});

test('a store whose database cannot be opened anew for want of room asks for a pause until it can', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  bed.isFull = true;
  put(store, 1, 'a', '1');
  const flushed = store.flush();
  await until(() => store.pressures?.().isOutOfSpace === true);
  // Room for a moment: the database was closed, and is not opened.
  let openings = 0;
  bed.levels.beforeOpen = () => {
    openings++;
    throw noSpace();
  };
  bed.isFull = false;
  await until(() => openings > 1);
  let isPaused = true;
  const pause = store.pressure()?.then(() => {
    isPaused = false;
  });
  assert.ok(pause !== undefined, 'nothing can be applied now');
  assert.equal(isPaused, true);
  bed.levels.beforeOpen = () => {};
  await pause;
  put(store, 2, 'a', '2');
  await flushed;
  await store.flush();
  assert.equal(store.durableIndex, 2);
  assert.deepEqual(bed.failures, []);
  await store.close();
});

test('a store can be closed while its disk is full, and loses nothing that it called durable', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  put(store, 1, 'a', '1');
  await store.flush();
  bed.isFull = true;
  put(store, 2, 'a', '2');
  store.flush().catch(() => undefined);
  await until(() => store.pressures?.().isOutOfSpace === true);
  await store.close();
  bed.isFull = false;
  const again = await bed.open();
  assert.equal(again.appliedIndex, 1, 'the log has the rest');
  await again.close();
});

test('a write that fails for another reason is still final', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  bed.levels.beforeBatch = async () => {
    throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
  };
  put(store, 1, 'a', '1');
  await assert.rejects(store.flush(), { code: 'STORE_FAILED' });
  assert.equal(store.durableIndex, 0);
  assert.equal(bed.failures.length, 1);
  await store.close();
});

test('a pass of collection says how much history is kept, and of which keys', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  let index = 0;
  for (let round = 0; round < 200; round++) put(store, ++index, 'hot', `value ${round}`);
  for (let round = 0; round < 3; round++) put(store, ++index, 'cold', `value ${round}`);
  // What the threshold has passed when it is flushed would not be written at all.
  await store.flush();
  const unit = store.write();
  store.setGcThreshold(unit, ts(100));
  unit.commit(++index);
  assert.ok(store.pressures!().overhangBytes > 0, 'what was overwritten counts before the first pass');
  while (!(await store.collectGarbage(1000)));
  const { lastPass, overhangBytes, removedBytes } = store.pressures!();
  assert.equal(lastPass?.droppedVersions, 99);
  assert.equal(lastPass?.keptVersions, 99 + 1 + 2, 'above the threshold, and the newest below it');
  assert.deepEqual(
    lastPass?.topKeys.map(({ key }) => key.toString()),
    ['hot'],
  );
  assert.equal(overhangBytes, lastPass?.keptBytes);
  assert.ok(removedBytes > 0);
  await store.compact?.();
  assert.equal(store.pressures!().removedBytes, 0);
  await store.close();
});

test('a delete that was written over counts among the versions that a pass has dropped', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  put(store, 1, 'key', 'first');
  const unit = store.write();
  unit.delete(bytes('key'), ts(2));
  unit.commit(2);
  put(store, 3, 'key', 'again');
  await store.flush();
  const raise = store.write();
  store.setGcThreshold(raise, ts(2));
  raise.commit(4);
  while (!(await store.collectGarbage(1000)));
  const { lastPass } = store.pressures!();
  assert.deepEqual([lastPass?.droppedVersions, lastPass?.keptVersions], [2, 0]);
  await store.close();
});

for (const way of ['a range delete', 'deletes one by one', 'a drop'] as const) {
  test(`the space of what ${way} took away is asked for, and comes back with a compaction`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kvorum-space-'));
    try {
      // Write buffers as small as this make files; what LevelDB still has in memory it writes whatever was deleted of it.
      const openLevel = (location: string) =>
        openClassicLevel(location, { ...DEFAULT_LEVEL_MEMORY, writeBufferBytes: 64 << 10 });
      const store = await openGroupStore({ location: join(folder, 'store'), openLevel });
      const random = new SeededRandom(5);
      const start = Buffer.from('k');
      const end = Buffer.from('l');
      let index = 0;
      for (let key = 0; key < 500; key++) {
        const unit = store.write();
        unit.put(
          Buffer.from(`k${key}`),
          random.bytes(key % 2 === 0 ? 500 : 8_000),
          ts(10),
          ts(key % 3 === 0 ? 10_000 : 0),
        );
        unit.commit(++index);
      }
      await store.flush();
      const unit = store.write();
      if (way === 'a range delete') unit.deleteRange(start, end, ts(20));
      else if (way === 'a drop') unit.dropRange(start, end);
      else for (let key = 0; key < 500; key++) unit.delete(Buffer.from(`k${key}`), ts(20));
      store.setGcThreshold(unit, ts(30));
      unit.commit(++index);
      await store.dropping(start, end);
      while (!(await store.collectGarbage(1000)));
      const { removedBytes } = store.pressures!();
      assert.ok(removedBytes > 2_000_000, `${removedBytes} bytes of rows went`);
      // LevelDB may be writing a file of its own accord while it is asked.
      await until('no file is left', async () => {
        await store.compact?.();
        return store.diskBytes?.() === 0;
      });
      assert.equal(store.pressures!().removedBytes, 0);
      await store.close();
      const files = await readdir(join(folder, 'store'));
      const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, 'store', file))).size));
      assert.ok(sizes.reduce((sum, size) => sum + size, 0) < 100_000);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

test('a slice of collection ends with its budget of bytes, and the pass goes on from there', async () => {
  const bed = new FullDiskStore();
  const store = await bed.open();
  let index = 0;
  for (let key = 0; key < 50; key++)
    for (let round = 0; round < 3; round++) put(store, ++index, `k${key}`, 'x'.repeat(50));
  await store.flush();
  const unit = store.write();
  store.setGcThreshold(unit, ts(index));
  unit.commit(++index);
  let slices = 1;
  while (!(await store.collectGarbage(10_000, 1000))) slices++;
  assert.ok(slices > 5, `${slices} slices`);
  assert.equal(store.pressures!().lastPass?.droppedVersions, 100);
  await store.close();
});
