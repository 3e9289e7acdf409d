import assert from 'node:assert/strict';
import { cp, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { openClassicLevel } from '../../src/store/level/level.ts';
import { crc32c, uncompress } from '../../src/store/level/leveldb-files.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { encodeKey, RowKind, SYSTEM_KEY, sealRow } from '../../src/store/rows/codec.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const NEVER = ts(0);
const KEYS = 60;
const keyOf = (at: number): Buffer => Buffer.from(`key ${at}`);

/** Everything that a store can be asked, as text. */
async function contents(store: GroupStore): Promise<string> {
  const said: string[] = [`applied ${store.appliedIndex}`, `${store.meta('name')?.toString()}`, `${store.liveKeys(0)}`];
  for (let at = 0; at < KEYS; at++) {
    const latest = store.latest(keyOf(at));
    said.push(`${at} ${latest?.commitTs} ${latest?.isTombstone} ${latest?.value.toString('latin1')}`);
    for (const readTs of [150, 250, 1000]) {
      const row = await store.get(keyOf(at), ts(readTs));
      said.push(`${at}@${readTs} ${row?.commitTs} ${row?.value.toString('latin1')}`);
    }
  }
  const page = await store.scan({ start: Buffer.alloc(0), end: Buffer.from([0xff]), readTs: ts(1000), limit: 1000 });
  for (const row of page.rows) said.push(`${row.key} ${row.commitTs} ${row.value.toString('latin1')}`);
  const { versions } = await store.exportVersions({
    start: Buffer.alloc(0),
    end: undefined,
    after: undefined,
    maxBytes: 1 << 20,
  });
  for (const one of versions) said.push(`${one.key} ${one.commitTs} ${one.value?.toString('latin1')}`);
  for (const { key } of await store.expired(ts(100_000), 1000)) said.push(`expires ${key}`);
  return said.join('\n');
}

async function flip(path: string, offset: number, bit: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    byte[0]! ^= 1 << bit;
    await file.write(byte, 0, 1, offset);
  } finally {
    await file.close();
  }
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-store-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Two generations of values of some keys, in tables and in a log, closed. @returns what it says */
async function writeStore(location: string): Promise<string> {
  const random = new SeededRandom(5);
  const options = { location, counterClassOf: () => 0 };
  let store = await openGroupStore(options);
  for (const round of [100, 200, 300]) {
    for (let at = 0; at < KEYS; at++) {
      const writer = store.write();
      const value = at % 10 === 0 ? random.bytes(700) : Buffer.from(`value ${round} of ${at}, which repeats itself`);
      writer.put(keyOf(at), value, ts(round + at), at % 4 === 0 ? ts(50_000 + at) : NEVER);
      if (at === 0) writer.setMeta('name', Buffer.from(`round ${round}`));
      writer.commit(store.appliedIndex + 1);
    }
    // Opening turns what is in the log into a table.
    if (round === 300) continue;
    await store.close();
    store = await openGroupStore(options);
  }
  const said = await contents(store);
  await store.close();
  return said;
}

test('a store with a byte changed anywhere in its tables or logs refuses, or says what it said before', async () => {
  await withFolder(async (folder) => {
    const original = join(folder, 'original');
    const said = await writeStore(original);
    const files = (await readdir(original)).filter((name) => name.endsWith('.ldb') || name.endsWith('.log'));
    assert.ok(files.some((name) => name.endsWith('.ldb')) && files.some((name) => name.endsWith('.log')));
    const random = new SeededRandom(9);
    let refusals = 0;
    let flips = 0;
    for (const name of files) {
      const file = await open(join(original, name));
      const { size } = await file.stat();
      await file.close();
      const step = Math.max(1, Math.floor(size / 120));
      for (let offset = random.int(step); offset < size; offset += step) {
        const location = join(folder, `copy ${name} ${offset}`);
        await cp(original, location, { recursive: true });
        await flip(join(location, name), offset, random.int(8));
        flips++;
        let store: GroupStore | undefined;
        try {
          store = await openGroupStore({ location, counterClassOf: () => 0 });
          assert.ok((await contents(store)) === said, `a changed byte at ${offset} of ${name} is served`);
        } catch (error) {
          assert.equal((error as { code?: unknown }).code, 'CORRUPT_STORE', `${offset} of ${name}: ${error}`);
          assert.match((error as Error).message, new RegExp(`${location}.*restore this replica`));
          refusals++;
        }
        await store?.close();
        await rm(location, { recursive: true });
      }
    }
    assert.ok(refusals > 0.9 * flips, `${refusals} refusals of ${flips} changes`);
  });
});

test('a table that was being written when the process ended is not damage, and one that is missing is', async () => {
  await withFolder(async (folder) => {
    const location = join(folder, 'store');
    const said = await writeStore(location);
    const tables = (await readdir(location)).filter((name) => name.endsWith('.ldb'));
    const half = (await readFile(join(location, tables[0]!))).subarray(0, 200);
    await writeFile(join(location, '000900.ldb'), half);
    await writeFile(join(location, '000901.ldb'), '');
    const store = await openGroupStore({ location, counterClassOf: () => 0 });
    assert.equal(await contents(store), said);
    await store.close();
    assert.ok(!(await readdir(location)).includes('000900.ldb'));

    const named = (await readdir(location)).filter((name) => name.endsWith('.ldb'));
    await rm(join(location, named[0]!));
    await assert.rejects(openGroupStore({ location, counterClassOf: () => 0 }));
  });
});

test('a store with a byte changed in the files that say which tables there are refuses, and names the file', async () => {
  await withFolder(async (folder) => {
    const original = join(folder, 'original');
    const said = await writeStore(original);
    const files = (await readdir(original)).filter((name) => name === 'CURRENT' || name.startsWith('MANIFEST-'));
    assert.equal(files.length, 2);
    const random = new SeededRandom(10);
    let refusals = 0;
    let flips = 0;
    for (const name of files) {
      const file = await open(join(original, name));
      const { size } = await file.stat();
      await file.close();
      for (let offset = 0; offset < size; offset += name === 'CURRENT' ? 4 : Math.ceil(size / 25)) {
        const location = join(folder, `copy ${name} ${offset}`);
        await cp(original, location, { recursive: true });
        await flip(join(location, name), offset, random.int(8));
        flips++;
        try {
          const store = await openGroupStore({ location, counterClassOf: () => 0 });
          // The length of the last record may say that it was cut off.
          assert.ok((await contents(store)) === said, `a changed byte at ${offset} of ${name} is served`);
          await store.close();
        } catch (error) {
          assert.equal((error as { code?: unknown }).code, 'CORRUPT_STORE', `${offset} of ${name}: ${error}`);
          assert.match((error as Error).message, /restore this replica/);
          if ((error as Error).message.includes(`damaged file ${name}`)) refusals++;
        }
        await rm(location, { recursive: true });
      }
    }
    assert.ok(refusals > 0.9 * flips, `${refusals} refusals of ${flips} changes`);
  });
});

test('a store whose CURRENT is gone refuses instead of beginning again over its tables', async () => {
  await withFolder(async (folder) => {
    const location = join(folder, 'store');
    await writeStore(location);
    await rm(join(location, 'CURRENT'));
    await assert.rejects(openGroupStore({ location }), { code: 'CORRUPT_STORE', message: /CURRENT: it is missing/ });
  });
});

test('a row that changed below a store that is open is refused by every kind of read, and the node is told', async () => {
  const [a, b] = [Buffer.from('a'), Buffer.from('b')];
  const range = { start: a, end: Buffer.from('c') };
  const reads: Record<string, (store: GroupStore) => unknown> = {
    latest: (store) => store.latest(a),
    get: (store) => store.get(a, ts(20)),
    scan: (store) => store.scan({ ...range, readTs: ts(20), limit: 10 }),
    exportVersions: (store) => store.exportVersions({ ...range, after: undefined, maxBytes: 100 }),
    versionAt: (store) => store.versionAt(a, ts(10)),
    countRange: (store) => store.countRange(0, a, undefined),
    digest: (store) => store.digest(),
    collectGarbage: (store) => store.collectGarbage(1000),
    exportSegments: (store) => store.exportSegments(() => ({})),
  };
  for (const [name, read] of Object.entries(reads)) {
    const levels = new SimulatedLevels();
    const failures: Error[] = [];
    const store = await openGroupStore({
      location: 'store',
      openLevel: levels.openLevel,
      folders: levels,
      disk: new MemoryDisk(),
      onFailure: (error: Error) => failures.push(error),
    });
    const writer = store.write();
    for (const key of [a, b]) writer.put(key, Buffer.from('value'), ts(10), NEVER);
    store.setGcThreshold(writer, ts(1));
    writer.commit(1);
    await store.flush();
    store.forgetCached?.();
    const level = levels.beneath('store');
    await level.open();
    // The row of one key under another key: each is sound, but not where it is.
    const row = level.getSync(encodeKey(RowKind.Latest, b))!;
    await level.batch([{ type: 'put', key: encodeKey(RowKind.Latest, a), value: row }], { sync: true });
    await assert.rejects(async () => read(store), { code: 'CORRUPT_STORE', location: 'store' }, name);
    assert.deepEqual(
      failures.map((error) => (error as { code?: unknown }).code),
      ['CORRUPT_STORE'],
      name,
    );
    assert.throws(() => store.write(), { code: 'CORRUPT_STORE' }, name);
    await store.close();
  }
});

test('a log that ends in the middle of its last batch is the state before that batch', async () => {
  await withFolder(async (folder) => {
    const location = join(folder, 'store');
    const level = openClassicLevel(location);
    await level.open();
    const [first, second] = [1, 2].map((at) => Buffer.from([at]));
    await level.batch([{ type: 'put', key: SYSTEM_KEY, value: sealRow(SYSTEM_KEY, first!) }], { sync: true });
    await level.batch([{ type: 'put', key: second!, value: sealRow(second!, Buffer.alloc(50_000, 7)) }], {
      sync: true,
    });
    await level.close();
    const name = (await readdir(location)).find((one) => one.endsWith('.log'))!;
    const file = await open(join(location, name), 'r+');
    const { size } = await file.stat();
    await file.truncate(size - 20_000);
    await file.close();
    const again = openClassicLevel(location);
    await again.open();
    assert.ok(again.getSync(SYSTEM_KEY) !== undefined);
    assert.equal(again.getSync(second!), undefined);
    await again.close();
  });
});

test('the checksum of LevelDB and its compression are read as their specifications say', () => {
  const digits = Buffer.from('x123456789x');
  assert.equal(crc32c(digits, 1, 10), 0xe3069283);
  assert.equal(crc32c(Buffer.alloc(32), 0, 32), 0x8a9136aa);
  // Literal "abcd", then a copy of 4 bytes from 4 back with a one byte offset, then of 3 from 2 back with two bytes.
  const packed = Buffer.from([11, (4 - 1) << 2, 0x61, 0x62, 0x63, 0x64, 0b000_000_01, 4, ((3 - 1) << 2) | 2, 2, 0]);
  assert.equal(uncompress(packed)?.toString(), 'abcdabcdcdc');
  for (let length = 0; length < packed.length; length++)
    assert.equal(uncompress(packed.subarray(0, length)), undefined);
});

test('a log that was cut off is damage when one behind it holds batches, and its end when that one is empty', async () => {
  await withFolder(async (folder) => {
    const original = join(folder, 'original');
    const said = await writeStore(original);
    const name = (await readdir(original)).find((one) => one.endsWith('.log'))!;
    const bytes = await readFile(join(original, name));
    const later = `${String(Number.parseInt(name, 10) + 50).padStart(6, '0')}.log`;
    const open = async (location: string, cut: number, behind: Buffer): Promise<GroupStore> => {
      await cp(original, location, { recursive: true });
      await writeFile(join(location, name), bytes.subarray(0, bytes.length - cut));
      await writeFile(join(location, later), behind);
      return openGroupStore({ location, counterClassOf: () => 0 });
    };
    // The last record is cut in its content, or in its header of 7 bytes.
    for (const cut of [1, 14, 15, 20]) {
      const expected = { code: 'CORRUPT_STORE', message: new RegExp(name) };
      await assert.rejects(open(join(folder, `batches ${cut}`), cut, bytes), expected, `${cut}`);
      const store = await open(join(folder, `empty ${cut}`), cut, Buffer.alloc(0));
      assert.equal(await contents(store), said, 'the last record says only that the ones before it are stable');
      await store.close();
    }
  });
});
