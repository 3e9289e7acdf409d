import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Mode, ModeChangeError, RedisProxy, reportOf } from '../../../cmd/proxy/index.ts';
import { SeededRandom } from '../../../src/platform/index.ts';
import { callAll, RespConnection } from '../../compat/resp-connection.ts';
import { startKvorum, startReference, type Target } from '../../compat/targets.ts';
import { Cable } from '../support/cable.ts';

const ALL_VALUES = `local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'string' then value = redis.call('GET', key)
  elseif kind == 'list' then value = table.concat(redis.call('LRANGE', key, 0, -1), ',')
  elseif kind == 'set' then local all = redis.call('SMEMBERS', key); table.sort(all); value = table.concat(all, ',')
  elseif kind == 'zset' then value = table.concat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), ',')
  elseif kind == 'hash' then local all = redis.call('HKEYS', key); table.sort(all)
    for at, field in ipairs(all) do all[at] = field .. '=' .. redis.call('HGET', key, field) end
    value = table.concat(all, ',')
  else value = kind .. cjson.encode(redis.call('XRANGE', key, '-', '+')) end
  table.insert(found, key .. ' ' .. value)
end
table.sort(found)
return found`;

describe('a proxy', () => {
  let redis: Target;
  let kvorum: Target;
  let kvorumCable: Cable;
  let proxy: RedisProxy;
  const connections: RespConnection[] = [];

  const connect = async (port = proxy.port): Promise<RespConnection> => {
    const connection = await RespConnection.open('127.0.0.1', port);
    connections.push(connection);
    return connection;
  };
  const start = async (mode: Mode): Promise<void> => {
    const upstream = (port: number) => ({ targets: [{ host: '127.0.0.1', port }], security: {} });
    const upstreams = { redis: upstream(redis.port), kvorum: upstream(kvorumCable.port) };
    proxy = await RedisProxy.start({ host: '127.0.0.1', port: 0, upstreams, mode, nowMs: Date.now, drainMs: 1_000 });
  };
  const everything = async (target: Target): Promise<(string | undefined)[]> => {
    const [reply] = await callAll(target, [['EVAL', ALL_VALUES, '0']]);
    assert.ok(reply!.items !== undefined, reply!.raw);
    return reply!.items.map(({ text }) => text);
  };
  const settled = async (): Promise<void> => {
    while (proxy.behind > 0) await new Promise((resolve) => setImmediate(resolve));
  };
  const call = async (connection: RespConnection, ...commands: string[][]): Promise<(string | undefined)[]> =>
    (await connection.call(commands)).map(({ text, raw }) => text ?? raw);

  beforeEach(async () => {
    [redis, kvorum] = await Promise.all([startReference(), startKvorum()]);
    kvorumCable = await Cable.open(kvorum);
  });
  afterEach(async () => {
    for (const connection of connections.splice(0)) connection.close();
    await proxy.stop();
    kvorumCable.close();
    await Promise.all([redis.stop(), kvorum.stop()]);
  });

  test('passes everything on to one side, and the other one hears nothing', async () => {
    await start('redis-only');
    const client = await connect();
    assert.deepEqual(await call(client, ['SET', 'a', '1'], ['INCR', 'a'], ['NOTHING'], ['GET', 'a']), [
      'OK',
      '2',
      "ERR unknown command 'NOTHING', with args beginning with: ",
      '2',
    ]);
    assert.deepEqual(await everything(redis), ['a 2']);
    assert.deepEqual(await everything(kvorum), []);
  });

  test('keeps both sides the same under clients that write the same keys at the same time', async () => {
    await start('dual-write-shadow');
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
      const connection = await connect();
      for (let left = 40; left > 0; left--) {
        const commands = Array.from({ length: 1 + random.int(6) }, command);
        const isTransaction = random.int(4) === 0;
        await connection.call(isTransaction ? [['MULTI'], ...commands, ['EXEC']] : commands);
      }
    };
    await Promise.all(Array.from({ length: 6 }, client));
    await settled();
    assert.deepEqual(await everything(kvorum), await everything(redis), `seed ${seed}`);
    const { differences, compared, examples } = reportOf(proxy);
    assert.deepEqual([differences, examples], [{ reply: 0, read: 0, refused: 0 }, []], `seed ${seed}`);
    assert.ok(compared > 100);
  });

  test('says what differs, and repairs it', async () => {
    await start('dual-write-shadow');
    const client = await connect();
    await call(client, ['SET', 'a', '1'], ['RPUSH', 'list', 'x'], ['SET', 'c', '1']);
    await settled();
    const other = await connect(kvorum.port);
    await call(other, ['SET', 'a', 'changed'], ['DEL', 'list'], ['SADD', 'list', 'm']);
    await call(client, ['GET', 'a'], ['GET', 'c'], ['RPUSH', 'list', 'y']);
    await settled();
    const report = reportOf(proxy);
    assert.deepEqual(report.differences, { reply: 0, read: 1, refused: 1 });
    assert.match(report.examples[0]!, /"GET" "a": "1" and "changed"/);
    assert.match(report.examples[1]!, /"RPUSH" "list" "y": WRONGTYPE/);
    assert.equal(report.dirtyKeys, 2);
    assert.equal(await proxy.repair(), 2);
    assert.deepEqual(await everything(kvorum), await everything(redis));
    assert.equal(reportOf(proxy).dirtyKeys, 0);
  });

  test('never lets clients wait for the second side, and knows what that has missed', async () => {
    await start('dual-write');
    const client = await connect();
    await call(client, ['SET', 'before', '1']);
    await settled();
    kvorumCable.close();
    await call(client, ['SET', 'meanwhile', '1'], ['INCR', 'meanwhile']);
    assert.ok(proxy.behind > 0);
    await assert.rejects(proxy.pause(), ModeChangeError);
    assert.deepEqual(await call(client, ['GET', 'meanwhile']), ['2']);
  });

  test('changes sides between two commands: clients come again, and nothing is missing', async () => {
    await start('dual-write');
    let written = 0;
    let isOver = false;
    const writer = async (): Promise<void> => {
      while (!isOver) {
        const connection = await connect();
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
      await proxy.change(mode);
    }
    const atChange = await everything(redis);
    isOver = true;
    await Promise.all(writers);
    const [[kept], [last]] = [atChange, await everything(kvorum)];
    assert.ok(Number(kept!.split(' ')[1]) <= written);
    assert.equal(last, `count ${written}`);
  });

  test('takes messages and commands that wait', async () => {
    await start('dual-write');
    const [subscriber, waiter, client] = [await connect(), await connect(), await connect()];
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
    await settled();
    assert.deepEqual(await everything(kvorum), ['queue b']);
    assert.deepEqual(reportOf(proxy).examples, []);
  });
});
