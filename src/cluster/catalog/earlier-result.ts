/**
 * Whether an operation whose answer was lost took place, read from the catalog as it is now. Most operations are compared
 * and set: a split of version 7 made version 8 or nothing, so the delta of version 8 tells. It is enough to look at what the
 * operation would have made, because two operations that would have made exactly the same are told apart by nobody.
 */
import {
  type CatalogDelta,
  type CatalogState,
  type CatalogVersion,
  type CreateMergeOp,
  type CreateMoveOp,
  type DeltaCause,
  type JobId,
  type JobResult,
  type JobRow,
  type MergeOp,
  type NodeOp,
  type Route,
  removedNode,
  type SetGroupOp,
  type SplitOp,
  type TransitionJobOp,
  tombstoneName,
} from '../../distribution/index.ts';
import type { CatalogRequest } from '../contract/index.ts';

/** What the rows say about an operation that was asked for before. */
export type EarlierResult =
  | { readonly kind: 'done'; readonly reply: unknown }
  /** It did not take place, or doing it again does no harm. */
  | { readonly kind: 'repeat' }
  /** What it would have left behind has been overwritten or forgotten. */
  | { readonly kind: 'unknown' };

const REPEAT: EarlierResult = { kind: 'repeat' };
const UNKNOWN: EarlierResult = { kind: 'unknown' };
const done = (reply: unknown): EarlierResult => ({ kind: 'done', reply });

/** Deltas that are searched for the version of a job's end; its absence in the answer is no more than a missing number. */
const MAX_SEARCHED_DELTAS = 1_024;

/** See the top of the file. Pure. */
export function earlierResult(state: CatalogState, request: CatalogRequest): EarlierResult {
  switch (request.kind) {
    case 'split':
      return afterVersion(state, request.expectedVersion, 'split', (delta) => splitResult(delta, request));
    case 'merge':
      return afterVersion(state, request.expectedVersion, 'merge', (delta) => mergeResult(delta, request));
    case 'createMove':
      return afterVersion(state, request.expectedVersion, 'moveBegin', (delta) => moveResult(state, delta, request));
    case 'createMerge':
      return afterVersion(state, request.expectedVersion, 'moveBegin', (delta) => mergeJob(state, delta, request));
    case 'transitionJob':
      return transition(state, request);
    case 'setGroup':
      return published(state, request);
    case 'putNode':
    case 'removeNode':
      return nodeResult(state, request);
    // The planner knows batches by their id and groups by theirs; setting, switching on, renewing and giving back twice is
    // the same as once.
    default:
      return REPEAT;
  }
}

/** Looks into the one version that the operation can have made. */
function afterVersion(
  state: CatalogState,
  expected: CatalogVersion,
  cause: DeltaCause,
  match: (delta: CatalogDelta) => unknown,
): EarlierResult {
  if (state.meta === undefined || state.meta.version <= expected) return REPEAT;
  const delta = state.log.delta(expected + 1);
  if (delta === undefined) return UNKNOWN;
  const reply = delta.cause === cause ? match(delta) : undefined;
  return reply === undefined ? REPEAT : done(reply);
}

const upserts = (delta: CatalogDelta): Route[] =>
  delta.mutations.flatMap((mutation) => (mutation.kind === 'upsert' ? [mutation.route] : []));

const deletes = (delta: CatalogDelta, id: number): boolean =>
  delta.mutations.some((mutation) => mutation.kind === 'delete' && mutation.id === id);

function splitResult(delta: CatalogDelta, op: SplitOp): unknown {
  const added = upserts(delta);
  const isOurs = added.some(
    (route) => route.parentId === op.routeId && route.start.equals(op.splitKey) && route.splitAtTs === op.splitAtTs,
  );
  return isOurs ? { version: delta.version, routeIds: added.map((route) => route.id) } : undefined;
}

function mergeResult(delta: CatalogDelta, op: MergeOp): unknown {
  if (!deletes(delta, op.leftId) || !deletes(delta, op.rightId)) return undefined;
  return { version: delta.version, routeIds: upserts(delta).map((route) => route.id) };
}

function moveResult(state: CatalogState, delta: CatalogDelta, op: CreateMoveOp): unknown {
  const route = upserts(delta).find((row) => row.id === op.routeId);
  const job = route === undefined ? undefined : jobOf(state, route.jobId);
  return job?.dst === op.dst ? { job, version: delta.version } : undefined;
}

function mergeJob(state: CatalogState, delta: CatalogDelta, op: CreateMergeOp): unknown {
  const [movingId, otherId] = op.moves === 'left' ? [op.leftId, op.rightId] : [op.rightId, op.leftId];
  const route = upserts(delta).find((row) => row.id === movingId);
  const job = route === undefined ? undefined : jobOf(state, route.jobId);
  return job?.mergeWith === otherId ? { job, version: delta.version } : undefined;
}

const jobOf = (state: CatalogState, id: JobId): JobRow | undefined =>
  state.jobs.get(id) ?? state.finished.find((row) => row.job.id === id)?.job;

/** The version that ended a job's hold on its route, if it is not too long ago. */
function versionOf(state: CatalogState, job: JobRow, cause: DeltaCause): CatalogVersion | undefined {
  const { log } = state;
  const newest = log.floor + log.count - 1;
  for (let version = newest; version >= log.floor && version > newest - MAX_SEARCHED_DELTAS; version--) {
    const delta = log.delta(version);
    if (delta?.cause === cause && upserts(delta).some((route) => route.id === job.routeId)) return version;
  }
  return undefined;
}

/** A job that is one revision further was taken there by this operation or by another one; later, nobody can tell. */
function oneFurther(
  job: JobRow | undefined,
  expectedRevision: number,
  reply: (job: JobRow) => JobResult | undefined,
): EarlierResult {
  if (job === undefined || job.revision > expectedRevision + 1) return UNKNOWN;
  const result = job.revision === expectedRevision + 1 ? reply(job) : undefined;
  return result === undefined ? REPEAT : done(result);
}

function transition(state: CatalogState, op: TransitionJobOp): EarlierResult {
  return oneFurther(jobOf(state, op.jobId), op.expectedRevision, (job) => {
    const isOurs =
      job.phase === op.phase &&
      (op.attempt ?? job.attempt) === job.attempt &&
      (op.fenceTs ?? job.fenceTs) === job.fenceTs &&
      (op.spanEpoch ?? job.spanEpoch) === job.spanEpoch &&
      (op.progress ?? job.progress).equals(job.progress) &&
      (op.lastError ?? job.lastError).startsWith(job.lastError);
    if (!isOurs) return undefined;
    return { job, version: job.phase === 'ABORTED' ? versionOf(state, job, 'moveAbort') : undefined };
  });
}

const published = (state: CatalogState, op: SetGroupOp): EarlierResult =>
  oneFurther(jobOf(state, op.jobId), op.expectedRevision, (job) =>
    job.phase === 'CLEANUP' ? { job, version: versionOf(state, job, 'movePublish') } : undefined,
  );

function nodeResult(state: CatalogState, op: NodeOp): EarlierResult {
  const id = op.kind === 'putNode' ? op.node.nodeId : op.nodeId;
  const row = state.nodes.get(id);
  if (op.kind === 'putNode') {
    if (op.expectedRevision === undefined || row === undefined) return REPEAT;
    const isOurs = row.revision === op.expectedRevision + 1 && row.incarnation.equals(op.node.incarnation);
    return isOurs && row.address === op.node.address && row.heartbeatMs === op.node.heartbeatMs ? done(row) : REPEAT;
  }
  const isGone = row?.incarnation.equals(op.incarnation) !== true;
  if (!isGone || !state.tombstones.has(tombstoneName(op.nodeId, op.incarnation))) return REPEAT;
  return done(removedNode(op.nodeId, op.incarnation));
}
