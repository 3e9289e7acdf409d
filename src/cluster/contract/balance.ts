/** What the balance scheduler is given and what it asks for; everything it knows and does goes through here. */
import type {
  BalanceAction,
  ClusterState,
  ClusterWindow,
  GroupPlacement,
  MembershipAction,
  MergeAction,
  MoveAction,
  RouteId,
  RouteTable,
  SplitAction,
  SwitchValue,
  TransferAction,
} from '../../distribution/index.ts';
import type { GroupId, Millis, NodeId, Term } from '../../platform/index.ts';

/** The cluster as the leader of the catalog group sees it. Read in one go, without waiting. */
export interface BalanceInputs {
  /** As of the catalog's state, heartbeats included. */
  clusterState(): ClusterState;
  routes(): RouteTable;
  /** Oldest first; at least the last six. */
  windows(): readonly ClusterWindow[];
  groupStatus(): readonly GroupPlacement[];
  /** Nodes whose heartbeat came in time. */
  liveNodes(): ReadonlySet<NodeId>;
  /** Nodes that should not lead. */
  unfitNodes?(): ReadonlySet<NodeId>;
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
export type Duty = 'autosplit' | 'automerge' | 'balance.leaders' | 'balance.size' | 'drain';

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

/** A group as its leader sees it. */
export interface GroupReport {
  readonly group: GroupId;
  /** Of two leaders the one of the higher term is right. */
  readonly term: Term;
  readonly voters: readonly NodeId[];
  /** A membership change or a transfer is under way. */
  readonly isBusy: boolean;
  /** Stored bytes of its replica; undefined while they were not measured. */
  readonly bytes: number | undefined;
}

/** Stored bytes of a range, as its group's leader measured them. */
export interface MeasuredRange {
  readonly id: RouteId;
  readonly bytes: number;
}

/** What a node tells the leader of the catalog group for balancing. */
export interface LoadReport {
  readonly nodeId: NodeId;
  readonly led: readonly GroupReport[];
  /** Some of the ranges that the node leads; each time others. */
  readonly ranges: readonly MeasuredRange[];
  /** `encodeWindow` of the last window when it has ended since the report before. */
  readonly window: Buffer | undefined;
}

/** How the rules of balancing stand, for operators. */
export interface BalanceStatus {
  /** Where the rules are asked: the leader of the catalog group. */
  readonly nodeId: NodeId;
  readonly duties: readonly DutyStatus[];
  /** Windows of load that the leader has, and the groups that the newest knows completely. */
  readonly windowCount: number;
  readonly completeGroups: number;
  /** Oldest first. */
  readonly reports: readonly BalanceReport[];
}

/** One rule. */
export interface DutyStatus {
  readonly duty: Duty;
  readonly mode: SwitchValue;
  /** Until it is asked again; 0 while an action is under way. */
  readonly nextInMs: Millis;
  /** What is being done; empty for nothing. */
  readonly underWay: string;
  /** What it said last; empty before it was asked. */
  readonly said: string;
}
