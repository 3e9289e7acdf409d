import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { type GroupId, groupId, nodeId } from '../../../src/platform/index.ts';
import type { LogWrite } from '../../../src/raftengine/contract/types.ts';
import type { HardState } from '../../../src/raftengine/core/types.ts';
import type { WalLogStore } from '../../../src/raftengine/log/wal-log-store.ts';
import { append, contents, entry, GROUP, logStoreContract } from '../../support/log-store-contract.ts';
import { encryptedBench } from './encrypted-bench.ts';
import { ModelLog } from './model-log.ts';
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

type Step =
  | { readonly kind: 'append'; readonly group: number; readonly count: number; readonly bytes: number }
  | { readonly kind: 'overwrite'; readonly group: number; readonly back: number; readonly bytes: number }
  | { readonly kind: 'reset'; readonly group: number; readonly ahead: number }
  | { readonly kind: 'truncate'; readonly group: number; readonly share: number }
  | { readonly kind: 'remove'; readonly group: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'crash'; readonly losePower: boolean }
  | { readonly kind: 'ioError'; readonly group: number; readonly bytes: number }
  | { readonly kind: 'renew' }
  | { readonly kind: 'restart' };

const group = fc.integer({ min: 1, max: 4 });
const bytes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('append' as const), group, count: fc.integer({ min: 0, max: 5 }), bytes }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('overwrite' as const), group, back: fc.nat(10), bytes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), group, ahead: fc.nat(50) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('truncate' as const),
      group,
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), group }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.double({ min: 0, max: 2, noNaN: true }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const), losePower: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('ioError' as const), group, bytes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('renew' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

/** Drives a store and a model of it; the model keeps the state after every write, acknowledged or not. */
class Run {
  private readonly bench: Bench;
  private store: WalLogStore | undefined;
  private model = new ModelLog();
  /** States after each write that is not known to be stable, oldest first; the first one is known to be. */
  private history: ModelLog[] = [this.model.copy()];
  private serial = 0;

  constructor(seed: number, isEncrypted: boolean) {
    this.bench = isEncrypted ? encryptedBench(seed) : new Bench(seed);
  }

  async go(steps: readonly Step[]): Promise<void> {
    this.store = await this.bench.open();
    for (const one of steps) await this.step(one, this.store!);
    await this.crash(true);
    await this.bench.run(this.store!.close());
  }

  private async step(one: Step, store: WalLogStore): Promise<void> {
    switch (one.kind) {
      case 'append': {
        const last = store.group(groupId(one.group)).lastIndex();
        this.write(store, one.group, last + 1, one.count, one.bytes);
        break;
      }
      case 'overwrite': {
        const log = store.group(groupId(one.group));
        this.write(store, one.group, Math.max(log.firstIndex(), log.lastIndex() - one.back), 2, one.bytes);
        break;
      }
      case 'reset': {
        const id = groupId(one.group);
        const conf = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
        const index = store.group(id).lastIndex() + one.ahead;
        this.submit(store, [{ groupId: id, hardState: undefined, entries: [], resetTo: { index, term: 5, conf } }]);
        break;
      }
      case 'truncate': {
        const log = store.group(groupId(one.group));
        const upTo = Math.floor(log.firstIndex() + (log.lastIndex() - log.firstIndex()) * one.share);
        const term = log.term(upTo);
        if (upTo < log.firstIndex() || term === undefined || log.lastIndex() < log.firstIndex()) break;
        store.truncatePrefix(groupId(one.group), upTo, term);
        this.model.truncate(groupId(one.group), upTo, term);
        break;
      }
      case 'remove': {
        const removed = store.removeGroup(groupId(one.group));
        // Nothing is written for a group that is not there.
        if (this.model.remove(groupId(one.group))) this.watch(removed);
        break;
      }
      case 'pass':
        await this.bench.simulation.runFor(one.ms);
        break;
      case 'crash':
        await this.crash(one.losePower);
        break;
      case 'ioError':
        await this.failWrite(store, one.group, one.bytes);
        break;
      case 'renew':
        // A crash, or an error of the disk, leaves it unfinished.
        store
          .renew()
          .catch((error: Error & { code: string }) => assert.match(error.code, /^LOG_(?:WRITE_FAILED|CLOSED)$/));
        break;
      case 'restart':
        await this.bench.run(store.close());
        this.store = await this.bench.open();
        assert.equal(this.store.closedInOrder, true);
        assert.equal(this.store.tornBytes, 0);
        this.model.check(this.store, 'after a restart');
        this.history = [this.model.copy()];
        break;
    }
    if (this.store === store) this.model.check(store, 'live');
  }

  private write(store: WalLogStore, id: number, from: number, count: number, size: number): void {
    this.serial += 1;
    const entries = Array.from({ length: count }, (_, i) =>
      entry(this.serial, from + i, `${this.serial}.${i}.`.padEnd(size, 'x')),
    );
    const hardState: HardState = { term: this.serial, vote: nodeId(1), commitIndex: from };
    // Every third write has entries alone.
    const hard = this.serial % 3 === 0 ? undefined : hardState;
    this.submit(store, [{ groupId: groupId(id), hardState: hard, entries, resetTo: undefined }]);
  }

  private submit(store: WalLogStore, writes: LogWrite[]): void {
    for (const write of writes) this.model.write(write);
    this.watch(store.write(writes));
  }

  /** Remembers the state after a write until it is known to be stable. */
  private watch(written: Promise<void>): void {
    const state = this.model.copy();
    this.history.push(state);
    written.then(
      () => {
        const at = this.history.indexOf(state);
        if (at > 0) this.history.splice(0, at);
      },
      (error: Error & { code: string }) => assert.equal(error.code, 'LOG_WRITE_FAILED'),
    );
  }

  /** The disk refuses a write, so the store ends; the supervisor starts the process again at once. */
  private async failWrite(store: WalLogStore, id: number, size: number): Promise<void> {
    this.bench.machine.disk.failsSyncs = true;
    this.write(store, id, store.group(groupId(id)).lastIndex() + 1, 1, size);
    await this.bench.run(store.close());
    this.bench.machine.disk.failsSyncs = false;
    await this.reopen();
  }

  private async crash(losePower: boolean): Promise<void> {
    // What was begun waits for the disk or the clock now: what ran on here would run in the process that comes next.
    await this.bench.simulation.runFor(0);
    this.bench.machine.crash({ losePower });
    await this.reopen();
  }

  /** What is found is the state after some write that is not older than the last acknowledged one. */
  private async reopen(): Promise<void> {
    const store = await this.bench.open();
    const found = this.history.findLast((state) => state.differsFrom(store) === undefined);
    if (found === undefined)
      assert.fail(
        `nothing that was written matches; against the last acknowledged: ${this.history[0]!.differsFrom(store)}, ` +
          `against the last written: ${this.history.at(-1)!.differsFrom(store)}`,
      );
    this.store = store;
    // Truncations are kept lazily: go on from what is there.
    this.model = found.copy();
    this.model.adoptTruncations(store);
    this.history = [this.model.copy()];
  }
}

describe('write-ahead log under faults', () => {
  for (const isEncrypted of [false, true]) {
    const form = isEncrypted ? 'encrypted' : 'in clear';
    test(`recovers everything acknowledged, in order, and nothing invented, wherever it crashes, ${form}`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer(), fc.array(step, { minLength: 1, maxLength: 80 }), async (seed, steps) => {
          await new Run(seed, isEncrypted).go(steps);
        }),
        { numRuns: Number(process.env.KVORUM_WAL_RUNS ?? (isEncrypted ? 75 : 150)) },
      );
    });
  }

  test('what was recovered is stable: a power failure right after a restart takes nothing back', async () => {
    let recovered = 0;
    for (let seed = 0; seed < 200; seed++) {
      const bench = new Bench(seed);
      const store = await bench.open();
      void store.write([append(GROUP, entry(1, 1, 'x'.repeat(500)))]);
      await bench.simulation.runFor(0.05);
      bench.machine.crash({ losePower: false });
      const second = await bench.open();
      const found = contents(second, GROUP);
      if (second.group(GROUP).lastIndex() === 1) recovered += 1;
      bench.machine.crash({ losePower: true });
      assert.deepEqual(contents(await bench.open(), GROUP), found, `seed ${seed}`);
    }
    assert.ok(recovered > 20, `${recovered} unacknowledged writes were found`);
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
    const payloadAt = 4096 + 16 + 13 + 17 + 17;
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
