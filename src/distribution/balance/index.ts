/**
 * Rules of balancing: pure functions from what is known of load and sizes to one action, or the reason for none.
 */

export type {
  BalanceAction,
  BalancePlan,
  BalanceView,
  GroupPlacement,
  MembershipAction,
  MergeAction,
  MoveAction,
  SplitAction,
  TransferAction,
} from './actions.ts';
export { planMerges } from './auto-merge.ts';
export { hasSuccessor, planDrains, roomFor } from './drain-balance.ts';
export { planSplits } from './hotspots.ts';
export { planLeaders } from './leader-balance.ts';
export { decodeWindow, encodeWindow } from './load-codec.ts';
export { LoadSampler } from './load-sampler.ts';
export {
  type ClusterWindow,
  clusterWindow,
  type LoadWindow,
  type ReportedWindow,
  type RouteLoad,
  scoreOf,
} from './load-window.ts';
export { planSizes } from './size-balance.ts';
