/** What `raftadmin backup` says and asks of a cluster; what it does at the place of backups: `test/node/backups.test.ts`. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { FakeBackend } from '../adapter/grpc/fake-backend.ts';
import { Node, type Outcome, run } from './raftadmin-bed.ts';

describe('raftadmin backup', () => {
  const node = new Node();
  before(() => node.start());
  after(() => node.server.forceShutdown());
  beforeEach(() => {
    node.backend = new FakeBackend();
  });
  const admin = (...args: string[]): Promise<Outcome> => run(['-e', node.endpoint, 'backup', ...args]);

  test('status shows the one under way, the last one and what is scheduled', async () => {
    const { out } = await admin('status');
    assert.match(
      out,
      /^20231114T221320Z-0a0b0c0d: node 2 makes it, \[#+\.+\] 25 % {2}1 of 4 groups, 1\.0 MiB of 4\.0 MiB$/m,
    );
    assert.match(
      out,
      /^last good one: 20231113T221320Z-0a0b0c0e, begun 2023-11-13 22:13:20Z, at s3:\/\/backups\/orders$/m,
    );
    assert.match(
      out,
      /^scheduled: every 24h00m to s3:\/\/backups\/orders, at most 32\.0 MiB a second and node; the newest 7 are kept/m,
    );
    assert.equal(JSON.parse((await admin('status', '-w', 'json')).out).running.groups, 4);
    node.backend.backupsView = { ...node.backend.backupsView, isActive: false };
    assert.match((await admin('status')).out, /^the feature backups is not active/);
  });

  test('archive starts and stops by settings, and says which moments there are', async () => {
    const settings = (): unknown[] => node.backend.calls.filter(([name]) => name === 'setSetting');
    const started = await admin('archive', 'start', 's3://backups/orders', '--every', '30s', '--hold', '2d');
    assert.equal(started.code, 0, started.err);
    assert.deepEqual(settings(), [
      ['setSetting', 'backup.place', 's3://backups/orders'],
      ['setSetting', 'backup.archiveHoldMs', '172800000'],
      ['setSetting', 'backup.archiveEveryMs', '30000'],
    ]);
    const { out } = await admin('archive', 'status');
    assert.match(
      out,
      /^changes are archived every 10s at s3:\/\/backups\/orders; node 3 is at it; the past is kept for it for 6h00m$/m,
    );
    assert.match(out, /^moments from 2023-11-13T22:13:20\.000Z to 2023-11-14T22:13:20\.123Z can be restored$/m);
    const { archive } = node.backend.backupsView;
    const broken = { atMs: 1_700_000_100_000, untilMs: 1_700_000_000_000, why: 'the past was let go of' };
    const behind = { ...archive, sinceMs: 0, failures: 3, problem: 'the bucket is away', broken };
    node.backend.backupsView = { ...node.backend.backupsView, archive: behind };
    const bad = (await admin('archive', 'status')).out;
    assert.match(bad, /^no moment can be restored by it yet: it leads on from no backup$/m);
    assert.match(bad, /^3 attempts at the next step failed: the bucket is away$/m);
    assert.match(bad, /^the one before broke off 2023-11-14 22:15:00Z, and leads up to .*: the past was let go of$/m);
    node.backend.backupsView = {
      ...node.backend.backupsView,
      place: '',
      archive: { ...archive, everyMs: 0, isOn: false },
    };
    assert.equal((await admin('archive', 'start')).code, 1);
    assert.match((await admin('archive', 'stop')).out, /^changes are not archived$/m);
    assert.deepEqual(settings().at(-1), ['setSetting', 'backup.archiveEveryMs', '']);
  });

  test('a moment has a zone, or is a number', async () => {
    for (const moment of ['2026-01-02', '2026-01-02T03:04:05', 'yesterday', '5']) {
      assert.equal((await admin('restore', 'latest', '/nowhere', '--at', moment)).code, 2, moment);
    }
  });

  test('create begins one and waits for its end', async () => {
    const { code, out } = await admin('create');
    assert.equal(code, 0);
    assert.match(
      out,
      /^backup 20231113T221320Z-0a0b0c0e of 4 groups is at s3:\/\/backups\/orders: 3\.8 MiB, .* in 1m00s\n$/,
    );
    assert.deepEqual(node.backend.calls[0], ['createBackup', undefined]);
    await admin('create', '/mnt/spare', '--no-wait');
    assert.deepEqual(node.backend.calls.at(-1), ['createBackup', '/mnt/spare']);
  });

  test('create fails when the backup was given up, and says why', async () => {
    const { last, ...view } = node.backend.backupsView;
    const failed = { id: last!.id, place: 's3://backups/orders', atMs: 5, problem: 'the key is another one' };
    node.backend.backupsView = { ...view, failed };
    const { code, err } = await admin('create');
    assert.equal(code, 1);
    assert.match(err, /was given up: the key is another one/);
  });

  test('schedule sets what is named, and leaves the rest', async () => {
    const flags = ['--every', '6h', '--keep', '28', '--keep-for', '30d', '--rate', '16'];
    assert.equal((await admin('schedule', 's3://backups/orders', ...flags)).code, 0);
    const settings = (): unknown[] => node.backend.calls.filter(([name]) => name === 'setSetting');
    assert.deepEqual(settings(), [
      ['setSetting', 'backup.place', 's3://backups/orders'],
      ['setSetting', 'backup.keepCount', '28'],
      ['setSetting', 'backup.keepMs', '2592000000'],
      ['setSetting', 'backup.bytesPerSecond', '16777216'],
      ['setSetting', 'backup.everyMs', '21600000'],
    ]);
    node.backend = new FakeBackend();
    await admin('schedule');
    assert.deepEqual(settings(), []);
    await admin('schedule', '--off');
    assert.deepEqual(settings(), [['setSetting', 'backup.everyMs', '']]);
  });

  test('schedule refuses what is no place and no duration', async () => {
    for (const args of [['backups'], ['gs://x'], ['s3://a:b@backups']]) {
      const { code, err } = await admin('schedule', ...args);
      assert.equal(code, 1, args[0]);
      assert.notEqual(err, '');
    }
    for (const args of [
      ['--every', '6'],
      ['--every', '32d'],
      ['--keep', '0'],
    ]) {
      assert.equal((await admin('schedule', ...args)).code, 2);
    }
    assert.ok(!node.backend.calls.some(([name]) => name === 'setSetting'));
  });

  test('says that there are none, and which keys it needs, before it does anything', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvorum-backup-'));
    try {
      const { code, err } = await admin('list', '--place', folder);
      assert.equal(code, 1);
      assert.match(err, /there are no backups at /);
      assert.equal((await admin('rewrap', '--place', folder)).code, 2);
      const both = await admin('list', '--place', folder, '--key-file', 'a', '--key-command', 'b');
      assert.equal(both.code, 2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
