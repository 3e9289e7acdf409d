/** Keys that one server's clients keep: where what invalidates them stands among replies, and what a client is told while its command waits. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/index.ts';
import { Tracking } from '../../../../src/adapter/redis/tracking/index.ts';
import { SystemScheduler } from '../../../../src/platform/index.ts';
import type { FakeKv } from '../../../support/fake-kv.ts';
import { eventually, request, type TestServerOptions, testServers } from '../harness.ts';

/** Other nodes tell of changes when the test says so. */
class HeldTracking extends Tracking {
  tell: () => void = () => undefined;

  override watching(): Promise<void> {
    return new Promise((resolve) => {
      this.tell = resolve;
    });
  }
}

const servers = testServers();

async function start(options?: TestServerOptions) {
  const server = await servers.start(options);
  const client = await server.connect();
  await client.call('HELLO', '3');
  const other = await server.connect();
  return { ...server, client, other };
}

const invalidate = (...keys: readonly string[]): unknown => ['>', 'invalidate', keys];

/** Somebody else has changed a key. */
const change = (kv: FakeKv, key: string): void =>
  kv.changes!.changed(kv.dataGroups()[0]!, KEYSPACES[0]!.storageKey(Buffer.from(key)), false, kv.nowTs());

const EVERYTHING = ['>', 'invalidate', null];

describe('what invalidates a key', () => {
  test('is told at once, and again behind a reply that may be older', async () => {
    const { client, other, kv } = await start();
    await client.call('CLIENT', 'TRACKING', 'ON');
    kv.holding = true;
    client.send(Buffer.concat([request('PING'), request('GET', 'k'), request('PING', 'x')]));
    assert.equal(await client.read(), '+PONG');
    await eventually(() => kv.submitted === 1, 'the GET');
    // It is evaluated, and its reply is on the way while somebody else writes.
    change(kv, 'k');
    assert.deepEqual(await client.read(), invalidate('k'));
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(3), [null, 'x', invalidate('k')]);
    await other.call('SET', 'k', 'v');
    assert.equal(await client.call('PING', 'y'), 'y', 'it does not keep the key any more');
  });

  test('does not wait for the replies of other commands', async () => {
    const { client, other, kv } = await start();
    await client.call('CLIENT', 'TRACKING', 'ON');
    await client.call('GET', 'k');
    kv.holding = true;
    client.send(request('GET', 'other'));
    await eventually(() => kv.submitted === 2, 'the GET');
    change(kv, 'k');
    assert.deepEqual(await client.read(), invalidate('k'));
    kv.releaseHeld();
    assert.equal(await client.read(), null);
    await other.call('PING');
  });

  test('goes to the client that the reader redirects to, again behind the reader’s reply', async () => {
    const { client, kv, connect } = await start();
    const target = String(await client.call('CLIENT', 'ID'));
    const reader = await connect();
    await client.call('SUBSCRIBE', 'any');
    assert.equal(await reader.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', target), '+OK');
    kv.holding = true;
    reader.send(request('GET', 'k'));
    await eventually(() => kv.submitted === 1, 'the GET');
    change(kv, 'k');
    assert.deepEqual(await client.read(), invalidate('k'));
    // What is published now does not wait for the reader's reply.
    kv.holding = false;
    const publisher = await connect();
    await publisher.call('PUBLISH', 'any', 'now');
    assert.deepEqual(await client.read(), ['>', 'message', 'any', 'now']);
    kv.releaseHeld();
    assert.equal(await reader.read(), null);
    assert.deepEqual(await client.read(), invalidate('k'));
  });

  test('is told to a client whose command waits at once, and again behind the reply that may be older', async () => {
    const { client, other, kv } = await start();
    await client.call('CLIENT', 'TRACKING', 'ON');
    await client.call('GET', 'k');
    client.send(request('XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'));
    while (!String(await other.call('INFO', 'clients')).includes('blocked_clients:1'));
    await other.call('SET', 'k', 'v');
    assert.deepEqual(await client.read(), invalidate('k'));
    change(kv, 's');
    assert.deepEqual(await client.read(), invalidate('s'));
    await other.call('XADD', 's', '1-1', 'f', 'v');
    const [reply, told] = await client.readMany(2);
    assert.ok(reply instanceof Map, JSON.stringify(reply));
    assert.deepEqual(told, invalidate('s'));
  });

  test('of one key is not held up by the reply that another waits for', async () => {
    const { client, kv } = await start();
    await client.call('CLIENT', 'TRACKING', 'ON');
    await client.call('GET', 'k');
    kv.holding = true;
    client.send(request('GET', 'slow'));
    await eventually(() => kv.submitted === 2, 'the GET');
    change(kv, 'slow');
    change(kv, 'k');
    assert.deepEqual(await client.readMany(2), [invalidate('slow'), invalidate('k')]);
    kv.changes!.began(kv.dataGroups()[0]!);
    assert.deepEqual(await client.read(), EVERYTHING);
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(3), [null, invalidate('slow'), EVERYTHING]);
  });

  test('of a transaction comes again behind its reply', async () => {
    const { client, kv } = await start();
    await client.call('CLIENT', 'TRACKING', 'ON');
    kv.holding = true;
    client.send(Buffer.concat([request('MULTI'), request('GET', 'k'), request('SET', 'k', 'v'), request('EXEC')]));
    assert.deepEqual(await client.read(), invalidate('k'));
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(5), ['+OK', '+QUEUED', '+QUEUED', [null, '+OK'], invalidate('k')]);
  });
});

describe('CLIENT TRACKING ON', () => {
  test('is answered when all nodes tell of changes, and what follows is read after that', async () => {
    const tracking = new HeldTracking(new SystemScheduler());
    const { client, kv, other } = await start({ tracking });
    client.send(Buffer.concat([request('CLIENT', 'TRACKING', 'ON'), request('GET', 'k')]));
    await eventually(() => tracking.figures.clients === 1, 'the command');
    await other.call('PING');
    assert.equal(kv.submitted, 0);
    tracking.tell();
    assert.deepEqual(await client.readMany(2), ['+OK', null]);
  });

  test('in a transaction forgets what the transaction has read', async () => {
    const { client } = await start();
    client.send(
      Buffer.concat([request('MULTI'), request('CLIENT', 'TRACKING', 'ON'), request('GET', 'k'), request('EXEC')]),
    );
    assert.deepEqual((await client.readMany(5)).slice(3), [['+OK', null], EVERYTHING]);
  });

  test('is refused while a node does not know it', async () => {
    const { client } = await start({ features: () => ({ kind: 'off', lacking: [] }) });
    assert.match(String(await client.call('CLIENT', 'TRACKING', 'ON')), /redis\.messaging is not active yet/);
  });

  test('redirects to clients of its node, and says so of others', async () => {
    const { client } = await start();
    const [absent, ofNodeTwo] = ['999', '20000000001'];
    assert.match(String(await client.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', absent)), /does not exist/);
    assert.match(
      String(await client.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', ofNodeTwo)),
      /is of another node, connect both clients to the same one/,
    );
  });

  test('is over with the connection', async () => {
    const tracking = new Tracking(new SystemScheduler());
    const { client } = await start({ tracking });
    await client.call('CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'a', 'PREFIX', 'b', 'NOLOOP');
    assert.deepEqual(tracking.figures, { clients: 1, keys: 0, items: 0, prefixes: 2 });
    assert.ok(tracking.areWanted);
    client.close();
    await eventually(() => tracking.figures.clients === 0, 'the end');
    assert.equal(tracking.figures.prefixes, 0);
    assert.ok(!tracking.isListening && !tracking.areWanted);
  });

  test('has leaders answer, not replicas', async () => {
    const { client, kv } = await start();
    await client.call('CLIENT', 'TRACKING', 'ON');
    await client.call('READONLY');
    await client.call('GET', 'k');
    assert.equal(kv.submitted, 1);
  });

  test('tells once to forget everything while nothing more is read', async () => {
    const { client, other, kv } = await start();
    await client.call('CLIENT', 'TRACKING', 'ON');
    await client.call('GET', 'k');
    for (let nth = 0; nth < 3; nth++) {
      kv.changes!.began(kv.dataGroups()[0]!);
      await other.call('PING');
    }
    assert.deepEqual(await client.read(), EVERYTHING);
    assert.equal(await client.call('GET', 'k'), null);
    kv.changes!.began(kv.dataGroups()[0]!);
    assert.deepEqual(await client.read(), EVERYTHING);
  });
});
