/** The two client libraries that most Node programs use, each on a tour of the commands. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { startKvorum, type Target } from './targets.ts';

describe('client libraries', () => {
  let target: Target;

  before(async () => {
    target = await startKvorum();
  });
  after(async () => {
    await target?.stop();
  });

  test('ioredis reads and writes strings, numbers, bits and expiries, pipelines and transacts', async () => {
    const client = new Redis({ host: target.host, port: target.port, maxRetriesPerRequest: 0 });
    try {
      await client.flushall();
      assert.equal(await client.set('s', 'value', 'EX', 100, 'NX'), 'OK');
      assert.equal(await client.set('s', 'other', 'NX'), null);
      assert.equal(await client.set('s', 'next', 'KEEPTTL', 'GET'), 'value');
      assert.ok((await client.ttl('s')) > 90);
      assert.equal(await client.getex('s', 'PERSIST'), 'next');
      assert.equal(await client.ttl('s'), -1);
      assert.equal(await client.append('s', '!'), 5);
      assert.equal(await client.getrange('s', -2, -1), 't!');
      assert.equal(await client.setrange('s', 0, 'N'), 5);
      assert.deepEqual(await client.getBuffer('s'), Buffer.from('Next!'));
      assert.equal(await client.mset({ a: '1', b: '2' }), 'OK');
      assert.deepEqual(await client.mget('a', 'none', 'b'), ['1', null, '2']);
      assert.equal(await client.incrby('a', 41), 42);
      assert.equal(await client.incrbyfloat('f', 0.1), '0.1');
      assert.equal(await client.incrbyfloat('f', 0.2), '0.3');
      assert.equal(await client.setbit('bits', 7, 1), 0);
      assert.equal(await client.bitcount('bits'), 1);
      assert.equal(await client.bitpos('bits', 1), 7);
      assert.deepEqual(await client.call('BITFIELD', 'bits', 'SET', 'u8', 0, 255, 'GET', 'i8', 0), [1, -1]);
      assert.equal(await client.rename('a', 'c'), 'OK');
      await assert.rejects(client.rename('a', 'd'), /ERR no such key/);
      assert.equal(await client.copy('c', 'd'), 1);
      assert.equal(await client.exists('a', 'c', 'd'), 2);
      assert.equal(await client.type('c'), 'string');
      assert.equal(await client.object('ENCODING', 'c'), 'int');
      assert.deepEqual((await client.keys('[cd]')).sort(), ['c', 'd']);
      assert.deepEqual(await client.pipeline().incr('n').incr('n').get('n').exec(), [
        [null, 1],
        [null, 2],
        [null, '2'],
      ]);
      assert.deepEqual(await client.multi().set('{t}1', 'x').append('{t}1', 'y').get('{t}1').exec(), [
        [null, 'OK'],
        [null, 2],
        [null, 'xy'],
      ]);
      const scanned: string[] = [];
      for await (const keys of client.scanStream({ count: 2 })) scanned.push(...(keys as string[]));
      assert.equal(new Set(scanned).size, await client.dbsize());
    } finally {
      client.disconnect();
    }
  });

  for (const resp of [2, 3] as const) {
    test(`node-redis does the same over RESP${resp}`, async () => {
      const client = createClient({
        url: `redis://${target.host}:${target.port}`,
        RESP: resp,
        socket: { reconnectStrategy: false },
      });
      client.on('error', () => {});
      await client.connect();
      try {
        await client.flushAll();
        assert.equal(await client.set('s', 'foobar', { EX: 100 }), 'OK');
        assert.ok((await client.pTTL('s')) > 90_000);
        assert.equal(await client.persist('s'), 1);
        assert.equal(await client.getRange('s', 0, 2), 'foo');
        assert.equal(await client.set('n', '10'), 'OK');
        assert.equal(await client.decrBy('n', 3), 7);
        assert.equal(await client.incrByFloat('n', 1.5), '8.5');
        assert.equal(await client.mSetNX({ n: '1', m: '1' }), 0);
        assert.deepEqual(await client.mGet(['n', 'm']), ['8.5', null]);
        await client.mSet({ x: 'ohmytext', y: 'mynewtext' });
        assert.equal(await client.lcs('x', 'y'), 'mytext');
        const { matches, len } = await client.lcsIdxWithMatchLen('x', 'y', { MINMATCHLEN: 4 });
        assert.deepEqual({ matches, len }, { matches: [[[4, 7], [5, 8], 4]], len: 6 });
        assert.equal(await client.bitOp('XOR', 'z', ['x', 'x']), 8);
        assert.equal(await client.bitCount('z'), 0);
        assert.deepEqual(
          await client.bitField('z', [{ operation: 'INCRBY', encoding: 'i8', offset: '#1', increment: 5 }]),
          [5],
        );
        assert.equal(await client.expire('x', 100, 'NX'), 1);
        assert.equal(await client.expire('x', 50, 'GT'), 0);
        assert.equal(await client.getDel('x'), 'ohmytext');
        assert.equal(await client.unlink(['x', 'y']), 1);
        assert.deepEqual(await client.multi().set('q', '1').incr('q').exec(), ['OK', 2]);
        assert.equal(await client.objectEncoding('q'), 'int');
        const scanned: string[] = [];
        for await (const keys of client.scanIterator()) scanned.push(...keys);
        assert.deepEqual(scanned.sort(), ['n', 'q', 's', 'z']);
      } finally {
        client.destroy();
      }
    });
  }
});
