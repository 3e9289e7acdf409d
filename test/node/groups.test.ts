import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GroupsSetting } from '../../src/config/index.ts';
import { RouteOperations } from '../../src/kv/index.ts';
import { type GroupId, groupId, nodeId, SeededRandom, SimFabric, Simulation } from '../../src/platform/index.ts';
import { Role } from '../../src/raftengine/index.ts';
import { ClusterNode } from '../sim/cluster/cluster-node.ts';
import { drawPlan } from '../sim/cluster/plan.ts';
import type { SimRedis } from '../sim/cluster/sim-redis.ts';

const PATIENCE_MS = 60_000;

/** Whole nodes on simulated machines. */
class Cluster {
  readonly simulation: Simulation;
  readonly fabric: SimFabric;
  readonly nodes: ClusterNode[] = [];

  constructor(count: number, groups: GroupsSetting, seed = 5) {
    this.simulation = new Simulation({ seed });
    this.fabric = new SimFabric(this.simulation);
    const random = new SeededRandom(seed);
    const { kv: _, ...plan } = drawPlan(seed, { nodes: count, faults: [], workloads: [] });
    for (let id = 1; id <= count; id++) {
      this.nodes.push(
        new ClusterNode({
          simulation: this.simulation,
          fabric: this.fabric,
          plan: { ...plan, groups, storeLimits: {}, limits: {}, diskSlowness: 1, kv: {}, commandTimeoutMs: 5000 },
          id,
          random: random.fork(id),
          onViolation: (violation) => {
            throw violation;
          },
          say: () => undefined,
        }),
      );
    }
  }

  node(id: number): ClusterNode {
    return this.nodes[id - 1]!;
  }

  running(id: number) {
    return this.node(id).process!.node;
  }

  start(): void {
    for (const node of this.nodes) node.start();
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.simulation.runToEnd(promise, PATIENCE_MS);
  }

  /** Lets time pass until something is so. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const endMs = this.simulation.nowMs() + PATIENCE_MS;
    while (!isSo()) {
      assert.ok(this.simulation.nowMs() < endMs, `${what}: not in time`);
      await this.simulation.runFor(20);
    }
  }

  async ready(): Promise<void> {
    await this.until('every node is ready', () =>
      this.nodes.every(({ process }) => process?.node.readiness().ready === true),
    );
  }

  /** Groups can be placed only on nodes that the catalog has heard of. */
  async known(): Promise<void> {
    await this.until(
      'everybody is in the document',
      () => this.running(1).document()?.nodes.length === this.nodes.length,
    );
  }

  /** Runs one command at a node. */
  async command(id: number, ...args: string[]): Promise<unknown> {
    const send = async (): Promise<unknown> => {
      const client: SimRedis = await this.node(id).connect();
      try {
        return await client.command(args);
      } finally {
        client.disconnect();
      }
    };
    return this.run(send());
  }

  leaderOf(group: GroupId): number | undefined {
    return this.nodes.find((node) => node.raft(group)?.status().role === Role.Leader)?.id;
  }

  hosts(group: GroupId): number[] {
    return this.nodes.filter((node) => node.raft(group) !== undefined).map(({ id }) => id);
  }

  /** Moves the range that a storage key is in. */
  async move(key: Buffer, dst: GroupId): Promise<void> {
    const { catalog, routes, kv } = this.running(1);
    const operations = new RouteOperations({
      client: catalog,
      table: () => routes.current,
      nowTs: () => kv.nowTs(),
      clock: this.node(1).machine.clock,
      scheduler: this.node(1).machine.scheduler,
    });
    await this.run(operations.moveRange(key, dst));
    await this.until(`the range is in group ${dst}`, () =>
      this.nodes.every(({ process }) => process?.node.kv.groupOf(key) === dst),
    );
  }
}

/** True at the catalog's leader when every move has been cleaned up. */
const hasNoJobs = (process: ClusterNode['process']): boolean => process?.node.catalogLeader.state?.jobs.size === 0;

const ONE = groupId(1);
const TWO = groupId(2);
const THREE = groupId(3);
const ALL_SLOTS = [{ slots: '0-16383' }];
const SOME_KEY = Buffer.from([0x72, 0, 0x10, 0]);

describe('groups of a running cluster', () => {
  test('lead where they should, from the first moment', async () => {
    const cluster = new Cluster(3, 5);
    cluster.start();
    await cluster.ready();
    const leaders = [1, 2, 3, 4, 5, 6].map((id) => cluster.leaderOf(groupId(id)));
    assert.deepEqual(leaders, [1, 2, 3, 1, 2, 3]);
  });

  test('wait a moment for a preferred leader that starts late, and not for ever', async () => {
    const late = new Cluster(3, 2);
    late.node(1).start();
    late.node(2).start();
    await late.simulation.runFor(2500);
    assert.equal(late.leaderOf(THREE), undefined);
    late.node(3).start();
    await late.ready();
    assert.deepEqual(
      [1, 2, 3].map((id) => late.leaderOf(groupId(id))),
      [1, 2, 3],
    );

    const never = new Cluster(3, 2);
    never.node(1).start();
    never.node(2).start();
    await never.until('the others lead', () => never.leaderOf(THREE) !== undefined);
  });

  test('have replicas on their voters alone, and a node that has none serves clients all the same', async () => {
    const cluster = new Cluster(4, [
      { id: 1, voters: [1, 2, 3] },
      { id: 2, voters: [2], ranges: ALL_SLOTS },
    ]);
    cluster.start();
    await cluster.ready();
    assert.deepEqual(cluster.hosts(ONE), [1, 2, 3]);
    assert.deepEqual(cluster.hosts(TWO), [2]);
    assert.equal(await cluster.command(4, 'set', 'k', 'v'), 'OK');
    assert.equal(await cluster.command(1, 'get', 'k'), 'v');
    assert.deepEqual(cluster.running(4).status().groups, []);
  });

  test('are made, filled, emptied and removed, and leave nothing behind', async () => {
    const cluster = new Cluster(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }]);
    cluster.start();
    await cluster.ready();
    await cluster.known();
    await cluster.command(1, 'set', 'before', 'x');
    const row = await cluster.run(
      cluster
        .running(3)
        .catalog.run({ kind: 'createGroup', id: THREE, founders: [nodeId(1), nodeId(2)], preferredLeader: nodeId(2) }),
    );
    assert.equal(row.state, 'ACTIVE');
    await cluster.until('the new group leads', () => cluster.leaderOf(THREE) === 2);
    assert.deepEqual(cluster.hosts(THREE), [1, 2]);

    await cluster.move(SOME_KEY, THREE);
    assert.equal(await cluster.command(3, 'get', 'before'), 'x', 'the values came along');
    assert.equal(await cluster.command(3, 'set', 'after', 'y'), 'OK');

    // Everybody loses power: what the catalog gave away must be found where it is.
    for (const node of cluster.nodes) node.crash(true);
    cluster.start();
    await cluster.ready();
    await cluster.until('the made group is back', () => cluster.hosts(THREE).length === 2);
    assert.equal(await cluster.command(3, 'get', 'after'), 'y');

    await cluster.move(SOME_KEY, TWO);
    assert.equal(await cluster.command(3, 'get', 'after'), 'y');
    const { catalog } = cluster.running(1);
    await cluster.until('no job is under way', () => cluster.nodes.some(({ process }) => hasNoJobs(process)));
    await cluster.run(catalog.run({ kind: 'removeGroup', id: THREE }));
    await cluster.until('the replicas are gone', () => cluster.hosts(THREE).length === 0);
    await cluster.simulation.runFor(1000);
    for (const node of cluster.nodes) {
      assert.ok(!node.process?.logStore.groups().includes(THREE));
      assert.equal(await node.hasStore(THREE), false);
      assert.equal(await node.hasStore(TWO), true);
    }
    for (const node of cluster.nodes) node.crash(true);
    cluster.start();
    await cluster.ready();
    await cluster.simulation.runFor(3000);
    assert.deepEqual(cluster.hosts(THREE), []);
    assert.equal(await cluster.command(1, 'get', 'before'), 'x');
  });

  test('know their founders again after a crash at any moment of their making', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const cluster = new Cluster(3, [{ id: 1 }, { id: 2, ranges: ALL_SLOTS }], seed);
      cluster.start();
      await cluster.ready();
      await cluster.known();
      const founders = [nodeId(1), nodeId(2), nodeId(3)];
      const made = cluster
        .running(1)
        .catalog.run({ kind: 'createGroup', id: THREE, founders, preferredLeader: undefined });
      await cluster.run(made);
      await cluster.simulation.runFor(seed * 110);
      for (const node of cluster.nodes) node.crash(seed % 2 === 0);
      cluster.start();
      await cluster.ready();
      await cluster.until(`seed ${seed}: the group leads`, () => cluster.leaderOf(THREE) !== undefined);
      assert.deepEqual(cluster.hosts(THREE), [1, 2, 3]);
    }
  });

  test('open an empty replica on a node that they take in', async () => {
    const cluster = new Cluster(3, [{ id: 1 }, { id: 2, voters: [1, 2], ranges: ALL_SLOTS }]);
    cluster.start();
    await cluster.ready();
    await cluster.command(1, 'set', 'k', 'v');
    const leader = cluster.node(cluster.leaderOf(TWO)!);
    const raftOfLeader = leader.raft(TWO)!;
    await cluster.run(raftOfLeader.changeMembership([{ kind: 'addLearner', nodeId: nodeId(3) }], Buffer.alloc(0)));
    await cluster.until('node 3 has caught up', () => {
      const raft = cluster.node(3).raft(TWO);
      return raft !== undefined && raft.status().appliedIndex >= raftOfLeader.status().commitIndex;
    });
    assert.deepEqual(cluster.hosts(TWO), [1, 2, 3]);
  });
});
