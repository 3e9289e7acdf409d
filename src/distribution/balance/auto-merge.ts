/**
 * Which neighbours are small and idle for so long that one range would do. The bounds lie far below those of cutting, and a
 * fresh cut is left alone, so that no range is cut and merged in turns.
 */
import type { Millis } from '../../platform/index.ts';
import { settingOf } from '../catalog/index.ts';
import { RESERVED_END, type Route } from '../contract/index.ts';
import { type BalancePlan, type BalanceView, lastWindows, type MergeAction, showKey } from './actions.ts';
import { splitAtMs } from './hotspots.ts';
import { type ClusterWindow, scoreOf } from './load-window.ts';

/** Windows in a row that both sides must be idle in. */
export const IDLE_WINDOWS = 6;
/** Time after a cut in which its sides are not merged. */
export const MERGE_AFTER_SPLIT_MS: Millis = 1_800_000;
/** Part of the score of a hot range below which a side is idle. */
export const IDLE_SHARE = 0.1;
/** Part of a full range's bytes below which a side is small. */
export const SMALL_SHARE = 0.25;
/** Pairs that one plan looks at; the next one goes on behind them. */
export const MAX_PAIRS = 10_000;

/**
 * At most one merge.
 * @param from where to begin looking; the start of the key space, or where the last plan ended
 */
export function planMerges(view: BalanceView, from: Buffer = RESERVED_END): BalancePlan & { readonly next: Buffer } {
  const windows = lastWindows(view.windows, IDLE_WINDOWS);
  const nothing = (note: string, next: Buffer) => ({ actions: [], notes: [note], next });
  if (windows === undefined) return nothing(`there are not ${IDLE_WINDOWS} windows in a row yet`, RESERVED_END);
  let left: Route | undefined;
  let pairs = 0;
  for (const right of view.routes.overlap(from, undefined)) {
    if (left !== undefined && isMergeable(view, windows, left) && isMergeable(view, windows, right)) {
      if (left.groupId === right.groupId) {
        const reason =
          `ranges ${left.id} and ${right.id} of group ${left.groupId}, which meet at ${showKey(right.start)}, ` +
          `were idle for ${IDLE_WINDOWS} windows and are small`;
        const action: MergeAction = {
          kind: 'merge',
          leftId: left.id,
          rightId: right.id,
          boundary: Buffer.from(right.start),
          reason,
        };
        return { actions: [action], notes: [], next: Buffer.from(right.start) };
      }
    }
    left = right;
    if (++pairs > MAX_PAIRS) return nothing('no neighbours to merge so far', Buffer.from(right.start));
  }
  return nothing('no neighbours to merge', RESERVED_END);
}

function isMergeable(view: BalanceView, windows: readonly ClusterWindow[], route: Route): boolean {
  const { clusterState, rangeBytes, nowMs } = view;
  if (route.state !== 'ACTIVE' || Buffer.compare(route.start, RESERVED_END) < 0) return false;
  if (route.splitAtTs !== 0n && nowMs - splitAtMs(route) < MERGE_AFTER_SPLIT_MS) return false;
  const bytes = rangeBytes.get(route.id);
  if (bytes === undefined || bytes >= SMALL_SHARE * Number(settingOf(clusterState, 'ranges.bytes'))) return false;
  const idleScore = IDLE_SHARE * Number(settingOf(clusterState, 'autosplit.score'));
  return windows.every((window) => {
    // Not asked for anything is idle; not counted is not known.
    if (!window.completeGroups.has(route.groupId)) return false;
    const load = window.routes.get(route.id);
    return load === undefined || scoreOf(load, window) < idleScore;
  });
}
