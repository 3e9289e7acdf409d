/**
 * Operations on jobs and nodes. A job is one move of one route; its row is the only thing that drivers share, so every
 * step is compared and set on the revision that the driver saw. From RELEASE on a job only goes forward.
 */
import { isDeepStrictEqual } from 'node:util';
import { type GroupId, type HlcTimestamp, NEVER, type NodeId } from '../../platform/index.ts';
import {
  CatalogError,
  type CatalogVersion,
  type JobId,
  type JobPhase,
  type JobRow,
  MAX_ENDPOINTS,
  MAX_PROGRESS_BYTES,
  type NodeRow,
  type Route,
  type RouteId,
} from '../contract/index.ts';
import { CatalogDraft, type CatalogPlan, latest, type PlanContext } from './catalog-draft.ts';
import { activeGroup } from './catalog-groups.ts';
import { join, type MergeOp, neighbours } from './catalog-routes.ts';
import { checkCapabilities } from './catalog-settings.ts';
import { type CatalogState, tombstoneName } from './catalog-state.ts';

/** Most unfinished jobs at a time. */
export const MAX_JOBS = 1_024;

const NOTHING: Buffer = Buffer.alloc(0);

export interface CreateMoveOp {
  readonly kind: 'createMove';
  readonly expectedVersion: CatalogVersion;
  readonly routeId: RouteId;
  /** Start of the route. */
  readonly start: Buffer;
  readonly dst: GroupId;
}

/**
 * A merge of neighbours in different groups: a job that moves one of them to the other's group and makes one route of both in the
 * version that publishes the move. Until then the job has both.
 */
export interface CreateMergeOp extends Omit<MergeOp, 'kind'> {
  readonly kind: 'createMerge';
  /** Which of the two moves. */
  readonly moves: 'left' | 'right';
}

/** Notes progress inside a phase, or goes to another one; what is not given stays. */
export interface TransitionJobOp {
  readonly kind: 'transitionJob';
  readonly jobId: JobId;
  readonly expectedRevision: number;
  readonly phase: JobPhase;
  readonly attempt?: number;
  readonly fenceTs?: HlcTimestamp;
  readonly spanEpoch?: number;
  readonly progress?: Buffer;
  readonly lastError?: string;
}

/** Publishes the new owner once the destination's span is ACTIVE: job PUBLISH to CLEANUP, route to `dst`. */
export interface SetGroupOp {
  readonly kind: 'setGroup';
  readonly jobId: JobId;
  readonly expectedRevision: number;
}

/** A node's heartbeat, or its first row. */
export interface PutNodeOp {
  readonly kind: 'putNode';
  readonly node: Omit<NodeRow, 'revision'>;
  /** Revision that the caller saw; undefined for "whatever it is", as a heartbeat may. */
  readonly expectedRevision: number | undefined;
}

/** Removes a node for good: this incarnation can never come back. */
export interface RemoveNodeOp {
  readonly kind: 'removeNode';
  readonly nodeId: NodeId;
  readonly incarnation: Buffer;
}

/** A job after an operation on it, and the version if one was made. */
export interface JobResult {
  readonly job: JobRow;
  readonly version: CatalogVersion | undefined;
}

/** Where a job may go from a phase, other than staying in it. */
const NEXT: { readonly [Phase in JobPhase]: readonly JobPhase[] } = {
  PLANNED: ['PREP_TARGET', 'ABORTING'],
  PREP_TARGET: ['ARM_SOURCE', 'ABORTING'],
  ARM_SOURCE: ['BACKFILL', 'ABORTING'],
  // An import that does not add up is dropped and begun again.
  BACKFILL: ['CATCH_UP', 'PREP_TARGET', 'ABORTING'],
  CATCH_UP: ['FENCE', 'PREP_TARGET', 'ABORTING'],
  // The fence was lifted because the destination was not well.
  FENCE: ['RELEASE', 'CATCH_UP', 'ABORTING'],
  // Back only when the source's own log says that this attempt never released; ACTIVATE is left out when that was quick.
  RELEASE: ['ACTIVATE', 'PUBLISH', 'CATCH_UP'],
  ACTIVATE: ['PUBLISH'],
  // Only SetGroup leaves PUBLISH.
  PUBLISH: [],
  CLEANUP: ['DONE'],
  DONE: [],
  ABORTING: ['ABORTED'],
  ABORTED: [],
};

/** True when a driver may still give the job up: before the source released the range. */
export const isAbortable = (phase: JobPhase): boolean => NEXT[phase].includes('ABORTING');

/** Plans a move of a whole route and takes the route out of everybody else's hands. @throws CatalogError */
export function planCreateMove(state: CatalogState, op: CreateMoveOp, context: PlanContext): CatalogPlan<JobResult> {
  const draft = CatalogDraft.over(state, context);
  draft.expectVersion(op.expectedVersion);
  const route = draft.activeRoute(op.routeId, op.start);
  if (route.groupId === op.dst) throw new CatalogError('SAME_GROUP', `route ${route.id} is in group ${op.dst} already`);
  const job = beginMove(draft, route, op.dst, undefined);
  return draft.commitRoutes('moveBegin', { job, version: draft.version });
}

/** Plans the merge of neighbours in different groups. @throws CatalogError */
export function planCreateMerge(state: CatalogState, op: CreateMergeOp, context: PlanContext): CatalogPlan<JobResult> {
  const draft = CatalogDraft.over(state, context);
  draft.expectVersion(op.expectedVersion);
  const { left, right } = neighbours(draft, op);
  const [moving, other] = op.moves === 'left' ? [left, right] : [right, left];
  if (moving.groupId === other.groupId) {
    throw new CatalogError('SAME_GROUP', `routes ${left.id} and ${right.id} are in group ${left.groupId} both`);
  }
  const job = beginMove(draft, moving, other.groupId, other.id);
  draft.changeRoute(other, { state: 'MOVING', jobId: job.id });
  return draft.commitRoutes('moveBegin', { job, version: draft.version });
}

/** Adds the job of a move and gives it the route. @throws CatalogError when no job may be begun towards that group */
function beginMove(draft: CatalogDraft, route: Route, dst: GroupId, mergeWith: RouteId | undefined): JobRow {
  const { state } = draft;
  activeGroup(state, dst);
  if (state.jobs.size >= MAX_JOBS) throw new CatalogError('JOB_LIMIT', `${MAX_JOBS} jobs are under way`);
  for (const job of state.jobs.values()) {
    // A job that only cleans up reads and writes nothing of the destination any more.
    if (job.phase === 'CLEANUP' || Math.min(job.src, job.dst) !== Math.min(route.groupId, dst)) continue;
    if (Math.max(job.src, job.dst) === Math.max(route.groupId, dst)) {
      throw new CatalogError('JOB_LIMIT', `job ${job.id} moves between groups ${job.src} and ${job.dst} already`);
    }
  }
  const job = draft.addJob({
    routeId: route.id,
    start: route.start,
    end: route.end,
    src: route.groupId,
    dst,
    phase: 'PLANNED',
    attempt: 1,
    fenceTs: NEVER,
    spanEpoch: 0,
    progress: NOTHING,
    lastError: '',
    ...(mergeWith === undefined ? {} : { mergeWith }),
  });
  draft.changeRoute(route, { state: 'MOVING', jobId: job.id });
  return job;
}

/** @throws CatalogError JOB_NOT_FOUND, JOB_CHANGED */
function jobAt(state: CatalogState, id: JobId, expectedRevision: number): JobRow {
  const job = state.jobs.get(id);
  if (job === undefined) throw new CatalogError('JOB_NOT_FOUND', `there is no unfinished job ${id}`);
  if (job.revision === expectedRevision) return job;
  throw new CatalogError(
    'JOB_CHANGED',
    `job ${id} is at revision ${job.revision}, not ${expectedRevision}; read it again`,
  );
}

function routeOf(state: CatalogState, job: JobRow): Route {
  const route = state.routes.startingAt(job.start);
  if (route?.id === job.routeId && route.jobId === job.id) return route;
  throw new CatalogError('ROUTE_NOT_FOUND', `route ${job.routeId} is not in the hands of job ${job.id}`);
}

/** The neighbour that a job holds for a merge; undefined when it is a move alone. */
function neighbourOf(state: CatalogState, job: JobRow): Route | undefined {
  if (job.mergeWith === undefined) return undefined;
  const behind = job.end === undefined ? undefined : state.routes.startingAt(job.end);
  for (const route of [state.routes.before(job.start), behind]) {
    if (route?.id === job.mergeWith && route.jobId === job.id) return route;
  }
  throw new CatalogError('ROUTE_NOT_FOUND', `route ${job.mergeWith} is not in the hands of job ${job.id}`);
}

/**
 * Takes a job to another phase or notes progress in its own one.
 * @throws CatalogError JOB_NOT_FOUND, JOB_CHANGED, JOB_PHASE
 */
export function planTransitionJob(
  state: CatalogState,
  op: TransitionJobOp,
  context: PlanContext,
): CatalogPlan<JobResult> {
  const draft = CatalogDraft.over(state, context);
  const job = jobAt(state, op.jobId, op.expectedRevision);
  const { phase, attempt = job.attempt, fenceTs = job.fenceTs, spanEpoch = job.spanEpoch } = op;
  const { progress = job.progress, lastError = job.lastError } = op;
  if (phase !== job.phase && !NEXT[job.phase].includes(phase)) {
    throw new CatalogError('JOB_PHASE', `job ${job.id} cannot go from ${job.phase} to ${phase}`);
  }
  if (attempt < job.attempt || fenceTs < job.fenceTs || spanEpoch < job.spanEpoch) {
    throw new CatalogError('JOB_PHASE', `attempt, fence and epoch of job ${job.id} never go back`);
  }
  // Whoever still drives the old attempt must not be able to fence or import for the new one.
  const goesBack = phase === 'PREP_TARGET' ? job.phase !== 'PLANNED' : phase === 'CATCH_UP' && job.phase !== 'BACKFILL';
  if (goesBack && phase !== job.phase && attempt === job.attempt) {
    throw new CatalogError('JOB_PHASE', `job ${job.id} goes back to ${phase} only as a new attempt`);
  }
  if (progress.length > MAX_PROGRESS_BYTES) {
    throw new CatalogError('JOB_PHASE', `the progress of a job has at most ${MAX_PROGRESS_BYTES} bytes`);
  }
  if ((phase === 'ACTIVATE' || phase === 'PUBLISH') && spanEpoch === 0) {
    throw new CatalogError('JOB_PHASE', `job ${job.id} activates with what the release of its source answered`);
  }
  const next = draft.changeJob(job, {
    phase,
    attempt,
    fenceTs,
    spanEpoch,
    progress,
    lastError: lastError.slice(0, 1024),
  });
  if (phase !== 'ABORTED') return draft.commitRows({ job: next, version: undefined });
  draft.changeRoute(routeOf(state, job), { state: 'ACTIVE', jobId: 0 });
  const other = neighbourOf(state, job);
  if (other !== undefined) draft.changeRoute(other, { state: 'ACTIVE', jobId: 0 });
  return draft.commitRoutes('moveAbort', { job: next, version: draft.version });
}

/** Publishes a move. @throws CatalogError JOB_NOT_FOUND, JOB_CHANGED, JOB_PHASE */
export function planSetGroup(state: CatalogState, op: SetGroupOp, context: PlanContext): CatalogPlan<JobResult> {
  const draft = CatalogDraft.over(state, context);
  const job = jobAt(state, op.jobId, op.expectedRevision);
  if (job.phase !== 'PUBLISH') throw new CatalogError('JOB_PHASE', `job ${job.id} is in ${job.phase}, not in PUBLISH`);
  const route = routeOf(state, job);
  const minWriteTs = latest(route.minWriteTs, job.fenceTs);
  const moved = { ...route, groupId: job.dst, spanEpoch: job.spanEpoch, minWriteTs };
  const other = neighbourOf(state, job);
  if (other === undefined) draft.changeRoute(moved, { state: 'ACTIVE', jobId: 0 });
  else if (Buffer.compare(other.start, moved.start) < 0) join(draft, other, moved);
  else join(draft, moved, other);
  const next = draft.changeJob(job, { phase: 'CLEANUP' });
  return draft.commitRoutes('movePublish', { job: next, version: draft.version });
}

/** A report of a node as its row may hold it: older programs cannot read rows with endpoints. */
export function storableNode<Report extends Pick<NodeRow, 'endpoints'>>(state: CatalogState, report: Report): Report {
  const { endpoints = [], ...rest } = report;
  const isKept = endpoints.length > 0 && state.features.has('nodes.endpoints');
  return (isKept ? { ...rest, endpoints: endpoints.slice(0, MAX_ENDPOINTS) } : rest) as Report;
}

/** True when a node says something that others have to hear: not that it lives, and not how busy it is. */
export function saysOtherThan(
  row: NodeRow,
  report: Pick<NodeRow, 'address' | 'locality' | 'capabilities' | 'endpoints'>,
): boolean {
  const { address, locality, capabilities } = report;
  if (row.address !== address || row.locality !== locality || row.capabilities !== capabilities) return true;
  return !isDeepStrictEqual(row.endpoints ?? [], report.endpoints ?? []);
}

/** @throws CatalogError NODE_REMOVED, NODE_CHANGED, NODE_LACKS_FEATURE */
export function planPutNode(state: CatalogState, op: PutNodeOp, context: PlanContext): CatalogPlan<NodeRow> {
  const draft = CatalogDraft.over(state, context);
  const { nodeId, incarnation } = op.node;
  const old = state.nodes.get(nodeId);
  if (state.tombstones.has(tombstoneName(nodeId, incarnation))) {
    throw new CatalogError(
      'NODE_REMOVED',
      `this incarnation of node ${nodeId} was removed; start it with an empty folder`,
    );
  }
  if (op.expectedRevision !== undefined && op.expectedRevision !== (old?.revision ?? 0)) {
    throw new CatalogError('NODE_CHANGED', `node ${nodeId} is at revision ${old?.revision ?? 0}`);
  }
  if (old !== undefined && !old.incarnation.equals(incarnation)) {
    throw new CatalogError('NODE_CHANGED', `node ${nodeId} is known with another incarnation; remove that one first`);
  }
  const row = { ...storableNode(state, op.node), revision: (old?.revision ?? 0) + 1 };
  // Also of a node that comes back with an older program.
  if (old?.capabilities !== row.capabilities) checkCapabilities(state, nodeId, row.capabilities);
  const isNews = old === undefined || saysOtherThan(old, row);
  draft.putNode(row, isNews);
  return draft.commitRows(row);
}

/**
 * A node that the catalog never heard of is removed too: others may have met it before its first heartbeat, and would listen to
 * no other data folder of it.
 * @throws CatalogError NODE_NOT_FOUND when it was removed before, or is known with another data folder
 */
export function planRemoveNode(state: CatalogState, op: RemoveNodeOp, context: PlanContext): CatalogPlan<NodeRow> {
  const draft = CatalogDraft.over(state, context);
  const { nodeId, incarnation } = op;
  const row = state.nodes.get(nodeId);
  const isOther = row !== undefined && !row.incarnation.equals(incarnation);
  if (isOther || state.tombstones.has(tombstoneName(nodeId, incarnation))) {
    throw new CatalogError(
      'NODE_NOT_FOUND',
      `there is no node ${nodeId} with this incarnation; list the nodes to see which there are`,
    );
  }
  draft.removeNode(op, row !== undefined);
  return draft.commitRows(row ?? removedNode(nodeId, incarnation));
}

/** What is left of a node that was removed: its name. */
export const removedNode = (nodeId: NodeId, incarnation: Buffer): NodeRow => ({
  nodeId,
  revision: 0,
  incarnation,
  address: '',
  locality: '',
  capabilities: 0n,
  heartbeatMs: 0,
  leaderCount: 0,
  replicaCount: 0,
  storedBytes: 0,
});
