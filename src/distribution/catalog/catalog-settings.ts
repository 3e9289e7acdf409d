/** Operations on settings, which go back and forth, and on features, which only go on. */

import { CatalogError, type FeatureOp, type FeatureRow, type SettingOp, type SettingRow } from '../contract/index.ts';
import { CatalogDraft, type CatalogPlan, type PlanContext } from './catalog-draft.ts';
import type { CatalogState } from './catalog-state.ts';
import { FEATURES, featureNamed, missingFeatures, nodesWithout } from './features.ts';
import { settingProblem } from './settings.ts';

/** @throws CatalogError INVALID_SETTING */
export function planSetSetting(state: CatalogState, op: SettingOp, context: PlanContext): CatalogPlan<SettingRow> {
  const draft = CatalogDraft.over(state, context);
  const { name, value } = op;
  const problem = settingProblem(name, value);
  if (problem !== undefined) throw new CatalogError('INVALID_SETTING', problem);
  const old = state.settings.get(name);
  if ((old?.value ?? '') === value) return draft.commitRows(old ?? { name, revision: 0, value });
  const row = { name, revision: (old?.revision ?? 0) + 1, value };
  draft.putSetting(row);
  return draft.commitRows(row);
}

/** @throws CatalogError FEATURE_UNKNOWN, FEATURE_UNSUPPORTED with the nodes that are in the way */
export function planActivateFeature(state: CatalogState, op: FeatureOp, context: PlanContext): CatalogPlan<FeatureRow> {
  const draft = CatalogDraft.over(state, context);
  const old = state.features.get(op.name);
  if (old !== undefined) return draft.commitRows(old);
  const feature = featureNamed(op.name);
  if (feature === undefined) {
    const known = Object.keys(FEATURES).join(', ');
    throw new CatalogError('FEATURE_UNKNOWN', `there is no feature '${op.name}'; there are ${known}`);
  }
  const lacking = nodesWithout(state, feature);
  if (lacking.length > 0) {
    const who = lacking.map((node) => (state.nodes.has(node) ? `${node}` : `${node} (not heard of yet)`)).join(', ');
    throw new CatalogError('FEATURE_UNSUPPORTED', `feature '${op.name}' is not known to all nodes; upgrade: ${who}`);
  }
  const row = { name: op.name, activatedMs: context.nowMs };
  draft.putFeature(row);
  return draft.commitRows(row);
}

/** @throws CatalogError NODE_LACKS_FEATURE when a program without an active feature wants to be a node of this cluster */
export function checkCapabilities(state: CatalogState, node: number, capabilities: bigint): void {
  const missing = missingFeatures(state, capabilities);
  if (missing.length === 0) return;
  throw new CatalogError(
    'NODE_LACKS_FEATURE',
    `node ${node} runs a program without ${missing.join(', ')}, which this cluster has switched on; start a newer one`,
  );
}
