/** What a planner proposes. Each action says why in a sentence that can be shown to an operator as it is. */
import type { GroupId, Millis, NodeId } from '../../platform/index.ts';
import type { ClusterState, RouteId } from '../contract/index.ts';
import type { RouteTable } from '../routes/index.ts';
import type { ClusterWindow } from './load-window.ts';

/** Cuts a range in place at one key, or at two to set what lies between them apart. */
export interface SplitAction {
  readonly kind: 'split';
  readonly routeId: RouteId;
  /** Ascending, strictly inside the range. */
  readonly keys: readonly Buffer[];
  readonly reason: string;
}

/** Joins two neighbours of one group. */
export interface MergeAction {
  readonly kind: 'merge';
  readonly leftId: RouteId;
  readonly rightId: RouteId;
  /** Where the right one starts. */
  readonly boundary: Buffer;
  readonly reason: string;
}

/** Hands a group's leadership to another voter. */
export interface TransferAction {
  readonly kind: 'transferLeader';
  readonly group: GroupId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly reason: string;
}

/** Replaces one replica of a group by one on another node: learner, then voter, then the old one goes. */
export interface MembershipAction {
  readonly kind: 'changeMembership';
  readonly group: GroupId;
  readonly add: NodeId;
  readonly remove: NodeId;
  readonly reason: string;
}

/** Moves a range to another group. */
export interface MoveAction {
  readonly kind: 'move';
  readonly routeId: RouteId;
  readonly start: Buffer;
  readonly dst: GroupId;
  readonly reason: string;
}

export type BalanceAction = SplitAction | MergeAction | TransferAction | MembershipAction | MoveAction;

/** A group's replicas as its leader sees them. */
export interface GroupPlacement {
  readonly id: GroupId;
  readonly voters: readonly NodeId[];
  /** Undefined while nobody is known to lead. */
  readonly leader: NodeId | undefined;
  /** A membership change, a transfer or a job is under way: nothing is planned for the group meanwhile. */
  readonly isBusy: boolean;
  /** It is busy for nothing else than a change of its members, which may have been left by somebody who is gone. */
  readonly isUnfinished?: boolean;
  /** Stored bytes of one replica; undefined when not known. */
  readonly bytes: number | undefined;
}

/** What planners may look at; whatever is missing here is unknown, and they decline rather than guess. */
export interface BalanceView {
  readonly clusterState: ClusterState;
  readonly routes: RouteTable;
  /** Oldest first. */
  readonly windows: readonly ClusterWindow[];
  readonly groups: readonly GroupPlacement[];
  /** Nodes whose heartbeat is fresh. */
  readonly liveNodes: ReadonlySet<NodeId>;
  /** Nodes that should not lead, since their clocks are off. */
  readonly unfitNodes?: ReadonlySet<NodeId>;
  /** Stored bytes of ranges, as far as they were measured. */
  readonly rangeBytes: ReadonlyMap<RouteId, number>;
  /** Wall clock of the catalog, for cooldowns that are reconstructed from its rows. */
  readonly nowMs: Millis;
}

/** What a planner makes of a view: at most a few actions, and why it does nothing more. */
export interface BalancePlan {
  readonly actions: readonly BalanceAction[];
  /** Why nothing was proposed, or what was passed over. */
  readonly notes: readonly string[];
}

/** A key as it is shown in reasons. */
export const showKey = (key: Buffer): string =>
  `'${key.toString('latin1').replace(/[^\x20-\x7e]/g, (sign) => `\\x${sign.charCodeAt(0).toString(16).padStart(2, '0')}`)}'`;

/** The last windows when they follow each other without a hole, newest last; else undefined. */
export function lastWindows(windows: readonly ClusterWindow[], count: number): readonly ClusterWindow[] | undefined {
  if (windows.length < count) return undefined;
  const last = windows.slice(-count);
  const isContiguous = last.every(
    (window, at) => at === 0 || Math.abs(window.startMs - last[at - 1]!.endMs) <= SEAM_MS,
  );
  return isContiguous ? last : undefined;
}

/** Windows of different nodes begin and end when their timers fire. */
const SEAM_MS = 5_000;
