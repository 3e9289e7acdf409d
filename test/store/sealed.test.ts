import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  hlcTimestamp,
  NEVER,
  type Random,
  SeededRandom,
  SystemDisk,
  SystemRandom,
  SystemScheduler,
} from '../../src/platform/index.ts';
import { type DataKeys, SealedDisk } from '../../src/security/index.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import type { Level, LevelChain, LevelIterator, LevelOperation, LevelSnapshot } from '../../src/store/level/index.ts';
import { openClassicLevel } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { RowKind } from '../../src/store/rows/index.ts';
import { HiddenNames } from '../../src/store/sealed/hidden-names.ts';
import { SealedLevel, SealedLevels } from '../../src/store/sealed/index.ts';
import { CutThread } from '../../src/store/segments/cut-thread.ts';
import { UsedNonces, WatchedKeys } from '../support/watched-keys.ts';

const keysOf = (random: Random, ...ids: number[]): DataKeys => watchedKeysOf(new UsedNonces(), random, ...ids);

const watchedKeysOf = (used: UsedNonces, random: Random, ...ids: number[]): DataKeys =>
  new WatchedKeys(
    ids.map((id) => ({ id, key: Buffer.alloc(32, id) })),
    random,
    used,
  );
const KINDS = Object.values(RowKind);

/** Everything between bounds, in whatever pieces it comes. */
async function rowsOf(level: Level, options: Parameters<Level['iterator']>[0], size: number): Promise<string[]> {
  const iterator = level.iterator(options);
  const rows: string[] = [];
  for (;;) {
    const page = await iterator.nextv(size);
    if (page.length === 0) break;
    for (const [key, value] of page) rows.push(`${key.toString('hex')}=${value}`);
  }
  await iterator.close();
  return rows;
}

/** Keys of all shapes: many that begin alike, some that are the beginning of others, long ones. */
function randomKey(random: SeededRandom): Buffer {
  const kind = Buffer.from([KINDS[random.int(KINDS.length)]!]);
  const shape = random.int(4);
  if (shape === 0) return Buffer.concat([kind, Buffer.from(`user:${random.int(3000)}`)]);
  if (shape === 1) return Buffer.concat([kind, Buffer.alloc(40, 'long'), random.bytes(1 + random.int(2))]);
  return Buffer.concat([
    kind,
    Buffer.from(Array.from({ length: random.int(6) }, () => [0, 1, 0x61, 0xff][random.int(4)]!)),
  ]);
}

/** Random use of an encrypted database beside one in clear that does the same. */
async function compare(
  seed: number,
  prepare: (levels: SimulatedLevels) => Promise<void>,
  isMoving: boolean,
): Promise<void> {
  const random = new SeededRandom(seed);
  const levels = new SimulatedLevels();
  await prepare(levels);
  const keys = keysOf(random, 1);
  const plain = new SimulatedLevels().openLevel('plain');
  await plain.open();
  const sealed = new SealedLevel(levels.openLevel('store'), 'store', { keys, allowsClear: () => true });
  await sealed.open();
  for (const row of await rowsOf(sealed, {}, 100)) {
    const [key = '', value = ''] = row.split('=');
    await plain.batch([{ type: 'put', key: Buffer.from(key, 'hex'), value: Buffer.from(value) }], { sync: true });
  }
  let used = 1;
  for (let step = 0; step < 50; step++) {
    const operations = Array.from({ length: random.int(20) }, (): LevelOperation => {
      const key = randomKey(random);
      return random.int(4) === 0 ? { type: 'del', key } : { type: 'put', key, value: Buffer.from(String(step)) };
    });
    const half = operations.length >> 1;
    await plain.batch(operations, { sync: true });
    const chain = sealed.chain();
    for (const one of operations.slice(0, half))
      one.type === 'put' ? chain.put(one.key, one.value) : chain.del(one.key);
    const moving = isMoving ? sealed.move() : undefined;
    await chain.write({ sync: true });
    await sealed.batch(operations.slice(half), { sync: true });
    await moving;
    if (isMoving && sealed.isSettled && used < 4) keys.add({ id: ++used, key: Buffer.alloc(32, used) });
    const probe = randomKey(random);
    assert.deepEqual(sealed.getSync(probe), plain.getSync(probe));
    const bounds = [randomKey(random), randomKey(random)].sort(Buffer.compare);
    const options = {
      ...(random.int(4) === 0 ? {} : { gte: bounds[0]! }),
      ...(random.int(4) === 0 ? {} : { lt: bounds[1]! }),
      ...(random.int(3) === 0 ? { limit: 1 + random.int(30) } : {}),
      reverse: random.int(2) === 0,
    };
    const snapshots = [plain.snapshot(), sealed.snapshot()] as const;
    const size = 1 + random.int(50);
    const expected = await rowsOf(plain, { ...options, snapshot: snapshots[0] }, size);
    assert.deepEqual(await rowsOf(sealed, { ...options, snapshot: snapshots[1] }, size), expected, `step ${step}`);
    assert.deepEqual(await rowsOf(sealed, options, size), expected);
  }
}

describe('an encrypted database', () => {
  test('answers as one in clear does, in both directions and between any bounds', async () => {
    for (let seed = 0; seed < 2; seed++) await compare(seed, async () => {}, false);
  });

  test('answers so too while its rows come from clear, and go from key to key', async () => {
    for (let seed = 0; seed < 2; seed++) {
      const fill = async (levels: SimulatedLevels): Promise<void> => {
        const random = new SeededRandom(seed + 100);
        const clear = levels.openLevel('store');
        await clear.open();
        for (let at = 0; at < 500; at++) {
          await clear.batch([{ type: 'put', key: randomKey(random), value: Buffer.from('old') }], { sync: true });
        }
        await clear.close();
      };
      await compare(seed, fill, true);
    }
  });

  test('shows each snapshot all of its rows, whatever is learned and written while it is read', async () => {
    for (let seed = 0; seed < 2; seed++) {
      const random = new SeededRandom(seed);
      const open = async (level: Level): Promise<Level> => {
        await level.open();
        return level;
      };
      const options = { keys: keysOf(random, 1), allowsClear: () => false };
      const levels = await Promise.all([
        open(new SimulatedLevels().openLevel('plain')),
        open(new SealedLevel(new SimulatedLevels().openLevel('store'), 'store', options)),
      ]);
      // Beginnings that nearly all keys share, until one comes that does not; bytes behind them that come and go.
      const live = new Set<string>();
      const shared = random.int(3);
      const key = (): Buffer => {
        const length = random.int(30) === 0 ? random.int(9) : [2, 8, 8, 8][(shared + random.int(2)) % 4]!;
        const bytes = [random.int(256), random.int(2)].slice(random.int(12) === 0 ? 1 : 0);
        return Buffer.concat([Buffer.from('Lbeginning'.slice(0, 2 + length)), Buffer.from(bytes)]);
      };
      const change = (chains: readonly LevelChain[], step: number): void => {
        const isEmptying = step % 12 > 8;
        for (let at = random.int(30); at > 0; at--) {
          const names = [...live];
          const isDelete = isEmptying || random.int(4) === 0;
          const name = isDelete ? Buffer.from(names[random.int(names.length || 1)] ?? 'L', 'latin1') : key();
          if (isDelete) live.delete(name.toString('latin1'));
          else live.add(name.toString('latin1'));
          for (const chain of chains) isDelete ? chain.del(name) : chain.put(name, Buffer.from(String(step)));
        }
      };
      type Held = { readonly snapshot: LevelSnapshot; readonly iterator: LevelIterator; rows: string[] };
      const held: Held[][] = [];
      let chains: LevelChain[] = [];
      for (let step = 0; step < 200; step++) {
        if (chains.length === 0) chains = levels.map((level) => level.chain());
        change(chains, step);
        if (random.int(2) === 0) {
          await Promise.all(chains.map((chain) => chain.write({ sync: false })));
          chains = [];
        }
        if (random.int(2) === 0) {
          const bounds = random.int(2) === 0 ? {} : { gte: key(), lt: Buffer.from('M') };
          const reverse = random.int(2) === 0;
          held.push(
            levels.map((level) => {
              const snapshot = level.snapshot();
              return { snapshot, iterator: level.iterator({ ...bounds, reverse, snapshot }), rows: [] };
            }),
          );
        }
        const reading = held[random.int(held.length || 1)];
        if (reading === undefined) continue;
        let isOver = false;
        for (const one of reading) {
          const size = one === reading[0] ? 1_000 : 1 + random.int(40);
          const page = await one.iterator.nextv(size);
          one.rows.push(...page.map(([name, value]) => `${name}=${value}`));
          isOver = page.length === 0;
        }
        if (!isOver) continue;
        held.splice(held.indexOf(reading), 1);
        assert.deepEqual(reading[1]!.rows, reading[0]!.rows, `seed ${seed}, step ${step}`);
        for (const { iterator } of reading) await iterator.close();
      }
    }
  });

  test('forgets no row of an older snapshot, of a batch under way, or beside a beginning that all others shared', async () => {
    /** A database in which many rows begin with `beginning`. */
    const openWith = async (beginning: string): Promise<SealedLevel> => {
      const level = new SealedLevel(new SimulatedLevels().openLevel('store'), 'store', {
        keys: keysOf(new SeededRandom(4), 1),
        allowsClear: () => false,
      });
      await level.open();
      for (let byte = 0; byte < 100; byte++) await put(level, Buffer.from([...Buffer.from(beginning), byte]));
      return level;
    };
    const put = (level: Level, key: Buffer) => level.batch([{ type: 'put', key, value: key }], { sync: false });
    const del = (level: Level, key: Buffer) => level.batch([{ type: 'del', key }], { sync: false });
    const has = async (level: Level, key: Buffer, options: Parameters<Level['iterator']>[0] = {}): Promise<boolean> =>
      (await rowsOf(level, options, 1_000)).some((row) => row.startsWith(`${key.toString('hex')}=`));
    const other = Buffer.from('Lx\u007f');
    const beside = Buffer.from('Lcontra');

    const written = await openWith('Lx');
    const chain = written.chain();
    chain.put(other, other);
    assert.equal(await has(written, other), false);
    await chain.write({ sync: false });
    assert.equal(await has(written, other), true, 'it was under way when the branch was looked at');

    const removed = await openWith('Lx');
    await put(removed, other);
    const before = removed.snapshot();
    await del(removed, other);
    assert.equal(await has(removed, other), false);
    assert.equal(await has(removed, other, { snapshot: before }), true, 'it was there');

    const parted = await openWith('Lcommon');
    await put(parted, beside);
    const both = parted.snapshot();
    await del(parted, beside);
    assert.equal(await has(parted, beside), false);
    assert.equal(await has(parted, beside, { snapshot: both }), true, 'it was there');
    await put(parted, beside);
    assert.equal(await has(parted, beside), true);

    const within = await openWith('Lcommon');
    await put(within, beside);
    assert.equal(await has(within, beside, { gte: Buffer.from('Lcomm'), lt: Buffer.from('Lcomn') }), false);
    await put(within, Buffer.from('Lcat'));
    assert.equal(await has(within, beside), true, 'the walk before did not look so far');
  });

  test('keeps every row when the process dies at any batch of a move', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new SeededRandom(seed);
      const used = new UsedNonces();
      const levels = new SimulatedLevels();
      // What was synced in a newer log says nothing of an older one.
      levels.batchesPerLog = 1 + (seed % 3);
      const clear = levels.openLevel('store');
      await clear.open();
      for (let at = 0; at < 300; at++) {
        await clear.batch([{ type: 'put', key: randomKey(random), value: Buffer.from(String(at)) }], { sync: true });
      }
      const whole = await rowsOf(clear, {}, 100);
      await clear.close();
      const open = async (...ids: number[]): Promise<SealedLevel> => {
        const options = { keys: watchedKeysOf(used, random, ...ids), allowsClear: () => true };
        const level = new SealedLevel(levels.openLevel('store'), 'store', options);
        await level.open();
        return level;
      };
      let left = seed % 10;
      levels.beforeBatch = async () => {
        if (left-- === 0) {
          await levels.crash(random);
          throw new Error('the process has died');
        }
      };
      try {
        const level = await open(1);
        while (!(await level.move()));
        await level.close();
        const other = await open(1, 2);
        while (!(await other.move()));
        await other.close();
      } catch {
        // Died.
      }
      levels.beforeBatch = async () => {};
      await levels.crash(random);
      const again = await open(1, 2);
      assert.deepEqual(await rowsOf(again, {}, 100), whole, `seed ${seed}`);
      while (!(await again.move()));
      assert.deepEqual(await rowsOf(again, {}, 100), whole, `seed ${seed}`);
      await again.close();
      // Nothing is left that the first key, or none, could read.
      const last = new SealedLevel(levels.openLevel('store'), 'store', {
        keys: keysOf(random, 2),
        allowsClear: () => false,
      });
      await last.open();
      assert.deepEqual(await rowsOf(last, {}, 100), whole, `seed ${seed}`);
      assert.ok(used.size >= whole.length);
      assert.deepEqual(used.twice, [], 'no nonce is used twice with a key');
    }
  });

  test('waits with another area for a batch that is being put together, which would write to the old one', async () => {
    const random = new SeededRandom(3);
    const keys = keysOf(random, 1);
    const level = new SealedLevel(new SimulatedLevels().openLevel('store'), 'store', {
      keys,
      allowsClear: () => false,
    });
    await level.open();
    const key = Buffer.from('Lkey');
    await level.batch([{ type: 'put', key, value: Buffer.from('old') }], { sync: true });
    keys.add({ id: 2, key: Buffer.alloc(32, 2) });
    const chain = level.chain();
    chain.put(key, Buffer.from('new'));
    for (let turn = 0; turn < 5; turn++) assert.equal(await level.move(), false);
    await chain.write({ sync: true });
    assert.equal(String(level.getSync(key)), 'new');
    while (!(await level.move()));
    assert.equal(String(level.getSync(key)), 'new');
  });

  test('rewrites the files of what was emptied when nobody has a view of before any more', async () => {
    const inner = new SimulatedLevels().openLevel('store');
    let rewritten = 0;
    inner.compact = async () => void rewritten++;
    await inner.open();
    await inner.batch([{ type: 'put', key: Buffer.from('Lkey'), value: Buffer.from('in clear') }], { sync: true });
    await inner.close();
    const level = new SealedLevel(inner, 'store', { keys: keysOf(new SeededRandom(3), 1), allowsClear: () => true });
    await level.open();
    const [snapshot, iterator] = [level.snapshot(), level.iterator({})];
    for (let turn = 0; turn < 5; turn++) assert.equal(await level.move(), false);
    await snapshot.close();
    for (let turn = 0; turn < 5; turn++) assert.equal(await level.move(), false);
    assert.equal(String((await iterator.nextv(2))[0]![1]), 'in clear');
    assert.equal(rewritten, 0);
    await iterator.close();
    // One of now shows nothing of it.
    const later = level.snapshot();
    while (!(await level.move()));
    assert.equal(rewritten, 1);
    await later.close();
  });

  test('is refused with another key, in clear where all is encrypted, and under the name of another store', async () => {
    const random = new SeededRandom(1);
    const levels = new SimulatedLevels();
    const row: LevelOperation = { type: 'put', key: Buffer.from('Lkey'), value: Buffer.from('value') };
    const clear = levels.openLevel('group-1');
    await clear.open();
    await clear.batch([row], { sync: true });
    await clear.close();
    const open = (name: string, ...ids: number[]) =>
      new SealedLevel(levels.openLevel(name), name, { keys: keysOf(random, ...ids), allowsClear: () => false }).open();
    await assert.rejects(open('group-1', 1), { code: 'CORRUPT_STORE', message: /in clear, though all/ });
    await open('group-2', 1);
    await levels.crash(random);
    await assert.rejects(open('group-2', 2), { code: 'CORRUPT_STORE', message: /key that is not here/ });
    await levels.rename('group-2', 'group-3');
    await assert.rejects(open('group-3', 1), { code: 'CORRUPT_STORE' });
    await levels.rename('group-3', 'group-2.incoming');
    await open('group-2.incoming', 1);
    await levels.crash(random);
    await assert.rejects(
      openGroupStore({ location: 'group-2.incoming', openLevel: levels.openLevel, folders: levels }),
      {
        code: 'CORRUPT_STORE',
      },
    );
  });

  test('refuses a row that was changed, moved to another key, or put there in clear', async () => {
    const random = new SeededRandom(2);
    const levels = new SimulatedLevels();
    const level = new SealedLevel(levels.openLevel('store'), 'store', {
      keys: keysOf(random, 1),
      allowsClear: () => false,
    });
    await level.open();
    const keys = ['La', 'Lb'].map((key) => Buffer.from(key));
    await level.batch(
      keys.map((key) => ({ type: 'put', key, value: Buffer.from('value') })),
      { sync: true },
    );
    const beneath = levels.beneath('store');
    await beneath.open();
    const stored = beneath.iterator({ gte: Buffer.from([0x80]), lt: Buffer.from([0xe0]) });
    const [one, other] = await stored.nextv(2);
    const put = (key: Buffer, value: Buffer) => beneath.batch([{ type: 'put', key, value }], { sync: true });
    const changed = Buffer.from(one![1]);
    changed[3]! ^= 1;
    await put(one![0], changed);
    await put(other![0], one![1]);
    await put(Buffer.from('Lc'), Buffer.from('value'));
    for (const key of keys) assert.throws(() => level.getSync(key), { code: 'CORRUPT_STORE' });
    assert.equal(level.getSync(Buffer.from('Lc')), undefined);
  });
});

describe('hidden names', () => {
  const names = new HiddenNames(new SeededRandom(9).bytes(64));

  test('keep their beginnings and nothing of their order', () => {
    const hidden = (text: string): string => names.hide(Buffer.from(text), 0x8c).toString('latin1');
    for (const [one, other, shared] of [
      ['Lalice', 'Lalbert', 3],
      ['La', 'La', 2],
      ['Lx', 'Ly', 1],
    ] as const) {
      const [a, b] = [hidden(one), hidden(other)];
      assert.equal(a.length, one.length);
      assert.equal(a.slice(0, shared), b.slice(0, shared));
      if (one !== other) assert.notEqual(a[shared], b[shared]);
    }
    const sorted = Array.from({ length: 256 }, (_, byte) => names.hide(Buffer.from([0x4c, byte]), 0x8c)[1]!);
    assert.equal(new Set(sorted).size, 256, 'a permutation');
    assert.ok(sorted.filter((byte, at) => at > 0 && byte > sorted[at - 1]!).length < 170, 'not an order');
    assert.deepEqual([...names.nextBytes(Buffer.from([0x4c]))], sorted);
  });

  test('have these bytes', () => {
    assert.equal(names.hide(Buffer.from('Luser:1'), 0x8c).toString('hex'), '8ce86acf26af09');
  });
});

/** All bytes of all files below a folder. */
async function bytesBelow(folder: string): Promise<Buffer> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const read = files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name)));
  return Buffer.concat(await Promise.all(read));
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-sealed-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

test('an encrypted store and the copies that a thread cuts of it show neither keys nor values on disk', async (t) => {
  const folder = await folderOf(t);
  const keys = keysOf(new SystemRandom(), 1);
  const allowsClear = (): boolean => false;
  const thread = new CutThread(new SystemScheduler(), keys);
  t.after(() => thread.end());
  const disk = new SealedDisk(new SystemDisk(), keys, allowsClear);
  const openLevel = new SealedLevels({ keys, allowsClear }).over(openClassicLevel);
  const open = (name: string) => openGroupStore({ location: join(folder, name), disk, openLevel, cutter: thread });
  const store = await open('group-1');
  for (let index = 1; index <= 200; index++) {
    const writer = store.write();
    const ts = hlcTimestamp(BigInt(index));
    writer.put(Buffer.from(`keymarker:${index}`), Buffer.alloc(300, 'valuemarker '), ts, NEVER);
    writer.setSide(Buffer.from(`keymarker:${index}`), Buffer.from('sidemarker'), Buffer.from('sidemarker'));
    writer.setMeta('metamarker', Buffer.from('metamarker'));
    writer.commit(index);
  }
  await store.flush();
  await store.compact?.();
  const cut = await store.exportSegments(() => ({}));
  const other = await open('group-2');
  const staged = await other.stageImport(cut.manifest);
  for (const [at, segment] of cut.manifest.segments.entries()) await staged.receive(at, cut.frames(segment));
  const everything = await bytesBelow(folder);
  assert.ok(everything.length > 60_000);
  assert.ok(!everything.includes('marker'));
  await staged.finish();
  await staged.install();
  await cut.close();
  assert.equal(await other.digest(), await store.digest());
  assert.ok(!(await bytesBelow(folder)).includes('marker'));
  const bytes = await store.approximateBytes?.(Buffer.from('keymarker:0'), Buffer.from('keymarker:a'));
  assert.ok(bytes !== undefined && bytes > 20_000, `${bytes} bytes`);
  await Promise.all([store.close(), other.close()]);
});
