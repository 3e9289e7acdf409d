/** A proxy between a redis-server and a kvorum server, either of which can be cut off. */
import assert from 'node:assert/strict';
import { type Mode, type ProxyOptions, RedisProxy } from '../../../cmd/proxy/index.ts';
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

/** All keys of a database with their values, as texts. */
export async function everything(target: Target, database = 0): Promise<(string | undefined)[]> {
  const [, reply] = await callAll(target, [
    ['SELECT', String(database)],
    ['EVAL', ALL_VALUES, '0'],
  ]);
  assert.ok(reply!.items !== undefined, reply!.raw);
  return reply!.items.map(({ text }) => text);
}

export async function call(connection: RespConnection, ...commands: string[][]): Promise<(string | undefined)[]> {
  return (await connection.call(commands)).map(({ text, raw }) => text ?? raw);
}

export class ProxyBed {
  readonly redis: Target;
  readonly kvorum: Target;
  /** In front of each of them. */
  readonly cables: { readonly redis: Cable; readonly kvorum: Cable };
  proxy!: RedisProxy;
  private readonly connections: RespConnection[] = [];

  private constructor(redis: Target, kvorum: Target, cables: ProxyBed['cables']) {
    this.redis = redis;
    this.kvorum = kvorum;
    this.cables = cables;
  }

  static async open(): Promise<ProxyBed> {
    const [redis, kvorum] = await Promise.all([startReference(), startKvorum()]);
    return new ProxyBed(redis, kvorum, { redis: await Cable.open(redis), kvorum: await Cable.open(kvorum) });
  }

  async start(mode: Mode, more: Partial<ProxyOptions> = {}): Promise<RedisProxy> {
    const upstream = (port: number) => ({ targets: [{ host: '127.0.0.1', port }], security: {} });
    const upstreams = { redis: upstream(this.cables.redis.port), kvorum: upstream(this.cables.kvorum.port) };
    this.proxy = await RedisProxy.start({
      ...{ host: '127.0.0.1', port: 0, upstreams, mode, nowMs: Date.now, drainMs: 1_000, settleMs: 0 },
      ...more,
    });
    return this.proxy;
  }

  /** A client of the proxy, if no other port is named. */
  async connect(port = this.proxy.port): Promise<RespConnection> {
    const connection = await RespConnection.open('127.0.0.1', port);
    this.connections.push(connection);
    return connection;
  }

  /** Waits until the second side has answered. */
  async settled(): Promise<void> {
    while (this.proxy.behind > 0) await new Promise((resolve) => setImmediate(resolve));
  }

  async assertSame(message?: string): Promise<void> {
    assert.deepEqual(await everything(this.kvorum), await everything(this.redis), message);
  }

  async close(): Promise<void> {
    for (const connection of this.connections.splice(0)) connection.close();
    await this.proxy?.stop();
    for (const cable of Object.values(this.cables)) cable.close();
    await Promise.all([this.redis.stop(), this.kvorum.stop()]);
  }
}
