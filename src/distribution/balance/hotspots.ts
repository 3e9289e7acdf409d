/**
 * Which ranges are hot for long enough to be cut. The memory is the windows themselves: a range is a candidate when each of
 * the last three shows it hot, as counted by the same leader. So a window counts once however often it is looked at, and a
 * window that is missing, cool, or of somebody else begins anew.
 */
import { type Millis, physicalMs } from '../../platform/index.ts';
import { settingOf } from '../catalog/index.ts';
import { RESERVED_END, type Route } from '../contract/index.ts';
import { type KeyRules, PLAIN_KEYS } from '../keyspaces.ts';
import { type BalancePlan, type BalanceView, lastWindows, type SplitAction } from './actions.ts';
import { type ClusterLoad, type ClusterWindow, scoreOf } from './load-window.ts';
import { chooseSplit } from './split-key.ts';

/** Windows in a row that a range must be hot in. */
export const HOT_WINDOWS = 3;
/** Time after a cut in which neither side is cut again. */
export const SPLIT_COOLDOWN_MS: Millis = 600_000;

/** When a route was made by a cut, in unix milliseconds; 0 when it was not. */
export const splitAtMs = (route: Route): Millis => physicalMs(route.splitAtTs);

interface Candidate {
  readonly route: Route;
  readonly load: ClusterLoad;
  readonly score: number;
}

/** At most one cut, of the hottest range that can be cut. */
export function planSplits(view: BalanceView, rules: KeyRules = PLAIN_KEYS): BalancePlan {
  const { clusterState, routes, nowMs } = view;
  const windows = lastWindows(view.windows, HOT_WINDOWS);
  if (windows === undefined) return { actions: [], notes: [`there are not ${HOT_WINDOWS} windows in a row yet`] };
  const hotScore = Number(settingOf(clusterState, 'autosplit.score'));
  const maxRoutes = Number(settingOf(clusterState, 'ranges.max'));
  const notes: string[] = [];
  for (const { route, load, score } of hotRoutes(view, windows, hotScore)) {
    const what = `range ${route.id} of group ${route.groupId} (${Math.round(score)} weighted operations a minute)`;
    const waitMs = splitAtMs(route) + SPLIT_COOLDOWN_MS - nowMs;
    if (route.splitAtTs !== 0n && waitMs > 0) {
      notes.push(`${what} was cut lately and is left alone for ${Math.ceil(waitMs / 1000)} s`);
      continue;
    }
    const choice = chooseSplit(route, load.detail, score, rules);
    if (choice.kind === 'decline') {
      notes.push(`${what} is not cut: ${choice.why}`);
      continue;
    }
    if (routes.size + choice.keys.length > maxRoutes) {
      return { actions: [], notes: [...notes, `${what} is not cut: there are ${routes.size} of ${maxRoutes} ranges`] };
    }
    const reason = `${what} was hot for ${HOT_WINDOWS} windows: ${choice.why}`;
    const action: SplitAction = { kind: 'split', routeId: route.id, keys: choice.keys, reason };
    return { actions: [action], notes };
  }
  return { actions: [], notes: notes.length > 0 ? notes : ['no range is hot'] };
}

/** Hottest first. */
function hotRoutes(view: BalanceView, windows: readonly ClusterWindow[], hotScore: number): Candidate[] {
  const newest = windows.at(-1)!;
  const found: Candidate[] = [];
  for (const load of newest.routes.values()) {
    if (!isHotThroughout(load, windows, hotScore)) continue;
    const route = view.routes.startingAt(load.start);
    // Gone, moved, or in the hands of a job since it was counted; the cluster's own rows are never cut.
    if (route?.id !== load.routeId || route.state !== 'ACTIVE' || route.modifiedVersion !== load.routeVersion) continue;
    if (Buffer.compare(route.start, RESERVED_END) < 0) continue;
    found.push({ route, load, score: scoreOf(load, newest) });
  }
  return found.sort((a, b) => b.score - a.score || a.route.id - b.route.id);
}

function isHotThroughout(newest: ClusterLoad, windows: readonly ClusterWindow[], hotScore: number): boolean {
  return windows.every((window) => {
    const load = window.routes.get(newest.routeId);
    if (load === undefined || load.nodeId !== newest.nodeId || load.routeVersion !== newest.routeVersion) return false;
    return scoreOf(load, window) >= hotScore;
  });
}
