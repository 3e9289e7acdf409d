/** Pipelines of clients on whole nodes, while others write the same keys in transactions over several groups. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const ROUNDS = 30;

describe('a pipeline, while others lock its keys', () => {
  test('runs in order on every key, through the leader and through followers', async () => {
    const cluster = new SimulatedNodes(3, 3, 6);
    cluster.start();
    await cluster.ready();
    const groupOf = (name: string): number =>
      cluster.running(1).kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(name)));
    const tag = 'k0';
    let at = 0;
    while (groupOf(`k${at}`) === groupOf(tag)) at++;
    const [a, b, elsewhere] = [`{${tag}}a`, `{${tag}}b`, `k${at}`];
    const others = await cluster.run(cluster.node(2).connect());
    let isOver = false;
    let crossed = 0;
    const crossing = (async () => {
      while (!isOver) {
        const value = `w${crossed}`;
        await others.command(['mset', b, value, elsewhere, value]).then(
          () => crossed++,
          () => undefined,
        );
      }
    })();
    for (const node of [1, 2, 3]) {
      const client = await cluster.run(cluster.node(node).connect());
      for (let round = 0; round < ROUNDS; round++) {
        const [multi, single] = [`m${round}`, `s${round}`];
        const pipeline = [
          ['mset', a, multi, b, multi],
          ['get', a],
          ['set', a, single],
          ['get', a],
        ];
        const replies = await cluster.run(Promise.all(pipeline.map((command) => client.command(command))));
        assert.deepEqual(replies, ['OK', multi, 'OK', single], `node ${node}, round ${round}`);
        assert.equal(await cluster.run(client.command(['get', a])), single);
      }
    }
    isOver = true;
    await cluster.run(crossing);
    assert.ok(crossed > ROUNDS, `${crossed} transactions`);
  });
});
