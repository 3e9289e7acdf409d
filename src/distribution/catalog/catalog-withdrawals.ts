/** Nodes that operators take out of service. The catalog only remembers it; nodes, rules of balancing and placement go by it. */
import type { NodeId } from '../../platform/index.ts';
import {
  CatalogError,
  type ClusterState,
  type GroupRow,
  type WithdrawalRow,
  type WithdrawOp,
} from '../contract/index.ts';
import { CatalogDraft, type CatalogPlan, type PlanContext } from './catalog-draft.ts';
import type { CatalogState } from './catalog-state.ts';
import { FEATURES, isFeatureActive, nodesWithout } from './features.ts';

/** Active before the first row is written: an older program would take the catalog for damaged. */
export const DRAIN_FEATURE = 'nodes.drain';

/** How a node is taken out of service; undefined for one that is in it. */
export const withdrawalOf = (
  { withdrawals = [] }: Pick<ClusterState, 'withdrawals'>,
  node: NodeId,
): WithdrawalRow | undefined => withdrawals.find(({ nodeId }) => nodeId === node);

/** @throws CatalogError FEATURE_UNSUPPORTED, NODE_NOT_FOUND; LAST_NODE when nobody else is in service */
export function planWithdrawNode(
  state: CatalogState,
  op: WithdrawOp,
  context: PlanContext,
): CatalogPlan<WithdrawalRow> {
  const draft = CatalogDraft.over(state, context);
  const { nodeId, aim, replicas } = op;
  const old = state.withdrawals.get(nodeId);
  if (aim === undefined) {
    if (old !== undefined) draft.removeWithdrawal(nodeId);
    return draft.commitRows({ nodeId, revision: 0, aim: 'DRAINING', sinceMs: context.nowMs, replicas });
  }
  assertCan(state);
  if (!state.nodes.has(nodeId)) {
    throw new CatalogError('NODE_NOT_FOUND', `there is no node ${nodeId}; list the nodes to see which there are`);
  }
  if (old?.aim === aim) return draft.commitRows(old);
  const isServedElsewhere = [...state.nodes.keys()].some((node) => node !== nodeId && !state.withdrawals.has(node));
  if (!isServedElsewhere) {
    throw new CatalogError('LAST_NODE', `no other node is in service, so node ${nodeId} has to be; add one first`);
  }
  const row: WithdrawalRow = {
    nodeId,
    revision: (old?.revision ?? 0) + 1,
    aim,
    sinceMs: old?.sinceMs ?? context.nowMs,
    replicas: old?.replicas ?? replicas,
  };
  draft.putWithdrawal(row);
  return draft.commitRows(row);
}

function assertCan(state: CatalogState): void {
  if (isFeatureActive({ features: [...state.features.values()] }, DRAIN_FEATURE)) return;
  const lacking = nodesWithout(state, FEATURES[DRAIN_FEATURE]!);
  const why = lacking.length === 0 ? 'it was not activated' : `node ${lacking.join(', ')} cannot do it`;
  throw new CatalogError('FEATURE_UNSUPPORTED', `feature '${DRAIN_FEATURE}' is not active: ${why}`);
}

/** @throws CatalogError NODE_WITHDRAWN when a new group would begin on a node that is taken out of service */
export function checkInService(state: CatalogState, { id, founders }: Pick<GroupRow, 'id' | 'founders'>): void {
  const withdrawn = founders.filter((node) => state.withdrawals.has(node));
  if (withdrawn.length === 0) return;
  throw new CatalogError(
    'NODE_WITHDRAWN',
    `group ${id} would be on node ${withdrawn.join(', ')}, which is taken out of service; choose another one`,
  );
}
