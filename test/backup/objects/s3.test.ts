/** Buckets of a server that speaks S3, and what becomes of calls when it is slow, away, full, or lies. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startFauxqs } from 'fauxqs';
import {
  BackupPlace,
  beginChain,
  type ChangedCluster,
  ChangeLog,
  cleanUp,
  getObject,
  parsePlace,
  planMoment,
  readChanges,
  S3Objects,
  type StoredStep,
  storeChanges,
  verifyChanges,
  writeStep,
} from '../../../src/backup/index.ts';
import {
  ByteRateLimit,
  groupId,
  hlcTimestamp,
  SystemClock,
  SystemRandom,
  SystemScheduler,
} from '../../../src/platform/index.ts';
import { WrappingKeys } from '../../../src/security/index.ts';
import { pooledCompression } from '../../../src/store/index.ts';
import { objectStoreContract } from '../../support/object-store-contract.ts';
import { FaultyProxy } from './faulty-proxy.ts';

const MIB = 1 << 20;
const LIMITS = { connectMs: 2_000, idleMs: 5_000, callMs: 20_000, partBytes: 5 * MIB };

type Fauxqs = Awaited<ReturnType<typeof startFauxqs>>;

async function startServer(): Promise<Fauxqs> {
  process.env.AWS_ACCESS_KEY_ID = 'test';
  process.env.AWS_SECRET_ACCESS_KEY = 'test';
  const server = await startFauxqs({ port: 0, logger: false });
  server.createBucket('backups');
  return server;
}

async function openAt(
  endpoint: string,
  limits: Partial<typeof LIMITS> & { attempts?: number } = {},
): Promise<S3Objects> {
  const place = parsePlace(`s3://backups/orders?endpoint=${encodeURIComponent(endpoint)}&region=eu-central-1`);
  assert.ok(place.kind === 's3');
  return S3Objects.open(place, new SystemScheduler(), { ...LIMITS, ...limits });
}

objectStoreContract(
  'a bucket of S3',
  async () => {
    const server = await startServer();
    const proxy = await FaultyProxy.open(server.port);
    const store = await openAt(proxy.address);
    return {
      store,
      end: async () => {
        await store.close();
        await proxy.close();
        await server.stop();
      },
    };
  },
  11 * MIB,
);

describe('an archive of changes in a bucket of S3', () => {
  test('is a chain of steps with their parts, of one step a number, and is cleaned up', async () => {
    const server = await startServer();
    const proxy = await FaultyProxy.open(server.port);
    const store = await openAt(proxy.address);
    try {
      const random = new SystemRandom();
      const keys = WrappingKeys.parse('01'.repeat(32), 'the test');
      const place = await BackupPlace.write(store, keys, random);
      const log = new ChangeLog(place);
      let now = 1_000n;
      const spans = [{ start: Buffer.alloc(0), end: undefined }];
      const cluster: ChangedCluster = {
        firstKey: Buffer.alloc(0),
        groups: async () => [groupId(1)],
        point: async () => {
          now += 10n;
          return hlcTimestamp(now);
        },
        changes: (group, order) => {
          const pages = async function* () {
            const commitTs = hlcTimestamp(order.to - 1n);
            yield [
              { key: Buffer.from('k'), commitTs, expireTs: hlcTimestamp(0n), value: Buffer.alloc(MIB, order.seq) },
            ];
          };
          const changes = { spans, pages: pages(), confirm: async () => ({ ceilingMs: 1 }) };
          const limit = new ByteRateLimit(new SystemClock(), new SystemScheduler(), 1 << 30);
          const { signal } = new AbortController();
          return storeChanges({ log, group, order, changes, compression: pooledCompression, limit, random, signal });
        },
      };
      const facts = { createdMs: 1, version: 'test', clusterName: 'orders' };
      const backUp = (id: string) =>
        place.putManifest({
          ...facts,
          id,
          at: hlcTimestamp(now),
          catalogVersion: 1,
          dataKey: place.dataKey?.id,
          groups: [],
        });
      const step = (before: StoredStep) =>
        writeStep(before, { log, facts, cluster, parallel: 1, random, signal: new AbortController().signal });
      let end = await beginChain('20260102T030405Z-00000001', { log, facts, cluster });
      await backUp('20260102T030406Z-00000001');
      end = await step(end);
      assert.deepEqual(await step(await log.step(end.step.chain, 0)), end, 'another one of the number is not written');
      await backUp('20260102T030407Z-00000002');
      end = await step(end);
      const read = await BackupPlace.read(store, keys, random);
      const plan = await planMoment(read, end.step.to, undefined, String);
      assert.equal(plan.backup.id, '20260102T030407Z-00000002');
      const found: number[] = [];
      for await (const page of readChanges(plan, { compression: pooledCompression }))
        found.push(...page.map(({ value }) => value![0]!));
      assert.deepEqual(found, [2]);
      const done = await cleanUp({ place: read, choose: ([oldest]) => [oldest!.id], nowMs: () => 1, random });
      // The first steps of the chain, and of the second one what the other attempt has left.
      assert.deepEqual([done.removed.length, done.steps, done.objects], [1, 2, 2]);
      assert.deepEqual([...(await log.chains()).values()], [[2]]);
      assert.deepEqual((await verifyChanges(plan, { compression: pooledCompression })).problems, []);
    } finally {
      await store.close();
      await proxy.close();
      await server.stop();
    }
  });
});

describe('a bucket of S3 behind a network that fails', () => {
  let server: Fauxqs;
  let proxy: FaultyProxy;
  let store: S3Objects;

  before(async () => {
    server = await startServer();
    proxy = await FaultyProxy.open(server.port);
    store = await openAt(proxy.address);
    await store.put('there', Buffer.from('what is there'));
  });
  beforeEach(() => {
    proxy.fault = () => undefined;
    proxy.requests = 0;
  });
  after(async () => {
    await store?.close();
    await proxy?.close();
    await server?.stop();
  });

  test('is tried again when it is away for a moment, and cuts connections', async () => {
    for (const fault of [
      { kind: 'answer', status: 503, code: 'SlowDown' },
      { kind: 'answer', status: 500, code: 'InternalError' },
      { kind: 'cut' },
    ] as const) {
      let left = 2;
      proxy.fault = () => (left-- > 0 ? fault : undefined);
      await store.put('again', Buffer.from('again'));
      assert.equal((await getObject(store, 'again')).toString(), 'again');
    }
  });

  test('is no place for backups where it ignores If-None-Match', async () => {
    const ignoring = await openAt(server.address);
    await assert.rejects(BackupPlace.write(ignoring, 'none', new SystemRandom()), {
      code: 'BACKUP',
      message: /If-None-Match/,
    });
    await ignoring.close();
    const place = await BackupPlace.write(store, 'none', new SystemRandom());
    assert.deepEqual(await place.ids(), []);
  });

  test('is given up when it stays away', async () => {
    const impatient = await openAt(proxy.address, { attempts: 2 });
    proxy.fault = () => ({ kind: 'answer', status: 503, code: 'SlowDown' });
    await assert.rejects(impatient.put('never', Buffer.from('x')), { code: 'OBJECT_STORE_UNAVAILABLE' });
    assert.equal(proxy.requests, 2);
    await impatient.close();
  });

  test('is given up when it does not answer, and when the whole call takes too long', async () => {
    const impatient = await openAt(proxy.address, { attempts: 1, idleMs: 200, callMs: 10_000 });
    proxy.fault = () => ({ kind: 'silent' });
    await assert.rejects(impatient.get('there', 0, 10), { code: 'OBJECT_STORE_UNAVAILABLE' });
    await impatient.close();
    const hurried = await openAt(proxy.address, { callMs: 200 });
    await assert.rejects(hurried.get('there', 0, 10), {
      code: 'OBJECT_STORE_UNAVAILABLE',
      message: /longer than 200 ms/,
    });
    await hurried.close();
  });

  test('is refused at once with wrong credentials and without a bucket', async () => {
    for (const code of ['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'AccessDenied', 'ExpiredToken']) {
      proxy.requests = 0;
      proxy.fault = () => ({ kind: 'answer', status: 403, code });
      await assert.rejects(store.put('never', Buffer.from('x')), {
        code: 'OBJECT_STORE_REFUSED',
        message: new RegExp(code),
      });
      assert.equal(proxy.requests, 1);
    }
    proxy.fault = () => undefined;
    const place = parsePlace(`s3://nowhere?endpoint=${proxy.address}`);
    assert.ok(place.kind === 's3');
    const nowhere = await S3Objects.open(place, new SystemScheduler(), LIMITS);
    await assert.rejects(nowhere.put('x', Buffer.from('x')), { code: 'OBJECT_STORE_REFUSED', message: /NoSuchBucket/ });
    await nowhere.close();
  });

  test('is full when it says so', async () => {
    proxy.fault = () => ({ kind: 'answer', status: 507, code: 'InsufficientStorage' });
    const once = await openAt(proxy.address, { attempts: 1 });
    await assert.rejects(once.put('never', Buffer.from('x')), { code: 'OBJECT_STORE_FULL' });
    await once.close();
  });

  test('gives no half of an object for the whole', async () => {
    let left = 1;
    proxy.fault = (method) => (method === 'GET' && left-- > 0 ? { kind: 'torn' } : undefined);
    assert.equal((await getObject(store, 'there')).toString(), 'what is there');
    assert.equal(left, -1);
    const once = await openAt(proxy.address, { attempts: 1 });
    proxy.fault = () => ({ kind: 'torn' });
    await assert.rejects(once.get('there', 0, 100), { code: 'OBJECT_STORE_UNAVAILABLE' });
    await once.close();
  });

  test('finds its own object when the answer to writing it was lost', async () => {
    let left = 1;
    proxy.fault = (method) => (method === 'PUT' && left-- > 0 ? { kind: 'lost' } : undefined);
    // It is there, and whoever asks learns that somebody wrote it: itself.
    assert.equal(await store.put('once', Buffer.from('own'), { ifAbsent: true }), false);
    assert.equal((await getObject(store, 'once')).toString(), 'own');
  });

  test('leaves no parts of a large object whose parts do not arrive', async () => {
    const once = await openAt(proxy.address, { attempts: 1 });
    const seen: string[] = [];
    proxy.fault = (method, url) => {
      seen.push(`${method} ${url}`);
      return /partNumber=2/.test(url) ? { kind: 'answer', status: 500, code: 'InternalError' } : undefined;
    };
    async function* large(): AsyncGenerator<Buffer> {
      for (let at = 0; at < 11; at++) yield Buffer.alloc(MIB, at);
    }
    await assert.rejects(once.putLarge('large', large()), { code: 'OBJECT_STORE_UNAVAILABLE' });
    assert.ok(
      seen.some((call) => /^DELETE .*uploadId=/.test(call)),
      'the upload is given up',
    );
    await assert.rejects(once.get('large', 0, 1), { code: 'OBJECT_MISSING' });
    await once.close();
  });
});
