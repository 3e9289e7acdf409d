/** ioredis and node-redis on a tour of every data type, each in its own way of asking. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { startKvorum, type Target } from './targets.ts';

describe('client libraries on all data types', () => {
  let target: Target;
  let ioredis: Redis;

  before(async () => {
    target = await startKvorum();
    ioredis = new Redis({ host: target.host, port: target.port, maxRetriesPerRequest: 0 });
    await ioredis.flushall();
  });
  after(async () => {
    ioredis?.disconnect();
    await target?.stop();
  });

  test('ioredis: hashes', async () => {
    assert.equal(await ioredis.hset('user:1', { name: 'Ada', age: 36 }), 2);
    assert.equal(await ioredis.hset('user:1', 'age', 37, 'city', 'London'), 1);
    assert.deepEqual(await ioredis.hgetall('user:1'), { name: 'Ada', age: '37', city: 'London' });
    assert.deepEqual(await ioredis.hgetall('none'), {});
    assert.deepEqual(await ioredis.hmget('user:1', 'name', 'none'), ['Ada', null]);
    assert.equal(await ioredis.hincrby('user:1', 'age', -2), 35);
    assert.equal(await ioredis.hincrbyfloat('user:1', 'height', 1.7), '1.7');
    assert.equal(await ioredis.hdel('user:1', 'city', 'none'), 1);
    assert.deepEqual((await ioredis.hkeys('user:1')).sort(), ['age', 'height', 'name']);
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`field:${n}`, String(n)]));
    await ioredis.hset('large', many);
    assert.deepEqual(await ioredis.hgetall('large'), many);
    const seen = new Map<string, string>();
    for await (const page of ioredis.hscanStream('large', { count: 100 })) {
      const flat = page as string[];
      for (let at = 0; at < flat.length; at += 2) seen.set(flat[at]!, flat[at + 1]!);
    }
    assert.deepEqual(Object.fromEntries(seen), many);
  });

  test('ioredis: a queue in a list', async () => {
    assert.equal(await ioredis.rpush('queue', 'a', 'b', 'c', 'd'), 4);
    assert.equal(await ioredis.lmove('queue', 'working', 'LEFT', 'RIGHT'), 'a');
    assert.deepEqual(await ioredis.lrange('queue', 0, -1), ['b', 'c', 'd']);
    assert.equal(await ioredis.lrem('working', 1, 'a'), 1);
    assert.deepEqual(await ioredis.lpop('queue', 2), ['b', 'c']);
    assert.equal(await ioredis.linsert('queue', 'BEFORE', 'd', 'x'), 2);
    assert.equal(await ioredis.lpos('queue', 'd'), 1);
    assert.equal(await ioredis.ltrim('queue', 1, 1), 'OK');
    assert.equal(await ioredis.rpop('queue'), 'd');
    assert.equal(await ioredis.exists('queue', 'working'), 0);
  });

  test('ioredis: sets', async () => {
    assert.equal(await ioredis.sadd('{s}1', 'a', 'b', 'c', 'a'), 3);
    assert.equal(await ioredis.sadd('{s}2', 'b', 'c', 'd'), 3);
    assert.deepEqual((await ioredis.sinter('{s}1', '{s}2')).sort(), ['b', 'c']);
    assert.deepEqual(await ioredis.sdiff('{s}1', '{s}2'), ['a']);
    assert.equal(await ioredis.sunionstore('{s}3', '{s}1', '{s}2'), 4);
    assert.deepEqual(await ioredis.smismember('{s}3', 'a', 'none'), [1, 0]);
    assert.equal((await ioredis.spop('{s}3', 3)).length, 3);
    assert.equal(await ioredis.scard('{s}3'), 1);
  });

  test('ioredis: sorted sets', async () => {
    assert.equal(await ioredis.zadd('board', 10, 'ada', 20, 'bob', 15, 'eve'), 3);
    assert.equal(await ioredis.zincrby('board', 12, 'ada'), '22');
    assert.deepEqual(await ioredis.zrevrange('board', 0, 1, 'WITHSCORES'), ['ada', '22', 'bob', '20']);
    assert.deepEqual(await ioredis.zrange('board', '(15', '+inf', 'BYSCORE', 'LIMIT', 0, 1), ['bob']);
    assert.equal(await ioredis.zrank('board', 'bob'), 1);
    assert.equal(await ioredis.zcount('board', 15, 20), 2);
    assert.deepEqual(await ioredis.zpopmin('board'), ['eve', '15']);
    assert.equal(await ioredis.zremrangebyrank('board', 0, 0), 1);
    assert.deepEqual(await ioredis.zrange('board', '0', '-1'), ['ada']);
  });

  test('ioredis: places, sketches, sorting, copies', async () => {
    await ioredis.geoadd('places', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania');
    assert.equal(await ioredis.geodist('places', 'Palermo', 'Catania', 'KM'), '166.2742');
    assert.deepEqual(await ioredis.geosearch('places', 'FROMLONLAT', 15, 37, 'BYRADIUS', 200, 'KM', 'ASC'), [
      'Catania',
      'Palermo',
    ]);
    assert.equal(await ioredis.pfadd('visitors', 'a', 'b', 'c', 'a'), 1);
    assert.equal(await ioredis.pfcount('visitors'), 3);
    await ioredis.rpush('ids', 2, 3, 1);
    await ioredis.mset({ 'name:1': 'one', 'name:2': 'two', 'name:3': 'three' });
    assert.deepEqual(await ioredis.sort('ids', 'GET', 'name:*'), ['one', 'two', 'three']);
    const dump = await ioredis.dumpBuffer('ids');
    assert.equal(await ioredis.restore('again', 0, dump!), 'OK');
    assert.deepEqual(await ioredis.lrange('again', 0, -1), ['2', '3', '1']);
    assert.equal(await ioredis.copy('ids', 'copied'), 1);
    assert.equal(await ioredis.rename('copied', 'renamed'), 'OK');
    assert.equal(await ioredis.type('renamed'), 'list');
  });

  test('ioredis: a transaction over several types', async () => {
    const replies = await ioredis
      .multi()
      .hset('{t}h', 'f', 1)
      .rpush('{t}l', 'x')
      .zadd('{t}z', 1, 'm')
      .sadd('{t}s', 'm')
      .exec();
    assert.deepEqual(
      replies,
      [1, 1, 1, 1].map((reply) => [null, reply]),
    );
    await ioredis.watch('{t}h');
    const other = ioredis.duplicate();
    await other.hset('{t}h', 'f', 2);
    other.disconnect();
    assert.equal(await ioredis.multi().hset('{t}h', 'f', 3).exec(), null);
    assert.equal(await ioredis.hget('{t}h', 'f'), '2');
  });

  for (const resp of [2, 3] as const) {
    test(`node-redis over RESP${resp}`, async () => {
      const url = `redis://${target.host}:${target.port}`;
      const client = createClient({ url, RESP: resp, socket: { reconnectStrategy: false } });
      client.on('error', () => {});
      await client.connect();
      try {
        await client.flushAll();
        assert.equal(await client.hSet('h', { a: '1', b: '2' }), 2);
        assert.deepEqual({ ...(await client.hGetAll('h')) }, { a: '1', b: '2' });
        assert.deepEqual(await client.hmGet('h', ['a', 'none']), ['1', null]);
        assert.equal(await client.hIncrBy('h', 'a', 5), 6);
        assert.equal(await client.hExists('h', 'none'), 0);
        assert.deepEqual(await client.hExpire('h', 'a', 100), [1]);
        assert.deepEqual(await client.hTTL('h', ['a', 'b']), [100, -1]);
        const fields: string[] = [];
        for await (const page of client.hScanIterator('h')) fields.push(...page.map(({ field }) => field));
        assert.deepEqual(fields.sort(), ['a', 'b']);

        assert.equal(await client.rPush('l', ['a', 'b', 'c', 'a']), 4);
        assert.equal(await client.lIndex('l', -1), 'a');
        assert.deepEqual(await client.lPosCount('l', 'a', 0), [0, 3]);
        assert.equal(await client.lMove('l', 'l', 'LEFT', 'RIGHT'), 'a');
        assert.deepEqual(await client.lmPop('l', 'LEFT', { COUNT: 2 }), ['l', ['b', 'c']]);

        assert.equal(await client.sAdd('s', ['a', 'b', 'c']), 3);
        assert.deepEqual((await client.sMembers('s')).sort(), ['a', 'b', 'c']);
        assert.deepEqual(await client.smIsMember('s', ['a', 'z']), [1, 0]);
        assert.equal(await client.sInterCard(['s', 's'], 2), 2);

        const scored = [
          { score: 1, value: 'one' },
          { score: 2.5, value: 'two' },
        ];
        assert.equal(await client.zAdd('z', scored), 2);
        assert.deepEqual(await client.zRangeWithScores('z', 0, -1), scored);
        assert.equal(await client.zScore('z', 'two'), 2.5);
        assert.equal(await client.zIncrBy('z', 3, 'one'), 4);
        assert.deepEqual(await client.zRange('z', '-', '+', { BY: 'LEX', REV: false }), ['two', 'one']);
        assert.deepEqual(await client.zUnionWithScores(['z', 'z']), [
          { score: 5, value: 'two' },
          { score: 8, value: 'one' },
        ]);
        assert.deepEqual(await client.zPopMax('z'), { score: 4, value: 'one' });

        assert.equal(await client.geoAdd('g', { longitude: 13.361389, latitude: 38.115556, member: 'Palermo' }), 1);
        const [place] = await client.geoPos('g', 'Palermo');
        assert.match(String(place!.longitude), /^13\.3613/);
        assert.equal(await client.pfAdd('p', ['x', 'y']), 1);
        assert.equal(await client.pfCount('p'), 2);
        assert.deepEqual(await client.sort('l'.repeat(3)), []);
        const [added, members] = await client.multi().sAdd('s', 'd').sCard('s').exec();
        assert.deepEqual([added, members], [1, 4]);
        assert.equal(await client.objectEncoding('h'), 'listpack');
      } finally {
        client.destroy();
      }
    });
  }
});
