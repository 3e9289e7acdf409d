/**
 * The composition root of a process: `startNode` gives `assembleNode` the machine, and puts the servers for clients and
 * operators on top.
 */
import { join } from 'node:path';
import pino from 'pino';
import { Registry } from 'prom-client';
import { createAdminService, createKeyServices } from './adapter/grpc/index.ts';
import { MetricsServer } from './adapter/metrics/index.ts';
import { startRedisServer } from './adapter/redis/index.ts';
import { foundingOf, type NodeOptions, storeMemoryBytes } from './config/index.ts';
import { handOver } from './hand-over.ts';
import { assembleNode, type NodeStatus, type Readiness, registerMetrics } from './node/index.ts';
import { KvorumError, nodeId, SystemClock, SystemDisk, SystemRandom, SystemScheduler } from './platform/index.ts';
import { createGrpcNetwork, openDataFolder, WalLogStore } from './raftengine/index.ts';

export {
  type AssembledNode,
  assembleNode,
  type HostedGroup,
  type NodeParts,
  type NodeStatus,
} from './node/index.ts';

/** A node in service. */
export interface RunningNode {
  /** What it listens on, `host:port` each. */
  readonly addresses: { readonly redis: string; readonly grpc: string; readonly metrics: string };
  status(): NodeStatus;
  /** Whether clients are served, and if not, why. */
  readiness(): Readiness;
  /** Leaves service and gives everything back; a second start finds the data again. */
  stop(): Promise<void>;
}

/**
 * Starts a node of this process and serves clients.
 * @param version of the program, for operators
 * @throws KvorumError when the data folder is in use, belongs to another node or is corrupt; the system's error when an
 *   address cannot be bound
 */
export async function startNode(options: NodeOptions, version: string): Promise<RunningNode> {
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
    const members = options.members.length > 0 ? options.members : [{ nodeId: options.nodeId, address: ownAddress }];
    const { founding } = foundingOf(
      options.groups,
      members.map((member) => member.nodeId),
    );
    const node = await assembleNode({
      clock,
      random,
      scheduler,
      network,
      logStore,
      store: { location: join(folder.path, 'group') },
      storeMemoryBytes: options.storeMemoryBytes > 0 ? options.storeMemoryBytes : storeMemoryBytes(),
      members,
      founding,
      joins: options.joins,
      locality: options.locality ?? '',
      incarnation: Buffer.from(folder.identity.incarnation, 'hex'),
      version,
      address: members.find((member) => member.nodeId === options.nodeId)?.address ?? ownAddress,
      limits: options.raft,
      retentionMs: options.retentionMs,
      onFatal,
      onBalance: ({ duty, event, text }) => {
        const isWrong = event === 'failed' || event === 'overdue';
        logger[isWrong ? 'warn' : 'info']({ rule: duty, event }, `balancing: ${event}: ${text}`);
      },
      onBackgroundError: (error) => logger.warn({ err: error }, 'background work failed and will be tried again'),
    });
    opened.push(() => node.stop());
    const admin = createAdminService(node.admin);
    admin.addTo(network.server);
    opened.push(async () => admin.close());
    const keys = createKeyServices({ kv: node.kv, clock, scheduler, random });
    keys.addTo(network.server);
    opened.push(() => keys.close());
    const redis = await startRedisServer({
      kv: node.kv,
      host: options.redis.host,
      port: options.redis.port,
      clock,
      scheduler,
      random,
      logger,
      // Every acknowledged write is on a majority, the leader included; groups may have different numbers of voters.
      quorumReplicas: () => Math.min(...founding.groups.map(({ voters }) => Math.floor(voters.length / 2))),
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
    const metrics = new MetricsServer({ ...options.metrics, registry, readiness: () => node.readiness() });
    const metricsAddress = await metrics.start();
    opened.push(() => metrics.stop());
    return {
      addresses: {
        redis: `${options.redis.host}:${redis.port}`,
        grpc: `${options.grpc.host}:${network.port}`,
        metrics: metricsAddress,
      },
      status: () => node.status(),
      readiness: () => node.readiness(),
      stop: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}
