/**
 * What a node is made of, on any platform, real or simulated: three planes, each standing on those before it. Consensus has the clock, the Raft
 * engine and the node's place in the cluster; the data plane replicas and what is done with keys; the control plane the catalog, what every
 * node knows of it, and what operators ask.
 */
import type { Messages, Tracking } from '../adapter/redis/index.ts';
import type {
  AdminBackend,
  CatalogLeader,
  ForwardingCatalogClient,
  GroupArchive,
  WatchClient,
} from '../cluster/index.ts';
import type { ClusterState, RouteEngine } from '../distribution/index.ts';
import type {
  NodeClock,
  NodeKvService,
  OracleClient,
  OracleShadow,
  ReplicaReads,
  TransactionRunner,
  TxnCounters,
} from '../kv/index.ts';
import type { GroupStatus, RaftEngine } from '../raftengine/index.ts';
import type { StoreActivity } from '../store/index.ts';
import { buildConsensus } from './build-consensus.ts';
import { buildControlPlane } from './build-control-plane.ts';
import { buildDataPlane } from './build-data-plane.ts';
import type { Fitness } from './fitness.ts';
import type { GroupHost } from './group-host.ts';
import { buildMessages } from './messages.ts';
import type { NodeParts } from './parts.ts';
import { type Readiness, readinessOf, untilServing } from './readiness.ts';
import type { StoragePressure } from './storage-pressure.ts';

/** A node without its client-facing servers. */
export interface AssembledNode {
  readonly kv: NodeKvService;
  /** Messages between clients of all nodes. */
  readonly messages: Messages;
  /** Keys that clients keep, over all nodes. */
  readonly tracking: Tracking;
  readonly engine: RaftEngine;
  /** Which nodes should lead. */
  readonly fitness: Fitness;
  readonly host: GroupHost;
  readonly routes: RouteEngine;
  /** How this node stands with the catalog. */
  readonly watch: WatchClient;
  /** The catalog where this node leads its group. */
  readonly catalogLeader: CatalogLeader;
  /** What operators may ask and change. */
  readonly admin: AdminBackend;
  /** Copies of the groups that are led here. */
  readonly archive: GroupArchive;
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
  readonly clusterState: () => ClusterState | undefined;
  readiness(): Readiness;
  /** Settles when the node knows what it needs for serving clients, after some seconds in any case. @param signal ends the waiting */
  untilServing(signal?: AbortSignal): Promise<void>;
  status(): NodeStatus;
  /** Stops in order; everything that was acknowledged is durable already. Neither network nor log store are closed. */
  stop(): Promise<void>;
}

export interface NodeStatus {
  /** Of the groups that have a replica here, by id. */
  readonly groups: readonly GroupStatus[];
}

/** Puts a node together and starts it; the network must not be started yet. */
export async function assembleNode(parts: NodeParts): Promise<AssembledNode> {
  const consensus = buildConsensus(parts);
  const data = buildDataPlane(parts, consensus);
  const control = buildControlPlane(parts, consensus, data);
  data.clusterState.set(control.clusterState);
  const { messages, tracking } = buildMessages(parts, control.clusterState);
  await data.open();
  await consensus.start();
  data.start();
  control.start();
  messages.start();
  tracking.start();

  const { clock, engine, standing } = consensus;
  const { kv, host, routes, oracle, transactions, reads, storagePressure, storeActivity, txnCounters, fitness } = data;
  const { watch, admin, archive, catalog, catalogLeader, shadow, clusterState } = control;
  const { admissionOf } = storagePressure;
  const { self } = parts.network;
  const readinessFacts = () => ({
    ...{ self, routes, host, clock, standing, admissionOf },
    clusterState: clusterState(),
    unknownToClients: parts.unknownToClients?.(),
  });
  return {
    ...{ clock, engine, fitness, messages, tracking },
    ...{ kv, host, routes, oracle, transactions, reads, storagePressure, storeActivity, txnCounters },
    ...{ watch, admin, archive, catalog, catalogLeader, shadow, clusterState },
    readiness: () => readinessOf(readinessFacts()),
    untilServing: (signal) => untilServing(readinessFacts, clock, parts.scheduler, signal),
    status: () => ({ groups: host.all().map(({ raft }) => raft.status()) }),
    async stop() {
      messages.stop();
      tracking.stop();
      // What the upper planes have under way ends when the data plane refuses it.
      await Promise.all([control.stop(), data.stop()]);
      await consensus.stop();
      await data.close();
    },
  };
}
