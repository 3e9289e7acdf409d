/**
 * What a node is made of, top to bottom, on any platform, real or simulated: the engine with its replicas, the key-value
 * layer, the catalog where its group is led, and what every node knows of it.
 */
import { KEYSPACES_OF_ADAPTERS } from '../adapter/keyspaces.ts';
import {
  type AdminBackend,
  AuthoritySwitch,
  type BalanceReport,
  type BalancerTimes,
  bootstrapCatalog,
  CatalogEndpoint,
  CatalogLeader,
  createAdminBackend,
  ForwardingCatalogClient,
  Heartbeats,
  KvCatalogGroup,
  LoadRecorder,
  MoveDriver,
  type MoveLimits,
  NodeAgent,
  type OwnExamination,
  WatchClient,
  WatchServer,
  type WorkTimes,
} from '../cluster/index.ts';
import { CATALOG_GROUP, type ClusterFounding } from '../config/index.ts';
import { CAPABILITIES, type ClusterDocument, RouteEngine, settingOf } from '../distribution/index.ts';
import {
  createKvService,
  createReplicaReads,
  createTxnClient,
  FateResolver,
  ForwardingSpanClient,
  fateAt,
  type KvServiceOptions,
  NodeClock,
  type NodeClockStatus,
  type NodeKvService,
  OracleChannel,
  OracleClient,
  OracleLeader,
  OracleShadow,
  type ReplicaReads,
  serveOracle,
  serveSpans,
  serveTxns,
  TransactionRunner,
  TxnCounters,
} from '../kv/index.ts';
import {
  type Clock,
  type GroupId,
  groupId,
  type NodeId,
  nodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
  SystemDisk,
  timestampOfMs,
} from '../platform/index.ts';
import {
  type EngineLimits,
  type GroupStatus,
  type LogStore,
  type NodeRecord,
  RaftEngine,
  type SentSnapshot,
  SnapshotBrokenError,
} from '../raftengine/index.ts';
import { DiskLevelFolders, type GroupStoreOptions, openGroupStore, StoreActivity } from '../store/index.ts';
import { BackgroundServices, mayMove } from './background-services.ts';
import { ClockWarden } from './clock-warden.ts';
import { foundingConfiguration, inBatches, OPEN_AT_ONCE } from './founding.ts';
import { GroupHost } from './group-host.ts';
import { type ProcessAround, processOf } from './process.ts';
import { type Readiness, readinessOf } from './readiness.ts';
import { RemovedGroups } from './removed-groups.ts';
import { ReplicaReconciler } from './replica-reconciler.ts';
import { FolderStanding, type StandingOptions } from './standing.ts';
import { StoragePressure, type StoragePressureParts } from './storage-pressure.ts';
import { shareOf } from './store-budget.ts';

/** Everything that a node needs from the world outside. */
export interface NodeParts extends StoragePressureParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly network: PeerNetwork;
  readonly logStore: LogStore;
  /** How to open databases; those of group 7 is at `<location>-7`. Limits given here are those of every group. */
  readonly store: Pick<
    GroupStoreOptions,
    'location' | 'openLevel' | 'folders' | 'limits' | 'disk' | 'compression' | 'cutter' | 'segmentLimits'
  >;
  /** Memory for all stores together; limits given above win. */
  readonly storeMemoryBytes?: number;
  readonly members: readonly { readonly nodeId: number; readonly address: string }[];
  /** What the cluster is founded with; the same on all members. */
  readonly founding: ClusterFounding;
  /** The node founds nothing: it waits until groups of a running cluster take it in. */
  readonly joins?: boolean;
  /** 16 bytes that were chosen when the node's data was empty. */
  readonly incarnation: Buffer;
  /** What the node must not forget beside its log: who has accepted its data folder, whom it has met, what is being installed. */
  readonly record: StandingOptions['record'] & Pick<NodeRecord, 'peer' | 'installs'>;
  /** Where other nodes reach this one. */
  readonly address: string;
  /** Of the program, for operators. */
  readonly version: string;
  readonly limits: Partial<EngineLimits>;
  readonly retentionMs: number;
  /** Bounds and periods of the key-value layer that differ from the defaults. */
  readonly kv?: Pick<KvServiceOptions, 'limits' | 'maintenance'>;
  /** Bounds and periods of moves that differ from the defaults. */
  readonly moves?: Partial<MoveLimits>;
  /** Where the node stands, such as `eu-1/rack-7`; for operators. */
  readonly locality?: string;
  /** Periods of balancing that differ from the defaults; those of load are the same on all nodes. */
  readonly balance?: BalancerTimes;
  /** Periods of background work that differ from the defaults. */
  readonly work?: Partial<WorkTimes>;
  /** Measures the machine for operators; left out where there is none. */
  readonly examine?: () => Promise<OwnExamination>;
  /** Hears of every snapshot that another node has got from here. */
  readonly onSnapshotSent?: (sent: SentSnapshot) => void;
  /** Hears when this node's clock goes off those of its peers, and when it is right again. */
  readonly onClock?: (status: NodeClockStatus) => void;
  /** Hears again and again why this node cannot found anything yet, while that is so. */
  readonly onFoundingWaits?: (reason: string) => void;
  /** Hears what the rules of balancing did, or would do. */
  readonly onBalance?: (report: BalanceReport) => void;
  /** The node can promise nothing any more: its log or its store failed, or its data folder has no place in the cluster. */
  readonly onFatal: (error: Error) => void;
  /** Something in the background failed and will be tried again. */
  readonly onBackgroundError: (error: unknown) => void;
  /** The process around the node; left out where there is none. */
  readonly process?: ProcessAround;
}

/** A node without its client-facing servers. */
export interface AssembledNode {
  readonly kv: NodeKvService;
  readonly engine: RaftEngine;
  readonly host: GroupHost;
  readonly routes: RouteEngine;
  /** How this node stands with the catalog. */
  readonly watch: WatchClient;
  /** The catalog where this node leads its group. */
  readonly catalogLeader: CatalogLeader;
  /** What operators may ask and change. */
  readonly admin: AdminBackend;
  /** The catalog from here. */
  readonly catalog: ForwardingCatalogClient;
  /** Timestamps for what spans groups. */
  readonly oracle: OracleClient;
  /** Runs what spans groups. */
  readonly transactions: TransactionRunner;
  /** Whether bytes are let in here, and how they go. */
  readonly storagePressure: StoragePressure;
  /** Reads that this node's replicas may answer. */
  readonly reads: ReplicaReads;
  /** How the clock of a group that is to become the oracle compares with this node's own. */
  readonly shadow: OracleShadow;
  /** The node's clock, held against those of its peers. */
  readonly clock: NodeClock;
  /** What the stores of this node do. */
  readonly storeActivity: StoreActivity;
  /** How transactions that this node coordinates, and locks that it looks after, end. */
  readonly txnCounters: TxnCounters;
  /** Groups, nodes and switches as this node was last told; undefined before the first time. */
  readonly document: () => ClusterDocument | undefined;
  readiness(): Readiness;
  status(): NodeStatus;
  /** Stops in order; everything that was acknowledged is durable already. Neither network nor log store are closed. */
  stop(): Promise<void>;
}

export interface NodeStatus {
  /** Of the groups that have a replica here, by id. */
  readonly groups: readonly GroupStatus[];
}

/** The group that is to be measured beside the present order of time, by the setting. */
function shadowGroup(document: ClusterDocument | undefined): GroupId | undefined {
  const group = document === undefined ? 0 : Number(settingOf(document, 'tso.shadow'));
  return group === 0 ? undefined : groupId(group);
}

/** Puts a node together and starts it; the network must not be started yet. */
export async function assembleNode(parts: NodeParts): Promise<AssembledNode> {
  const { random, scheduler, network, logStore, founding, onBackgroundError } = parts;
  const { self } = network;
  const maxOffsetMs = parts.kv?.limits?.clock?.maxForwardSkewMs;
  const clock = new NodeClock({
    clock: parts.clock,
    scheduler,
    ...(maxOffsetMs === undefined ? {} : { limits: { maxOffsetMs } }),
    ...(parts.onClock === undefined ? {} : { onChange: parts.onClock }),
  });
  const addressOf = (peer: NodeId): string | undefined =>
    parts.members.find((member) => member.nodeId === peer)?.address;
  for (const member of parts.members) {
    if (member.nodeId !== self) network.setPeer(nodeId(member.nodeId), member.address);
  }
  /** What the node's own configuration says of another one holds: there may be a tunnel, or a fault, on the way that is meant. */
  const hearAddress = (peer: NodeId, address: string): void => {
    if (addressOf(peer) === undefined) network.setPeer(peer, address);
  };

  const engine = new RaftEngine({
    nodeId: self,
    clock: parts.clock,
    peerClocks: clock,
    random,
    scheduler,
    network,
    logStore,
    installs: parts.record.installs(onBackgroundError),
    limits: parts.limits,
    peerAddresses: { lookup: addressOf, learned: hearAddress },
    observer: {
      snapshotFailed: (group, peer, error) => onBackgroundError(new SnapshotBrokenError(group, peer, error)),
      ...(parts.onSnapshotSent === undefined ? {} : { snapshotSent: parts.onSnapshotSent }),
    },
    onUnknownGroup: (group) => follower.heardOf(group),
    onFatal: parts.onFatal,
  });
  const joins = parts.joins === true;
  const standing = new FolderStanding({
    self,
    record: parts.record,
    mayWait: () => joins && host.all().length === 0,
    waitsToFound: () => host.waitsToFound && host.all().length === 0,
    onEnd: (error) => {
      // Whoever waits here is told why.
      void kv.close();
      parts.onFatal(error);
    },
    onError: onBackgroundError,
    scheduler,
    onWaits: parts.onFoundingWaits ?? (() => undefined),
  });
  standing.listenTo(network);
  standing.onAcceptance(() => host.foundAllowed());
  const routes = new RouteEngine(0);
  const recorder = new LoadRecorder({ routes, clock, seed: self });
  const hostedGroups = (): GroupId[] => host.all().map(({ groupId: group }) => group);
  const storagePressure = new StoragePressure({ ...parts, clock }, () => host.all());
  const kv = createKvService({
    onLockMet: (group, lock) => resolver.onLockMet(group, lock),
    routes,
    membersOf: (group) => follower.membersOf(group),
    network,
    clock,
    comparison: clock,
    scheduler,
    random,
    excuse: () => standing.excuse(),
    limits: parts.kv?.limits ?? {},
    maintenance: parts.kv?.maintenance ?? {},
    admission: storagePressure.admissionOf,
    onAccess: recorder.onAccess,
    onBackgroundError,
  });
  // What is opened at the start: what the cluster is founded with, and what was taken in since.
  const folders = parts.store.folders ?? new DiskLevelFolders();
  const locationOf = (group: GroupId): string => `${parts.store.location}-${group}`;
  const gone = new RemovedGroups(founding.groups, { locationOf, folders, disk: parts.store.disk ?? new SystemDisk() });
  const foundingGroups = joins ? [] : await gone.toBeFounded(self);
  const stored = logStore.groups().filter((group) => !foundingGroups.some(({ id }) => id === group));
  const storeActivity = new StoreActivity();
  const host = new GroupHost({
    self,
    engine,
    kv,
    logStore,
    clock,
    scheduler,
    addressOf,
    mayFound: (voters) => standing.mayFound(voters),
    onFoundingFailed: parts.onFatal,
    onPutOff: onBackgroundError,
    electionTimeoutMs: engine.limits.electionTimeoutMs,
    openStore: (group, open) =>
      openGroupStore({
        ...shareOf(parts, Math.max(open, foundingGroups.length + stored.length), storeActivity),
        activity: storeActivity,
        location: locationOf(group),
        clock,
        scheduler,
        counterClassOf: KEYSPACES_OF_ADAPTERS.counterClassOf,
        counterRangeOf: KEYSPACES_OF_ADAPTERS.counterRangeOf,
        hasSpace: storagePressure.hasSpace,
        onFailure: parts.onFatal,
        onPutBack: onBackgroundError,
      }),
    noteRemoval: (group) => gone.note(group),
    removeStore: (group) => gone.remove(group),
  });
  const follower = new ReplicaReconciler({
    self,
    host,
    setPeer: hearAddress,
    network,
    founding,
    joins,
  });

  // The catalog where its group is led: on one node at a time, and ready for it on all.
  const catalogGroup = new KvCatalogGroup({
    kv,
    groupId: CATALOG_GROUP,
    leader: () => engine.group(CATALOG_GROUP)?.leader(),
    scheduler,
  });
  const catalogLeader = new CatalogLeader({
    group: catalogGroup,
    clock,
    scheduler,
    keyRules: KEYSPACES_OF_ADAPTERS,
    onError: onBackgroundError,
  });
  const heartbeats = new Heartbeats(catalogLeader, clock);
  serveSpans(kv, (group) => kv.executor(group)?.spans);

  // Timestamps of what spans groups: granted where the oracle's group is led, asked for from everywhere.
  const oracleLeader = new OracleLeader((group) => kv.executor(group));
  serveOracle(kv, oracleLeader);
  const oracleChannel = new OracleChannel({ kv, leader: oracleLeader, clock });
  const oracle = new OracleClient({ channel: oracleChannel, scheduler, localTs: () => kv.nowTs() });
  const shadow = new OracleShadow({
    channel: oracleChannel,
    scheduler,
    localTs: () => kv.nowTs(),
    group: () => shadowGroup(agent.document),
  });
  const authority = new AuthoritySwitch({
    source: catalogLeader,
    channel: oracleChannel,
    scheduler,
    onError: onBackgroundError,
  });

  const reads = createReplicaReads({
    kv,
    network,
    clock,
    scheduler,
    random,
    oracleTs: (after) => oracle.above(after),
    hosted: host,
    cluster: () => BigInt(routes.current.incarnation),
    onError: onBackgroundError,
  });

  // What spans groups: run from any node, carried out by the groups' leaders, cleaned up after by those as well.
  const localTxns = (group: GroupId) => kv.executor(group)?.txns;
  serveTxns(kv, localTxns);
  const txnClient = createTxnClient({ kv, local: localTxns, clock });
  const txnCounters = new TxnCounters();
  const transactions = new TransactionRunner({
    counters: txnCounters,
    client: txnClient,
    kv,
    timestamps: oracle,
    drawMoment: (deadlineMs) => reads.draw(deadlineMs),
    pins: storagePressure.pins,
    ...{ clock, scheduler, random },
    onError: onBackgroundError,
  });
  const resolver = new FateResolver({
    client: txnClient,
    counters: txnCounters,
    kv,
    led: () =>
      host
        .all()
        .filter(({ executor }) => executor.isServing)
        .map(({ raft, executor }) => ({ group: raft.groupId, txns: executor.txns })),
    clock,
    scheduler,
    random,
    onError: onBackgroundError,
  });
  const spans = new ForwardingSpanClient(kv, clock);
  const catalog = new ForwardingCatalogClient({ kv, catalogGroup: CATALOG_GROUP, clock, scheduler });
  const admin = createAdminBackend({
    local: {
      address: parts.address,
      version: parts.version,
      incarnation: parts.incarnation,
      metFolder: (node) => parts.record.peer(node)?.incarnation,
      groups: () => engine.groups(),
      facts: (group) => {
        const hosted = host.get(group);
        if (hosted === undefined) return {};
        const storedBytes = upkeep.balancer.storedBytesOf(group);
        return {
          hlcCeilingMs: hosted.stateMachine.ceilingMs,
          timeLeadMs: Math.max(0, hosted.stateMachine.ceilingMs - clock.nowMs()),
          operations: hosted.executor.stats().operations,
          ...(storedBytes === undefined ? {} : { storedBytes }),
        };
      },
      ...(parts.process === undefined ? {} : processOf(parts.process, recorder, storagePressure, hostedGroups, clock)),
      clock: () => clock.status(),
      openReplica: (group) => host.open(group, undefined),
      rangeBytes: async (group, start, end) => host.get(group)?.store.approximateBytes?.(start, end),
      locks: (group) => host.get(group)?.stateMachine.locks.all() ?? [],
      fate: (group, primary, txnId) => {
        const store = host.get(group)?.store;
        return store === undefined ? undefined : fateAt(store, primary, txnId);
      },
      logEnd: (group) => host.logEnd(group),
      recover: (group, learners, floorMs, context) => host.recover(group, learners, timestampOfMs(floorMs), context),
      reviveCatalog: async () => {
        await catalogLeader.restore();
      },
      ...(parts.examine === undefined ? {} : { examine: parts.examine }),
    },
    kv,
    network,
    routes,
    catalog,
    ...storagePressure.join(kv, catalog),
    balance: (timeoutMs) => catalog.balance(timeoutMs),
    txns: txnClient,
    oracleStatus: (group) => oracleChannel.status(group),
    catalogGroup: CATALOG_GROUP,
    clock,
    scheduler,
    maxPromoteLag: engine.limits.maxPromoteLag,
    knownNodes: () => parts.members.map((member) => ({ nodeId: nodeId(member.nodeId), address: member.address })),
  });
  const moves = new MoveDriver({
    source: catalogLeader,
    catalog,
    spans,
    clock,
    scheduler,
    random,
    limits: parts.moves ?? {},
    mayBegin: () => mayMove(agent.document),
    onError: (_job, error) => onBackgroundError(error),
  });
  const upkeep = new BackgroundServices({
    nodeId: self,
    incarnation: parts.incarnation,
    catalogGroup: CATALOG_GROUP,
    recorder,
    routes,
    host,
    leader: catalogLeader,
    heartbeats,
    catalog,
    admin,
    spans,
    features: () => agent.document,
    nowTs: () => kv.nowTs(),
    isUnfit: (node) => (node === self ? !clock.mayLead : clock.isPeerOff(node)),
    clock,
    scheduler,
    random,
    times: parts.balance ?? {},
    keyRules: KEYSPACES_OF_ADAPTERS,
    moves: parts.moves ?? {},
    work: parts.work ?? {},
    onReport: parts.onBalance ?? (() => undefined),
    onError: onBackgroundError,
  });
  const warden = new ClockWarden({ nodeClock: clock, groups: () => engine.groups(), clock, scheduler });
  new CatalogEndpoint(kv, catalogLeader, heartbeats, upkeep.balancer);

  const watchServer = new WatchServer({
    network,
    source: catalogLeader,
    clock,
    scheduler,
    leader: () => kv.leaderOf(CATALOG_GROUP),
  });

  // What every node knows of the catalog.
  const watch = new WatchClient({
    network,
    engine: routes,
    clock,
    scheduler,
    random,
    leader: () => kv.leaderOf(CATALOG_GROUP),
    localSource: catalogLeader,
  });
  const agent = new NodeAgent({
    client: catalog,
    nodeId: self,
    incarnation: parts.incarnation,
    address: parts.address,
    locality: parts.locality ?? '',
    capabilities: CAPABILITIES,
    load: () => {
      const groups = host.all();
      const led = groups.filter(({ executor }) => executor.isServing);
      return { leaderCount: led.length, replicaCount: groups.length, storedBytes: upkeep.balancer.storedBytes };
    },
    scheduler,
    random,
    onRemoved: (error) => standing.refusedByCatalog('NODE_REMOVED', error),
    onRefused: (error) => {
      if (error.code === 'NODE_CHANGED') standing.refusedByCatalog(error.code, error);
      else onBackgroundError(error);
    },
    onTaken: () => standing.takenByCatalog(),
  });
  agent.onDocument((document) => {
    clock.accept(Number(settingOf(document, 'time.caughtUpAt')));
    follower.follow(document);
  });

  await inBatches(OPEN_AT_ONCE, [
    ...foundingGroups.map((group) => () => host.open(group.id, group)),
    ...stored.map((group) => () => host.open(group, undefined)),
  ]);

  standing.start();
  await network.start();
  engine.start();
  kv.start();
  catalogGroup.start();
  const stopFounding = bootstrapCatalog({
    leader: catalogLeader,
    group: catalogGroup,
    catalogGroup: CATALOG_GROUP,
    spans,
    founding: foundingConfiguration(founding, clock.nowMs()),
    scheduler,
    onError: onBackgroundError,
  });
  moves.start();
  watch.start();
  agent.start();
  authority.start();
  shadow.start();
  resolver.start();
  reads.start();
  upkeep.start();
  storagePressure.start();
  warden.start();
  return {
    kv,
    engine,
    host,
    routes,
    watch,
    admin,
    catalogLeader,
    catalog,
    oracle,
    transactions,
    storagePressure,
    reads,
    shadow,
    clock,
    storeActivity,
    txnCounters,
    document: () => agent.document,
    readiness: () =>
      readinessOf({
        self,
        routes,
        document: agent.document,
        host,
        clock,
        standing,
        admissionOf: storagePressure.admissionOf,
      }),
    status: () => ({ groups: host.all().map(({ raft }) => raft.status()) }),
    async stop() {
      standing.stop();
      stopFounding();
      warden.stop();
      shadow.stop();
      resolver.stop();
      reads.stop();
      const switched = authority.stop();
      agent.stop();
      const kept = Promise.all([upkeep.stop(), storagePressure.stop()]);
      watch.stop();
      watchServer.stop();
      const driven = moves.stop();
      catalogGroup.stop();
      await kv.close();
      await driven;
      await switched;
      await kept;
      await engine.stop();
      await host.close();
    },
  };
}
