/** A cluster whose disk fills up: on a file system in memory, for which this user must be allowed to mount one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const MIB = 1024 ** 2;
const SIZE_MIB = 1_400;
const NODES = [1, 2, 3];

/** A small file system of its own; undefined where nobody lets us have one. */
function mountSmallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MIB}m`, 'tmpfs', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    rmSync(folder, { recursive: true, force: true });
    return undefined;
  }
}

/** Takes up space until `leaveBytes` are left; 0 until the system refuses more. */
function fill(folder: string, leaveBytes: number): void {
  const file = openSync(join(folder, 'filler'), 'a');
  try {
    const piece = Buffer.alloc(MIB, 1);
    for (;;) {
      const { bavail, bsize } = statfsSync(folder);
      const room = bavail * bsize - leaveBytes;
      if (room <= 0 && leaveBytes > 0) return;
      writeSync(file, piece, 0, Math.min(piece.length, leaveBytes > 0 ? room : piece.length));
    }
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

const folder = mountSmallDisk();
const skip = folder === undefined && 'this user may not mount a file system (root of a machine may)';

/** Writes keys one after the other and remembers what was acknowledged. */
class Writer {
  readonly acknowledged: number[] = [];
  readonly refusals: string[] = [];
  private next = 0;
  private isStopped = false;
  private readonly done: Promise<unknown>;

  constructor(clients: readonly Redis[]) {
    this.done = Promise.all(clients.map((client) => this.run(client)));
  }

  private async run(client: Redis): Promise<void> {
    while (!this.isStopped) {
      const key = this.next++;
      try {
        await client.set(`key${key}`, writtenValue(key));
        this.acknowledged.push(key);
      } catch (error) {
        this.refusals.push((error as Error).message);
        await delay(50);
      }
    }
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.done;
  }
}

const writtenValue = (key: number): string => `${key}:${'v'.repeat(20_000)}`;

let cluster: ProcessNodes;

before(async () => {
  if (folder !== undefined) cluster = await ProcessNodes.start({ dataFolder: join(folder, 'data'), groups: 1 });
});

after(async () => {
  await cluster?.stop();
  if (folder === undefined) return;
  execFileSync('umount', ['-l', folder]);
  rmSync(folder, { recursive: true, force: true });
});

const freeFiller = (): void => rmSync(join(folder!, 'filler'));

async function takesWrites(client: Redis): Promise<boolean> {
  return client.set('probe', 'x').then(
    () => true,
    () => false,
  );
}

test('a disk that is nearly full refuses writes with the reason, goes on reading, and takes writes again by itself', {
  skip,
}, async () => {
  const clients = NODES.map((id) => cluster.client(id));
  const [client] = clients as [Redis];
  await client.set('before', 'value');
  fill(folder!, 60 * MIB);
  await until('writes are held back', async () => !(await takesWrites(client)));
  await assert.rejects(
    client.set('refused', 'x'),
    /^ReplyError: BACKPRESSURE .*disk.*nothing was changed, try again in/,
  );
  for (const each of clients) assert.equal(await each.get('before'), 'value');
  assert.equal(await client.get('refused'), null);
  freeFiller();
  await until('writes are taken again', () => takesWrites(client));
});

test('a disk that is full in the middle of everything loses nothing that was acknowledged, and no node dies of it', {
  skip,
}, async (t) => {
  const clients = NODES.map((id) => cluster.client(id));
  const writer = new Writer(clients);
  // Also when the test fails: a writer that goes on keeps the process alive.
  t.after(() => writer.stop());
  await until('some are acknowledged', () => writer.acknowledged.length > 200);
  fill(folder!, 0);
  await until('writes are refused', () => writer.refusals.some((text) => /BACKPRESSURE/.test(text)));
  let known = -1;
  let refusedBefore = 0;
  await until(
    'nothing is taken any more',
    () => {
      if (known !== writer.acknowledged.length) refusedBefore = writer.refusals.length;
      known = writer.acknowledged.length;
      return writer.refusals.length > refusedBefore + 30;
    },
    120_000,
  );
  for (const client of clients) assert.equal(await client.ping(), 'PONG');
  for (const key of writer.acknowledged.slice(known - 20, known)) {
    assert.equal(await clients[0]!.get(`key${key}`), writtenValue(key), 'reads go on');
  }
  freeFiller();
  const { length } = writer.acknowledged;
  await until('writes are acknowledged again', () => writer.acknowledged.length > length + 20, 60_000);
  await writer.stop();
  const check = async (client: Redis): Promise<void> => {
    const values = await Promise.all(writer.acknowledged.map((key) => client.get(`key${key}`)));
    writer.acknowledged.forEach((key, at) => {
      assert.equal(values[at], writtenValue(key), `key${key}`);
    });
  };
  await check(clients[1]!);
  // And on disk: every node ends as in a power cut.
  await Promise.all(NODES.map((id) => cluster.kill(id)));
  for (const id of NODES) cluster.processes.revive(id);
  await cluster.ready();
  await check(cluster.client(1));
});
