/**
 * Takes nodes out of service. That one is taken out is a row of the catalog, so it outlasts whoever asked for it: the node itself gives its
 * leadership away, the rules of balancing move its replicas, and here is only said how far that is. What ends it for good is done
 * here: a decommissioned node without replicas is removed, with whatever call finds it so.
 */
import {
  type ClusterState,
  hasSuccessor,
  type NodeRow,
  roomFor,
  type WithdrawalAim,
  withdrawalOf,
} from '../../distribution/index.ts';
import { type Clock, counted, type GroupId, type Millis, type NodeId } from '../../platform/index.ts';
import {
  AdminError,
  type CatalogClient,
  type DrainRequest,
  type DrainStatus,
  type GroupMembers,
  type MembershipResult,
} from '../contract/index.ts';
import { serviceOf } from './views.ts';

const AIMS: { readonly [Action in DrainRequest['action']]?: WithdrawalAim } = {
  drain: 'DRAINING',
  decommission: 'DECOMMISSIONING',
};
/** Least time for one request of several. */
const LEAST_MS: Millis = 500;

export interface DrainOperatorOptions {
  readonly clock: Clock;
  readonly catalog: CatalogClient;
  readonly members: (groups: readonly GroupId[], timeoutMs: Millis) => Promise<readonly GroupMembers[]>;
  readonly remove: (group: GroupId, node: NodeId, timeoutMs: Millis) => Promise<MembershipResult>;
}

/** What a node has of groups, as their leaders know it. */
interface Holdings {
  readonly leaders: number;
  readonly voterOf: readonly GroupMembers[];
  readonly learnerOf: readonly GroupMembers[];
  /** Of groups whose leader does not answer, why. */
  readonly problem: string;
}

/** See the top of the file. */
export class DrainOperator {
  private readonly options: DrainOperatorOptions;

  constructor(options: DrainOperatorOptions) {
    this.options = options;
  }

  /** @throws AdminError NODE_NOT_FOUND, NO_ROOM; CatalogError LAST_NODE, FEATURE_UNSUPPORTED */
  async run({ nodeId, action }: DrainRequest, timeoutMs: Millis): Promise<DrainStatus> {
    const { catalog, clock } = this.options;
    const untilMs = clock.monotonicMs() + timeoutMs;
    let clusterState = await catalog.clusterState(this.left(untilMs));
    const row = rowOf(clusterState, nodeId);
    if (row === undefined) return notThere(clusterState, nodeId, action === 'decommission');
    const holdings = await this.holdingsOf(nodeId, untilMs);
    if (action === 'decommission') assertRoom(clusterState, nodeId, holdings);
    const replicas = holdings.voterOf.length + holdings.learnerOf.length;
    await catalog.run({ kind: 'withdrawNode', nodeId, aim: AIMS[action], replicas }, this.left(untilMs));
    clusterState = await catalog.clusterState(this.left(untilMs));
    if (withdrawalOf(clusterState, nodeId)?.aim === 'DECOMMISSIONING') {
      if (holdings.learnerOf.length > 0) await this.forgetCopies(nodeId, holdings, untilMs);
      else if (holdings.voterOf.length === 0 && holdings.problem === '') return this.removeForGood(row, untilMs);
    }
    return statusOf(clusterState, nodeId, holdings);
  }

  /** Only looks. @throws AdminError NODE_NOT_FOUND */
  async progress(nodeId: NodeId, timeoutMs: Millis): Promise<DrainStatus> {
    const untilMs = this.options.clock.monotonicMs() + timeoutMs;
    const clusterState = await this.options.catalog.clusterState(this.left(untilMs));
    if (rowOf(clusterState, nodeId) === undefined) return notThere(clusterState, nodeId, true);
    return statusOf(clusterState, nodeId, await this.holdingsOf(nodeId, untilMs));
  }

  private async holdingsOf(node: NodeId, untilMs: Millis): Promise<Holdings> {
    const groups = await this.options.members([], this.left(untilMs) / 2);
    const suffrageIn = (group: GroupMembers): string | undefined =>
      group.members.find(({ nodeId }) => nodeId === node)?.suffrage;
    const silent = groups.filter(({ problem }) => problem !== '');
    return {
      leaders: groups.filter(({ leader }) => leader === node).length,
      voterOf: groups.filter((group) => ['voter', 'outgoing'].includes(suffrageIn(group) ?? '')),
      learnerOf: groups.filter((group) => suffrageIn(group) === 'learner'),
      problem: silent.map(({ groupId, problem }) => `group ${groupId}: ${problem}`).join('; '),
    };
  }

  /** Nobody counts on copies without a vote. */
  private async forgetCopies(node: NodeId, { learnerOf }: Holdings, untilMs: Millis): Promise<void> {
    for (const { groupId } of learnerOf) await this.options.remove(groupId, node, this.left(untilMs));
  }

  private async removeForGood({ nodeId, incarnation }: NodeRow, untilMs: Millis): Promise<DrainStatus> {
    await this.options.catalog.run({ kind: 'removeNode', nodeId, incarnation }, this.left(untilMs));
    return removed(nodeId);
  }

  private left(untilMs: Millis): Millis {
    return Math.max(LEAST_MS, untilMs - this.options.clock.monotonicMs());
  }
}

const removed = (nodeId: NodeId): DrainStatus => ({
  nodeId,
  state: 'removed',
  isDone: true,
  leaders: 0,
  replicas: 0,
  movable: 0,
  replicasBefore: 0,
  message: `node ${nodeId} has left the cluster for good; its process ends by itself, and its data folder can go`,
  isCallDue: false,
});

const rowOf = ({ nodes }: ClusterState, nodeId: NodeId): NodeRow | undefined =>
  nodes.find((node) => node.nodeId === nodeId);

/** @throws AdminError NODE_NOT_FOUND unless it may have left for good, and has */
function notThere(clusterState: ClusterState, nodeId: NodeId, mayHaveLeft: boolean): DrainStatus {
  const isGone = clusterState.removed?.some((each) => each.nodeId === nodeId) === true;
  if (isGone && mayHaveLeft) return removed(nodeId);
  const known = clusterState.nodes.map((node) => node.nodeId).join(', ');
  throw new AdminError('NODE_NOT_FOUND', `node ${nodeId} is not in the cluster; there are ${known || 'none'}`);
}

const votersOf = ({ members }: GroupMembers): NodeId[] =>
  members.filter(({ suffrage }) => suffrage === 'voter').map((member) => member.nodeId);

/** Groups of which the node has a vote that nobody else has room for. */
const withoutRoom = (clusterState: ClusterState, nodeId: NodeId, { voterOf }: Holdings): readonly GroupMembers[] =>
  voterOf.filter((group) => {
    const voters = votersOf(group);
    const isLeaving = !voters.includes(nodeId) || hasSuccessor(voters);
    return !isLeaving && roomFor(clusterState, voters, nodeId) === undefined;
  });

/** @throws AdminError NO_ROOM when the node could never leave */
function assertRoom(clusterState: ClusterState, nodeId: NodeId, holdings: Holdings): void {
  const [group] = withoutRoom(clusterState, nodeId, holdings);
  if (group === undefined) return;
  throw new AdminError(
    'NO_ROOM',
    `group ${group.groupId} has its replicas on nodes ${votersOf(group).join(', ')}, and no other node is in service to take that of ` +
      `node ${nodeId}; add one first, or take the vote away with \`remove ${group.groupId} ${nodeId}\``,
  );
}

function statusOf(clusterState: ClusterState, nodeId: NodeId, holdings: Holdings): DrainStatus {
  const withdrawal = withdrawalOf(clusterState, nodeId);
  const replicas = holdings.voterOf.length + holdings.learnerOf.length;
  const movable = holdings.voterOf.length - withoutRoom(clusterState, nodeId, holdings).length;
  const isDecommissioned = withdrawal?.aim === 'DECOMMISSIONING';
  const isEmpty = holdings.leaders === 0 && (isDecommissioned ? false : movable === 0) && holdings.problem === '';
  const common = {
    nodeId,
    state: serviceOf(clusterState, nodeId),
    leaders: holdings.leaders,
    replicas,
    movable,
    replicasBefore: Math.max(withdrawal?.replicas ?? replicas, replicas),
    isCallDue: isDecommissioned && holdings.voterOf.length === 0 && holdings.problem === '',
  };
  if (withdrawal === undefined) return { ...common, isDone: true, message: `node ${nodeId} is in service` };
  if (isEmpty) {
    const kept =
      replicas === 0 ? 'has no replicas' : `keeps ${counted(replicas, 'replica')} that no other node has room for`;
    return { ...common, isDone: true, message: `node ${nodeId} is drained: it leads nothing and ${kept}` };
  }
  return { ...common, isDone: false, message: holdings.problem };
}
