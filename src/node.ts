/**
 * The composition root of a process: `startNode` gives `assembleNode` the machine, and puts the servers for clients and
 * operators on top.
 */
import { stat } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { Registry } from 'prom-client';
import { Credentials, type DynamoServer, openDynamoServer } from './adapter/dynamodb/index.ts';
import {
  AuditTrail,
  createAdminService,
  createKeyServices,
  createSnapshotService,
  guardedServer,
} from './adapter/grpc/index.ts';
import { countingServer, GrpcCounters, MetricsServer, registerMetrics } from './adapter/metrics/index.ts';
import { EvaluationThread, openRedisServer, type RedisServer } from './adapter/redis/index.ts';
import { openObjects, type PlaceKey, parsePlace } from './backup/index.ts';
import {
  ConfigError,
  EXIT_CODES,
  exposureProblems,
  foundingOf,
  logMemoryBytes,
  metricsNote,
  type NodeOptions,
  remarksOn,
  sharedSettings,
} from './config/index.ts';
import { featureStanding, isFeatureActive } from './distribution/index.ts';
import {
  type AssembledNode,
  activityOf,
  announcedHost,
  assembleNode,
  BackgroundLog,
  ClockLog,
  changeLogLevel,
  checkEncryption,
  clockRemark,
  clusterSettings,
  Encryption,
  type EncryptionStatus,
  FolderRefusedError,
  handOver,
  metricSources,
  type NodeStatus,
  OrderlyStop,
  openLoopWatch,
  quorumReplicas,
  type Readiness,
  redisEndpoints,
  redisTopology,
  selfCheckOf,
  shownBalance,
  shownError,
} from './node/index.ts';
import {
  type Clock,
  diskSpaceOf,
  KvorumError,
  MeasuredDisk,
  MeasuredNetwork,
  nodeId,
  physicalMs,
  SystemClock,
  SystemDisk,
  SystemRandom,
  SystemScheduler,
  sleep,
} from './platform/index.ts';
import { createGrpcNetwork, openDataFolder, PeerBook, WalLogStore } from './raftengine/index.ts';
import {
  AccessPolicy,
  CertificateStore,
  ClusterSecret,
  FileRefresher,
  KeySource,
  Passwords,
  Tokens,
} from './security/index.ts';
import { CutThread } from './store/index.ts';

export { type AssembledNode, assembleNode, type HostedGroup, type NodeParts, type NodeStatus } from './node/index.ts';

/** Between attempts at a log file that a full disk has no room for. */
const SPACE_RETRY_MS = 500;
/** How often files with certificates and passwords are read again. */
const SECURITY_REFRESH_MS = 5_000;
/** And how often a command is asked for keys. */
const COMMAND_REFRESH_MS = 300_000;
/** A node that has no place in the cluster tells whoever asks, for so long, before it ends. */
const LAST_WORDS_MS = 1_000;

/** A node in service. */
export interface RunningNode {
  /** What it listens on, `host:port` each. */
  readonly addresses: {
    readonly redis: string;
    /** Undefined without a port for cluster clients. */
    readonly redisCluster: string | undefined;
    /** Undefined: there is no such port. */
    readonly dynamodb: string | undefined;
    readonly grpc: string;
    readonly metrics: string;
  };
  status(): NodeStatus;
  /** Whether clients are served, and if not, why. */
  readiness(): Readiness;
  /** How far what is stored is encrypted; undefined when it is in clear. */
  encryption(): EncryptionStatus | undefined;
  /** Reads certificates, passwords and keys again now; it also happens by itself. What is wrong with them is logged. */
  reloadSecurity(): Promise<void>;
  /** Leaves service so that others notice nothing of it, and gives everything back; a second start finds the data again. */
  stop(): Promise<void>;
}

/** What whoever starts a node has to do with it before it serves. */
export interface NodeStart {
  /** The node takes part in its groups: from now on it is not to end without a stop. */
  readonly onJoined?: () => void;
  /** Aborted by who wants to stop the node: the start waits for nothing more that other nodes have to say. */
  readonly hurry?: AbortSignal;
}

/**
 * Starts a node of this process and serves clients. It takes them when it knows what it needs for that, so that what stands in front of a cluster sends
 * them to other nodes meanwhile.
 * @param version of the program, for operators
 * @throws ConfigError when others could use it without proving who they are, and nobody said that this is meant
 * @throws KvorumError when the data folder is in use, belongs to another node or is corrupt; the system's error when an
 *   address cannot be bound
 */
export async function startNode(options: NodeOptions, version: string, start: NodeStart = {}): Promise<RunningNode> {
  const exposed = exposureProblems(options);
  if (exposed.length > 0) throw new ConfigError(exposed);
  const logger = pino(
    // Of an error only what it says: facts beside it may be keys or values of users.
    { level: options.logLevel, base: { node: options.nodeId }, serializers: { err: shownError } },
    pino.destination(2),
  );
  const clock = new SystemClock();
  const random = new SystemRandom();
  const scheduler = new SystemScheduler();
  const startedMs = clock.monotonicMs();
  const background = new BackgroundLog(logger, clock);
  let clients: RedisServer | undefined;
  /** The same from when it is made, before it takes clients. */
  let front: RedisServer | undefined;
  const onFatal = (error: Error): void => {
    const code = error instanceof KvorumError ? error.code : 'INTERNAL';
    logger.fatal({ code, err: error }, `the node stops: ${error.message}`);
    if (error instanceof FolderRefusedError) {
      // Nobody listens to it any more; who asks here hears why.
      scheduler.after(LAST_WORDS_MS, () => process.exit(EXIT_CODES[error.code]));
      return;
    }
    // Nothing that is still in memory may be acknowledged; what was acknowledged is on disk.
    process.exit(1);
  };
  const security = await openSecurity(options, clock);
  await checkEncryption(options.dataFolder, security.storageKeys);
  const folder = await openDataFolder({
    folder: options.dataFolder,
    nodeId: nodeId(options.nodeId),
    clusterName: options.clusterName,
    random,
    joins: options.joins,
  });
  // What has been opened, newest last, so that a failed start gives back the lock and the ports.
  const opened: (() => Promise<void>)[] = [() => folder.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.reverse()) await close();
  };
  try {
    const encryption = await Encryption.open({
      folder,
      disk: new SystemDisk(),
      clock,
      scheduler,
      random,
      source: security.storageKeys,
      dataKeyDays: options.encryption?.dataKeyDays ?? 0,
      logger,
      onError: background.failed,
    });
    const logDisk = new MeasuredDisk(new SystemDisk(), clock);
    const logStore = await WalLogStore.open({
      disk: logDisk,
      folder: join(folder.path, 'log'),
      random,
      record: folder.record,
      cacheBytes: logMemoryBytes(options.memoryBytes),
      waitForSpace: () => sleep(scheduler, SPACE_RETRY_MS),
      encryption: encryption?.log,
    });
    opened.push(() => logStore.close());
    const network = createGrpcNetwork({
      self: folder.identity.nodeId,
      clusterName: options.clusterName,
      admission: new PeerBook(folder.identity.nodeId, folder.record, background.failed),
      listen: options.grpc,
      clock,
      random,
      scheduler,
      logger,
      tls: security.grpc,
      nodeNames: options.grpc.tls?.nodeNames,
      secret: security.secret,
    });
    opened.push(() => network.stop());
    const measuredNetwork = new MeasuredNetwork(network);
    const grpcCounters = new GrpcCounters();
    const services = guardedServer(countingServer(network.server, grpcCounters, clock), {
      policy: new AccessPolicy({ names: options.grpc.roles, tokens: security.tokens }),
      audit: new AuditTrail(auditLogger(logger), clock),
      clock,
    });
    const ownAddress = `${options.grpc.host}:${options.grpc.port}`;
    const members = options.members.length > 0 ? options.members : [{ nodeId: options.nodeId, address: ownAddress }];
    const { founding } = foundingOf(
      options.groups,
      members.map((member) => member.nodeId),
    );
    const cutter = new CutThread(scheduler, encryption?.dataKeys);
    opened.push(async () => cutter.end());
    const evaluator = new EvaluationThread(scheduler, options.memoryBytes);
    opened.push(async () => evaluator.end());
    const address = members.find((member) => member.nodeId === options.nodeId)?.address ?? ownAddress;
    const redisHost = announcedHost(options.redis, address);
    const endpoints = () => redisEndpoints(redisHost, clients);
    const node = await assembleNode({
      evaluator,
      clock,
      random,
      scheduler,
      network: measuredNetwork,
      logStore,
      store: { location: join(folder.path, 'group'), cutter, ...(encryption && { disk: encryption.disk() }) },
      sealedLevels: encryption?.levels,
      storeMemoryBytes: options.storeMemoryBytes,
      members,
      founding,
      joins: folder.identity.joined,
      locality: options.locality ?? '',
      incarnation: Buffer.from(folder.identity.incarnation, 'hex'),
      record: folder.record,
      version,
      address,
      unknownToClients: () => (front?.users.areKnown === false ? 'who may come in is not known yet' : undefined),
      endpoints,
      limits: {
        ...options.raft,
        ...(options.snapshots === undefined
          ? {}
          : {
              snapshotBytesPerSecond: options.snapshots.bytesPerSecond,
              snapshotsFromFollowers: options.snapshots.fromFollowers,
            }),
      },
      retentionMs: options.retentionMs,
      machine: {
        space: () => diskSpaceOf(folder.path),
        syncMs: logDisk.counters.writeMs,
        isLogOutOfSpace: () => logStore.isOutOfSpace,
        isBusy: () => loadavg()[0]! >= availableParallelism() / 2,
      },
      examine: selfCheckOf({ folder: folder.path, shared: sharedSettings(options), remarks: remarksOn(options) }),
      clusterName: options.clusterName,
      backups: {
        open: (place) => openObjects(parsePlace(place), { disk: new SystemDisk(), random, scheduler }),
        key: () => backupKeyOf(options.backup),
      },
      process: {
        activity: () => activityOf(clients?.counters(), clock.monotonicMs() - startedMs, logger.level),
        logLevel: (level) => changeLogLevel(logger, level),
      },
      onFatal,
      onClusterState: (state) => {
        if (isFeatureActive(state, 'log.marks')) logStore.markFrames();
      },
      onClock: new ClockLog(logger, clock).changed,
      onLeader: (group, leader) => logger.debug({ group, leader }, 'the group is led by another node'),
      onSnapshotSent: (sent) => logger.info(sent, 'a node has got a snapshot'),
      onBalance: (report) => {
        const isWrong = report.event === 'failed' || report.event === 'overdue';
        // The reasons name keys: whoever may see them asks the cluster for its balance.
        logger[isWrong ? 'warn' : 'info'](shownBalance(report), `balancing: ${report.event}`);
      },
      onFoundingWaits: (reason) => logger.warn({}, reason),
      onBackgroundError: background.failed,
    });
    opened.push(() => node.stop());
    encryption?.start(logStore);
    opened.push(async () => encryption?.stop());
    const loop = await openLoopWatch({ mode: options.loopWatch ?? 'off', clock, scheduler, logger });
    loop?.follow({ name: 'apply', takenMs: () => node.engine.counters.applyMs.sum });
    opened.push(async () => loop?.stop());
    const orderly = new OrderlyStop({
      self: network.self,
      departures: node.kv.departures,
      groups: () => node.engine.groups(),
      clusterState: node.clusterState,
      mayLead: (other) => node.fitness.mayLead(other),
      ...{ clock, scheduler, logger },
    });
    // Behind the servers of clients, which are closed before it.
    opened.push(() => orderly.takeLeave());
    start.onJoined?.();
    const readiness = (): Readiness => orderly.readiness(node.readiness());
    const newestMs = Math.max(0, ...node.host.all().map(({ stateMachine }) => physicalMs(stateMachine.maxTs)));
    const odd = clockRemark(newestMs, clock.nowMs());
    if (odd !== undefined) logger.warn({ newestMs }, odd);
    const admin = createAdminService(node.admin, () => clients?.users);
    admin.addTo(services);
    opened.push(async () => admin.close());
    const snapshots = createSnapshotService(node.archive);
    snapshots.addTo(services);
    opened.push(async () => snapshots.close());
    const keys = createKeyServices({
      kv: node.kv,
      clock,
      scheduler,
      random,
      transactions: node.transactions,
      reads: node.reads,
    });
    keys.addTo(services);
    opened.push(() => keys.close());
    const redis = await openRedisServer({
      kv: node.kv,
      transactions: node.transactions,
      reads: node.reads,
      pins: node.storagePressure.pins,
      points: node.reads.points,
      moments: node.reads,
      messages: node.messages,
      tracking: node.tracking,
      asideEvaluator: evaluator,
      clusterSettings: clusterSettings({ ...node, clock, scheduler }),
      features: (feature) => featureStanding(node.clusterState(), feature),
      topology: redisTopology({
        self: network.self,
        clusterName: options.clusterName,
        endpoints,
        clusterState: node.clusterState,
        locationOf: (group) => node.kv.locationOf(group),
        isConnected: (peer) => network.isConnected(peer),
      }),
      host: options.redis.host,
      port: options.redis.port,
      clusterPort: options.redis.clusterPort,
      tls:
        security.redis === undefined || options.redis.tls === undefined
          ? undefined
          : { certificates: security.redis, clientAuth: options.redis.tls.clientAuth },
      passwords: security.passwords,
      operator: security.operator,
      sharesUsers: true,
      userFile: options.redis.aclFile,
      clock,
      scheduler,
      random,
      logger,
      quorumReplicas: () => quorumReplicas(node.engine.groups(), founding),
      handOver: () => handOver(node.engine.groups(), (other) => node.fitness.mayLead(other)),
      debug: node.kv,
      loop,
      config: {
        memoryBytes: options.memoryBytes,
        ...(options.redis.maxBulkBytes === undefined ? {} : { maxBulkBytes: options.redis.maxBulkBytes }),
        ...(options.redis.maxClients === undefined ? {} : { maxClients: options.redis.maxClients }),
        debugCommands: options.redis.enableDebugCommand ?? false,
      },
    });
    front = redis;
    logDisk.onWrite = (tookMs) => redis.logWritten(tookMs);
    opened.push(() => redis.stop());
    const dynamodb = openDynamodb(options, security, node, { clock, scheduler, random, logger, background });
    opened.push(() => dynamodb.stop());
    const registry = new Registry();
    registerMetrics(registry, () =>
      metricSources(node, {
        version,
        redis: redis.counters(),
        dynamodb: dynamodb.counters(),
        grpc: grpcCounters,
        network: measuredNetwork.counters,
        logDisk: logDisk.counters,
        memoryLimitBytes: options.memoryBytes,
        encryption: encryption?.status(),
        heldTurns: loop?.held,
        clock,
      }),
    );
    const metrics = new MetricsServer({ ...options.metrics, registry, readiness });
    const metricsAddress = await metrics.start();
    opened.push(() => metrics.stop());
    await node.untilServing(start.hurry);
    await redis.listen();
    clients = redis;
    await dynamodb.listen();
    const { storageKeys, ...others } = security;
    const isAsked = storageKeys?.isCommand === true;
    const watched = [...Object.values(others), isAsked ? undefined : storageKeys];
    const sources = watched.filter((source) => source !== undefined);
    const refresher = new FileRefresher({ sources, scheduler, everyMs: SECURITY_REFRESH_MS, logger });
    const asked = isAsked ? [storageKeys] : [];
    const asker = new FileRefresher({ sources: asked, scheduler, everyMs: COMMAND_REFRESH_MS, logger });
    for (const each of [refresher, asker]) {
      each.start();
      opened.push(async () => each.stop());
    }
    const note = metricsNote(options);
    if (note !== undefined) logger.warn({}, note);
    const shared = await readableByOthers(folder.path);
    if (shared !== undefined)
      logger.warn({ mode: shared }, `others may read ${folder.path}; chmod -R go= takes it from them`);
    return {
      addresses: {
        redis: `${options.redis.host}:${redis.port}`,
        redisCluster: redis.clusterPort === undefined ? undefined : `${options.redis.host}:${redis.clusterPort}`,
        dynamodb: dynamodb.port === undefined ? undefined : `${options.dynamodb?.host}:${dynamodb.port}`,
        grpc: `${options.grpc.host}:${network.port}`,
        metrics: metricsAddress,
      },
      status: () => node.status(),
      encryption: () => encryption?.status(),
      reloadSecurity: async () => void (await Promise.all([refresher.refresh(), asker.refresh()])),
      readiness,
      stop: async () => {
        await orderly.begin();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Read whenever it is needed: a new one counts from the next backup on. */
async function backupKeyOf(backup: NodeOptions['backup']): Promise<PlaceKey> {
  return backup?.isEncrypted === false ? 'none' : (await KeySource.open(backup ?? {}))?.keys;
}

/** @returns the folder's mode, octal, when not only its owner may use it; undefined also where there are no modes */
async function readableByOthers(folder: string): Promise<string | undefined> {
  const { mode } = await stat(folder);
  return process.platform !== 'win32' && (mode & 0o077) !== 0 ? (mode & 0o777).toString(8) : undefined;
}

/** What was read from files before anything listens, so that a mistake in them is told at once. */
interface NodeSecurity {
  readonly redis: CertificateStore | undefined;
  readonly grpc: CertificateStore | undefined;
  readonly passwords: Passwords | undefined;
  /** Of the operator of this node. */
  readonly operator: Passwords | undefined;
  readonly dynamodb: CertificateStore | undefined;
  /** Of DynamoDB clients; undefined where nobody is asked. */
  readonly credentials: Credentials | undefined;
  /** Of operators and programs on the gRPC port. */
  readonly tokens: Tokens | undefined;
  /** Of nodes. */
  readonly secret: ClusterSecret | undefined;
  /** Of what is stored; undefined: it is in clear. */
  readonly storageKeys: KeySource | undefined;
}

/** Whatever the level of the log is, and becomes: an operator who changes it must not go unnoticed. A node that is silent stays so. */
const auditLogger = (logger: pino.Logger): pino.Logger =>
  logger.child({}, { level: logger.level === 'silent' ? 'silent' : 'info' });

async function openSecurity({ redis, dynamodb, grpc, encryption }: NodeOptions, clock: Clock): Promise<NodeSecurity> {
  return {
    redis: redis.tls && (await CertificateStore.open(redis.tls, 'server', clock)),
    grpc: grpc.tls && (await CertificateStore.open(grpc.tls, 'peer', clock)),
    passwords: await Passwords.open({ password: redis.password, file: redis.passwordFile }),
    operator: await Passwords.open({ file: redis.operatorPasswordFile }),
    dynamodb: dynamodb?.tls && (await CertificateStore.open(dynamodb.tls, 'server', clock)),
    credentials:
      dynamodb === undefined || dynamodb.isUnsigned === true
        ? undefined
        : await Credentials.open({ ...dynamodb, file: dynamodb.credentialsFile }),
    tokens: await Tokens.open(grpc.tokenFile),
    secret: await ClusterSecret.open(grpc.secretFile, grpc.isSecretOptional !== true),
    storageKeys: await KeySource.open(encryption ?? {}),
  };
}

/** What DynamoDB is given beside the node. */
interface DynamodbSurroundings {
  readonly clock: Clock;
  readonly scheduler: SystemScheduler;
  readonly random: SystemRandom;
  readonly logger: pino.Logger;
  readonly background: BackgroundLog;
}

/** Without a port the node still does for tables what falls to those who lead their groups. */
function openDynamodb(
  { dynamodb, memoryBytes }: NodeOptions,
  security: NodeSecurity,
  node: AssembledNode,
  { clock, scheduler, random, logger, background }: DynamodbSurroundings,
): DynamoServer {
  const { credentials } = security;
  if (credentials?.isEmpty) {
    logger.warn({}, 'no DynamoDB client can sign its requests: set dynamodb.credentialsFile, or dynamodb.unsigned');
  }
  return openDynamoServer({
    kv: node.kv,
    transactions: node.transactions,
    reads: node.reads,
    ...{ clock, scheduler, random, logger },
    listen: dynamodb && {
      host: dynamodb.host,
      port: dynamodb.port,
      tls:
        security.dynamodb === undefined || dynamodb.tls === undefined
          ? undefined
          : { certificates: security.dynamodb, clientAuth: dynamodb.tls.clientAuth },
      region: dynamodb.region,
      accountId: dynamodb.accountId ?? '000000000000',
      ...{ credentials, memoryBytes },
    },
    feature: () => featureStanding(node.clusterState(), 'dynamodb'),
    onBackgroundError: (error) => background.failed(error),
  });
}
