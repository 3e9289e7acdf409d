/** Leadership that is handed over on purpose is nothing that a client of the Redis port can see; functions are there under any leader. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const GROUP = 1;
const TRANSFERS = 12;
const TRANSFER_TIMEOUT_MS = 5_000;

/** Clients that count, one command after the other, until they are told to stop. */
class Counters {
  readonly failures: string[] = [];
  readonly counts: number[];
  private readonly running: Promise<void>[];
  private isOver = false;

  /** @param nodeIds the node of each client */
  constructor(cluster: ProcessNodes, nodeIds: readonly number[]) {
    this.counts = nodeIds.map(() => 0);
    this.running = nodeIds.map((nodeId, client) => this.run(cluster.client(nodeId), client));
  }

  private async run(redis: ReturnType<ProcessNodes['client']>, client: number): Promise<void> {
    const key = `counter-${client}-${performance.now()}`;
    while (!this.isOver) {
      const answer = await redis.incr(key).catch((error: Error) => error.message);
      if (answer !== this.counts[client]! + 1) this.failures.push(`client ${client} heard ${answer}`);
      if (typeof answer === 'number') this.counts[client] = answer;
    }
  }

  /** Settles when every client has had `more` answers. */
  goOn(more: number): Promise<void> {
    const before = [...this.counts];
    return until('every client goes on', () => this.counts.every((count, client) => count >= before[client]! + more));
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.running);
  }
}

/** Says with whom it has counted. */
const LIBRARY = `#!lua name=counting
redis.register_function('count', function(keys, args)
  redis.call('sadd', keys[1], args[1])
  return redis.call('scard', keys[1])
end)`;

describe('a change of leader that was asked for', () => {
  let cluster: ProcessNodes;
  before(async () => {
    cluster = await ProcessNodes.start({ groups: 0 });
  });
  after(() => cluster.stop());

  test('is seen by none of the clients that write one after the other through all nodes', async () => {
    const admin = new AdminClient(`127.0.0.1:${cluster.grpcPort(1)}`);
    const counters = new Counters(cluster, [1, 2, 3, 1]);
    try {
      for (let nth = 0; nth < TRANSFERS; nth++) {
        const to = ((await cluster.leader()) % 3) + 1;
        await admin.call('TransferLeader', { groupId: GROUP, to }, TRANSFER_TIMEOUT_MS);
        await until(`node ${to} leads`, async () => (await cluster.leader()) === to);
        await counters.goOn(20);
      }
    } finally {
      await counters.stop();
      admin.close();
    }
    assert.deepEqual(counters.failures, []);
  });

  test('comes with an orderly stop of the leader, and clients of the other nodes do not see that either', async () => {
    for (let nth = 0; nth < 3; nth++) {
      const leader = await cluster.leader();
      const others = [1, 2, 3].filter((nodeId) => nodeId !== leader);
      const counters = new Counters(cluster, [...others, ...others]);
      await counters.goOn(20);
      await cluster.shutDown(leader);
      await counters.goOn(20);
      await counters.stop();
      assert.deepEqual(counters.failures, []);
      cluster.revive(leader);
      await cluster.ready();
    }
  });

  test('or that a crash has brought leaves the functions that were loaded on one node callable on all', async () => {
    await cluster.client(1).call('FUNCTION', 'LOAD', LIBRARY);
    const clients = new Map([1, 2, 3].map((nodeId) => [nodeId, cluster.client(nodeId)]));
    const counted = new Set<string>();
    // Counting the same name again does no harm, so that a call whose outcome is unknown is made again.
    const callOn = async (nodeId: number, name: string): Promise<void> => {
      counted.add(name);
      await until(`${name} is counted on node ${nodeId}`, async () => {
        const count = await clients
          .get(nodeId)!
          .call('FCALL', 'count', 1, 'names', name)
          .catch(() => undefined);
        return count === counted.size;
      });
    };
    for (const nodeId of clients.keys()) await callOn(nodeId, `first ${nodeId}`);
    const leader = await cluster.leader();
    await cluster.kill(leader);
    for (const nodeId of clients.keys()) if (nodeId !== leader) await callOn(nodeId, `second ${nodeId}`);
    cluster.revive(leader);
    await cluster.ready();
    clients.set(leader, cluster.client(leader));
    for (const nodeId of clients.keys()) await callOn(nodeId, `third ${nodeId}`);
  });
});
