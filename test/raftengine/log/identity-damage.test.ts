import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { openDataFolder } from '../../../src/raftengine/founding/data-folder.ts';

const SETTINGS = { nodeId: nodeId(7), clusterName: 'proof', joins: false };
const REFUSALS: readonly unknown[] = ['DATA_FOLDER_CORRUPT', 'DATA_FOLDER_MISMATCH'];

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-identity-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A data folder with a log beside the identity, closed. @returns its incarnation */
async function makeFolder(folder: string): Promise<string> {
  const opened = await openDataFolder({ ...SETTINGS, folder, random: new SeededRandom(1) });
  await opened.close();
  // Opening turns what is in the log into a table.
  const again = await openDataFolder({ ...SETTINGS, folder, random: new SeededRandom(2) });
  await again.close();
  await mkdir(join(folder, 'log'), { recursive: true });
  await writeFile(join(folder, 'log', '0000000001.wal'), 'what a node remembers');
  return again.identity.incarnation;
}

test('a node whose identity was damaged anywhere refuses to start, and never becomes another one', async () => {
  await withFolder(async (folder) => {
    const original = join(folder, 'original');
    const incarnation = await makeFolder(original);
    const random = new SeededRandom(3);
    let refusals = 0;
    for (const name of await readdir(join(original, 'identity'))) {
      if (name === 'LOCK' || name.startsWith('LOG')) continue;
      const bytes = await readFile(join(original, 'identity', name));
      const step = Math.max(1, Math.floor(bytes.length / 12));
      for (let at = random.int(step); at < bytes.length; at += step) {
        const copy = join(folder, `copy ${name} ${at}`);
        await cp(original, copy, { recursive: true });
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= 1 << random.int(8);
        await writeFile(join(copy, 'identity', name), damaged);
        try {
          const opened = await openDataFolder({ ...SETTINGS, folder: copy, random });
          await opened.close();
          assert.equal(opened.identity.incarnation, incarnation, `byte ${at} of ${name}`);
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          const { code, message } = error as { code?: unknown; message: string };
          assert.ok(REFUSALS.includes(code) || message.includes('identity'), `byte ${at} of ${name}: ${error}`);
          refusals++;
        }
        await rm(copy, { recursive: true });
      }
    }
    assert.ok(refusals > 10, `${refusals} refusals`);
  });
});

test('a node whose identity is gone does not begin a new life over an old log', async () => {
  await withFolder(async (folder) => {
    await makeFolder(folder);
    await rm(join(folder, 'identity'), { recursive: true });
    await assert.rejects(openDataFolder({ ...SETTINGS, folder, random: new SeededRandom(4) }), {
      code: 'DATA_FOLDER_CORRUPT',
      message: /identity.*Restore it from a copy/,
    });
  });
});
