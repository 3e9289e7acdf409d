/** Engines on simulated machines: real write-ahead log, virtual time, one seed. */
import assert from 'node:assert/strict';
import { type GroupId, groupId, type NodeId, nodeId } from '../../src/platform/index.ts';
import { SimFabric, SimMachine, Simulation } from '../../src/platform/simulated/index.ts';
import type { EngineLimits } from '../../src/raftengine/contract/limits.ts';
import type { ProposalOutcome, RaftGroup } from '../../src/raftengine/contract/types.ts';
import { type ConfState, Role } from '../../src/raftengine/core/types.ts';
import { RaftEngine } from '../../src/raftengine/engine/engine.ts';
import { NodeRecord } from '../../src/raftengine/founding/node-record.ts';
import { WalLogStore } from '../../src/raftengine/log/wal-log-store.ts';
import type { SentSnapshot } from '../../src/raftengine/snapshot/snapshot-transfer.ts';
import { type Durable, emptyDurable, ListMachine } from './list-machine.ts';

export const GROUP = groupId(1);
/** The data folder of every node, and whose it is. */
const FOLDER = 'node';
const INCARNATION = '0'.repeat(32);

export function votersOf(...ids: number[]): ConfState {
  return { voters: ids.map(nodeId), votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}

export interface ClusterOptions {
  readonly seed?: number;
  readonly limits?: Partial<EngineLimits>;
  readonly groups?: readonly GroupId[];
  readonly founders?: readonly number[];
}

export class EngineNode {
  readonly cluster: SimulatedEngines;
  readonly machine: SimMachine;
  readonly durable = new Map<GroupId, Durable>();
  readonly stateMachines = new Map<GroupId, ListMachine>();
  readonly fatal: Error[] = [];
  readonly failedReplicas: GroupId[] = [];
  readonly snapshotFailures: string[] = [];
  readonly sent: SentSnapshot[] = [];
  store!: WalLogStore;
  engine!: RaftEngine;
  record!: NodeRecord;
  isUp = false;

  constructor(cluster: SimulatedEngines, id: number) {
    this.cluster = cluster;
    this.machine = new SimMachine(cluster.fabric, nodeId(id));
  }

  get id(): NodeId {
    return this.machine.nodeId;
  }

  get group(): RaftGroup {
    return this.groupAt(GROUP);
  }

  get list(): ListMachine {
    return this.stateMachines.get(GROUP)!;
  }

  groupAt(id: GroupId): RaftGroup {
    const group = this.engine.group(id);
    assert(group !== undefined);
    return group;
  }

  /** What the node does not forget beside its log. */
  async openRecord(): Promise<NodeRecord> {
    const { disk } = this.machine;
    await disk.makeFolder(FOLDER);
    return NodeRecord.open({ disk, folder: FOLDER, incarnation: INCARNATION });
  }

  async openLog(): Promise<NodeRecord> {
    const { random, disk } = this.machine;
    const record = await this.openRecord();
    this.store = await WalLogStore.open({ disk, folder: `${FOLDER}/log`, random, record, segmentBytes: 1024 * 1024 });
    return record;
  }

  /** Starts the process over what the machine's disk holds. @param bootstrap undefined for a node that joins */
  async start(groups: readonly GroupId[], bootstrap: ConfState | undefined): Promise<void> {
    const { clock, random, scheduler, network } = this.machine;
    this.record = await this.openLog();
    this.engine = new RaftEngine({
      nodeId: this.id,
      clock,
      random,
      scheduler,
      network,
      logStore: this.store,
      installs: this.record.installs((error) => this.fatal.push(error as Error)),
      limits: this.cluster.limits,
      peerAddresses: { lookup: (peer) => `node${peer}`, learned: () => {} },
      observer: {
        snapshotFailed: (_group, _peer, error) => this.snapshotFailures.push(error.message),
        snapshotSent: (sent) => this.sent.push(sent),
      },
      onFatal: (error) => this.fatal.push(error),
      onReplicaFailed: (id) => this.failedReplicas.push(id),
    });
    for (const id of groups) {
      const durable = this.durable.get(id) ?? emptyDurable();
      this.durable.set(id, durable);
      const stateMachine = new ListMachine(durable);
      this.stateMachines.set(id, stateMachine);
      this.engine.addGroup({ groupId: id, stateMachine, bootstrap });
    }
    await network.start();
    this.engine.start();
    this.isUp = true;
  }

  crash(losePower = true): void {
    this.isUp = false;
    this.machine.crash({ losePower });
  }

  /** Proposes and gives the outcome; it must not come before `propose` returned. */
  propose(text: string, id: GroupId = GROUP): Promise<ProposalOutcome> {
    return new Promise((resolve) => {
      let returned = false;
      this.groupAt(id).propose(Buffer.from(text), (outcome) => {
        assert(returned, 'an outcome never comes inside propose');
        resolve(outcome);
      });
      returned = true;
    });
  }
}

export class SimulatedEngines {
  readonly simulation: Simulation;
  readonly fabric: SimFabric;
  readonly limits: Partial<EngineLimits>;
  readonly groups: readonly GroupId[];
  readonly founders: ConfState;
  readonly nodes = new Map<number, EngineNode>();

  private constructor(options: ClusterOptions) {
    this.simulation = new Simulation({ seed: options.seed ?? 1 });
    this.fabric = new SimFabric(this.simulation);
    this.limits = options.limits ?? {};
    this.groups = options.groups ?? [GROUP];
    this.founders = votersOf(...(options.founders ?? [1, 2, 3]));
  }

  /** A cluster of which one follower is down and has missed more than the log holds. @param limits of a short log */
  static async withStraggler(limits: Partial<EngineLimits>) {
    const cluster = await SimulatedEngines.found({ limits });
    const leader = await cluster.serving();
    const follower = cluster.up().find((node) => node !== leader)!;
    follower.crash();
    await cluster.proposeAll(leader, 400, 'v');
    await cluster.until(() => leader.group.status().firstIndex > 100);
    return { cluster, leader, follower };
  }

  static async found(options: ClusterOptions = {}): Promise<SimulatedEngines> {
    const cluster = new SimulatedEngines(options);
    for (const id of cluster.founders.voters) cluster.nodes.set(id, new EngineNode(cluster, id));
    for (const node of cluster.nodes.values()) {
      await cluster.simulation.runToEnd(node.start(cluster.groups, cluster.founders));
    }
    return cluster;
  }

  node(id: number): EngineNode {
    const node = this.nodes.get(id);
    assert(node !== undefined);
    return node;
  }

  /** A new machine that waits to be taken in. */
  async join(id: number): Promise<EngineNode> {
    const node = new EngineNode(this, id);
    this.nodes.set(id, node);
    await this.simulation.runToEnd(node.start(this.groups, undefined));
    // Whom it may ask; suffrage comes from the log alone.
    for (const founder of this.founders.voters) node.machine.network.setPeer(founder, `node${founder}`);
    return node;
  }

  async restart(id: number): Promise<void> {
    await this.simulation.runToEnd(this.node(id).start(this.groups, this.founders));
  }

  up(): EngineNode[] {
    return [...this.nodes.values()].filter((node) => node.isUp);
  }

  leaderOf(id: GroupId = GROUP): EngineNode | undefined {
    const leaders = this.up().filter((node) => node.engine.group(id)?.status().role === Role.Leader);
    return leaders.sort((a, b) => b.groupAt(id).status().term - a.groupAt(id).status().term)[0];
  }

  /** Waits for a leader that serves. */
  async serving(id: GroupId = GROUP, within: readonly EngineNode[] = this.up()): Promise<EngineNode> {
    const find = (): EngineNode | undefined =>
      within.find(
        (node) =>
          node.stateMachines.get(id)!.leadership.at(-1)?.kind === 'serving' &&
          node.groupAt(id).status().role === Role.Leader,
      );
    await this.until(() => find() !== undefined);
    return find()!;
  }

  until(condition: () => boolean, withinMs = 60_000): Promise<void> {
    return this.simulation.runUntil(condition, withinMs);
  }

  /** Proposes on a node and runs until the outcome is there. */
  propose(node: EngineNode, text: string): Promise<ProposalOutcome> {
    return this.simulation.runToEnd(node.propose(text));
  }

  /** Proposes many at once and runs until all outcomes are there. */
  async proposeAll(node: EngineNode, count: number, prefix: string): Promise<ProposalOutcome[]> {
    const outcomes: ProposalOutcome[] = [];
    for (let at = 0; at < count; at += 100) {
      const batch = Array.from({ length: Math.min(100, count - at) }, (_, next) =>
        node.propose(`${prefix}${at + next}`),
      );
      outcomes.push(...(await this.simulation.runToEnd(Promise.all(batch))));
    }
    return outcomes;
  }

  /** Every state machine holds the same values. */
  agreed(nodes: readonly EngineNode[] = this.up()): boolean {
    const first = JSON.stringify(nodes[0]!.list.values);
    return nodes.every((node) => JSON.stringify(node.list.values) === first);
  }
}
