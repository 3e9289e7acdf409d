/** What nodes write while they are used and hurt, at the level that says most. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { slotOf } from '../../src/adapter/redis/keys/keyspace.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const USER_KEY = 'session-of-alice-4711';
const USER_VALUE = 'her-password-is-swordfish';
/** Lines that a node may write in a minute at `info` while nothing is wrong. */
const QUIET_LINES = 40;

/** Ways in which bytes get into a log by accident. */
const spellings = (secret: string): string[] => {
  const bytes = Buffer.from(secret);
  return [secret, bytes.toString('hex'), bytes.toString('base64').replace(/=+$/, ''), [...bytes].join(',')];
};

/** A line as pino writes it; others are those of Node itself. */
const entryOf = (line: string): Record<string, unknown> | undefined => {
  const text = line.slice(line.indexOf('|') + 2);
  return text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : undefined;
};

describe('the logs of a cluster', () => {
  let cluster: ProcessNodes;
  const admin = (id: number): AdminClient => new AdminClient(`127.0.0.1:${cluster.grpcPort(id)}`);

  before(async () => {
    cluster = await ProcessNodes.start({ logLevel: 'info' });
  });
  after(() => cluster.stop());

  test('are quiet while nothing is wrong', async () => {
    const client = cluster.client(1);
    await Promise.allSettled(Array.from({ length: 500 }, (_, at) => client.set(`${USER_KEY}:${at}`, USER_VALUE)));
    const ofNode = (id: number): number => cluster.log.filter((line) => line.startsWith(`n${id} |`)).length;
    for (const id of cluster.nodeIds) assert.ok(ofNode(id) <= QUIET_LINES, cluster.log.join('\n'));
  });

  test('say more, or less, from one moment to the next when an operator says so', async () => {
    const client = admin(1);
    try {
      const { nodes } = await client.call('LogLevel', { level: 'trace' }, 10_000);
      assert.deepEqual(
        nodes.map(({ nodeId, level, before: was, problem }) => [nodeId, level, was, problem]),
        [1, 2, 3].map((id) => [id, 'trace', 'info', '']),
      );
      const told = await client.call('LogLevel', { nodeId: 2 }, 10_000);
      assert.deepEqual(told.nodes, [{ nodeId: 2, level: 'trace', before: 'trace', problem: '' }]);
      await assert.rejects(client.call('LogLevel', { level: 'loud' }, 10_000), { code: 'INVALID_ARGUMENT' });
      await until('all nodes have logged the change', () => {
        const changed = cluster.log.filter((line) => line.includes('an operator has changed what is logged'));
        return changed.length === 3;
      });
    } finally {
      client.close();
    }
  });

  test('name neither keys nor values, whatever goes wrong', async () => {
    const client = cluster.client(1);
    const other = cluster.client(2);
    await client.set(USER_KEY, USER_VALUE).catch(() => undefined);
    // Mistakes of clients.
    await client.call('hset', USER_KEY, 'field').catch(() => undefined);
    await client.call(USER_KEY, USER_VALUE).catch(() => undefined);
    await client.call('incr', USER_KEY).catch(() => undefined);
    // Several groups, operators, and the same range again and again.
    await client.mset(USER_KEY, USER_VALUE, `other-${USER_KEY}`, USER_VALUE).catch(() => undefined);
    const operator = admin(1);
    try {
      const slot = slotOf(Buffer.from(USER_KEY));
      const key = Buffer.concat([Buffer.from([0x72, 0, slot >> 8, slot & 0xff]), Buffer.from(USER_KEY)]);
      for (let time = 0; time < 2; time++) await operator.call('Split', { key }, 10_000).catch(() => undefined);
      await operator.call('Move', { key, toGroup: 1 }, 10_000).catch(() => undefined);
    } finally {
      operator.close();
    }
    // The loss of the node that leads.
    const leader = await cluster.leader();
    const writes = [client, other].map(async (each) => {
      for (let at = 0; at < 20; at++) await each.set(`${USER_KEY}:${at}`, USER_VALUE).catch(() => undefined);
    });
    await cluster.kill(leader);
    await Promise.all(writes);
    cluster.revive(leader);
    await cluster.ready();
    const said = cluster.log.join('\n');
    for (const secret of [USER_KEY, USER_VALUE]) {
      for (const spelling of spellings(secret)) {
        assert.ok(
          !said.includes(spelling),
          cluster.log.find((line) => line.includes(spelling)),
        );
      }
    }
  });

  test('are one object a line, with a level, a time, the node and a message', () => {
    const entries = cluster.log.map(entryOf).filter((entry) => entry !== undefined);
    assert.ok(entries.length >= 3);
    for (const entry of entries) {
      assert.equal(typeof entry.level, 'number');
      assert.equal(typeof entry.time, 'number');
      assert.ok([1, 2, 3].includes(entry.node as number), JSON.stringify(entry));
      assert.equal(typeof entry.msg, 'string');
    }
  });
});
