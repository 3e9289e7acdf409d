/** Calls that name very many keys, on whole nodes: they are read some at a time, and are one read. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import type { SimRedis } from '../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

/** More than are evaluated in a turn. */
const NAMES = 4_500;
const LONG = 300_000;

describe('a call that names very many keys', () => {
  test('shows all keys at one moment, in whatever groups they are, while they change', async () => {
    const cluster = new SimulatedNodes(3, 3, 8);
    cluster.start();
    await cluster.ready();
    const clients: SimRedis[] = [];
    for (const node of [1, 2, 3]) clients.push(await cluster.run(cluster.node(node).connect()));
    const [first, second, third] = clients as [SimRedis, SimRedis, SimRedis];
    const call = (client: SimRedis, ...command: string[]): Promise<unknown> => cluster.run(client.command(command));
    const groupOf = (key: string): number => cluster.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(key)));
    let at = 1;
    while (groupOf(`k${at}`) === groupOf('k0')) at++;
    const [here, there] = ['k0', `k${at}`];
    await call(first, 'mset', here, '0', there, '0', 'number', '7', 'long', 'x'.repeat(LONG));
    await call(first, 'hset', 'hash', 'f', 'v');
    const fillers = Array.from({ length: NAMES }, (_, nth) => `none${nth}`);
    const names = [here, 'long', ...fillers, 'hash', 'number', there];
    let written = 0;
    let isOver = false;
    const writing = (async () => {
      while (!isOver) {
        await first.command(['mset', here, String(written + 1), there, String(written + 1)]);
        written++;
      }
    })();
    for (const client of [first, second, third, second]) {
      const before = written;
      const values = (await call(client, 'mget', ...names)) as (string | null)[];
      assert.equal(values.length, names.length);
      assert.equal(values[0], values.at(-1));
      assert.ok(Number(values[0]) >= before, `${values[0]} is not older than ${before}`);
      assert.equal(values[1]!.length, LONG);
      assert.deepEqual(values.slice(-3, -1), [null, '7']);
      assert.ok(values.slice(2, -2).every((value) => value === null));
      assert.equal(await call(client, 'exists', ...names, here), 6);
    }
    isOver = true;
    await cluster.run(writing);
    assert.ok(written > 10, 'it was changed meanwhile');
  });
});
