import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { ClassicLevel } from 'classic-level';
import { hlcTimestamp, SeededRandom, SystemScheduler } from '../../src/platform/index.ts';
import type { GroupStore, GroupStoreOptions } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { openClassicLevel } from '../../src/store/level/level.ts';
import { CutThread } from '../../src/store/segments/cut-thread.ts';
import { copyOf, install } from './copies.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const NEVER = ts(0);
const thread = new CutThread(new SystemScheduler());
after(() => thread.end());

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-cut-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function opened(t: TestContext, options: Partial<GroupStoreOptions> = {}): Promise<GroupStore> {
  return openGroupStore({ location: join(await folderOf(t), 'store'), cutter: thread, ...options });
}

/** One unit after another: which comes is said by the index alone, so a store can be made again as it was at any of them. */
function apply(store: GroupStore, toIndex: number, valueBytes: number): void {
  while (store.appliedIndex < toIndex) {
    const index = store.appliedIndex + 1;
    const random = new SeededRandom(index);
    const writer = store.write();
    for (let left = 5; left > 0; left--) {
      const key = Buffer.from(`k${random.int(2000)}`);
      if (random.int(8) === 0) writer.delete(key, ts(index));
      else writer.put(key, random.bytes(valueBytes), ts(index), NEVER);
    }
    writer.setMeta('index', Buffer.from(String(index)));
    writer.commit(index);
  }
}

/** A store whose cut takes a while, and a cut of it that is under way. */
async function cutting(t: TestContext, location: string) {
  const store = await opened(t, { location });
  for (let index = 100; index <= 2000; index += 100) {
    apply(store, index, 3000);
    await store.flush();
  }
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const cut = store.exportSegments(() => {
    resolve();
    return {};
  });
  cut.catch(() => {});
  await begun;
  return { store, cut };
}

test('a thread cuts the same bytes as the store itself', async (t) => {
  const location = join(await folderOf(t), 'store');
  const manifests: unknown[] = [];
  for (const cutter of [undefined, thread]) {
    const store = await opened(t, { location, cutter });
    apply(store, 300, 200);
    const cut = await store.exportSegments((meta, index) => ({ said: meta('index')?.toString() ?? '', index }));
    assert.deepEqual(cut.manifest.about, { said: '300', index: 300 });
    manifests.push(cut.manifest);
    await cut.close();
    await store.close();
  }
  assert.deepEqual(manifests[0], manifests[1]);
});

test('cuts of a store that is written to meanwhile are each of the index that they say', async (t) => {
  const store = await opened(t, { limits: { flushBytes: 20_000 } });
  apply(store, 10, 500);
  let isOver = false;
  // Only then: what a slow machine takes for the comparison would make it longer and longer.
  let isBeingCut = false;
  const writing = (async () => {
    while (!isOver) {
      if (isBeingCut) apply(store, store.appliedIndex + 3, 500);
      await store.pressure();
      await sleep(2);
    }
  })();
  const indexes = new Set<number>();
  for (let round = 0; round < 6; round++) {
    isBeingCut = true;
    const [one, other] = await Promise.all([copyOf(store), copyOf(store)]);
    isBeingCut = false;
    for (const copy of [one, other]) {
      const index = copy.manifest.appliedIndex;
      indexes.add(index);
      const again = await opened(t);
      apply(again, index, 500);
      const target = await opened(t);
      await install(target, copy);
      assert.equal(target.appliedIndex, index);
      assert.equal(await target.digest(), await again.digest(), `at ${index}`);
      await again.close();
      await target.close();
    }
  }
  isOver = true;
  await writing;
  assert.ok(indexes.size > 3, `${indexes.size} indexes`);
  await store.close();
});

test('a store that closes ends its cut, and gives its folder back', async (t) => {
  const folder = await folderOf(t);
  const { store, cut } = await cutting(t, join(folder, 'store'));
  await store.close();
  await assert.rejects(cut, { code: 'STORE_CLOSED' });
  // Fails when anybody in this process has it open still.
  const level = new ClassicLevel(join(folder, 'store'));
  await level.open();
  await level.close();
  assert.deepEqual(await readdir(join(folder, 'store.cut')), []);
});

test('a copy that is installed during a cut ends the cut, and is what there is from then on', async (t) => {
  const source = await opened(t);
  apply(source, 3000, 100);
  const copy = await copyOf(source);
  const digest = await source.digest();
  await source.close();
  const location = join(await folderOf(t), 'store');
  const { store, cut } = await cutting(t, location);
  await install(store, copy);
  await assert.rejects(cut, { code: 'STORE_CLOSED' });
  assert.equal(await store.digest(), digest);
  const recut = await copyOf(store);
  assert.equal(recut.manifest.appliedIndex, 3000);
  await store.close();
  const again = await opened(t, { location });
  assert.equal(await again.digest(), digest);
  await again.close();
});

test('damage that the thread finds stops the store, as damage that the store finds', async (t) => {
  const failures: Error[] = [];
  let inside: ReturnType<typeof openClassicLevel> | undefined;
  const store = await opened(t, {
    openLevel: (location) => {
      inside = openClassicLevel(location);
      return inside;
    },
    onFailure: (error) => failures.push(error),
  });
  apply(store, 10, 100);
  await store.flush();
  // A row without the checksum that every row ends with.
  await inside!.batch([{ type: 'put', key: Buffer.from('zz'), value: Buffer.from('not written by a store') }], {
    sync: true,
  });
  await assert.rejects(
    store.exportSegments(() => ({})),
    { code: 'CORRUPT_STORE' },
  );
  assert.deepEqual(
    failures.map((error) => (error as { code?: unknown }).code),
    ['CORRUPT_STORE'],
  );
  await store.close();
});

test('a cut fails with what its owner failed with, and with what the thread failed with', async (t) => {
  const location = join(await folderOf(t), 'store');
  const store = await opened(t, { location });
  apply(store, 10, 100);
  const refusal = new Error('what the rows say makes no sense');
  const refused = store.exportSegments(() => {
    throw refusal;
  });
  await assert.rejects(refused, refusal);
  await store.close();
  const other = await opened(t, { location, segmentLimits: { blockBytes: 2 ** 53 } });
  await assert.rejects(
    other.exportSegments(() => ({})),
    { code: 'ERR_OUT_OF_RANGE' },
  );
  assert.deepEqual(await readdir(`${location}.cut`), []);
  await other.close();
});

test('a thread that dies fails its cut, and the store goes on', async (t) => {
  const program = join(await folderOf(t), 'dies.mjs');
  await writeFile(program, 'throw new Error("no thread today");');
  const store = await opened(t, { cutter: new CutThread(new SystemScheduler(), undefined, program) });
  apply(store, 10, 100);
  for (let round = 0; round < 2; round++) {
    await assert.rejects(
      store.exportSegments(() => ({})),
      { message: 'the thread that cuts copies ended: no thread today' },
    );
  }
  apply(store, 20, 100);
  await store.close();
});

test('a thread without work ends, and the next cut starts another', async (t) => {
  const workers: Worker[] = [];
  const onWorker = (worker: Worker): void => void workers.push(worker);
  process.on('worker', onWorker);
  t.after(() => process.off('worker', onWorker));
  const timers = new Set<() => void>();
  const scheduler = new (class extends SystemScheduler {
    override after(_delayMs: number, callback: () => void): () => void {
      timers.add(callback);
      return () => timers.delete(callback);
    }
  })();
  const cutter = new CutThread(scheduler);
  const store = await opened(t, { cutter });
  apply(store, 10, 100);
  for (let round = 1; round <= 2; round++) {
    await copyOf(store);
    // Within the time that it is kept.
    await copyOf(store);
    assert.equal(workers.length, round);
    const ended = new Promise((resolve) => workers.at(-1)!.once('exit', resolve));
    assert.equal(timers.size, 1);
    for (const ring of [...timers]) {
      timers.delete(ring);
      ring();
    }
    assert.equal(await ended, 0);
  }
  await store.close();
});
