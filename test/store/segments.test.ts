import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import type { GroupStore, GroupStoreOptions } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import type { Level } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { RowKind } from '../../src/store/rows/codec.ts';
import { inlineCompression } from '../../src/store/segments/compression.ts';
import { decodeManifest, encodeManifest, segmentName } from '../../src/store/segments/manifest.ts';
import { readSegment } from '../../src/store/segments/reader.ts';
import type { SegmentLimits } from '../../src/store/segments/writer.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { type Copy, copyOf, framesOf, install, stage } from './copies.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const NEVER = ts(0);
const SMALL: SegmentLimits = { blockBytes: 200, minSegmentBytes: 1000, maxSegmentBytes: 4000 };

interface SegmentStore {
  readonly levels: SimulatedLevels;
  readonly disk: MemoryDisk;
  readonly options: GroupStoreOptions;
}

function bed(segmentLimits: Partial<SegmentLimits> = SMALL): SegmentStore {
  const levels = new SimulatedLevels();
  const disk = new MemoryDisk();
  const databases = { openLevel: levels.openLevel, folders: levels, disk };
  return { levels, disk, options: { location: 'store', ...databases, compression: inlineCompression, segmentLimits } };
}

/** Several versions of some keys, deletes, a range delete, side rows, expiries. */
function fill(store: GroupStore, random: SeededRandom, units: number): void {
  for (let at = 0; at < units; at++) {
    const writer = store.write();
    const index = store.appliedIndex + 1;
    for (let left = 1 + random.int(4); left > 0; left--) {
      const key = Buffer.from(`k${random.int(60)}`);
      const kind = random.int(10);
      if (kind === 0) writer.delete(key, ts(index * 10));
      else writer.put(key, random.bytes(random.int(5) === 0 ? 900 : 30), ts(index * 10), ts(kind === 1 ? 1e6 : 0));
    }
    if (random.int(15) === 0) writer.deleteRange(Buffer.from('k2'), Buffer.from('k3'), ts(index * 10 - 1));
    if (random.int(5) === 0) writer.setSide(Buffer.from('k1'), Buffer.from([random.int(3)]), random.bytes(9));
    writer.setMeta('name', Buffer.from(String(index)));
    writer.commit(index);
  }
}

async function filled(units: number, seed = 5): Promise<{ store: GroupStore } & SegmentStore> {
  const made = bed();
  const store = await openGroupStore(made.options);
  fill(store, new SeededRandom(seed), units);
  return { ...made, store };
}

async function closeAll(...stores: GroupStore[]): Promise<void> {
  for (const store of stores) await store.close();
}

test('any store becomes segments and any segments become the store again, by digest', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.integer({ min: 1, max: 60 }),
      fc.record({
        blockBytes: fc.integer({ min: 1, max: 3000 }),
        minSegmentBytes: fc.integer({ min: 1, max: 5000 }),
        maxSegmentBytes: fc.integer({ min: 1, max: 9000 }),
      }),
      async (seed, units, limits) => {
        const random = new SeededRandom(seed);
        const [from, to] = [bed(limits), bed()];
        const source = await openGroupStore(from.options);
        fill(source, random, units);
        const target = await openGroupStore(to.options);
        fill(target, random, 3);
        const copy = await copyOf(source);
        await install(target, copy);
        assert.equal(target.appliedIndex, source.appliedIndex);
        assert.equal(await target.digest(), await source.digest());
        assert.deepEqual([...from.disk.files.keys(), ...to.disk.files.keys()], [], 'nothing is left beside the stores');
        await closeAll(source, target);
      },
    ),
    { numRuns: 25 },
  );
});

test('a copy is of one moment, whatever is written while it is cut', async () => {
  const { levels, disk, options } = bed();
  // What is run between the moment and the first row that is copied, when the named values have been read.
  let behindMoment = async (): Promise<void> => {};
  const openLevel = (location: string): Level => {
    const level = levels.openLevel(location);
    const open = level.iterator.bind(level);
    level.iterator = (range) => {
      const iterator = open(range);
      const close = iterator.close.bind(iterator);
      if (range.snapshot !== undefined && range.gte?.[0] === RowKind.Meta) {
        iterator.close = () => close().then(() => behindMoment());
      }
      return iterator;
    };
    return level;
  };
  const store = await openGroupStore({ ...options, openLevel });
  fill(store, new SeededRandom(5), 80);
  await store.flush();
  const digest = await store.digest();
  const { appliedIndex } = store;
  behindMoment = async () => {
    fill(store, new SeededRandom(9), 5);
    await store.flush();
  };
  disk.before = (operation) => {
    if (operation === 'write') fill(store, new SeededRandom(8), 1);
  };
  const copy = await copyOf(store);
  assert.ok(store.appliedIndex > appliedIndex, 'there was writing');
  const target = await openGroupStore(bed().options);
  await install(target, copy);
  assert.equal(target.appliedIndex, appliedIndex);
  assert.equal(await target.digest(), digest);
  await closeAll(store, target);
});

test('a store of another moment shares the segments whose rows are the same', async () => {
  const store = await openGroupStore(bed().options);
  // Rows of one length: nothing but their keys can bring two cuts into step again.
  const put = (key: string, at: number): void => {
    const writer = store.write();
    writer.put(Buffer.from(key), Buffer.alloc(40, key), ts(at), NEVER);
    writer.commit(store.appliedIndex + 1);
  };
  for (let at = 0; at < 3000; at++) put(`key ${String(at).padStart(4, '0')}`, 1 + at);
  const before = await copyOf(store);
  put('key 0010 and a half', 1_000_000);
  const after = await copyOf(store);
  const known = new Set(before.manifest.segments.map(({ sha256 }) => sha256));
  const changed = after.manifest.segments.filter(({ sha256 }) => !known.has(sha256));
  const { length } = after.manifest.segments;
  assert.ok(length > 60, `${length} segments`);
  assert.ok(changed.length < 15, `${changed.length} segments of ${length} changed`);
  await store.close();
});

test('a bit that flipped anywhere in a segment or in the manifest is refused with the name of the file', async () => {
  const { store, disk } = await filled(60);
  const cut = await store.exportSegments(() => ({ of: 'a test' }));
  const { segments } = cut.manifest;
  let flips = 0;
  for (const segment of segments.slice(0, 8)) {
    const path = cut.pathOf(segment);
    const file = disk.files.get(path)!;
    const sound = file.bytes;
    for (let at = 0; at < sound.length; at += 1 + Math.floor(sound.length / 60)) {
      file.bytes = Buffer.from(sound);
      file.bytes[at]! ^= 1 << (at % 8);
      flips++;
      await assert.rejects(
        async () => {
          for await (const page of readSegment(disk, path, segment, inlineCompression)) assert.ok(page.length > 0);
        },
        (error: Error & { code?: string }) => error.code === 'CORRUPT_SNAPSHOT' && error.message.includes(path),
        `byte ${at} of ${path}`,
      );
    }
    file.bytes = sound.subarray(0, sound.length - 1);
    await assert.rejects(
      async () => {
        for await (const page of readSegment(disk, path, segment, inlineCompression)) assert.ok(page);
      },
      { code: 'CORRUPT_SNAPSHOT' },
    );
    file.bytes = sound;
  }
  const manifest = encodeManifest(cut.manifest);
  for (let at = 0; at < manifest.length; at += 7) {
    const damaged = Buffer.from(manifest);
    damaged[at]! ^= 1 << (at % 8);
    assert.throws(() => decodeManifest(damaged, 'folder/manifest.json'), {
      code: 'CORRUPT_SNAPSHOT',
      message: /folder\/manifest\.json/,
    });
  }
  assert.deepEqual(decodeManifest(manifest, 'it'), cut.manifest);
  assert.ok(flips > 300, `${flips} flips`);
  await cut.close();
  await store.close();
});

test('a damaged block is refused before its rows are given out, and by its number', async () => {
  const { store, disk } = await filled(30);
  const cut = await store.exportSegments(() => ({}));
  for (const segment of cut.manifest.segments.slice(0, 5)) {
    const path = cut.pathOf(segment);
    // Behind the head of the file and the beginning of what zstd writes: a byte of the content.
    disk.files.get(path)!.bytes[8 + 24]! ^= 1;
    await assert.rejects(
      async () => {
        for await (const page of readSegment(disk, path, segment, inlineCompression))
          assert.fail(`${page.length} rows`);
      },
      { code: 'CORRUPT_SNAPSHOT', message: `block 0 of ${path} is damaged: it does not match its checksum` },
    );
  }
  await cut.close();
  await store.close();
});

test('a sound segment that differs in one value from the one that is named is refused', async () => {
  const cuts = [];
  for (const value of ['one', 'two']) {
    const { disk, options } = bed();
    const store = await openGroupStore(options);
    const writer = store.write();
    writer.put(Buffer.from('k'), Buffer.from(value), ts(1), NEVER);
    writer.commit(1);
    cuts.push({ disk, cut: await store.exportSegments(() => ({})) });
    await store.close();
  }
  const [one, other] = cuts.map(({ disk, cut }) => ({ disk, cut, segment: cut.manifest.segments[0]! }));
  one!.disk.files.get(one!.cut.pathOf(one!.segment))!.bytes = other!.disk.files.get(
    other!.cut.pathOf(other!.segment),
  )!.bytes;
  await assert.rejects(
    async () => {
      const pages = readSegment(one!.disk, one!.cut.pathOf(one!.segment), one!.segment, inlineCompression);
      for await (const page of pages) assert.ok(page.length === 1);
    },
    { code: 'CORRUPT_SNAPSHOT', message: /is not the segment that the manifest names/ },
  );
});

test('another sound segment in the place of the one that is named is refused', async () => {
  const { store, disk } = await filled(30);
  const cut = await store.exportSegments(() => ({}));
  const [first, second] = [cut.manifest.segments[0]!, cut.manifest.segments[1]!];
  // Another sound segment in the place of the one that is named.
  disk.files.get(cut.pathOf(first))!.bytes = disk.files.get(cut.pathOf(second))!.bytes;
  await assert.rejects(
    async () => {
      const entry = { ...first, bytes: second.bytes };
      for await (const page of readSegment(disk, cut.pathOf(first), entry, inlineCompression)) assert.ok(page);
    },
    { code: 'CORRUPT_SNAPSHOT', message: /is not the segment that the manifest names/ },
  );
  await cut.close();
  await store.close();
});

test('segments that come damaged, cut, too long or unasked are refused, and the old store stays', async () => {
  const { store: source } = await filled(60);
  const copy = await copyOf(source);
  const to = bed();
  const target = await openGroupStore(to.options);
  fill(target, new SeededRandom(1), 5);
  const digest = await target.digest();
  const staged = await target.stageImport(copy.manifest);
  const whole = copy.frames[1]!;
  const bytes = Buffer.concat(whole);
  const changed = Buffer.from(bytes);
  changed[40]! ^= 4;
  const refused: Record<string, readonly Buffer[]> = {
    changed: [changed],
    cut: [bytes.subarray(0, bytes.length - 1)],
    'too long': [bytes, Buffer.of(1)],
    'of another': copy.frames[0]!,
    nothing: [],
  };
  for (const [what, frames] of Object.entries(refused)) {
    await assert.rejects(staged.receive(1, framesOf(frames)), { code: 'CORRUPT_SNAPSHOT' }, what);
  }
  await assert.rejects(staged.receive(copy.frames.length, framesOf([])), { code: 'CORRUPT_SNAPSHOT' });
  await assert.rejects(staged.finish(), { code: 'CORRUPT_SNAPSHOT', message: /is missing/ });
  await staged.discard();
  assert.equal(await target.digest(), digest);
  await closeAll(source, target);
});

test('a segment that goes bad on the receiver is found before the swap, and asked for again', async () => {
  const { store: source } = await filled(60);
  const copy = await copyOf(source);
  const to = bed();
  const target = await openGroupStore(to.options);
  fill(target, new SeededRandom(1), 5);
  const digest = await target.digest();
  const staged = await stage(target, copy);
  const path = `store.received/${segmentName(copy.manifest.segments[2]!)}`;
  to.disk.files.get(path)!.bytes[60]! ^= 2;
  await assert.rejects(staged.finish(), { code: 'CORRUPT_SNAPSHOT', message: new RegExp(path) });
  await staged.discard();
  assert.equal(await target.digest(), digest);
  const again = await target.stageImport(copy.manifest);
  assert.deepEqual(again.missing, [2], 'the others are not sent again');
  for (const at of again.missing) await again.receive(at, framesOf(copy.frames[at]!));
  await again.finish();
  await again.install();
  assert.equal(await target.digest(), await source.digest());
  await closeAll(source, target);
});

test('a transfer that ends at any operation of the disk leaves the old store, and the next one completes it', async () => {
  const { store: source } = await filled(12);
  const copy = await copyOf(source);
  let isDone = false;
  let resumed = 0;
  for (let failAt = 1; !isDone; failAt += 4) {
    const to = bed();
    const target = await openGroupStore(to.options);
    fill(target, new SeededRandom(1), 5);
    const digest = await target.digest();
    let operations = 0;
    to.disk.before = () => {
      if (++operations >= failAt) throw new Error('the disk is gone');
    };
    const transfer = async (): Promise<void> => {
      const staged = await target.stageImport(copy.manifest);
      try {
        for (const at of staged.missing) await staged.receive(at, framesOf(copy.frames[at]!));
        await staged.finish();
      } catch (error) {
        await staged.discard();
        throw error;
      }
      isDone = operations < failAt;
      await staged.install();
    };
    if (!isDone) await transfer().catch(() => {});
    if (isDone) break;
    assert.equal(await target.digest(), digest, `after operation ${failAt}`);
    to.disk.before = () => {};
    // A restart in between loses nothing that came whole.
    await target.close();
    const restarted = await openGroupStore(to.options);
    const staged = await restarted.stageImport(copy.manifest);
    resumed += copy.frames.length - staged.missing.length;
    for (const at of staged.missing) await staged.receive(at, framesOf(copy.frames[at]!));
    await staged.finish();
    await staged.install();
    assert.equal(await restarted.digest(), await source.digest());
    await restarted.close();
  }
  assert.ok(resumed > 10, `${resumed} segments were there already`);
  await source.close();
});

test('segments of another copy, and pieces of segments, are deleted when a transfer begins', async () => {
  const { store: source } = await filled(20);
  const to = bed();
  const target = await openGroupStore(to.options);
  to.disk.files.set('store.received/0.part', { bytes: Buffer.alloc(9) });
  to.disk.files.set(`store.received/${'ab'.repeat(32)}.seg`, { bytes: Buffer.alloc(9) });
  const copy = await copyOf(source);
  const staged = await target.stageImport(copy.manifest);
  assert.deepEqual([...to.disk.files.keys()], []);
  assert.equal(staged.missing.length, copy.frames.length);
  await staged.discard();
  await closeAll(source, target);
});

test('a copy whose rows a later version wrote is refused', async () => {
  const { store: source } = await filled(20);
  const copy = await copyOf(source);
  const newer = encodeManifest(copy.manifest).toString().replace('"format":1', '"format":2');
  assert.throws(() => decodeManifest(Buffer.from(newer), 'it'), { code: 'CORRUPT_SNAPSHOT' });
  const overlapping = { ...copy.manifest, segments: copy.manifest.segments.toReversed() };
  assert.throws(() => decodeManifest(encodeManifest(overlapping), 'it'), { message: /out of order/ });
  const short = { ...copy.manifest, rows: copy.manifest.rows + 1 };
  assert.throws(() => decodeManifest(encodeManifest(short), 'it'), { message: /does not add up/ });
  await source.close();
});

test('a copy that says another index than it holds is refused', async () => {
  const { store: source } = await filled(20);
  const copy = await copyOf(source);
  const target = await openGroupStore(bed().options);
  const lying: Copy = { ...copy, manifest: { ...copy.manifest, appliedIndex: copy.manifest.appliedIndex + 1 } };
  const staged = await stage(target, lying);
  await assert.rejects(staged.finish(), { code: 'CORRUPT_SNAPSHOT', message: /holds the state of index/ });
  await staged.discard();
  assert.equal(target.appliedIndex, 0);
  await closeAll(source, target);
});

test('a cut whose disk is full leaves nothing behind, and the store goes on', async () => {
  const { store, disk } = await filled(60);
  disk.before = (operation) => {
    if (operation === 'write') throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
  };
  await assert.rejects(copyOf(store), { code: 'ENOSPC' });
  assert.deepEqual([...disk.files.keys()], []);
  fill(store, new SeededRandom(3), 3);
  await store.flush();
  disk.before = () => {};
  assert.ok((await copyOf(store)).frames.length > 3);
  await store.close();
});

test('a store that is closed while it is cut ends the cut', async () => {
  const { store, disk } = await filled(80);
  let closing: Promise<void> | undefined;
  disk.before = (operation) => {
    if (operation === 'write') closing ??= store.close();
  };
  await assert.rejects(copyOf(store));
  await closing;
  assert.deepEqual([...disk.files.keys()], []);
});

test('a swapped-in store that cannot be read gives way to the one before it at the next start', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-segments-'));
  try {
    const location = join(folder, 'store');
    const build = async (at: string, value: string): Promise<void> => {
      const store = await openGroupStore({ location: at });
      const writer = store.write();
      writer.put(Buffer.from('k'), Buffer.from(value), ts(1), NEVER);
      writer.commit(1);
      await store.close();
    };
    await build(location, 'new');
    await build(`${location}.rollback`, 'old');
    // The crash came when both were there; then the new one went bad.
    const log = (await readdir(location)).find((name) => name.endsWith('.log'))!;
    const file = await open(join(location, log), 'r+');
    await file.write(Buffer.from([255]), 0, 1, 20);
    await file.close();
    const putBack: Error[] = [];
    const fatal: Error[] = [];
    const store = await openGroupStore({
      location,
      onPutBack: (error) => putBack.push(error),
      onFailure: (error) => fatal.push(error),
    });
    assert.equal(store.latest(Buffer.from('k'))?.value.toString(), 'old');
    assert.equal(putBack.length, 1);
    assert.deepEqual(fatal, []);
    await store.close();
    assert.deepEqual(await readdir(folder), ['store']);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('real files and the thread pool give the same segments as memory does', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-segments-'));
  try {
    const { store: memory } = await filled(30);
    const real = await openGroupStore({ location: join(folder, 'a'), segmentLimits: SMALL });
    fill(real, new SeededRandom(5), 30);
    const [one, other] = [await copyOf(memory), await copyOf(real)];
    assert.deepEqual(
      other.manifest.segments.map(({ sha256 }) => sha256),
      one.manifest.segments.map(({ sha256 }) => sha256),
    );
    const target = await openGroupStore({ location: join(folder, 'b') });
    await install(target, other);
    assert.equal(await target.digest(), await memory.digest());
    await closeAll(memory, real, target);
    assert.deepEqual((await readdir(folder)).sort(), ['a', 'a.cut', 'b']);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
