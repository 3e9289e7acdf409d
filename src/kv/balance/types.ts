/** What the balance scheduler is given and what it asks for; everything it knows and does goes through here. */
import type {
  BalanceAction,
  ClusterDocument,
  ClusterWindow,
  GroupPlacement,
  MembershipAction,
  MergeAction,
  MoveAction,
  RouteId,
  RouteTable,
  SplitAction,
  TransferAction,
} from '../../distribution/index.ts';
import type { Millis, NodeId } from '../../platform/index.ts';

/** The cluster as the leader of the catalog group sees it. Read in one go, without waiting. */
export interface BalanceInputs {
  /** As of the catalog's state, heartbeats included. */
  document(): ClusterDocument;
  routes(): RouteTable;
  /** Oldest first; at least the last six. */
  windows(): readonly ClusterWindow[];
  groupStatus(): readonly GroupPlacement[];
  /** Nodes whose heartbeat came in time. */
  liveNodes(): ReadonlySet<NodeId>;
  /** Stored bytes of ranges, as far as they were measured. */
  rangeBytes(): ReadonlyMap<RouteId, number>;
}

/**
 * What the scheduler has done. Each settles when the action has taken effect, or rejects when it has not: it is planned
 * anew then, from what the cluster looks like by then, so nothing has to be undone or repeated.
 */
export interface BalanceOutputs {
  split(action: SplitAction): Promise<void>;
  merge(action: MergeAction): Promise<void>;
  transferLeader(action: TransferAction): Promise<void>;
  changeMembership(action: MembershipAction): Promise<void>;
  /** Settles when the job is in the catalog. */
  move(action: MoveAction): Promise<void>;
  report(report: BalanceReport): void;
}

/** Which rule speaks. */
export type Duty = 'autosplit' | 'automerge' | 'balance.leaders' | 'balance.size';

/** One thing worth telling an operator. */
export interface BalanceReport {
  readonly atMs: Millis;
  readonly duty: Duty;
  /**
   * `idle`: nothing to do, or passed over; `observed`: would be done if the switch were on; `begun`, `done`, `failed`: of an
   * action; `overdue`: an action without an outcome is not waited for any longer.
   */
  readonly event: 'idle' | 'observed' | 'begun' | 'done' | 'failed' | 'overdue';
  readonly action: BalanceAction | undefined;
  readonly text: string;
}

/** Times of the scheduler; see `DEFAULT_BALANCE_TIMES`. */
export interface BalanceTimes {
  /** How often leadership and due rules are looked at. */
  readonly tickMs: Millis;
  /** How often each rule is asked. */
  readonly intervalMs: { readonly [Name in Duty]: Millis };
  /** Time after an action of a rule before the rule acts again, whatever its interval. */
  readonly restMs: { readonly [Name in Duty]: Millis };
  /** Time after an action on a group before any rule acts on the group again. */
  readonly groupRestMs: Millis;
  /** An action that has no outcome by then is not waited for any longer. */
  readonly actionLimitMs: Millis;
}
