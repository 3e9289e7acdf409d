/** Operators' longer work: what takes several questions to several nodes is put together here from the backend's own calls. */
import type { ClusterState, RouteEngine } from '../../distribution/index.ts';
import type { OracleStatus, TxnClient } from '../../kv/index.ts';
import type { Clock, GroupId, Millis, NodeId, Scheduler } from '../../platform/index.ts';
import type {
  AdminBackend,
  CatalogClient,
  ClusterStatus,
  DoctorReport,
  DrainRequest,
  DrainStatus,
  NodeExamination,
  RecoverRequest,
  RecoverResult,
  ReplaceRequest,
  ReplaceStatus,
  ResolveTxnResult,
  TsoReport,
  TxnsReport,
} from '../contract/index.ts';
import type { AdminAgent } from './admin-agent.ts';
import { diagnose } from './diagnosis.ts';
import { DrainOperator } from './drain-operator.ts';
import { RecoveryOperator } from './recovery-operator.ts';
import { ReplaceOperator } from './replace-operator.ts';
import { timeReport } from './time-operator.ts';
import { MAX_TOLD_LOCKS, TxnOperator } from './txn-operator.ts';

export interface OperationsOptions {
  readonly agent: AdminAgent;
  readonly incarnation: Buffer;
  /** See `LocalNode`. */
  readonly metFolder: (node: NodeId) => string | undefined;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly catalog: CatalogClient;
  readonly catalogGroup: GroupId;
  readonly routes: RouteEngine;
  readonly txns: TxnClient;
  readonly maxPromoteLag: number;
  readonly oracleStatus: (group: GroupId) => Promise<OracleStatus>;
  /** Every node that anybody here knows of. */
  readonly nodes: (clusterState: ClusterState | undefined) => readonly NodeId[];
  readonly groupIds: (clusterState: ClusterState | undefined) => readonly GroupId[];
  readonly backend: Pick<AdminBackend, 'members' | 'addLearner' | 'promote' | 'removeMember' | 'status' | 'health'>;
}

const NOT_EXAMINED: Omit<NodeExamination, 'nodeId' | 'problem'> = {
  version: '',
  runtime: '',
  platform: '',
  syncCount: 0,
  syncMedianMs: 0,
  syncMaxMs: 0,
  diskFreeBytes: 0,
  diskTotalBytes: 0,
  loopLagMedianMs: 0,
  loopLagMaxMs: 0,
  memoryUsedBytes: 0,
  memoryLimitBytes: 0,
  clockOffsetMs: 0,
  clockErrorMs: 0,
  shared: [],
  remarks: [],
};

/** See the top of the file. */
export class Operations {
  private readonly options: OperationsOptions;
  private readonly replacement: ReplaceOperator;
  private readonly drains: DrainOperator;
  private readonly recovery: RecoveryOperator;
  private readonly txns: TxnOperator;

  constructor(options: OperationsOptions) {
    const { agent, backend, txns, clock, routes, catalog } = options;
    this.options = options;
    this.replacement = new ReplaceOperator({
      ...options,
      self: agent.self,
      report: (node, timeoutMs) => agent.report(node, timeoutMs),
      members: (groups, timeoutMs) => backend.members(groups, timeoutMs),
      addLearner: (group, node, address, timeoutMs) => backend.addLearner(group, node, address, timeoutMs),
      promote: (group, node, timeoutMs) => backend.promote(group, node, timeoutMs),
      remove: (group, node, timeoutMs) => backend.removeMember(group, node, timeoutMs),
    });
    this.drains = new DrainOperator({
      clock,
      catalog,
      members: (groups, timeoutMs) => backend.members(groups, timeoutMs),
      remove: (group, node, timeoutMs) => backend.removeMember(group, node, timeoutMs),
    });
    this.recovery = new RecoveryOperator({
      ...options,
      self: agent.self,
      nodes: () => options.nodes(undefined),
      report: (node, timeoutMs) => agent.report(node, timeoutMs),
      logEnd: (node, group, timeoutMs) => agent.logEndOf(node, group, timeoutMs),
      order: (node, order, timeoutMs) => agent.orderRecovery(node, order, timeoutMs),
      reviveCatalog: (node, timeoutMs) => agent.reviveCatalog(node, timeoutMs),
      members: (groups, timeoutMs) => backend.members(groups, timeoutMs),
    });
    this.txns = new TxnOperator({
      client: txns,
      clock,
      groupIds: async (timeoutMs) => options.groupIds(await catalog.clusterState(timeoutMs)),
      groupOf: (key) => routes.current.groupOf(key),
      locksOf: (group, timeoutMs) => agent.atLeader<'locks'>({ op: 'locks', group, limit: MAX_TOLD_LOCKS }, timeoutMs),
      fateOf: async (group, { txnId, primary }, timeoutMs) =>
        (await agent.atLeader<'fate'>({ op: 'fate', group, txnId, primary }, timeoutMs)) ?? undefined,
    });
  }

  replace(request: ReplaceRequest, timeoutMs: Millis): Promise<ReplaceStatus> {
    return this.replacement.advance(request, timeoutMs);
  }

  drain(request: DrainRequest, timeoutMs: Millis): Promise<DrainStatus> {
    return this.drains.run(request, timeoutMs);
  }

  drainProgress(node: NodeId, timeoutMs: Millis): Promise<DrainStatus> {
    return this.drains.progress(node, timeoutMs);
  }

  recover(request: RecoverRequest, timeoutMs: Millis): Promise<RecoverResult> {
    return this.recovery.recover(request, timeoutMs);
  }

  async transactions(
    groups: readonly GroupId[],
    limit: number,
    txnId: Buffer | undefined,
    primary: Buffer | undefined,
    timeoutMs: Millis,
  ): Promise<TxnsReport> {
    return this.txns.list(groups, limit, txnId, primary, timeoutMs);
  }

  async resolveTransaction(txnId: Buffer, isForced: boolean, timeoutMs: Millis): Promise<ResolveTxnResult> {
    return this.txns.resolve(txnId, isForced, timeoutMs);
  }

  async time(timeoutMs: Millis): Promise<TsoReport> {
    const { catalog, groupIds, oracleStatus } = this.options;
    const clusterState = await catalog.clusterState(timeoutMs / 2);
    return timeReport(clusterState, groupIds(clusterState), oracleStatus, () => this.options.clock.nowMs());
  }

  async doctor(timeoutMs: Millis): Promise<DoctorReport> {
    const { backend, catalog, nodes, clock, maxPromoteLag } = this.options;
    const clusterState = await catalog.clusterState(timeoutMs / 4).catch(() => undefined);
    const [health, status, members, asked] = await Promise.all([
      backend.health(timeoutMs / 2),
      backend.status([], timeoutMs / 2),
      backend.members([], timeoutMs / 2),
      Promise.all(nodes(clusterState).map((node) => this.examine(node, timeoutMs / 2))),
    ]);
    const examinations = asked.map((each) => this.located(each, status));
    const findings = { status, examinations, members, clusterState, maxPromoteLag, nowMs: clock.nowMs() };
    return { nodes: examinations, problems: [...health.problems, ...diagnose(findings)] };
  }

  private async examine(nodeId: NodeId, timeoutMs: Millis): Promise<NodeExamination> {
    try {
      const own = await this.options.agent.examine(nodeId, timeoutMs);
      if (own === null) return { ...NOT_EXAMINED, nodeId, problem: 'it cannot measure itself' };
      return { ...NOT_EXAMINED, ...own, nodeId, problem: '' };
    } catch (error) {
      return { ...NOT_EXAMINED, nodeId, problem: error instanceof Error ? error.message : String(error) };
    }
  }

  /** What the node's report says beside its examination. */
  private located(examination: NodeExamination, { nodes }: ClusterStatus): NodeExamination {
    const node = nodes.find(({ nodeId }) => nodeId === examination.nodeId);
    if (node === undefined) return examination;
    const { version, clockOffsetMs, clockErrorMs } = node;
    return { ...examination, version, clockOffsetMs, clockErrorMs };
  }
}
