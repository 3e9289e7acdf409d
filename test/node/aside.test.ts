/** Values of more rows than one entry takes, on whole nodes: they are built aside. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import type { SimRedis } from '../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

/** More rows than one entry takes: an element is a row, and there are pages. */
const ELEMENTS = 4_500;
const CHUNK = 1_500;

class Bed {
  readonly cluster = new SimulatedNodes(3, 3, 8);
  clients: SimRedis[] = [];
  /** Hash tags of keys of two groups. */
  tags: readonly [string, string] = ['', ''];

  async start(): Promise<void> {
    const { cluster } = this;
    cluster.start();
    await cluster.ready();
    for (const node of [1, 2, 3]) this.clients.push(await cluster.run(cluster.node(node).connect()));
    const groupOf = (tag: string): number =>
      cluster.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(`{${tag}}`)));
    let at = 1;
    while (groupOf(`t${at}`) === groupOf('t0')) at++;
    this.tags = ['t0', `t${at}`];
  }

  call(client: SimRedis, ...command: string[]): Promise<unknown> {
    return this.cluster.run(client.command(command));
  }

  /** Adds elements `from` to `to` of a collection, some at a time. */
  async fill(add: (nth: number) => string[], command: readonly string[], from = 0, to = ELEMENTS): Promise<void> {
    for (let at = from; at < to; at += CHUNK) {
      const elements = Array.from({ length: Math.min(CHUNK, to - at) }, (_, nth) => add(at + nth)).flat();
      await this.call(this.clients[0]!, ...command, ...elements);
    }
  }
}

const hashOf = (bed: Bed, tag: string): Promise<void> =>
  bed.fill((nth) => [`f${nth}`, `v${nth}`], ['hset', `{${tag}}hash`]);

describe('a value of more rows than one entry takes', () => {
  test('is moved, copied, stored and restored by every node, within a group and between groups', async () => {
    const bed = new Bed();
    await bed.start();
    const [here, there] = bed.tags;
    const [first, second, third] = bed.clients as [SimRedis, SimRedis, SimRedis];
    await hashOf(bed, here);
    await bed.call(first, 'pexpire', `{${here}}hash`, '9000000');
    let hash = `{${here}}hash`;
    for (const [client, target] of [
      [second, `{${there}}a`],
      [first, `{${there}}b`],
      [third, `{${here}}c`],
    ] as const) {
      assert.equal(await bed.call(client, 'rename', hash, target), 'OK');
      assert.equal(await bed.call(client, 'exists', hash), 0);
      assert.equal(await bed.call(client, 'hlen', target), ELEMENTS);
      assert.equal(await bed.call(client, 'hget', target, 'f4321'), 'v4321');
      hash = target;
    }
    assert.ok(((await bed.call(first, 'pttl', hash)) as number) > 8_000_000);
    await bed.fill((nth) => [`${nth}`, `m${nth}`], ['zadd', `{${here}}order`]);
    for (const copy of [`{${here}}copy`, `{${there}}copy`]) {
      assert.equal(await bed.call(third, 'copy', `{${here}}order`, copy), 1);
      assert.equal(await bed.call(second, 'copy', `{${here}}order`, copy), 0);
      assert.deepEqual(await bed.call(second, 'zrange', copy, '4000', '4001'), ['m4000', 'm4001']);
      assert.equal(await bed.call(first, 'zrank', copy, 'm4444'), 4444);
    }
    await bed.fill((nth) => [`m${nth}`], ['sadd', `{${here}}set`], 0, 3_000);
    await bed.fill((nth) => [`m${nth}`], ['sadd', `{${there}}set`], 2_000, 5_000);
    assert.equal(await bed.call(second, 'sunionstore', `{${here}}union`, `{${here}}set`, `{${there}}set`), 5_000);
    assert.equal(await bed.call(first, 'scard', `{${here}}union`), 5_000);
    const payload = (await bed.call(first, 'dump', `{${here}}order`)) as string;
    assert.equal(await bed.call(second, 'restore', `{${here}}back`, '0', payload), 'OK');
    assert.equal(await bed.call(third, 'zscore', `{${here}}back`, 'm4000'), '4000');
    // Rows are no keys, whether a head names them or not.
    const keys = (await bed.call(second, 'keys', '*')) as string[];
    const order = [here, there].flatMap((tag) => [`{${tag}}copy`, `{${tag}}set`]);
    assert.deepEqual(keys.sort(), [...order, hash, `{${here}}order`, `{${here}}union`, `{${here}}back`].sort());
    assert.equal(await bed.call(third, 'dbsize'), keys.length);
    assert.equal(await bed.call(first, 'del', hash, `{${there}}copy`), 2);
    assert.equal(await bed.call(third, 'dbsize'), keys.length - 2);
  });

  test('is filled by one command, or is a long string, and is then changed in place by every node', async () => {
    const bed = new Bed();
    await bed.start();
    const [here, there] = bed.tags;
    const [first, second, third] = bed.clients as [SimRedis, SimRedis, SimRedis];
    const pairs = (count: number, from = 0): string[] =>
      Array.from({ length: count }, (_, nth) => [`${from + nth}`, `m${from + nth}`]).flat();
    for (const [client, tag] of [
      [first, here],
      [second, there],
    ] as const) {
      assert.equal(await bed.call(client, 'hset', `{${tag}}h`, ...pairs(8_300)), 8_300);
      assert.equal(await bed.call(third, 'hget', `{${tag}}h`, '8299'), 'm8299');
      assert.equal(await bed.call(client, 'zadd', `{${tag}}z`, ...pairs(8_300)), 8_300);
      assert.equal(await bed.call(third, 'zrank', `{${tag}}z`, 'm8299'), 8_299);
    }
    // It has rows of its own now: those of another call are written with them.
    assert.equal(await bed.call(third, 'hset', `{${here}}h`, ...pairs(8_300, 100)), 100);
    assert.equal(await bed.call(second, 'hlen', `{${here}}h`), 8_400);
    await assert.rejects(bed.call(third, 'sadd', `{${here}}h`, ...pairs(8_300)), /WRONGTYPE/);
    const long = `${'x'.repeat(4_999_999)}end`;
    for (const [client, key] of [
      [first, `{${here}}s`],
      [second, `{${there}}s`],
    ] as const) {
      assert.equal(await bed.call(client, 'set', key, long, 'EX', '1000'), 'OK');
      assert.equal(await bed.call(client, 'set', key, `${long}!`, 'NX'), null);
      assert.equal(await bed.call(third, 'getrange', key, '-4', '-1'), 'xend');
      assert.equal(await bed.call(client, 'append', key, 'ing'), long.length + 3);
      assert.equal(await bed.call(third, 'get', key), `${long}ing`);
      assert.ok(((await bed.call(second, 'ttl', key)) as number) > 900);
      assert.equal(await bed.call(third, 'set', key, 'short'), 'OK');
      assert.equal(await bed.call(first, 'get', key), 'short');
    }
  });

  test('is seen whole or not at all, and by whatever stands behind on its connection', async () => {
    const bed = new Bed();
    await bed.start();
    const [tag] = bed.tags;
    const [first, second] = bed.clients as [SimRedis, SimRedis];
    await hashOf(bed, tag);
    const [from, to] = [`{${tag}}hash`, `{${tag}}moved`];
    let isDone = false;
    const renamed = Promise.all([first.command(['rename', from, to]), first.command(['hlen', to])]).finally(() => {
      isDone = true;
    });
    const seen = async (): Promise<number[]> => {
      const sums: number[] = [];
      while (!isDone) {
        for (const command of [['multi'], ['exists', from], ['exists', to]]) await second.command(command);
        const [before, after] = (await second.command(['exec'])) as [number, number];
        sums.push(before + after);
      }
      return sums;
    };
    const [replies, sums] = await bed.cluster.run(Promise.all([renamed, seen()]));
    assert.deepEqual(replies, ['OK', ELEMENTS]);
    assert.ok(sums.length > 3 && sums.every((sum) => sum === 1), `${sums}`);
  });

  for (const afterMs of [3, 12, 25, 40]) {
    test(`is there as a whole or not at all when the leader of its group is lost after ${afterMs} ms`, async () => {
      const bed = new Bed();
      await bed.start();
      const { cluster } = bed;
      const [tag] = bed.tags;
      await hashOf(bed, tag);
      const [from, to] = [`{${tag}}hash`, `{${tag}}moved`];
      const group = cluster.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(from)));
      const leader = cluster.leaderOf(group)!;
      let failure: Error | undefined;
      const renamed = bed.clients[leader % 3]!.command(['rename', from, to]).catch((error: Error) => {
        failure = error;
      });
      await cluster.simulation.runFor(afterMs);
      cluster.node(leader).crash(true);
      await cluster.run(renamed);
      cluster.node(leader).start();
      await cluster.ready();
      const sizes = [await cluster.command(leader, 'hlen', from), await cluster.command(leader, 'hlen', to)];
      if (failure === undefined) assert.deepEqual(sizes, [0, ELEMENTS]);
      else assert.deepEqual([...(sizes as number[])].sort(), [0, ELEMENTS], failure.message);
    });
  }
});
