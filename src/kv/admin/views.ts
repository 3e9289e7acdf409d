/** Rows of the catalog as operators see them. */
import { type GroupRow, isAbortable, type JobRow, type NodeRow, type Route } from '../../distribution/index.ts';
import type { HlcTimestamp, Millis, NodeId } from '../../platform/index.ts';
import { physicalMs } from '../types.ts';
import type { GroupView, JobView, NodeView, RouteView } from './types.ts';

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
export function nodeView(node: NodeRow, nowMs: Millis): NodeView {
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
    leaderCount: node.leaderCount,
    replicaCount: node.replicaCount,
    storedBytes: node.storedBytes,
  };
}
