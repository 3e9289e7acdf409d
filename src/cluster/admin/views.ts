/** Rows of the catalog as operators see them. */
import {
  type ClusterState,
  FEATURES,
  type GroupRow,
  isAbortable,
  type JobRow,
  type NodeRow,
  type Route,
  SETTINGS,
  type SettingRow,
  type WorkRow,
  withdrawalOf,
} from '../../distribution/index.ts';
import { type HlcTimestamp, type Millis, type NodeId, physicalMs } from '../../platform/index.ts';
import type {
  BalanceStatus,
  BalanceView,
  FeatureView,
  GroupView,
  JobView,
  NodeView,
  RouteView,
  SettingView,
} from '../contract/index.ts';

/** A node that the catalog has not heard of for this long is shown as gone; it reports every second. */
export const DEAD_AFTER_MS: Millis = 10_000;

const msOf = (ts: HlcTimestamp): Millis => (ts === 0n ? 0 : physicalMs(ts));

/** A route; its keys are views of the table's. */
export function routeView(route: Route): RouteView {
  const { end, splitAtTs, minWriteTs, ...rest } = route;
  return { ...rest, ...(end === undefined ? {} : { end }), splitAtMs: msOf(splitAtTs), minWriteMs: msOf(minWriteTs) };
}

/** A job without its driver's notes. */
export function jobView(job: JobRow): JobView {
  return {
    id: job.id,
    revision: job.revision,
    routeId: job.routeId,
    start: job.start,
    ...(job.end === undefined ? {} : { end: job.end }),
    src: job.src,
    dst: job.dst,
    phase: job.phase,
    attempt: job.attempt,
    isFinished: isFinished(job),
    isAbortable: isAbortable(job.phase),
    lastError: job.lastError,
    createdMs: job.createdMs,
    updatedMs: job.updatedMs,
    ...(job.mergeWith === undefined ? {} : { mergeWith: job.mergeWith }),
  };
}

/** True when nothing will happen to the job any more. */
export const isFinished = (job: JobRow): boolean => job.phase === 'DONE' || job.phase === 'ABORTED';

/** A group. @param leader as far as this node knows; @param routeCount see `MAX_COUNTED_ROUTES` */
export function groupView(group: GroupRow, leader: NodeId | undefined, routeCount: number): GroupView {
  return {
    id: group.id,
    state: group.state,
    founders: [...group.founders],
    ...(group.preferredLeader === undefined ? {} : { preferredLeader: group.preferredLeader }),
    createdMs: group.createdMs,
    revision: group.revision,
    ...(leader === undefined ? {} : { leader }),
    routeCount,
  };
}

/** A node as the catalog last heard of it. */
/** Whether a node is in service: `serving`, or how it is taken out. */
export const serviceOf = (clusterState: Pick<ClusterState, 'withdrawals'>, node: NodeId): string =>
  withdrawalOf(clusterState, node)?.aim.toLowerCase() ?? 'serving';

/** @param service see `serviceOf` */
export function nodeView(node: NodeRow, nowMs: Millis, service: string): NodeView {
  const heartbeatAgeMs = Math.max(0, nowMs - node.heartbeatMs);
  const capabilities: number[] = [];
  for (let bit = 0; bit < 64; bit++) if ((node.capabilities >> BigInt(bit)) & 1n) capabilities.push(bit);
  return {
    nodeId: node.nodeId,
    address: node.address,
    incarnation: node.incarnation.toString('hex'),
    locality: node.locality,
    capabilities,
    heartbeatAgeMs,
    isAlive: heartbeatAgeMs < DEAD_AFTER_MS,
    service,
    leaderCount: node.leaderCount,
    replicaCount: node.replicaCount,
    storedBytes: node.storedBytes,
  };
}

/** What this program knows of a setting; a newer program may have set one that this one does not know. */
interface SettingRule {
  readonly initial: string;
  readonly description: string;
  readonly values:
    | readonly string[]
    | { readonly min: number; readonly max: number }
    | { readonly letters: string }
    | { readonly maxLength: number };
}

const ruleOf = (name: string): SettingRule | undefined =>
  Object.hasOwn(SETTINGS, name) ? SETTINGS[name as keyof typeof SETTINGS] : undefined;

function allowedOf(rule: SettingRule | undefined): string {
  if (rule === undefined) return '';
  const { values } = rule;
  if ('maxLength' in values) return `text of at most ${values.maxLength} characters`;
  if ('letters' in values) return `any of the letters ${values.letters}`;
  return 'min' in values ? `${values.min} to ${values.max}` : values.join(', ');
}

/** A setting. An empty value is that of a row that was removed: what holds then is the default. */
export function settingView(row: SettingRow): SettingView {
  const rule = ruleOf(row.name);
  const isDefault = row.value === '';
  return {
    name: row.name,
    value: isDefault ? (rule?.initial ?? '') : row.value,
    revision: isDefault ? 0 : row.revision,
    isDefault,
    description: rule?.description ?? 'of a newer program than that of the node that was asked',
    allowed: allowedOf(rule),
  };
}

/** All settings that there are, set or not, by name. */
export function settingViews(rows: readonly SettingRow[]): SettingView[] {
  const set = new Map(rows.map((row) => [row.name, row]));
  const names = [...new Set([...Object.keys(SETTINGS), ...set.keys()])].sort();
  return names.map((name) => settingView(set.get(name) ?? { name, revision: 0, value: '' }));
}

/** A feature. @param activatedMs 0 while it is not active */
export function featureView(name: string, activatedMs: Millis, missingOn: readonly NodeId[]): FeatureView {
  return {
    name,
    isActive: activatedMs > 0,
    activatedMs,
    description: FEATURES[name]?.description ?? 'of a newer program than that of the node that was asked',
    missingOn: [...missingOn],
  };
}

/** All features that there are, active or not, by name. */
export function featureViews(clusterState: ClusterState): FeatureView[] {
  const active = new Map(clusterState.features.map((row) => [row.name, row.activatedMs]));
  const names = [...new Set([...Object.keys(FEATURES), ...active.keys()])].sort();
  return names.map((name) => {
    const bit = FEATURES[name]?.bit;
    const lacking = clusterState.nodes.filter(
      (node) => bit !== undefined && !((node.capabilities >> BigInt(bit)) & 1n),
    );
    return featureView(
      name,
      active.get(name) ?? 0,
      lacking.map((node) => node.nodeId),
    );
  });
}

/** How balancing stands, and who does which background work. */
export function balanceView(status: BalanceStatus, work: readonly WorkRow[]): BalanceView {
  const { nodeId, windowCount, completeGroups, duties, reports } = status;
  return {
    nodeId,
    windowCount,
    completeGroups,
    duties,
    reports: reports.map(({ atMs, duty, event, text }) => ({ atMs, duty, event, text })),
    work: work.map(({ name, holder, leaseUntilMs }) => ({
      name,
      ...(holder === undefined ? {} : { holder }),
      leaseUntilMs,
    })),
  };
}
