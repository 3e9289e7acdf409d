/** Clients of nodes that know the users, do not know them yet, or lose them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Passwords, Secret } from '../../../../src/security/index.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { eventually, request, type TestServer, type TestServerOptions, testServers } from '../harness.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvorum-users-'));
after(() => rmSync(folder, { recursive: true }));

const servers = testServers();
const start = (kv: FakeKv, options: TestServerOptions = {}): Promise<TestServer> =>
  servers.start({ kv, sharesUsers: true, ...options });

/** Two nodes with the same keys, the first of which leads; users are stored by `rules`. */
async function cluster(rules: readonly (readonly string[])[], options: TestServerOptions = {}) {
  const first = new FakeKv();
  const second = new FakeKv({ nodeId: 2, state: first.state });
  second.leader = undefined;
  const server = await start(first);
  const admin = await server.connect();
  for (const words of rules) assert.equal(await admin.call('ACL', 'SETUSER', ...words), '+OK');
  const other = await start(second, options);
  return {
    connect: () => other.connect(),
    /** The second node finds the leader. */
    join: () => {
      second.leader = first;
    },
  };
}

describe('a node that does not know the users', () => {
  test('lets nobody in before it does, and asks those who came early for a password', async () => {
    const operator = await Passwords.open({ password: new Secret('op') });
    const nodes = await cluster(
      [
        ['default', '>p'],
        ['bob', 'on', '>b', '~*', '+get'],
      ],
      { operator },
    );
    const early = await nodes.connect();
    const insider = await nodes.connect();
    const boss = await nodes.connect();
    // What tells of the node is answered.
    assert.equal(await early.call('PING'), '+PONG');
    // A client that asks whether it may begin is told to wait: what it sends on its own account would be refused in the end.
    assert.match(String(await early.call('INFO', 'persistence')), /\nloading:1\r\nloading_eta_seconds:1\r\n/);
    assert.equal(await boss.call('AUTH', 'kvorum-operator', 'op'), '+OK');
    assert.match(String(await boss.call('CONFIG', 'GET', 'timeout')), /timeout/);
    assert.match(String(await boss.call('AUTH', 'default', '')), /^-CLUSTERDOWN/);
    assert.match(String(await boss.call('ACL', 'LIST')), /^-CLUSTERDOWN this node does not know the users/);
    early.send(Buffer.concat([request('GET', 'k'), request('AUTH', 'p')]));
    const wrong = insider.call('AUTH', 'x');
    nodes.join();
    assert.deepEqual(await early.readMany(2), ['-NOAUTH Authentication required.', '+OK']);
    assert.match(String(await wrong), /^-WRONGPASS/);
    assert.equal(await early.call('GET', 'k'), null);
    assert.match(String(await early.call('INFO', 'persistence')), /\nloading:0\r\nasync/);
  });

  test('says so to those who waited in vain, and to those who try the password of the configuration', async () => {
    const passwords = await Passwords.open({ password: new Secret('configured') });
    const nodes = await cluster([['default', 'off']], { config: { commandTimeoutMs: 200 }, passwords });
    const client = await nodes.connect();
    assert.match(String(await client.call('AUTH', 'configured')), /^-CLUSTERDOWN this node does not know the users/);
    assert.equal(await client.call('GET', 'k'), '-NOAUTH Authentication required.');
    const open = await cluster([['default', 'off']], { config: { commandTimeoutMs: 200 } });
    const stranger = await open.connect();
    for (const command of [
      ['GET', 'k'],
      ['PUBLISH', 'c', 'm'],
      ['SUBSCRIBE', 'c'],
      ['MULTI'],
      ['CLIENT', 'LIST'],
      ['KEYS', '*'],
    ]) {
      assert.match(String(await stranger.call(...command)), /^-CLUSTERDOWN/, command.join(' '));
    }
  });
});

describe('users', () => {
  test('whose rules change while a command of theirs waits get their answer', async () => {
    const kv = new FakeKv();
    const server = await start(kv);
    const admin = await server.connect();
    const client = await server.connect();
    await admin.call('ACL', 'SETUSER', 'bob', 'on', 'nopass', '~*', '+@all');
    await client.call('AUTH', 'bob', '');
    const waits = client.call('BLPOP', 'list', '0');
    await eventually(() => kv.submitted > 3, 'the command waits');
    await admin.call('ACL', 'SETUSER', 'bob', '-blpop');
    assert.equal(await waits, "-NOPERM this user has no permissions to run the 'blpop' command");
    const again = client.call('BRPOP', 'list', '0');
    again.catch(() => {});
    await admin.call('ACL', 'DELUSER', 'bob');
    await eventually(() => client.closed, 'the connection ends');
    await admin.call('RPUSH', 'list', 'kept');
    assert.equal(await admin.call('LLEN', 'list'), 1);
  });

  test('come first from a file, and go back to it', async () => {
    const userFile = join(folder, 'users.acl');
    writeFileSync(userFile, 'user default off\nuser bob on >b ~b* +@read (~c* +set)\n');
    const kv = new FakeKv();
    // Between hearing of no users and having stored the first ones.
    kv.forwardTakesMs = 50;
    const server = await start(kv, { userFile });
    const client = await server.connect();
    assert.equal(await client.call('GET', 'k'), '-NOAUTH Authentication required.');
    assert.equal(await client.call('AUTH', 'bob', 'b'), '+OK');
    assert.equal(await client.call('SET', 'c', '1'), '+OK');
    const boss = await start(kv, { userFile: join(folder, 'other.acl') }).catch((error: Error) => error);
    assert.match(String(boss), /other\.acl cannot be read \(ENOENT\)/);
    writeFileSync(userFile, 'user bob on nopass +@all ~*\n');
    // The file counts no more than once by itself.
    const second = new FakeKv({ nodeId: 2, state: kv.state });
    second.leader = kv;
    const other = await start(second, { userFile });
    const admin = await other.connect();
    assert.equal(await admin.call('GET', 'k'), '-NOAUTH Authentication required.');
    assert.match(String(await admin.call('AUTH', 'bob', '')), /^-WRONGPASS/);
  });

  test('are read from and written to the file when a client says so', async () => {
    const userFile = join(folder, 'saved.acl');
    writeFileSync(userFile, '');
    const server = await start(new FakeKv(), { userFile });
    const client = await server.connect();
    await client.call('ACL', 'SETUSER', 'bob', 'on', '>b', '~b*', '+get');
    assert.equal(await client.call('ACL', 'SAVE'), '+OK');
    const hash = '3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d';
    const saved = `user bob on #${hash} ~b* resetchannels -@all +get\nuser default on nopass ~* &* +@all\n`;
    assert.equal(readFileSync(userFile, 'latin1'), saved);
    writeFileSync(userFile, `${saved}user eve on +get +nope\n`);
    assert.match(
      String(await client.call('ACL', 'LOAD')),
      /^-ERR .*saved\.acl:3: Error in applying operation '\+nope'/,
    );
    const bob = await server.connect();
    assert.equal(await bob.call('AUTH', 'bob', 'b'), '+OK');
    writeFileSync(userFile, saved);
    assert.equal(await client.call('ACL', 'LOAD'), '+OK');
    await eventually(() => bob.closed, 'clients of other users than default come in again');
    assert.equal(await client.call('PING'), '+PONG');
  });

  test('are bounded, and the operator is not one of them', async () => {
    const server = await start(new FakeKv());
    const client = await server.connect();
    const many = Array.from({ length: 7_000 }, (_, at) => `~key:${at}`);
    assert.match(String(await client.call('ACL', 'SETUSER', 'bob', ...many)), /^-ERR the rules of a user have at most/);
    assert.match(
      String(await client.call('ACL', 'SETUSER', 'kvorum-operator', 'off')),
      /^-ERR the user 'kvorum-operator'/,
    );
    assert.match(String(await client.call('AUTH', 'kvorum-operator', '')), /^-WRONGPASS/);
    assert.equal(await client.call('ACL', 'USERS').then(String), 'default');
  });
});
