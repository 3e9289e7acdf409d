/** Whole nodes on simulated machines, for tests that act on them. */
import assert from 'node:assert/strict';
import type { GroupsSetting } from '../../src/config/index.ts';
import { type GroupId, SeededRandom, SimFabric, Simulation } from '../../src/platform/index.ts';
import { Role } from '../../src/raftengine/core/types.ts';
import { ClusterNode, type ClusterNodeOptions } from '../sim/cluster/cluster-node.ts';
import { drawPlan, type Plan } from '../sim/cluster/plan.ts';
import type { SimRedis } from '../sim/cluster/sim-redis.ts';

const PATIENCE_MS = 60_000;

/** What differs from one test to the next, beside groups and chance. */
interface NodesTraits {
  /** Parts of the nodes' plan instead of what a seed draws. */
  readonly plan?: Partial<Plan>;
  /** How long anything may take, in simulated milliseconds. */
  readonly patienceMs?: number;
}

/** See the top of the file. */
export class SimulatedNodes {
  readonly simulation: Simulation;
  readonly fabric: SimFabric;
  readonly nodes: ClusterNode[] = [];
  /** What is to happen when a node does something that it must not. */
  onViolation: (violation: Error) => void = (violation) => {
    throw violation;
  };
  private readonly patienceMs: number;

  constructor(
    count: number,
    groups: GroupsSetting,
    seed = 5,
    parts: ClusterNodeOptions['parts'] = {},
    { plan: traits = {}, patienceMs = PATIENCE_MS }: NodesTraits = {},
  ) {
    this.patienceMs = patienceMs;
    this.simulation = new Simulation({ seed });
    this.fabric = new SimFabric(this.simulation);
    const random = new SeededRandom(seed);
    const { kv: _, ...plan } = drawPlan(seed, { nodes: count, faults: [], workloads: [] });
    for (let id = 1; id <= count; id++) {
      this.nodes.push(
        new ClusterNode({
          simulation: this.simulation,
          fabric: this.fabric,
          plan: {
            ...plan,
            groups,
            storeLimits: {},
            limits: {},
            diskSlowness: 1,
            kv: {},
            commandTimeoutMs: 5000,
            ...traits,
          },
          id,
          random: random.fork(id),
          parts,
          onViolation: (violation) => this.onViolation(violation),
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
    return this.simulation.runToEnd(promise, this.patienceMs);
  }

  /** Lets time pass until something is so. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const endMs = this.simulation.nowMs() + this.patienceMs;
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
      'everybody is in the cluster state',
      () => this.running(1).clusterState()?.nodes.length === this.nodes.length,
    );
  }

  /** A feature comes on once every node is known to be able to do it. */
  async active(feature: string): Promise<void> {
    await this.until(`the feature ${feature} is active`, () =>
      this.nodes.every(({ process }) => process?.node.clusterState()?.features.some(({ name }) => name === feature)),
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
    await this.run(this.running(1).admin.move({ key }, dst, undefined, this.patienceMs));
    await this.until(`the range is in group ${dst}`, () =>
      this.nodes.every(({ process }) => process?.node.kv.groupOf(key) === dst),
    );
  }
}
