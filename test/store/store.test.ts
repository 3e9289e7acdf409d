import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { hlcTimestamp, SeededRandom, SystemScheduler } from '../../src/platform/index.ts';
import type { GroupStore, GroupStoreOptions } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { StoreActivity } from '../../src/store/level/activity.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import {
  decodeKey,
  encodeKey,
  encodeVersionKey,
  RowKind,
  STORE_FORMAT,
  SYSTEM_KEY,
  sealRow,
} from '../../src/store/rows/codec.ts';
import { ManualClock } from '../support/manual-time.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { copyOf, install } from './copies.ts';
import { sliceBytes } from './model.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const bytes = (text: string) => Buffer.from(text, 'latin1');
const NEVER = ts(0);

function simulated(levels = new SimulatedLevels()): GroupStoreOptions & { levels: SimulatedLevels } {
  return { location: 'store', openLevel: levels.openLevel, folders: levels, disk: new MemoryDisk(), levels };
}

function putOne(store: GroupStore, key: string, value: string | Buffer, commitTs: number): void {
  const writer = store.write();
  writer.put(bytes(key), Buffer.from(value), ts(commitTs), NEVER);
  writer.commit(store.appliedIndex + 1);
}

test('encoded keys keep the order of keys, are no prefixes of each other, and decode to what they were', () => {
  const key = fc
    .uint8Array({ maxLength: 200 })
    .map((array) => Buffer.from(array.map((byte) => (byte < 200 ? 0 : byte))));
  fc.assert(
    fc.property(key, key, (a, b) => {
      const [encodedA, encodedB] = [encodeKey(RowKind.Latest, a), encodeKey(RowKind.Latest, b)];
      assert.equal(Math.sign(Buffer.compare(encodedA, encodedB)), Math.sign(Buffer.compare(a, b)));
      assert.deepEqual(decodeKey(encodedA, 1, encodedA.length, 'x'), a);
      if (!a.equals(b)) assert.ok(!encodedB.subarray(0, encodedA.length).equals(encodedA));
      const [older, newer] = [encodeVersionKey(a, ts(5)), encodeVersionKey(a, ts(6))];
      assert.ok(Buffer.compare(newer, older) < 0, 'newer versions come first');
    }),
  );
});

test('what a store has forgotten is read from disk again', async () => {
  const activity = new StoreActivity();
  const store = await openGroupStore({ ...simulated(), activity });
  putOne(store, 'k', 'v', 1);
  await store.flush();
  const read = (): number => {
    const before = activity.cacheMisses;
    assert.equal(store.latest(bytes('k'))!.value.toString(), 'v');
    return activity.cacheMisses - before;
  };
  read();
  assert.equal(read(), 0);
  store.forgetCached!();
  assert.equal(read(), 1);
  await store.close();
});

test('what a store does not have is looked for on disk once, until it is there', async () => {
  const activity = new StoreActivity();
  const options = { ...simulated(), activity, limits: { inlineBytes: 16 } };
  const store = await openGroupStore(options);
  const looksFor = (key: string): number => {
    const before = activity.cacheMisses;
    assert.equal(store.latest(bytes(key)), undefined);
    return activity.cacheMisses - before;
  };
  assert.deepEqual([looksFor('made'), looksFor('made'), looksFor('copied')], [1, 0, 1]);
  const value = 'longer than what is beside the newest version';
  putOne(store, 'made', value, 1);
  await store.flush();
  assert.equal(store.latest(bytes('made'))?.value.toString(), value);

  const source = await openGroupStore(simulated());
  putOne(source, 'copied', value, 1);
  putOne(source, 'made', value, 2);
  await install(store, await copyOf(source));
  assert.equal(store.latest(bytes('copied'))?.value.toString(), value);
  await Promise.all([store.close(), source.close()]);
});

test('three stores that apply the same log have the same digest whenever they flush and collect', async () => {
  const digests: string[] = [];
  for (const lag of [1, 7, 1000]) {
    const random = new SeededRandom(11);
    const local = new SeededRandom(lag);
    const store = await openGroupStore({
      ...simulated(),
      limits: { inlineBytes: 16 },
      counterClassOf: (key) => key[0]! % 3,
    });
    for (let index = 1; index <= 400; index++) {
      const writer = store.write();
      if (random.int(20) === 0) {
        const [a, b] = [random.bytes(1), random.bytes(1)].sort(Buffer.compare);
        writer.deleteRange(a!, b!, ts(index * 10 - 1));
      }
      const key = Buffer.from([random.int(40)]);
      await store.dropping(key, Buffer.concat([key, Buffer.alloc(1)]));
      if (random.int(4) === 0) writer.delete(key, ts(index * 10));
      else writer.put(key, random.bytes(random.int(40)), ts(index * 10), ts(random.int(3) === 0 ? index * 10 + 50 : 0));
      writer.setMeta('n', Buffer.from([index & 255]));
      if (random.int(20) === 0) {
        const [a, b] = [random.bytes(1), random.bytes(1)].sort(Buffer.compare);
        writer.dropRange(a!, b!);
      }
      if (random.int(30) === 0) store.setGcThreshold(writer, ts(index * 9));
      writer.commit(index);
      if (local.int(lag) === 0) await store.flush();
      if (local.int(lag) === 0) await store.collectGarbage(1000, sliceBytes(local));
    }
    digests.push(await store.digest());
    await store.close();
  }
  assert.equal(digests[0], digests[1]);
  assert.equal(digests[1], digests[2]);
});

test('a copy installed in another store shows the same state, and goes on from its index', async () => {
  const source = await openGroupStore({ ...simulated(), limits: { inlineBytes: 100 } });
  for (let at = 1; at <= 300; at++) putOne(source, `key ${at % 90}`, Buffer.alloc((at * 97) % 9000, at), at);
  putOne(source, 'long', Buffer.alloc(3_000_000, 7), 400);
  const copy = await copyOf(source);
  assert.ok(copy.frames.flat().every((frame) => frame.length <= 1 << 20));
  const target = await openGroupStore(simulated());
  putOne(target, 'gone', 'x', 1);
  await install(target, copy);
  assert.equal(target.appliedIndex, 301);
  assert.equal(target.durableIndex, 301);
  assert.equal(target.latest(bytes('gone')), undefined);
  assert.equal(target.latest(bytes('long'))?.value.length, 3_000_000);
  assert.equal(await target.digest(), await source.digest());
  putOne(target, 'more', 'y', 500);
  assert.equal(target.latest(bytes('more'))?.value.toString(), 'y');
  await source.close();
  await target.close();
});

test('an install that fails puts the old store back and it goes on working', async () => {
  const source = await openGroupStore(simulated());
  putOne(source, 'new', 'copy', 5);
  const copy = await copyOf(source);
  const { levels, ...options } = simulated();
  const target = await openGroupStore(options);
  putOne(target, 'old', 'state', 1);
  let hasFailed = false;
  levels.beforeFolderChange = (change, location) => {
    if (change === 'rename' && location.endsWith('.incoming') && !hasFailed) {
      hasFailed = true;
      throw new Error('no space left');
    }
  };
  await assert.rejects(install(target, copy), /no space left/);
  assert.equal(target.latest(bytes('old'))?.value.toString(), 'state');
  putOne(target, 'old', 'state 2', 2);
  await target.flush();
  assert.equal(target.durableIndex, 2);
  await install(target, copy);
  assert.equal(target.latest(bytes('new'))?.value.toString(), 'copy');
  await target.close();
  await source.close();
});

test('LevelDB installs a copy through real folders and finds it after a restart', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-store-'));
  try {
    const source = await openGroupStore({ location: join(folder, 'a') });
    for (let at = 1; at <= 100; at++) putOne(source, `key ${at}`, Buffer.alloc(2000, at), at);
    const options = { location: join(folder, 'b') };
    let target = await openGroupStore(options);
    putOne(target, 'gone', 'x', 1);
    await install(target, await copyOf(source));
    await target.close();
    target = await openGroupStore(options);
    assert.equal(await target.digest(), await source.digest());
    await target.close();
    await source.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('a store of another format, without its state row or with unknown flags is refused by name', async () => {
  const { levels, ...options } = simulated();
  const level = levels.beneath('store');
  await level.open();
  const key = encodeKey(RowKind.Latest, bytes('k'));
  const value = sealRow(key, Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 1]));
  await level.batch([{ type: 'put', key, value }], { sync: true });
  await assert.rejects(openGroupStore(options), { code: 'CORRUPT_STORE', location: 'store' });
  const state = Buffer.alloc(32);
  for (const format of [1, STORE_FORMAT + 1]) {
    state.writeUInt16BE(format, 0);
    await level.batch([{ type: 'put', key: SYSTEM_KEY, value: state }], { sync: true });
    await assert.rejects(openGroupStore(options), { code: 'UNKNOWN_STORE_FORMAT', format });
  }
  state.writeUInt16BE(STORE_FORMAT, 0);
  await level.batch([{ type: 'put', key: SYSTEM_KEY, value: sealRow(SYSTEM_KEY, state) }], { sync: true });
  const store = await openGroupStore(options);
  assert.throws(() => store.latest(bytes('k')), { code: 'CORRUPT_STORE' });
  await store.close();
});

test('a failed flush stops the store, is reported once and keeps what is applied readable', async () => {
  const { levels, ...options } = simulated();
  const failures: Error[] = [];
  const store = await openGroupStore({ ...options, onFailure: (error) => failures.push(error) });
  levels.beforeBatch = async () => {
    throw new Error('disk full');
  };
  putOne(store, 'a', '1', 1);
  await assert.rejects(store.flush(), { code: 'STORE_FAILED' });
  await assert.rejects(store.flush(), { code: 'STORE_FAILED' });
  assert.throws(() => store.write(), { code: 'STORE_FAILED' });
  assert.equal(store.latest(bytes('a'))?.value.toString(), '1');
  assert.equal(store.durableIndex, 0);
  assert.equal(failures.length, 1);
  await store.close();
});

test('pressure asks to wait while the buffer is over its bound and settles when it is not', async () => {
  const { levels, ...options } = simulated();
  let release = (): void => {};
  levels.beforeBatch = () =>
    new Promise((resolve) => {
      release = resolve;
    });
  const store = await openGroupStore({ ...options, limits: { bufferBytes: 10_000, flushBytes: 5_000 } });
  putOne(store, 'a', Buffer.alloc(4_000), 1);
  assert.equal(store.pressure(), undefined);
  putOne(store, 'b', Buffer.alloc(7_000), 2);
  const pressure = store.pressure();
  assert.ok(pressure !== undefined);
  const deadline = Date.now() + 5_000;
  let isSettled = false;
  const settled = pressure.then(() => {
    isSettled = true;
  });
  while (!isSettled && Date.now() < deadline) {
    release();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await settled;
  assert.equal(store.durableIndex, 2);
  levels.beforeBatch = async () => {};
  await store.close();
});

test('the last of several writes of a key in one unit is the one version that it leaves', async () => {
  const store = await openGroupStore(simulated());
  const writer = store.write();
  writer.put(bytes('a'), bytes('1'), ts(5), NEVER);
  writer.put(bytes('a'), bytes('2'), ts(5), NEVER);
  writer.commit(1);
  assert.equal(store.latest(bytes('a'))?.value.toString(), '2');
  assert.equal(await store.get(bytes('a'), ts(4)), undefined);
  const again = store.write();
  again.put(bytes('a'), bytes('3'), ts(5), NEVER);
  assert.throws(() => again.commit(2), { name: 'AssertionError' });
  await store.close().catch(() => {});
});

test('a slice of collection that is late uses what it has read: nothing is read once for each key', async () => {
  // Each look at the clock is later than a slice should last: a busy machine.
  const clock = new ManualClock();
  clock.monotonicMs = () => clock.monotonic++ * 100;
  const store = await openGroupStore({ ...simulated(), clock });
  const keys = Array.from({ length: 1_500 }, (_, at) => String(at).padStart(4, '0'));
  for (let round = 0; round < 2; round++) {
    for (const key of keys) putOne(store, key, 'value', store.appliedIndex + 10);
    await store.flush();
  }
  const writer = store.write();
  store.setGcThreshold(writer, ts(1_000_000));
  writer.commit(store.appliedIndex + 1);
  let slices = 1;
  while (!(await store.collectGarbage(5))) slices++;
  assert.equal(store.pressures?.().lastPass?.droppedVersions, keys.length);
  assert.ok(slices > 1 && slices < 10, `${slices} slices`);
  await store.close();
});

test('what a range delete hid stays gone when the delete is forgotten and a crash takes what was written since', async () => {
  let skipped = 0;
  for (let turns = 0; turns < 80; turns++) {
    const levels = new SimulatedLevels();
    const options = { ...simulated(levels), limits: { flushIntervalMs: 1_000_000 } };
    let store = await openGroupStore(options);
    putOne(store, 'k', 'hidden', 10);
    const writer = store.write();
    writer.deleteRange(bytes('a'), bytes('z'), ts(20));
    store.setGcThreshold(writer, ts(25));
    writer.commit(2);
    const collecting = store.collectGarbage(1000);
    for (let turn = 0; turn < turns; turn++) await undefined;
    // Written after the walk saw the key, it keeps the walk from removing the hidden version.
    putOne(store, 'k', 'new', 30);
    assert.equal(await collecting, true);
    await levels.crash(new SeededRandom(turns));
    store = await openGroupStore(options);
    assert.equal(await store.get(bytes('k'), ts(26)), undefined, `after ${turns} turns`);
    if (store.latest(bytes('k')) === undefined) skipped++;
    else assert.equal(store.latest(bytes('k'))?.commitTs, 30n);
    await store.close();
  }
  assert.ok(skipped > 0 && skipped < 80, 'writes fell before and after the last flush of the pass');
});

test('a large flush is put together over many turns of the event loop, and is still one batch', async () => {
  const { levels, ...options } = simulated();
  let turns = 0;
  let batches = 0;
  levels.beforeBatch = async () => {
    batches++;
  };
  class CountingScheduler extends SystemScheduler {
    override nextTurn(callback: () => void): void {
      turns++;
      super.nextTurn(callback);
    }
  }
  const store = await openGroupStore({
    ...options,
    scheduler: new CountingScheduler(),
    limits: { flushBytes: 64 << 20, bufferBytes: 128 << 20 },
  });
  const writer = store.write();
  for (let at = 0; at < 10_000; at++) writer.put(bytes(`key ${at}`), Buffer.alloc(400, at), ts(5), NEVER);
  writer.commit(1);
  for (let at = 0; at < 10_000; at++) putOne(store, 'hot', Buffer.alloc(400, at), at + 10);
  const flushing = store.flush();
  putOne(store, 'key 7', 'written meanwhile', 20_000);
  await flushing;
  assert.ok(turns >= 10, `${turns} turns`);
  assert.equal(batches, 1);
  assert.equal(store.latest(bytes('key 7'))?.value.toString(), 'written meanwhile');
  assert.equal((await store.get(bytes('hot'), ts(5_009)))?.commitTs, 5_009n);
  assert.equal((await store.get(bytes('key 7'), ts(19_999)))?.commitTs, 5n);
  await store.close();
});

test('names of a full buffer are made known over many turns for all who look for one, and each sees the moment of its call', async () => {
  let turns = 0;
  let isHolding = false;
  const held: (() => void)[] = [];
  class CountedTurns extends SystemScheduler {
    override nextTurn(callback: () => void): void {
      turns++;
      if (isHolding) held.push(callback);
      else super.nextTurn(callback);
    }
  }
  const limits = { flushBytes: 64 << 20, flushIntervalMs: 600_000 };
  const store = await openGroupStore({ ...simulated(), scheduler: new CountedTurns(), limits });
  putOne(store, 'k-stored', 'before', 1);
  await store.flush();
  const writer = store.write();
  for (let nth = 0; nth < 20_000; nth++) writer.put(bytes(`k${nth}`), bytes('v'), ts(2), NEVER);
  writer.commit(2);
  isHolding = true;
  const reads = ['k-stored', 'k7', 'k8', 'k-absent'].map(async (key) => (await store.get(bytes(key), ts(2)))?.value);
  isHolding = false;
  assert.equal(held.length, 1, 'of the four one goes through the names');
  // Nothing of the past is left of it, in the buffer and on the disk, while the names are made known.
  const raise = (threshold: number): void => {
    const mark = store.write();
    mark.put(bytes('other'), bytes('v'), ts(threshold + 1), NEVER);
    store.setGcThreshold(mark, ts(threshold));
    mark.commit(store.appliedIndex + 1);
  };
  for (let nth = 0; nth < 10; nth++) putOne(store, 'k7', 'later', 10 + nth);
  raise(30);
  for (let nth = 0; nth < 10; nth++) putOne(store, 'k7', 'later', 40 + nth);
  await store.flush();
  putOne(store, 'k-stored', 'after', 60);
  raise(70);
  await store.flush();
  const whileNamed = turns;
  for (const goOn of held) goOn();
  const values = await Promise.all(reads);
  assert.deepEqual(
    values.map((value) => value?.toString()),
    ['before', 'v', 'v', undefined],
  );
  assert.ok(turns - whileNamed >= 3, `${turns - whileNamed} more turns`);
  await store.close();
});

test('names of a full buffer are sorted over many turns, and a scan shows the keys of its moment in order', async () => {
  let turns = 0;
  class CountedTurns extends SystemScheduler {
    override nextTurn(callback: () => void): void {
      turns++;
      super.nextTurn(callback);
    }
  }
  // Nothing is flushed: all keys are in the buffer.
  const limits = { flushBytes: 64 << 20, flushIntervalMs: 600_000 };
  const store = await openGroupStore({ ...simulated(), scheduler: new CountedTurns(), limits });
  const name = (nth: number): string => `k${String((nth * 7919) % 20_000).padStart(5, '0')}`;
  const writer = store.write();
  for (let nth = 0; nth < 20_000; nth++) writer.put(bytes(name(nth)), bytes('v'), ts(1), NEVER);
  writer.commit(1);
  const all = async (readTs: number, reverse: boolean): Promise<string[]> => {
    const keys: string[] = [];
    let [start, end]: [Buffer | undefined, Buffer] = [bytes('k'), bytes('l')];
    while (start !== undefined) {
      const page = await store.scan({ start, end, readTs: ts(readTs), limit: 3_000, reverse });
      for (const { key } of page.rows) keys.push(key.toString('latin1'));
      if (page.next === undefined) break;
      if (reverse) end = page.next;
      else start = page.next;
    }
    return keys;
  };
  const expected = Array.from({ length: 20_000 }, (_, nth) => `k${String(nth).padStart(5, '0')}`);
  const before = turns;
  const first = all(1, false);
  // Written while the names of before are being sorted: of a later moment.
  putOne(store, 'k00000x', 'v', 2);
  assert.deepEqual(await first, expected);
  assert.ok(turns - before >= 4, `${turns - before} turns`);
  assert.deepEqual(await all(1, true), expected.toReversed());
  for (let nth = 0; nth < 50; nth++) putOne(store, `k1${nth}`, 'v', 3 + nth);
  const later = [...expected, 'k00000x', ...Array.from({ length: 50 }, (_, nth) => `k1${nth}`)];
  assert.deepEqual(await all(100, false), [...new Set(later)].sort());
  await store.close();
});
