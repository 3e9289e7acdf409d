/**
 * The composition root: what a node is made of, top to bottom. `assembleNode` puts the parts together on any platform, real
 * or simulated; `startNode` gives it the machine.
 */
import { join } from 'node:path';
import pino from 'pino';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { MetricsServer, type Readiness } from './adapter/metrics/index.ts';
import { counterClassOf, counterRangeOf, startRedisServer } from './adapter/redis/index.ts';
import type { NodeOptions } from './config/index.ts';
import { handOver } from './hand-over.ts';
import { createKvService, GroupStateMachine, Hlc, type KvServiceOptions, type NodeKvService } from './kv/index.ts';
import {
  type Clock,
  type GroupId,
  groupId,
  KvorumError,
  nodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
  SystemClock,
  SystemDisk,
  SystemRandom,
  SystemScheduler,
} from './platform/index.ts';
import {
  type ConfState,
  createGrpcNetwork,
  type EngineLimits,
  type GroupStatus,
  type LogStore,
  openDataFolder,
  RaftEngine,
  WalLogStore,
} from './raftengine/index.ts';
import { type GroupStore, type GroupStoreOptions, openGroupStore } from './store/index.ts';

/** The one group that holds all data. */
export const DEFAULT_GROUP: GroupId = groupId(1);

/** Everything that a node needs from the world outside. */
export interface NodeParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly network: PeerNetwork;
  readonly logStore: LogStore;
  /** Where the group's database is, and how to open it. */
  readonly store: Pick<GroupStoreOptions, 'location' | 'openLevel' | 'folders' | 'limits'>;
  readonly members: readonly { readonly nodeId: number; readonly address: string }[];
  /** The node founds nothing: it waits until the members of a running cluster take it in. */
  readonly joins?: boolean;
  readonly limits: Partial<EngineLimits>;
  readonly retentionMs: number;
  /** Bounds and periods of the key-value layer that differ from the defaults. */
  readonly kv?: Pick<KvServiceOptions, 'limits' | 'maintenance'>;
  /** The node can promise nothing any more: its log or its store failed. */
  readonly onFatal: (error: Error) => void;
  /** Something in the background failed and will be tried again. */
  readonly onBackgroundError: (error: unknown) => void;
}

/** A node without its client-facing servers. */
export interface AssembledNode {
  readonly kv: NodeKvService;
  readonly engine: RaftEngine;
  readonly store: GroupStore;
  status(): NodeStatus;
  /** Stops in order; everything that was acknowledged is durable already. Neither network nor log store are closed. */
  stop(): Promise<void>;
}

export interface NodeStatus {
  readonly groups: readonly GroupStatus[];
}

/** Puts a node together and starts it; the network must not be started yet. */
export async function assembleNode(parts: NodeParts): Promise<AssembledNode> {
  const { clock, random, scheduler, network } = parts;
  const conf: ConfState = {
    voters: parts.joins === true ? [] : parts.members.map((member) => nodeId(member.nodeId)).sort((a, b) => a - b),
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  for (const member of parts.members) {
    if (member.nodeId !== network.self) network.setPeer(nodeId(member.nodeId), member.address);
  }
  const store = await openGroupStore({
    ...parts.store,
    clock,
    scheduler,
    counterClassOf,
    counterRangeOf,
    onFailure: parts.onFatal,
  });
  const stateMachine = new GroupStateMachine({ store, initialConf: conf });
  const engine = new RaftEngine({
    nodeId: network.self,
    clock,
    random,
    scheduler,
    network,
    logStore: parts.logStore,
    limits: parts.limits,
    peerAddresses: {
      lookup: (peer) => parts.members.find((member) => member.nodeId === peer)?.address,
      learned: (peer, address) => network.setPeer(peer, address),
    },
    onFatal: parts.onFatal,
  });
  const raft = engine.addGroup({
    groupId: DEFAULT_GROUP,
    stateMachine,
    ...(parts.joins === true ? {} : { bootstrap: conf }),
  });
  const kv = createKvService({
    groups: [{ raft, stateMachine, store }],
    route: () => DEFAULT_GROUP,
    network,
    clock,
    scheduler,
    random,
    hlc: new Hlc(clock),
    limits: parts.kv?.limits ?? {},
    maintenance: { ...parts.kv?.maintenance, retentionMs: parts.retentionMs },
    onBackgroundError: parts.onBackgroundError,
  });
  await network.start();
  engine.start();
  kv.start();
  return {
    kv,
    engine,
    store,
    status: () => ({ groups: engine.groups().map((group) => group.status()) }),
    async stop() {
      await kv.close();
      await engine.stop();
      await stateMachine.close();
    },
  };
}

/** A node in service. */
export interface RunningNode {
  /** What it listens on, `host:port` each. */
  readonly addresses: { readonly redis: string; readonly grpc: string; readonly metrics: string };
  status(): NodeStatus;
  /** Leaves service and gives everything back; a second start finds the data again. */
  stop(): Promise<void>;
}

/** Ready means: every group has a leader that this node knows, so that a client's command will find its way. */
function readinessOf(node: AssembledNode): Readiness {
  const { groups } = node.status();
  const leaderless = groups.filter(({ leader }) => leader === undefined).map(({ groupId: id }) => id);
  return leaderless.length === 0
    ? { ready: true, reason: 'ready' }
    : { ready: false, reason: `no leader is known for group ${leaderless.join(', ')}` };
}

function registerMetrics(registry: Registry, node: AssembledNode): void {
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, value: (group: GroupStatus) => number): void => {
    const instrument = new Gauge({
      name,
      help,
      labelNames: ['group'],
      registers: [registry],
      collect() {
        for (const group of node.status().groups) instrument.set({ group: String(group.groupId) }, value(group));
      },
    });
  };
  gauge('kvorum_raft_leader', 'Whether this node leads the group', (group) => (group.role === 'leader' ? 1 : 0));
  gauge('kvorum_raft_term', 'Current term', (group) => group.term);
  gauge('kvorum_raft_commit_index', 'Highest index known to be committed', (group) => group.commitIndex);
  gauge('kvorum_raft_applied_index', 'Highest index applied here', (group) => group.appliedIndex);
  gauge('kvorum_raft_log_entries', 'Entries held in the log', (group) => group.lastIndex - group.firstIndex + 1);
}

/**
 * Starts a node of this process and serves clients.
 * @throws KvorumError when the data folder is in use, belongs to another node or is corrupt; the system's error when an
 *   address cannot be bound
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const logger = pino({ level: options.logLevel, base: { node: options.nodeId } }, pino.destination(2));
  const clock = new SystemClock();
  const random = new SystemRandom();
  const scheduler = new SystemScheduler();
  const onFatal = (error: Error): void => {
    const code = error instanceof KvorumError ? error.code : 'INTERNAL';
    logger.fatal({ code, err: error }, `the node stops: ${error.message}`);
    // Nothing that is still in memory may be acknowledged; what was acknowledged is on disk.
    process.exit(1);
  };
  const folder = await openDataFolder({
    folder: options.dataFolder,
    nodeId: nodeId(options.nodeId),
    clusterName: options.clusterName,
    random,
  });
  // What has been opened, newest last, so that a failed start gives back the lock and the ports.
  const opened: (() => Promise<void>)[] = [() => folder.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.reverse()) await close();
  };
  try {
    const logStore = await WalLogStore.open({ disk: new SystemDisk(), folder: join(folder.path, 'log'), random });
    opened.push(() => logStore.close());
    const network = createGrpcNetwork({
      self: folder.identity.nodeId,
      clusterName: options.clusterName,
      incarnation: folder.identity.incarnation,
      listen: options.grpc,
      clock,
      random,
      scheduler,
      logger,
    });
    opened.push(() => network.stop());
    const ownAddress = `${options.grpc.host}:${options.grpc.port}`;
    const node = await assembleNode({
      clock,
      random,
      scheduler,
      network,
      logStore,
      store: { location: join(folder.path, `group-${DEFAULT_GROUP}`) },
      members: options.members.length > 0 ? options.members : [{ nodeId: options.nodeId, address: ownAddress }],
      limits: options.raft,
      retentionMs: options.retentionMs,
      onFatal,
      onBackgroundError: (error) => logger.warn({ err: error }, 'background work failed and will be tried again'),
    });
    opened.push(() => node.stop());
    const redis = await startRedisServer({
      kv: node.kv,
      host: options.redis.host,
      port: options.redis.port,
      clock,
      scheduler,
      random,
      logger,
      // Every acknowledged write is on a majority, the leader included.
      quorumReplicas: () => Math.floor(Math.max(1, options.members.length) / 2),
      handOver: () => handOver(node.engine.groups()),
      config: {
        ...(options.redis.maxBulkBytes === undefined ? {} : { maxBulkBytes: options.redis.maxBulkBytes }),
        ...(options.redis.maxClients === undefined ? {} : { maxClients: options.redis.maxClients }),
        debugCommands: options.redis.enableDebugCommand ?? false,
      },
    });
    opened.push(() => redis.stop());
    const registry = new Registry();
    registerMetrics(registry, node);
    const metrics = new MetricsServer({ ...options.metrics, registry, readiness: () => readinessOf(node) });
    const metricsAddress = await metrics.start();
    opened.push(() => metrics.stop());
    return {
      addresses: {
        redis: `${options.redis.host}:${redis.port}`,
        grpc: `${options.grpc.host}:${network.port}`,
        metrics: metricsAddress,
      },
      status: () => node.status(),
      stop: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}
