/** Keys that clients keep, through whole nodes: whatever changes a key, wherever, and while leaders, ranges and nodes go. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/index.ts';
import type { SimRedis } from '../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const everyNode = [1, 2, 3];

async function started(seed: number): Promise<SimulatedNodes> {
  const nodes = new SimulatedNodes(3, 3, seed);
  nodes.start();
  await nodes.ready();
  await nodes.known();
  return nodes;
}

/** A client that keeps keys, and what another one of its node is told in its place. */
class Keeper {
  readonly nodes: SimulatedNodes;
  readonly client: SimRedis;
  private readonly told: unknown[] = [];

  private constructor(nodes: SimulatedNodes, client: SimRedis, listener: SimRedis) {
    this.nodes = nodes;
    this.client = client;
    listener.onMessage = (message) => this.told.push(message.at(-1));
  }

  static async open(nodes: SimulatedNodes, id: number, ...options: string[]): Promise<Keeper> {
    const [client, listener] = await nodes.run(Promise.all([nodes.node(id).connect(), nodes.node(id).connect()]));
    const number = String(await nodes.run(listener.command(['client', 'id'])));
    await nodes.run(listener.command(['subscribe', '__redis__:invalidate']));
    const keeper = new Keeper(nodes, client, listener);
    await keeper.command('client', 'tracking', 'on', 'redirect', number, ...options);
    return keeper;
  }

  command(...args: string[]): Promise<unknown> {
    return this.nodes.run(this.client.command(args));
  }

  /** What was told since it was asked last: keys, `everything`. */
  async news(): Promise<unknown[]> {
    await this.nodes.simulation.runFor(50);
    return this.told.splice(0).flatMap((keys) => keys ?? 'everything');
  }
}

const groupOf = (nodes: SimulatedNodes, key: string) =>
  nodes.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(key)));

describe('keys that clients keep, through whole nodes', () => {
  test('are told of whatever node they are read and changed through, whoever leads them', async () => {
    const nodes = await started(11);
    const keepers: Keeper[] = [];
    for (const id of everyNode) keepers.push(await Keeper.open(nodes, id));
    for (const id of everyNode) {
      for (const key of ['a', 'b', 'c', 'd']) {
        for (const keeper of keepers) await keeper.command('get', key);
        await nodes.command(id, 'set', key, 'v');
        for (const keeper of keepers) assert.deepEqual(await keeper.news(), [key]);
        await nodes.command(id, 'set', key, 'w');
        assert.deepEqual(await keepers[0]!.news(), [], 'it does not keep the key any more');
      }
    }
  });

  test('are told of after transactions across groups, scripts, collections in rows, moves of keys and flushes', async () => {
    const nodes = await started(12);
    const keeper = await Keeper.open(nodes, 1);
    const keys = ['a', 'b', 'c', 'd'];
    await keeper.command('mget', ...keys);
    await nodes.command(2, 'mset', ...keys.flatMap((key) => [key, 'v']));
    assert.deepEqual((await keeper.news()).toSorted(), keys);
    await keeper.command('eval', 'return redis.call("get", KEYS[1])', '1', 'a');
    await nodes.command(3, 'eval', 'return redis.call("set", KEYS[1], "s")', '1', 'a');
    assert.deepEqual(await keeper.news(), ['a']);
    await keeper.command('exists', 'large');
    await nodes.command(2, 'rpush', 'large', ...Array.from({ length: 600 }, (_, nth) => `element ${nth}`));
    assert.deepEqual([...new Set(await keeper.news())], ['large']);
    for (const change of [
      ['lset', 'large', '300', 'x'],
      ['ltrim', 'large', '10', '-1'],
      ['del', 'large'],
    ]) {
      await keeper.command('llen', 'large');
      await nodes.command(3, ...change);
      assert.deepEqual(await keeper.news(), ['large'], String(change));
    }
    await keeper.command('mget', 'a', 'b');
    await nodes.command(2, 'rename', 'a', 'b');
    assert.deepEqual((await keeper.news()).toSorted(), ['a', 'b']);
    await keeper.command('get', 'b');
    await nodes.command(2, 'flushall');
    assert.ok((await keeper.news()).includes('everything'));
  });

  test('are told of when they have expired', async () => {
    const nodes = await started(13);
    const keeper = await Keeper.open(nodes, 1);
    await nodes.command(2, 'set', 'k', 'v', 'px', '500');
    assert.equal(await keeper.command('get', 'k'), 'v');
    assert.deepEqual(await keeper.news(), []);
    await nodes.simulation.runFor(3_000);
    assert.deepEqual(await keeper.news(), ['k']);
  });

  test('are answered by leaders, also after READONLY', async () => {
    const nodes = await started(14);
    const keeper = await Keeper.open(nodes, 1);
    await keeper.command('readonly');
    for (const key of ['a', 'b', 'c', 'd']) {
      await nodes.command(2, 'set', key, 'old');
      await keeper.command('get', key);
      await nodes.command(2, 'set', key, 'new');
      assert.equal(await keeper.command('get', key), 'new');
      await keeper.news();
    }
  });

  test('are all given up when another node begins to lead, and told of again after that', async () => {
    const nodes = await started(15);
    const keeper = await Keeper.open(nodes, 1);
    await keeper.command('get', 'k');
    const group = groupOf(nodes, 'k');
    const leader = nodes.leaderOf(group)!;
    const next = everyNode.find((id) => id !== leader)!;
    nodes.node(leader).raft(group)!.transferLeadership(nodes.node(next).id);
    await nodes.until('another node leads', () => nodes.leaderOf(group) === next);
    assert.deepEqual(await keeper.news(), ['everything']);
    await keeper.command('get', 'k');
    await nodes.command(2, 'set', 'k', 'v');
    assert.deepEqual(await keeper.news(), ['k']);
  });

  test('are not told of to a client that has changed them itself and does not want to hear', async () => {
    const nodes = await started(16);
    const keeper = await Keeper.open(nodes, 1, 'noloop');
    for (const key of ['a', 'b', 'c', 'd']) {
      await keeper.command('get', key);
      await keeper.command('set', key, 'own');
      assert.deepEqual(await keeper.news(), [], key);
      await keeper.command('get', key);
      await nodes.command(2, 'set', key, 'other');
      assert.deepEqual(await keeper.news(), [key]);
    }
    await keeper.command('rpush', 'large', ...Array.from({ length: 600 }, (_, nth) => `element ${nth}`));
    await keeper.command('llen', 'large');
    await keeper.command('lset', 'large', '300', 'x');
    assert.deepEqual(await keeper.news(), []);
  });

  test('by prefix are told of without being read', async () => {
    const nodes = await started(17);
    const keeper = await Keeper.open(nodes, 3, 'bcast', 'prefix', 'user:');
    for (const id of everyNode) {
      await nodes.command(id, 'set', `user:${id}`, 'v');
      await nodes.command(id, 'set', `other:${id}`, 'v');
      assert.deepEqual(await keeper.news(), [`user:${id}`]);
    }
  });
});
