import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import grpc from '@grpc/grpc-js';
import { Redis } from 'ioredis';
import { freePortRange } from '../../bench/scratch.ts';
import type { NodeOptions } from '../../src/config/index.ts';
import { type RunningNode, startNode } from '../../src/node.ts';
import { nodeId, SystemClock, SystemRandom, SystemScheduler } from '../../src/platform/index.ts';
import { createGrpcNetwork } from '../../src/raftengine/transport/grpc-network.ts';
import { CertificateStore } from '../../src/security/index.ts';
import { run } from '../cmd/raftadmin-bed.ts';
import { bookInMemory } from '../support/kept-peers.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { type Issued, TestAuthority } from './authority.ts';

const HOST = '127.0.0.1';
/** Names in the certificates of nodes, the renewed ones too. */
const NODE_NAMES = ['node1', 'node2', 'node3', 'node1-renewed', 'node3-renewed'];

function optionsOf(folder: string, id: number, grpcPorts: readonly number[], tls: Issued | undefined): NodeOptions {
  return {
    nodeId: id,
    clusterName: 'secure',
    dataFolder: join(folder, `n${id}`),
    members: grpcPorts.map((port, at) => ({ nodeId: at + 1, address: `${HOST}:${port}` })),
    joins: false,
    groups: 1,
    memoryBytes: 512 * 1024 * 1024,
    storeMemoryBytes: 32 * 1024 * 1024,
    redis: { host: HOST, port: 0 },
    grpc: { host: HOST, port: grpcPorts[id - 1]!, tls: tls && { ...tls, nodeNames: NODE_NAMES } },
    metrics: { host: HOST, port: 0 },
    raft: { tickMs: 10, heartbeatMs: 100, electionTimeoutMs: 600 },
    retentionMs: 60_000,
    logLevel: 'silent',
  };
}

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

describe('three nodes that prove themselves to each other', { skip: skipWithout('openssl') }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-tls-'));
  let authority: TestAuthority;
  let foreign: TestAuthority;
  let certificates: Issued[];
  let ports: number[];
  let nodes: RunningNode[] = [];
  let client: Redis;

  before(async () => {
    authority = new TestAuthority();
    foreign = new TestAuthority('foreign');
    certificates = [1, 2, 3].map((id) => authority.issue(`node${id}`));
    const first = await freePortRange(3);
    ports = [first, first + 1, first + 2];
    nodes = await Promise.all(
      [1, 2, 3].map((id) => startNode(optionsOf(folder, id, ports, certificates[id - 1]), 'test')),
    );
    await until('all nodes are ready', () => nodes.every((node) => node.readiness().ready), 20_000);
    client = new Redis({ host: HOST, port: portOf(nodes[0]!.addresses.redis) });
  });
  after(async () => {
    client?.disconnect();
    await Promise.all(nodes.map((node) => node.stop()));
    authority.remove();
    foreign.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const endpoint = (): string => `${HOST}:${ports[0]}`;
  const flagsOf = ({ ca, cert, key }: Issued): string[] => ['--tls-ca', ca, '--tls-cert', cert, '--tls-key', key];

  test('are a cluster: what is written through one is read through the others', async () => {
    assert.equal(await client.set('a', '1'), 'OK');
    for (const node of nodes) {
      const other = new Redis({ host: HOST, port: portOf(node.addresses.redis) });
      assert.equal(await other.get('a'), '1');
      other.disconnect();
    }
  });

  test('serve operators who have a certificate, and say to others what is missing', async () => {
    const operator = authority.issue('operator', { usage: 'clientAuth' });
    const status = await run(['-e', endpoint(), ...flagsOf(operator), 'health']);
    assert.deepEqual([status.code, status.err], [0, '']);
    const { ca, cert, key } = operator;
    const env = {
      RAFTADMIN_TLS_CA: ca,
      RAFTADMIN_TLS_CERT: cert,
      RAFTADMIN_TLS_KEY: key,
      RAFTADMIN_ENDPOINTS: endpoint(),
    };
    assert.equal((await run(['health'], { env })).code, 0);

    const plain = await run(['-e', endpoint(), 'health']);
    assert.equal(plain.code, 3);
    assert.match(plain.err, /speaks TLS only: name certificates with --tls-ca/);
    const nameless = await run(['-e', endpoint(), '--tls-ca', ca, 'health']);
    assert.equal(nameless.code, 3);
    assert.match(nameless.err, /refuses the certificate of this side \(.*certificate_required\)/);
    const stranger = foreign.issue('stranger');
    const unknown = await run(['-e', endpoint(), ...flagsOf({ ...stranger, ca }), 'health']);
    assert.equal(unknown.code, 3);
    assert.match(unknown.err, /refuses the certificate of this side|broke the handshake off/);
    const distrusting = await run(['-e', endpoint(), ...flagsOf(stranger), 'health']);
    assert.match(distrusting.err, /its certificate is not accepted here/);
    const old = await run(['-e', endpoint(), ...flagsOf(authority.issue('old', { days: -1 })), 'health']);
    assert.equal(old.code, 1);
    assert.match(old.err, /old\.pem \(CN=old\) expired on .* \[CERTIFICATE_INVALID\]/);
    const half = await run(['-e', endpoint(), '--tls-ca', ca, '--tls-cert', cert, 'health']);
    assert.equal(half.code, 2);
    assert.match(half.err, /name --tls-key/);
  });

  test('serve keys over gRPC to who has a certificate', async () => {
    const { ca, cert, key } = authority.read(authority.issue('program'));
    const address = `localhost:${ports[0]}`;
    const state = async (credentials: grpc.ChannelCredentials): Promise<boolean> => {
      const channel = new grpc.Client(address, credentials, { 'grpc.enable_retries': 0 });
      try {
        return await new Promise((resolve) => {
          const call = channel.makeUnaryRequest(
            '/kvorum.v1.Admin/Health',
            (bytes: Buffer) => bytes,
            (bytes) => bytes,
            Buffer.alloc(0),
            { deadline: Date.now() + 2_000 },
            (error) => resolve(error === null),
          );
          call.on('error', () => {});
        });
      } finally {
        channel.close();
      }
    };
    assert.equal(await state(grpc.credentials.createSsl(ca, key, cert)), true);
    assert.equal(await state(grpc.credentials.createSsl(ca)), false);
    assert.equal(await state(grpc.credentials.createInsecure()), false);
  });

  test('let no stranger in as a node, and are not disturbed by many who try', async () => {
    const before = nodes.map((node) => node.status().groups.map(({ term }) => term));
    const strangers = [
      undefined,
      await CertificateStore.open(foreign.issue('intruder'), 'peer', new SystemClock()),
      // Of the cluster's authority, and not one of a node.
      await CertificateStore.open(authority.issue('backup'), 'peer', new SystemClock()),
    ].map((tls) => {
      const frames: Buffer[] = [];
      const network = createGrpcNetwork({
        self: nodeId(3),
        clusterName: 'secure',
        admission: bookInMemory(3, 'intruder'),
        listen: { host: HOST, port: 0 },
        clock: new SystemClock(),
        random: new SystemRandom(),
        scheduler: new SystemScheduler(),
        tls,
      });
      network.onFrame('control', (_from, frame) => frames.push(frame));
      network.setPeer(nodeId(1), endpoint());
      return { network, frames };
    });
    await Promise.all(strangers.map(({ network }) => network.start()));
    // Handshakes without a certificate, one after another, while clients write.
    const { ca } = authority.read(certificates[0]!);
    const knock = (): Promise<void> =>
      new Promise((resolve) => {
        const socket = connectTls({ host: HOST, port: ports[0]!, ca, ALPNProtocols: ['h2'] });
        socket.once('error', () => resolve());
        socket.once('close', () => resolve());
        socket.resume();
      });
    for (let round = 0; round < 10; round++) {
      await Promise.all([...Array.from({ length: 5 }, knock), client.incr('n')]);
    }
    for (const { network, frames } of strangers) {
      assert.equal(network.isConnected(nodeId(1)), false);
      assert.deepEqual(frames, []);
      await network.stop();
    }
    assert.equal(await client.get('n'), '10');
    assert.deepEqual(
      nodes.map((node) => node.status().groups.map(({ term }) => term)),
      before,
      'no leader had to be chosen again',
    );
  });

  test('say nothing to the holder of another certificate who answers in the place of a node', async () => {
    const network = async (id: number, issued: Issued, warnings: string[] = []) =>
      createGrpcNetwork({
        self: nodeId(id),
        clusterName: 'secure',
        admission: bookInMemory(id),
        listen: { host: HOST, port: 0 },
        clock: new SystemClock(),
        random: new SystemRandom(),
        scheduler: new SystemScheduler(),
        logger: { info: () => {}, warn: (facts) => warnings.push(JSON.stringify(facts)) },
        tls: await CertificateStore.open(issued, 'peer', new SystemClock()),
        nodeNames: NODE_NAMES,
      });
    const warnings: string[] = [];
    const caller = await network(1, certificates[0]!, warnings);
    // Of the cluster's authority, good for servers, and not one of a node.
    const impostor = await network(2, authority.issue('impostor'));
    const frames: Buffer[] = [];
    impostor.onFrame('control', (_from, frame) => frames.push(frame));
    await Promise.all([caller.start(), impostor.start()]);
    try {
      caller.setPeer(nodeId(2), `${HOST}:${impostor.port}`);
      await until('the caller says why', () =>
        warnings.some((text) => /certificate of .*impostor.* is not one of a node/.test(text)),
      );
      assert.deepEqual([caller.isConnected(nodeId(2)), frames], [false, []]);
    } finally {
      await Promise.all([caller.stop(), impostor.stop()]);
    }
  });

  test('take renewed certificates without a restart, and keep theirs when the new ones do not fit', async () => {
    const nameShown = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const operator = authority.read(certificates[1]!);
        const socket = connectTls({ host: HOST, port: ports[0]!, ...operator, rejectUnauthorized: false }, () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        });
        socket.once('error', reject);
      });
    assert.equal(await nameShown(), 'node1');
    authority.replace(certificates[0]!, authority.issue('node1-renewed'));
    await nodes[0]!.reloadSecurity();
    assert.equal(await nameShown(), 'node1-renewed');
    assert.equal(await client.set('a', '2'), 'OK');
    // A mistake changes nothing.
    authority.replace(certificates[0]!, { ...certificates[1]!, key: certificates[0]!.key });
    await nodes[0]!.reloadSecurity();
    assert.equal(await nameShown(), 'node1-renewed');
    // A node that comes back dials and is dialled with what is there now.
    authority.replace(certificates[2]!, authority.issue('node3-renewed'));
    await nodes[2]!.stop();
    nodes[2] = await startNode(optionsOf(folder, 3, ports, certificates[2]), 'test');
    await until('node 3 is back', () => nodes[2]!.readiness().ready);
    assert.equal(await client.get('a'), '2');
  });

  test('let operators make users, and mend a password that is lost', async () => {
    const flags = ['-e', endpoint(), ...flagsOf(authority.issue('keeper', { usage: 'clientAuth' }))];
    const acl = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await run([...flags, 'acl', ...args]);
      assert.deepEqual([code, err], [0, '']);
      return out;
    };
    const passwordIn = (out: string): string => /^password ([0-9a-f]{64})$/m.exec(out)![1]!;
    const as = (node: RunningNode, options: { username?: string; password?: string }): Redis =>
      new Redis({ host: HOST, port: portOf(node.addresses.redis), retryStrategy: () => null, ...options });
    const failureOf = async (client: Redis): Promise<string> => {
      client.on('error', () => undefined);
      return client.get('a').then(String, (error: Error) => error.message);
    };

    const password = passwordIn(await acl('set', 'app', 'on', '--new-password', '~app:*', '+@all'));
    const app = as(nodes[2]!, { username: 'app', password });
    assert.equal(await app.set('app:1', 'x'), 'OK');
    assert.match(await failureOf(app), /^NOPERM/);

    const lost = passwordIn(await acl('set', 'default', '--new-password'));
    const [without, withPassword] = [as(nodes[1]!, {}), as(nodes[1]!, { password: lost })];
    assert.match(await failureOf(without), /NOAUTH/);
    assert.equal(await withPassword.exists('a'), 1);

    assert.match(await acl('list'), /^app +on #[0-9a-f]{64} .*~app:\*.*\ndefault +on /m);
    assert.equal(await acl('set', 'default', 'nopass'), 'user default on nopass ~* &* +@all\n');
    const wrong = await run([...flags, 'acl', 'set', 'app', '+nosuch']);
    assert.deepEqual([wrong.code, wrong.out], [1, '']);
    assert.match(wrong.err, /Error in ACL SETUSER modifier '\+nosuch'/);
    assert.equal(await acl('delete', 'app', 'nobody', '--yes'), '1 of 2 deleted\n');
    assert.equal(await acl('list', '-w', 'simple'), 'default\ton nopass ~* &* +@all\n');
    for (const one of [app, without, withPassword]) one.disconnect();
  });
});

describe('a node that is started wrongly', { skip: skipWithout('openssl') }, () => {
  let authority: TestAuthority;
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-wrong-'));
  before(() => {
    authority = new TestAuthority();
  });
  after(() => {
    authority.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test('says which certificate has expired, and touches no data', async () => {
    const old = authority.issue('old', { days: -1 });
    await assert.rejects(startNode(optionsOf(folder, 1, [0], old), 'test'), {
      code: 'CERTIFICATE_INVALID',
      message: /old\.pem \(CN=old\) expired on/,
    });
    assert.equal(existsSync(join(folder, 'n1')), false);
  });

  test('does not listen beyond this machine without knowing who comes', async () => {
    const options = optionsOf(folder, 1, [0], undefined);
    await assert.rejects(
      startNode({ ...options, redis: { host: '0.0.0.0', port: 0 }, grpc: { host: '::', port: 0 } }, 'test'),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'CONFIG_INVALID');
        assert.match(error.message, /redis\.host .*Redis clients at 0\.0\.0\.0 .*redis\.passwordFile.*--insecure/);
        assert.match(error.message, /grpc\.host .*other nodes and tools at :: .*grpc\.tls\.cert.*--insecure/);
        return true;
      },
    );
    assert.equal(existsSync(join(folder, 'n1')), false);
  });
});
