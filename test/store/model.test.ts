import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import { DataKeys } from '../../src/security/index.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { SealedLevels } from '../../src/store/sealed/index.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { StoreModel, sliceBytes } from './model.ts';

const SMALL_LIMITS = {
  inlineBytes: 24,
  flushBytes: 4096,
  flushIntervalMs: 3,
  holdMs: 2,
  scanPageBytes: 400,
  cacheBytes: 12_000,
  deadRunRows: 2,
};
const KEY_BYTES = [0, 0, 1, 0x61, 0x62, 0xff];

/** Class 0: keys that start with 0x61. Class 1: keys of even length, scattered over a range that no delete covers. */
const counterClassOf = (key: Buffer): number => (key[0] === 0x61 ? 0 : key.length % 2 === 0 ? 1 : -1);
const counterRangeOf = (counterClass: number) =>
  counterClass === 0
    ? { start: Buffer.from([0x61]), end: Buffer.from([0x62]) }
    : { start: Buffer.alloc(0), end: Buffer.from([0xff, 0xff, 0xff, 0xff]) };

function randomKey(random: SeededRandom): Buffer {
  return Buffer.from(Array.from({ length: random.int(4) }, () => KEY_BYTES[random.int(KEY_BYTES.length)]!));
}

/** One store beside its model, driven by random steps. */
class Scenario {
  private readonly random: SeededRandom;
  private readonly open: () => Promise<GroupStore>;
  private readonly crash: (() => Promise<void>) | undefined;
  /** False where closing a store loses everything. */
  private readonly isDurable: boolean;
  private store!: GroupStore;
  private model = new StoreModel();
  /** The model as of each applied index that may become the durable one. */
  private history = new Map<number, { model: StoreModel; threshold: bigint; meta: string; ts: bigint }>();
  private index = 0;
  private ts = 100n;
  private threshold = 0n;
  private meta = '';

  constructor(
    random: SeededRandom,
    open: () => Promise<GroupStore>,
    { crash, isDurable = true }: { crash?: () => Promise<void>; isDurable?: boolean } = {},
  ) {
    this.random = random;
    this.open = open;
    this.crash = crash;
    this.isDurable = isDurable;
  }

  async run(steps: number): Promise<void> {
    this.store = await this.open();
    this.remember();
    for (let step = 0; step < steps; step++) await this.step();
    await this.checkAll();
    await this.store.close();
  }

  private remember(): void {
    const { threshold, meta, ts } = this;
    this.history.set(this.index, { model: this.model.copy(), threshold, meta, ts });
  }

  private async step(): Promise<void> {
    const dice = this.random.int(100);
    if (dice < 59) this.writeUnit();
    else if (dice < 60) this.writeHot();
    else if (dice < 70) await this.checkScan();
    else if (dice < 80) await this.checkPoint();
    else if (dice < 84) await this.checkScanWhileWriting();
    else if (dice < 87) await this.store.flush();
    else if (dice < 92) await this.collectWhileWriting();
    else if (dice < 94) await this.checkAll();
    else if (dice < 96) await new Promise((resolve) => setImmediate(resolve));
    else if (dice < 98) await (this.isDurable ? this.reopen() : this.checkAll());
    else if (this.crash !== undefined) await this.crashAndReplay();
  }

  /** Two keys over and over: what a generation keeps of them goes while others of it are kept. */
  private writeHot(): void {
    const { random } = this;
    const hot = [randomKey(random), randomKey(random)] as const;
    for (let left = 20 + random.int(60); left > 0; left--) this.writeUnit(() => hot[random.int(2)]!);
  }

  private writeUnit(drawKey = () => randomKey(this.random)): void {
    const { random } = this;
    const writer = this.store.write();
    // Gaps leave room for the timestamp of a range delete below the unit's own.
    this.ts += BigInt(2 + random.int(3));
    const commitTs = hlcTimestamp(this.ts);
    if (random.int(12) === 0) {
      const [a, b] = [randomKey(random), randomKey(random)].sort(Buffer.compare);
      const [start, end] = random.int(3) === 0 ? [Buffer.alloc(0), Buffer.from([0xff, 0xff, 0xff])] : [a!, b!];
      writer.deleteRange(start, end, hlcTimestamp(this.ts - 1n));
      this.model.deleteRange(start, end, this.ts - 1n);
    }
    for (let left = random.int(6); left > 0; left--) {
      const key = drawKey();
      if (this.isDropping(key)) continue;
      if (random.int(4) === 0) {
        writer.delete(key, commitTs);
        this.model.set(key, { commitTs: this.ts, expireTs: 0n, value: undefined });
      } else {
        const value = random.bytes(random.int(3) === 0 ? 25 + random.int(100) : random.int(25));
        const expireTs = hlcTimestamp(random.int(3) === 0 ? this.ts + BigInt(random.int(60)) : 0n);
        writer.put(key, value, commitTs, expireTs);
        this.model.set(key, { commitTs: this.ts, expireTs, value });
      }
    }
    if (random.int(40) === 0) {
      const [start, end] = [randomKey(random), randomKey(random)].sort(Buffer.compare) as [Buffer, Buffer];
      writer.dropRange(start, end);
      this.model.dropRange(start, end);
    }
    this.index++;
    this.meta = `unit ${this.index}`;
    writer.setMeta('unit', Buffer.from(this.meta));
    if (random.int(15) === 0) {
      const span = this.ts - this.threshold;
      const threshold = this.threshold + BigInt(random.int(Number(span)));
      this.store.setGcThreshold(writer, hlcTimestamp(threshold));
      if (threshold > this.threshold) this.threshold = threshold;
    }
    writer.commit(this.index);
    this.remember();
  }

  private isDropping(key: Buffer): boolean {
    return this.store.dropping(key, Buffer.concat([key, Buffer.alloc(1)])) !== undefined;
  }

  /** After a crash the store may have less of the past than the threshold says, until that has come by again. */
  private get readableFrom(): bigint {
    const { readableFrom = 0n } = this.store;
    return larger(readableFrom, this.threshold);
  }

  private randomReadTs(): bigint {
    const from = this.readableFrom;
    const span = this.ts > from ? this.ts + 20n - from : 20n;
    return from + BigInt(this.random.int(Number(span)));
  }

  private async checkPoint(): Promise<void> {
    const key = randomKey(this.random);
    const readTs = this.randomReadTs();
    const expected = this.model.get(key, readTs);
    const promise = this.store.get(key, hlcTimestamp(readTs));
    if (this.random.int(2) === 0) this.writeUnit();
    assert.deepEqual(await promise, expected);
    this.checkLatest(key);
    const commitTs = this.randomReadTs() + 1n;
    const version = await this.store.versionAt(key, hlcTimestamp(commitTs));
    const valueAt = this.model.valueAt(key, commitTs);
    if (valueAt === null) assert.equal(version, undefined);
    else if (!this.isDropping(key))
      assert.deepEqual([version?.isTombstone, version?.value], [valueAt === undefined, valueAt ?? Buffer.alloc(0)]);
    const [start, end] = [randomKey(this.random), randomKey(this.random)].sort(Buffer.compare) as [Buffer, Buffer];
    const isInside = (one: Buffer) => Buffer.compare(start, one) <= 0 && Buffer.compare(one, end) < 0;
    const counted = this.model.liveKeys((one) => counterClassOf(one) === 1 && isInside(one));
    assert.equal(await this.store.countRange(1, start, end), counted);
  }

  private checkLatest(key: Buffer): void {
    if (this.isDropping(key)) return;
    const latest = this.store.latest(key);
    const expected = this.model.latest(key, this.threshold);
    assert.equal(latest?.commitTs, expected?.commitTs, `latest of ${key.toString('hex')}`);
    assert.equal(latest?.isTombstone, expected && expected.value === undefined);
    if (latest !== undefined && !latest.isTombstone) {
      assert.deepEqual(latest.value, expected?.value);
      assert.equal(latest.expireTs, expected?.expireTs);
    }
  }

  private async checkScan(isWriting = false): Promise<void> {
    const { random } = this;
    let [start, end] = [randomKey(random), randomKey(random)].sort(Buffer.compare) as [Buffer, Buffer];
    if (random.int(2) === 0) [start, end] = [Buffer.alloc(0), Buffer.from([0xff, 0xff, 0xff])];
    const readTs = this.randomReadTs();
    const reverse = random.int(2) === 0;
    const keysOnly = random.int(4) === 0;
    const expected = this.model.scan(start, end, readTs);
    if (reverse) expected.reverse();
    const limit = isWriting ? 10_000 : 1 + random.int(8);
    let pages = 0;
    const rows = [];
    for (;;) {
      const request = { start, end, readTs: hlcTimestamp(readTs), limit, reverse, keysOnly };
      const promise = this.store.scan(request);
      if (isWriting) for (let left = random.int(5); left > 0; left--) this.writeUnit();
      const page = await promise;
      assert.ok(page.rows.length <= limit);
      rows.push(...page.rows);
      if (isWriting || page.next === undefined) break;
      assert.ok(page.rows.length > 0, 'a page with a continuation makes progress');
      if (reverse) end = page.next;
      else start = page.next;
      assert.ok(++pages <= expected.length + 1);
    }
    const full = keysOnly ? expected.map((row) => ({ ...row, value: Buffer.alloc(0) })) : expected;
    // While writing only the first page is of the state at the call.
    assert.deepEqual(rows, isWriting ? full.slice(0, rows.length) : full);
  }

  private async collectWhileWriting(): Promise<void> {
    const { random } = this;
    let isOver = false;
    const collecting = this.store.collectGarbage(1000, sliceBytes(random)).finally(() => {
      isOver = true;
    });
    const flushes: Promise<void>[] = [];
    if (random.int(3) > 0) {
      for (let left = 60; left > 0 && !isOver; left--) {
        for (let turns = random.int(20); turns > 0; turns--) await undefined;
        await new Promise((resolve) => setImmediate(resolve));
        if (random.int(2) === 0) this.writeUnit();
        if (random.int(4) === 0) flushes.push(this.store.flush());
      }
    }
    await collecting;
    await Promise.all(flushes);
  }

  private checkScanWhileWriting(): Promise<void> {
    return this.checkScan(true);
  }

  private async checkAll(): Promise<void> {
    await this.store.settleCounters();
    for (const counterClass of [0, 1]) {
      const expected = this.model.liveKeys((key) => counterClassOf(key) === counterClass);
      assert.equal(this.store.liveKeys(counterClass), expected, `live keys of class ${counterClass}`);
    }
    assert.equal(this.store.gcThreshold, this.threshold);
    assert.equal(this.store.meta('unit')?.toString() ?? '', this.meta);
    assert.equal(this.store.appliedIndex, this.index);
    const newest = larger(this.ts, this.readableFrom);
    for (const readTs of [this.readableFrom, newest, this.randomReadTs()]) {
      const page = await this.store.scan({
        start: Buffer.alloc(0),
        end: Buffer.from([0xff, 0xff, 0xff, 0xff]),
        readTs: hlcTimestamp(readTs),
        limit: 1_000,
      });
      const expected = this.model.scan(Buffer.alloc(0), Buffer.from([0xff, 0xff, 0xff, 0xff]), readTs);
      assert.deepEqual(page.rows, expected.slice(0, page.rows.length));
      if (page.next === undefined) assert.equal(page.rows.length, expected.length);
    }
    for (let left = 20; left > 0; left--) this.checkLatest(randomKey(this.random));
    const expired = await this.store.expired(hlcTimestamp(this.ts), 10_000);
    expired.sort((a, b) => Buffer.compare(a.key, b.key));
    assert.deepEqual(expired, this.model.expired(this.ts));
    if (this.threshold > 0n) {
      await assert.rejects(this.store.get(Buffer.from('a'), hlcTimestamp(this.threshold - 1n)), {
        code: 'SNAPSHOT_TOO_OLD',
      });
    }
  }

  private async reopen(): Promise<void> {
    await this.store.close();
    this.store = await this.open();
    assert.equal(this.store.appliedIndex, this.index);
    await this.checkAll();
  }

  private async crashAndReplay(): Promise<void> {
    const promised = this.store.durableIndex;
    const isFlushing = this.random.int(2) === 0;
    const flushing = isFlushing ? this.store.flush().catch(() => {}) : undefined;
    const collecting = this.random.int(2) === 0 ? this.store.collectGarbage(1000).catch(() => {}) : undefined;
    for (let turns = this.random.int(12); turns > 0; turns--) await undefined;
    await this.crash!();
    await flushing;
    await collecting;
    this.store = await this.open();
    assert.ok(this.store.appliedIndex >= promised, 'what was durable is still there');
    assert.equal(this.store.durableIndex, this.store.appliedIndex);
    const before = this.history.get(this.store.appliedIndex)!;
    this.index = this.store.appliedIndex;
    this.model = before.model.copy();
    this.threshold = before.threshold;
    this.meta = before.meta;
    this.ts = before.ts;
    await this.checkAll();
  }
}

function larger(one: bigint, other: bigint): bigint {
  if (one < other) return other;
  return one;
}

const firstSeed = Number(process.env.STORE_SEED ?? 1);
const seedCount = Number(process.env.STORE_SEEDS ?? 30);

test('a store on simulated LevelDB answers like the model through flushes, collection, crashes and restarts', async () => {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const random = new SeededRandom(seed);
    const levels = new SimulatedLevels();
    const { openLevel } = levels;
    // A batch takes a while, so that reads and writes fall into it.
    levels.beforeBatch = async () => {
      for (let turns = random.int(8); turns > 0; turns--) await undefined;
    };
    const options = {
      location: 'store',
      openLevel,
      folders: levels,
      // Half of them collect until somebody needs all on disk.
      limits: { ...SMALL_LIMITS, ...(seed % 2 === 0 ? { gatherMs: 0 } : {}) },
      counterClassOf,
      counterRangeOf,
    };
    try {
      await new Scenario(random, () => openGroupStore(options), { crash: () => levels.crash(random) }).run(250);
    } catch (error) {
      throw new Error(`seed ${seed} (STORE_SEED=${seed} STORE_SEEDS=1)`, { cause: error });
    }
  }
});

test('a store that becomes encrypted, under one key after another, answers like the model all the while', async () => {
  for (let seed = firstSeed; seed < firstSeed + Math.ceil(seedCount / 10); seed++) {
    const random = new SeededRandom(seed);
    const levels = new SimulatedLevels();
    levels.beforeBatch = async () => {
      for (let turns = random.int(8); turns > 0; turns--) await undefined;
    };
    let opened = 0;
    const open = async (): Promise<GroupStore> => {
      // The first process has no keys, and each third one has a new one.
      const newest = Math.ceil(opened++ / 3);
      const listed = Array.from({ length: newest }, (_, at) => ({ id: at + 1, key: Buffer.alloc(32, at + 1) }));
      const sealed =
        newest === 0 ? undefined : new SealedLevels({ keys: new DataKeys(listed, random), allowsClear: () => true });
      const store = await openGroupStore({
        location: 'store',
        openLevel: sealed?.over(levels.openLevel) ?? levels.openLevel,
        folders: levels,
        limits: SMALL_LIMITS,
        counterClassOf,
        counterRangeOf,
      });
      if (sealed !== undefined) void moveAll(sealed);
      return store;
    };
    try {
      await new Scenario(random, open, { crash: () => levels.crash(random) }).run(250);
    } catch (error) {
      throw new Error(`seed ${seed} (STORE_SEED=${seed} STORE_SEEDS=1)`, { cause: error });
    }
  }
});

/** Moves rows for as long as the process lives. */
async function moveAll(sealed: SealedLevels): Promise<void> {
  for (;;) {
    for (const level of sealed.opened) {
      try {
        await level.move();
      } catch {
        return;
      }
    }
    await new Promise(setImmediate);
    if ([...sealed.opened].every((level) => level.isSettled)) return;
  }
}

test('a store on LevelDB answers like the model through flushes, collection and restarts', async () => {
  for (let seed = firstSeed; seed < firstSeed + Math.ceil(seedCount / 10); seed++) {
    const folder = await mkdtemp(join(tmpdir(), 'kvorum-store-'));
    try {
      const options = { location: join(folder, 'store'), limits: SMALL_LIMITS, counterClassOf, counterRangeOf };
      await new Scenario(new SeededRandom(seed), () => openGroupStore(options)).run(250);
    } catch (error) {
      throw new Error(`seed ${seed} (STORE_SEED=${seed} STORE_SEEDS=1)`, { cause: error });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
});

test('a store in memory answers like the model through collection', async () => {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    try {
      const open = async (): Promise<GroupStore> => new MemoryStore({ counterClassOf });
      await new Scenario(new SeededRandom(seed), open, { isDurable: false }).run(250);
    } catch (error) {
      throw new Error(`seed ${seed} (STORE_SEED=${seed} STORE_SEEDS=1)`, { cause: error });
    }
  }
});
