/** Events of keys as a listener hears them; which event comes with which command is compared with a redis-server (`test/compat/events.test.ts`). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  channelsOf,
  formatEventFlags,
  hearsEvents,
  parseEventFlags,
  spellEventFlags,
} from '../../../../src/adapter/redis/command/index.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { type RawClient, testServers } from '../harness.ts';

const servers = testServers();

async function bed(kv = new FakeKv()): Promise<{ client: RawClient; listener: RawClient; kv: FakeKv }> {
  const server = await servers.start({ kv });
  const [client, listener] = [await server.connect(), await server.connect()];
  await listener.call('PSUBSCRIBE', '__keyevent@*');
  return { client, listener, kv };
}

/** Events up to now. */
async function heard(client: RawClient, listener: RawClient): Promise<string[]> {
  await client.call('PUBLISH', '__keyevent@end', 'end');
  const events: string[] = [];
  for (;;) {
    const [, , channel, key] = (await listener.read()) as string[];
    if (key === 'end') return events;
    events.push(`${channel!.slice('__keyevent@0__:'.length)} ${key}`);
  }
}

describe('events of keys', () => {
  test('tell that a key has expired, once, before what replaces it', async () => {
    const { client, listener, kv } = await bed();
    await client.call('CONFIG', 'SET', 'notify-keyspace-events', 'EA');
    await client.call('SET', 'k', 'v', 'PX', '1000');
    await client.call('RPUSH', 'l', 'v');
    await client.call('PEXPIRE', 'l', '1000');
    kv.state.skewMs = 5_000;
    assert.equal(await client.call('GET', 'k'), null);
    await client.call('SET', 'k', 'w');
    await client.call('SADD', 'l', 'm');
    await client.call('SET', 'k', 'x');
    const events = await heard(client, listener);
    assert.deepEqual(events.slice(4), ['expired k', 'set k', 'expired l', 'sadd l', 'set k']);
  });

  test('cost nothing and are not noted while nobody listens, or nobody wants them', async () => {
    const { client, listener } = await bed();
    await client.call('SET', 'k', 'v');
    await client.call('CONFIG', 'SET', 'notify-keyspace-events', 'EA');
    await client.call('DEL', 'k');
    assert.deepEqual(await heard(client, listener), ['del k']);
    await listener.call('PUNSUBSCRIBE');
    await client.call('SET', 'k', 'v');
    assert.equal(
      await client.call('CONFIG', 'GET', 'notify-keyspace-events').then(String),
      'notify-keyspace-events,AE',
    );
  });

  test('are dropped when the command is refused, and come once when it is evaluated twice', async () => {
    const kv = new FakeKv();
    kv.evaluateTwice = true;
    const { client, listener } = await bed(kv);
    await client.call('CONFIG', 'SET', 'notify-keyspace-events', 'EA');
    await client.call('SET', 'k', 'v');
    await client.call('LPUSH', 'k', 'v');
    await client.call('EVAL', "redis.call('SET', 'a', 1) redis.call('INCR', 'a') error('stop')", '0');
    await client.call('MULTI');
    await client.call('SET', 'b', '1');
    await client.call('LPUSH', 'k', 'v');
    await client.call('DEL', 'b');
    await client.call('EXEC');
    assert.deepEqual(await heard(client, listener), ['set k', 'set a', 'incrby a', 'set b', 'del b']);
  });
});

describe('which events are wanted', () => {
  test('is read and shown in the letters of Redis', () => {
    const shown = (text: string) => formatEventFlags(parseEventFlags(text)!);
    assert.equal(shown('g$lshzxetd'), 'A');
    assert.equal(shown('KAn'), 'AK');
    assert.equal(spellEventFlags(parseEventFlags('KAn')!), 'g$lshzxetdnK');
    assert.equal(parseEventFlags('KAq'), undefined);
  });

  test('needs a kind of channel', () => {
    assert.equal(hearsEvents(parseEventFlags('A')!, 'generic'), false);
    assert.equal(hearsEvents(parseEventFlags('Ag')!, 'list'), false);
    assert.equal(hearsEvents(parseEventFlags('Eg')!, 'generic'), true);
    assert.equal(hearsEvents(parseEventFlags('EA')!, 'new'), false);
    const event = { db: 3, event: 'del', key: Buffer.from('k') };
    assert.deepEqual(channelsOf(parseEventFlags('KEA')!, event).map(String), [
      '__keyspace@3__:k,del',
      '__keyevent@3__:del,k',
    ]);
  });
});
