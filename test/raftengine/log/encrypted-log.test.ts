import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  type DiskFile,
  type DiskOpenOptions,
  groupId,
  PassingDisk,
  SystemDisk,
  SystemRandom,
} from '../../../src/platform/index.ts';
import { NodeRecord } from '../../../src/raftengine/founding/node-record.ts';
import { encodeSegmentHeader } from '../../../src/raftengine/log/format.ts';
import { WalLogStore } from '../../../src/raftengine/log/wal-log-store.ts';
import { type DataKey, DataKeys } from '../../../src/security/index.ts';
import { append, contents, entry, GROUP, logStoreContract } from '../../support/log-store-contract.ts';
import { encryptedBench, testKey } from './encrypted-bench.ts';
import { FOLDER, INCARNATION, WalBench } from './wal-bench.ts';

const KEYS = [testKey(1)];
const SECRET = 'nobody may read this';

for (const cacheBytes of [1 << 20, 0]) {
  logStoreContract(`encrypted write-ahead log on the machine, ${cacheBytes} bytes of cache`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kvorum-wal-'));
    const disk = new SystemDisk();
    const random = new SystemRandom();
    return {
      open: async () =>
        WalLogStore.open({
          disk,
          folder: join(folder, 'log'),
          random,
          record: await NodeRecord.open({ disk, folder, incarnation: INCARNATION }),
          ...{ segmentBytes: 8192, cacheBytes, keepSegments: 2 },
          encryption: { sealing: new DataKeys(KEYS, random).sealing('log'), allowsClear: false },
        }),
      dispose: () => rm(folder, { recursive: true }),
    };
  });
}

/** All bytes of the log's folder, whatever the files are called. */
async function bytesOf(bench: WalBench): Promise<Buffer> {
  const { disk } = bench.machine;
  const files: Buffer[] = [];
  for (const name of await bench.run(disk.list(FOLDER))) {
    const file = await bench.run(disk.open(`${FOLDER}/${name}`));
    files.push(file.readSync(0, 1 << 24));
    await bench.run(file.close());
  }
  return Buffer.concat(files);
}

/** A segment whose frames' checksums are right again. */
function mended(segment: Buffer): Buffer {
  const salt = segment.readUInt32LE(20);
  for (let at = 4096; segment.readUInt32LE(at + 12) === at; ) {
    const end = at + 16 + segment.readUInt32LE(at + 4);
    segment.writeUInt32LE(crc32(segment.subarray(at + 4, end), salt), at);
    at = Math.ceil(end / 8) * 8;
  }
  return segment;
}

async function fill(store: WalLogStore, bench: WalBench, from: number, to: number): Promise<void> {
  for (let at = from; at <= to; at++) {
    await bench.run(store.write([append(GROUP, entry(1, at, `${SECRET} ${at} `.repeat(20)))]));
  }
}

/** The log of one bench, opened with other keys or none. */
const reopened = (bench: WalBench, keys: readonly DataKey[] | undefined, allowsClear = false): Promise<WalLogStore> =>
  bench.open({
    encryption:
      keys === undefined
        ? undefined
        : { sealing: new DataKeys(keys, bench.machine.random).sealing('log'), allowsClear },
  });

/** Keeps what is to be removed. */
class StubbornDisk extends PassingDisk {
  isStubborn = true;

  open(path: string, options?: DiskOpenOptions): Promise<DiskFile> {
    return this.inner.open(path, options);
  }

  override async remove(path: string): Promise<void> {
    if (this.isStubborn && path.endsWith('.wal')) throw Object.assign(new Error('EIO: remove'), { code: 'EIO' });
    await super.remove(path);
  }
}

/** Runs until it settles, while the machine's time passes. */
async function renewed(store: WalLogStore, bench: WalBench): Promise<void> {
  await bench.run(store.renew());
}

describe('an encrypted log', () => {
  test('says nothing of what is in it, and reads it back', async () => {
    const bench = encryptedBench(1);
    const store = await bench.open({ cacheBytes: 0 });
    await fill(store, bench, 1, 60);
    const whole = contents(store, GROUP);
    assert.ok(!(await bytesOf(bench)).includes(SECRET.slice(0, 6)));
    await bench.run(store.close());
    const again = await bench.open({ cacheBytes: 0 });
    assert.deepEqual(contents(again, GROUP), whole);
  });

  test('is refused without its key, with another one, and where it belongs to another use', async () => {
    const bench = encryptedBench(2);
    const store = await bench.open();
    await fill(store, bench, 1, 3);
    await bench.run(store.close());
    const before = await bytesOf(bench);
    await assert.rejects(reopened(bench, undefined), { code: 'LOG_CORRUPT', message: /keys .* are not here/ });
    await assert.rejects(reopened(bench, [testKey(2)]), { code: 'LOG_CORRUPT', message: /key that is not here/ });
    await assert.rejects(reopened(bench, [{ ...testKey(2), id: 1 }]), { code: 'LOG_CORRUPT' });
    assert.ok(before.equals(await bytesOf(bench)), 'nothing was written');
  });

  test('refuses a frame that was changed, also by somebody who mends its checksum, and a segment in another place', async () => {
    for (const at of [4096 + 40, 4096 + 700]) {
      const bench = encryptedBench(3);
      const store = await bench.open();
      await fill(store, bench, 1, 40);
      await bench.run(store.close());
      const [name] = await bench.segments();
      const file = await bench.run(bench.machine.disk.open(`${FOLDER}/${name}`, { durable: true }));
      const bytes = file.readSync(0, 16384);
      bytes[at]! ^= 1;
      // As whoever knows the format, and not the key, would do it.
      await bench.run(file.write(mended(bytes), 0));
      await assert.rejects(bench.open(), { code: 'LOG_CORRUPT', message: /was changed, or moved there/ });
    }
  });

  test('never takes a log in clear for its own, nor is taken for one', async () => {
    const bench = new WalBench(4);
    const clear = await bench.open();
    await fill(clear, bench, 1, 3);
    await bench.run(clear.close());
    await assert.rejects(reopened(bench, KEYS), { code: 'LOG_CORRUPT', message: /in clear, though all/ });
    const converting = await reopened(bench, KEYS, true);
    await fill(converting, bench, 4, 6);
    await bench.run(converting.close());
    await assert.rejects(bench.open(), { code: 'LOG_CORRUPT', message: /keys .* are not here/ });
  });

  test('has this header', () => {
    const header = { sequence: 3, size: 1 << 26, salt: 0xdeadbeef, owner: INCARNATION, isSealed: true };
    for (const [isMarked, version] of [
      [false, '03'],
      [true, '05'],
    ] as const)
      assert.equal(
        encodeSegmentHeader({ ...header, isMarked }).toString('hex', 0, 40),
        `4b56524d57414c01${version}0000000300000000000004efbeadde00112233445566778899aabbccddeeff`,
      );
  });
});

describe('a log that is written again', () => {
  test('has nothing in clear when it is done, while others write, and keeps everything', async () => {
    const bench = new WalBench(5);
    const clear = await bench.open();
    for (const quiet of [21, 22, 23]) await bench.run(clear.write([append(groupId(quiet), entry(1, 1, SECRET))]));
    await fill(clear, bench, 1, 60);
    await bench.run(clear.close());
    const store = await reopened(bench, KEYS, true);
    const renewing = store.renew();
    const written = store.write([append(GROUP, entry(2, 61, SECRET))]);
    await bench.run(Promise.all([renewing, written]));
    assert.ok(!(await bytesOf(bench)).includes(SECRET.slice(0, 6)));
    const whole = contents(store, GROUP);
    bench.machine.crash({ losePower: true });
    // From now on nothing in clear is accepted.
    const again = await reopened(bench, KEYS);
    assert.deepEqual(contents(again, GROUP), whole);
    assert.equal(again.group(GROUP).lastIndex(), 61);
    for (const quiet of [21, 22, 23]) assert.equal(again.group(groupId(quiet)).lastIndex(), 1);
  });

  test('needs the older key no more', async () => {
    const bench = encryptedBench(6);
    const first = await bench.open();
    await fill(first, bench, 1, 60);
    const whole = contents(first, GROUP);
    await bench.run(first.close());
    const second = await reopened(bench, [testKey(1), testKey(2)]);
    await renewed(second, bench);
    await bench.run(second.close());
    const third = await reopened(bench, [testKey(2)]);
    assert.deepEqual(contents(third, GROUP), whole);
  });

  test('loses nothing when the power fails at any moment', async () => {
    for (let seed = 0; seed < 60; seed++) {
      const bench = new WalBench(seed);
      const clear = await bench.open();
      await bench.run(clear.write([append(groupId(21), entry(1, 1, SECRET))]));
      await fill(clear, bench, 1, 25);
      const whole = contents(clear, GROUP);
      await bench.run(clear.close());
      const store = await reopened(bench, KEYS, true);
      store.renew().catch(() => {});
      await bench.simulation.runFor(bench.machine.random.next() * 8);
      bench.machine.crash({ losePower: true });
      const again = await reopened(bench, KEYS, true);
      assert.deepEqual(contents(again, GROUP), whole, `seed ${seed}`);
      assert.equal(again.group(groupId(21)).lastIndex(), 1);
      await renewed(again, bench);
      assert.ok(!(await bytesOf(bench)).includes(SECRET.slice(0, 6)), `seed ${seed}`);
    }
  });

  test('is written again by each of two calls at a time, the later one of which has more to write', async () => {
    const bench = new WalBench(8);
    const quiet = [21, 22].map(groupId);
    const large = SECRET.repeat(300);
    const clear = await bench.open();
    await bench.run(clear.write([append(quiet[0]!, entry(1, 1, large))]));
    await bench.run(clear.close());
    const store = await reopened(bench, KEYS, true);
    const first = store.renew();
    // Lies where the first call has begun, so the second one has to write it again.
    const written = store.write([append(quiet[1]!, entry(1, 1, large))]);
    await bench.run(Promise.all([first, written, store.renew()]));
    for (const id of quiet) assert.equal(store.group(id).lastIndex(), 1);
    assert.ok(!(await bytesOf(bench)).includes(SECRET.slice(0, 6)));
  });

  test('is not done while a file of before cannot be removed, and removes it when it is told again', async () => {
    const bench = new WalBench(9);
    const clear = await bench.open();
    await fill(clear, bench, 1, 60);
    await bench.run(clear.close());
    const disk = new StubbornDisk(bench.machine.disk);
    const store = await bench.open({
      disk,
      encryption: { sealing: new DataKeys(KEYS, bench.machine.random).sealing('log'), allowsClear: true },
    });
    await assert.rejects(renewed(store, bench), { code: 'LOG_WRITE_FAILED', message: /EIO/ });
    disk.isStubborn = false;
    await renewed(store, bench);
    assert.ok(!(await bytesOf(bench)).includes(SECRET.slice(0, 6)));
  });

  test('rewrites a group that is larger than a segment', async () => {
    const bench = new WalBench(7);
    const clear = await bench.open();
    await fill(clear, bench, 1, 100);
    const whole = contents(clear, GROUP);
    await bench.run(clear.close());
    const store = await reopened(bench, KEYS, true);
    await renewed(store, bench);
    assert.deepEqual(contents(store, GROUP), whole);
    assert.ok(!(await bytesOf(bench)).includes(SECRET.slice(0, 6)));
  });
});
