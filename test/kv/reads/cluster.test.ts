/** Reads from replicas of whole nodes on simulated machines whose wall clocks are seconds apart. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../../src/adapter/redis/keys/keyspace.ts';
import type { GroupId, HlcTimestamp, KvorumError } from '../../../src/platform/index.ts';
import type { ClusterNode } from '../../sim/cluster/cluster-node.ts';
import { startSkewedCluster } from '../../sim/cluster/skewed-cluster.ts';

const PATIENCE_MS = 60_000;
const KEYS = ['a', 'b', 'c', 'd', 'e'].map((name) => KEYSPACES[0]!.storageKey(Buffer.from(name)));

interface Acknowledged {
  readonly atMs: number;
  readonly value: number;
}

describe('reads from replicas of a cluster', () => {
  for (const seed of [3, 4]) {
    test(`are never older than they say, never go back and never change, over skewed clocks and lost leaders (seed ${seed})`, async () => {
      const { simulation, nodes, random, until } = await startSkewedCluster(seed);
      const acknowledged = new Map(KEYS.map((key) => [key, [] as Acknowledged[]]));
      const pictures = new Map<string, number>();
      const counts = { replica: 0, leader: 0, failed: 0 };
      let isOver = false;
      let next = 0;
      const numberOf = (value: Buffer | undefined): number => (value === undefined ? 0 : Number(value.toString()));

      const write = (at: number): void => {
        if (isOver) return;
        const key = KEYS[at % KEYS.length]!;
        const leader = nodes.find(
          ({ process }) => process?.node.kv.servesLocally(process.node.kv.groupOf(key)) === true,
        );
        const kv = leader?.process?.node.kv;
        if (kv === undefined) {
          simulation.schedule(50, 'write later', () => write(at));
          return;
        }
        const value = ++next;
        kv.submit(kv.groupOf(key), {
          evaluate: (view) => view.put(key, Buffer.from(String(value)), 0n as HlcTimestamp),
          complete: (error) => {
            if (error === undefined) acknowledged.get(key)!.push({ atMs: simulation.nowMs(), value });
            simulation.schedule(5 + random.next() * 60, 'write again', () => write(at));
          },
        });
      };
      for (let at = 0; at < KEYS.length; at++) write(at);

      const read = (node: ClusterNode, session: { token: string; seen: Map<Buffer, number> }): void => {
        if (isOver) return;
        const again = (ms: number): void => void simulation.schedule(ms, 'read', () => read(node, session));
        const reads = node.process?.node.reads;
        if (reads === undefined) {
          again(50);
          return;
        }
        const key = KEYS[Math.floor(random.next() * KEYS.length)]!;
        const group = node.process!.node.kv.groupOf(key);
        const isSession = random.next() < 0.5;
        const consistency = isSession
          ? ({ kind: 'session', token: session.token } as const)
          : ({ kind: 'bounded', maxStalenessMs: 3000 } as const);
        const deadlineMs = node.machine.clock.monotonicMs() + 2000;
        reads.readAt({ group, keys: [key], consistency, deadlineMs }).then(
          (answer) => {
            const value = numberOf(answer.values[0]?.value);
            counts[answer.isReplica ? 'replica' : 'leader']++;
            const name = `${key.toString('hex')}@${answer.servedTs}`;
            const before = pictures.get(name);
            assert.ok(before === undefined || before === value, `${name} was ${before} and is ${value}`);
            pictures.set(name, value);
            const oldestMs = simulation.nowMs() - answer.stalenessMs!;
            const newest = acknowledged.get(key)!.findLast(({ atMs }) => atMs < oldestMs - 1)?.value ?? 0;
            assert.ok(
              value >= newest,
              `read ${value}, but ${newest} was acknowledged more than ${answer.stalenessMs} ms ago`,
            );
            if (isSession) {
              const seen = session.seen.get(key) ?? 0;
              assert.ok(value >= seen, `a session read ${value} after ${seen}`);
              session.seen.set(key, value);
              session.token = answer.token;
            } else if (answer.isReplica) assert.ok(answer.stalenessMs! <= 3000 + 1);
            again(5 + random.next() * 40);
          },
          () => {
            counts.failed++;
            again(50);
          },
        );
      };
      for (const node of nodes) {
        for (let at = 0; at < 3; at++) read(node, { token: '', seen: new Map() });
      }
      await simulation.runFor(5000);
      for (let round = 0; round < 2; round++) {
        const victim = nodes[Math.floor(random.next() * nodes.length)]!;
        victim.crash(true);
        await simulation.runFor(2000);
        victim.start();
        await until('it is back', () => victim.process !== undefined);
        await simulation.runFor(3000);
      }
      isOver = true;
      await simulation.runFor(2000);
      assert.ok(counts.replica > 500, JSON.stringify(counts));
      assert.ok(counts.replica > counts.failed, JSON.stringify(counts));
    });
  }

  test('answer READONLY connections from any node, with what the connection did itself', async () => {
    const { simulation, nodes } = await startSkewedCluster(5);
    const key = 'a';
    const follower = nodes.find(({ process }) => {
      const { kv } = process!.node;
      return !kv.servesLocally(kv.groupOf(KEYS[0]!));
    })!;
    const run = <T>(work: Promise<T>): Promise<T> => simulation.runToEnd(work, PATIENCE_MS);
    const client = await run(follower.connect());
    const ask = async (...args: string[]) => String(await run(client.command(args)));
    const served = () => follower.process!.node.reads.stats().served;
    assert.equal(await ask('client', 'kvorum-staleness', '5000'), 'OK');
    assert.equal(await ask('readonly'), 'OK');
    for (let round = 1; round <= 5; round++) {
      await ask('set', key, String(round));
      assert.equal(await ask('get', key), String(round), 'its own write');
      assert.equal(await ask('strlen', key), '1');
    }
    await simulation.runFor(3000);
    const before = served();
    for (let round = 0; round < 10; round++) assert.equal(await ask('get', key), '5');
    assert.equal(served(), before + 10, 'the replica answers');
    assert.equal(await ask('readwrite'), 'OK');
    assert.equal(await ask('get', key), '5');
    assert.equal(served(), before + 10, 'the leader answers');
  });

  test('go on for as long as they may be old at a node that is cut off, also of what it led', async () => {
    const { simulation, fabric, nodes } = await startSkewedCluster(6);
    const run = <T>(work: Promise<T>): Promise<T> => simulation.runToEnd(work, PATIENCE_MS);
    const writer = await run(nodes[1]!.connect());
    for (let round = 0; round < 30; round++) {
      for (const name of ['a', 'b', 'c', 'd', 'e']) await run(writer.command(['set', name, String(round)]));
      await simulation.runFor(100);
    }
    const cut = nodes[0]!;
    const { reads, kv } = cut.process!.node;
    const led = kv.dataGroups().filter((group) => kv.servesLocally(group));
    assert.ok(led.length > 0);
    fabric.partition([cut.id], [nodes[1]!.id, nodes[2]!.id]);
    await simulation.runFor(1500);
    const ask = (group: GroupId, maxStalenessMs: number) => {
      const deadlineMs = cut.machine.clock.monotonicMs() + 1000;
      const keys = KEYS.filter((key) => kv.groupOf(key) === group);
      return run(reads.readAt({ group, keys, consistency: { kind: 'bounded', maxStalenessMs }, deadlineMs }));
    };
    for (const group of kv.dataGroups().filter((one) => KEYS.some((key) => kv.groupOf(key) === one))) {
      const { isReplica, stalenessMs } = await ask(group, 6000);
      assert.equal(isReplica, true, `group ${group}`);
      assert.ok(stalenessMs! <= 6000);
      await assert.rejects(ask(group, 500), (error: KvorumError) => error.disposition === 'wait');
    }
  });
});
