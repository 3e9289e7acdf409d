/** Messages as one server's clients see them: where they stand among replies and writes, and what becomes of clients that do not take them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_OUTPUT_LIMITS } from '../../../../src/adapter/redis/command/output-limits.ts';
import { Messages } from '../../../../src/adapter/redis/messages/index.ts';
import { PushLimit } from '../../../../src/adapter/redis/session/push-limit.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { eventually, request, type TestServerOptions, testServers } from '../harness.ts';

/** Other nodes know what clients listen to when the test says so. */
class HeldMessages extends Messages {
  tell: () => void = () => undefined;

  override told(): Promise<void> {
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
  return { ...server, client, other: await server.connect() };
}

const push = (...parts: readonly (string | number)[]): unknown => ['>', ...parts];

describe('a message', () => {
  test('comes behind the reply that says that its client listens, which comes when all nodes know', async () => {
    const messages = new HeldMessages();
    const { client, other, kv } = await start({ messages });
    client.send(Buffer.concat([request('SUBSCRIBE', 'a'), request('GET', 'k')]));
    await eventually(() => messages.counters.subscriptions === 1, 'the subscription');
    assert.equal(await other.call('PUBLISH', 'a', 'x'), 1);
    assert.equal(kv.submitted, 0, 'what follows waits: it may read what a message tells of');
    assert.equal(client.received.length, 0);
    messages.tell();
    assert.deepEqual(await client.readMany(3), [push('subscribe', 'a', 1), push('message', 'a', 'x'), null]);
  });

  test('leaves when everything is done that its connection has sent before', async () => {
    const { client, other, kv } = await start();
    await client.call('SUBSCRIBE', 'a');
    kv.holding = true;
    other.send(Buffer.concat([request('SET', 'k', 'v'), request('PUBLISH', 'a', 'x'), request('PING')]));
    await eventually(() => kv.submitted === 1, 'the SET');
    kv.releaseHeld();
    assert.deepEqual(await other.readMany(3), ['+OK', 1, '+PONG']);
    assert.deepEqual(await client.read(), push('message', 'a', 'x'));
  });

  test('of a transaction leaves when that has taken effect, and not when it has not', async () => {
    const { client, other } = await start();
    await client.call('SUBSCRIBE', 'a');
    await other.call('WATCH', 'k');
    await client.call('SET', 'k', 'other');
    const transaction = [request('MULTI'), request('SET', 'k', 'v'), request('PUBLISH', 'a', 'x'), request('EXEC')];
    other.send(Buffer.concat(transaction));
    assert.deepEqual((await other.readMany(4)).at(-1), null, 'the watched key has changed');
    other.send(Buffer.concat(transaction));
    assert.deepEqual((await other.readMany(4)).at(-1), ['+OK', 1]);
    assert.deepEqual(await client.call('GET', 'k'), push('message', 'a', 'x'), 'once');
    assert.equal(await client.read(), 'v');
  });

  test('of a script leaves once, however often the script is evaluated', async () => {
    const kv = new FakeKv();
    kv.evaluateTwice = true;
    const { client, other } = await start({ kv });
    await client.call('SUBSCRIBE', 'a');
    await client.call('PSUBSCRIBE', '*');
    const script = "redis.call('SET', KEYS[1], 'v') return redis.call('PUBLISH', 'a', redis.call('INCR', 'n'))";
    assert.equal(await other.call('EVAL', script, '1', 'k'), 2);
    assert.deepEqual(await client.readMany(2), [push('message', 'a', '1'), push('pmessage', '*', 'a', '1')]);
    assert.equal(await client.call('GET', 'k'), 'v');
  });

  test('is pushed to nobody whose connection is over or has begun to listen to nothing', async () => {
    const { client, other } = await start();
    await client.call('SUBSCRIBE', 'a', 'b');
    await client.call('PSUBSCRIBE', '*');
    assert.equal(await other.call('PUBLISH', 'a', 'x'), 2);
    await client.readMany(3);
    await client.call('RESET');
    assert.equal(await other.call('PUBLISH', 'a', 'x'), 0);
    await client.call('SUBSCRIBE', 'a');
    await client.call('QUIT');
    assert.deepEqual(await other.call('PUBSUB', 'CHANNELS'), []);
    await eventually(() => client.closed, 'the end of the connection');
    assert.match(String(await other.call('CLIENT', 'LIST')), /^id=\d+ [^\n]*\n$/, 'it is forgotten');
  });

  test('shows in what the server tells of itself', async () => {
    const { client, other, server } = await start();
    await client.call('SUBSCRIBE', 'a', 'b');
    await client.call('PSUBSCRIBE', '*');
    await client.call('SSUBSCRIBE', 's');
    await other.call('PUBLISH', 'a', 'x');
    await other.call('SPUBLISH', 's', 'x');
    assert.match(
      String(await other.call('INFO', 'stats')),
      /pubsub_channels:2\r\npubsub_patterns:1\r\npubsubshard_channels:1/,
    );
    assert.match(String(await other.call('CLIENT', 'LIST')), /flags=P db=0 sub=2 psub=1 ssub=1 /);
    const { publishedMessages, deliveredMessages, subscriptions, topics } = server.counters().messages;
    assert.deepEqual([publishedMessages, deliveredMessages, subscriptions], [2, 3, 4]);
    assert.deepEqual(topics, { channel: 2, pattern: 1, shard: 1 });
  });
});

describe('a client that does not take its messages', () => {
  test('is cut off at the hard limit, and nobody else is', async () => {
    const pubsub = { hardBytes: 2_000_000, softBytes: 0, softSeconds: 0 };
    const config = { outputLimits: { ...DEFAULT_OUTPUT_LIMITS, pubsub }, maxUnreadReplyBytes: 100_000 };
    const { client, other, connect } = await start({ config });
    const third = await connect();
    await client.call('SUBSCRIBE', 'a');
    await third.call('SUBSCRIBE', 'a');
    client.socket.pause();
    const text = 'm'.repeat(50_000);
    let told = 0;
    while ((await other.call('PUBLISH', 'a', text)) === 2) assert.ok(++told < 10_000, 'it is not cut off');
    assert.ok(told > 40, 'it was given what may wait');
    assert.equal(await other.call('PUBLISH', 'a', 'last'), 1);
    for (let message = await third.read(); (message as string[])[2] !== 'last'; ) message = await third.read();
  });

  test('may have more than the soft limit for a while', () => {
    const kept = new PushLimit();
    kept.limit = { hardBytes: 100, softBytes: 10, softSeconds: 2 };
    const at = (bytes: number, nowMs: number): boolean => kept.isKept(bytes, nowMs);
    assert.deepEqual([at(100, 0), at(11, 2000), at(11, 2001)], [true, true, false]);
    assert.deepEqual([at(10, 3000), at(11, 4000), at(11, 6000)], [true, true, true], 'it begins anew');
    assert.equal(at(101, 6000), false);
    kept.limit = { hardBytes: 0, softBytes: 0, softSeconds: 0 };
    assert.equal(at(1e12, 1e9), true);
  });

  test('gets its replies behind them', async () => {
    const { client, other } = await start({ config: { maxUnreadReplyBytes: 100_000 } });
    await client.call('SUBSCRIBE', 'a');
    client.socket.pause();
    const text = 'm'.repeat(50_000);
    for (let nth = 0; nth < 100; nth++) await other.call('PUBLISH', 'a', text);
    client.send(request('UNSUBSCRIBE', 'a'));
    client.socket.resume();
    const heard = (await client.readMany(101)) as string[][];
    assert.deepEqual(heard.at(-1), push('unsubscribe', 'a', 0));
    assert.ok(heard.slice(0, -1).every((message) => message[1] === 'message'));
  });
});
