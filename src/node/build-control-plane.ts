/**
 * The control plane of a node: the catalog where its group is led, what every node knows of it, what operators ask and change, and the work
 * beside serving: moves, balancing, collection, the order of time.
 */
import { KEYSPACES_OF_ADAPTERS } from '../adapter/keyspaces.ts';
import {
  type AdminBackend,
  AuthoritySwitch,
  bootstrapCatalog,
  CatalogEndpoint,
  CatalogLeader,
  createAdminBackend,
  ForwardingCatalogClient,
  GroupArchive,
  Heartbeats,
  KvCatalogGroup,
  type LocalNode,
  MoveDriver,
  NodeAgent,
  NodeBackups,
  WatchClient,
  WatchServer,
} from '../cluster/index.ts';
import { CATALOG_GROUP } from '../config/index.ts';
import { CAPABILITIES, type CatalogError, type ClusterState, FEATURES, settingOf } from '../distribution/index.ts';
import { ForwardingSpanClient, OracleShadow, statusAt } from '../kv/index.ts';
import { type GroupId, groupId, nodeId, timestampOfMs } from '../platform/index.ts';
import { BackgroundServices, mayMove } from './background-services.ts';
import type { ConsensusPlane } from './build-consensus.ts';
import type { DataPlane } from './build-data-plane.ts';
import { confirmedRoutes } from './confirmed-routes.ts';
import { foundingConfiguration } from './founding.ts';
import { Later } from './later.ts';
import { LeadershipWarden } from './leadership-warden.ts';
import type { NodeParts } from './parts.ts';
import { processOf } from './process.ts';
import { Startables } from './startables.ts';

/** See the top of the file. */
export interface ControlPlane {
  readonly catalog: ForwardingCatalogClient;
  readonly catalogLeader: CatalogLeader;
  readonly watch: WatchClient;
  readonly admin: AdminBackend;
  readonly shadow: OracleShadow;
  /** Copies of the groups that are led here. */
  readonly archive: GroupArchive;
  /** Groups, nodes and switches as this node was last told; undefined before the first time. */
  clusterState(): ClusterState | undefined;
  start(): void;
  /** Begins nothing more; settles when nothing is under way, for which the data plane has to refuse what is asked of it. */
  stop(): Promise<void>;
}

/** What the plane stands on. */
interface Below {
  readonly parts: NodeParts;
  readonly consensus: ConsensusPlane;
  readonly data: DataPlane;
}

/** The catalog, from where its group is led and from everywhere else. */
interface Catalog {
  readonly group: KvCatalogGroup;
  readonly leader: CatalogLeader;
  readonly heartbeats: Heartbeats;
  readonly client: ForwardingCatalogClient;
  readonly spans: ForwardingSpanClient;
}

/** Makes the plane on top of the other two; nothing runs yet, and the network must not be started. */
export function buildControlPlane(parts: NodeParts, consensus: ConsensusPlane, data: DataPlane): ControlPlane {
  const { scheduler, network, random, onBackgroundError: onError } = parts;
  const { clock, engine } = consensus;
  const { kv, routes, storagePressure, oracleChannel } = data;
  const below: Below = { parts, consensus, data };
  const services = new Later<BackgroundServices>('what runs in the background');
  const agent = new Later<NodeAgent>('the agent');
  const backups = new Later<NodeBackups>('backups');
  const clusterState = (): ClusterState | undefined => agent.get().clusterState;

  const catalog = buildCatalog(below);
  const admin = buildAdmin(below, catalog, services, backups);
  services.set(buildBackgroundServices(below, catalog, admin, clusterState));
  agent.set(buildAgent(below, catalog, services.get()));
  new CatalogEndpoint(kv, catalog.leader, catalog.heartbeats, services.get().balancer);
  const leaderOfCatalog = () => kv.leaderOf(CATALOG_GROUP);
  const watchServer = new WatchServer({ network, source: catalog.leader, clock, scheduler, leader: leaderOfCatalog });
  const watch = new WatchClient({
    network,
    engine: routes,
    clock,
    scheduler,
    random,
    leader: leaderOfCatalog,
    localSource: catalog.leader,
  });
  const archive = new GroupArchive({ find: (group) => data.host.get(group), clock, scheduler });
  backups.set(buildBackups(below, catalog, archive, watch, clusterState));
  data.notesChanges.set(() => backups.get().notesChanges());
  const moves = new MoveDriver({
    source: catalog.leader,
    catalog: catalog.client,
    spans: catalog.spans,
    ...{ clock, scheduler, random },
    limits: parts.moves ?? {},
    mayBegin: () => mayMove(clusterState()),
    onError: (_job, error) => onError(error),
  });
  const authority = new AuthoritySwitch({ source: catalog.leader, channel: oracleChannel, scheduler, onError });
  const shadow = new OracleShadow({
    channel: oracleChannel,
    scheduler,
    localTs: () => kv.nowTs(),
    group: () => shadowGroup(clusterState()),
  });

  const running = new Startables();
  running.add(catalog.group);
  running.add(founding(below, catalog));
  running.add(moves);
  running.add({ start: () => undefined, stop: () => watchServer.stop() });
  running.add(watch);
  running.add(agent.get());
  running.add(authority);
  running.add(shadow);
  running.add(services.get());
  running.add(backups.get());
  running.add(storagePressure);
  running.add(
    new LeadershipWarden({
      nodeClock: clock,
      isWithdrawn: (node) => data.fitness.isWithdrawn(node),
      self: network.self,
      groups: () => engine.groups(),
      clock,
      scheduler,
    }),
  );
  return {
    ...{ watch, admin, shadow, archive, clusterState },
    catalog: catalog.client,
    catalogLeader: catalog.leader,
    start: () => running.start(),
    stop: () => running.stop(),
  };
}

/** The catalog's leader works on one node at a time, and is ready on all. */
function buildCatalog({ parts, consensus, data }: Below): Catalog {
  const { scheduler, onBackgroundError: onError } = parts;
  const { clock, engine } = consensus;
  const { kv } = data;
  const group = new KvCatalogGroup({
    kv,
    groupId: CATALOG_GROUP,
    leader: () => engine.group(CATALOG_GROUP)?.leader(),
    scheduler,
  });
  const leader = new CatalogLeader({ group, clock, scheduler, keyRules: KEYSPACES_OF_ADAPTERS, onError });
  return {
    group,
    leader,
    heartbeats: new Heartbeats(leader, clock),
    client: new ForwardingCatalogClient({ kv, catalogGroup: CATALOG_GROUP, clock, scheduler }),
    spans: new ForwardingSpanClient(kv, clock),
  };
}

/** Founds the cluster, if this node leads the catalog's group and finds none. */
function founding({ parts, consensus }: Below, { group, leader, spans }: Catalog) {
  let stop = (): void => undefined;
  return {
    start: (): void => {
      stop = bootstrapCatalog({
        leader,
        group,
        catalogGroup: CATALOG_GROUP,
        spans,
        founding: foundingConfiguration(parts.founding, consensus.clock.nowMs()),
        scheduler: parts.scheduler,
        onError: parts.onBackgroundError,
      });
    },
    stop: (): void => stop(),
  };
}

function buildBackups(
  { parts, consensus, data }: Below,
  catalog: Catalog,
  archive: GroupArchive,
  watch: WatchClient,
  clusterState: () => ClusterState | undefined,
): NodeBackups {
  const { scheduler, network, random, incarnation, version, clusterName = '' } = parts;
  const { clock } = consensus;
  const { kv, storagePressure } = data;
  return new NodeBackups({
    nodeId: network.self,
    ...{ incarnation, clusterName, version, kv, network, archive, clusterState, clock, scheduler, random },
    catalog: catalog.client,
    leaderOf: (group) => kv.leaderOf(group),
    surroundings: parts.backups,
    confirmedRoutes: () => confirmedRoutes({ status: () => watch.status, clock, scheduler }),
    pins: storagePressure.pins,
    times: parts.work ?? {},
    ...(parts.store.compression === undefined ? {} : { compression: parts.store.compression }),
    onError: parts.onBackgroundError,
  });
}

function buildAdmin(
  below: Below,
  catalog: Catalog,
  services: Later<BackgroundServices>,
  backups: Later<NodeBackups>,
): AdminBackend {
  const { parts, consensus, data } = below;
  const { scheduler, network } = parts;
  const { clock, engine } = consensus;
  const { kv, routes, storagePressure, txnClient, oracleChannel } = data;
  return createAdminBackend({
    local: localNode(below, catalog, services),
    kv,
    network,
    routes,
    catalog: catalog.client,
    ...storagePressure.join(kv, catalog.client),
    balance: (timeoutMs) => catalog.client.balance(timeoutMs),
    backups: () => backups.get(),
    txns: txnClient,
    oracleStatus: (group) => oracleChannel.status(group),
    catalogGroup: CATALOG_GROUP,
    clock,
    scheduler,
    maxPromoteLag: engine.limits.maxPromoteLag,
    knownNodes: () => parts.members.map((member) => ({ nodeId: nodeId(member.nodeId), address: member.address })),
  });
}

/** What a node tells operators of itself, and what they may have it do. */
function localNode(
  { parts, consensus, data }: Below,
  catalog: Catalog,
  services: Later<BackgroundServices>,
): LocalNode {
  const { clock, engine } = consensus;
  const { host, recorder, storagePressure } = data;
  const hostedGroups = (): GroupId[] => host.all().map(({ groupId: group }) => group);
  return {
    address: parts.address,
    version: parts.version,
    incarnation: parts.incarnation,
    metFolder: (node) => parts.record.peer(node)?.incarnation,
    groups: () => engine.groups(),
    facts: (group) => {
      const hosted = host.get(group);
      if (hosted === undefined) return {};
      const storedBytes = services.get().balancer.storedBytesOf(group);
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
      return store === undefined ? undefined : statusAt(store, primary, txnId);
    },
    logEnd: (group) => host.logEnd(group),
    recover: (group, learners, floorMs, context) => host.recover(group, learners, timestampOfMs(floorMs), context),
    reviveCatalog: async () => {
      await catalog.leader.restore();
    },
    ...(parts.examine === undefined ? {} : { examine: parts.examine }),
  };
}

function buildBackgroundServices(
  { parts, consensus, data }: Below,
  catalog: Catalog,
  admin: AdminBackend,
  clusterState: () => ClusterState | undefined,
): BackgroundServices {
  const { scheduler, random, incarnation } = parts;
  const { self } = parts.network;
  const { clock } = consensus;
  const { kv, host, routes, recorder, fitness } = data;
  return new BackgroundServices({
    nodeId: self,
    incarnation,
    catalogGroup: CATALOG_GROUP,
    ...{ recorder, routes, host, admin, clock, scheduler, random },
    leader: catalog.leader,
    heartbeats: catalog.heartbeats,
    catalog: catalog.client,
    spans: catalog.spans,
    features: clusterState,
    nowTs: () => kv.nowTs(),
    isUnfit: (node) => !fitness.mayLead(node) || (node === self ? !clock.mayLead : clock.isPeerOff(node)),
    times: parts.balance ?? {},
    keyRules: KEYSPACES_OF_ADAPTERS,
    moves: parts.moves ?? {},
    work: parts.work ?? {},
    onReport: parts.onBalance ?? (() => undefined),
    onError: parts.onBackgroundError,
  });
}

/** The agent tells the catalog's leader of this node, and the node what the cluster is. */
function buildAgent({ parts, consensus, data }: Below, catalog: Catalog, services: BackgroundServices): NodeAgent {
  const { clock, standing } = consensus;
  const { host, reconciler, fitness } = data;
  const agent = new NodeAgent({
    client: catalog.client,
    nodeId: parts.network.self,
    incarnation: parts.incarnation,
    address: parts.address,
    locality: parts.locality ?? '',
    capabilities: CAPABILITIES,
    load: () => {
      const groups = host.all();
      const led = groups.filter(({ executor }) => executor.isServing);
      return { leaderCount: led.length, replicaCount: groups.length, storedBytes: services.balancer.storedBytes };
    },
    endpoints: parts.endpoints,
    scheduler: parts.scheduler,
    random: parts.random,
    onRemoved: (error) => standing.refusedByCatalog('NODE_REMOVED', error),
    onRefused: (error) => {
      if (error.code === 'NODE_CHANGED') standing.refusedByCatalog(error.code, error);
      else if (error.code === 'NODE_LACKS_FEATURE') void endIfTooOld(error);
      else parts.onBackgroundError(error);
    },
    onTaken: () => standing.takenByCatalog(),
  });
  /** A leader of an older program takes what it does not know for missing here, too: the catalog's rows say what is active. */
  async function endIfTooOld(refusal: CatalogError): Promise<void> {
    try {
      const { features } = await catalog.client.clusterState();
      const isTooOld = features.some(({ name }) => !Object.hasOwn(FEATURES, name));
      if (isTooOld) standing.refusedByCatalog('NODE_LACKS_FEATURE', refusal);
      else parts.onBackgroundError(refusal);
    } catch (error) {
      parts.onBackgroundError(error);
    }
  }
  agent.onClusterState((clusterState) => {
    clock.accept(Number(settingOf(clusterState, 'time.caughtUpAt')));
    reconciler.follow(clusterState);
    fitness.follow(clusterState);
    parts.onClusterState?.(clusterState);
  });
  return agent;
}

/** The group that is to be measured beside the present order of time, by the setting. */
function shadowGroup(clusterState: ClusterState | undefined): GroupId | undefined {
  const group = clusterState === undefined ? 0 : Number(settingOf(clusterState, 'tso.shadow'));
  return group === 0 ? undefined : groupId(group);
}
