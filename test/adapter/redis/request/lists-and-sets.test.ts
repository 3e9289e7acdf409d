/** Lists, sets and SORT where they are not evaluated on one leader's store: over several groups, in transactions, and on replicas. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { GroupBench } from './group-bench.ts';

const numbers = (from: number, count: number, step = 1): string[] =>
  Array.from({ length: count }, (_, nth) => String(from + nth * step));

describe('lists over several groups', () => {
  const bench = new GroupBench();
  before(async () => {
    await bench.start();
    const [a, b] = bench.keys;
    // One in pages, with values that have rows of their own, and one in its head.
    await bench.play(
      ['rpush', a, ...numbers(0, 2_000), 'v'.repeat(700), ...numbers(5_000, 50)],
      ['rpush', b, 'x', 'y'],
    );
  });

  test('give values to each other', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['lmove', a, b, 'left', 'right'],
      ['lmove', b, a, 'left', 'right'],
      ['lmove', a, c, 'right', 'left'],
      ['rpoplpush', a, b],
      ['rpoplpush', b, b],
      ['lmpop', '3', 'none', c, a, 'left', 'count', '2'],
      ['lmpop', '3', 'none', c, a, 'right', 'count', '60'],
      ['lmpop', '2', 'none', c, 'left'],
      ['lrange', a, '0', '-1'],
      ['lrange', b, '0', '-1'],
      ['exists', c],
    );
  });

  test('are changed in one transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.playTogether(
      ['lpush', a, ...numbers(9_000, 300)],
      ['lmove', a, c, 'left', 'left'],
      ['linsert', a, 'before', '700', 'here'],
      ['lset', a, '1200', 'set'],
      ['lrem', a, '-3', '1500'],
      ['lpos', a, 'here'],
      ['lpos', a, '1990', 'rank', '-1', 'maxlen', '500'],
      ['ltrim', a, '5', '-5'],
      ['llen', a],
      ['lindex', a, '-700'],
      ['rpush', b, 'z'],
      ['lmpop', '2', c, b, 'left', 'count', '10'],
      ['lrange', a, '1100', '1130'],
    );
    await bench.play(['lrange', a, '0', '-1'], ['lrange', b, '0', '-1'], ['exists', c]);
  });

  test('are read on replicas', async () => {
    const [a, b] = bench.keys;
    await bench.play(['rpush', a, 'w'.repeat(900), 'last'], ['rpush', b, 'only']);
    await bench.rest();
    await bench.look(
      ['lrange', a, '0', '-1'],
      ['lrange', a, '900', '905'],
      ['llen', a],
      ['lindex', a, '-2'],
      ['lpos', a, '1700'],
      ['lpos', a, 'last', 'rank', '-1'],
      ['sort_ro', b, 'alpha', 'desc'],
    );
  });
});

describe('sets over several groups', () => {
  const bench = new GroupBench();
  before(async () => {
    await bench.start();
    const [a, b, c] = bench.keys;
    await bench.play(
      ['sadd', a, ...numbers(0, 1_500), 'm'.repeat(300)],
      ['sadd', b, ...numbers(0, 900, 3)],
      ['sadd', c, '9', '12', 'elsewhere', 'm'.repeat(300)],
    );
  });

  test('are united, intersected and subtracted', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['sinter', a, b],
      ['sinter', a, b, c],
      ['sunion', b, c, 'none'],
      ['sdiff', a, b, c],
      ['sdiff', c, a],
      ['sintercard', '2', a, b, 'limit', '100'],
      ['sintercard', '2', a, b],
      ['sinterstore', 'common', a, b],
      ['sunionstore', 'union', a, b, c],
      ['sdiffstore', c, b, a],
      ['scard', 'union'],
      ['smembers', 'common'],
      ['smembers', c],
      ['sinterstore', 'union', a, 'none'],
      ['exists', 'union'],
    );
  });

  test('give members to each other', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['smove', a, b, '1'],
      ['smove', a, c, 'm'.repeat(300)],
      ['smove', a, b, 'none'],
      ['smismember', b, '1', '2', '3'],
      ['smembers', c],
    );
  });

  test('are changed in one transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.playTogether(
      ['sadd', a, ...numbers(4_000, 400)],
      ['srem', a, ...numbers(0, 300, 2)],
      ['sunionstore', c, a, b],
      ['sadd', c, 'more', '4001'],
      ['srem', c, ...numbers(0, 1_400)],
      ['scard', c],
      ['smove', c, b, 'more'],
      ['sinter', a, b],
      ['scard', c],
    );
    await bench.play(['smembers', a], ['smembers', b], ['smembers', c]);
  });

  test('lose random members once, wherever they are popped', async () => {
    const [a, b] = bench.keys;
    const before = (await bench.ask(bench.client, ['smembers', a])) as string[];
    const replies = await bench.cluster.run(
      bench.client.transaction([
        ['spop', a],
        ['spop', a, '40'],
        ['srandmember', a, '30'],
        ['srandmember', a, '-30'],
        ['scard', b],
        ['spop', b, '100000'],
      ]),
    );
    assert.ok(Array.isArray(replies));
    const [one, popped, drawn, repeated, size, all] = replies.map(([, reply]) => [reply].flat() as string[]);
    const gone = new Set([...one!, ...popped!]);
    assert.equal(gone.size, 41);
    assert.ok([...gone].every((member) => before.includes(member)));
    const after = (await bench.ask(bench.client, ['smembers', a])) as string[];
    assert.deepEqual(
      after,
      before.filter((member) => !gone.has(member)),
    );
    assert.equal(new Set(drawn).size, 30);
    assert.equal(repeated!.length, 30);
    assert.ok([...drawn!, ...repeated!].every((member) => after.includes(member)));
    assert.deepEqual([all!.length], size);
    assert.equal(await bench.ask(bench.client, ['exists', b]), 0);
    bench.model.run('srem', a, ...gone);
    bench.model.run('del', b);
  });

  test('are read on replicas', async () => {
    const [a, b] = bench.keys;
    await bench.play(['sadd', a, 'late'], ['sadd', b, '5', '6', 'late']);
    await bench.rest();
    await bench.look(
      ['smembers', a],
      ['scard', a],
      ['sort_ro', a, 'alpha', 'limit', '10', '20'],
      ['smismember', a, 'late', 'none', '4100'],
      ['sismember', b, '6'],
      ['sdiff', b],
      ['sscan', b, '0'],
    );
    await bench.lookWidely(['sinter', a, b], ['sunion', a, b], ['sdiff', a, b], ['sintercard', '2', a, b]);
  });
});

describe('SORT over several groups', () => {
  const bench = new GroupBench();
  before(async () => {
    await bench.start();
    const [a, b, c] = bench.keys;
    await bench.play(
      ['rpush', a, ...numbers(0, 700)],
      ['sadd', b, ...numbers(0, 50)],
      ['zadd', c, '1', '3', '2', '1', '3', '2'],
      ['mset', ...numbers(0, 700).flatMap((n) => [`w${n}`, String((Number(n) * 7_919) % 1_009)])],
      ['hset', 'large1', ...numbers(0, 400).flatMap((n) => [`f${n}`, n])],
      ['hset', 'large2', 'f7', '-1', 'name', 'two'],
      ['set', 'long3', 'l'.repeat(10_000)],
    );
  });

  test('finds weights and values wherever they are', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['sort', a, 'by', 'w*'],
      ['sort', a, 'by', 'w*', 'desc', 'limit', '3', '10', 'get', '#', 'get', 'w*'],
      ['sort', b, 'by', 'w*', 'get', 'large*->name', 'get', 'long*'],
      ['sort', c, 'by', 'large*->f7', 'get', '#', 'get', 'large*->f7'],
      ['sort_ro', c, 'by', 'nosort', 'desc', 'limit', '0', '2', 'get', 'w*'],
      ['sort', a, 'by', 'w*', 'limit', '0', '50', 'get', 'w*', 'store', c],
      ['lrange', c, '0', '-1'],
      ['sort', 'none', 'by', 'w*', 'store', c],
      ['exists', c],
    );
  });

  test('is one of the commands of a transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.playTogether(
      ['set', 'w5', '-100'],
      ['sort', a, 'by', 'w*', 'limit', '0', '3'],
      ['sort', b, 'desc', 'store', c],
      ['lpush', c, 'first'],
      ['sort', c, 'alpha', 'get', 'w*', 'limit', '0', '4'],
    );
    await bench.play(['lrange', c, '0', '-1']);
  });

  test('answers a connection that reads replicas', async () => {
    const [a] = bench.keys;
    await bench.rest();
    await bench.look(['sort_ro', a, 'desc', 'limit', '100', '100']);
    await bench.lookWidely(['sort_ro', a, 'by', 'w*', 'limit', '0', '100', 'get', '#', 'get', 'large*->f7']);
  });
});
