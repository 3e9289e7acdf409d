/**
 * Transactions under snapshot isolation on whole simulated nodes whose wall clocks are ten seconds apart: a group whose clock leads
 * the oracle's has acknowledged writes that lie above what the oracle grants, and they must be seen all the same.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../../src/adapter/redis/keys/keyspace.ts';
import type { KvTransaction } from '../../../src/kv/contract/transactions.ts';
import type { ScanPage } from '../../../src/kv/contract/view.ts';
import { type GroupId, groupId, type HlcTimestamp, KvorumError } from '../../../src/platform/index.ts';
import { startSkewedCluster } from '../../sim/cluster/skewed-cluster.ts';

const TIMEOUT_MS = 20_000;
const NEVER = 0n as HlcTimestamp;
const SPACE = KEYSPACES[0]!;
const RANGE = SPACE.wholeDb();
const KEYS = Array.from({ length: 30 }, (_, at) => SPACE.storageKey(Buffer.from(`key-${at}`)));

type Cluster = Awaited<ReturnType<typeof startSkewedCluster>>;

/** One write of one group, at its leader, whose timestamp is the group's own. */
async function write({ nodes, simulation }: Cluster, key: Buffer, value: string): Promise<void> {
  const leader = nodes.find(({ process }) => {
    const { kv } = process!.node;
    return kv.servesLocally(kv.groupOf(key));
  });
  const { kv } = leader!.process!.node;
  const written = new Promise<void>((resolve, reject) => {
    kv.submit(kv.groupOf(key), {
      evaluate: (view) => view.put(key, Buffer.from(value), NEVER),
      complete: (error) => (error === undefined ? resolve() : reject(error)),
    });
  });
  await simulation.runToEnd(written, TIMEOUT_MS);
}

/** Values of all keys, by scans. */
async function valuesIn(t: KvTransaction): Promise<string[]> {
  const values: string[] = [];
  for (let start: Buffer | undefined = RANGE.start; start !== undefined; ) {
    const page: ScanPage = await t.scan({ start, end: RANGE.end, limit: 100 });
    values.push(...page.rows.map(({ value }) => value.toString()));
    start = page.next;
  }
  return values;
}

describe('transactions under snapshot isolation', () => {
  test('see every write that was acknowledged before they began, in whichever group', async () => {
    const cluster = await startSkewedCluster(11, { dataGroups: 3 });
    const { nodes, simulation } = cluster;
    // The oracle is led by the first node, and what it knows of time by the first one's clock.
    assert.ok(nodes[0]!.process!.node.kv.servesLocally(groupId(1)));
    nodes[1]!.setClockOffset(14_000);
    const run = <T>(work: Promise<T>): Promise<T> => simulation.runToEnd(work, TIMEOUT_MS);
    for (let round = 0; round < 2; round++) {
      for (const node of nodes) {
        const before = `${round} ${node.id} before`;
        for (const key of KEYS) await write(cluster, key, before);
        const { transactions } = node.process!.node;
        const deadlineMs = node.machine.clock.monotonicMs() + TIMEOUT_MS;
        const t = await run(transactions.begin({ isolation: 'snapshot', deadlineMs }));
        for (const key of KEYS) assert.equal((await run(t.get(key)))?.value.toString(), before);
        assert.deepEqual(await run(valuesIn(t)), Array(KEYS.length).fill(before));
        await run(t.rollback());
      }
    }
  });

  test('lose against whoever wrote a key since, also when it is absent again', async () => {
    const { nodes, simulation } = await startSkewedCluster(13, { dataGroups: 3 });
    const { kv, transactions } = nodes[0]!.process!.node;
    const run = <T>(work: Promise<T>): Promise<T> => simulation.runToEnd(work, TIMEOUT_MS);
    const begin = (): Promise<KvTransaction> => {
      const deadlineMs = nodes[0]!.machine.clock.monotonicMs() + TIMEOUT_MS;
      return run(transactions.begin({ isolation: 'snapshot', deadlineMs }));
    };
    const commit = (t: KvTransaction): Promise<HlcTimestamp> =>
      run(t.commit(nodes[0]!.machine.clock.monotonicMs() + TIMEOUT_MS));
    const write = async (work: (t: KvTransaction) => void): Promise<void> => {
      const t = await begin();
      work(t);
      await commit(t);
    };
    const [shown, guard, blind] = [...new Map(KEYS.map((key) => [kv.groupOf(key), key])).values()] as Buffer[];
    const lose = (error: unknown): boolean => error instanceof KvorumError && error.code === 'CONFLICT';
    await write((t) => void t.put(shown!, Buffer.from('before'), NEVER));
    for (const key of [guard!, blind!]) {
      const late = await begin();
      assert.equal((await run(late.get(shown!)))!.value.toString(), 'before');
      if (key === guard) assert.equal(await run(late.get(key)), undefined);
      await write((t) => void t.put(key, Buffer.from('x'), NEVER));
      await write((t) => {
        t.put(shown!, Buffer.from('after'), NEVER);
        t.delete(key);
      });
      late.put(key, Buffer.from('saw what was before'), NEVER);
      await assert.rejects(commit(late), lose);
      await write((t) => void t.put(shown!, Buffer.from('before'), NEVER));
    }
  });

  test('are committed after their beginning in a group whose clock is behind', async () => {
    const { nodes, simulation } = await startSkewedCluster(11, { dataGroups: 3 });
    const run = <T>(work: Promise<T>): Promise<T> => simulation.runToEnd(work, TIMEOUT_MS);
    const { transactions } = nodes[0]!.process!.node;
    for (const key of KEYS) {
      const deadlineMs = nodes[0]!.machine.clock.monotonicMs() + TIMEOUT_MS;
      const t = await run(transactions.begin({ isolation: 'snapshot', deadlineMs }));
      // Nothing of its group has been read, so the group has not heard of the moment.
      t.put(key, Buffer.from('x'), NEVER);
      assert.ok((await run(t.commit(deadlineMs))) > t.startTs);
    }
  });

  test('are told to begin again where a group did not say how far it was', async () => {
    const cluster = await startSkewedCluster(12, { dataGroups: 3 });
    const { nodes, simulation } = cluster;
    const { kv, transactions } = nodes[0]!.process!.node;
    const groups = new Map<GroupId, Buffer>(KEYS.map((key) => [kv.groupOf(key), key]));
    // The leader of another group than the oracle's is gone for a moment.
    const victim = nodes.find(
      ({ id, process }) => id !== 1 && [...groups.keys()].some((group) => process!.node.kv.servesLocally(group)),
    )!;
    const lost = [...groups].filter(([group]) => victim.process!.node.kv.servesLocally(group)).map(([, key]) => key);
    victim.crash(false);
    const deadlineMs = nodes[0]!.machine.clock.monotonicMs() + TIMEOUT_MS;
    const t = await simulation.runToEnd(transactions.begin({ isolation: 'snapshot', deadlineMs }), TIMEOUT_MS);
    await assert.rejects(
      simulation.runToEnd(t.get(lost[0]!), TIMEOUT_MS),
      (error) => error instanceof KvorumError && error.code === 'SNAPSHOT_UNCOVERED' && error.disposition === 'restart',
    );
  });
});
