import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import { LEAST_ROLES } from '../../../src/adapter/grpc/access/index.ts';
import { loadPackage } from '../../../src/adapter/grpc/definition.ts';
import {
  type AdminCallError,
  AdminClient,
  AuditTrail,
  createAdminService,
  guardedServer,
} from '../../../src/adapter/grpc/index.ts';
import { AdminError } from '../../../src/cluster/contract/admin-errors.ts';
import { ACCESS_ROLES, AccessPolicy, type AccessRole, Secret, Tokens } from '../../../src/security/index.ts';
import { tokenOptions } from '../../../src/token-header.ts';
import { until } from '../../support/until.ts';
import { FakeBackend, slot, TXN_ID } from './fake-backend.ts';

const clock = { monotonicMs: () => 0 };
const tokenOf = (role: AccessRole): string => `${role}-`.repeat(10);
/** Every service of the proto file. */
const services = Object.entries(loadPackage()).flatMap(([name, definition]) =>
  'format' in definition ? [] : [[name, definition as grpc.ServiceDefinition] as const],
);
/** Every call of the services that are guarded: its path, its least role. */
const calls = services.flatMap(([service, definition]) =>
  Object.entries(definition).map(([name, method]) => ({ name, method, role: LEAST_ROLES[service]![name]! })),
);

type Line = Record<string, unknown>;

/** A server whose services are guarded by tokens, one a role. */
class GuardedFixture {
  readonly lines: Line[] = [];
  readonly backend = new FakeBackend();
  address = '';
  private readonly folder = mkdtempSync(join(tmpdir(), 'kvorum-guard-'));
  private readonly server = new grpc.Server();

  /** @param addServices to the guarded server */
  async start(addServices: (server: Pick<grpc.Server, 'addService'>) => void): Promise<void> {
    const file = join(this.folder, 'tokens');
    writeFileSync(file, ACCESS_ROLES.map((role) => `${role} its-${role} ${tokenOf(role)}\n`).join(''));
    const policy = new AccessPolicy({ tokens: await Tokens.open(file) });
    const audit = new AuditTrail({ info: (facts, message) => this.lines.push({ ...facts, message }) }, clock);
    addServices(guardedServer(this.server, { policy, audit, clock }));
    const port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    this.address = `127.0.0.1:${port}`;
  }

  stop(): void {
    this.server.forceShutdown();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe('the table of least roles', () => {
  const fixture = new GuardedFixture();
  before(() =>
    fixture.start((server) => {
      for (const [, definition] of services) {
        const handlers = Object.entries(definition).map(([name, { responseStream }]) => [
          name,
          responseStream
            ? (call: grpc.ServerWritableStream<object, object>) => call.end()
            : (_call: unknown, answer: grpc.sendUnaryData<object>) => answer(null, {}),
        ]);
        server.addService(definition, Object.fromEntries(handlers) as grpc.UntypedServiceImplementation);
      }
    }),
  );
  after(() => fixture.stop());

  test('has every call of every service of the proto file, and no other', () => {
    assert.deepEqual(Object.keys(LEAST_ROLES).sort(), services.map(([name]) => name).sort());
    for (const [name, definition] of services) {
      assert.deepEqual(Object.keys(LEAST_ROLES[name]!).sort(), Object.keys(definition).sort(), name);
    }
  });

  test('lets in whoever has the role of a call or one that contains it, and nobody else', async () => {
    const ladder: readonly AccessRole[] = ['read', 'operate', 'admin'];
    const mayDo = (role: AccessRole, needed: AccessRole): boolean =>
      role === needed || (role !== 'data' && needed !== 'data' && ladder.indexOf(role) >= ladder.indexOf(needed));
    for (const role of [...ACCESS_ROLES, undefined]) {
      const token = role === undefined ? undefined : () => tokenOf(role);
      const client = new grpc.Client(fixture.address, grpc.credentials.createInsecure(), tokenOptions(token));
      const outcome = ({ method }: (typeof calls)[number]): Promise<grpc.status> =>
        new Promise((resolve) => {
          const { path, requestSerialize, responseDeserialize, responseStream } = method;
          if (responseStream) {
            const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
            call.on('status', ({ code }) => resolve(code)).on('error', () => {});
            call.resume();
          } else {
            client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, (error) =>
              resolve(error === null ? grpc.status.OK : error.code),
            );
          }
        });
      const { OK, PERMISSION_DENIED, UNAUTHENTICATED } = grpc.status;
      const expected = calls.map(({ role: needed }) =>
        role === undefined ? UNAUTHENTICATED : mayDo(role, needed) ? OK : PERMISSION_DENIED,
      );
      assert.deepEqual(await Promise.all(calls.map(outcome)), expected, `with the role ${role}`);
      client.close();
    }
  });

  test('has changes behind every call that is written down, and reads behind none', () => {
    const admin = Object.entries(LEAST_ROLES['kvorum.v1.Admin']!);
    const looks = admin.filter(([, role]) => role === 'read').map(([name]) => name);
    assert.deepEqual(
      looks.filter(
        (name) =>
          !/^(?:List|Watch)[A-Z]|^(?:Status|Health|Members|Transactions|Jobs|Nodes|Backups|Balance|Gc|Time|DrainProgress$)/.test(
            name,
          ),
      ),
      [],
    );
  });
});

describe('the guard', () => {
  const fixture = new GuardedFixture();
  before(() => fixture.start((server) => createAdminService(fixture.backend, () => undefined).addTo(server)));
  after(() => fixture.stop());
  const as = async <Result>(
    role: AccessRole | undefined,
    work: (client: AdminClient) => Promise<Result>,
  ): Promise<Result> => {
    const client = new AdminClient(fixture.address, undefined, role && new Secret(tokenOf(role)));
    try {
      return await work(client);
    } finally {
      client.close();
    }
  };

  test('writes down who changed what, and what came of it; who only looks leaves no line', async () => {
    fixture.lines.length = 0;
    await as('read', (client) => client.call('Status', { groups: [] }, 5_000));
    await as('operate', (client) => client.call('TransferLeader', { groupId: 1, to: 2 }, 5_000));
    fixture.backend.failures.set('promote', [new AdminError('LEARNER_BEHIND', 'it is behind')]);
    await assert.rejects(as('admin', (client) => client.call('Promote', { groupId: 1, nodeId: 4 }, 5_000)));
    await assert.rejects(
      as('read', (client) => client.call('RemoveGroup', { id: 3 }, 5_000)),
      (error: AdminCallError) => {
        assert.deepEqual([error.code, error.status], ['ROLE_MISSING', grpc.status.PERMISSION_DENIED]);
        assert.match(error.message, /^RemoveGroup needs the role admin; token "its-read" has read: /);
        return true;
      },
    );
    await assert.rejects(as(undefined, (client) => client.call('RemoveGroup', { id: 3 }, 5_000)));
    const from = fixture.lines.map((line) => String(line.from));
    for (const address of from) assert.match(address, /^127\.0\.0\.1:\d+$/);
    const [changed, refused] = ['an operator has acted', 'an operator was refused'];
    assert.deepEqual(
      fixture.lines.map(({ from: _, ...line }) => line),
      [
        {
          audit: 'TransferLeader',
          token: 'its-operate',
          arguments: { groupId: 1, to: 2 },
          result: 'OK',
          tookMs: 0,
          message: changed,
        },
        {
          audit: 'Promote',
          token: 'its-admin',
          arguments: { groupId: 1, nodeId: 4 },
          result: 'LEARNER_BEHIND',
          tookMs: 0,
          message: changed,
        },
        {
          audit: 'RemoveGroup',
          token: 'its-read',
          arguments: { id: 3 },
          result: 'ROLE_MISSING',
          tookMs: 0,
          message: refused,
        },
        { audit: 'RemoveGroup', arguments: { id: 3 }, result: 'UNAUTHENTICATED', tookMs: 0, message: refused },
      ],
    );
  });

  test('writes neither keys nor passwords down', async () => {
    fixture.lines.length = 0;
    const password = 'correct-horse';
    await as('operate', (client) => client.call('Split', { key: Buffer.from(password) }, 5_000));
    await as('operate', (client) =>
      client.call('BatchSplit', { keys: Array.from({ length: 40 }, (_, at) => slot(at)), batchId: TXN_ID }, 5_000),
    );
    const rules = [
      'on',
      `>${password}`,
      `<${password}`,
      `#${'0'.repeat(64)}`,
      password,
      '~app:*',
      '+@all',
      'resetkeys',
    ];
    await assert.rejects(as('admin', (client) => client.call('SetUser', { name: 'app', rules }, 5_000)));
    await as('admin', (client) => client.call('SetSetting', { name: 'autosplit', value: 'on' }, 5_000));
    const [split, batch, user, setting] = fixture.lines.map((line) => line.arguments as Line);
    assert.deepEqual(split, { key: '(13 bytes)' });
    assert.deepEqual([(batch!.keys as unknown[]).length, batch!.batchId], [33, TXN_ID.toString('hex')]);
    assert.equal((batch!.keys as unknown[]).at(-1), '(8 more)');
    const hidden = '(hidden)';
    assert.deepEqual(user!.rules, ['on', hidden, hidden, hidden, hidden, '~app:*', '+@all', 'resetkeys']);
    assert.deepEqual(setting, { name: 'autosplit', value: 'on' });
    assert.doesNotMatch(JSON.stringify(fixture.lines), new RegExp(password));
  });

  test('tells no more refusals than somebody can read, and how many it kept to itself', async () => {
    fixture.lines.length = 0;
    await as('data', (client) =>
      Promise.all(
        Array.from({ length: 130 }, () => client.call('RemoveGroup', { id: 3 }, 20_000).catch(() => undefined)),
      ),
    );
    assert.equal(fixture.lines.length, 98, 'two were told by the test before, and a hundred are');
    await as('operate', (client) => client.call('TransferLeader', { groupId: 1 }, 5_000));
    assert.equal(fixture.lines.at(-1)!.refusedBefore, 32);
  });

  test('says of a copy that it was taken, however it ends', async () => {
    const copies = new GuardedFixture();
    const definition = loadPackage()['kvorum.v1.Snapshots'] as grpc.ServiceDefinition;
    let copy = (call: grpc.ServerWritableStream<object, object>): unknown => call.end();
    await copies.start((server) =>
      server.addService(definition, {
        Point: () => {},
        Copy: (call: grpc.ServerWritableStream<object, object>) => copy(call),
      } as grpc.UntypedServiceImplementation),
    );
    try {
      const client = new grpc.Client(
        copies.address,
        grpc.credentials.createInsecure(),
        tokenOptions(() => tokenOf('admin')),
      );
      const take = (): grpc.ClientReadableStream<object> => {
        const { path, requestSerialize, responseDeserialize } = definition.Copy!;
        const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {
          groupId: 2,
          at: '17',
          have: ['ab'],
        });
        call.on('error', () => {});
        return call.resume() as grpc.ClientReadableStream<object>;
      };
      const lines = (count: number): Promise<void> => until(`${count} lines`, () => copies.lines.length === count);
      take();
      await lines(1);
      copy = (call) => call.emit('error', { code: grpc.status.ABORTED, details: 'over' });
      take();
      await lines(2);
      const begun = Promise.withResolvers<grpc.ServerWritableStream<object, object>>();
      copy = (call) => begun.resolve(call);
      const call = take();
      const held = await begun.promise;
      held.on('cancelled', () => held.end());
      call.cancel();
      await lines(3);
      assert.deepEqual(
        copies.lines.map(({ result, arguments: shown }) => [result, shown]),
        ['OK', 'INTERNAL', 'CANCELLED'].map((result) => [result, { groupId: 2, at: '17', have: ['(2 characters)'] }]),
      );
      client.close();
    } finally {
      copies.stop();
    }
  });

  test('takes no service whose calls have no least role', () => {
    const definition = { Open: { ...calls[0]!.method, path: '/kvorum.v1.Tomorrow/Open' } };
    const server = { addService: () => assert.fail('it was added') };
    const policy = new AccessPolicy({});
    const audit = new AuditTrail({ info: () => {} }, clock);
    assert.throws(
      () => guardedServer(server, { policy, audit, clock }).addService(definition, { Open: () => {} }),
      /\/kvorum\.v1\.Tomorrow\/Open has a least role/,
    );
  });
});
