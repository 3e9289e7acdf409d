import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hlcTimestamp } from '../../src/platform/index.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { CheckedLevel } from '../../src/store/level/checked-level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { RowMemory } from '../../src/store/rows/row-memory.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));

test('rows have the length that was asked for and no byte in common', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(300), fc.nat(20_000)), { maxLength: 200 }), (lengths) => {
      const memory = new RowMemory();
      const rows = lengths.map((bytes, number) => {
        const at = memory.reserve(bytes);
        return memory.slab.subarray(at, at + bytes).fill(number);
      });
      for (const [at, row] of rows.entries()) {
        assert.equal(row.length, lengths[at]);
        assert.ok(row.every((byte) => byte === (at & 0xff)));
      }
    }),
  );
});

test('a long row that was read is kept as it came, unless it lies in something larger', () => {
  const memory = new RowMemory();
  const [short, long] = [Buffer.alloc(100, 1), Buffer.alloc(10_000, 2)];
  for (const [row, isAsItCame] of [
    [short, false],
    [long, true],
    [Buffer.alloc(64 << 10, 3).subarray(0, 10_000), false],
  ] as const) {
    const at = memory.keep(row);
    assert.deepEqual(memory.slab.subarray(at, at + row.length), row);
    assert.equal(memory.slab === row, isAsItCame);
    assert.ok(memory.slab.buffer.byteLength <= 10_000);
  }
});

test('rows of any lengths, one behind the other in a batch, are read as they were put', async () => {
  const lengths = fc.array(fc.tuple(fc.constantFrom(1, 9, 17, 6_000), fc.constantFrom(0, 9, 109, 5_000)), {
    maxLength: 40,
  });
  await fc.assert(
    fc.asyncProperty(lengths, async (rows) => {
      const level = new CheckedLevel(new SimulatedLevels().openLevel('level'), 'level', () => {});
      await level.open();
      const chain = level.chain();
      const put = rows.map(([keyBytes, valueBytes], at) => ({
        key: Buffer.alloc(keyBytes + 4, at),
        value: Buffer.alloc(valueBytes, 255 - at),
      }));
      for (const { key, value } of put) chain.put(key, value);
      await chain.write({ sync: true });
      for (const { key, value } of put) assert.deepEqual(level.getSync(key), value);
      await level.close();
    }),
  );
});

test('keys and values of any length come back from disk as they were written, the older versions too', async () => {
  const length = fc.oneof(fc.nat(300), fc.nat(3_000), fc.nat(20_000));
  const written = fc.array(fc.tuple(fc.integer({ min: 1, max: 1_500 }), length, length), {
    minLength: 1,
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(written, fc.boolean(), async (rows, isFlushedBetween) => {
      const levels = new SimulatedLevels();
      const open = () =>
        openGroupStore({ location: 'store', openLevel: levels.openLevel, folders: levels, disk: new MemoryDisk() });
      const expected = rows.map(([keyBytes, older, newer], at) => ({
        key: Buffer.concat([Buffer.from([at]), Buffer.alloc(keyBytes, 7)]),
        versions: [Buffer.alloc(older, at + 1), Buffer.alloc(newer, at + 101)],
      }));
      const before = await open();
      for (const round of [0, 1]) {
        const writer = before.write();
        for (const { key, versions } of expected) writer.put(key, versions[round]!, ts(round + 1), ts(0));
        writer.commit(round + 1);
        if (isFlushedBetween) await before.flush();
      }
      await before.flush();
      await before.close();
      const after = await open();
      for (const { key, versions } of expected) {
        assert.deepEqual(after.latest(key)!.value, versions[1]);
        for (const round of [0, 1]) assert.deepEqual((await after.get(key, ts(round + 1)))!.value, versions[round]);
      }
      await after.close();
    }),
  );
});

test('a version in memory keeps little alive beside itself', async () => {
  const levels = new SimulatedLevels();
  const store = await openGroupStore({
    location: 'store',
    openLevel: levels.openLevel,
    folders: levels,
    disk: new MemoryDisk(),
  });
  for (const [at, bytes] of [10, 100, 1500, 4096].entries()) {
    const key = Buffer.from(`k${bytes}`);
    const writer = store.write();
    // As it comes from a socket: a small part of a large piece.
    writer.put(key, Buffer.alloc(1 << 20).subarray(0, bytes), ts(at + 1), ts(0));
    writer.commit(at + 1);
    // Longer ones are not kept when they are on disk.
    for (const when of bytes > 512 ? ['applied'] : ['applied', 'flushed']) {
      const { value } = store.latest(key)!;
      assert.equal(value.length, bytes);
      assert.ok(value.buffer.byteLength <= Math.max(8192, bytes + 100), `${when}: ${value.buffer.byteLength}`);
      await store.flush();
    }
  }
  await store.close();
});
