/**
 * A commit of the catalog in the making: the operation says which rows change, the draft turns that into the rows, the
 * delta, the meta row and the trimmed deltas that belong together. It changes no state.
 */
import { assert, type GroupId, type HlcTimestamp, type NodeId } from '../../platform/index.ts';
import {
  type CatalogDelta,
  CatalogError,
  type CatalogMeta,
  type CatalogVersion,
  type DeltaCause,
  deltaKey,
  encodeDelta,
  encodeFeature,
  encodeGroup,
  encodeJob,
  encodeMeta,
  encodeNode,
  encodeRoute,
  encodeSetting,
  encodeWithdrawal,
  encodeWork,
  type FeatureRow,
  featureKey,
  type GroupRow,
  groupKey,
  type JobId,
  type JobRow,
  jobHistoryKey,
  jobKey,
  META_KEY,
  type NodeRow,
  nodeKey,
  RESERVED_END,
  type Route,
  type RouteId,
  type RouteMutation,
  routeKey,
  type SettingRow,
  settingKey,
  tombstoneKey,
  type WithdrawalRow,
  type WorkRow,
  withdrawalKey,
  workKey,
} from '../contract/index.ts';
import type { CatalogMutation, CatalogState } from './catalog-state.ts';
import type { RetentionPolicy } from './change-log.ts';

/** Finished jobs that are kept; older ones are forgotten. */
export const MAX_FINISHED_JOBS = 1_024;
/** Largest delta. Its rows are in the same Raft entry once more, which may have 1 MiB. */
export const MAX_DELTA_BYTES = 448 * 1024;

/** The later of two timestamps. */
export function latest(left: HlcTimestamp, right: HlcTimestamp): HlcTimestamp {
  if (left < right) return right;
  return left;
}

/** What the proposer adds to an operation: everything that depends on when and where it is planned. */
export interface PlanContext {
  /** Unix milliseconds of the commit timestamp. */
  readonly nowMs: number;
  /** Version that the slowest registered watcher has, undefined when none is registered. */
  readonly slowestCursor: CatalogVersion | undefined;
  readonly retention: RetentionPolicy;
}

/** A planned commit: all of `mutations` are written together, on condition that the rows it was planned from are unchanged. */
export interface CatalogPlan<Result> {
  /** Empty when there is nothing to write: a repeated operation. */
  readonly mutations: readonly CatalogMutation[];
  /** Undefined when no route changes. */
  readonly delta: CatalogDelta | undefined;
  readonly result: Result;
}

/** See the top of the file. */
export class CatalogDraft {
  readonly state: CatalogState;
  readonly context: PlanContext;
  private readonly base: CatalogMeta;
  private nextRouteId: RouteId;
  private nextJobId: JobId;
  /** True when the commit changes what nodes keep a copy of. */
  private changesClusterState = false;
  private readonly routes: RouteMutation[] = [];
  private readonly rows: CatalogMutation[] = [];

  constructor(state: CatalogState, context: PlanContext, base: CatalogMeta) {
    this.state = state;
    this.context = context;
    this.base = base;
    this.nextRouteId = base.nextRouteId;
    this.nextJobId = base.nextJobId;
  }

  /** @throws CatalogError NOT_BOOTSTRAPPED */
  static over(state: CatalogState, context: PlanContext): CatalogDraft {
    if (state.meta === undefined) throw new CatalogError('NOT_BOOTSTRAPPED', 'the catalog has no routes yet');
    return new CatalogDraft(state, context, state.meta);
  }

  /** The version that this commit makes if it changes routes. */
  get version(): CatalogVersion {
    return this.base.version + 1;
  }

  /** @throws CatalogError VERSION_MISMATCH when the caller decided from another version */
  expectVersion(expected: CatalogVersion): void {
    if (expected === this.base.version) return;
    throw new CatalogError(
      'VERSION_MISMATCH',
      `the catalog is at version ${this.base.version}, not ${expected}; read it again`,
    );
  }

  /**
   * The route `id`, which must hold `key`, must not be reserved and must not be in the hands of a job.
   * @throws CatalogError ROUTE_NOT_FOUND, RESERVED_RANGE, ROUTE_BUSY
   */
  activeRoute(id: RouteId, key: Buffer): Route {
    const route = this.state.routes.lookup(key);
    if (route === undefined || route.id !== id) {
      throw new CatalogError('ROUTE_NOT_FOUND', `route ${id} does not hold the key '${key.toString('latin1')}'`);
    }
    if (Buffer.compare(route.start, RESERVED_END) < 0) {
      throw new CatalogError('RESERVED_RANGE', `route ${id} holds the cluster's own rows and cannot be changed`);
    }
    if (route.state !== 'ACTIVE') {
      throw new CatalogError('ROUTE_BUSY', `job ${route.jobId} has route ${id}; wait for it or abort it`);
    }
    return route;
  }

  /** Adds a route with a fresh id. */
  addRoute(route: Omit<Route, 'id' | 'createdVersion' | 'modifiedVersion'>): RouteId {
    const id = this.nextRouteId++;
    this.putRoute({ ...route, id, createdVersion: this.version, modifiedVersion: this.version });
    return id;
  }

  changeRoute(route: Route, changes: Partial<Route>): void {
    this.putRoute({ ...route, ...changes, modifiedVersion: this.version });
  }

  private putRoute(route: Route): void {
    this.routes.push({ kind: 'upsert', route });
    this.rows.push({ key: routeKey(route.id), value: encodeRoute(route) });
  }

  deleteRoute(route: Route): void {
    this.routes.push({ kind: 'delete', id: route.id, start: route.start });
    this.rows.push({ key: routeKey(route.id), value: undefined });
  }

  /** Adds a job with a fresh id. */
  addJob(job: Omit<JobRow, 'id' | 'revision' | 'createdMs' | 'updatedMs'>): JobRow {
    const { nowMs } = this.context;
    const row = { ...job, id: this.nextJobId++, revision: 1, createdMs: nowMs, updatedMs: nowMs };
    this.rows.push({ key: jobKey(row.id), value: encodeJob(row) });
    return row;
  }

  /** Writes the next revision of a job; a finished one moves to the history. */
  changeJob(job: JobRow, changes: Partial<JobRow>): JobRow {
    const row = { ...job, ...changes, revision: job.revision + 1, updatedMs: this.context.nowMs };
    if (row.phase === 'DONE' || row.phase === 'ABORTED') {
      this.rows.push({ key: jobKey(row.id), value: undefined });
      this.rows.push({ key: jobHistoryKey(row.updatedMs, row.id), value: encodeJob(row) });
      const oldest = this.state.finished[0];
      if (oldest !== undefined && this.state.finished.length >= MAX_FINISHED_JOBS) {
        this.rows.push({ key: jobHistoryKey(oldest.terminalMs, oldest.job.id), value: undefined });
      }
    } else {
      this.rows.push({ key: jobKey(row.id), value: encodeJob(row) });
    }
    return row;
  }

  /** @param isNews false for a heartbeat that only says that the node lives, and how busy it is */
  putNode(node: NodeRow, isNews: boolean): void {
    if (isNews) this.changesClusterState = true;
    this.rows.push({ key: nodeKey(node.nodeId), value: encodeNode(node) });
  }

  /** @param isKnown false: a data folder that the catalog never heard of is kept out all the same */
  removeNode(node: Pick<NodeRow, 'nodeId' | 'incarnation'>, isKnown: boolean): void {
    this.changesClusterState = true;
    if (isKnown) this.rows.push({ key: nodeKey(node.nodeId), value: undefined });
    this.rows.push({ key: tombstoneKey(node.nodeId, node.incarnation), value: Buffer.of(1) });
    // What follows under its id begins in service.
    if (this.state.withdrawals.has(node.nodeId)) this.removeWithdrawal(node.nodeId);
  }

  putWithdrawal(row: WithdrawalRow): void {
    this.changesClusterState = true;
    this.rows.push({ key: withdrawalKey(row.nodeId), value: encodeWithdrawal(row) });
  }

  removeWithdrawal(node: NodeId): void {
    this.changesClusterState = true;
    this.rows.push({ key: withdrawalKey(node), value: undefined });
  }

  addGroup(group: {
    readonly id: GroupId;
    readonly founders: readonly NodeId[];
    readonly preferredLeader: NodeId | undefined;
    readonly requestId?: Buffer | undefined;
  }): GroupRow {
    const { id, founders, preferredLeader, requestId } = group;
    const createdMs = this.context.nowMs;
    const row: GroupRow = { id, revision: 1, founders, state: 'ACTIVE', preferredLeader, createdMs };
    return this.putGroup(requestId === undefined ? row : { ...row, requestId: Buffer.from(requestId) });
  }

  changeGroup(group: GroupRow, changes: Partial<GroupRow>): GroupRow {
    return this.putGroup({ ...group, ...changes, revision: group.revision + 1 });
  }

  private putGroup(group: GroupRow): GroupRow {
    this.changesClusterState = true;
    this.rows.push({ key: groupKey(group.id), value: encodeGroup(group) });
    return group;
  }

  /** An empty value removes the row. */
  putSetting(setting: SettingRow): void {
    this.changesClusterState = true;
    const value = setting.value === '' ? undefined : encodeSetting(setting);
    this.rows.push({ key: settingKey(setting.name), value });
  }

  putFeature(feature: FeatureRow): void {
    this.changesClusterState = true;
    this.rows.push({ key: featureKey(feature.name), value: encodeFeature(feature) });
  }

  putWork(work: WorkRow): void {
    this.rows.push({ key: workKey(work.name), value: encodeWork(work) });
  }

  removeWork(name: string): void {
    this.rows.push({ key: workKey(name), value: undefined });
  }

  /** Ends a commit that changes no route. */
  commitRows<Result>(result: Result): CatalogPlan<Result> {
    assert(this.routes.length === 0, 'a change of routes makes a version');
    if (this.changesClusterState || this.nextJobId !== this.base.nextJobId) this.putMeta(this.base);
    return { mutations: this.rows, delta: undefined, result };
  }

  /**
   * Ends a commit that changes routes: one version, whatever the number of rows.
   * @throws CatalogError BATCH_INVALID when the delta is too large for one entry
   */
  commitRoutes<Result>(cause: DeltaCause, result: Result, batchId?: Buffer): CatalogPlan<Result> {
    const delta: CatalogDelta = {
      version: this.version,
      committedMs: this.context.nowMs,
      cause,
      batchId,
      mutations: this.routes,
    };
    // The refusals above are for callers; a delta that does not fit after them is a mistake of this module.
    this.state.routes.apply(delta);
    const encoded = encodeDelta(delta);
    if (encoded.length > MAX_DELTA_BYTES) {
      throw new CatalogError('BATCH_INVALID', `the change takes ${encoded.length} bytes of at most ${MAX_DELTA_BYTES}`);
    }
    const { log } = this.state;
    const deltaFloor = log.nextFloor(
      this.context.retention,
      this.context.nowMs,
      encoded.length,
      this.context.slowestCursor,
    );
    for (let version = log.floor; version < deltaFloor; version++) {
      this.rows.push({ key: deltaKey(version), value: undefined });
    }
    this.rows.push({ key: deltaKey(delta.version), value: encoded });
    this.putMeta({ ...this.base, version: delta.version, deltaFloor });
    return { mutations: this.rows, delta, result };
  }

  private putMeta(meta: CatalogMeta): void {
    const { nextRouteId, nextJobId } = this;
    const documentRevision = meta.documentRevision + (this.changesClusterState ? 1 : 0);
    this.rows.push({ key: META_KEY, value: encodeMeta({ ...meta, nextRouteId, nextJobId, documentRevision }) });
  }
}
