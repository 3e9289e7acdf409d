/** Sorted sets and positions where they are not evaluated on one leader's store: over several groups, in transactions, and on replicas. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { GroupBench } from './group-bench.ts';

const scattered = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, nth) => [String(((from + nth) * 7919) % 10_007), `m${from + nth}`]).flat();
const positions = (count: number): string[] =>
  Array.from({ length: count }, (_, nth) => [
    String(((nth * 67.123) % 40) - 20),
    String(((nth * 41.765) % 40) - 20),
    `p${nth}`,
  ]).flat();

describe('sorted sets over several groups', () => {
  const bench = new GroupBench();
  before(async () => {
    await bench.start();
    const [a, b, c] = bench.keys;
    // One in its head, one with a row for each member, and a set.
    await bench.play(['zadd', a, ...scattered(0, 1_500)], ['zadd', b, '1', 'm1', '2.5', 'm2', '-3', 'new']);
    await bench.play(['sadd', c, 'm2', 'm3', 'elsewhere']);
  });

  test('are united, intersected and subtracted', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['zunionstore', 'union', '3', a, b, c, 'weights', '2', '1', '10'],
      ['zcard', 'union'],
      ['zinterstore', 'common', '3', a, b, c, 'aggregate', 'max'],
      ['zrange', 'common', '0', '-1'],
      ['zintercard', '2', a, 'union', 'limit', '700'],
      ['zdiff', '2', 'union', a],
      ['zdiffstore', b, '2', b, c],
      ['zinter', '2', a, b],
      ['zunionstore', a, '2', a, b],
      ['zrangestore', c, a, '100', '(2000', 'byscore', 'limit', '3', '200'],
      ['zcard', c],
      ['zrangestore', 'union', 'none', '0', '-1'],
      ['exists', 'union'],
    );
  });

  test('are popped from the first that has members', async () => {
    const [a, b, c] = bench.keys;
    const deleted = ['del', 'gone', b] as const;
    await bench.play(deleted);
    const command = ['zmpop', '3', 'gone', b, a, 'max', 'count', '300'];
    const [key, members] = (await bench.ask(bench.client, command)) as [string, unknown[]];
    assert.equal(key, a);
    assert.equal(members.length, 300);
    bench.model.run(command[0]!, ...command.slice(1));
    await bench.play(['zcard', a], ['zrevrank', a, 'm7'], ['zadd', b, '5', 'back'], ['zcard', c]);
  });

  test('are changed in one transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.playTogether(
      ['zadd', a, ...scattered(3_000, 400)],
      ['zadd', b, 'ch', '7', 'back', '8', 'm2'],
      ['zrem', a, ...Array.from({ length: 400 }, (_, nth) => `m${nth * 3}`)],
      ['zremrangebyscore', a, '1000', '3000'],
      ['zcard', a],
      ['zcount', a, '-inf', '(500'],
      ['zrank', a, 'm3100'],
      ['zremrangebyrank', c, '5', '50'],
      ['zunionstore', 'all', '3', a, b, c],
      ['zrange', 'all', '0', '20'],
      ['zcard', 'all'],
    );
    await bench.play(['zrange', a, '0', '-1'], ['zrange', b, '0', '-1'], ['zrange', c, '0', '-1']);
  });

  test('are read on replicas', async () => {
    const [a, b] = bench.keys;
    await bench.play(['zadd', a, ...scattered(5_000, 300)], ['zadd', b, '1', 'm5001', '2', 'm5002']);
    await bench.rest();
    await bench.look(
      ['zrange', a, '0', '-1'],
      ['zrange', a, '2000', '100', 'byscore', 'rev', 'limit', '5', '50'],
      ['zrank', a, 'm5100'],
      ['zrevrank', a, 'm5100'],
      ['zcount', a, '100', '(5000'],
      ['zmscore', b, 'm5001', 'none'],
      ['zcard', b],
      ['zlexcount', b, '-', '+'],
      ['zscan', b, '0'],
    );
    await bench.lookWidely(
      ['zunion', '2', a, b],
      ['zinter', '2', a, b],
      ['zdiff', '2', b, a],
      ['zintercard', '2', a, b],
    );
  });
});

describe('positions over several groups', () => {
  const bench = new GroupBench();
  before(async () => {
    await bench.start();
    const [a, b] = bench.keys;
    await bench.play(['geoadd', a, ...positions(600)], ['geoadd', b, '13.361389', '38.115556', 'Palermo']);
  });

  test('are searched, and what is found is kept elsewhere', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['geosearchstore', c, a, 'fromlonlat', '1', '2', 'byradius', '900', 'km'],
      ['zrange', c, '0', '-1'],
      ['geosearchstore', b, a, 'frommember', 'p7', 'bybox', '800', '600', 'km', 'storedist'],
      ['zcard', b],
      ['georadius', a, '3', '3', '500', 'mi', 'store', c],
      ['georadiusbymember', a, 'p9', '400', 'km', 'count', '5', 'storedist', b],
      ['zcard', b],
      ['geosearchstore', b, 'none', 'fromlonlat', '1', '2', 'byradius', '900', 'km'],
      ['exists', b],
    );
  });

  test('are searched in a transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.playTogether(
      ['geoadd', a, '0.5', '0.5', 'late'],
      ['geosearchstore', b, a, 'fromlonlat', '0', '0', 'byradius', '700', 'km', 'asc', 'count', '20'],
      ['zcard', b],
      ['georadius', a, '0', '0', '300', 'km', 'store', c],
      ['geodist', a, 'late', 'p3', 'km'],
    );
  });

  test('are read on replicas', async () => {
    const [a] = bench.keys;
    await bench.rest();
    await bench.look(
      ['geosearch', a, 'fromlonlat', '0', '0', 'byradius', '700', 'km', 'asc', 'withdist'],
      ['georadius_ro', a, '3', '3', '500', 'mi', 'count', '7'],
      ['georadiusbymember_ro', a, 'p9', '400', 'km', 'desc'],
      ['geopos', a, 'none'],
      ['geohash', a, 'p1', 'late'],
      ['geodist', a, 'p1', 'p2'],
    );
  });
});
