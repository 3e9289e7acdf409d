/** Engines on simulated machines with an admin backend on each, and one catalog that plans as the real one does. */

import { createAdminBackend } from '../../../src/cluster/admin/backend.ts';
import type { AdminBackend } from '../../../src/cluster/contract/admin.ts';
import type { CatalogClient, CatalogReply, CatalogRequest } from '../../../src/cluster/contract/catalog.ts';
import { type CatalogOp, planCatalog } from '../../../src/distribution/catalog/catalog.ts';
import {
  advanceCatalog,
  type CatalogState,
  clusterStateOf,
  EMPTY_CATALOG,
} from '../../../src/distribution/catalog/catalog-state.ts';
import { DEFAULT_RETENTION } from '../../../src/distribution/catalog/change-log.ts';
import { RouteEngine } from '../../../src/distribution/routes/route-engine.ts';
import { LeaderUnavailableError } from '../../../src/kv/contract/errors.ts';
import { type ForwardHandler, wholeAnswer } from '../../../src/kv/contract/service.ts';
import type { TxnClient } from '../../../src/kv/contract/txn.ts';
import { type GroupId, groupId, KvorumError, nodeId, timestampOfMs } from '../../../src/platform/index.ts';
import { emptyDurable, ListMachine } from '../../support/list-machine.ts';
import { type ClusterOptions, type EngineNode, SimulatedEngines } from '../../support/simulated-engines.ts';

/** The catalog of a test: every operation is planned by the real planner and done at once. */
export class PlannedCatalog implements CatalogClient {
  state: CatalogState = EMPTY_CATALOG;
  /** Hears of every new state. */
  readonly listeners: (() => void)[] = [];
  readonly requests: CatalogRequest[] = [];
  /** Nobody answers. */
  isAway = false;
  /** Runs before the next request, once: somebody else is faster. */
  before: (() => Promise<void> | void) | undefined;
  nowMs = 1_000_000;

  /** @throws CatalogError */
  apply<Op extends CatalogOp>(op: Op) {
    this.nowMs += 1;
    const plan = planCatalog(this.state, op, {
      nowMs: this.nowMs,
      slowestCursor: undefined,
      retention: DEFAULT_RETENTION,
    });
    if (plan instanceof Error) throw plan;
    this.state = advanceCatalog(this.state, plan.mutations);
    for (const listener of this.listeners) listener();
    return plan.result;
  }

  /** What a driver would do with a job that nothing stands in the way of. */
  finishMove(jobId: number): void {
    for (const phase of ['PREP_TARGET', 'ARM_SOURCE', 'BACKFILL', 'CATCH_UP', 'FENCE', 'RELEASE', 'PUBLISH'] as const) {
      const expectedRevision = this.state.jobs.get(jobId)!.revision;
      const answered = phase === 'PUBLISH' ? { spanEpoch: 2 } : {};
      this.apply({ kind: 'transitionJob', jobId, expectedRevision, phase, ...answered });
    }
    this.apply({ kind: 'setGroup', jobId, expectedRevision: this.state.jobs.get(jobId)!.revision });
    const expectedRevision = this.state.jobs.get(jobId)!.revision;
    this.apply({ kind: 'transitionJob', jobId, expectedRevision, phase: 'DONE' });
  }

  async run<Request extends CatalogRequest>(request: Request): Promise<CatalogReply<Request>> {
    this.checkHere();
    const { before } = this;
    this.before = undefined;
    await before?.();
    this.requests.push(request);
    return this.apply(request as CatalogOp) as CatalogReply<Request>;
  }

  async jobs() {
    this.checkHere();
    const finished = this.state.finished.map(({ job }) => job).reverse();
    return [...this.state.jobs.values(), ...finished];
  }

  async clusterState() {
    this.checkHere();
    return clusterStateOf(this.state);
  }

  private checkHere(): void {
    if (this.isAway) throw new LeaderUnavailableError('no leader of the catalog could be reached');
  }
}

/** Nobody holds locks here. */
const NO_TRANSACTIONS = new Proxy({}, { get: () => () => Promise.reject(new Error('no transactions')) }) as TxnClient;

/** See the top of the file. */
export class AdminCluster {
  /** Data folders that every node has met, beside what the catalog knows. */
  readonly met = new Map<number, string>();
  readonly sim: SimulatedEngines;
  readonly catalog = new PlannedCatalog();
  readonly backends = new Map<number, AdminBackend>();
  readonly directories = new Map<number, RouteEngine>();
  private readonly handlers = new Map<number, ForwardHandler>();
  /** What ranges take on disk, by the key that they start with. */
  readonly rangeBytes = new Map<string, number>();
  /** Nodes whose directory does not learn of new versions. */
  readonly deaf = new Set<number>();

  private constructor(sim: SimulatedEngines) {
    this.sim = sim;
    this.catalog.listeners.push(() => this.publish());
  }

  static async found(options: ClusterOptions = {}): Promise<AdminCluster> {
    const sim = await SimulatedEngines.found(options);
    const cluster = new AdminCluster(sim);
    const founders = sim.founders.voters;
    for (const id of founders) cluster.attach(sim.node(id));
    cluster.catalog.apply({
      kind: 'bootstrap',
      incarnation: 9,
      catalogGroup: groupId(1),
      groups: sim.groups.map((id) => ({ id, founders, preferredLeader: undefined })),
      ranges: [{ start: Buffer.alloc(0), end: undefined, groupId: groupId(1) }],
    });
    for (const id of founders) cluster.introduce(id);
    for (const group of sim.groups) await sim.serving(group);
    return cluster;
  }

  /** A process that hosts nothing yet; the others know where it is, as they would from the change that takes it in. */
  async start(id: number): Promise<EngineNode> {
    const node = await this.sim.join(id);
    this.attach(node);
    for (const other of this.sim.nodes.values()) {
      other.machine.network.setPeer(nodeId(id), `node${id}`);
      if (other !== node) node.machine.network.setPeer(other.id, `node${other.id}`);
    }
    return node;
  }

  /** The catalog hears of a node. */
  introduce(id: number, life = id): void {
    const node = {
      nodeId: nodeId(id),
      incarnation: Buffer.alloc(16, life),
      address: `node${id}:50051`,
      locality: '',
      capabilities: 1n,
      heartbeatMs: this.sim.node(this.sim.founders.voters[0]!).machine.clock.nowMs(),
      leaderCount: 0,
      replicaCount: 1,
      storedBytes: 10,
    };
    this.catalog.apply({ kind: 'putNode', node, expectedRevision: undefined });
  }

  private attach(node: EngineNode): void {
    const { clock, scheduler, network } = node.machine;
    const routes = new RouteEngine(0);
    this.directories.set(node.id, routes);
    if (this.catalog.state.meta !== undefined) routes.publish(this.catalog.state.routes);
    const backend = createAdminBackend({
      balance: () => Promise.reject(new Error('nobody balances here')),
      gc: {
        status: () => Promise.reject(new Error('nobody collects here')),
        runNow: () => Promise.reject(new Error('nobody collects here')),
      },
      backups: () => ({
        view: () => Promise.reject(new Error('nobody makes backups here')),
        create: () => Promise.reject(new Error('nobody makes backups here')),
      }),
      oracleStatus: () => Promise.reject(new Error('nobody keeps time here')),
      txns: NO_TRANSACTIONS,
      catalogGroup: groupId(1),
      local: {
        incarnation: Buffer.alloc(16, node.id),
        address: `node${node.id}:50051`,
        version: '0.1.0',
        metFolder: (id) => this.met.get(id),
        groups: () => node.engine.groups(),
        rangeBytes: async (_group, start) => this.rangeBytes.get(start.toString('latin1')),
        facts: () => ({ storedBytes: 4096, hlcCeilingMs: 77 }),
        openReplica: async (group) => {
          if (node.engine.group(group) !== undefined) return;
          const durable = emptyDurable();
          node.durable.set(group, durable);
          const stateMachine = new ListMachine(durable);
          node.stateMachines.set(group, stateMachine);
          node.engine.addGroup({ groupId: group, stateMachine });
        },
      },
      kv: {
        nowTs: () => timestampOfMs(this.catalog.nowMs),
        onForward: (_service, handler) => {
          this.handlers.set(node.id, handler);
        },
        forward: (group, _service, payload, deadlineMs, done) => this.forward(node, group, payload, deadlineMs, done),
      },
      network,
      catalog: this.catalog,
      routes,
      clock,
      scheduler,
      maxPromoteLag: this.sim.limits.maxPromoteLag ?? 1024,
      knownNodes: () => this.sim.founders.voters.map((id) => ({ nodeId: id, address: `node${id}:50051` })),
    });
    this.backends.set(node.id, backend);
  }

  /** What `KvService.forward` promises: the leader, wherever it is, and again when it was not it. */
  private forward(
    node: EngineNode,
    group: GroupId,
    payload: Buffer,
    deadlineMs: number,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
  ): void {
    const { clock, scheduler } = node.machine;
    const attempt = (): void => {
      if (clock.monotonicMs() >= deadlineMs) {
        done(new LeaderUnavailableError('no leader could be reached in time; nothing happened'), undefined);
        return;
      }
      const leader = this.sim.leaderOf(group);
      if (leader === undefined) {
        scheduler.after(20, attempt);
        return;
      }
      this.handlers.get(leader.id)!(payload, (error, reply) => {
        const isRetried = error instanceof KvorumError && ['redirect', 'wait'].includes(error.disposition);
        if (isRetried) scheduler.after(20, attempt);
        else done(error, reply && wholeAnswer(reply));
      });
    };
    scheduler.after(1, attempt);
  }

  /** Runs a question at a node to its end. */
  ask<Result>(id: number, question: (backend: AdminBackend) => Promise<Result>): Promise<Result> {
    return this.sim.simulation.runToEnd(question(this.backends.get(id)!));
  }

  /** The handler that a node registered for what leaders are asked. */
  handlerOf(id: number): ForwardHandler {
    return this.handlers.get(id)!;
  }

  publish(): void {
    for (const [id, directory] of this.directories) {
      if (!this.deaf.has(id)) directory.publish(this.catalog.state.routes);
    }
  }
}
