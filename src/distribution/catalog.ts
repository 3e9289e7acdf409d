/**
 * The catalog as a pure state machine: `planCatalog` decides what an operation writes, whoever leads the catalog group
 * proposes those rows on condition that the rows which the decision was made from are unchanged, and `advanceCatalog` takes
 * the state forward when they are applied.
 */
import { assertNever } from '../platform/index.ts';
import type { CatalogPlan, PlanContext } from './catalog-draft.ts';
import {
  type CreateMoveOp,
  type JobResult,
  type PutNodeOp,
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
import type { NodeRow } from './catalog-rows.ts';
import type { CatalogState } from './catalog-state.ts';
import { CatalogError } from './errors.ts';

export type RouteOp = BootstrapOp | RestoreOp | SplitOp | BatchSplitOp | MergeOp;
export type JobOp = CreateMoveOp | TransitionJobOp | SetGroupOp;
export type NodeOp = PutNodeOp | RemoveNodeOp;
export type CatalogOp = RouteOp | JobOp | NodeOp;

/**
 * Decides what an operation writes. Pure: the state stays, nothing is read but the arguments.
 * @returns the rows to write together with the result, or why nothing is to be written
 */
export function planCatalog(
  state: CatalogState,
  op: RouteOp,
  context: PlanContext,
): CatalogPlan<RoutesResult> | CatalogError;
export function planCatalog(
  state: CatalogState,
  op: JobOp,
  context: PlanContext,
): CatalogPlan<JobResult> | CatalogError;
export function planCatalog(state: CatalogState, op: NodeOp, context: PlanContext): CatalogPlan<NodeRow> | CatalogError;
export function planCatalog(
  state: CatalogState,
  op: CatalogOp,
  context: PlanContext,
): CatalogPlan<RoutesResult | JobResult | NodeRow> | CatalogError;
export function planCatalog(
  state: CatalogState,
  op: CatalogOp,
  context: PlanContext,
): CatalogPlan<RoutesResult | JobResult | NodeRow> | CatalogError {
  try {
    return plan(state, op, context);
  } catch (error) {
    if (error instanceof CatalogError) return error;
    throw error;
  }
}

function plan(
  state: CatalogState,
  op: CatalogOp,
  context: PlanContext,
): CatalogPlan<RoutesResult | JobResult | NodeRow> {
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
    case 'transitionJob':
      return planTransitionJob(state, op, context);
    case 'setGroup':
      return planSetGroup(state, op, context);
    case 'putNode':
      return planPutNode(state, op, context);
    case 'removeNode':
      return planRemoveNode(state, op, context);
    default:
      return assertNever(op);
  }
}
