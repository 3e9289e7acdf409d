import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ModeChangeError, reportOf } from '../../../cmd/proxy/index.ts';
import { SeededRandom } from '../../../src/platform/index.ts';
import { until } from '../../support/until.ts';
import { call, everything, ProxyBed } from './bed.ts';

describe('a proxy', () => {
  let bed: ProxyBed;
  beforeEach(async () => {
    bed = await ProxyBed.open();
  });
  afterEach(() => bed.close());

  test('passes everything on to one side, and the other one hears nothing', async () => {
    await bed.start('redis-only');
    const client = await bed.connect();
    assert.deepEqual(await call(client, ['SET', 'a', '1'], ['INCR', 'a'], ['NOTHING'], ['GET', 'a']), [
      'OK',
      '2',
      "ERR unknown command 'NOTHING', with args beginning with: ",
      '2',
    ]);
    assert.deepEqual(await everything(bed.redis), ['a 2']);
    assert.deepEqual(await everything(bed.kvorum), []);
  });

  test('keeps both sides the same under clients that write the same keys at the same time', async () => {
    await bed.start('dual-write-shadow');
    const seed = Date.now();
    const random = new SeededRandom(seed);
    const pick = (count: number): string => String(random.int(count));
    const command = (): string[] => {
      const key = pick(4);
      const all: string[][] = [
        ['INCRBY', `n${key}`, pick(9)],
        ['APPEND', `s${key}`, pick(9)],
        ['RPUSH', `l${key}`, pick(99), pick(99)],
        ['LPOP', `l${key}`],
        ['LRANGE', `l${key}`, '0', '-1'],
        ['SADD', `t${key}`, pick(20), pick(20)],
        ['SPOP', `t${key}`, '2'],
        ['SMEMBERS', `t${key}`],
        ['ZADD', `z${key}`, pick(9), pick(9)],
        ['ZPOPMIN', `z${key}`],
        ['HINCRBYFLOAT', `h${key}`, pick(3), '0.5'],
        ['HGETALL', `h${key}`],
        ['XADD', `x${key}`, '*', 'f', pick(9)],
        ['SET', `e${key}`, 'v', 'EX', '1000'],
        ['TTL', `e${key}`],
        ['RPOPLPUSH', `l${key}`, `l${pick(4)}`],
        ['LMOVE', `l${key}`, `l${pick(4)}`, 'LEFT', 'RIGHT'],
        ['EVAL', "return redis.call('INCR', KEYS[1])", '1', `n${key}`],
        ['SET', `n${key}`, 'x', 'NX'],
        ['HSET', `s${key}`, 'f', 'v'],
      ];
      return all[random.int(all.length)]!;
    };
    const client = async (): Promise<void> => {
      const connection = await bed.connect();
      for (let left = 40; left > 0; left--) {
        const commands = Array.from({ length: 1 + random.int(6) }, command);
        const isTransaction = random.int(4) === 0;
        await connection.call(isTransaction ? [['MULTI'], ...commands, ['EXEC']] : commands);
      }
    };
    await Promise.all(Array.from({ length: 6 }, client));
    await bed.settled();
    assert.deepEqual(await everything(bed.kvorum), await everything(bed.redis), `seed ${seed}`);
    const { differences, compared, examples } = reportOf(bed.proxy);
    assert.deepEqual([differences, examples], [{ reply: 0, read: 0, refused: 0 }, []], `seed ${seed}`);
    assert.ok(compared > 100);
  });

  test('keeps both sides the same while clients wait for what others push to both ends', async () => {
    await bed.start('dual-write');
    const seed = Date.now();
    const random = new SeededRandom(seed);
    const pick = (count: number): string => String(random.int(count));
    let left = 100;
    const WAITING = [
      ['BLPOP', 'l0', 'l1', '0'],
      ['BRPOP', 'l1', '0'],
      ['BLMOVE', 'l0', 'moved', 'LEFT', 'RIGHT', '0'],
      ['BLMPOP', '0', '2', 'l1', 'l0', 'RIGHT', 'COUNT', '2'],
      ['BZPOPMIN', 'z', '0'],
      ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '3', 'BLOCK', '0', 'STREAMS', 'x', '>'],
    ];
    const worker = async (command: string[]): Promise<void> => {
      const connection = await bed.connect();
      while (left > 0) await connection.call([command]);
    };
    const pusher = async (): Promise<void> => {
      const connection = await bed.connect();
      while (left > 0) {
        const name = String(left--);
        // No value twice: which of two equal ones has gone would not be known.
        await connection.call([
          [random.int(2) === 0 ? 'LPUSH' : 'RPUSH', `l${pick(2)}`, `a${name}`, `b${name}`],
          ['ZADD', 'z', pick(9), name],
          ['XADD', 'x', '*', 'f', name],
        ]);
      }
    };
    await call(await bed.connect(), ['XGROUP', 'CREATE', 'x', 'g', '$', 'MKSTREAM']);
    for (const command of WAITING) worker(command).catch(() => {});
    await Promise.all([pusher(), pusher(), pusher()]);
    await until('what was popped was told', () => bed.proxy.isQuiet && bed.proxy.behind === 0);
    await bed.assertSame(`seed ${seed}`);
    const { differences, examples, dirtyKeys } = reportOf(bed.proxy);
    assert.deepEqual([differences, examples, dirtyKeys], [{ reply: 0, read: 0, refused: 0 }, [], 0], `seed ${seed}`);
  });

  test('tells a transaction that has begun before there was a second side', async () => {
    await bed.start('redis-only');
    const client = await bed.connect();
    await client.call([['MULTI'], ['PUBLISH', 'news', '1'], ['INCR', 'n'], ['SELECT', '3'], ['INCR', 'n']]);
    const waiter = await bed.connect();
    const popped = waiter.call([['BLPOP', 'queue', '0']]);
    await until('it waits', () => bed.proxy.report.commands === 6 && bed.proxy.isQuiet);
    await bed.proxy.change('dual-write');
    await client.call([['EXEC'], ['INCR', 'n']]);
    await call(await bed.connect(), ['RPUSH', 'queue', 'a'], ['SET', 'a', '1']);
    await popped;
    await until('all was told', () => bed.proxy.isQuiet && bed.proxy.behind === 0);
    assert.deepEqual(await everything(bed.kvorum), ['a 1', 'n 1']);
    assert.deepEqual(await everything(bed.kvorum, 3), ['n 2']);
    assert.deepEqual(reportOf(bed.proxy).examples, []);
  });

  test('says what differs, and repairs it', async () => {
    await bed.start('dual-write-shadow');
    const client = await bed.connect();
    await call(client, ['SET', 'a', '1'], ['RPUSH', 'list', 'x'], ['SET', 'c', '1']);
    await bed.settled();
    const other = await bed.connect(bed.kvorum.port);
    await call(other, ['SET', 'a', 'changed'], ['DEL', 'list'], ['SADD', 'list', 'm']);
    await call(client, ['GET', 'a'], ['GET', 'c'], ['RPUSH', 'list', 'y']);
    await bed.settled();
    const report = reportOf(bed.proxy);
    assert.deepEqual(report.differences, { reply: 0, read: 1, refused: 1 });
    assert.match(report.examples[0]!, /"GET" "a": "1" and "changed"/);
    assert.match(report.examples[1]!, /"RPUSH" "list" "y": WRONGTYPE/);
    assert.equal(report.dirtyKeys, 2);
    assert.equal(await bed.proxy.repair(), 2);
    assert.deepEqual(await everything(bed.kvorum), await everything(bed.redis));
    assert.equal(reportOf(bed.proxy).dirtyKeys, 0);
  });

  test('repairs what is too large for one command in parts', async () => {
    await bed.start('dual-write-shadow');
    const client = await bed.connect();
    const text = (at: number): string => createHash('sha256').update(String(at)).digest('hex');
    const ids = Array.from({ length: 1_300 }, (_, at) => `${at + 1}-0`);
    await call(client, ...ids.map((id, at) => ['XADD', 'stream', id, 'field', text(at)]));
    await call(
      client,
      ['XGROUP', 'CREATE', 'stream', 'group', '0'],
      ['XREADGROUP', 'GROUP', 'group', 'alice', 'COUNT', '20', 'STREAMS', 'stream', '>'],
      ['XDEL', 'stream', '5-0', '900-0'],
      ['SADD', 'set', ...ids.map((_, at) => text(at))],
      ['EXPIRE', 'set', '10000'],
    );
    await bed.settled();
    await call(await bed.connect(bed.kvorum.port), ['DEL', 'stream', 'set']);
    await call(client, ['XLEN', 'stream'], ['SCARD', 'set']);
    await bed.settled();
    assert.equal(await bed.proxy.repair(), 2);
    const questions = [['XPENDING', 'stream', 'group'], ['XLEN', 'stream'], ['SCARD', 'set'], ['DBSIZE']];
    const [there, here] = [await bed.connect(bed.redis.port), await bed.connect(bed.kvorum.port)];
    for (const question of questions) assert.deepEqual(await call(here, question), await call(there, question));
    assert.deepEqual(
      await call(here, ['XRANGE', 'stream', '-', '+']),
      await call(there, ['XRANGE', 'stream', '-', '+']),
    );
    const [rest] = await call(here, ['TTL', 'set']);
    assert.ok(Number(rest) > 9_000, 'it expires as there');
  });

  test('never lets clients wait for the second side, and knows what that has missed', async () => {
    await bed.start('dual-write');
    const client = await bed.connect();
    await call(client, ['SET', 'before', '1']);
    await bed.settled();
    bed.cables.kvorum.close();
    await call(client, ['SET', 'meanwhile', '1'], ['INCR', 'meanwhile']);
    assert.ok(bed.proxy.behind > 0);
    await assert.rejects(bed.proxy.pause(), ModeChangeError);
    assert.deepEqual(await call(client, ['GET', 'meanwhile']), ['2']);
  });

  test('changes sides between two commands: clients come again, and nothing is missing', async () => {
    await bed.start('dual-write');
    let written = 0;
    let isOver = false;
    const writer = async (): Promise<void> => {
      while (!isOver) {
        const connection = await bed.connect();
        try {
          while (!isOver) {
            await connection.call([['INCR', 'count']]);
            written += 1;
          }
        } catch {
          // The proxy has ended the connection: between two commands.
        }
      }
    };
    const writers = [writer(), writer(), writer()];
    for (const mode of ['kvorum-primary', 'kvorum-only'] as const) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await bed.proxy.change(mode);
    }
    const atChange = await everything(bed.redis);
    isOver = true;
    await Promise.all(writers);
    const [[kept], [last]] = [atChange, await everything(bed.kvorum)];
    assert.ok(Number(kept!.split(' ')[1]) <= written);
    assert.equal(last, `count ${written}`);
  });

  test('takes messages and commands that wait', async () => {
    await bed.start('dual-write');
    const [subscriber, waiter, client] = [await bed.connect(), await bed.connect(), await bed.connect()];
    await subscriber.call([['SUBSCRIBE', 'news']]);
    const popped = waiter.call([['BLPOP', 'queue', '0']]);
    await call(client, ['PUBLISH', 'news', 'hello'], ['RPUSH', 'queue', 'a', 'b']);
    const [pop] = await popped;
    assert.deepEqual(
      pop!.items!.map(({ text }) => text),
      ['queue', 'a'],
    );
    const [message, refusal] = await subscriber.call([['GET', 'a'], ['PING']]);
    assert.deepEqual(
      message!.items?.map(({ text }) => text),
      ['message', 'news', 'hello'],
    );
    assert.match(refusal!.raw, /^-ERR this connection has subscribed/);
    await bed.settled();
    assert.deepEqual(await everything(bed.kvorum), ['queue b']);
    assert.deepEqual(reportOf(bed.proxy).examples, []);
  });
});
