/** Messages through whole nodes: their streams, what leaders order, and what happens to listeners while leaders and nodes go. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/index.ts';
import type { SimRedis } from '../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

/** A client that listens, and the texts that it has got. */
interface Listener {
  readonly client: SimRedis;
  readonly got: string[];
}

async function started(seed = 5): Promise<SimulatedNodes> {
  const nodes = new SimulatedNodes(3, 3, seed);
  nodes.start();
  await nodes.ready();
  await nodes.known();
  return nodes;
}

async function listen(nodes: SimulatedNodes, id: number, ...command: string[]): Promise<Listener> {
  const client = await nodes.run(nodes.node(id).connect());
  const got: string[] = [];
  client.onMessage = (message) => got.push(message.at(-1)!);
  await nodes.run(client.command(command));
  return { client, got };
}

const everyNode = [1, 2, 3];

describe('messages through whole nodes', () => {
  test('come from every node to every node, and each answer counts all', async () => {
    const nodes = await started();
    const listeners: Listener[] = [];
    for (const id of everyNode) {
      listeners.push(await listen(nodes, id, 'subscribe', 'news'), await listen(nodes, id, 'psubscribe', 'n*'));
    }
    for (const id of everyNode) assert.equal(await nodes.command(id, 'publish', 'news', `from ${id}`), 6);
    await nodes.simulation.runFor(50);
    for (const { got } of listeners) assert.deepEqual(got.toSorted(), ['from 1', 'from 2', 'from 3']);
    for (const id of everyNode) {
      assert.deepEqual(await nodes.command(id, 'pubsub', 'numsub', 'news'), ['news', 3]);
      assert.equal(await nodes.command(id, 'pubsub', 'numpat'), 1);
      assert.deepEqual(await nodes.command(id, 'pubsub', 'channels'), ['news']);
    }
    for (const { client } of listeners) client.disconnect();
    await nodes.simulation.runFor(50);
    assert.equal(await nodes.command(1, 'publish', 'news', 'x'), 0);
  });

  test('of a shard come to all in one order, whoever publishes, also after the leader has changed', async () => {
    const nodes = await started(6);
    const listeners: Listener[] = [];
    for (const id of everyNode) listeners.push(await listen(nodes, id, 'ssubscribe', 'shard'));
    const publishers = await nodes.run(Promise.all(everyNode.map((id) => nodes.node(id).connect())));
    const publishAll = async (word: string): Promise<void> => {
      const sent: Promise<unknown>[] = [];
      for (let nth = 0; nth < 10; nth++) {
        for (const [at, client] of publishers.entries()) {
          sent.push(client.command(['spublish', 'shard', `${word} ${at} ${nth}`]));
        }
      }
      for (const receivers of await nodes.run(Promise.all(sent))) assert.equal(receivers, 3);
      await nodes.simulation.runFor(50);
    };
    await publishAll('before');
    const group = nodes.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from('shard')));
    const leader = nodes.leaderOf(group)!;
    const next = everyNode.find((id) => id !== leader)!;
    nodes.node(leader).raft(group)!.transferLeadership(nodes.node(next).id);
    await nodes.until('another node leads', () => nodes.leaderOf(group) === next);
    await publishAll('after');
    const [first, second, third] = listeners.map(({ got }) => got);
    assert.equal(first!.length, 60);
    assert.deepEqual(second, first);
    assert.deepEqual(third, first);
  });

  test('come to listeners of a node that was down, once it is there again', async () => {
    const nodes = await started(8);
    await listen(nodes, 2, 'subscribe', 'news');
    nodes.node(2).crash(false);
    await nodes.simulation.runFor(100);
    assert.equal(await nodes.command(1, 'publish', 'news', 'x'), 1, 'nobody knows yet that it is down');
    await nodes.simulation.runFor(5000);
    assert.equal(await nodes.command(1, 'publish', 'news', 'x'), 0);
    nodes.node(2).start();
    await nodes.ready();
    const { got } = await listen(nodes, 2, 'subscribe', 'news');
    assert.equal(await nodes.command(1, 'publish', 'news', 'y'), 1);
    await nodes.simulation.runFor(50);
    assert.deepEqual(got, ['y']);
  });

  test('of a script on another node leave when what it wrote can be read', async () => {
    const nodes = await started(9);
    const reader = await nodes.run(nodes.node(3).connect());
    const { client, got } = await listen(nodes, 1, 'subscribe', 'done');
    const seen: Promise<unknown>[] = [];
    client.onMessage = (message) => {
      got.push(message.at(-1)!);
      seen.push(reader.command(['get', message.at(-1)!]));
    };
    const script = "redis.call('SET', KEYS[1], 'v') return redis.call('PUBLISH', 'done', KEYS[1])";
    for (let nth = 0; nth < 10; nth++) {
      assert.equal(await nodes.command(1 + (nth % 3), 'eval', script, '1', `k${nth}`), 1);
    }
    await nodes.simulation.runFor(50);
    assert.equal(got.length, 10);
    assert.deepEqual(
      await nodes.run(Promise.all(seen)),
      Array.from({ length: 10 }, () => 'v'),
    );
  });
});
