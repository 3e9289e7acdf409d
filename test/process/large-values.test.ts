import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Redis } from 'ioredis';
import { SeededRandom } from '../../src/platform/index.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
const VALUE_BYTES = 60 * MIB;
/** Other work on the machine can hold a process up for a second; what the value itself does must not depend on that. */
const ELECTION_TIMEOUT_MS = 3000;
/** Three nodes and the client touch the value forty times; beside other tests that takes many times what it does at rest. */
const COMMAND_TIMEOUT_MS = 60_000;

/** The digest of what a client reads. A node that nobody answers in time says that it is to be asked again. */
async function digestOf(client: Redis, key: string): Promise<string> {
  let value: Buffer | null = null;
  await until(
    `${key} is read`,
    async () => {
      try {
        value = await client.getBuffer(key);
        return true;
      } catch (error) {
        if ((error as Error).message.startsWith('CLUSTERDOWN')) return false;
        throw error;
      }
    },
    COMMAND_TIMEOUT_MS,
  );
  return digest(value!);
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('a value of 60 MiB goes through a follower, starts no election, and survives kill -9 of all nodes', async (t) => {
  const cluster = await ProcessNodes.start({ groups: '0', 'raft.electionTimeoutMs': ELECTION_TIMEOUT_MS });
  try {
    const leader = await cluster.leader();
    const [through, other] = cluster.nodeIds.filter((id) => id !== leader);
    const client = (id: number | undefined): Redis => cluster.client(id!, COMMAND_TIMEOUT_MS);
    const value = new SeededRandom(7).bytes(VALUE_BYTES);
    const termBefore = await cluster.term();

    assert.equal(await client(through).set('large', value), 'OK');
    assert.equal(await digestOf(client(other), 'large'), digest(value));
    assert.equal(await cluster.term(), termBefore, 'an election was held');

    await assert.rejects(client(through).append('large', Buffer.alloc(5 * MIB)), {
      message: 'ERR string exceeds maximum allowed size (proto-max-bulk-len)',
    });
    assert.equal(await client(other).strlen('large'), VALUE_BYTES, 'a refused command did something');

    await Promise.all(cluster.nodeIds.map((id) => cluster.kill(id)));
    for (const id of cluster.nodeIds) cluster.revive(id);
    await cluster.ready();
    assert.equal(await digestOf(client(through), 'large'), digest(value));
  } catch (error) {
    t.diagnostic(cluster.log.slice(-40).join('\n'));
    throw error;
  } finally {
    await cluster.stop();
  }
});
