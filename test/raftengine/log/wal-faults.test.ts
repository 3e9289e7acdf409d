import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { type GroupId, groupId } from '../../../src/platform/index.ts';
import { append, contents, entry, GROUP, logStoreContract } from '../../support/log-store-contract.ts';
import { RandomUse, step } from './random-use.ts';
import { WalBench as Bench, FOLDER } from './wal-bench.ts';

/** Lets the simulated clock run whenever somebody waits, so that the contract can be stated without it. */
logStoreContract('write-ahead log on a simulated disk', async () => {
  const bench = new Bench(1);
  let disposed = false;
  const pump = (async () => {
    while (!disposed) await bench.simulation.runFor(1);
  })();
  return {
    open: () => bench.openNow(),
    dispose: async () => {
      disposed = true;
      await pump;
    },
  };
});

describe('write-ahead log under faults', () => {
  for (const isEncrypted of [false, true]) {
    const form = isEncrypted ? 'encrypted' : 'in clear';
    test(`recovers everything acknowledged, in order, and nothing invented, wherever it crashes, ${form}`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer(), fc.array(step, { minLength: 1, maxLength: 80 }), async (seed, steps) => {
          await new RandomUse(seed, isEncrypted).go(steps);
        }),
        { numRuns: Number(process.env.KVORUM_WAL_RUNS ?? (isEncrypted ? 75 : 150)) },
      );
    });
  }

  test('frames of several groups are at the disk side by side, and are answered in order', async () => {
    const bench = new Bench(1);
    const store = await bench.open();
    await bench.run(store.write([append(GROUP, entry(1, 1))]));
    bench.machine.disk.syncMs = 10;
    const startMs = bench.simulation.nowMs();
    const answered: string[] = [];
    const note = (name: string, written: Promise<void>): Promise<void> =>
      written.then(() => {
        answered.push(`${name} ${Math.round(bench.simulation.nowMs() - startMs)}`);
      });
    const one = note('one', store.write([append(GROUP, entry(1, 2))]));
    await bench.simulation.runFor(4);
    // It is written faster, and waits for the one before it.
    bench.machine.disk.syncMs = 1;
    const two = note('two', store.write([append(groupId(8), entry(1, 1))]));
    // Gathered: its group waits already.
    const three = note('three', store.write([append(GROUP, entry(1, 3))]));
    await bench.run(Promise.all([one, two, three]));
    assert.deepEqual(answered, ['one 10', 'two 10', 'three 11']);
  });

  test('is not closed before the disk is done with every frame, also with those that were given up', async () => {
    const bench = new Bench(2);
    const store = await bench.open();
    await bench.run(store.write([append(GROUP, entry(1, 1))]));
    const { disk } = bench.machine;
    disk.failsSyncs = 'once';
    disk.syncMs = 1;
    const startMs = bench.simulation.nowMs();
    const refused = assert.rejects(store.write([append(GROUP, entry(1, 2))]), { code: 'LOG_WRITE_FAILED' });
    disk.syncMs = 10;
    const givenUp = assert.rejects(store.write([append(groupId(8), entry(1, 1))]), { code: 'LOG_WRITE_FAILED' });
    await bench.run(Promise.all([refused, givenUp]));
    assert.equal(Math.round(bench.simulation.nowMs() - startMs), 1);
    await bench.run(store.close());
    assert.ok(bench.simulation.nowMs() - startMs >= 10);
  });

  test('acknowledges nothing that is not stable when the disk refuses one of several frames', async () => {
    let survived = 0;
    for (let seed = 0; seed < 300; seed++) {
      const bench = new Bench(seed);
      const store = await bench.open();
      await bench.run(store.write([append(GROUP, entry(1, 1))]));
      const groups = [11, 12, 13].map((id) => groupId(id));
      const acknowledged = new Set<GroupId>();
      const writes = groups.map((id) =>
        store.write([append(id, entry(1, 1, 'x'.repeat(300)))]).then(
          () => acknowledged.add(id),
          (error) => assert.equal(error.code, 'LOG_WRITE_FAILED'),
        ),
      );
      await bench.simulation.runFor(bench.machine.random.next() / 4);
      bench.machine.disk.failsSyncs = 'once';
      await bench.run(Promise.all(writes));
      await bench.run(store.close());
      bench.machine.crash({ losePower: true });
      bench.machine.disk.failsSyncs = false;
      const again = await bench.open();
      for (const id of acknowledged) assert.equal(again.group(id).lastIndex(), 1, `seed ${seed}: group ${id}`);
      assert.equal(again.group(GROUP).lastIndex(), 1);
      survived += acknowledged.size;
    }
    assert.ok(survived > 50, `${survived} writes were acknowledged before the refusal`);
  });

  test('what was recovered is stable: a power failure right after a restart takes nothing back', async () => {
    let recovered = 0;
    for (let seed = 0; seed < 200; seed++) {
      const bench = new Bench(seed);
      const store = await bench.open();
      // The first frame of a segment is alone.
      if (seed % 2 === 0) await bench.run(store.write([append(GROUP, entry(1, 1))]));
      const groups = [GROUP, groupId(8), groupId(9)];
      for (const id of groups)
        void store.write([append(id, entry(1, store.group(id).lastIndex() + 1, 'x'.repeat(500)))]);
      await bench.simulation.runFor(0.05);
      bench.machine.crash({ losePower: false });
      const second = await bench.open();
      const found = groups.map((id) => contents(second, id));
      recovered += groups.filter((id) => second.group(id).lastIndex() > 0).length;
      bench.machine.crash({ losePower: true });
      const third = await bench.open();
      assert.deepEqual(
        groups.map((id) => contents(third, id)),
        found,
        `seed ${seed}`,
      );
    }
    assert.ok(recovered > 150, `${recovered} unacknowledged writes were found`);
  });

  test('cuts an unfinished last write and goes on behind what is stable', async () => {
    let torn = 0;
    for (let seed = 0; seed < 100; seed++) {
      const bench = new Bench(seed);
      const store = await bench.open();
      await bench.run(store.write([append(GROUP, entry(1, 1))]));
      void store.write([append(GROUP, entry(1, 2, 'y'.repeat(3000)))]);
      bench.machine.crash({ losePower: true });
      const again = await bench.open();
      if (again.tornBytes > 0) torn += 1;
      const next = again.group(GROUP).lastIndex() + 1;
      await bench.run(again.write([append(GROUP, entry(2, next, 'z'))]));
      await bench.run(again.close());
      const third = await bench.open();
      assert.deepEqual(third.group(GROUP).entries(next, next + 1, 10), [entry(2, next, 'z')]);
    }
    assert.ok(torn > 10, `${torn} torn tails`);
  });

  test('survives a crash at any moment while segments are begun, given back and reused', async () => {
    for (let seed = 0; seed < 400; seed++) {
      const bench = new Bench(seed);
      const { random } = bench.machine;
      const store = await bench.open();
      let acknowledged = 0;
      const writes = 15 + random.int(40);
      for (let i = 1; i <= writes; i++) {
        // The last one fills most of a segment, so that it mostly begins one.
        const size = i < writes ? 600 + random.int(800) : 11_000;
        const written = store.write([append(GROUP, entry(1, i, 'v'.repeat(size)))]);
        written.then(() => {
          acknowledged = i;
        });
        if (i < writes) await bench.run(written);
        if (i > 3) store.truncatePrefix(GROUP, i - 3, 1);
      }
      await bench.simulation.runFor(random.next() * 1.5);
      bench.machine.crash({ losePower: random.int(2) === 0 });
      const again = await bench.open();
      const last = again.group(GROUP).lastIndex();
      assert.ok(last === acknowledged || last === writes, `seed ${seed}: ${last}, acknowledged ${acknowledged}`);
    }
  });

  test('removes a group also when that begins a segment', async () => {
    const fits = 16384 - 4096;
    for (let room = 0; room < 80; room += 3) {
      const bench = new Bench(room);
      const store = await bench.open();
      await bench.run(store.write([append(GROUP, entry(1, 1, 'x'.repeat(fits - 150 - room)))]));
      await bench.run(store.write([append(groupId(8), entry(1, 1))]));
      await bench.run(store.removeGroup(GROUP));
      bench.machine.crash({ losePower: true });
      assert.deepEqual((await bench.open()).groups(), [groupId(8)], `room ${room}`);
    }
  });

  test('a value that contains the bytes of a frame does not pass for one', async () => {
    const bench = new Bench(9);
    const store = await bench.open();
    // The frame begins at 4096; the value is placed so that the forged frame is aligned and names its own position.
    const position = 4096 + 512;
    const forged = Buffer.alloc(16 + 8);
    forged.writeUInt32LE(8, 4);
    forged.writeUInt32LE(1, 8);
    forged.writeUInt32LE(position, 12);
    forged.writeUInt32LE(crc32(forged.subarray(4)), 0);
    const payloadAt = 4096 + 16 + 5 + 13 + 17 + 17;
    const payload = Buffer.alloc(1000, 'v');
    forged.copy(payload, position - payloadAt);
    await bench.run(store.write([append(GROUP, { term: 1, index: 1, kind: 0, payload })]));
    const file = await bench.run(bench.machine.disk.open(`${FOLDER}/0000000001.wal`));
    assert.deepEqual(file.readSync(position, 24), forged);
    bench.machine.crash({ losePower: true });
    bench.machine.disk.flipBit(`${FOLDER}/0000000001.wal`, 4096 + 20);
    assert.deepEqual((await bench.open()).groups(), []);
  });

  /** A log of several segments with known contents, closed in order. */
  async function closedLog(seed: number): Promise<{ bench: Bench; names: string[] }> {
    const bench = new Bench(seed);
    const store = await bench.open();
    for (let i = 1; i <= 60; i++) await bench.run(store.write([append(GROUP, entry(1, i, 'v'.repeat(600)))]));
    await bench.run(store.close());
    return { bench, names: await bench.segments() };
  }

  test('refuses to open over damage anywhere in what is stable, naming the file and the offset', async () => {
    const { bench, names } = await closedLog(1);
    assert.ok(names.length >= 3);
    let refused = 0;
    let harmless = 0;
    const first = await bench.open();
    const whole = contents(first, GROUP);
    await bench.run(first.close());
    for (const name of names) {
      const path = `${FOLDER}/${name}`;
      const file = await bench.run(bench.machine.disk.open(path));
      const used = lastByte(file.readSync(0, 16384));
      await bench.run(file.close());
      const isLast = name === names.at(-1);
      for (let at = 4096; at < used - (isLast ? 24 : 0); at += 41) {
        bench.machine.disk.flipBit(path, at, at % 8);
        const opened = await bench.open().catch((error: Error & { code: string; file: string; offset: number }) => {
          assert.equal(error.code, 'LOG_CORRUPT', `byte ${at} of ${name}: ${error.stack}`);
          assert.equal(error.file, path);
          assert.ok(error.offset <= at && error.offset > at - 700, `${error.offset} for damage at ${at}`);
          assert.match(error.message, /does not start/);
          refused += 1;
        });
        // The few bytes between two frames mean nothing.
        if (opened !== undefined) {
          assert.deepEqual(contents(opened, GROUP), whole, `byte ${at} of ${name}`);
          await bench.run(opened.close());
          harmless += 1;
        }
        bench.machine.disk.flipBit(path, at, at % 8);
      }
    }
    assert.ok(refused > 500 && harmless < refused / 50, `${refused} refused, ${harmless} harmless`);
    const intact = await bench.open();
    assert.equal(intact.group(GROUP).lastIndex(), 60);
  });

  test('refuses to open when a segment that is needed is missing', async () => {
    const { bench, names } = await closedLog(2);
    await bench.run(bench.machine.disk.remove(`${FOLDER}/${names[1]}`));
    await assert.rejects(bench.open(), { code: 'LOG_CORRUPT', file: `${FOLDER}/${names[1]}` });
  });

  test('refuses an entry that no longer matches its checksum when it is read back', async () => {
    const { bench, names } = await closedLog(3);
    const store = await bench.open();
    bench.machine.disk.flipBit(`${FOLDER}/${names[0]}`, 4096 + 200, 3);
    assert.throws(() => store.group(GROUP).entries(1, 2, 1000), { code: 'LOG_CORRUPT' });
    assert.equal(store.group(GROUP).entries(2, 3, 1000)!.length, 1);
  });

  test('gives space back when entries are truncated, and reuses it', async () => {
    const bench = new Bench(4);
    const store = await bench.open();
    for (let i = 1; i <= 400; i++) {
      await bench.run(store.write([append(GROUP, entry(1, i, 'v'.repeat(1000)))]));
      if (i > 20) store.truncatePrefix(GROUP, i - 20, 1);
      if (i % 50 === 0) assert.ok((await bench.segments()).length <= 6, `${(await bench.segments()).length} segments`);
    }
    const before = contents(store, GROUP);
    bench.machine.crash({ losePower: true });
    const again = await bench.open();
    again.truncatePrefix(GROUP, 380, 1);
    assert.deepEqual(contents(again, GROUP), before);
  });

  test('copies a quiet group forward so that it does not keep old segments', async () => {
    const bench = new Bench(5);
    const store = await bench.open();
    const quiet: GroupId = groupId(99);
    await bench.run(store.write([append(quiet, entry(1, 1, 'still here'))]));
    for (let i = 1; i <= 200; i++) {
      await bench.run(store.write([append(GROUP, entry(1, i, 'v'.repeat(1000)))]));
      store.truncatePrefix(GROUP, i, 1);
    }
    assert.ok((await bench.segments()).length <= 6);
    bench.machine.crash({ losePower: true });
    assert.deepEqual((await bench.open()).group(quiet).entries(1, 2, 100), [entry(1, 1, 'still here')]);
  });

  test('keeps recent entries in memory up to its bound and reads older ones back', async () => {
    const bench = new Bench(6);
    const store = await bench.open({ cacheBytes: 5000 });
    const entries = Array.from({ length: 40 }, (_, i) => entry(1, i + 1, `${i}`.repeat(300)));
    for (const one of entries) await bench.run(store.write([append(GROUP, one)]));
    assert.deepEqual(store.group(GROUP).entries(1, 41, Number.POSITIVE_INFINITY), entries);
    assert.deepEqual(
      store
        .group(GROUP)
        .entries(3, 41, 700)!
        .map((e) => e.index),
      [3, 4],
    );
  });

  test('a failed write is final: it and all after it are refused with what to do', async () => {
    const bench = new Bench(7);
    const store = await bench.open();
    await bench.run(store.write([append(GROUP, entry(1, 1))]));
    bench.machine.disk.failsSyncs = true;
    const first = assert.rejects(store.write([append(GROUP, entry(1, 2))]), {
      code: 'LOG_WRITE_FAILED',
      message: /EIO.*must stop.*Check the disk/,
    });
    const second = assert.rejects(store.write([append(GROUP, entry(1, 3))]), { code: 'LOG_WRITE_FAILED' });
    await bench.run(Promise.all([first, second]));
    bench.machine.disk.failsSyncs = false;
    await assert.rejects(store.write([append(GROUP, entry(1, 4))]), { code: 'LOG_WRITE_FAILED' });
    await bench.run(store.close());
    const again = await bench.open();
    assert.deepEqual(again.group(GROUP).entries(1, 2, 100), [entry(1, 1)]);
  });

  test('what is found after a failed write is stable: a power failure takes it back neither then nor after more writes', async () => {
    let found = 0;
    for (let seed = 0; seed < 300; seed++) {
      const bench = new Bench(seed);
      const store = await bench.open();
      await bench.run(store.write([append(GROUP, entry(1, 1))]));
      // Every third fills most of the segment, so that the failed frame is the first of another.
      const isFirst = seed % 3 === 0;
      if (isFirst) await bench.run(store.write([append(GROUP, entry(1, 2, 'x'.repeat(11_000)))]));
      const last = store.group(GROUP).lastIndex();
      await bench.simulation.runFor(20);
      bench.machine.disk.failsSyncs = true;
      await bench.run(
        assert.rejects(store.write([append(GROUP, entry(1, last + 1, 'x'.repeat(2000)))]), {
          code: 'LOG_WRITE_FAILED',
        }),
      );
      bench.machine.disk.failsSyncs = false;
      await bench.run(store.close());
      const second = await bench.open();
      const accepted = second.group(GROUP).lastIndex();
      if (accepted > last) found += 1;
      const more = seed % 2;
      if (more === 1) await bench.run(second.write([append(GROUP, entry(1, accepted + 1))]));
      bench.machine.crash({ losePower: true });
      const third = await bench.open();
      assert.equal(third.group(GROUP).lastIndex(), accepted + more, `seed ${seed}`);
    }
    assert.ok(found > 100, `${found} writes that had failed were found`);
  });

  test('a full disk stops it when the next segment is needed, and it recovers when there is space', async () => {
    const bench = new Bench(8);
    const store = await bench.open();
    bench.machine.disk.isFull = true;
    let acknowledged = 0;
    await assert.rejects(
      async () => {
        for (;;) {
          await bench.run(store.write([append(GROUP, entry(1, acknowledged + 1, 'v'.repeat(1000)))]));
          acknowledged += 1;
        }
      },
      { code: 'LOG_WRITE_FAILED', message: /ENOSPC.*Free space/ },
    );
    assert.ok(acknowledged > 5);
    await bench.run(store.close());
    bench.machine.disk.isFull = false;
    const again = await bench.open();
    assert.equal(again.group(GROUP).lastIndex(), acknowledged);
    await bench.run(again.write([append(GROUP, entry(1, acknowledged + 1, 'v'.repeat(1000)))]));
  });

  test('waits also for a frame in a segment that is there, where the file system copies on write', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const bench = new Bench(seed);
      const { machine } = bench;
      machine.disk.copiesOnWrite = true;
      const waitForSpace = (): Promise<void> => new Promise((resolve) => machine.scheduler.after(100, resolve));
      const store = await bench.open({ waitForSpace });
      await bench.run(store.write([append(GROUP, entry(1, 1))]));
      machine.disk.isFull = true;
      let acknowledged = 1;
      for (const index of [2, 3]) {
        store.write([append(GROUP, entry(1, index, 'v'.repeat(700)))]).then(
          () => {
            acknowledged = index;
          },
          () => undefined,
        );
      }
      await bench.simulation.runFor(1_000);
      assert.deepEqual([store.isOutOfSpace, acknowledged], [true, 1]);
      const isCut = seed % 2 === 0;
      if (isCut) machine.crash({ losePower: seed % 4 === 0 });
      machine.disk.isFull = false;
      if (!isCut) {
        await bench.run(store.write([append(GROUP, entry(1, 4))]));
        assert.deepEqual([store.isOutOfSpace, acknowledged], [false, 3]);
        machine.crash({ losePower: true });
      }
      const last = (await bench.open()).group(GROUP).lastIndex();
      assert.ok(isCut ? last >= 1 : last === 4, `seed ${seed}: ${last}`);
    }
  });

  test('a full disk is waited for where it may be: nothing is acknowledged meanwhile, and nothing is lost', async () => {
    const bench = new Bench(8);
    const { machine } = bench;
    let waits = 0;
    const waitForSpace = (): Promise<void> => {
      waits++;
      return new Promise((resolve) => machine.scheduler.after(100, resolve));
    };
    const store = await bench.open({ waitForSpace });
    machine.disk.isFull = true;
    let written = 0;
    let acknowledged = 0;
    while (!store.isOutOfSpace) {
      written++;
      const done = store.write([append(GROUP, entry(1, written, 'v'.repeat(1000)))]);
      done.then(
        () => acknowledged++,
        () => undefined,
      );
      await bench.simulation.runFor(50);
    }
    await bench.simulation.runFor(1_000);
    assert.ok(waits > 5);
    assert.equal(acknowledged, written - 1, 'what waits is not called stable');
    machine.disk.isFull = false;
    await bench.run(store.write([append(GROUP, entry(1, written + 1, 'v'))]));
    assert.equal(acknowledged, written);
    assert.equal(store.isOutOfSpace, false);
    await bench.run(store.close());
    const again = await bench.open();
    assert.equal(again.group(GROUP).lastIndex(), written + 1);
    machine.disk.isFull = true;
    await bench.run(again.close());
  });
});

function lastByte(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}
