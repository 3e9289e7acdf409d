/**
 * The catalog as a pure state machine: `planCatalog` decides what an operation writes, whoever leads the catalog group
 * proposes those rows on condition that the rows which the decision was made from are unchanged, and `advanceCatalog` takes
 * the state forward when they are applied.
 */
import { assertNever } from '../../platform/index.ts';
import {
  CatalogError,
  type FeatureOp,
  type FeatureRow,
  type GroupOp,
  type GroupRow,
  type NodeRow,
  type SettingOp,
  type SettingRow,
  type WithdrawalRow,
  type WithdrawOp,
  type WorkOp,
  type WorkRow,
} from '../contract/index.ts';
import type { CatalogPlan, PlanContext } from './catalog-draft.ts';
import { planGroup } from './catalog-groups.ts';
import {
  type CreateMergeOp,
  type CreateMoveOp,
  type JobResult,
  type PutNodeOp,
  planCreateMerge,
  planCreateMove,
  planPutNode,
  planRemoveNode,
  planSetGroup,
  planTransitionJob,
  type RemoveNodeOp,
  type SetGroupOp,
  type TransitionJobOp,
} from './catalog-jobs.ts';
import {
  type BatchSplitOp,
  type BootstrapOp,
  type MergeOp,
  planBatchSplit,
  planBootstrap,
  planMerge,
  planRestore,
  planSplit,
  type RestoreOp,
  type RoutesResult,
  type SplitOp,
} from './catalog-routes.ts';
import { planActivateFeature, planSetSetting } from './catalog-settings.ts';
import type { CatalogState } from './catalog-state.ts';
import { planWithdrawNode } from './catalog-withdrawals.ts';
import { planWork } from './catalog-work.ts';

export type RouteOp = BootstrapOp | RestoreOp | SplitOp | BatchSplitOp | MergeOp;
export type JobOp = CreateMoveOp | CreateMergeOp | TransitionJobOp | SetGroupOp;
export type NodeOp = PutNodeOp | RemoveNodeOp;
/** Operations on what all nodes keep a copy of. */
export type ClusterOp = GroupOp | SettingOp | FeatureOp | WorkOp | WithdrawOp;
export type CatalogOp = RouteOp | JobOp | NodeOp | ClusterOp;

/** What comes of an operation, by its kind. */
export type CatalogResult<Op extends CatalogOp> = Op extends RouteOp
  ? RoutesResult
  : Op extends JobOp
    ? JobResult
    : Op extends NodeOp
      ? NodeRow
      : Op extends GroupOp
        ? GroupRow
        : Op extends SettingOp
          ? SettingRow
          : Op extends FeatureOp
            ? FeatureRow
            : Op extends WithdrawOp
              ? WithdrawalRow
              : WorkRow;

/**
 * Decides what an operation writes. Pure: the state stays, nothing is read but the arguments.
 * @returns the rows to write together with the result, or why nothing is to be written
 */
export function planCatalog<Op extends CatalogOp>(
  state: CatalogState,
  op: Op,
  context: PlanContext,
): CatalogPlan<CatalogResult<Op>> | CatalogError {
  try {
    // Which planner runs follows from the kind; the compiler does not see that for a type parameter.
    return plan(state, op, context) as CatalogPlan<CatalogResult<Op>>;
  } catch (error) {
    if (error instanceof CatalogError) return error;
    throw error;
  }
}

function plan(state: CatalogState, op: CatalogOp, context: PlanContext): CatalogPlan<CatalogResult<CatalogOp>> {
  switch (op.kind) {
    case 'bootstrap':
      return planBootstrap(state, op, context);
    case 'restore':
      return planRestore(state, op);
    case 'split':
      return planSplit(state, op, context);
    case 'batchSplit':
      return planBatchSplit(state, op, context);
    case 'merge':
      return planMerge(state, op, context);
    case 'createMove':
      return planCreateMove(state, op, context);
    case 'createMerge':
      return planCreateMerge(state, op, context);
    case 'transitionJob':
      return planTransitionJob(state, op, context);
    case 'setGroup':
      return planSetGroup(state, op, context);
    case 'putNode':
      return planPutNode(state, op, context);
    case 'removeNode':
      return planRemoveNode(state, op, context);
    case 'createGroup':
    case 'removeGroup':
      return planGroup(state, op, context);
    case 'setSetting':
      return planSetSetting(state, op, context);
    case 'activateFeature':
      return planActivateFeature(state, op, context);
    case 'withdrawNode':
      return planWithdrawNode(state, op, context);
    case 'leaseWork':
    case 'releaseWork':
      return planWork(state, op, context);
    default:
      return assertNever(op);
  }
}
