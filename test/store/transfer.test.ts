import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import type { ExportedVersion, GroupStore, GroupStoreOptions } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { copyOf, install } from './copies.ts';
import { StoreModel } from './model.ts';

const ts = (value: number | bigint) => hlcTimestamp(BigInt(value));
const bytes = (text: string) => Buffer.from(text, 'latin1');
const NEVER = ts(0);
const LIMITS = { inlineBytes: 24, flushBytes: 2000, flushIntervalMs: 2, scanPageBytes: 300, cacheBytes: 4000 };
/** The range that travels. */
const START = bytes('k');
const END = bytes('p');
const isInside = (key: Buffer): boolean => Buffer.compare(START, key) <= 0 && Buffer.compare(key, END) < 0;
const counterClassOf = (key: Buffer): number => key[0]! % 2;

function simulated(levels = new SimulatedLevels()): GroupStoreOptions {
  const databases = { openLevel: levels.openLevel, folders: levels, disk: new MemoryDisk() };
  return { location: 'store', ...databases, limits: LIMITS, counterClassOf };
}

function unit(store: GroupStore, change: (writer: ReturnType<GroupStore['write']>) => void): void {
  const writer = store.write();
  change(writer);
  writer.commit(store.appliedIndex + 1);
}

const put = (store: GroupStore, key: string, value: string | Buffer, commitTs: number, expireTs = 0): void =>
  unit(store, (writer) => writer.put(bytes(key), Buffer.from(value), ts(commitTs), ts(expireTs)));

async function exported(store: GroupStore, maxBytes: number, start = START, end: Buffer | undefined = END) {
  const versions: ExportedVersion[] = [];
  let pages = 0;
  let from: { start: Buffer; after: ReturnType<typeof ts> | undefined } | undefined = { start, after: undefined };
  while (from !== undefined) {
    const page = await store.exportVersions({ ...from, end, maxBytes });
    assert.ok(page.next === undefined || page.versions.length > 0, 'a page that is not the last holds something');
    versions.push(...page.versions);
    from = page.next;
    pages++;
  }
  return { versions, pages };
}

function importAll(store: GroupStore, versions: readonly ExportedVersion[], versionsPerUnit: () => number): void {
  for (let at = 0; at < versions.length; ) {
    unit(store, (writer) => {
      for (let left = versionsPerUnit(); left > 0 && at < versions.length; left--, at++) {
        const { key, commitTs, expireTs, value } = versions[at]!;
        if (value === undefined) writer.delete(key, commitTs);
        else writer.put(key, value, commitTs, expireTs);
      }
    });
  }
}

const shown = (versions: readonly ExportedVersion[]): string[] =>
  versions.map(({ key, commitTs, value }) => `${key.toString('latin1')}@${commitTs}=${value?.toString() ?? 'gone'}`);

/** Random history of a few keys, in the store and in a model. */
async function randomHistory(
  store: GroupStore,
  random: SeededRandom,
  firstTs: number,
  units: number,
  isCollected = true,
) {
  const model = new StoreModel();
  const key = () => bytes('jklmnopq'[random.int(8)]! + 'ab'.slice(0, random.int(3)));
  let now = firstTs;
  for (let left = units; left > 0; left--) {
    now += 10;
    if (random.int(10) === 0) await store.flush();
    if (isCollected && random.int(15) === 0) {
      unit(store, (writer) => store.setGcThreshold(writer, ts(firstTs + random.int(now - firstTs))));
      if (random.int(2) === 0) await store.collectGarbage(1000);
    }
    unit(store, (writer) => {
      if (random.int(12) === 0) {
        const [start, end] = [key(), key()].sort(Buffer.compare) as [Buffer, Buffer];
        writer.deleteRange(start, end, ts(now - 1));
        model.deleteRange(start, end, BigInt(now - 1));
      }
      for (let keys = random.int(4); keys > 0; keys--) {
        const one = key();
        if (random.int(4) === 0) {
          writer.delete(one, ts(now));
          model.set(one, { commitTs: BigInt(now), expireTs: 0n, value: undefined });
          continue;
        }
        const value = random.bytes(random.int(60));
        const expireTs = random.int(3) === 0 ? BigInt(now + random.int(300)) : 0n;
        writer.put(one, value, ts(now), ts(expireTs));
        model.set(one, { commitTs: BigInt(now), expireTs, value });
      }
    });
  }
  return { model, now };
}

async function sameInRange(store: GroupStore, model: StoreModel, from: bigint, to: bigint): Promise<void> {
  for (let readTs = from; readTs <= to; readTs += 3n) {
    const page = await store.scan({ start: START, end: END, readTs: ts(readTs), limit: 1000 });
    let rows = page.rows;
    for (let next = page.next; next !== undefined; ) {
      const more = await store.scan({ start: next, end: END, readTs: ts(readTs), limit: 1000 });
      rows = [...rows, ...more.rows];
      next = more.next;
    }
    const expected = model.scan(START, END, readTs);
    assert.deepEqual(rows, expected, `scan at ${readTs}`);
    for (const row of expected) assert.deepEqual(await store.get(row.key, ts(readTs)), row);
  }
  for (const counterClass of [0, 1]) {
    const live = model.liveKeys((key) => isInside(key) && counterClassOf(key) === counterClass);
    assert.equal(await store.countRange(counterClass, START, END), live);
  }
  const expired = (await store.expired(ts(to), 1000)).filter(({ key }) => isInside(key));
  expired.sort((a, b) => Buffer.compare(a.key, b.key));
  assert.deepEqual(
    expired,
    model.expired(to).filter(({ key }) => isInside(key)),
  );
}

test('a range that was exported from one store reads the same in another one at every timestamp that can be asked for', async () => {
  const property = fc.asyncProperty(fc.integer(), async (seed) => {
    const random = new SeededRandom(seed >>> 0);
    const source = await openGroupStore(simulated());
    const { model, now } = await randomHistory(source, random, 1000, 80);
    const threshold = source.gcThreshold > 1000n ? source.gcThreshold : ts(1000);
    const { versions } = await exported(source, 1 + random.int(400));

    const options = simulated();
    let target = await openGroupStore(options);
    // A life before: other keys with higher timestamps, old rows of the range, range deletes across its borders.
    await randomHistory(target, random, 50_000, 40, random.int(2) === 0);
    unit(target, (writer) => writer.dropRange(START, END));
    if (random.int(2) === 0) await target.dropping(START, END);
    else {
      await target.close();
      target = await openGroupStore(options);
      await target.dropping(START, END);
    }
    await target.settleCounters();
    const before = [target.liveKeys(0), target.liveKeys(1)];
    importAll(target, versions, () => 1 + random.int(8));
    for (const counterClass of [0, 1]) {
      const live = model.liveKeys((key) => isInside(key) && counterClassOf(key) === counterClass);
      assert.equal(target.liveKeys(counterClass), before[counterClass]! + live, 'live keys');
    }
    // The target's own threshold is above what came, so only what a read there sees is promised; look below it too,
    // through the same doors that a transfer onwards would use.
    const again = await exported(target, 1 << 20);
    const targetThreshold = target.gcThreshold;
    if (targetThreshold === 0n) {
      await sameInRange(target, model, threshold, BigInt(now + 400));
      assert.deepEqual(shown(again.versions), shown(versions), 'what is exported again is what came');
    }
    await target.flush();
    unit(target, (writer) => target.setGcThreshold(writer, ts(now - 200)));
    const bottom = target.gcThreshold;
    while (!(await target.collectGarbage(1000)));
    await sameInRange(target, model, bottom > threshold ? bottom : threshold, BigInt(now + 400));
    await target.close();
    target = await openGroupStore(options);
    await sameInRange(target, model, bottom > threshold ? bottom : threshold, BigInt(now + 400));
    await target.close();
    await source.close();
  });
  await fc.assert(property, { numRuns: 20 });
});

test('a long history of one key is exported over many pages, oldest version first, nothing twice and nothing left out', async () => {
  const store = await openGroupStore(simulated());
  put(store, 'l', 'before', 1);
  for (let at = 1; at <= 900; at++)
    put(store, 'm', at % 7 === 0 ? Buffer.alloc(40, 0x30 + (at % 10)) : `${at}`, at * 2);
  unit(store, (writer) => writer.deleteRange(bytes('lz'), bytes('n'), ts(1801)));
  put(store, 'm', 'last', 1810);
  put(store, 'n', 'behind', 1820);
  const whole = await exported(store, 1 << 20);
  assert.equal(whole.pages, 1);
  assert.equal(whole.versions.length, 904);
  for (const maxBytes of [1, 50, 1000, 3000]) {
    const { versions, pages } = await exported(store, maxBytes);
    assert.deepEqual(shown(versions), shown(whole.versions), `pages of ${maxBytes}`);
    assert.ok(pages > 1);
  }
  unit(store, (writer) => store.setGcThreshold(writer, ts(1001)));
  const late = await exported(store, 100);
  assert.deepEqual(shown(late.versions).slice(0, 3), ['l@1=before', 'm@1000=500', 'm@1002=501']);
  await store.close();
});

test('a range delete is exported as a delete of each key that it hid, and of no other', async () => {
  const store = await openGroupStore(simulated());
  put(store, 'ka', '1', 10);
  put(store, 'kb', '1', 10 + 1);
  unit(store, (writer) => writer.delete(bytes('kb'), ts(15)));
  unit(store, (writer) => writer.deleteRange(bytes('k'), bytes('m'), ts(20)));
  unit(store, (writer) => writer.deleteRange(bytes('k'), bytes('m'), ts(30)));
  put(store, 'kc', '2', 40);
  const { versions } = await exported(store, 1 << 20);
  assert.deepEqual(shown(versions), ['ka@10=1', 'ka@20=gone', 'kb@11=1', 'kb@15=gone', 'kc@40=2']);
  assert.equal((await store.versionAt(bytes('ka'), ts(20)))?.isTombstone, true);
  unit(store, (writer) => store.setGcThreshold(writer, ts(25)));
  assert.deepEqual(shown((await exported(store, 1 << 20)).versions), ['kc@40=2']);
  await store.close();
});

test('a walk exports what was applied before it began, also one that another replica began', async () => {
  const store = await openGroupStore({ ...simulated(), limits: {} });
  for (const key of ['k1', 'k2', 'k3']) put(store, key, 'x', store.appliedIndex + 1);
  const first = await store.exportVersions({ start: START, end: END, after: undefined, maxBytes: 1 });
  assert.deepEqual(shown(first.versions), ['k1@1=x']);
  put(store, 'k25', 'later', 10);
  const theirs = await store.exportVersions({ start: bytes('k1x'), after: NEVER, end: END, maxBytes: 1 << 20 });
  assert.deepEqual(shown(theirs.versions).slice(0, 2), ['k2@2=x', 'k25@10=later']);
  await store.close();
});

test('what was dropped is gone for good, with what range deletes hid of it, and nothing else is', async () => {
  const levels = new SimulatedLevels();
  const options = simulated(levels);
  let store = await openGroupStore(options);
  for (const key of ['j', 'k', 'm', 'ozz', 'p']) put(store, key, 'a long value that lies in a row of its own', 10, 900);
  unit(store, (writer) => writer.deleteRange(bytes('a'), bytes('z'), ts(20)));
  for (const key of ['k', 'm', 'q']) put(store, key, 'second', 30, 900);
  await store.flush();
  unit(store, (writer) => writer.dropRange(START, END));
  assert.equal(store.latest(bytes('k')), undefined);
  assert.equal(store.dropping(bytes('a'), START), undefined);
  assert.ok(store.dropping(bytes('a'), bytes('kk')) !== undefined);
  assert.throws(() => put(store, 'k', 'too early', 50), { name: 'AssertionError' });
  await store.close();
  store = await openGroupStore(options);
  await store.dropping(START, undefined);
  assert.equal(store.dropping(EMPTY_START, undefined), undefined);
  const level = levels.beneath('store');
  await level.open();
  const kinds = new Map<string, number>();
  const rows = level.iterator({});
  for (const [rowKey] of await rows.nextv(1000)) {
    const kind = String.fromCharCode(rowKey[0]!);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  await rows.close();
  // Of j, p and q newest version and expiry are left, of j and p the long values, and both sides of the range delete.
  assert.deepEqual(Object.fromEntries(kinds), { L: 3, R: 2, S: 1, V: 2, X: 3 });
  put(store, 'm', 'from far away', 5);
  for (const after of ['at once', 'after a restart']) {
    assert.equal((await store.get(bytes('m'), ts(100)))?.value.toString(), 'from far away', after);
    assert.equal(store.latest(bytes('k')), undefined, after);
    assert.equal((await store.get(bytes('j'), ts(15)))?.commitTs, 10n, after);
    assert.equal(await store.get(bytes('j'), ts(25)), undefined, after);
    assert.equal(await store.get(bytes('p'), ts(25)), undefined, after);
    assert.deepEqual(
      (await store.expired(ts(1000), 10)).map(({ key }) => key.toString()),
      ['q'],
      after,
    );
    await store.settleCounters();
    assert.deepEqual([store.liveKeys(0), store.liveKeys(1)], [0, 2], after);
    await store.close();
    store = await openGroupStore(options);
  }
  await store.close();
});

const EMPTY_START = Buffer.alloc(0);

test('a crash at any batch of a drop leaves a store that goes on dropping, with exact counters', async () => {
  for (let crashAt = 0; ; crashAt++) {
    const levels = new SimulatedLevels();
    const options = simulated(levels);
    let store = await openGroupStore(options);
    for (let at = 0; at < 30; at++) put(store, `${'jkmnq'[at % 5]}${at}`, `${at}`, at + 1, at % 2 === 0 ? 500 : 0);
    unit(store, (writer) => writer.deleteRange(bytes('m'), bytes('o'), ts(40)));
    put(store, 'm', 'again', 50);
    await store.settleCounters();
    await store.flush();
    unit(store, (writer) => writer.dropRange(START, END));
    await store.flush();
    const index = store.appliedIndex;
    let batches = 0;
    levels.beforeBatch = async () => {
      if (batches++ >= crashAt) throw new Error('power is gone');
    };
    const isDone = await store.dropping(START, END)?.then(
      () => true,
      () => false,
    );
    await levels.crash(new SeededRandom(crashAt));
    levels.beforeBatch = async () => {};
    store = await openGroupStore(options);
    assert.equal(store.appliedIndex, index);
    await store.dropping(START, END);
    await store.settleCounters();
    // j and q were never in it: 12 keys, class by first letter.
    assert.deepEqual([store.liveKeys(0), store.liveKeys(1)], [6, 6], `crash at batch ${crashAt}`);
    assert.deepEqual((await exported(store, 1 << 20)).versions, []);
    assert.equal((await store.expired(ts(1000), 100)).length, 6);
    await store.close();
    if (isDone === true) break;
    assert.ok(crashAt < 20, 'a drop takes a few batches');
  }
});

test('a copy carries the ranges that are being dropped', async () => {
  const levels = new SimulatedLevels();
  const source = await openGroupStore(simulated(levels));
  for (const key of ['j', 'k', 'm', 'q']) put(source, key, 'x', source.appliedIndex + 1);
  await source.flush();
  unit(source, (writer) => writer.dropRange(START, END));
  // Nothing more reaches the source's disk, so the copy is taken in the middle.
  const copy = await copyOf(source);
  const target = await openGroupStore(simulated());
  put(target, 'l', 'to be replaced', 1);
  unit(target, (writer) => writer.dropRange(START, END));
  const waiting = target.dropping(START, END);
  await install(target, copy);
  await waiting;
  await target.dropping(START, END);
  await target.settleCounters();
  assert.deepEqual([target.liveKeys(0), target.liveKeys(1)], [1, 1]);
  assert.deepEqual((await exported(target, 1 << 20)).versions, []);
  assert.equal(await target.digest(), await source.digest());
  await source.close();
  await target.close();
});

test('a store that is closed before the keys of a drop and of later range deletes were counted counts them once', async () => {
  for (let turns = 0; turns < 10; turns++) {
    const options = simulated();
    let store = await openGroupStore(options);
    for (const key of ['j', 'k', 'm', 'q']) put(store, key, 'x', store.appliedIndex + 1);
    await store.flush();
    unit(store, (writer) => writer.dropRange(START, END));
    for (let turn = 0; turn < turns; turn++) await undefined;
    // Counted one after another: the last one's turn comes when the store is closing.
    for (let at = 50; at < 60; at++) unit(store, (writer) => writer.deleteRange(bytes('a'), bytes('c'), ts(at)));
    unit(store, (writer) => writer.deleteRange(bytes('a'), bytes('n'), ts(60)));
    await store.close();
    store = await openGroupStore(options);
    await store.dropping(START, END);
    await store.settleCounters();
    assert.deepEqual([store.liveKeys(0), store.liveKeys(1)], [0, 1], `after ${turns} turns`);
    await store.close();
  }
});

test('a pass of collection that saw a range before it was dropped takes nothing of it when it is back', async () => {
  const long = Buffer.alloc(100, 7);
  for (let turns = 0; turns < 9; turns++) {
    const store = await openGroupStore({ ...simulated(), limits: { inlineBytes: 24 } });
    for (const commitTs of [50, 60]) put(store, 'k', long, commitTs);
    unit(store, (writer) => {
      for (let at = 0; at < 800; at++) writer.put(bytes(`z${at}`), long, ts(70), NEVER);
      store.setGcThreshold(writer, ts(100));
    });
    await store.flush();
    let isOver = false;
    const collecting = (async () => {
      while (!isOver) {
        await store.collectGarbage(1000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let turn = 0; turn < turns; turn++) await (turn % 3 === 0 ? new Promise((r) => setImmediate(r)) : undefined);
    unit(store, (writer) => writer.dropRange(START, END));
    await store.dropping(START, END);
    put(store, 'k', long, 50);
    await store.flush();
    isOver = true;
    await collecting;
    assert.deepEqual((await store.get(bytes('k'), ts(100)))?.value, long, `after ${turns} turns`);
    await store.close();
  }
});

test('a range delete that was applied during an export is not exported without the versions before it', async () => {
  const seen = new Set<string>();
  for (let turns = 0; turns < 25; turns++) {
    const store = await openGroupStore(simulated());
    put(store, 'k', 'first', 10);
    const exporting = store.exportVersions({ start: START, end: END, after: undefined, maxBytes: 1 << 20 });
    for (let turn = 0; turn < turns; turn++) await undefined;
    put(store, 'k', 'second', 20);
    unit(store, (writer) => writer.deleteRange(START, END, ts(30)));
    seen.add(shown((await exporting).versions).join(' '));
    await store.close();
  }
  const [before, after] = ['k@10=first', 'k@10=first k@20=second k@30=gone'];
  assert.deepEqual([...seen].sort(), [before, after].sort());
});
