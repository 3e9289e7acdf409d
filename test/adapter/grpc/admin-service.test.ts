import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { adminDefinition } from '../../../src/adapter/grpc/definition.ts';
import { ERROR_TABLE, statusOf } from '../../../src/adapter/grpc/errors.ts';
import {
  ADMIN_SERVICE,
  AdminCallError,
  AdminClient,
  type AdminService,
  CODE_KEY,
  createAdminService,
  RAW_KV_SERVICE,
  TRANSACTIONAL_KV_SERVICE,
} from '../../../src/adapter/grpc/index.ts';
import { AdminError } from '../../../src/cluster/contract/admin-errors.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { RemoteError } from '../../../src/kv/contract/errors.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { until } from '../../support/until.ts';
import {
  drainStatus,
  EXAMINATION,
  FakeBackend,
  GROUP,
  job,
  members,
  ROUTES,
  replaceStatus,
  route,
  STATUS,
  slot,
  TIME,
  TRANSACTIONS,
  TXN_ID,
} from './fake-backend.ts';

/** A server whose admin service is added after it was bound, as a node does it. */
class Fixture {
  backend = new FakeBackend();
  readonly server = new grpc.Server();
  service!: AdminService;
  address = '';
  client!: AdminClient;

  async start(): Promise<void> {
    const port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    this.address = `127.0.0.1:${port}`;
    const current = (): FakeBackend => this.backend;
    // Each test has a backend of its own behind the one service.
    const behind = new Proxy(this.backend, { get: (_, name) => Reflect.get(current(), name).bind(current()) });
    this.service = createAdminService(behind, () => undefined);
    this.service.addTo(this.server);
    this.client = new AdminClient(this.address);
  }

  stop(): void {
    this.client.close();
    this.server.forceShutdown();
  }
}

describe('the admin service', () => {
  const fixture = new Fixture();
  before(() => fixture.start());
  after(() => fixture.stop());
  beforeEach(() => {
    fixture.backend = new FakeBackend();
  });
  const failing = async (method: string, error: Error, run: () => Promise<unknown>): Promise<AdminCallError> => {
    fixture.backend.failures.set(method, [error]);
    return run().then(
      () => assert.fail('it must be refused'),
      (refusal: unknown) => {
        assert.ok(refusal instanceof AdminCallError);
        return refusal;
      },
    );
  };

  test('hands every value over as it is, in both directions', async () => {
    const { client, backend } = fixture;
    assert.deepEqual(await client.call('Status', { groups: [1, 3] }, 5_000), STATUS);
    assert.deepEqual(await client.call('Members', { groups: [] }, 5_000), { groups: [members(2_500)] });
    assert.deepEqual(await client.call('AddLearner', { groupId: 1, nodeId: 4, address: 'h:1' }, 5_000), {
      changed: true,
      group: members(0),
      note: '',
    });
    assert.deepEqual(await client.call('TransferLeader', { groupId: 1 }, 5_000), {
      groupId: 1,
      from: 2,
      to: 1,
      changed: true,
    });
    assert.deepEqual(await client.call('ListGroups', {}, 5_000), { groups: [GROUP] });
    assert.deepEqual(await client.call('CreateGroup', { founders: [1, 2], preferredLeader: 2 }, 5_000), GROUP);
    assert.deepEqual(await client.call('Jobs', { id: 0, finishedLimit: 3 }, 5_000), { jobs: [job('BACKFILL')] });
    assert.deepEqual(
      await client.call('Move', { key: slot(9), toGroup: 2, expectedVersion: 0 }, 5_000),
      job('PLANNED'),
    );
    assert.deepEqual(await client.call('Move', { routeId: 2 ** 52, toGroup: 2 }, 5_000), job('PLANNED'));
    assert.deepEqual(await client.call('Nodes', {}, 5_000), { nodes: await backend.nodes() });
    assert.deepEqual(await client.call('ListFeatures', {}, 5_000), { features: await backend.features() });
    assert.deepEqual(await client.call('ListSettings', { name: 'autosplit' }, 5_000), {
      settings: (await backend.settings()).slice(0, 1),
    });
    assert.deepEqual(await client.call('Doctor', {}, 5_000), { nodes: [EXAMINATION], problems: [] });
    assert.deepEqual(await client.call('Time', {}, 5_000), TIME);
    assert.deepEqual(await client.call('Transactions', { groups: [], limit: 0, txnId: TXN_ID }, 5_000), TRANSACTIONS);
    const order = { dead: 3, successor: 4, address: '', mayAnswer: false, isDryRun: true };
    assert.deepEqual(await client.call('Replace', order, 5_000), replaceStatus('DONE', 'done'));
    const drain = { nodeId: 3, action: 'drain' };
    assert.deepEqual(await client.call('Drain', drain, 5_000), drainStatus('draining', 0, 2));
    await assert.rejects(
      client.call('Drain', { nodeId: 3, action: 'boil' }, 5_000),
      /the action is one of drain, undrain/,
    );
    assert.deepEqual(await client.call('DrainProgress', { nodeId: 3 }, 5_000), drainStatus('draining', 0, 2));
    const recovered = await client.call('Recover', { groupId: 2, isDryRun: true }, 5_000);
    assert.deepEqual([recovered.isDone, recovered.lost, recovered.node], [false, [2, 3], 1]);
    const resolved = await client.call('ResolveTransaction', { txnId: TXN_ID, isForced: true }, 5_000);
    assert.deepEqual(resolved, { txnId: TXN_ID, fate: 'rolledBack', endedLocks: 2, note: '' });
    assert.deepEqual(backend.calls.slice(-6), [
      ['transactions', [], 100, TXN_ID, undefined],
      ['replace', order],
      ['drain', drain],
      ['drainProgress', 3],
      ['recover', { groupId: 2, isDryRun: true }],
      ['resolveTransaction', TXN_ID, true],
    ]);
    assert.deepEqual(backend.calls.slice(0, 9), [
      ['status', [1, 3]],
      ['members', []],
      ['addLearner', 1, 4, 'h:1'],
      ['transferLeader', 1, undefined],
      ['groups'],
      ['createGroup', undefined, [1, 2], 2],
      ['jobs', 0, 3],
      ['move', { key: slot(9) }, 2, 0],
      ['move', { id: 2 ** 52 }, 2, undefined],
    ]);
  });

  test('streams the directory page by page', async () => {
    const pages = [];
    const request = { start: Buffer.alloc(0), end: slot(1), groupId: 2, limit: 7 };
    for await (const page of fixture.client.stream('ListRoutes', request, 5_000)) pages.push(page);
    assert.deepEqual(pages, fixture.backend.pages);
    assert.deepEqual(
      pages.flatMap((page) => page.routes),
      ROUTES,
    );
    assert.deepEqual(fixture.backend.calls, [['routes', request]]);
  });

  test('writes no faster than the caller reads', async () => {
    const { backend, client } = fixture;
    const big = Array.from({ length: 512 }, (_, at) => route(at, Buffer.alloc(100, at), undefined, 1));
    backend.pages = Array.from({ length: 200 }, (_, version) => ({ version, incarnation: 1, routes: big }));
    let taken = 0;
    const pages = backend.pages;
    backend.routes = function* () {
      for (const page of pages) {
        taken++;
        yield page;
      }
    };
    let read = 0;
    for await (const page of client.stream('ListRoutes', { start: Buffer.alloc(0), limit: 0 }, 20_000)) {
      assert.equal(page.version, read++);
      if (read === 3) {
        // Time for a service that would run ahead: calls there and back.
        for (let calls = 0; calls < 50; calls++) await client.call('ListGroups', {}, 5_000);
        assert.ok(taken < 150, `${taken} pages were made for a caller that had read 3`);
      }
    }
    assert.equal(read, 200);
  });

  test('ends a watch when its caller leaves, and when the service closes', async () => {
    const { backend, client, service } = fixture;
    backend.changes = [
      { version: 4, incarnation: 9, isSnapshot: true, upserts: [...ROUTES], removed: [], hasMore: false },
      {
        version: 5,
        incarnation: 9,
        isSnapshot: false,
        upserts: [],
        removed: [{ id: 3, start: slot(8192) }],
        hasMore: false,
      },
    ];
    const seen = [];
    for await (const change of client.stream('WatchRoutes', { onlyChanges: false }, undefined)) {
      seen.push(change);
      if (seen.length === 2) break;
    }
    assert.deepEqual(seen, backend.changes);
    await until(() => backend.watching === 0);

    backend.changes = [];
    const other = client.stream('WatchRoutes', { onlyChanges: true }, undefined);
    const over = other.next();
    await until(() => backend.watching === 1);
    service.close();
    assert.deepEqual(await over, { done: true, value: undefined });
    assert.equal(backend.watching, 0);
  });

  test('refuses ids that cannot be before the cluster is asked', async () => {
    const { backend, client } = fixture;
    for (const request of [
      { groupId: 0, nodeId: 1 },
      { groupId: 1, nodeId: 0 },
      { groupId: 1, nodeId: 70_000 },
    ]) {
      await assert.rejects(client.call('Promote', request, 5_000), (error: AdminCallError) => {
        assert.equal(error.code, 'INVALID_ARGUMENT');
        assert.equal(error.status, grpc.status.INVALID_ARGUMENT);
        return true;
      });
    }
    await assert.rejects(client.call('Move', { toGroup: 1 }, 5_000), /by its id or by a key/);
    assert.deepEqual(backend.calls, []);
  });

  test('tells an error as its status, its code and one sentence with what to do', async () => {
    const { client } = fixture;
    const promote = () => client.call('Promote', { groupId: 1, nodeId: 4 }, 5_000);
    const behind = await failing('promote', new AdminError('LEARNER_BEHIND', 'learner 4 is 9 entries behind'), promote);
    assert.deepEqual(
      [behind.code, behind.status, behind.message],
      ['LEARNER_BEHIND', grpc.status.FAILED_PRECONDITION, 'learner 4 is 9 entries behind'],
    );
    const stale = await failing(
      'split',
      new CatalogError('VERSION_MISMATCH', 'the catalog is at version 5, not 4'),
      () => client.call('Split', { key: slot(1) }, 5_000),
    );
    assert.deepEqual(
      [stale.code, stale.status, stale.message],
      ['VERSION_MISMATCH', grpc.status.ABORTED, 'the catalog is at version 5, not 4; look at the routes again'],
    );
    const unknown = await failing('promote', new OutcomeUnknownError('the leader did not answer in time'), promote);
    assert.equal(unknown.status, grpc.status.UNKNOWN);
    assert.match(unknown.message, /it may have happened: look, and say it again/);
    const bug = await failing('promote', new TypeError('x is not a function'), promote);
    assert.deepEqual([bug.code, bug.status], ['INTERNAL', grpc.status.INTERNAL]);
    assert.doesNotMatch(bug.message, /\n/, 'no stack leaves the node');
  });

  test('tells an error in the middle of a stream', async () => {
    fixture.backend.routes = function* () {
      yield { version: 4, incarnation: 9, routes: [] };
      throw new AdminError('NO_ROUTES', 'this node has no directory yet');
    };
    const pages = fixture.client.stream('ListRoutes', { start: Buffer.alloc(0), limit: 0 }, 5_000);
    assert.equal((await pages.next()).done, false);
    await assert.rejects(pages.next(), (error: AdminCallError) => error.code === 'NO_ROUTES');
  });

  test('gives a request a little less time than its caller has, so that its own refusal arrives', async () => {
    let given = 0;
    fixture.backend.health = async (timeoutMs?: number) => {
      given = timeoutMs!;
      return { isHealthy: true, problems: [], nodeCount: 0, groupCount: 0 };
    };
    await fixture.client.call('Health', {}, 3_000);
    assert.ok(given > 2_000 && given <= 2_900, `${given} ms`);
  });

  test('runs out of time without a code, because no node said anything', async () => {
    fixture.backend.hold = new Promise(() => {});
    await assert.rejects(fixture.client.call('Health', {}, 200), (error: AdminCallError) => {
      assert.equal(error.code, undefined);
      assert.equal(error.isTimeout, true);
      return true;
    });
  });

  test('describes itself by reflection to any gRPC tool', async () => {
    const { loadedFor } = await reflection(fixture.address);
    for (const name of [ADMIN_SERVICE, RAW_KV_SERVICE, TRANSACTIONAL_KV_SERVICE]) {
      assert.ok(loadedFor.services.includes(name), name);
    }
    for (const method of ['BatchSplit', 'CompareAndSet', 'Rollback']) {
      assert.ok(loadedFor.files.some((file) => file.includes('kvorum.v1') && file.includes(method)));
    }
  });
});

/** Asks the server what it serves and for the file that declares the admin service, knowing nothing but the reflection protocol. */
async function reflection(address: string): Promise<{ loadedFor: { services: string[]; files: string[] } }> {
  const path = new URL(import.meta.resolve('@grpc/reflection')).pathname.replace(
    /src\/index\.js$/,
    'proto/grpc/reflection/v1/reflection.proto',
  );
  const definition = loadSync(path);
  const loaded = grpc.loadPackageDefinition(definition) as unknown as {
    grpc: { reflection: { v1: { ServerReflection: grpc.ServiceClientConstructor } } };
  };
  const client = new loaded.grpc.reflection.v1.ServerReflection(address, grpc.credentials.createInsecure());
  const call = (client.ServerReflectionInfo as unknown as () => grpc.ClientDuplexStream<object, object>).call(client);
  const replies = call[Symbol.asyncIterator]() as AsyncIterator<{
    listServicesResponse?: { service: { name: string }[] };
    fileDescriptorResponse?: { fileDescriptorProto: Buffer[] };
  }>;
  call.write({ listServices: '' });
  const services = (await replies.next()).value.listServicesResponse!.service.map(({ name }: { name: string }) => name);
  call.write({ fileContainingSymbol: ADMIN_SERVICE });
  const files = (await replies.next()).value.fileDescriptorResponse!.fileDescriptorProto.map((file: Buffer) =>
    file.toString('latin1'),
  );
  call.end();
  client.close();
  return { loadedFor: { services, files } };
}

describe('the table of errors', () => {
  test('has a status for each code, and each sentence ends without a stop that would double', () => {
    for (const [code, { status, advice }] of ERROR_TABLE) {
      assert.match(code, /^[A-Z][A-Z_]+$/);
      assert.notEqual(status, grpc.status.OK);
      assert.doesNotMatch(advice ?? '', /\.$|\n/);
    }
  });

  test('sends what it does not know by how one may react to it', () => {
    const of = (disposition: 'redirect' | 'wait' | 'restart' | 'unknown' | 'final') =>
      statusOf(new RemoteError('OF_TOMORROW', disposition, 'words'));
    assert.deepEqual(
      (['redirect', 'wait', 'restart', 'unknown', 'final'] as const).map((word) => of(word).code),
      [
        grpc.status.UNAVAILABLE,
        grpc.status.UNAVAILABLE,
        grpc.status.ABORTED,
        grpc.status.UNKNOWN,
        grpc.status.FAILED_PRECONDITION,
      ],
    );
    assert.deepEqual(of('final').metadata.get(CODE_KEY), ['OF_TOMORROW']);
  });
});

describe('the proto file', () => {
  test('has only methods that the service and the client know', () => {
    const handlers: string[] = [];
    createAdminService(new FakeBackend(), () => undefined).addTo({
      addService: (definition, implementation) => {
        if ('Status' in definition) handlers.push(...Object.keys(implementation));
      },
    });
    assert.deepEqual(handlers.sort(), Object.keys(adminDefinition()).sort());
  });
});
