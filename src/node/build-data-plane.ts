/**
 * The data plane of a node: its replicas and their stores, the key-value service over them, reads by replicas, timestamps and transactions
 * of what spans groups. It asks nothing of the control plane; which groups there are it is told.
 */

import { KEYSPACES_OF_ADAPTERS } from '../adapter/keyspaces.ts';
import { redisExpiryWork } from '../adapter/redis/index.ts';
import { LoadRecorder, PINS_FEATURE } from '../cluster/index.ts';
import { type ClusterState, featureStanding, RouteEngine } from '../distribution/index.ts';
import {
  createKvService,
  createReplicaReads,
  createTxnClient,
  LockResolver,
  type NodeKvService,
  OracleChannel,
  OracleClient,
  OracleLeader,
  type ReplicaReads,
  serveOracle,
  serveSpans,
  serveTxns,
  TransactionRunner,
  type TxnClient,
  TxnCounters,
} from '../kv/index.ts';
import { type GroupId, SystemDisk } from '../platform/index.ts';
import { DiskLevelFolders, openGroupStore, StoreActivity } from '../store/index.ts';
import type { ConsensusPlane } from './build-consensus.ts';
import { Fitness } from './fitness.ts';
import { inBatches, OPEN_AT_ONCE } from './founding.ts';
import { GroupHost } from './group-host.ts';
import { Later } from './later.ts';
import type { NodeParts } from './parts.ts';
import { RemovedGroups } from './removed-groups.ts';
import { ReplicaReconciler } from './replica-reconciler.ts';
import { Startables } from './startables.ts';
import { StoragePressure } from './storage-pressure.ts';
import { shareOf } from './store-budget.ts';

/** See the top of the file. */
export interface DataPlane {
  readonly kv: NodeKvService;
  readonly host: GroupHost;
  readonly reconciler: ReplicaReconciler;
  /** Which nodes should lead. */
  readonly fitness: Fitness;
  readonly routes: RouteEngine;
  /** What is accessed here. */
  readonly recorder: LoadRecorder;
  readonly storagePressure: StoragePressure;
  readonly storeActivity: StoreActivity;
  /** Asked by the stores; the control plane knows. */
  readonly notesChanges: Later<() => boolean>;
  readonly oracleChannel: OracleChannel;
  readonly oracle: OracleClient;
  readonly reads: ReplicaReads;
  readonly txnClient: TxnClient;
  readonly txnCounters: TxnCounters;
  readonly transactions: TransactionRunner;
  /** What the node is told of its cluster; set before it is started. */
  readonly clusterState: Later<() => ClusterState | undefined>;
  /** Opens the replicas that the node has, and those that its cluster is founded with; before the engine is started. */
  open(): Promise<void>;
  start(): void;
  /** Refuses what is asked from now on; settles when nothing is under way. */
  stop(): Promise<void>;
  /** Closes the stores; the engine applies to them until it has stopped. */
  close(): Promise<void>;
}

/** Makes the plane on top of consensus; nothing runs yet. */
export function buildDataPlane(parts: NodeParts, consensus: ConsensusPlane): DataPlane {
  const { random, scheduler, network, founding, onBackgroundError } = parts;
  const { clock, standing, joins, hearAddress } = consensus;
  const { self } = network;
  const host = new Later<GroupHost>('the host of replicas');
  const reconciler = new Later<ReplicaReconciler>('the reconciler of replicas');
  const resolver = new Later<LockResolver>('the resolver of locks');
  const clusterState = new Later<() => ClusterState | undefined>('what is known of the cluster');
  const routes = new RouteEngine(0);
  const recorder = new LoadRecorder({ routes, clock, seed: self, keys: KEYSPACES_OF_ADAPTERS });
  const storagePressure = new StoragePressure(
    { ...parts, clock, keys: KEYSPACES_OF_ADAPTERS, accesses: () => recorder.accesses },
    () => host.get().all(),
  );
  const storeActivity = new StoreActivity();
  /** Whether a feature is active, asked often; once it is so it stays so. */
  const activity = (feature: string): (() => boolean) => {
    let isActive = false;
    return () => {
      isActive ||= featureStanding(clusterState.get()(), feature).kind === 'active';
      return isActive;
    };
  };
  const notesChanges = new Later<() => boolean>('who says whether changes are noted');
  const kv = createKvService({
    onLockMet: (group, lock) => resolver.get().onLockMet(group, lock),
    routes,
    membersOf: (group) => reconciler.get().membersOf(group),
    network,
    clock,
    comparison: clock,
    scheduler,
    random,
    excuse: () => standing.excuse(),
    streamsAnswers: activity('forward.streams'),
    anchorsStatuses: activity('txn.anchors'),
    limits: parts.kv?.limits ?? {},
    maintenance: parts.kv?.maintenance ?? {},
    expiryWork: redisExpiryWork(random),
    admission: storagePressure.admissionOf,
    onAccess: recorder.onAccess,
    objects: KEYSPACES_OF_ADAPTERS,
    evaluator: parts.evaluator,
    onBackgroundError,
  });
  const fitness = new Fitness(self, kv.departures);
  serveSpans(kv, (group) => kv.executor(group)?.spans);
  const mayLeaveOut = activity(PINS_FEATURE);
  const replicas = buildReplicas({ parts, consensus, kv, storagePressure, storeActivity, notesChanges, mayLeaveOut });
  host.set(replicas.host);
  reconciler.set(
    new ReplicaReconciler({
      self,
      host: replicas.host,
      setPeer: hearAddress,
      network,
      founding,
      joins,
    }),
  );
  consensus.attach({
    count: () => replicas.host.all().length,
    waitsToFound: () => replicas.host.waitsToFound,
    foundAllowed: () => replicas.host.foundAllowed(),
    heardOf: (group) => reconciler.get().heardOf(group),
    refuseAll: () => void kv.close(),
    mayLead: () => fitness.mayLead(self),
  });
  const spanning = buildSpanning({ parts, consensus, kv, routes, host: replicas.host, storagePressure });
  resolver.set(spanning.resolver);

  const running = new Startables();
  running.add({ start: () => kv.start(), stop: () => kv.close() });
  running.add(spanning.resolver);
  running.add(spanning.reads);
  return {
    ...{ kv, routes, recorder, storagePressure, storeActivity, notesChanges, fitness, clusterState },
    ...spanning,
    host: replicas.host,
    reconciler: reconciler.get(),
    open: replicas.open,
    start: () => running.start(),
    stop: () => running.stop(),
    close: () => replicas.host.close(),
  };
}

/** Where replicas are hosted, and their stores. */
function buildReplicas(under: {
  readonly parts: NodeParts;
  readonly consensus: ConsensusPlane;
  readonly kv: NodeKvService;
  readonly storagePressure: StoragePressure;
  readonly storeActivity: StoreActivity;
  readonly notesChanges: DataPlane['notesChanges'];
  readonly mayLeaveOut: () => boolean;
}): { readonly host: GroupHost; open(): Promise<void> } {
  const { parts, kv, storagePressure, storeActivity, notesChanges, mayLeaveOut } = under;
  const { logStore, scheduler, founding, onFatal, onBackgroundError } = parts;
  const { self } = parts.network;
  const { clock, engine, standing, joins, addressOf } = under.consensus;
  const folders = parts.store.folders ?? new DiskLevelFolders();
  const locationOf = (group: GroupId): string => `${parts.store.location}-${group}`;
  const gone = new RemovedGroups(founding.groups, { locationOf, folders, disk: parts.store.disk ?? new SystemDisk() });
  /** Replicas that the start opens: the memory is shared among them from the first on. */
  let opensAtStart = 0;
  const host = new GroupHost({
    self,
    engine,
    kv,
    logStore,
    clock,
    scheduler,
    addressOf,
    mayFound: (voters) => standing.mayFound(voters),
    onFoundingFailed: onFatal,
    onPutOff: onBackgroundError,
    electionTimeoutMs: engine.limits.electionTimeoutMs,
    onLeader: parts.onLeader,
    openStore: (group, open) =>
      openGroupStore({
        ...shareOf(parts, Math.max(open, opensAtStart), storeActivity),
        activity: storeActivity,
        location: locationOf(group),
        clock,
        scheduler,
        ...KEYSPACES_OF_ADAPTERS.forStores,
        hasSpace: storagePressure.hasSpace,
        notesChanges: () => notesChanges.get()(),
        mayLeaveOut,
        onFailure: onFatal,
        onPutBack: onBackgroundError,
      }),
    noteRemoval: (group) => gone.note(group),
    removeStore: (group) => gone.remove(group),
  });
  return {
    host,
    async open() {
      // What the cluster is founded with, and what was taken in since.
      const founded = joins ? [] : await gone.toBeFounded(self);
      const stored = logStore.groups().filter((group) => !founded.some(({ id }) => id === group));
      opensAtStart = founded.length + stored.length;
      await inBatches(OPEN_AT_ONCE, [
        ...founded.map((group) => () => host.open(group.id, group)),
        ...stored.map((group) => () => host.open(group, undefined)),
      ]);
    },
  };
}

/** What spans groups: timestamps, reads at one moment, transactions and who cleans up after them. */
function buildSpanning(under: {
  readonly parts: NodeParts;
  readonly consensus: ConsensusPlane;
  readonly kv: NodeKvService;
  readonly routes: RouteEngine;
  readonly host: GroupHost;
  readonly storagePressure: StoragePressure;
}): Pick<DataPlane, 'oracleChannel' | 'oracle' | 'reads' | 'txnClient' | 'txnCounters' | 'transactions'> & {
  readonly resolver: LockResolver;
} {
  const { parts, kv, routes, host, storagePressure } = under;
  const { random, scheduler, network, onBackgroundError: onError } = parts;
  const { clock, elapsed } = under.consensus;
  // Timestamps: granted where the oracle's group is led, asked for from everywhere.
  const oracleLeader = new OracleLeader((group) => kv.executor(group));
  serveOracle(kv, oracleLeader);
  const oracleChannel = new OracleChannel({ kv, leader: oracleLeader, clock });
  const oracle = new OracleClient({ channel: oracleChannel, scheduler, localTs: () => kv.nowTs() });
  const reads = createReplicaReads({
    kv,
    network,
    clock,
    elapsed,
    scheduler,
    random,
    oracleTs: (after) => oracle.above(after),
    hosted: host,
    cluster: () => BigInt(routes.current.incarnation),
    pins: storagePressure.pins,
    onError,
  });
  // Transactions: run from any node, carried out by the groups' leaders, cleaned up after by those as well.
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
    ...{ clock, scheduler, random, onError },
  });
  const resolver = new LockResolver({
    client: txnClient,
    counters: txnCounters,
    kv,
    led: () =>
      host
        .all()
        .filter(({ executor }) => executor.isServing)
        .map(({ raft, executor }) => ({ group: raft.groupId, txns: executor.txns })),
    ...{ clock, scheduler, random, onError },
  });
  return { oracleChannel, oracle, reads, txnClient, txnCounters, transactions, resolver };
}
