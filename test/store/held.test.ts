/** Generations that wait for the threshold of collection: what it has passed is never written, and nothing else is left out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hlcTimestamp, SeededRandom, SystemScheduler } from '../../src/platform/index.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { encodeFloor, FLOOR_KEY, RowKind } from '../../src/store/rows/codec.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const NEVER = ts(0);
const KEY = Buffer.from('k');
const HOLD_MS = 5_000;
const GATHER_MS = 7_000;

/** Time stands still, but for what a test lets come. */
class HeldScheduler extends SystemScheduler {
  readonly held: (() => void)[] = [];
  gathered: () => void = () => {};

  override after(ms: number, callback: () => void): () => void {
    if (ms === GATHER_MS) {
      this.gathered = callback;
      return () => {};
    }
    if (ms !== HOLD_MS) return super.after(ms, callback);
    this.held.push(callback);
    return () => this.held.splice(this.held.indexOf(callback), 1);
  }
}

interface Bed {
  readonly levels: SimulatedLevels;
  readonly scheduler: HeldScheduler;
  open(): Promise<GroupStore>;
}

/** Each unit freezes what was applied when nothing waits. */
function bed(bufferBytes = 32 << 20, mayLeaveOut = true, gatherMs = 0): Bed {
  const levels = new SimulatedLevels();
  const scheduler = new HeldScheduler();
  const limits = { flushBytes: 1, gatherMs, holdMs: HOLD_MS, bufferBytes };
  const open = () =>
    openGroupStore({
      location: 'store',
      openLevel: levels.openLevel,
      folders: levels,
      disk: new MemoryDisk(),
      scheduler,
      limits,
      mayLeaveOut: () => mayLeaveOut,
    });
  return { levels, scheduler, open };
}

function put(store: GroupStore, commitTs: number, threshold = 0): void {
  const writer = store.write();
  writer.put(KEY, Buffer.from(`v${commitTs}`), ts(commitTs), NEVER);
  if (threshold > 0) store.setGcThreshold(writer, ts(threshold));
  writer.commit(store.appliedIndex + 1);
}

function raise(store: GroupStore, threshold: number): void {
  const writer = store.write();
  store.setGcThreshold(writer, ts(threshold));
  writer.setMeta('mark', Buffer.from('x'));
  writer.commit(store.appliedIndex + 1);
}

async function untilDurable(store: GroupStore, index: number): Promise<void> {
  while (store.durableIndex < index) await new Promise(setImmediate);
}

async function rowsOf(levels: SimulatedLevels, kind: number): Promise<number> {
  const level = levels.openLevel('store');
  await level.open();
  const rows = level.iterator({ gte: Buffer.from([kind]), lt: Buffer.from([kind + 1]) });
  const found = await rows.nextv(1_000);
  await rows.close();
  await level.close();
  return found.length;
}

const versionRows = (levels: SimulatedLevels): Promise<number> => rowsOf(levels, RowKind.Version);

const valueAt = async (store: GroupStore, readTs: number): Promise<string | undefined> =>
  (await store.get(KEY, ts(readTs)))?.value.toString();

test('the row that says from where the past is whole has bytes that never change', () => {
  assert.equal(FLOOR_KEY.toString('hex'), '46');
  assert.equal(encodeFloor(ts(0x1122)).toString('hex'), '0000000000001122');
});

test('what was overwritten before the threshold came by is never written', async () => {
  const { levels, open } = bed();
  const store = await open();
  put(store, 10, 5);
  for (const commitTs of [20, 30, 40]) put(store, commitTs);
  assert.equal(store.durableIndex, 0);
  assert.equal(await valueAt(store, 29), 'v20');
  raise(store, 45);
  await untilDurable(store, store.appliedIndex);
  assert.equal(await valueAt(store, 45), 'v40');
  await store.close();
  assert.equal(await versionRows(levels), 0);
});

test('what somebody may still read is written, whatever asks for a flush', async () => {
  const { levels, scheduler, open } = bed();
  const store = await open();
  put(store, 10, 5);
  put(store, 20);
  put(store, 30);
  // The time of what waits is over, and it is written; what was applied since then waits in its place.
  assert.equal(scheduler.held.length, 1);
  scheduler.held[0]!();
  await untilDurable(store, 1);
  assert.equal(store.durableIndex, 1);
  await store.flush();
  assert.equal(store.durableIndex, 3);
  for (const [readTs, value] of [
    [15, 'v10'],
    [25, 'v20'],
    [35, 'v30'],
  ] as const) {
    assert.equal(await valueAt(store, readTs), value);
  }
  await store.close();
  assert.equal(await versionRows(levels), 2);
});

test('of two versions the one is left out that the threshold has passed', async () => {
  const { levels, open } = bed();
  const store = await open();
  put(store, 10, 5);
  put(store, 20);
  put(store, 30);
  raise(store, 25);
  await store.flush();
  assert.equal(await valueAt(store, 25), 'v20');
  assert.equal(await valueAt(store, 30), 'v30');
  await store.close();
  assert.equal(await versionRows(levels), 1);
});

test('while a program may come back that does not know what was left out, only what it could have collected is', async () => {
  const { levels, scheduler, open } = bed(undefined, false);
  const store = await open();
  put(store, 10, 5);
  assert.equal(scheduler.held.length, 0, 'nothing waits');
  put(store, 20);
  raise(store, 25);
  await store.flush();
  put(store, 30);
  await store.flush();
  await store.close();
  const level = levels.openLevel('store');
  await level.open();
  assert.equal(level.getSync(FLOOR_KEY), undefined);
  await level.close();
});

test('what comes while a large generation is told to the cache waits for the threshold like any other', async () => {
  const { scheduler, open } = bed();
  const store = await open();
  const writer = store.write();
  for (let key = 0; key < 5_000; key++) writer.put(Buffer.from(`k${key}`), KEY, ts(10), NEVER);
  store.setGcThreshold(writer, ts(5));
  writer.commit(1);
  raise(store, 25);
  await untilDurable(store, 1);
  put(store, 30);
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.equal(store.durableIndex, 1);
  assert.equal(scheduler.held.length, 1);
  await store.close();
});

test('the rows of a batch stay within twice what the buffer has of its own, however much is lent to it', async () => {
  const { levels } = bed();
  const scheduler = new HeldScheduler();
  const limits = { flushBytes: 1, gatherMs: 0, holdMs: HOLD_MS, bufferBytes: 1 << 20, lentBytes: (1 << 20) - 4_000 };
  const disk = new MemoryDisk();
  const store = await openGroupStore({
    location: 'store',
    openLevel: levels.openLevel,
    folders: levels,
    ...{ disk, scheduler, limits },
  });
  put(store, 10, 5);
  let commitTs = 11;
  for (; store.pressure() === undefined && commitTs < 2_000; commitTs++) put(store, commitTs);
  // 8,000 bytes of rows of some ten bytes; with what they take in memory the buffer had room for 5,000.
  assert.ok(commitTs > 400 && commitTs < 1_000, `${commitTs}`);
  await store.pressure();
  await store.close();
});

test('what was overwritten is worth a pass of collection from when it is written', async () => {
  const { scheduler, open } = bed();
  const store = await open();
  put(store, 10, 5);
  for (const commitTs of [20, 30, 40]) put(store, commitTs);
  assert.equal(scheduler.held.length, 1);
  assert.equal(store.pressures!().overhangBytes, 0);
  await store.flush();
  assert.ok(store.pressures!().overhangBytes > 30);
  await store.close();
});

test('a full buffer does not wait', async () => {
  const { open } = bed(2_000);
  const store = await open();
  put(store, 10, 5);
  for (let commitTs = 11; commitTs < 40; commitTs++) put(store, commitTs);
  await untilDurable(store, 1);
  await store.close();
});

test('after a crash reads of what was left out are refused, also while the log has not come by the threshold again', async () => {
  let lost = 0;
  for (let seed = 0; seed < 20; seed++) {
    const { levels, open } = bed();
    let store = await open();
    put(store, 10, 5);
    await store.flush();
    put(store, 20);
    put(store, 30);
    // Frozen before the threshold came, written after it.
    raise(store, 25);
    await untilDurable(store, 2);
    await levels.crash(new SeededRandom(seed));
    store = await open();
    if (store.gcThreshold < 25n) {
      lost++;
      assert.equal(store.readableFrom, 25n);
      await assert.rejects(store.get(KEY, ts(15)), { code: 'SNAPSHOT_TOO_OLD' });
    }
    assert.equal(await valueAt(store, 25), 'v20');
    while (store.appliedIndex < 4) raise(store, 25);
    await store.close();
  }
  assert.ok(lost > 0, 'the threshold was durable each time');
});

test('a key that is written while a pass removes what it was before is still there', async () => {
  const { levels, open } = bed();
  const store = await open();
  const writer = store.write();
  writer.delete(KEY, ts(10));
  writer.commit(1);
  await store.flush();
  assert.equal(store.latest(KEY)?.isTombstone, true);
  raise(store, 20);
  let isWritten = false;
  levels.beforeBatch = async (operations) => {
    if (isWritten || !operations.some(({ type, key }) => type === 'del' && key[0] === RowKind.Latest)) return;
    isWritten = true;
    put(store, 30);
  };
  while (!(await store.collectGarbage(1_000)));
  assert.ok(isWritten);
  assert.equal(store.latest(KEY)?.value.toString(), 'v30');
  await store.flush();
  assert.equal(store.latest(KEY)?.value.toString(), 'v30');
  await store.close();
});

test('where the threshold follows closely a generation collects for longer, so that a key is written once', async () => {
  const { levels, scheduler, open } = bed(undefined, true, GATHER_MS);
  const store = await open();
  put(store, 10, 5);
  for (const commitTs of [20, 30, 40]) put(store, commitTs, commitTs - 5);
  await store.scan({ start: KEY, end: Buffer.from('l'), readTs: ts(40), limit: 1 });
  assert.equal(store.durableIndex, 0);
  assert.equal(scheduler.held.length, 0, 'it collects');
  scheduler.gathered();
  assert.equal(scheduler.held.length, 1, 'it waits for the threshold');
  raise(store, 45);
  await untilDurable(store, 4);
  assert.equal(await valueAt(store, 45), 'v40');
  await store.close();
  assert.equal(await versionRows(levels), 0);
});

test('what a generation has collected is bounded by what a crash would apply again', async () => {
  const { open } = bed(100_000, true, GATHER_MS);
  const store = await open();
  let commitTs = 10;
  for (; store.durableIndex === 0 && commitTs < 100_000; commitTs++) {
    put(store, commitTs, commitTs - 5);
    if (commitTs % 100 === 0) for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  }
  // 150,000 bytes in rows of about 15, although never more than a dozen of them are kept.
  assert.ok(commitTs > 5_000 && commitTs < 15_000, `${commitTs}`);
  await store.close();
});

test('a generation collects until its newest rows fill most of a batch, and longer when keys are written again', async () => {
  const untilFrozen = async (keyAt: (commitTs: number) => string): Promise<number> => {
    const { levels, scheduler } = bed();
    const limits = {
      flushBytes: 1,
      gatherMs: GATHER_MS,
      holdMs: HOLD_MS,
      bufferBytes: 1 << 20,
      lentBytes: (1 << 20) - 40_000,
    };
    const store = await openGroupStore({
      location: 'store',
      openLevel: levels.openLevel,
      folders: levels,
      ...{ disk: new MemoryDisk(), scheduler, limits },
    });
    raise(store, 9);
    let commitTs = 10;
    for (; scheduler.held.length === 0 && commitTs < 10_000; commitTs++) {
      const writer = store.write();
      writer.put(Buffer.from(keyAt(commitTs)), Buffer.alloc(83), ts(commitTs), NEVER);
      writer.commit(store.appliedIndex + 1);
    }
    await store.close();
    return commitTs - 10;
  };
  // Rows of 92 bytes, and keys of 5: 30,000 bytes of both are most of a batch, 60,000 of rows what a crash applies again.
  const written = await untilFrozen((commitTs) => `k${1_000 + commitTs}`);
  const overwritten = await untilFrozen((commitTs) => `k${1_000 + (commitTs % 10)}`);
  assert.equal(written, Math.ceil(30_000 / 97));
  assert.equal(overwritten, Math.ceil(60_000 / 92));
});

test('versions below the threshold do not wait in memory, but for those that a scan under way shows', async () => {
  const { scheduler, open } = bed(undefined, true, GATHER_MS);
  const store = await open();
  const kept = (): number => store.pressures!().bufferedBytes;
  let commitTs = 10;
  const writeMany = (): void => {
    for (let left = 2_000; left > 0; left--, commitTs++) put(store, commitTs, commitTs - 5);
  };
  writeMany();
  assert.ok(kept() < 10_000, `${kept()}`);
  // The second sees what is written later by its timestamp, and not by its index.
  for (const readTs of [commitTs - 4, 1_000_000]) {
    const scan = store.scan({ start: Buffer.from('a'), end: Buffer.from('z'), readTs: ts(readTs), limit: 10 });
    const before = ts(commitTs);
    writeMany();
    assert.ok(kept() > 100_000, `${kept()}`);
    // Nor what a generation has at its end, and the next one writes over.
    scheduler.gathered();
    writeMany();
    store.forgetCached?.();
    const { rows } = await scan;
    assert.equal(rows.length, 1);
    assert.ok(rows[0]!.commitTs < before);
    await store.flush();
  }
  await store.close();
});

test('of a key that expires the index has one row, however often it was written and flushed', async () => {
  const { levels, open } = bed();
  const store = await open();
  for (const commitTs of [10, 20, 30, 40]) {
    const writer = store.write();
    writer.put(KEY, KEY, ts(commitTs), ts(commitTs + 1_000));
    writer.commit(store.appliedIndex + 1);
    if (commitTs !== 20) await store.flush();
  }
  await store.close();
  assert.equal(await rowsOf(levels, RowKind.Expiry), 1);
});
