/**
 * Objects of many rows in a store: what a head does not name any more goes by itself, and not before nobody can read it. A head is two
 * bytes, `o` and a letter; a row behind it goes on with a kind, two bytes of incarnation and a letter.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type HlcTimestamp, hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import type { BodyRules, GroupStore, StoreRow } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { copyOf, install } from './copies.ts';
import { sliceBytes } from './model.ts';

const HEAD_BYTES = 2;
const ALL = { start: Buffer.alloc(0), end: Buffer.from([0xff]) };
const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));

const bodies: BodyRules = {
  bodyOf: (key) =>
    key[0] === 0x6f && key.length >= HEAD_BYTES + 3
      ? {
          headLength: HEAD_BYTES,
          prefixLength: HEAD_BYTES + 3,
          incarnation: key.subarray(HEAD_BYTES + 1, HEAD_BYTES + 3),
        }
      : undefined,
  incarnationIn: (_head, value) => (value[0] === 0x4c ? value.subarray(1, 3) : undefined),
};

const incarnationOf = (number: number): Buffer => Buffer.from([number >> 8, number & 0xff]);
const headKey = (letter: string): Buffer => Buffer.from(`o${letter}`);
/** @param filler makes values longer than what lies in the row of the newest version */
const headValue = (number: number, filler = 0): Buffer =>
  Buffer.concat([Buffer.from('L'), incarnationOf(number), Buffer.alloc(filler, 0x2e)]);
const rowKey = (letter: string, number: number, name: string): Buffer =>
  Buffer.concat([headKey(letter), Buffer.from('e'), incarnationOf(number), Buffer.from(name)]);

type Change =
  | { readonly kind: 'put'; readonly key: Buffer; readonly value: Buffer; readonly expireTs: number }
  | { readonly kind: 'delete'; readonly key: Buffer }
  | { readonly kind: 'deleteRange'; readonly start: Buffer; readonly end: Buffer };

interface Entry {
  readonly at: number;
  readonly changes: readonly Change[];
  readonly threshold: number;
}

function write(store: GroupStore, { at, changes, threshold }: Entry): void {
  const writer = store.write();
  for (const change of changes) {
    if (change.kind === 'put') writer.put(change.key, change.value, ts(at), ts(change.expireTs));
    else if (change.kind === 'delete') writer.delete(change.key, ts(at));
    else writer.deleteRange(change.start, change.end, ts(at - 1));
  }
  if (threshold > 0) store.setGcThreshold(writer, ts(threshold));
  writer.commit(store.appliedIndex + 1);
}

const put = (key: Buffer, value: Buffer, expireTs = 0): Change => ({ kind: 'put', key, value, expireTs });

/** Objects as whoever uses them would have them, and the entries that make them so. */
class Objects {
  readonly entries: Entry[] = [];
  /** What an object holds after each entry: its rows, when it expires. */
  readonly states: {
    readonly at: number;
    readonly objects: ReadonlyMap<string, { readonly rows: ReadonlyMap<string, string>; readonly expireTs: number }>;
  }[] = [];
  private readonly random: SeededRandom;
  private objects = new Map<string, { number: number; rows: Map<string, string>; expireTs: number; filler: number }>();
  private at = 100;
  private threshold = 0;
  private numbers = 0;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  get now(): number {
    return this.at;
  }

  step(): void {
    const { random } = this;
    this.at += 2 + random.int(4);
    for (const [letter, { expireTs }] of this.objects) {
      if (expireTs !== 0 && expireTs <= this.at) this.objects.delete(letter);
    }
    const changes: Change[] = [];
    if (random.int(40) === 0) {
      this.objects.clear();
      changes.push({ kind: 'deleteRange', start: Buffer.from('o'), end: Buffer.from('p') });
    }
    for (const letter of ['a', 'b', 'c']) if (random.int(2) === 0) this.change(letter, changes);
    let threshold = 0;
    if (random.int(12) === 0) {
      threshold = this.threshold + random.int(this.at - this.threshold);
      this.threshold = threshold;
    }
    this.entries.push({ at: this.at, changes, threshold });
    const objects = [...this.objects].map(
      ([letter, { rows, expireTs }]) => [letter, { rows: new Map(rows), expireTs }] as const,
    );
    this.states.push({ at: this.at, objects: new Map(objects) });
  }

  private change(letter: string, changes: Change[]): void {
    const { random } = this;
    const object = this.objects.get(letter);
    const dice = random.int(10);
    if (object === undefined || dice === 0) this.create(letter, changes);
    else if (dice <= 4) {
      const name = String.fromCharCode(0x61 + random.int(6));
      if (random.int(3) === 0) {
        object.rows.delete(name);
        changes.push({ kind: 'delete', key: rowKey(letter, object.number, name) });
      } else this.putRow(letter, object, name, changes);
      if (random.int(2) === 0)
        changes.push(put(headKey(letter), headValue(object.number, object.filler), object.expireTs));
    } else if (dice <= 6) {
      this.objects.delete(letter);
      changes.push({ kind: 'delete', key: headKey(letter) });
    } else if (dice === 7) {
      // Another kind of object in its place.
      this.objects.delete(letter);
      changes.push(put(headKey(letter), Buffer.from('S')));
    } else {
      object.expireTs = random.int(3) === 0 ? 0 : this.at + 1 + random.int(60);
      changes.push(put(headKey(letter), headValue(object.number, object.filler), object.expireTs));
    }
  }

  private create(letter: string, changes: Change[]): void {
    const object = { number: ++this.numbers, rows: new Map<string, string>(), expireTs: 0, filler: 0 };
    if (this.random.int(3) === 0) object.filler = 40;
    this.objects.set(letter, object);
    for (let left = 1 + this.random.int(5); left > 0; left--) {
      this.putRow(letter, object, String.fromCharCode(0x61 + this.random.int(6)), changes);
    }
    changes.push(put(headKey(letter), headValue(object.number, object.filler)));
  }

  private putRow(
    letter: string,
    object: { readonly number: number; readonly rows: Map<string, string> },
    name: string,
    changes: Change[],
  ): void {
    const value = `${this.at}${'.'.repeat(this.random.int(2) * 30)}`;
    object.rows.set(name, value);
    changes.push(put(rowKey(letter, object.number, name), Buffer.from(value)));
  }
}

/** All objects at a timestamp, read as one would: the head first. */
async function objectsAt(store: GroupStore, readTs: HlcTimestamp): Promise<Map<string, Map<string, string>>> {
  const found = new Map<string, Map<string, string>>();
  for (const letter of ['a', 'b', 'c']) {
    const head = await store.get(headKey(letter), readTs);
    const incarnation = head && bodies.incarnationIn(head.key, head.value);
    if (incarnation === undefined) continue;
    const start = Buffer.concat([headKey(letter), Buffer.from('e'), incarnation]);
    const end = Buffer.concat([start, Buffer.from([0xff])]);
    const { rows } = await store.scan({ start, end, readTs, limit: 1000 });
    found.set(letter, new Map(rows.map(({ key, value }) => [key.subarray(start.length).toString(), value.toString()])));
  }
  return found;
}

function expectedAt(objects: Objects, at: number): Map<string, Map<string, string>> {
  const state = objects.states.findLast((one) => one.at <= at);
  const live = [...(state?.objects ?? [])].filter(([, { expireTs }]) => expireTs === 0 || expireTs > at);
  return new Map(live.map(([letter, { rows }]) => [letter, new Map(rows)]));
}

async function checkReads(store: GroupStore, objects: Objects, random: SeededRandom): Promise<void> {
  const threshold = Number(store.gcThreshold);
  for (const at of [threshold, objects.now, threshold + random.int(objects.now - threshold + 1)]) {
    // A range delete lies just below its entry, so between two entries nothing is what it was after one.
    if (at === 0 || !objects.states.some((state) => state.at === at)) continue;
    assert.deepEqual(await objectsAt(store, ts(at)), expectedAt(objects, at), `objects at ${at}`);
  }
}

async function collect(store: GroupStore): Promise<void> {
  while (!(await store.collectGarbage(1000)));
}

const everything = async (store: GroupStore, readTs: HlcTimestamp): Promise<readonly StoreRow[]> =>
  (await store.scan({ ...ALL, readTs, limit: 100_000 })).rows;

const LIMITS = { inlineBytes: 24, flushBytes: 2048, flushIntervalMs: 3 };
const simulated = () => {
  const levels = new SimulatedLevels();
  return {
    levels,
    open: () =>
      openGroupStore({
        location: 'store',
        openLevel: levels.openLevel,
        folders: levels,
        disk: new MemoryDisk(),
        limits: LIMITS,
        bodies,
      }),
  };
};

const firstSeed = Number(process.env.STORE_SEED ?? 1);
const seedCount = Number(process.env.STORE_SEEDS ?? 25);

async function withSeeds(run: (random: SeededRandom) => Promise<void>): Promise<void> {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    try {
      await run(new SeededRandom(seed));
    } catch (error) {
      throw new Error(`seed ${seed} (STORE_SEED=${seed} STORE_SEEDS=1)`, { cause: error });
    }
  }
}

describe('objects of many rows', () => {
  test('are read as they were at every timestamp that is left, and replicas agree, whoever collects and crashes when', async () => {
    await withSeeds(async (random) => {
      const objects = new Objects(random);
      // One collects all the time, one now and then a slice and crashes, one never.
      const [busy, crashing, idle] = [simulated(), simulated(), simulated()];
      const stores = [await busy.open(), await crashing.open(), await idle.open()];
      for (let step = 0; step < 120; step++) {
        objects.step();
        for (const store of stores) write(store, objects.entries.at(-1)!);
        if (random.int(3) === 0) await stores[0]!.collectGarbage(1000, sliceBytes(random));
        if (random.int(8) === 0) await stores[1]!.collectGarbage(1000, 1);
        if (random.int(10) === 0) await stores[1]!.flush();
        if (random.int(15) === 0) {
          const collecting = stores[1]!.collectGarbage(1000, sliceBytes(random)).catch(() => {});
          for (let turns = random.int(40); turns > 0; turns--) await undefined;
          await crashing.levels.crash(random);
          await collecting;
          stores[1] = await crashing.open();
          for (const entry of objects.entries.slice(stores[1].appliedIndex)) write(stores[1], entry);
        }
        if (random.int(4) === 0) for (const store of stores) await checkReads(store, objects, random);
        if (random.int(4) !== 0) continue;
        const [one, ...others] = await Promise.all(stores.map((store) => store.digest()));
        for (const other of others) assert.equal(other, one, `step ${step}`);
      }
      for (const store of stores) await store.close();
    });
  });

  test('leave nothing behind: after a pass every row is a head, or of a body that a head names', async () => {
    await withSeeds(async (random) => {
      const objects = new Objects(random);
      for (const open of [simulated().open, async (): Promise<GroupStore> => new MemoryStore({ bodies })]) {
        const store = await open();
        const isFirst = objects.entries.length === 0;
        if (isFirst) for (let step = 0; step < 100; step++) objects.step();
        for (const entry of objects.entries) write(store, entry);
        write(store, { at: objects.now + 1, changes: [], threshold: objects.now });
        await collect(store);
        await store.flush();
        const readTs = ts(objects.now + 1);
        const expected = expectedAt(objects, objects.now + 1);
        const left = (await everything(store, readTs)).filter(({ key }) => bodies.bodyOf(key) !== undefined);
        const reachable = [...expected.values()].reduce((sum, rows) => sum + rows.size, 0);
        assert.equal(left.length, reachable);
        assert.equal(store.pressures?.().lastPass?.unreachableBytes ?? 0, 0);
        await store.close();
      }
    });
  });

  test('come whole with a copy, which collects like its source', async () => {
    await withSeeds(async (random) => {
      const objects = new Objects(random);
      const [source, target] = [await simulated().open(), await simulated().open()];
      for (let step = 0; step < 60; step++) {
        objects.step();
        write(source, objects.entries.at(-1)!);
        if (random.int(5) === 0) await source.collectGarbage(1000, sliceBytes(random));
      }
      await install(target, await copyOf(source));
      assert.equal(await target.digest(), await source.digest());
      for (const store of [source, target]) {
        write(store, { at: objects.now + 1, changes: [], threshold: objects.now });
        if (store === target) await collect(target);
      }
      assert.equal(await target.digest(), await source.digest());
      await checkReads(target, objects, random);
      for (const store of [source, target]) await store.close();
    });
  });

  test('move without what no read can see', async () => {
    await withSeeds(async (random) => {
      const objects = new Objects(random);
      const source = await simulated().open();
      for (let step = 0; step < 80; step++) {
        objects.step();
        write(source, objects.entries.at(-1)!);
        if (random.int(9) === 0) await source.collectGarbage(1000, sliceBytes(random));
      }
      const target = await simulated().open();
      let next: { start: Buffer; after: HlcTimestamp | undefined } | undefined = { start: ALL.start, after: undefined };
      const threshold = source.gcThreshold;
      while (next !== undefined) {
        const page: Awaited<ReturnType<GroupStore['exportVersions']>> = await source.exportVersions({
          ...next,
          end: undefined,
          maxBytes: 1 + random.int(400),
        });
        const writer = target.write();
        for (const { key, commitTs, expireTs, value } of page.versions) {
          if (value === undefined) writer.delete(key, commitTs);
          else writer.put(key, value, commitTs, expireTs);
        }
        if (next.after === undefined && target.appliedIndex === 0) target.setGcThreshold(writer, threshold);
        writer.commit(target.appliedIndex + 1);
        next = page.next;
      }
      for (let times = 0; times < 4; times++) await checkReads(target, objects, random);
      // What of a body lies at or below the threshold is named by a head that a read there or above sees.
      const before = (await everything(target, threshold === 0n ? ts(1) : threshold)).length;
      await collect(target);
      assert.equal((await everything(target, threshold === 0n ? ts(1) : threshold)).length, before);
      for (const store of [source, target]) await store.close();
    });
  });

  test('that were deleted count as bytes that wait for the retention, until they go', async () => {
    const store = await simulated().open();
    const rows = ['a', 'b', 'c', 'd'].map((name) => put(rowKey('a', 1, name), Buffer.alloc(20, 1)));
    write(store, { at: 10, changes: [...rows, put(headKey('a'), headValue(1))], threshold: 0 });
    write(store, { at: 20, changes: [{ kind: 'delete', key: headKey('a') }], threshold: 15 });
    await collect(store);
    const { lastPass, overhangBytes } = store.pressures!();
    assert.ok(lastPass!.unreachableBytes > 80 && overhangBytes > lastPass!.unreachableBytes);
    assert.equal((await everything(store, ts(15))).length, 5, 'they are read until then');
    write(store, { at: 30, changes: [], threshold: 25 });
    await collect(store);
    const after = store.pressures!();
    assert.equal(after.lastPass!.unreachableBytes, 0);
    assert.equal(after.lastPass!.droppedVersions, 5, 'four rows and what the head was');
    assert.deepEqual(await everything(store, ts(30)), []);
    await store.close();
  });

  test('have the history of all of their rows when a pass says which keys have most', async () => {
    const store = await simulated().open();
    let at = 10;
    for (let round = 0; round < 40; round++) {
      const rows = ['x', 'y'].map((name) => put(rowKey('a', 1, name), Buffer.from(`${round}`)));
      write(store, {
        at: ++at,
        changes: [...rows, put(headKey('a'), headValue(1)), put(headKey('b'), headValue(2))],
        threshold: 0,
      });
    }
    write(store, { at: ++at, changes: [], threshold: 5 });
    await collect(store);
    const { topKeys } = store.pressures!().lastPass!;
    assert.deepEqual(
      topKeys.map(({ key, versions }) => [key, versions]),
      [[headKey('a'), 3 * 39]],
      'a row by itself would not be named',
    );
    await store.close();
  });

  test('of a stretch longer than a slice are collected slice by slice, each with a look at the head', async () => {
    const store = await simulated().open();
    const names = Array.from({ length: 300 }, (_, at) => String(at).padStart(3, '0'));
    const filled = (number: number): Change[] => names.map((name) => put(rowKey('a', number, name), Buffer.from('v')));
    write(store, { at: 10, changes: [...filled(1), put(headKey('a'), headValue(1))], threshold: 0 });
    write(store, { at: 20, changes: [...filled(2), put(headKey('a'), headValue(2))], threshold: 30 });
    let slices = 1;
    for (; !(await store.collectGarbage(1000, 500)); slices++) {
      assert.equal((await objectsAt(store, ts(30))).get('a')?.size, 300);
    }
    assert.ok(slices > 20, `${slices} slices`);
    assert.equal((await everything(store, ts(40))).length, 301);
    await store.close();
  });

  test('that expire are gone at the threshold although their head still counts as a key', async () => {
    const store = await simulated().open();
    write(store, {
      at: 10,
      changes: [put(rowKey('a', 1, 'x'), Buffer.from('v')), put(headKey('a'), headValue(1, 40), 25)],
      threshold: 0,
    });
    write(store, { at: 30, changes: [], threshold: 24 });
    await collect(store);
    assert.equal((await objectsAt(store, ts(24))).get('a')?.get('x'), 'v');
    write(store, { at: 40, changes: [], threshold: 25 });
    await collect(store);
    assert.equal(store.latest(rowKey('a', 1, 'x')), undefined);
    assert.equal(store.latest(headKey('a'))?.commitTs, 10n);
    await store.close();
  });

  test('are lost with a head that a range delete has taken, at the same moment for everybody', async () => {
    const stores = [await simulated().open(), await simulated().open()];
    for (const store of stores) {
      const [head, row] = [headKey('a'), rowKey('a', 1, 'x')];
      write(store, { at: 10, changes: [put(row, Buffer.from('v')), put(head, headValue(1))], threshold: 0 });
      write(store, { at: 20, changes: [{ kind: 'deleteRange', start: head, end: row }], threshold: 18 });
      await collect(store);
      assert.notEqual(store.latest(row), undefined);
      write(store, { at: 30, changes: [], threshold: 25 });
    }
    await collect(stores[0]!);
    assert.equal(stores[0]!.latest(rowKey('a', 1, 'x')), undefined);
    assert.equal(await stores[0]!.digest(), await stores[1]!.digest());
    for (const store of stores) await store.close();
  });
});
