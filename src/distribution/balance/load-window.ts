/**
 * What was asked of ranges during one stretch of time, as a node counted it and as the catalog leader puts it together.
 * Planners read nothing else about load, and what is not here is unknown to them, never zero.
 */
import type { GroupId, Millis, NodeId } from '../../platform/index.ts';
import type { CatalogVersion, RouteId } from '../contract/index.ts';

/** Weight of a write in a score; a read weighs 1. A write costs a log entry on every replica. */
export const WRITE_WEIGHT = 4;

/** A key that took a large part of its range's load. Shares are of the weighted operations that were sampled. */
export interface TopKey {
  readonly key: Buffer;
  readonly share: number;
  /** What the share is at least, after what the sketch may have overcounted and what sampling may have missed. */
  readonly leastShare: number;
}

/** How the load of a range lies within it. */
export interface LoadDetail {
  /** Keys inside the range, ascending; they cut it into one more pieces than there are keys. */
  readonly bounds: readonly Buffer[];
  /** Weighted operations that were sampled in each piece. */
  readonly weights: readonly number[];
  /** Largest first. */
  readonly topKeys: readonly TopKey[];
  readonly sampledOps: number;
  /** True when all of it was watched from the start of the window to its end. */
  readonly isAligned: boolean;
}

/** One range in one window. */
export interface RouteLoad {
  readonly routeId: RouteId;
  /** Where the range starts: how it is found in the directory. */
  readonly start: Buffer;
  readonly groupId: GroupId;
  /** `Route.modifiedVersion` of what was counted. */
  readonly routeVersion: CatalogVersion;
  readonly reads: number;
  readonly writes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly detail: LoadDetail | undefined;
}

/** Ranges of one group that there was no room to count one by one. Not for decisions. */
export interface CoarseLoad {
  readonly groupId: GroupId;
  readonly reads: number;
  readonly writes: number;
}

/** What one node counted. */
export interface LoadWindow {
  readonly startMs: Millis;
  /** Exclusive. */
  readonly endMs: Millis;
  readonly routes: readonly RouteLoad[];
  readonly coarse: readonly CoarseLoad[];
}

/** A window as a node reports it, with the groups that it led from the start of the window to its end. */
export interface ReportedWindow extends LoadWindow {
  readonly nodeId: NodeId;
  readonly ledGroups: readonly GroupId[];
}

/** A range's load and who counted it. */
export interface ClusterLoad extends RouteLoad {
  readonly nodeId: NodeId;
}

/** What all nodes counted in one window. */
export interface ClusterWindow {
  readonly startMs: Millis;
  readonly endMs: Millis;
  readonly routes: ReadonlyMap<RouteId, ClusterLoad>;
  /** Groups whose leader counted the whole window range by range: a range of theirs without a row was not asked for anything. */
  readonly completeGroups: ReadonlyMap<GroupId, NodeId>;
}

/** Weighted operations per minute, by the true length of the window. */
export function scoreOf(load: RouteLoad, window: { readonly startMs: Millis; readonly endMs: Millis }): number {
  const lengthMs = window.endMs - window.startMs;
  return lengthMs <= 0 ? 0 : ((WRITE_WEIGHT * load.writes + load.reads) * 60_000) / lengthMs;
}

/**
 * Puts the reports of one window together. A range counts only as its group's leader of the whole window saw it: with
 * two leaders in one window each of them saw a part, and neither is the load.
 * @param reports of windows with the same start
 */
export function clusterWindow(reports: readonly ReportedWindow[]): ClusterWindow | undefined {
  const first = reports[0];
  if (first === undefined) return undefined;
  let endMs = first.endMs;
  const leaders = new Map<GroupId, NodeId>();
  const disputed = new Set<GroupId>();
  const coarse = new Set<GroupId>();
  for (const report of reports) {
    endMs = Math.max(endMs, report.endMs);
    for (const group of report.ledGroups) {
      if (leaders.has(group) && leaders.get(group) !== report.nodeId) disputed.add(group);
      leaders.set(group, report.nodeId);
    }
    for (const row of report.coarse) if (report.ledGroups.includes(row.groupId)) coarse.add(row.groupId);
  }
  for (const group of disputed) leaders.delete(group);
  const routes = new Map<RouteId, ClusterLoad>();
  for (const report of reports) {
    for (const row of report.routes) {
      if (leaders.get(row.groupId) === report.nodeId) routes.set(row.routeId, { ...row, nodeId: report.nodeId });
    }
  }
  for (const group of coarse) leaders.delete(group);
  return { startMs: first.startMs, endMs, routes, completeGroups: leaders };
}
