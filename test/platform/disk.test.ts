import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Disk, nodeId, SimFabric, SimMachine, Simulation, SystemDisk } from '../../src/platform/index.ts';

interface Place {
  readonly disk: Disk;
  readonly folder: string;
  /** Waits for what the disk does. */
  settle<T>(work: Promise<T>): Promise<T>;
  dispose(): Promise<void>;
}

async function realPlace(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-disk-'));
  return { disk: new SystemDisk(), folder, settle: (work) => work, dispose: () => rm(folder, { recursive: true }) };
}

async function simulatedPlace(): Promise<Place> {
  const { simulation, machine } = await simulated(1);
  return {
    disk: machine.disk,
    folder: '/d',
    settle: (work) => simulation.runToEnd(work),
    dispose: async () => {},
  };
}

/** A machine with a folder `/d`. */
async function simulated(seed: number): Promise<{ simulation: Simulation; machine: SimMachine }> {
  const simulation = new Simulation({ seed });
  const machine = new SimMachine(new SimFabric(simulation), nodeId(1));
  await simulation.runToEnd(machine.disk.makeFolder('/d'));
  return { simulation, machine };
}

for (const [name, makePlace] of [
  ['disk of the machine', realPlace],
  ['simulated disk', simulatedPlace],
] as const)
  describe(name, () => {
    const over = (title: string, body: (place: Place) => Promise<void>): void => {
      test(title, async () => {
        const place = await makePlace();
        try {
          await place.settle(body(place));
        } finally {
          await place.dispose();
        }
      });
    };

    for (const durable of [false, true])
      over(`reads back what was written, durable: ${durable}`, async ({ disk, folder }) => {
        const file = await disk.open(join(folder, 'f'), { create: true, durable });
        await file.write(Buffer.from('hello world'), 0);
        await file.write(Buffer.from('WORLD'), 6);
        await file.write(Buffer.from('!'), 20);
        await file.sync();
        assert.equal(await file.size(), 21);
        assert.equal((await file.read(0, 11)).toString(), 'hello WORLD');
        assert.equal(file.readSync(11, 100).toString('latin1'), '\0\0\0\0\0\0\0\0\0!');
        assert.equal((await file.read(50, 10)).length, 0);
        await file.truncate(5);
        await file.close();
        const again = await disk.open(join(folder, 'f'));
        assert.equal((await again.read(0, 100)).toString(), 'hello');
        await again.close();
      });

    over('opens a missing file only when told to create it', async ({ disk, folder }) => {
      await assert.rejects(disk.open(join(folder, 'none')), { code: 'ENOENT' });
    });

    over('makes files only in folders that are there', async ({ disk, folder }) => {
      const path = join(folder, 'absent', 'f');
      await assert.rejects(disk.open(path, { create: true }), { code: 'ENOENT' });
      await disk.makeFolder(join(folder, 'absent'));
      await (await disk.open(path, { create: true })).close();
      await assert.rejects(disk.rename(path, join(folder, 'nowhere', 'f')), { code: 'ENOENT' });
      await disk.remove(join(folder, 'absent'));
      await assert.rejects(disk.open(path), { code: 'ENOENT' });
    });

    over('lists, renames and removes', async ({ disk, folder }) => {
      await disk.makeFolder(join(folder, 'sub', 'deep'));
      for (const name of ['b', 'a', 'sub/deep/x'])
        await (await disk.open(join(folder, name), { create: true })).close();
      assert.deepEqual(await disk.list(folder), ['a', 'b', 'sub']);
      await disk.rename(join(folder, 'a'), join(folder, 'b'));
      await disk.syncFolder(folder);
      assert.deepEqual(await disk.list(folder), ['b', 'sub']);
      await disk.remove(join(folder, 'sub'));
      await disk.remove(join(folder, 'sub'));
      assert.deepEqual(await disk.list(folder), ['b']);
      assert.deepEqual(await disk.list(join(folder, 'absent')), []);
    });
  });

test('a disk of the machine has the names of new folders stable, and that of one whose maker may have died', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'kvorum-disk-'));
  const synced: string[] = [];
  const open = fs.promises.open.bind(fs.promises);
  t.mock.method(fs.promises, 'open', async (path: string, flags: string) => {
    const handle = await open(path, flags);
    t.mock.method(handle, 'sync', async () => synced.push(path));
    return handle;
  });
  const disk = new SystemDisk();
  const deep = join(root, 'a', 'b', 'c');
  await disk.makeFolder(deep);
  assert.deepEqual(synced.sort(), [root, join(root, 'a'), join(root, 'a', 'b')]);
  synced.length = 0;
  await disk.makeFolder(deep);
  assert.deepEqual(synced, [join(root, 'a', 'b')]);
  await rm(root, { recursive: true });
});

describe('a simulated disk that fails', () => {
  test('keeps a folder that was made, loses one that was about to be, and what was in one that was removed', async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 30; seed++) {
      const { simulation, machine } = await simulated(seed);
      const { disk } = machine;
      await simulation.runToEnd(disk.makeFolder('/d/made/deep'));
      const file = await simulation.runToEnd(disk.open('/d/made/deep/f', { create: true, durable: true }));
      await simulation.runToEnd(file.write(Buffer.from('x'), 0));
      await simulation.runToEnd(disk.syncFolder('/d/made/deep'));
      await simulation.runToEnd(disk.makeFolder('/d/gone'));
      await simulation.runToEnd(disk.open('/d/gone/f', { create: true }));
      await simulation.runToEnd(disk.syncFolder('/d/gone'));
      await simulation.runToEnd(disk.remove('/d/gone'));
      await simulation.runToEnd(disk.syncFolder('/d'));
      void disk.makeFolder('/d/late');
      machine.crash({ losePower: true });
      assert.deepEqual(await simulation.runToEnd(disk.list('/d/made/deep')), ['f']);
      assert.deepEqual(await simulation.runToEnd(disk.list('/d/gone')), []);
      outcomes.add((await simulation.runToEnd(disk.list('/d'))).join());
    }
    assert.deepEqual([...outcomes].sort(), ['late,made', 'made']);
  });

  test('keeps what was synced and may lose or tear anything else when the power fails', async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const { simulation, machine } = await simulated(seed);
      const { disk } = machine;
      const file = await simulation.runToEnd(disk.open('/d/f', { create: true }));
      await simulation.runToEnd(file.write(Buffer.alloc(2048, 'a'), 0));
      await simulation.runToEnd(file.sync());
      await simulation.runToEnd(disk.syncFolder('/d'));
      await simulation.runToEnd(file.write(Buffer.alloc(1024, 'b'), 512));
      machine.crash({ losePower: true });
      const again = await simulation.runToEnd(disk.open('/d/f'));
      const text = (await simulation.runToEnd(again.read(0, 4096))).toString();
      assert.match(text, /^a{512}[ab]{1024}a{512}$/, `seed ${seed}`);
      outcomes.add(text.slice(512, 1536).includes('a') ? (text.includes('b') ? 'torn' : 'lost') : 'kept');
    }
    assert.deepEqual([...outcomes].sort(), ['kept', 'lost', 'torn']);
  });

  test('keeps what was written when only the process dies, but not for a later power failure', async () => {
    const { simulation, machine } = await simulated(1);
    const file = await simulation.runToEnd(machine.disk.open('/d/f', { create: true }));
    await simulation.runToEnd(file.write(Buffer.from('abc'), 0));
    machine.crash({ losePower: false });
    const again = await simulation.runToEnd(machine.disk.open('/d/f'));
    assert.equal(again.readSync(0, 3).toString(), 'abc');
    let lostOnce = false;
    for (let seed = 0; seed < 20 && !lostOnce; seed++) {
      const other = await simulated(seed);
      await other.simulation.runToEnd(other.machine.disk.open('/d/f', { create: true }));
      other.machine.crash({ losePower: false });
      other.machine.crash({ losePower: true });
      lostOnce = (await other.simulation.runToEnd(other.machine.disk.list('/d'))).length === 0;
    }
    assert.equal(lostOnce, true);
  });

  test('keeps durable writes and names of synced folders in every power failure', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const { simulation, machine } = await simulated(seed);
      const file = await simulation.runToEnd(machine.disk.open('/d/tmp', { create: true, durable: true }));
      await simulation.runToEnd(file.write(Buffer.from('abc'), 0));
      await simulation.runToEnd(machine.disk.rename('/d/tmp', '/d/f'));
      await simulation.runToEnd(machine.disk.syncFolder('/d'));
      machine.crash({ losePower: true });
      assert.deepEqual(await simulation.runToEnd(machine.disk.list('/d')), ['f']);
      const again = await simulation.runToEnd(machine.disk.open('/d/f'));
      assert.equal(again.readSync(0, 9).toString(), 'abc');
    }
  });

  test('operations under way never complete after a crash', async () => {
    const { simulation, machine } = await simulated(1);
    let completed = false;
    machine.disk.open('/d/f', { create: true }).then(() => {
      completed = true;
    });
    machine.crash({ losePower: false });
    await simulation.runFor(100);
    assert.equal(completed, false);
  });

  test('refuses growth when it is full and still overwrites', async () => {
    const { simulation, machine } = await simulated(1);
    const file = await simulation.runToEnd(machine.disk.open('/d/f', { create: true, durable: true }));
    await simulation.runToEnd(file.write(Buffer.from('abcdef'), 0));
    machine.disk.isFull = true;
    await simulation.runToEnd(file.write(Buffer.from('XY'), 4));
    await simulation.runToEnd(assert.rejects(file.write(Buffer.from('XYZ'), 4), { code: 'ENOSPC' }));
    await simulation.runToEnd(assert.rejects(machine.disk.open('/d/g', { create: true }), { code: 'ENOSPC' }));
    assert.equal(file.readSync(0, 9).toString(), 'abcdXY');
  });

  test('fails syncs and durable writes on request', async () => {
    const { simulation, machine } = await simulated(1);
    const file = await simulation.runToEnd(machine.disk.open('/d/f', { create: true, durable: true }));
    machine.disk.failsSyncs = true;
    await simulation.runToEnd(assert.rejects(file.write(Buffer.from('a'), 0), { code: 'EIO' }));
    await simulation.runToEnd(assert.rejects(file.sync(), { code: 'EIO' }));
  });

  test('leaves pages readable and clean when it refuses them: no later sync saves them from a power failure, but a second write does', async () => {
    const lost = { write: 0, sync: 0, again: 0 };
    for (let seed = 0; seed < 60; seed++) {
      for (const how of ['write', 'sync', 'again'] as const) {
        const { simulation, machine } = await simulated(seed);
        const { disk } = machine;
        const durable = how !== 'sync';
        const file = await simulation.runToEnd(disk.open('/d/f', { create: true, durable }));
        await simulation.runToEnd(disk.syncFolder('/d'));
        disk.failsSyncs = true;
        const refused = durable
          ? file.write(Buffer.from('abc'), 0)
          : file.write(Buffer.from('abc'), 0).then(() => file.sync());
        await simulation.runToEnd(assert.rejects(refused, { code: 'EIO' }));
        disk.failsSyncs = false;
        const isReadable = file.readSync(0, 3).toString() === 'abc';
        if (how === 'again') await simulation.runToEnd(file.write(Buffer.from('abc'), 0));
        else await simulation.runToEnd(file.sync());
        machine.crash({ losePower: true });
        const after = await simulation.runToEnd(disk.open('/d/f'));
        if (isReadable && after.readSync(0, 3).toString() !== 'abc') lost[how] += 1;
      }
    }
    assert.ok(lost.write > 10 && lost.sync > 10, `${lost.write} and ${lost.sync} of 60 lost`);
    assert.equal(lost.again, 0);
  });

  test('tells of a refusal once for each open file, to whichever of its writes asks', async () => {
    const wrong = { one: 0, two: 0 };
    for (let seed = 0; seed < 60; seed++) {
      for (const files of ['one', 'two'] as const) {
        const { simulation, machine } = await simulated(seed);
        const { disk } = machine;
        const open = () => simulation.runToEnd(disk.open('/d/f', { create: true, durable: true }));
        const first = await open();
        const second = files === 'one' ? first : await open();
        await simulation.runToEnd(disk.syncFolder('/d'));
        disk.failsSyncs = 'once';
        const written = [first.write(Buffer.alloc(512, 'a'), 0), second.write(Buffer.alloc(512, 'b'), 512)];
        const outcomes = await simulation.runToEnd(Promise.allSettled(written));
        assert.equal(outcomes.filter(({ status }) => status === 'rejected').length, 1);
        machine.crash({ losePower: true });
        const after = (await open()).readSync(0, 1024).toString();
        const isThere = ['a'.repeat(512), 'b'.repeat(512)].map((text) => after.includes(text));
        if (outcomes.some(({ status }, at) => status === 'fulfilled' && !isThere[at])) wrong[files] += 1;
      }
    }
    assert.ok(wrong.one > 5, `${wrong.one} of 60`);
    assert.equal(wrong.two, 0);
  });

  test('a durable write makes nothing stable but itself', async () => {
    let lost = 0;
    for (let seed = 0; seed < 40; seed++) {
      const { simulation, machine } = await simulated(seed);
      const { disk } = machine;
      const file = await simulation.runToEnd(disk.open('/d/f', { create: true }));
      const durable = await simulation.runToEnd(disk.open('/d/f', { durable: true }));
      await simulation.runToEnd(disk.syncFolder('/d'));
      await simulation.runToEnd(file.write(Buffer.from('abc'), 0));
      await simulation.runToEnd(durable.write(Buffer.from('def'), 3));
      machine.crash({ losePower: true });
      const after = (await simulation.runToEnd(disk.open('/d/f'))).readSync(0, 6).toString('latin1');
      assert.equal(after.slice(3), 'def', `seed ${seed}`);
      if (after.slice(0, 3) !== 'abc') lost += 1;
    }
    assert.ok(lost > 5, `${lost} of 40`);
  });

  test('is as slow as it is told to be', async () => {
    const { simulation, machine } = await simulated(1);
    machine.disk.slowness = 1000;
    const file = await simulation.runToEnd(machine.disk.open('/d/f', { create: true }));
    const startMs = simulation.nowMs();
    await simulation.runToEnd(file.write(Buffer.from('a'), 0));
    assert.ok(simulation.nowMs() - startMs >= 20);
  });
});
