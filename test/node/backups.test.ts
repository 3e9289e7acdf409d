/** Backups of running nodes: made while they serve, restored as another cluster. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { freePortRange } from '../../bench/scratch.ts';
import { runRaftadmin, type Terminal } from '../../cmd/raftadmin/index.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { type RunningNode, startNode } from '../../src/node.ts';
import { until } from '../support/until.ts';

const HOST = '127.0.0.1';
const KEY = 'ab'.repeat(32);

interface Served {
  readonly node: RunningNode;
  readonly redis: Redis;
}

async function serve(
  nodeId: number,
  dataFolder: string,
  members: readonly { readonly nodeId: number; readonly address: string }[],
  keyFile: string | undefined,
): Promise<RunningNode> {
  const port = Number(members.find((member) => member.nodeId === nodeId)!.address.split(':')[1]);
  return startNode(
    {
      nodeId,
      clusterName: 'backed-up',
      dataFolder,
      members,
      joins: false,
      groups: 2,
      memoryBytes: 512 << 20,
      storeMemoryBytes: 64 << 20,
      redis: { host: HOST, port: 0, enableDebugCommand: true },
      grpc: { host: HOST, port },
      metrics: { host: HOST, port: 0 },
      raft: { tickMs: 20, heartbeatMs: 100, electionTimeoutMs: 900 },
      // What backups and the archive need of the past they keep themselves.
      retentionMs: 1_000,
      backup: { isEncrypted: true, file: keyFile },
      logLevel: 'silent',
    },
    'test',
  );
}

async function clientOf(node: RunningNode): Promise<Served> {
  await until('the node is ready', () => node.readiness().ready);
  return { node, redis: new Redis(Number(node.addresses.redis.split(':')[1]), HOST) };
}

/** Where raftadmin writes to. */
class Screen implements Terminal {
  readonly env: Readonly<Record<string, string>>;
  readonly isInteractive = false;
  readonly isScreen = false;
  readonly isErrorScreen = false;
  readonly interrupted = new AbortController().signal;
  out = '';
  errors = '';

  constructor(env: Readonly<Record<string, string>>) {
    this.env = env;
  }

  write(text: string): void {
    this.out += text;
  }

  writeError(text: string): void {
    this.errors += text;
  }

  async ask(): Promise<string> {
    return '';
  }
}

describe('backups of three nodes', () => {
  let folder: string;
  let place: string;
  let keyFile: string;
  let nodes: RunningNode[] = [];
  let served: Served;
  let members: { nodeId: number; address: string }[];

  const admin = async (...args: string[]): Promise<Screen & { code: number }> => {
    const env = { RAFTADMIN_ENDPOINTS: nodes[1]!.addresses.grpc, RAFTADMIN_BACKUP_KEY: KEY };
    const screen = new Screen(env);
    return Object.assign(screen, { code: await runRaftadmin(args, screen) });
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvorum-backups-'));
    place = join(folder, 'place');
    keyFile = join(folder, 'keys');
    writeFileSync(keyFile, KEY);
    const first = await freePortRange(3);
    members = [1, 2, 3].map((nodeId) => ({ nodeId, address: `${HOST}:${first + nodeId - 1}` }));
    nodes = await Promise.all([1, 2, 3].map((id) => serve(id, join(folder, `n${id}`), members, keyFile)));
    served = await clientOf(nodes[0]!);
    const client = new AdminClient(nodes[0]!.addresses.grpc);
    await until('backups can be made', async () => {
      const { features } = await client.call('ListFeatures', {}, 10_000).catch(() => ({ features: [] }));
      return features.some(({ name, isActive }) => name === 'backups' && isActive);
    });
    client.close();
    for (let at = 0; at < 300; at++) await served.redis.set(`key${at}`, `value ${at}`.repeat(20));
    await served.redis.rpush('list', 'a', 'b', 'c');
    await served.redis.setex('expires', 5_000, 'later');
  });

  after(async () => {
    served?.redis.disconnect();
    await Promise.all(nodes.map((node) => node.stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  test('are told what is missing before anything is made', async () => {
    const nowhere = await admin('backup', 'create');
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.errors, /no place for backups yet/);
    rmSync(keyFile);
    const keyless = await admin('backup', 'create', place);
    writeFileSync(keyFile, KEY);
    assert.equal(keyless.code, 1);
    assert.match(keyless.errors, /keys does not exist/);
    assert.match((await admin('backup', 'list', '--place', place)).errors, /there are no backups/);
  });

  test('are made through any node, incremental, whole, and become another cluster with the same data', async () => {
    const made = await admin('backup', 'create', place);
    assert.equal(made.code, 0, made.errors);
    assert.match(made.out, /^backup \S+ of 3 groups is at /);
    const digest = await served.redis.call('DEBUG', 'DIGEST');
    await served.redis.set('later', 'than the first');
    const again = await admin('-w', 'json', 'backup', 'create', place);
    assert.equal(again.code, 0, again.errors);
    const { id, bytes, newBytes } = JSON.parse(again.out) as { id: string; bytes: number; newBytes: number };
    assert.ok(newBytes < bytes, `${newBytes} of ${bytes}`);
    const verified = await admin('backup', 'verify', 'latest', '--place', place);
    assert.equal(verified.code, 0, verified.errors);
    const listed = JSON.parse((await admin('-w', 'json', 'backup', 'list', '--place', place)).out) as { id: string }[];
    assert.equal(listed.length, 2);
    assert.equal(listed[0]!.id, id);
    // Of the older one, in which `later` is not.
    const target = join(folder, 'restored');
    const flags = ['--place', place, '--cluster-name', 'backed-up', '--yes'];
    const restored = await admin('backup', 'restore', listed[1]!.id, target, ...flags);
    assert.equal(restored.code, 0, restored.errors);
    const port = await freePortRange(1);
    const node = await serve(1, target, [{ nodeId: 1, address: `${HOST}:${port}` }], undefined);
    const other = await clientOf(node);
    try {
      assert.equal(await other.redis.call('DEBUG', 'DIGEST'), digest);
      assert.equal(await other.redis.get('later'), null);
      assert.deepEqual(await other.redis.lrange('list', 0, -1), ['a', 'b', 'c']);
      assert.equal(await other.redis.set('later', 'here too'), 'OK');
    } finally {
      other.redis.disconnect();
      await node.stop();
    }
    const deleted = await admin('backup', 'delete', listed[1]!.id, '--place', place, '--yes');
    assert.equal(deleted.code, 0, deleted.errors);
    assert.match(deleted.out, /^deleted 1 backup and \d+ objects: /);
    assert.equal((await admin('backup', 'verify', id, '--place', place)).code, 0);
  });

  test('are made by themselves when they are scheduled, and only the newest are kept', async () => {
    const set = await admin('backup', 'schedule', place, '--every', '31d', '--keep', '1');
    assert.equal(set.code, 0, set.errors);
    assert.match(set.out, /scheduled: every 31d0h to /);
    // Without a place they go where scheduled ones do, and one is there already.
    const made = await admin('backup', 'create');
    assert.equal(made.code, 0, made.errors);
    await until('only the newest is left', async () => {
      const { out } = await admin('-w', 'json', 'backup', 'list');
      return (JSON.parse(out) as unknown[]).length === 1;
    });
    await until('the clean-up is noted', async () =>
      /last clean-up: .*1 backup and \d+ objects?/.test((await admin('backup', 'status')).out),
    );
    assert.match((await admin('backup', 'schedule', '--off')).out, /none are scheduled/);
  });

  test('lead on to any moment while changes are archived, wherever ranges are meanwhile', async () => {
    const at = join(folder, 'moments');
    const started = await admin('backup', 'archive', 'start', at, '--every', '250ms');
    assert.equal(started.code, 0, started.errors);
    const status = async () =>
      JSON.parse((await admin('-w', 'json', 'backup', 'archive', 'status')).out) as {
        sinceMs: number;
        untilMs: number;
        problem: string;
      };
    // A backup is made by itself, for there is none that changes lead on from.
    await until('a moment can be restored', async () => (await status()).sinceMs > 0);
    const move = async (): Promise<void> => {
      const split = await admin('routes', 'split', 'slot:4000');
      assert.equal(split.code, 0, split.errors);
      const moved = await admin('routes', 'move', 'slot:0', '3', '--wait');
      assert.equal(moved.code, 0, moved.errors);
    };
    const passed = async (): Promise<void> => {
      // The step that is under way may have taken its moment before the last write.
      for (let step = 0; step < 2; step++) {
        const { untilMs } = await status();
        await until('a step is written', async () => (await status()).untilMs > untilMs + 1);
      }
    };
    for (let round = 0; round < 2; round++) {
      await served.redis.select(1);
      if (round === 1) await served.redis.flushdb();
      await served.redis.set(`other${round}`, `round ${round}`);
      await served.redis.select(0);
      for (let key = 0; key < 40; key++) await served.redis.set(`key${key}`, `round ${round}`);
      await served.redis.del(`key${100 + round}`);
      await served.redis.multi().set('{a}x', `${round}`).set('{b}y', `${round}`).exec();
      if (round === 1) await served.redis.lpush('list', 'd', 'e');
      if (round === 0) await move();
    }
    await passed();
    const moment = {
      at: String((await status()).untilMs),
      digest: await served.redis.call('DEBUG', 'DIGEST'),
      size: await served.redis.dbsize(),
    };
    // Later than the moment.
    await passed();
    await served.redis.flushall();
    await passed();
    // What the archive has not stored is kept, and no more.
    await until('the moment is past for the cluster itself', async () => {
      await admin('gc', 'run');
      const { safepointMs } = JSON.parse((await admin('-w', 'json', 'gc')).out) as { safepointMs: number };
      return safepointMs > Number(moment.at);
    });
    const listed = await admin('backup', 'list', '--place', at);
    assert.match(listed.errors, /every moment from \S+ to \S+ can be restored/);
    const verified = await admin('backup', 'verify', 'latest', '--place', at, '--at', moment.at);
    assert.equal(verified.code, 0, verified.errors);
    assert.match(verified.out, /and behind it \d+ steps? with \d+ versions?/);
    const target = join(folder, 'moment');
    const flags = ['--place', at, '--cluster-name', 'backed-up', '--yes', '--at', moment.at];
    const restored = await admin('backup', 'restore', 'latest', target, ...flags);
    assert.equal(restored.code, 0, restored.errors);
    const port = await freePortRange(1);
    const node = await serve(1, target, [{ nodeId: 1, address: `${HOST}:${port}` }], undefined);
    const other = await clientOf(node);
    try {
      assert.equal(await other.redis.dbsize(), moment.size);
      assert.equal(await other.redis.call('DEBUG', 'DIGEST'), moment.digest);
    } finally {
      other.redis.disconnect();
      await node.stop();
    }
    const before = ['--place', at, '--yes', '--at', '1000000000000'];
    const early = await admin('backup', 'restore', 'latest', join(folder, 'early'), ...before);
    assert.equal(early.code, 1);
    assert.match(early.errors, /cannot be restored .* there are \S+ to \S+ /);
    assert.match((await admin('backup', 'archive', 'stop')).out, /^changes are not archived$/m);
  });
});
