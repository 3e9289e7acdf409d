/** Libraries that keep sessions and cached values in Redis, set up as their own documentation does it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import KeyvRedis, { createKeyv } from '@keyv/redis';
import { createCache } from 'cache-manager';
import { RedisStore } from 'connect-redis';
import Keyv from 'keyv';
import { createClient } from 'redis';
import { startKvorum, type Target } from './targets.ts';

const HOUR_MS = 3_600_000;

describe('stores over Redis', () => {
  let target: Target;
  let url: string;

  before(async () => {
    target = await startKvorum();
    url = `redis://${target.host}:${target.port}`;
  });
  after(async () => {
    await target?.stop();
  });

  test('connect-redis keeps sessions, touches, lists, counts and clears them', async () => {
    const client = createClient({ url });
    await client.connect();
    try {
      await client.flushAll();
      const store = new RedisStore({ client, prefix: 'myapp:', ttl: 1000, scanCount: 2 });
      const session = (user: string) => ({ cookie: { originalMaxAge: null }, user });
      for (const id of ['1', '2', '3', '4', '5']) await store.set(id, session(`user ${id}`));
      assert.deepEqual(await store.get('1'), session('user 1'));
      assert.equal(await store.get('none'), null);
      assert.ok((await client.ttl('myapp:1')) > 990);
      await client.expire('myapp:1', 10);
      await store.touch('1', session('user 1'));
      assert.ok((await client.ttl('myapp:1')) > 990);
      await store.destroy('2');
      assert.equal(await store.length(), 4);
      assert.deepEqual((await store.ids()).sort(), ['1', '3', '4', '5']);
      const all: { user: string }[] = await store.all();
      assert.deepEqual(all.map(({ user }) => user).sort(), ['user 1', 'user 3', 'user 4', 'user 5']);
      await client.set('other', 'stays');
      await store.clear();
      assert.deepEqual(await client.keys('*'), ['other']);
    } finally {
      client.destroy();
    }
  });

  test('keyv sets, gets, deletes and walks, one key and many at a time, within its namespace', async () => {
    const keyv = new Keyv<string>(new KeyvRedis(url), { namespace: 'space', useKeyPrefix: false });
    try {
      await keyv.set('k', 'v');
      assert.equal(await keyv.get('k'), 'v');
      assert.equal(await keyv.get('none'), undefined);
      await keyv.setMany([
        { key: 'a', value: '1' },
        { key: 'b', value: '2', ttl: HOUR_MS },
      ]);
      assert.deepEqual(await keyv.getMany(['a', 'b', 'none']), ['1', '2', undefined]);
      assert.deepEqual([await keyv.has('a'), await keyv.has('none')], [true, false]);
      assert.equal(await keyv.delete('a'), true);
      const found: string[] = [];
      for await (const [key] of keyv.iterator!('space')) found.push(String(key));
      assert.deepEqual(found.sort(), ['b', 'k']);
      await keyv.clear();
      assert.equal(await keyv.get('k'), undefined);
    } finally {
      await keyv.disconnect();
    }
  });

  test('cache-manager caches over Redis, computes what is missing once, and clears', async () => {
    const cache = createCache({ stores: [createKeyv(url)], ttl: HOUR_MS });
    try {
      await cache.set('key', { a: [1, 2] });
      assert.deepEqual(await cache.get('key'), { a: [1, 2] });
      await cache.mset([
        { key: 'x', value: 1 },
        { key: 'y', value: 2, ttl: HOUR_MS },
      ]);
      assert.deepEqual(await cache.mget(['x', 'none', 'y']), [1, undefined, 2]);
      let computed = 0;
      const compute = async (): Promise<number> => ++computed;
      assert.deepEqual([await cache.wrap('w', compute), await cache.wrap('w', compute)], [1, 1]);
      const ttlMs = await cache.ttl('y');
      assert.ok(ttlMs !== undefined && ttlMs > Date.now());
      await cache.del('x');
      await cache.mdel(['y', 'none']);
      assert.deepEqual(await cache.mget(['x', 'y', 'w']), [undefined, undefined, 1]);
      await cache.clear();
      assert.equal(await cache.get('key'), undefined);
    } finally {
      await cache.disconnect();
    }
  });
});
