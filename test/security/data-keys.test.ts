import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nodeId, SeededRandom, SimFabric, SimMachine, Simulation, SystemRandom } from '../../src/platform/index.ts';
import { DataKeys, hasKeyRing, KeyRing, SEAL_BYTES, SealedDisk, WrappingKeys } from '../../src/security/index.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const key = (id: number) => ({ id, key: new SeededRandom(id).bytes(32) });
const ABOUT = Buffer.from('row 7');
const PIECE = Buffer.from('a piece of what is stored');
/** What must never be the same twice under one data key: its id, the salt and the number. */
const nonceOf = (sealed: Buffer): string => sealed.toString('hex', sealed.length - SEAL_BYTES, sealed.length - 16);

describe('a sealed piece', () => {
  test('opens with its key, for its use and in its place, and in no other way', () => {
    const keys = new DataKeys([key(1)], new SystemRandom());
    const sealed = keys.sealing('log').seal(PIECE, ABOUT);
    assert.equal(sealed.length, PIECE.length + SEAL_BYTES);
    assert.deepEqual(new DataKeys([key(1)], new SystemRandom()).sealing('log').open(sealed, ABOUT), PIECE);
    assert.equal(keys.sealing('file').open(sealed, ABOUT), undefined);
    assert.equal(keys.sealing('log').open(sealed, Buffer.from('row 8')), undefined);
    assert.equal(new DataKeys([key(2)], new SystemRandom()).sealing('log').open(sealed, ABOUT), undefined);
    assert.equal(
      new DataKeys([{ ...key(2), id: 1 }], new SystemRandom()).sealing('log').open(sealed, ABOUT),
      undefined,
    );
    assert.equal(keys.sealing('log').open(sealed.subarray(0, SEAL_BYTES - 1), ABOUT), undefined);
  });

  test('is refused when any bit of it was changed', () => {
    const sealing = new DataKeys([key(1)], new SystemRandom()).sealing('log');
    const sealed = sealing.seal(PIECE, ABOUT);
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      sealed[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(sealing.open(sealed, ABOUT), undefined, `bit ${bit}`);
      sealed[bit >> 3]! ^= 1 << (bit & 7);
    }
    assert.deepEqual(sealing.open(sealed, ABOUT), PIECE);
  });

  test('shares its nonce with no other: not after a restart, and not in a copy of the folder', () => {
    const seen = new Set<string>();
    const random = new SystemRandom();
    let sealed = 0;
    // The same key, opened again and again as it was: what a power loss, a copy or a restored machine makes of it.
    for (let life = 0; life < 50; life++) {
      const keys = new DataKeys([key(1)], random);
      for (const use of ['log', 'file', 'rows of group-1', 'rows of group-2']) {
        const [one, other] = [keys.sealing(use), keys.sealing(use)];
        for (let at = 0; at < 20; at++) {
          for (const sealing of [one, other]) {
            seen.add(nonceOf(sealing.seal(PIECE, ABOUT)));
            sealed++;
          }
        }
      }
    }
    assert.equal(seen.size, sealed);
  });

  test('is made by the newest key from the moment that there is one', () => {
    const keys = new DataKeys([key(1)], new SystemRandom());
    const sealing = keys.sealing('log');
    const old = sealing.seal(PIECE, ABOUT);
    keys.add(key(2));
    const young = sealing.seal(PIECE, ABOUT);
    assert.deepEqual([sealing.open(old, ABOUT), sealing.open(young, ABOUT)], [PIECE, PIECE]);
    keys.forget(1);
    assert.equal(keys.sealing('log').open(old, ABOUT), undefined);
    assert.deepEqual(keys.sealing('log').open(young, ABOUT), PIECE);
  });

  test('has these bytes', () => {
    const sealing = new DataKeys([key(1)], new SeededRandom(3)).sealing('log');
    assert.equal(
      sealing.seal(Buffer.from('abc'), ABOUT).toString('hex'),
      '3e098e000000017055743b83bc9524dd6e2234af01893e000000000000ae5ef442d24ac8fcfe50b01a209ba443',
    );
    assert.equal(
      sealing.seal(Buffer.from('abc'), ABOUT).toString('hex'),
      '90f5e3000000017055743b83bc9524dd6e2234af01893e0000000000013a145211c9ee619bb3165688eca5d25a',
    );
  });
});

const OWNER = '00112233445566778899aabbccddeeff';
const wrappingOf = (...bytes: number[]): WrappingKeys =>
  WrappingKeys.parse(bytes.map((byte) => Buffer.alloc(32, byte).toString('hex')).join('\n'), 'the test');

describe('the ring of keys', () => {
  const options = (disk: MemoryDisk, ...bytes: number[]) => ({
    disk,
    folder: '/node',
    wrapping: wrappingOf(...bytes),
    random: new SeededRandom(5),
  });

  test('keeps its keys for whoever has the key that wraps them', async () => {
    const disk = new MemoryDisk();
    assert.equal(await KeyRing.open(options(disk, 1), OWNER), undefined);
    const made = await KeyRing.make(options(disk, 1), OWNER, true, 1000);
    assert.ok(await hasKeyRing(disk, '/node'));
    const opened = (await KeyRing.open(options(disk, 1), OWNER))!;
    assert.deepEqual(opened.dataKeys.list(), made.dataKeys.list());
    assert.deepEqual([opened.isSealed, opened.hasOldKeys, opened.newestMadeMs], [true, false, 1000]);
    const before = new Map([...disk.files].map(([path, { bytes }]) => [path, Buffer.from(bytes)]));
    await assert.rejects(KeyRing.open(options(disk, 2), OWNER), { code: 'ENCRYPTION_KEY_WRONG' });
    await assert.rejects(KeyRing.open(options(disk, 1), 'ff'.repeat(16)), { code: 'ENCRYPTION_KEY_INVALID' });
    for (const [path, bytes] of before) assert.deepEqual(disk.files.get(path)!.bytes, bytes, 'nothing was written');
  });

  test('is wrapped anew by another key, and then the older one opens it no more', async () => {
    const disk = new MemoryDisk();
    const ring = await KeyRing.make(options(disk, 1), OWNER, false, 1000);
    const keys = ring.dataKeys.list();
    assert.equal(ring.isWrappedBy(wrappingOf(2, 1)), false);
    await ring.wrapBy(wrappingOf(2, 1));
    await assert.rejects(KeyRing.open(options(disk, 1), OWNER), { code: 'ENCRYPTION_KEY_WRONG' });
    assert.deepEqual((await KeyRing.open(options(disk, 2), OWNER))!.dataKeys.list(), keys);
  });

  test('draws newer keys and lets older ones go', async () => {
    const disk = new MemoryDisk();
    const ring = await KeyRing.make(options(disk, 1), OWNER, false, 1000);
    await ring.renew(2000);
    assert.deepEqual([ring.dataKeys.newest, ring.hasOldKeys, ring.isSealed], [2, true, false]);
    await ring.settle(2);
    const opened = (await KeyRing.open(options(disk, 1), OWNER))!;
    assert.deepEqual([opened.dataKeys.list().map(({ id }) => id), opened.isSealed], [[2], true]);
    assert.equal(opened.newestMadeMs, 2000);
  });

  test('is refused when somebody without its keys has changed it', async () => {
    const disk = new MemoryDisk();
    await KeyRing.make(options(disk, 1), OWNER, true, 1000);
    const file = disk.files.get('/node/keys.json')!;
    const text = file.bytes.toString();
    for (const [from, to] of [
      ['"isSealed":true', '"isSealed":false'],
      ['"madeMs":1000', '"madeMs":1001'],
      [OWNER, 'ff'.repeat(16)],
    ] as const) {
      file.bytes = Buffer.from(text.replaceAll(from, to));
      await assert.rejects(KeyRing.open(options(disk, 1), to.length === 32 ? to : OWNER), {
        code: 'ENCRYPTION_KEY_INVALID',
      });
    }
    file.bytes = Buffer.from(text.slice(0, 100));
    await assert.rejects(KeyRing.open(options(disk, 1), OWNER), { code: 'ENCRYPTION_KEY_INVALID', message: /damaged/ });
    file.bytes = Buffer.from(text.replace('"format":1', '"format":9'));
    await assert.rejects(KeyRing.open(options(disk, 1), OWNER), { message: /format 9/ });
  });

  test('is the one before or the one after, whenever the power fails, and what was said to be stable stays', async () => {
    const mayBeFound: Readonly<Record<string, RegExp>> = {
      made: /^(?:1 false|1,2 false)$/,
      renewed: /^1,2 false$/,
      wrapped: /^(?:1,2 false|2 true)$/,
      settled: /^2 true$/,
    };
    const kept = new Map<string, number>();
    for (let seed = 0; seed < 150; seed++) {
      const simulation = new Simulation({ seed });
      const machine = new SimMachine(new SimFabric(simulation), nodeId(1));
      const { disk, random } = machine;
      const of = (...bytes: number[]) => ({ disk, folder: '/node', wrapping: wrappingOf(...bytes), random });
      await simulation.runToEnd(disk.makeFolder('/node'));
      const ring = await simulation.runToEnd(KeyRing.make(of(1), OWNER, false, 1000));
      let step = 'made';
      const change = async (): Promise<void> => {
        await ring.renew(2000);
        step = 'renewed';
        await ring.wrapBy(wrappingOf(2, 1));
        step = 'wrapped';
        await ring.settle(2);
        step = 'settled';
      };
      change().catch(() => {});
      await simulation.runFor(random.next() * 6);
      machine.crash({ losePower: true });
      kept.set(step, (kept.get(step) ?? 0) + 1);
      const found = await simulation.runToEnd(KeyRing.open(of(2, 1), OWNER));
      const ids = found!.dataKeys.list().map(({ id }) => id);
      assert.match(`${ids} ${found!.isSealed}`, mayBeFound[step]!, `seed ${seed}: ${step}`);
      // What may seal is stable before it does.
      assert.ok(ids.includes(ring.dataKeys.newest), `seed ${seed}: ${step}`);
      if (step === 'wrapped' || step === 'settled') {
        assert.equal(found!.isWrappedBy(wrappingOf(2)), true, `seed ${seed}: ${step}`);
      }
    }
    for (const step of Object.keys(mayBeFound)) {
      assert.ok((kept.get(step) ?? 0) > 5, `the power failed when it was ${step}`);
    }
  });

  test('has these bytes', async () => {
    const disk = new MemoryDisk();
    await KeyRing.make(options(disk, 1), OWNER, true, 1000);
    assert.equal(
      disk.files.get('/node/keys.json')!.bytes.toString(),
      '{"format":1,"owner":"00112233445566778899aabbccddeeff","isSealed":true,"keys":[{"id":1,"madeMs":1000,"wrapped":"01f1e1bea5ec2923429f5ea3dd059975edbbcb13e5ba07b964a051f17b127900dfaf65428826d86344eb543adaed15746b68d7041c4240ab2992e09727825b2c52aa90b7e171d0d07e"}],"proof":"1961842c6fd22687ce03af08482216c8aff87662da25a525e2a7d75d4b253e12"}',
    );
  });
});

describe('an encrypted file', () => {
  const PART = 64 * 1024;
  const keys = new DataKeys([key(1)], new SystemRandom());

  async function written(inner: MemoryDisk, bytes: Buffer, step: number): Promise<void> {
    const file = await new SealedDisk(inner, keys, () => false).open('/f', { create: true });
    for (let at = 0; at < bytes.length; at += step) await file.write(bytes.subarray(at, at + step), at);
    await file.sync();
    await file.close();
  }

  test('reads as it was written, whatever its length and in whatever pieces', async () => {
    const random = new SeededRandom(4);
    for (const length of [0, 1, PART - 1, PART, PART + 1, 8 * PART, 8 * PART + 1, 20 * PART + 77]) {
      const bytes = random.bytes(length);
      const inner = new MemoryDisk();
      await written(inner, bytes, 100_000);
      const file = await new SealedDisk(inner, new DataKeys([key(1)], random), () => false).open('/f');
      assert.equal(await file.size(), length);
      for (const [from, count] of [
        [0, length],
        [length >> 1, 10],
        [Math.max(0, length - 3), 100],
        [PART - 5, 10],
      ] as const) {
        const expected = bytes.subarray(from, from + count);
        assert.ok((await file.read(from, count)).equals(expected), `${length}: ${count} at ${from}`);
        assert.ok(file.readSync(from, count).equals(expected));
      }
      await file.close();
    }
  });

  test('says nothing of what is in it, and is refused when it was changed, cut, lengthened or put together anew', async () => {
    const inner = new MemoryDisk();
    await written(inner, Buffer.alloc(2 * PART + 500, 'marker '), 100_000);
    const whole = inner.files.get('/f')!.bytes;
    assert.ok(!whole.includes('marker'));
    const stored = PART + SEAL_BYTES;
    const head = whole.subarray(0, 25);
    const parts = [0, 1, 2].map((at) => whole.subarray(25 + at * stored, 25 + (at + 1) * stored));
    const flipped = Buffer.from(whole);
    flipped[25 + stored + 9]! ^= 4;
    for (const bytes of [
      flipped,
      whole.subarray(0, whole.length - 1),
      whole.subarray(0, 25 + 2 * stored),
      Buffer.concat([whole, whole.subarray(25, 25 + stored)]),
      Buffer.concat([head, parts[1]!, parts[0]!, parts[2]!]),
    ]) {
      inner.files.set('/f', { bytes });
      const file = await new SealedDisk(inner, keys, () => false).open('/f');
      await assert.rejects(
        (async () => file.read(0, await file.size()))(),
        { code: 'ENCRYPTED_FILE_DAMAGED' },
        `${bytes.length} bytes`,
      );
    }
  });

  test('is never one in clear, unless that is allowed', async () => {
    const inner = new MemoryDisk();
    inner.files.set('/f', { bytes: Buffer.from('in clear') });
    await assert.rejects(new SealedDisk(inner, keys, () => false).open('/f'), { code: 'ENCRYPTED_FILE_DAMAGED' });
    const file = await new SealedDisk(inner, keys, () => true).open('/f');
    assert.equal((await file.read(0, 100)).toString(), 'in clear');
  });
});
