/** `AdminBackend` on a node: the cluster's own words put together from its leaders, its nodes, its catalog and this node's directory. */
import type { ClusterState, GroupRow } from '../../distribution/index.ts';
import type { KvService, OracleStatus, TxnClient } from '../../kv/index.ts';
import { type GroupId, type Millis, type NodeId, nodeId } from '../../platform/index.ts';
import type { NodeBackups } from '../backup/index.ts';
import {
  type AbortJobResult,
  type AdminBackend,
  AdminError,
  type BackupsView,
  type BalanceStatus,
  type BalanceView,
  type CatalogClient,
  type ClusterStatus,
  type DoctorReport,
  type DrainRequest,
  type DrainStatus,
  type FeatureView,
  type GcRunResult,
  type GcView,
  type GroupMembers,
  type GroupView,
  type HealthProblem,
  type HealthReport,
  type JobView,
  LOG_LEVELS,
  MAX_COUNTED_ROUTES,
  type MembershipResult,
  type MergeResult,
  type NodeLogLevel,
  type NodeStatus,
  type NodeView,
  type RecoverRequest,
  type RecoverResult,
  type ReplaceRequest,
  type ReplaceStatus,
  type ResolveTxnResult,
  type RouteRef,
  type RoutesChange,
  type RoutesFilter,
  type RoutesPage,
  type RoutesResult,
  type SettingView,
  type TransferResult,
  type TsoReport,
  type TxnsReport,
} from '../contract/index.ts';
import { type GcStatus, gcView, type NodeGc } from '../gc/index.ts';
import { AdminAgent, type AdminAgentOptions } from './admin-agent.ts';
import { judgeHealth } from './health.ts';
import type { NodeReport } from './node-messages.ts';
import { Operations } from './operations.ts';
import { RouteOperator } from './route-operator.ts';
import { routePages, watchRoutes } from './route-watch.ts';
import {
  balanceView,
  featureView,
  featureViews,
  groupView,
  isFinished,
  jobView,
  nodeView,
  serviceOf,
  settingView,
  settingViews,
} from './views.ts';

export interface AdminBackendOptions extends Omit<AdminAgentOptions, 'kv'> {
  readonly kv: Pick<KvService, 'forward' | 'onForward' | 'nowTs'>;
  readonly catalog: CatalogClient;
  /** How the rules of balancing stand where the catalog is led. */
  readonly balance: (timeoutMs: Millis) => Promise<BalanceStatus>;
  readonly gc: Pick<NodeGc, 'status' | 'runNow'>;
  readonly backups: () => Pick<NodeBackups, 'create' | 'view'>;
  readonly txns: TxnClient;
  readonly oracleStatus: (group: GroupId) => Promise<OracleStatus>;
  readonly catalogGroup: GroupId;
  /** Nodes that this one was configured with: whom to ask while the catalog does not answer. */
  readonly knownNodes: () => readonly { readonly nodeId: NodeId; readonly address: string }[];
}

/** Views must not wait for the catalog longer than this: they are wanted most when it is gone. */
const CATALOG_WAIT_MS: Millis = 2_000;
const ADDRESS = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/;

/** Makes the backend. Call before the network is started: it registers its handlers there and at `kv`. */
export function createAdminBackend(options: AdminBackendOptions): AdminBackend {
  return new ClusterBackend(options);
}

/** Why a node could not be reached, without what the gRPC library says around it. */
const reasonOf = (error: unknown): string =>
  messageOf(error).replace(/No connection established\. Last error: (?:Error: )?(.*?)\. Resolution note:.*$/s, '$1');

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Nothing was let go of for so long that disks fill up with history. */
function overdueProblem({ notes }: GcStatus): HealthProblem {
  const [first] = notes.holders;
  const why = first === undefined ? 'no round was made' : `held back by ${first.who}: ${first.why}`;
  return {
    severity: 'warning',
    subject: 'safepoint',
    message: `the past is kept for twice the retention (${why}); see gc`,
  };
}

/** What a node said of itself, and how its clock stands. */
interface Reported {
  readonly report: NodeReport | undefined;
  readonly problem: string;
  readonly offsetMs: Millis;
  readonly errorMs: Millis;
}

const NO_OFFSET = { offsetMs: 0, errorMs: 0 };

class ClusterBackend implements AdminBackend {
  private readonly options: AdminBackendOptions;
  private readonly agent: AdminAgent;
  private readonly operator: RouteOperator;
  private readonly operations: Operations;

  constructor(options: AdminBackendOptions) {
    this.options = options;
    this.agent = new AdminAgent(options);
    this.operator = new RouteOperator({
      ...options,
      nowTs: () => options.kv.nowTs(),
      rangeBytes: (group, start, end, timeoutMs) => this.agent.rangeBytes(group, start, end, timeoutMs),
    });
    this.operations = new Operations({
      ...options,
      agent: this.agent,
      incarnation: options.local.incarnation,
      metFolder: (node) => options.local.metFolder?.(node),
      nodes: (clusterState) => [...this.addresses(clusterState).keys()],
      groupIds: (clusterState) => this.groupIds(clusterState),
      backend: this,
    });
  }

  // --- views -------------------------------------------------------------------------------------------------------

  async status(groups: readonly GroupId[], timeoutMs: Millis): Promise<ClusterStatus> {
    const { clusterState, problem } = await this.tryClusterState(timeoutMs / 2);
    const status = await this.statusOf(clusterState, problem, groups, timeoutMs / 2);
    // Replicas of a group that was removed may be left, and are worth a look.
    const shown = new Set(status.nodes.flatMap(({ replicas }) => replicas.map(({ groupId }) => groupId)));
    for (const group of groups) if (!shown.has(group)) this.assertKnown(group, clusterState);
    return status;
  }

  private async statusOf(
    clusterState: ClusterState | undefined,
    catalogProblem: string,
    groups: readonly GroupId[],
    timeoutMs: Millis,
  ): Promise<ClusterStatus> {
    const addresses = this.addresses(clusterState);
    const asked = await Promise.all(
      [...addresses.keys()].map(async (node) => ({ node, ...(await this.reportOf(node, timeoutMs)) })),
    );
    // Of several leaders of a group the one of the highest term knows who is how far.
    const lags = new Map<GroupId, { readonly term: number; readonly of: ReadonlyMap<NodeId, number> }>();
    for (const { node, report } of asked) {
      for (const led of report?.leads ?? []) {
        if ((lags.get(led.groupId)?.term ?? -1) < led.term) {
          lags.set(led.groupId, { term: led.term, of: new Map([...led.lags, [node, 0]]) });
        }
      }
    }
    const isWanted = (group: GroupId): boolean => groups.length === 0 || groups.includes(group);
    const nodes = asked.map(({ node, report, problem, offsetMs, errorMs }): NodeStatus => {
      const replicas = (report?.replicas ?? [])
        .filter(({ groupId }) => isWanted(groupId))
        .map((replica) => {
          const lagEntries = lags.get(replica.groupId)?.of.get(node);
          return lagEntries === undefined ? replica : { ...replica, lagEntries };
        })
        .sort((left, right) => left.groupId - right.groupId);
      return {
        nodeId: node,
        address: report?.address ?? addresses.get(node) ?? '',
        isReachable: report !== undefined,
        problem,
        version: report?.version ?? '',
        routesVersion: report?.routesVersion ?? 0,
        clockOffsetMs: offsetMs,
        clockErrorMs: errorMs,
        isClockOff: report?.clock?.isOff === true,
        ...(clusterState === undefined ? {} : { service: serviceOf(clusterState, node) }),
        replicas,
        ...(report?.activity === undefined ? {} : { activity: report.activity }),
      };
    });
    nodes.sort((left, right) => left.nodeId - right.nodeId);
    return { answeredBy: this.agent.self, nodes, catalogProblem };
  }

  private async reportOf(node: NodeId, timeoutMs: Millis): Promise<Reported> {
    const { clock } = this.options;
    const beforeMs = clock.nowMs();
    try {
      const report = await this.agent.report(node, timeoutMs);
      const roundTripMs = clock.nowMs() - beforeMs;
      // Beats know better than this question, which waits behind whatever both nodes do. An older node has none.
      const measured = { offsetMs: Math.round(report.nowMs - beforeMs - roundTripMs / 2), errorMs: roundTripMs / 2 };
      const { offsetMs, errorMs } = report.clock ?? (node === this.agent.self ? NO_OFFSET : measured);
      return { report, problem: '', offsetMs, errorMs: Math.ceil(Math.max(0, errorMs)) };
    } catch (error) {
      return { report: undefined, problem: reasonOf(error), ...NO_OFFSET };
    }
  }

  async logLevels(
    node: NodeId | undefined,
    level: string | undefined,
    timeoutMs: Millis,
  ): Promise<readonly NodeLogLevel[]> {
    if (level !== undefined && !LOG_LEVELS.includes(level)) {
      throw new AdminError('INVALID_ARGUMENT', `there is no level '${level}': it is one of ${LOG_LEVELS.join(', ')}`);
    }
    const { clusterState } = await this.tryClusterState(timeoutMs / 2);
    const nodes = node === undefined ? [...this.addresses(clusterState).keys()].sort((a, b) => a - b) : [node];
    return Promise.all(
      nodes.map(async (each): Promise<NodeLogLevel> => {
        try {
          return { nodeId: each, ...(await this.agent.logLevelOf(each, level, timeoutMs / 2)), problem: '' };
        } catch (error) {
          return { nodeId: each, level: '', before: '', problem: messageOf(error) };
        }
      }),
    );
  }

  async health(timeoutMs: Millis): Promise<HealthReport> {
    const { clusterState, problem } = await this.tryClusterState(timeoutMs / 3);
    const [status, jobs, gc] = await Promise.all([
      this.statusOf(clusterState, problem, [], timeoutMs / 3),
      clusterState === undefined ? undefined : this.options.catalog.jobs(timeoutMs / 3).catch(() => undefined),
      clusterState === undefined ? undefined : this.options.gc.status(timeoutMs / 3).catch(() => undefined),
    ]);
    const { clock } = this.options;
    const report = judgeHealth(
      status,
      clusterState?.groups.map((row) => groupView(row, undefined, 0)),
      jobs?.map(jobView),
      clock.nowMs(),
    );
    return gc?.isOverdue === true ? { ...report, problems: [...report.problems, overdueProblem(gc)] } : report;
  }

  async groups(timeoutMs: Millis): Promise<readonly GroupView[]> {
    const { groups } = await this.options.catalog.clusterState(timeoutMs);
    return [...groups].sort((left, right) => left.id - right.id).map((row) => this.viewOfGroup(row));
  }

  private viewOfGroup(row: GroupRow): GroupView {
    let count = 0;
    for (const _ of this.options.routes.current.ofGroup(row.id)) if (++count === MAX_COUNTED_ROUTES) break;
    return groupView(row, this.agent.replica(row.id)?.leader()?.nodeId, count);
  }

  async nodes(timeoutMs: Millis): Promise<readonly NodeView[]> {
    const clusterState = await this.options.catalog.clusterState(timeoutMs);
    const nowMs = this.options.clock.nowMs();
    return [...clusterState.nodes]
      .sort((left, right) => left.nodeId - right.nodeId)
      .map((row) => nodeView(row, nowMs, serviceOf(clusterState, row.nodeId)));
  }

  async settings(timeoutMs: Millis): Promise<readonly SettingView[]> {
    const { settings } = await this.options.catalog.clusterState(timeoutMs);
    return settingViews(settings);
  }

  async features(timeoutMs: Millis): Promise<readonly FeatureView[]> {
    return featureViews(await this.options.catalog.clusterState(timeoutMs));
  }

  private async tryClusterState(
    timeoutMs: Millis,
  ): Promise<{ readonly clusterState: ClusterState | undefined; readonly problem: string }> {
    try {
      return {
        clusterState: await this.options.catalog.clusterState(Math.min(timeoutMs, CATALOG_WAIT_MS)),
        problem: '',
      };
    } catch (error) {
      return { clusterState: undefined, problem: messageOf(error) };
    }
  }

  /** Every node that anybody here knows of. What the catalog says is newer than what this node was configured with. */
  private addresses(clusterState: ClusterState | undefined): Map<NodeId, string> {
    const addresses = new Map<NodeId, string>([[this.agent.self, this.options.local.address]]);
    for (const { nodeId: node, address } of this.options.knownNodes()) addresses.set(node, address);
    for (const group of this.options.local.groups()) {
      const { voters, learners } = group.status().conf;
      for (const node of [...voters, ...learners]) if (!addresses.has(node)) addresses.set(node, '');
    }
    for (const { nodeId: node, address } of clusterState?.nodes ?? []) addresses.set(node, address);
    // Whoever was removed for good is missed by nobody, whatever the configuration of this node still says.
    for (const { nodeId: node } of clusterState?.removed ?? []) {
      if (!clusterState?.nodes.some((row) => row.nodeId === node)) addresses.delete(node);
    }
    return addresses;
  }

  // --- membership --------------------------------------------------------------------------------------------------

  async members(groups: readonly GroupId[], timeoutMs: Millis): Promise<readonly GroupMembers[]> {
    const { clusterState } = await this.tryClusterState(timeoutMs / 2);
    for (const group of groups) this.assertKnown(group, clusterState);
    const wanted = groups.length > 0 ? groups : this.groupIds(clusterState);
    const all = await Promise.all(
      wanted.map(async (group): Promise<GroupMembers> => {
        try {
          return await this.agent.atLeader<'members'>({ op: 'members', group }, timeoutMs / 2);
        } catch (error) {
          const problem = messageOf(error);
          return { groupId: group, term: 0, lastIndex: 0, isJoint: false, members: [], problem };
        }
      }),
    );
    return all.map((group) => this.addressed(group, clusterState));
  }

  private groupIds(clusterState: ClusterState | undefined): readonly GroupId[] {
    const listed = clusterState?.groups.filter(({ state }) => state === 'ACTIVE').map(({ id }) => id);
    const ids = new Set(listed ?? this.options.routes.current.groups());
    for (const group of this.options.local.groups()) ids.add(group.groupId);
    return [...ids].sort((left, right) => left - right);
  }

  private addressed(group: GroupMembers, clusterState: ClusterState | undefined): GroupMembers {
    const addresses = this.addresses(clusterState);
    return {
      ...group,
      members: group.members.map((member) => ({ ...member, address: addresses.get(member.nodeId) ?? '' })),
    };
  }

  /** A group that nobody ever heard of is a slip of the pen, not a leader to wait for. */
  private async checkGroup(group: GroupId, timeoutMs: Millis): Promise<ClusterState | undefined> {
    const { clusterState } = await this.tryClusterState(timeoutMs / 2);
    this.assertKnown(group, clusterState);
    return clusterState;
  }

  /** @throws AdminError GROUP_NOT_FOUND; not while nobody knows which groups there are */
  private assertKnown(group: GroupId, clusterState: ClusterState | undefined): void {
    if (clusterState === undefined) return;
    const known = this.groupIds(clusterState);
    if (known.includes(group)) return;
    throw new AdminError('GROUP_NOT_FOUND', `there is no group ${group}; there are ${known.join(', ') || 'none'}`);
  }

  async addLearner(group: GroupId, node: NodeId, address: string, timeoutMs: Millis): Promise<MembershipResult> {
    const clusterState = await this.checkGroup(group, timeoutMs);
    const wanted = address || this.addresses(clusterState).get(node) || '';
    if (wanted === '') {
      throw new AdminError(
        'NODE_NOT_FOUND',
        `the address of node ${node} is not known; give host:port of its gRPC port as well`,
      );
    }
    // What the node says of itself is believed; what somebody typed may be a slip.
    const port = address === '' ? '1' : ADDRESS.exec(wanted)?.[1];
    if (port === undefined || Number(port) === 0 || Number(port) > 65_535) {
      throw new AdminError('INVALID_ARGUMENT', `'${wanted}' is no address; give host:port of the node's gRPC port`);
    }
    const leaderMs = timeoutMs / 2;
    return this.membership(
      await this.agent.atLeader<'addLearner'>(
        { op: 'addLearner', group, node, address: wanted, timeoutMs: leaderMs * 0.8 },
        leaderMs,
      ),
      clusterState,
    );
  }

  async promote(group: GroupId, node: NodeId, timeoutMs: Millis): Promise<MembershipResult> {
    const clusterState = await this.checkGroup(group, timeoutMs);
    return this.membership(
      await this.agent.atLeader<'promote'>({ op: 'promote', group, node }, timeoutMs / 2),
      clusterState,
    );
  }

  async removeMember(group: GroupId, node: NodeId, timeoutMs: Millis): Promise<MembershipResult> {
    const clusterState = await this.checkGroup(group, timeoutMs);
    return this.membership(
      await this.agent.atLeader<'remove'>({ op: 'remove', group, node }, timeoutMs / 2),
      clusterState,
    );
  }

  private membership(result: MembershipResult, clusterState: ClusterState | undefined): MembershipResult {
    return { ...result, group: this.addressed(result.group, clusterState) };
  }

  async transferLeader(group: GroupId, to: NodeId | undefined, timeoutMs: Millis): Promise<TransferResult> {
    await this.checkGroup(group, timeoutMs);
    return this.agent.atLeader<'transfer'>({ op: 'transfer', group, to: to ?? null }, timeoutMs / 2);
  }

  // --- groups ------------------------------------------------------------------------------------------------------

  async createGroup(
    id: GroupId | undefined,
    founders: readonly NodeId[],
    preferredLeader: NodeId | undefined,
    timeoutMs: Millis,
    requestId?: Buffer,
  ): Promise<GroupView> {
    if (founders.length === 0) throw new AdminError('INVALID_ARGUMENT', 'a group needs at least one founder');
    if (new Set(founders).size < founders.length) {
      throw new AdminError('INVALID_ARGUMENT', 'a founder is named twice; name every node once');
    }
    if (preferredLeader !== undefined && !founders.includes(preferredLeader)) {
      throw new AdminError('INVALID_ARGUMENT', `node ${preferredLeader} cannot lead: it is none of the founders`);
    }
    const { nodes } = await this.options.catalog.clusterState(timeoutMs / 2);
    const known = nodes.map((row) => row.nodeId);
    const unknown = founders.filter((founder) => !known.includes(founder));
    if (unknown.length > 0) {
      throw new AdminError(
        'NODE_NOT_FOUND',
        `node ${unknown.join(', ')} is not in the cluster; start it first. There are ${known.join(', ')}`,
      );
    }
    const sorted = [...founders].map(nodeId).sort((a, b) => a - b);
    const row = await this.options.catalog.run(
      { kind: 'createGroup', id, founders: sorted, preferredLeader, requestId },
      timeoutMs / 2,
    );
    return this.viewOfGroup(row);
  }

  async removeGroup(id: GroupId, timeoutMs: Millis): Promise<GroupView> {
    return this.viewOfGroup(await this.options.catalog.run({ kind: 'removeGroup', id }, timeoutMs));
  }

  // --- routes ------------------------------------------------------------------------------------------------------

  routes(filter: RoutesFilter): Iterable<RoutesPage> {
    return routePages(this.options.routes.current, filter);
  }

  watchRoutes(onlyChanges: boolean, signal: AbortSignal): AsyncIterable<RoutesChange> {
    return watchRoutes(this.options.routes, this.options.scheduler, onlyChanges, signal);
  }

  async split(key: Buffer, expectedVersion: number | undefined, timeoutMs: Millis): Promise<RoutesResult> {
    return this.operator.split(key, expectedVersion, timeoutMs);
  }

  async batchSplit(
    keys: readonly Buffer[],
    batchId: Buffer,
    expectedVersion: number | undefined,
    timeoutMs: Millis,
  ): Promise<RoutesResult> {
    return this.operator.batchSplit(keys, batchId, expectedVersion, timeoutMs);
  }

  async merge(boundary: Buffer, expectedVersion: number | undefined, timeoutMs: Millis): Promise<MergeResult> {
    return this.operator.merge(boundary, expectedVersion, timeoutMs);
  }

  async move(ref: RouteRef, to: GroupId, expectedVersion: number | undefined, timeoutMs: Millis): Promise<JobView> {
    await this.checkGroup(to, timeoutMs);
    return this.operator.move(ref, to, expectedVersion, timeoutMs / 2);
  }

  async jobs(id: number, finishedLimit: number, timeoutMs: Millis): Promise<readonly JobView[]> {
    const rows = await this.options.catalog.jobs(timeoutMs);
    if (id !== 0) return rows.filter((row) => row.id === id).map(jobView);
    const finished = rows.filter(isFinished).slice(0, finishedLimit);
    return [...rows.filter((row) => !isFinished(row)), ...finished].map(jobView);
  }

  async abortJob(id: number, timeoutMs: Millis): Promise<AbortJobResult> {
    return this.operator.abortJob(id, timeoutMs);
  }

  // --- switches ----------------------------------------------------------------------------------------------------

  async setSetting(name: string, value: string, timeoutMs: Millis): Promise<SettingView> {
    return settingView(await this.options.catalog.run({ kind: 'setSetting', name, value }, timeoutMs));
  }

  async activateFeature(name: string, timeoutMs: Millis): Promise<FeatureView> {
    const { activatedMs } = await this.options.catalog.run({ kind: 'activateFeature', name }, timeoutMs);
    return featureView(name, activatedMs, []);
  }

  async balance(timeoutMs: Millis): Promise<BalanceView> {
    const { catalog, balance } = this.options;
    const [status, { work }] = await Promise.all([balance(timeoutMs), catalog.clusterState(timeoutMs)]);
    return balanceView(status, work);
  }

  async gc(timeoutMs: Millis): Promise<GcView> {
    return gcView(await this.options.gc.status(timeoutMs));
  }

  async runGc(timeoutMs: Millis): Promise<GcRunResult> {
    const result = await this.options.gc.runNow(timeoutMs / 2);
    return { result, status: await this.gc(timeoutMs / 2) };
  }

  async backups(timeoutMs: Millis): Promise<BackupsView> {
    return this.options.backups().view(timeoutMs);
  }

  async createBackup(place: string | undefined, timeoutMs: Millis): Promise<{ readonly id: string }> {
    return this.options.backups().create(place, timeoutMs);
  }

  // --- longer work -------------------------------------------------------------------------------------------------

  async replace(request: ReplaceRequest, timeoutMs: Millis): Promise<ReplaceStatus> {
    return this.operations.replace(request, timeoutMs);
  }

  async drain(request: DrainRequest, timeoutMs: Millis): Promise<DrainStatus> {
    return this.operations.drain(request, timeoutMs);
  }

  async drainProgress(node: NodeId, timeoutMs: Millis): Promise<DrainStatus> {
    return this.operations.drainProgress(node, timeoutMs);
  }

  async doctor(timeoutMs: Millis): Promise<DoctorReport> {
    return this.operations.doctor(timeoutMs);
  }

  async time(timeoutMs: Millis): Promise<TsoReport> {
    return this.operations.time(timeoutMs);
  }

  async transactions(
    groups: readonly GroupId[],
    limit: number,
    txnId: Buffer | undefined,
    primary: Buffer | undefined,
    timeoutMs: Millis,
  ): Promise<TxnsReport> {
    return this.operations.transactions(groups, limit, txnId, primary, timeoutMs);
  }

  async resolveTransaction(txnId: Buffer, isForced: boolean, timeoutMs: Millis): Promise<ResolveTxnResult> {
    return this.operations.resolveTransaction(txnId, isForced, timeoutMs);
  }

  async recover(request: RecoverRequest, timeoutMs: Millis): Promise<RecoverResult> {
    return this.operations.recover(request, timeoutMs);
  }
}
