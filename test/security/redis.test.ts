import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { type RedisServer, type RedisServerOptions, startRedisServer } from '../../src/adapter/redis/server/server.ts';
import { SystemClock, SystemRandom, SystemScheduler } from '../../src/platform/index.ts';
import { CertificateStore, Passwords, Secret } from '../../src/security/index.ts';
import { type CommandLine, RespConnection } from '../compat/resp-connection.ts';
import { startReference, type Target } from '../compat/targets.ts';
import { FakeKv } from '../support/fake-kv.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { type Issued, TestAuthority } from './authority.ts';

const HOST = '127.0.0.1';
const PASSWORD = 's3cret';

async function serve(options: Partial<RedisServerOptions>): Promise<RedisServer> {
  return startRedisServer({
    kv: new FakeKv(),
    host: HOST,
    port: 0,
    clock: new SystemClock(),
    scheduler: new SystemScheduler(),
    random: new SystemRandom(),
    ...options,
  });
}

/** Timers fire when the test says so; turns end as those of the process do, for replies leave with them. */
class ManualTimers extends ManualScheduler {
  private readonly turns = new SystemScheduler();

  override endOfTurn(callback: () => void): void {
    this.turns.endOfTurn(callback);
  }
}

async function withPassword(): Promise<Passwords> {
  const passwords = await Passwords.open({ password: new Secret(PASSWORD) });
  assert.ok(passwords);
  return passwords;
}

/** Conversations, each on a connection of its own. */
const CONVERSATIONS: readonly (readonly CommandLine[])[] = [
  [
    ['PING'],
    ['GET', 'a'],
    ['GET'],
    ['NOPE'],
    ['CLIENT', 'NO-EVICT', 'on'],
    ['CLIENT'],
    ['CONFIG', 'GET', 'requirepass'],
  ],
  [['AUTH'], ['AUTH', 'x'], ['AUTH', 'default', 'x'], ['AUTH', 'bob', PASSWORD], ['AUTH', 'a', 'b', 'c'], ['PING']],
  [
    ['AUTH', ''],
    ['AUTH', 'default', ''],
    ['AUTH', `${PASSWORD}x`],
    ['AUTH', PASSWORD.slice(0, -1)],
    ['SET', 'a', '1'],
  ],
  [
    ['AUTH', PASSWORD],
    ['PING'],
    ['AUTH', 'bad'],
    ['PING'],
    ['RESET'],
    ['PING'],
    ['AUTH', 'default', PASSWORD],
    ['PING'],
  ],
  [['HELLO'], ['HELLO', '3'], ['HELLO', '9'], ['HELLO', '3', 'SETNAME', 'bob'], ['HELLO', '3', 'BAD'], ['PING']],
  [
    ['HELLO', '3', 'AUTH', 'default', 'x'],
    ['HELLO', '3', 'AUTH', 'bob', PASSWORD],
    ['HELLO', '2', 'AUTH', 'bob'],
    ['PING'],
  ],
  [['MULTI'], ['SET', 'a', '1'], ['EXEC'], ['DISCARD'], ['WATCH', 'a'], ['SUBSCRIBE', 'c']],
  [['AUTH', PASSWORD], ['MULTI'], ['AUTH', 'nope'], ['EXEC'], ['PING']],
  [['AUTH', PASSWORD], ['MULTI'], ['RESET'], ['PING'], ['MULTI'], ['QUIT']],
  [['FLUSHALL'], ['SHUTDOWN'], ['INFO'], ['COMMAND', 'COUNT'], ['EVAL', 'return 1', '0'], ['QUIT']],
];

async function replies(port: number, commands: readonly CommandLine[]): Promise<string[]> {
  const connection = await RespConnection.open(HOST, port);
  try {
    const raw: string[] = [];
    // One after another: a pipeline behind QUIT has no replies.
    for (const command of commands) raw.push((await connection.call([command]))[0]!.raw);
    return raw;
  } finally {
    connection.close();
  }
}

/** What a server says to bytes, until it closes. */
function lastWords(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port }, () => socket.write(bytes));
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk;
    });
    socket.setTimeout(5_000, () => socket.destroy(new Error('it is not closed')));
    socket.on('error', reject);
    socket.on('close', () => resolve(said));
    socket.on('end', () => socket.end());
  });
}

describe('a Redis port with a password', () => {
  test('answers strangers exactly as redis-server does', { skip: skipWithout('redis-server') }, async () => {
    const server = await serve({ passwords: await withPassword() });
    const reference: Target = await startReference();
    try {
      await replies(reference.port, [['CONFIG', 'SET', 'requirepass', PASSWORD]]);
      for (const conversation of CONVERSATIONS) {
        // Commands that kvorum does not have are unknown before anybody asks for a password.
        const known = conversation.filter(([name]) => !['SUBSCRIBE', 'SHUTDOWN', 'EVAL'].includes(name!));
        assert.deepEqual(await replies(server.port, known), await replies(reference.port, known));
      }
      for (const bytes of ['*11\r\n', '*2\r\n$16385\r\n']) {
        assert.equal(await lastWords(server.port, bytes), await lastWords(reference.port, bytes));
      }
    } finally {
      await Promise.all([server.stop(), reference.stop()]);
    }
  });

  test('runs nothing for a stranger, whatever is sent in whatever pieces', async () => {
    const kv = new FakeKv();
    const server = await serve({ kv, passwords: await withPassword() });
    const insider = await RespConnection.open(HOST, server.port);
    const stranger = await RespConnection.open(HOST, server.port);
    try {
      const many = Array.from({ length: 200 }, (_, at): CommandLine => ['SET', `k${at}`, 'x']);
      for (const { raw } of await stranger.call(many)) assert.equal(raw, '-NOAUTH Authentication required.\r\n');
      await stranger.call([['AUTH', 'wrong'], ['FLUSHALL'], ['RESET'], ['HELLO', '3', 'AUTH', 'default', 'wrong']]);
      // A pipeline behind the right password runs, large arguments included.
      const long = 'v'.repeat(100_000);
      const [ok, size, set, get] = await insider.call([
        ['AUTH', PASSWORD],
        ['DBSIZE'],
        ['SET', 'k', long],
        ['GET', 'k'],
      ]);
      assert.deepEqual([ok!.raw, size!.raw, set!.raw, get!.text], ['+OK\r\n', ':0\r\n', '+OK\r\n', long]);
    } finally {
      insider.close();
      stranger.close();
      await server.stop();
    }
  });

  test('slows those who guess, over all their connections, and says so once', async () => {
    const warnings: object[] = [];
    const clock = new ManualClock();
    const scheduler = new ManualTimers(clock);
    const logger = { info: () => {}, warn: (facts: object) => warnings.push(facts), error: () => {} };
    const server = await serve({ passwords: await withPassword(), clock, logger, scheduler });
    const [first, second] = [
      await RespConnection.open(HOST, server.port),
      await RespConnection.open(HOST, server.port),
    ];
    try {
      const guesses = Array.from({ length: 11 }, (): CommandLine => ['AUTH', 'guess']);
      for (const { raw } of await first.call(guesses)) assert.match(raw, /^-WRONGPASS /);
      assert.equal(warnings.length, 1);
      // Time stands still, so whoever has to wait gets no answer: neither a guess nor the right word.
      const timers = scheduler.pendingTimers;
      let answered = 0;
      const waiting = [first, second].map((client) =>
        client.call([['AUTH', PASSWORD]]).then(([reply]) => {
          answered++;
          return reply!.raw;
        }),
      );
      await until('the tries to arrive', () => scheduler.pendingTimers >= timers + 2);
      assert.equal(answered, 0);
      scheduler.advance(200);
      assert.deepEqual(await Promise.all(waiting), ['+OK\r\n', '+OK\r\n']);
    } finally {
      first.close();
      second.close();
      await server.stop();
    }
  });

  test('does not keep a client that says nothing', async () => {
    const clock = new ManualClock();
    const scheduler = new ManualTimers(clock);
    const server = await serve({ passwords: await withPassword(), clock, scheduler });
    const stranger = connect(server.port, HOST);
    const insider = await RespConnection.open(HOST, server.port);
    try {
      const closed = new Promise((resolve) => stranger.once('close', resolve));
      stranger.on('error', () => {}).resume();
      await insider.call([['AUTH', PASSWORD]]);
      await until('both to be clients', () => server.counters().connections === 2);
      scheduler.advance(9_000);
      assert.equal(server.counters().connections, 2);
      scheduler.advance(3_000);
      await closed;
      assert.equal((await insider.call([['PING']]))[0]!.raw, '+PONG\r\n');
    } finally {
      stranger.destroy();
      insider.close();
      await server.stop();
    }
  });

  test('shows its password to nobody and takes none from clients', async () => {
    const server = await serve({ passwords: await withPassword() });
    try {
      const [, shown, set, info, list] = await replies(server.port, [
        ['AUTH', PASSWORD],
        ['CONFIG', 'GET', '*'],
        ['CONFIG', 'SET', 'requirepass', ''],
        ['INFO', 'everything'],
        ['CLIENT', 'LIST'],
      ]);
      assert.match(shown!, /requirepass\r\n\$8\r\n\(hidden\)/);
      assert.match(set!, /^-ERR .*configuration of the node/);
      for (const reply of [shown, set, info, list]) assert.doesNotMatch(reply!, new RegExp(PASSWORD));
      assert.deepEqual(await replies(server.port, [['PING']]), ['-NOAUTH Authentication required.\r\n']);
    } finally {
      await server.stop();
    }
  });

  test('lets in who has any of the passwords of its file, and follows the file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvorum-passwords-'));
    const file = join(folder, 'passwords');
    writeFileSync(file, 'old\nnew\n');
    const passwords = await Passwords.open({ file });
    const server = await serve({ passwords });
    const open = await RespConnection.open(HOST, server.port);
    try {
      assert.deepEqual(await replies(server.port, [['AUTH', 'new']]), ['+OK\r\n']);
      await open.call([['AUTH', 'old']]);
      writeFileSync(file, 'new\n');
      await passwords!.refresh();
      assert.match((await replies(server.port, [['AUTH', 'old']]))[0]!, /^-WRONGPASS/);
      assert.deepEqual(await replies(server.port, [['AUTH', 'new']]), ['+OK\r\n']);
      assert.equal((await open.call([['PING']]))[0]!.raw, '+PONG\r\n', 'who is in stays in, as with Redis');
    } finally {
      open.close();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('works with ioredis and node-redis, and both say when the password is wrong', async () => {
    const server = await serve({ passwords: await withPassword() });
    const { port } = server;
    try {
      const io = new Redis({ host: HOST, port, password: PASSWORD, maxRetriesPerRequest: 0 });
      assert.equal(await io.set('a', '1'), 'OK');
      io.disconnect();
      const wrong = new Redis({ host: HOST, port, password: 'x', lazyConnect: true, retryStrategy: () => null });
      wrong.on('error', () => {});
      await assert.rejects(wrong.set('a', '2'), /NOAUTH|WRONGPASS|closed/);
      wrong.disconnect();
      for (const RESP of [2, 3] as const) {
        const client = createClient({ url: `redis://default:${PASSWORD}@${HOST}:${port}`, RESP });
        await client.connect();
        assert.equal(await client.get('a'), '1');
        await client.close();
      }
      const refused = createClient({ url: `redis://:x@${HOST}:${port}`, socket: { reconnectStrategy: false } });
      refused.on('error', () => {});
      await assert.rejects(refused.connect(), /WRONGPASS/);
    } finally {
      await server.stop();
    }
  });
});

describe('a Redis port with TLS', { skip: skipWithout('openssl') }, () => {
  let authority: TestAuthority;
  let foreign: TestAuthority;
  let own: Issued;
  let client: Issued;

  before(() => {
    authority = new TestAuthority();
    foreign = new TestAuthority('foreign');
    own = authority.issue('server');
    client = authority.issue('client', { usage: 'clientAuth' });
  });
  after(() => {
    authority.remove();
    foreign.remove();
  });

  async function serveTls(
    clientAuth: 'none' | 'optional' | 'required',
    files: Issued = own,
  ): Promise<{ server: RedisServer; store: CertificateStore }> {
    const store = await CertificateStore.open(
      clientAuth === 'none' ? { cert: files.cert, key: files.key } : files,
      'server',
      new SystemClock(),
    );
    return { server: await serve({ tls: { certificates: store, clientAuth }, clusterPort: 0 }), store };
  }

  /** The reply to PING, or why there is none. */
  function ping(port: number, options: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {}): Promise<string> {
    return new Promise((resolve) => {
      const socket = connectTls({ host: HOST, port, ca: authority.read(own).ca, ...options }, () =>
        socket.write('PING\r\n'),
      );
      socket.once('data', (bytes) => {
        resolve(bytes.toString());
        socket.destroy();
      });
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.once('close', () => resolve('closed'));
    });
  }

  test('works with ioredis and node-redis, which check its certificate', async () => {
    const { server } = await serveTls('none');
    const { ca } = authority.read(own);
    try {
      for (const port of [server.port, server.clusterPort!]) {
        const io = new Redis({ host: HOST, port, tls: { ca }, maxRetriesPerRequest: 0 });
        const value = 'x'.repeat(1_000_000);
        assert.equal(await io.set('a', value), 'OK');
        assert.equal(await io.get('a'), value);
        const answers = await Promise.all(Array.from({ length: 500 }, (_, at) => io.incrby('n', at)));
        assert.equal(answers.length, 500);
        await io.del('n');
        await io.quit();
      }
      const node = createClient({ url: `rediss://${HOST}:${server.port}`, socket: { tls: true, ca } });
      await node.connect();
      assert.equal(await node.ping(), 'PONG');
      await node.close();
      assert.match(
        await ping(server.port, { ca: foreign.read(foreign.issue('x')).ca }),
        /UNABLE|SELF_SIGNED|SIGNATURE/,
      );
    } finally {
      await server.stop();
    }
  });

  test('serves clients with a certificate of its authority only, when it requires one', async () => {
    const { server } = await serveTls('required');
    const stranger = foreign.issue('stranger');
    try {
      const { cert, key } = authority.read(client);
      assert.equal(await ping(server.port, { cert, key }), '+PONG\r\n');
      assert.match(await ping(server.port), /CERTIFICATE_REQUIRED|ECONNRESET|closed/);
      const { cert: strange, key: strangeKey } = foreign.read(stranger);
      assert.match(await ping(server.port, { cert: strange, key: strangeKey }), /ALERT|ECONNRESET|closed|UNKNOWN_CA/);
      const old = authority.read(authority.issue('old', { days: -1 }));
      assert.match(await ping(server.port, { cert: old.cert, key: old.key }), /EXPIRED|ALERT|ECONNRESET|closed/);
      assert.equal(await ping(server.port, { cert, key }), '+PONG\r\n');
    } finally {
      await server.stop();
    }
  });

  test('takes clients without a certificate when it is optional, and refuses a wrong one', async () => {
    const { server } = await serveTls('optional');
    try {
      const { cert, key } = authority.read(client);
      const strange = foreign.read(foreign.issue('guest'));
      assert.equal(await ping(server.port), '+PONG\r\n');
      assert.equal(await ping(server.port, { cert, key }), '+PONG\r\n');
      assert.match(await ping(server.port, { cert: strange.cert, key: strange.key }), /ECONNRESET|closed|EPIPE/);
    } finally {
      await server.stop();
    }
  });

  test('shows new certificates to new connections while those that are open go on', async () => {
    const place = authority.issue('place');
    const { server, store } = await serveTls('none', place);
    const nameShown = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket: TLSSocket = connectTls({ host: HOST, port: server.port, ca: authority.read(own).ca }, () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        });
        socket.once('error', reject);
      });
    const open = new Redis({ host: HOST, port: server.port, tls: { ca: authority.read(own).ca } });
    try {
      assert.equal(await open.ping(), 'PONG');
      assert.equal(await nameShown(), 'place');
      authority.replace(place, authority.issue('renewed'));
      assert.equal(await store.refresh(), true);
      assert.equal(await nameShown(), 'renewed');
      assert.equal(await open.ping(), 'PONG');
    } finally {
      open.disconnect();
      await server.stop();
    }
  });

  test('is not held up by clients that say nothing or nonsense, nor is its stop', async () => {
    const { server } = await serveTls('none');
    const silent = Array.from({ length: 20 }, () => connect({ host: HOST, port: server.port }));
    const closed = silent.map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
    for (const socket of silent) socket.on('error', () => {}).resume();
    await until('they are connected', () => silent.every(({ readyState }) => readyState === 'open'));
    for (const socket of silent.slice(0, 10)) socket.write('PING\r\n*1\r\n$4\r\nPING\r\n');
    assert.equal(await ping(server.port), '+PONG\r\n');
    await Promise.all(closed.slice(0, 10));
    const startedMs = performance.now();
    await server.stop();
    await Promise.all(closed);
    assert.ok(performance.now() - startedMs < 5_000);
  });
});
