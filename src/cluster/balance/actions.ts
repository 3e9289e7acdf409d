/** How actions of the rules are carried out: by the catalog where this node leads it, and by the leaders of groups. */
import {
  type ClusterState,
  type MembershipAction,
  type MergeAction,
  type MoveAction,
  type RouteTable,
  type SplitAction,
  type TransferAction,
  withdrawalOf,
} from '../../distribution/index.ts';
import {
  type Clock,
  type HlcTimestamp,
  hasCode,
  type Millis,
  type NodeId,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import {
  type AdminBackend,
  AdminError,
  type AdminErrorCode,
  type BalanceOutputs,
  type BalanceReport,
  type CatalogReply,
  type CatalogRequest,
} from '../contract/index.ts';

/** For one request to a group's leader. */
const REQUEST_MS: Millis = 15_000;
/** For a new replica: its node may be gone, and half of this is waited for it. */
const ADD_MS: Millis = 4_000;
/** Between looks at a replica that is being filled. */
const LOOK_MS: Millis = 1_000;
/** A new replica that is not filled by then is given up; it stays a learner, and the next try goes on from there. */
const FILL_MS: Millis = 1_200_000;
const BATCH_ID_BYTES = 16;

export interface BalanceActionsOptions {
  readonly catalog: { run<Request extends CatalogRequest>(request: Request): Promise<CatalogReply<Request>> };
  readonly admin: Pick<AdminBackend, 'transferLeader' | 'addLearner' | 'promote' | 'removeMember' | 'members'>;
  /** True while this node leads the catalog group and serves. */
  readonly isLeading: () => boolean;
  /** As of the catalog's state. */
  readonly clusterState: () => ClusterState;
  /** Nodes whose heartbeat came in time. */
  readonly liveNodes: () => ReadonlySet<NodeId>;
  readonly routes: () => RouteTable;
  readonly nowTs: () => HlcTimestamp;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly onReport: (report: BalanceReport) => void;
}

/** See the top of the file. Everything is compared and set on what it was planned from, or can be done again. */
export class BalanceActions implements BalanceOutputs {
  private readonly options: BalanceActionsOptions;

  constructor(options: BalanceActionsOptions) {
    this.options = options;
  }

  async split({ routeId, keys }: SplitAction): Promise<void> {
    const { catalog, routes, nowTs, random } = this.options;
    const expectedVersion = routes().version;
    const items = keys.map((splitKey) => ({ routeId, splitKey }));
    const batchId = random.bytes(BATCH_ID_BYTES);
    await catalog.run({ kind: 'batchSplit', expectedVersion, batchId, items, splitAtTs: nowTs() });
  }

  async merge({ leftId, rightId, boundary }: MergeAction): Promise<void> {
    const { catalog, routes } = this.options;
    await catalog.run({ kind: 'merge', expectedVersion: routes().version, leftId, rightId, boundary });
  }

  async move({ routeId, start, dst }: MoveAction): Promise<void> {
    const { catalog, routes } = this.options;
    await catalog.run({ kind: 'createMove', expectedVersion: routes().version, routeId, start, dst });
  }

  async transferLeader({ group, to }: TransferAction): Promise<void> {
    await this.options.admin.transferLeader(group, to, REQUEST_MS);
  }

  async changeMembership(action: MembershipAction): Promise<void> {
    const { admin, clock, scheduler } = this.options;
    const { group, remove } = action;
    const isForDrain = this.isWithdrawn(remove);
    const add = await this.begunFor(action);
    try {
      await admin.addLearner(group, add, '', ADD_MS);
    } catch (error) {
      // An earlier try came as far as making it a voter.
      if (!hasCode<AdminErrorCode>(error, 'NOT_A_LEARNER')) throw error;
    }
    const giveUpMs = clock.monotonicMs() + FILL_MS;
    for (;;) {
      await this.endIfUseless({ ...action, add }, isForDrain);
      try {
        await admin.promote(group, add, REQUEST_MS);
        break;
      } catch (error) {
        if (!hasCode<AdminErrorCode>(error, 'LEARNER_BEHIND') || clock.monotonicMs() >= giveUpMs) throw error;
        await sleep(scheduler, LOOK_MS);
      }
    }
    const [members] = await admin.members([group], REQUEST_MS);
    // A leader that removes itself leaves its clients to an election.
    if (members?.leader === remove) await admin.transferLeader(group, add, REQUEST_MS);
    await admin.removeMember(group, remove, REQUEST_MS);
  }

  /** The new replica's node: that of one which was begun before, by whoever led the catalog then, if it is still good for it. */
  private async begunFor({ group, add, remove }: MembershipAction): Promise<NodeId> {
    const { admin, liveNodes } = this.options;
    const [now] = await admin.members([group], REQUEST_MS);
    const begun = now?.members.find(
      ({ nodeId, suffrage }) =>
        suffrage === 'learner' && nodeId !== remove && liveNodes().has(nodeId) && !this.isWithdrawn(nodeId),
    );
    return begun?.nodeId ?? add;
  }

  private isWithdrawn(node: NodeId): boolean {
    return withdrawalOf(this.options.clusterState(), node) !== undefined;
  }

  /**
   * A replica that is being filled may take long, and meanwhile what it is made for may pass: then it is taken away again.
   * @throws AdminError then; NotLeaderError when another node goes on with it
   */
  private async endIfUseless({ group, add, remove }: MembershipAction, isForDrain: boolean): Promise<void> {
    const { admin, isLeading, liveNodes } = this.options;
    if (!isLeading()) throw new NotLeaderError(undefined);
    let why: string | undefined;
    if (isForDrain && !this.isWithdrawn(remove)) why = `node ${remove} is back in service`;
    else if (this.isWithdrawn(add)) why = `node ${add} is taken out of service itself`;
    else if (!liveNodes().has(add)) why = `node ${add} does not answer any more`;
    if (why === undefined) return;
    await admin.removeMember(group, add, REQUEST_MS);
    throw new AdminError('NODE_NOT_FOUND', `${why}; its new replica is given up`);
  }

  report(report: BalanceReport): void {
    this.options.onReport(report);
  }
}
