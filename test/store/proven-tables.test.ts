import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { hlcTimestamp, SystemDisk, SystemScheduler } from '../../src/platform/index.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import {
  decodeProven,
  encodeProven,
  noteProven,
  type ProvenTables,
  trustedTables,
} from '../../src/store/level/proven-tables.ts';
import { until } from '../support/until.ts';

const NOTE = 'PROVEN';

async function withFolder(work: (location: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-proven-'));
  try {
    await work(join(folder, 'store'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Nothing that is to be proved behind the opening waits. */
class Eager extends SystemScheduler {
  override after(_delayMs: number, callback: () => void) {
    return super.after(0, callback);
  }
}

function openStore(location: string, onFailure?: (error: Error) => void): Promise<GroupStore> {
  const scheduler = new Eager();
  return openGroupStore({ location, counterClassOf: () => 0, scheduler, ...(onFailure && { onFailure }) });
}

/** A closed store of two tables. */
async function writeStore(location: string): Promise<string[]> {
  for (const round of [1, 2, 3]) {
    const store = await openStore(location);
    const writer = store.write();
    for (let at = 0; at < 50; at++) {
      const ts = hlcTimestamp(BigInt(100 * round + at));
      writer.put(Buffer.from(`key ${at}`), Buffer.from(`value ${round}`), ts, hlcTimestamp(0n));
    }
    writer.commit(store.appliedIndex + 1);
    // Opening turns what is in the log into a table.
    await store.close();
  }
  return tablesOf(location);
}

const tablesOf = async (location: string): Promise<string[]> =>
  (await readdir(location)).filter((name) => name.endsWith('.ldb')).sort();

const noteOf = async (location: string): Promise<ProvenTables> =>
  decodeProven(await readFile(join(location, NOTE), 'latin1'))!;

async function flip(path: string): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, 30);
  await file.write(Buffer.of(byte[0]! ^ 1), 0, 1, 30);
  await file.close();
}

/** As if the disk had changed a byte by itself: nothing that is known of the file shows it. */
async function rot(location: string, name: string): Promise<void> {
  await flip(join(location, name));
  const note = await noteOf(location);
  const { size, ino: inode, mtimeNs, ctimeNs } = await stat(join(location, name), { bigint: true });
  const tables = new Map(note.tables).set(name, { size, inode, modifiedNs: mtimeNs, changedNs: ctimeNs });
  await writeFile(join(location, NOTE), encodeProven({ ...note, tables }));
}

describe('tables that were proved', () => {
  test('are noted as this text, and what is not whole counts as no note', () => {
    const identity = {
      size: 4096n,
      inode: 77n,
      modifiedNs: 1_700_000_000_000_000_001n,
      changedNs: 1_700_000_000_000_000_002n,
    };
    const note = { boot: '2f9a', isClosed: true, tables: new Map([['000005.ldb', identity]]) };
    const text = encodeProven(note);
    assert.equal(
      text,
      'kvorum tables 1\nboot 2f9a\nclosed yes\n' +
        'table 000005.ldb 4096 77 1700000000000000001 1700000000000000002\ncrc32 2312f1a5\n',
    );
    assert.deepEqual(decodeProven(text), note);
    for (let at = 0; at < text.length; at++) {
      const changed = `${text.slice(0, at)}${text[at] === '7' ? '8' : '7'}${text.slice(at + 1)}`;
      assert.equal(decodeProven(changed), undefined, `byte ${at}`);
      assert.equal(decodeProven(text.slice(0, at)), undefined);
    }
  });

  test('are taken on trust by the next opening, but not those that were touched since', async () => {
    await withFolder(async (location) => {
      const tables = await writeStore(location);
      assert.ok(tables.length >= 2);
      assert.deepEqual([...(await trustedTables(location))].sort(), tables);
      const [first, second] = tables.map((name) => join(location, name));
      await utimes(first!, new Date(), new Date(0));
      await writeFile(`${second}.new`, await readFile(second!));
      await rm(second!);
      await writeFile(second!, await readFile(`${second}.new`));
      assert.deepEqual([...(await trustedTables(location))].sort(), tables.slice(2));
    });
  });

  test('of a database that was not closed count until the machine is started anew', async () => {
    await withFolder(async (location) => {
      const tables = await writeStore(location);
      await noteProven(location, new SystemDisk(), false);
      assert.equal((await trustedTables(location)).size, tables.length);
      const note = await noteOf(location);
      await writeFile(join(location, NOTE), encodeProven({ ...note, boot: 'another' }));
      assert.equal((await trustedTables(location)).size, 0);
      await writeFile(join(location, NOTE), encodeProven({ ...note, boot: 'another', isClosed: true }));
      assert.equal((await trustedTables(location)).size, tables.length);
      await writeFile(join(location, NOTE), encodeProven({ ...note, boot: '' }));
      assert.equal((await trustedTables(location)).size, 0);
    });
  });

  test('are proved behind the opening, and damage ends the store and all trust', async () => {
    await withFolder(async (location) => {
      const [first] = await writeStore(location);
      await rot(location, first!);
      const failures: Error[] = [];
      const store = await openStore(location, (error) => failures.push(error));
      await until('the damage is found', () => failures.length > 0);
      assert.match(failures[0]!.message, new RegExp(`damaged file ${first}`));
      await store.close();
      assert.ok(!(await readdir(location)).includes(NOTE));
      await assert.rejects(openStore(location), { code: 'CORRUPT_STORE' });
    });
  });
});
