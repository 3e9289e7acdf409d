/** Leadership that is handed over on purpose is nothing that a client of the Redis port can see. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { TestCluster, until } from './test-cluster.ts';

const GROUP = 1;
const TRANSFERS = 12;
const CLIENTS = 4;
const TRANSFER_TIMEOUT_MS = 5_000;

describe('a change of leader that was asked for', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start({ groups: 0 });
  });
  after(() => cluster.stop());

  it('is seen by none of the clients that write one after the other through all nodes', async () => {
    const admin = new AdminClient(`127.0.0.1:${cluster.grpcPort(1)}`);
    const failures: string[] = [];
    const counts = new Array<number>(CLIENTS).fill(0);
    let isOver = false;
    const clients = counts.map(async (_, client) => {
      const redis = cluster.client((client % 3) + 1);
      while (!isOver) {
        const answer = await redis.incr(`counter-${client}`).catch((error: Error) => error.message);
        if (answer !== counts[client]! + 1) failures.push(`client ${client} heard ${answer} after ${counts[client]}`);
        if (typeof answer === 'number') counts[client] = answer;
      }
    });
    try {
      for (let nth = 0; nth < TRANSFERS; nth++) {
        const from = await cluster.leader();
        const to = (from % 3) + 1;
        const before = [...counts];
        await admin.call('TransferLeader', { groupId: GROUP, to }, TRANSFER_TIMEOUT_MS);
        await until(`node ${to} leads`, async () => (await cluster.leader()) === to);
        await until('every client goes on', () => counts.every((count, client) => count >= before[client]! + 20));
      }
    } finally {
      isOver = true;
      await Promise.all(clients);
      admin.close();
    }
    assert.deepEqual(failures, []);
  });
});
