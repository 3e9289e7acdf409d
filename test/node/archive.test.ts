/** Archives of a running node: saved while it serves, damaged, restored as another cluster. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { freePortRange } from '../../bench/scratch.ts';
import { AdminClient, SnapshotClient } from '../../src/adapter/grpc/index.ts';
import { decodeAppliedMeta, MetaName } from '../../src/kv/entry/group-meta.ts';
import {
  folderSource,
  listArchives,
  restoreArchive,
  type SavedCluster,
  saveArchive,
  verifyArchive,
} from '../../src/node/index.ts';
import { type RunningNode, startNode } from '../../src/node.ts';
import { groupId, nodeId, SystemDisk, SystemRandom } from '../../src/platform/index.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { decodeManifest, encodeManifest, type Json, openJson, sealJson } from '../../src/store/segments/manifest.ts';
import { until } from '../support/until.ts';

const GROUPS = [1, 2, 3].map(groupId);
const disk = new SystemDisk();

interface Served {
  readonly node: RunningNode;
  readonly redis: Redis;
  readonly grpc: string;
}

async function serve(dataFolder: string, clusterName: string): Promise<Served> {
  const host = '127.0.0.1';
  const port = await freePortRange(1);
  const node = await startNode(
    {
      nodeId: 1,
      clusterName,
      dataFolder,
      members: [],
      joins: false,
      groups: 2,
      memoryBytes: 512 << 20,
      storeMemoryBytes: 64 << 20,
      redis: { host, port: 0 },
      grpc: { host, port },
      metrics: { host, port: 0 },
      raft: { tickMs: 20, heartbeatMs: 100, electionTimeoutMs: 900 },
      retentionMs: 600_000,
      logLevel: 'silent',
    },
    'test',
  );
  await until('the node is ready', () => node.readiness().ready);
  const redis = new Redis(Number(node.addresses.redis.split(':')[1]), host);
  return { node, redis, grpc: node.addresses.grpc };
}

async function leave({ node, redis }: Served): Promise<void> {
  redis.disconnect();
  await node.stop();
}

describe('an archive', () => {
  let folder: string;
  let archive: string;
  let old: Served;
  let admin: AdminClient;
  let client: SnapshotClient;

  /** @param hold called between the moment and the first copy */
  const cluster = (hold: () => Promise<void> = async () => {}): SavedCluster => ({
    groups: async () => GROUPS,
    catalog: async () => ({ version: 1, jobs: [] }),
    point: (group) => client.point(group, 10_000),
    async *copy(group, at, have) {
      await hold();
      yield* client.copy(group, at, have, new AbortController().signal);
    },
  });
  const options = (name: string, saved = cluster()) => ({
    disk,
    folder: join(folder, name),
    cluster: saved,
    wallMs: 1_767_000_000_000,
    version: 'test',
  });
  const restoring = (name: string, from = archive) => ({
    disk,
    random: new SystemRandom(),
    wallMs: 1_767_000_000_000,
    source: folderSource(disk, from),
    dataFolder: join(folder, name),
    clusterName: 'new',
    node: nodeId(1),
    members: [nodeId(1)],
    incarnation: undefined,
  });

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvorum-archive-'));
    archive = join(folder, 'saved');
    old = await serve(join(folder, 'old'), 'old');
    admin = new AdminClient(old.grpc);
    client = new SnapshotClient(old.grpc);
    for (let at = 0; at < 200; at++) await old.redis.set(`key${at}`, `value ${at}`);
    await old.redis.del('key7');
    await old.redis.setex('expires', 5000, 'later');
    let isHeld = false;
    await saveArchive(
      options(
        'saved',
        cluster(async () => {
          // After the moment, and before any group is copied.
          if (isHeld) return;
          isHeld = true;
          for (let at = 0; at < 200; at++) await old.redis.set(`key${at}`, 'too late');
          await old.redis.set('after', 'too late');
        }),
      ),
    );
  });

  after(async () => {
    admin.close();
    client.close();
    await leave(old);
    rmSync(folder, { recursive: true, force: true });
  });

  test('of a moment restores what was there then, in every group, and nothing later', async () => {
    const report = await restoreArchive(restoring('new'));
    const restored = await serve(join(folder, 'new'), 'new');
    try {
      for (let at = 0; at < 200; at++) {
        assert.equal(await restored.redis.get(`key${at}`), at === 7 ? null : `value ${at}`);
      }
      assert.equal(await restored.redis.get('after'), null);
      assert.ok((await restored.redis.ttl('expires')) > 4000);
      assert.equal(await restored.redis.dbsize(), 200);
      await restored.redis.set('key1', 'another');
      assert.equal(await restored.redis.get('key1'), 'another');
      const there = new AdminClient(restored.grpc);
      const { nodes } = await there.call('Status', { groups: [] }, 10_000);
      // Timestamps begin above whatever the old cluster gave out.
      for (const { hlcCeilingMs } of nodes[0]!.replicas) assert.ok(hlcCeilingMs! >= report.floorMs);
      const own = await there.call('Nodes', {}, 10_000);
      let before = await admin.call('Nodes', {}, 10_000);
      await until('the node has told of itself', async () => {
        before = await admin.call('Nodes', {}, 10_000);
        return before.nodes.length > 0;
      });
      assert.equal(own.nodes.length, 1);
      assert.notEqual(own.nodes[0]!.incarnation, before.nodes[0]!.incarnation);
      let incarnation = 0;
      for await (const page of there.stream('ListRoutes', { start: Buffer.alloc(0), limit: 1 }, 10_000)) {
        incarnation = page.incarnation;
      }
      assert.equal(incarnation, report.incarnation);
      there.close();
    } finally {
      await leave(restored);
    }
    // It is a cluster of its own: a restart finds it again.
    const again = await serve(join(folder, 'new'), 'new');
    assert.equal(await again.redis.get('key1'), 'another');
    await leave(again);
    assert.equal(await old.redis.get('after'), 'too late');
  });

  test('is never restored over something, nor for a node that is no member', async () => {
    await assert.rejects(restoreArchive({ ...restoring('old') }), { code: 'ARCHIVE', message: /is not empty/ });
    await assert.rejects(restoreArchive({ ...restoring('x'), members: [nodeId(2)] }), { code: 'ARCHIVE' });
    await assert.rejects(restoreArchive({ ...restoring('x'), incarnation: 1 }), {
      code: 'ARCHIVE',
      message: /is not above/,
    });
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.startsWith('x')),
      [],
    );
  });

  test('of several members begins alike on each of them', async () => {
    const members = [nodeId(1), nodeId(2), nodeId(3)];
    const first = await restoreArchive({ ...restoring('m1'), members });
    const second = await restoreArchive({
      ...restoring('m2'),
      members,
      node: nodeId(2),
      incarnation: first.incarnation,
    });
    assert.equal(second.incarnation, first.incarnation);
    assert.equal(second.floorMs, first.floorMs);
    assert.equal(second.rows, first.rows);
  });

  test('of a cluster whose clock was ahead begins above it in every group', async () => {
    const ahead = join(folder, 'ahead');
    await cp(archive, ahead, { recursive: true });
    // One group had promised timestamps of the next hour.
    const [manifestPath, archivePath] = [join(ahead, 'group-2', 'manifest.json'), join(ahead, 'archive.json')];
    const manifest = decodeManifest(await readFile(manifestPath), manifestPath);
    const ceilingMs = Date.now() + 3_600_000;
    const bytes = encodeManifest({ ...manifest, about: { ...manifest.about, ceilingMs } });
    await writeFile(manifestPath, bytes);
    const value = openJson(await readFile(archivePath), archivePath) as { groups: { manifestSha256: string }[] };
    value.groups[1]!.manifestSha256 = createHash('sha256').update(bytes).digest('hex');
    await writeFile(archivePath, sealJson(value as Json));
    const report = await restoreArchive(restoring('later', ahead));
    assert.ok(report.floorMs > ceilingMs);
    for (const group of GROUPS) {
      const store = await openGroupStore({ location: join(folder, 'later', `group-${group}`) });
      const applied = decodeAppliedMeta(store.meta(MetaName.Applied)!);
      assert.equal(applied.ceilingMs, report.floorMs);
      assert.ok(applied.maxTs > report.archive.at);
      await store.close();
    }
    rmSync(ahead, { recursive: true });
  });

  test('is listed and verified, and every damaged file is named', async () => {
    const [listed] = await listArchives(disk, folder);
    assert.equal(listed?.path, archive);
    assert.deepEqual(
      (await listArchives(disk, archive)).map(({ path }) => path),
      [archive],
    );
    assert.deepEqual((await verifyArchive(disk, archive)).problems, []);
    const paths = (await readdir(archive, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    assert.ok(paths.length > 8);
    for (const path of paths) {
      const sound = await readFile(path);
      const damaged = Buffer.from(sound);
      damaged[Math.floor(damaged.length / 2)]! ^= 16;
      await writeFile(path, damaged);
      const { problems } = await verifyArchive(disk, archive);
      assert.equal(problems.length, 1, path);
      assert.ok(problems[0]!.includes(path), problems[0]);
      await assert.rejects(restoreArchive(restoring('never')), { code: 'CORRUPT_SNAPSHOT' });
      await writeFile(path, sound);
    }
    const [first, second] = paths.filter((path) => path.endsWith('.seg'));
    const sound = await readFile(first!);
    rmSync(first!);
    const damaged = Buffer.from(await readFile(second!));
    damaged[30]! ^= 1;
    const whole = await readFile(second!);
    await writeFile(second!, damaged);
    const { problems } = await verifyArchive(disk, archive);
    assert.deepEqual([problems.length, problems.some((text) => /is missing/.test(text))], [2, true]);
    await writeFile(first!, sound);
    await writeFile(second!, whole);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.startsWith('never')),
      [],
      'nothing is left behind',
    );
  });

  test('whose save broke goes on with what is missing', async () => {
    let asked = 0;
    const breaking: SavedCluster = {
      ...cluster(),
      async *copy(group, at, have) {
        if (++asked === 2) throw new Error('the connection broke');
        yield* cluster().copy(group, at, have);
      },
    };
    await assert.rejects(saveArchive(options('broken', breaking)), /broke/);
    assert.deepEqual(
      (await listArchives(disk, folder)).map(({ path }) => path),
      [archive],
      'it cannot be seen',
    );
    const haves: number[] = [];
    await saveArchive(
      options('broken', {
        ...cluster(),
        async *copy(group, at, have) {
          haves.push(have.length);
          yield* cluster().copy(group, at, have);
        },
      }),
    );
    assert.ok(haves[0]! > 0, 'segments of the first group were there');
    assert.deepEqual((await verifyArchive(disk, join(folder, 'broken'))).problems, []);
  });

  test('is not saved while ranges change hands', async () => {
    let version = 1;
    const moving = { ...cluster(), catalog: async () => ({ version: version++, jobs: [] }) };
    await assert.rejects(saveArchive(options('moving', moving)), { code: 'BACKUP', message: /changed hands/ });
    const working = { ...cluster(), catalog: async () => ({ version: 1, jobs: [4] }) };
    await assert.rejects(saveArchive(options('moving', working)), { code: 'BACKUP', message: /jobs 4/ });
    await assert.rejects(saveArchive(options('saved')), { code: 'ARCHIVE', message: /not empty/ });
  });

  test('cannot be had of a group that is led elsewhere, nor of a moment far in the future', async () => {
    await assert.rejects(client.point(groupId(9), 5000), { code: 'NOT_LEADER' });
    const far = ((BigInt(Date.now()) + 3_600_000n) << 16n) as Parameters<typeof client.copy>[1];
    await assert.rejects(async () => {
      for await (const part of client.copy(groupId(1), far, [], new AbortController().signal)) assert.ok(part);
    });
  });
});
