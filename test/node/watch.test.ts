/** WATCH over several groups, on whole nodes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import type { SimRedis } from '../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

describe('WATCH of a key that is not there', () => {
  test('notices that it came and went, whether EXEC is for one group or for several', async () => {
    const cluster = new SimulatedNodes(3, 3, 8);
    cluster.start();
    await cluster.ready();
    const groupOf = (name: string): number =>
      cluster.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(name)));
    let at = 1;
    while (groupOf(`{k${at}}`) === groupOf('{k0}')) at++;
    const watcher = await cluster.run(cluster.node(2).connect());
    const other = await cluster.run(cluster.node(1).connect());
    const call = (client: SimRedis, ...command: string[]): Promise<unknown> => cluster.run(client.command(command));
    const meanwhile = { nothing: [], 'SET and DEL': ['set', 'del'], SET: ['set'] };
    for (const before of [[], ['set', 'del']]) {
      for (const [nth, second] of [`{k0}y`, `{k${at}}y`].entries()) {
        for (const [what, commands] of Object.entries(meanwhile)) {
          const first = `{k0}x${before.length}${nth}${what}`;
          const change = async (names: readonly string[]): Promise<void> => {
            for (const name of names) await call(other, name, first, ...(name === 'set' ? ['1'] : []));
          };
          await change(before);
          await call(watcher, 'watch', first);
          await change(commands);
          await call(watcher, 'multi');
          for (const key of [first, second]) await call(watcher, 'set', key, 't');
          const expected = commands.length > 0 ? null : ['OK', 'OK'];
          assert.deepEqual(
            await call(watcher, 'exec'),
            expected,
            `${before} before, ${what} of ${first} with ${second}`,
          );
        }
      }
    }
  });
});

describe('WATCH of a large collection', () => {
  test('notices changes that leave its head alone, through every node, whether EXEC is for one group or for several', async () => {
    const cluster = new SimulatedNodes(3, 3, 8);
    cluster.start();
    await cluster.ready();
    const groupOf = (name: string): number =>
      cluster.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(name)));
    let at = 1;
    while (groupOf(`{k${at}}`) === groupOf('{k0}')) at++;
    const clients: SimRedis[] = [];
    for (const node of [1, 2, 3]) clients.push(await cluster.run(cluster.node(node).connect()));
    const call = (client: SimRedis, ...command: string[]): Promise<unknown> => cluster.run(client.command(command));
    const numbers = Array.from({ length: 200 }, (_, nth) => `${nth}`);
    await call(clients[0]!, 'hset', '{k0}hash', ...numbers.flatMap((nth) => [nth, nth]));
    await call(clients[0]!, 'rpush', '{k0}list', ...numbers);
    for (const [nth, watcher] of clients.entries()) {
      const other = clients[(nth + 1) % clients.length]!;
      for (const second of ['{k0}y', `{k${at}}y`]) {
        for (const change of [
          [],
          ['hset', '{k0}hash', '7', `by ${nth}`],
          ['hincrby', '{k0}hash', '8', '1'],
          ['lset', '{k0}list', '100', `by ${nth}`],
        ]) {
          await call(watcher, 'watch', '{k0}hash', '{k0}list');
          if (change.length > 0) await call(other, ...change);
          await call(watcher, 'multi');
          await call(watcher, 'set', '{k0}x', 't');
          await call(watcher, 'set', second, 't');
          const expected = change.length > 0 ? null : ['OK', 'OK'];
          assert.deepEqual(await call(watcher, 'exec'), expected, `${change.join(' ')} with ${second}`);
        }
      }
    }
  });
});
