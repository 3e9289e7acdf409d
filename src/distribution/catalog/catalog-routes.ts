/** Operations on routes that move no data: bootstrap, splits, merges. Each decides from the state and writes nothing. */
import { type GroupId, type HlcTimestamp, NEVER } from '../../platform/index.ts';
import {
  type CatalogDelta,
  CatalogError,
  type CatalogIncarnation,
  type CatalogMeta,
  type CatalogVersion,
  deltaKey,
  encodeMeta,
  type ItemRefusal,
  META_KEY,
  RESERVED_END,
  type Route,
  type RouteId,
} from '../contract/index.ts';
import type { KeyRules } from '../keyspaces.ts';
import { CatalogDraft, type CatalogPlan, latest, type PlanContext } from './catalog-draft.ts';
import { type BootstrapGroup, checkGroup, MAX_GROUPS } from './catalog-groups.ts';
import type { CatalogMutation, CatalogState } from './catalog-state.ts';

/** Most splits of one batch. */
export const MAX_BATCH_SPLITS = 256;
/** Most ranges that a catalog can begin with; more come from splits. */
export const MAX_BOOTSTRAP_RANGES = 1_024;
/** Length of the id that makes a batch repeatable. */
export const BATCH_ID_BYTES = 16;

/** A range of keys of the data groups; `start` empty is the start, `end` undefined the end of the key space. */
export interface BootstrapRange {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
  readonly groupId: GroupId;
}

export interface BootstrapOp {
  readonly kind: 'bootstrap';
  readonly incarnation: CatalogIncarnation;
  /** The group that holds the catalog, and with it all reserved keys. */
  readonly catalogGroup: GroupId;
  /** Every key once, in order; the reserved keys are cut off the first one. */
  readonly ranges: readonly BootstrapRange[];
  /** Every group that there is from the beginning; that of the catalog and those of all ranges are among them. */
  readonly groups: readonly BootstrapGroup[];
}

export interface SplitOp {
  readonly kind: 'split';
  readonly expectedVersion: CatalogVersion;
  readonly routeId: RouteId;
  /** Strictly inside the route, and never between rows of one logical object: that is the caller's knowledge. */
  readonly splitKey: Buffer;
  readonly splitAtTs: HlcTimestamp;
}

/** One cut of a batch. Several may cut the same route. */
export interface SplitItem {
  readonly routeId: RouteId;
  readonly splitKey: Buffer;
}

export interface BatchSplitOp {
  readonly kind: 'batchSplit';
  readonly expectedVersion: CatalogVersion;
  /** 16 bytes; the same id again gives the first answer again. */
  readonly batchId: Buffer;
  readonly items: readonly SplitItem[];
  readonly splitAtTs: HlcTimestamp;
}

export interface MergeOp {
  readonly kind: 'merge';
  readonly expectedVersion: CatalogVersion;
  readonly leftId: RouteId;
  readonly rightId: RouteId;
  /** Where the right one starts. */
  readonly boundary: Buffer;
}

/**
 * Begins a new life of a catalog that was put back from a copy: watchers that have seen more than the copy holds start
 * over, and ids that may have been given out after the copy was made are skipped.
 */
export interface RestoreOp {
  readonly kind: 'restore';
  /** Above every incarnation before. */
  readonly incarnation: CatalogIncarnation;
}

/** Ids that a restore skips; a copy is not so old that more were given out since. */
export const RESTORE_SKIPPED_IDS = 2 ** 32;

/** The version that an operation made, and the ids of the routes that it added, in key order. */
export interface RoutesResult {
  readonly version: CatalogVersion;
  readonly routeIds: readonly RouteId[];
}

/**
 * The same operation with its cuts where they may be made: at the first row of the object that they would go through. It comes
 * before anything else is decided, so that a repeated request is compared with what was done.
 */
export function alignedCuts<Op extends { readonly kind: string }>(op: Op, rules: Pick<KeyRules, 'align'>): Op {
  if (op.kind === 'split') {
    const split = op as Op & SplitOp;
    return { ...split, splitKey: rules.align(split.splitKey) };
  }
  if (op.kind === 'batchSplit') {
    const batch = op as Op & BatchSplitOp;
    return { ...batch, items: batch.items.map((item) => ({ ...item, splitKey: rules.align(item.splitKey) })) };
  }
  return op;
}

/** Makes version 1. @throws CatalogError ALREADY_BOOTSTRAPPED, INVALID_RANGES, INVALID_GROUP */
export function planBootstrap(state: CatalogState, op: BootstrapOp, context: PlanContext): CatalogPlan<RoutesResult> {
  if (state.meta !== undefined) throw new CatalogError('ALREADY_BOOTSTRAPPED', 'the catalog has routes already');
  const { ranges, catalogGroup, incarnation, groups } = op;
  checkRanges(ranges);
  checkGroups(groups, [catalogGroup, ...ranges.map((range) => range.groupId)]);
  const draft = new CatalogDraft(state, context, {
    version: 0,
    nextRouteId: 1,
    nextJobId: 1,
    deltaFloor: 1,
    incarnation,
    catalogGroup,
    documentRevision: 0,
  });
  for (const group of groups) draft.addGroup(group);
  const fresh = { state: 'ACTIVE', jobId: 0, parentId: 0, splitAtTs: NEVER, minWriteTs: NEVER, spanEpoch: 1 } as const;
  const routeIds = [draft.addRoute({ ...fresh, start: Buffer.alloc(0), end: RESERVED_END, groupId: catalogGroup })];
  for (const [index, range] of ranges.entries()) {
    routeIds.push(draft.addRoute({ ...fresh, ...range, start: index === 0 ? RESERVED_END : range.start }));
  }
  return draft.commitRoutes('bootstrap', { version: draft.version, routeIds });
}

function checkGroups(groups: readonly BootstrapGroup[], named: readonly GroupId[]): void {
  const ids = new Set(groups.map((group) => group.id));
  if (ids.size !== groups.length || ids.size > MAX_GROUPS) {
    throw new CatalogError('INVALID_GROUP', `a catalog begins with at most ${MAX_GROUPS} groups, each named once`);
  }
  for (const group of groups) checkGroup(group);
  const missing = named.find((id) => !ids.has(id));
  if (missing !== undefined)
    throw new CatalogError('INVALID_GROUP', `a range is of group ${missing}, which is not there`);
}

function checkRanges(ranges: readonly BootstrapRange[]): void {
  const invalid = (problem: string): CatalogError => new CatalogError('INVALID_RANGES', problem);
  if (ranges.length === 0 || ranges.length > MAX_BOOTSTRAP_RANGES) {
    throw invalid(`a catalog begins with 1 to ${MAX_BOOTSTRAP_RANGES} ranges`);
  }
  let from: Buffer | undefined = Buffer.alloc(0);
  for (const [index, { start, end }] of ranges.entries()) {
    if (from === undefined) throw invalid(`range ${index} comes after the end of the key space`);
    const order = Buffer.compare(start, from);
    if (order > 0) throw invalid(`no range covers the keys before range ${index}`);
    if (order < 0) throw invalid(`range ${index} overlaps the one before it`);
    const least = index === 0 ? RESERVED_END : start;
    if (end !== undefined && Buffer.compare(end, least) <= 0) throw invalid(`range ${index} is empty or reserved`);
    from = end;
  }
  if (from !== undefined) throw invalid('no range reaches the end of the key space');
}

/** @throws CatalogError NOT_BOOTSTRAPPED, VERSION_MISMATCH for an incarnation that is not above the last one */
export function planRestore(state: CatalogState, op: RestoreOp): CatalogPlan<RoutesResult> {
  const { meta, log } = state;
  if (meta === undefined) throw new CatalogError('NOT_BOOTSTRAPPED', 'there are no rows of a catalog to go on with');
  if (op.incarnation <= meta.incarnation) {
    throw new CatalogError('VERSION_MISMATCH', `a restore needs an incarnation above ${meta.incarnation}`);
  }
  const mutations: CatalogMutation[] = [];
  for (let version = log.floor; version <= log.version; version++) {
    mutations.push({ key: deltaKey(version), value: undefined });
  }
  const restored: CatalogMeta = {
    ...meta,
    incarnation: op.incarnation,
    deltaFloor: meta.version + 1,
    nextRouteId: meta.nextRouteId + RESTORE_SKIPPED_IDS,
    nextJobId: meta.nextJobId + RESTORE_SKIPPED_IDS,
    documentRevision: meta.documentRevision + RESTORE_SKIPPED_IDS,
  };
  mutations.push({ key: META_KEY, value: encodeMeta(restored) });
  return { mutations, delta: undefined, result: { version: meta.version, routeIds: [] } };
}

/** The route's two halves in one group; its span table is not concerned. @throws CatalogError */
export function planSplit(state: CatalogState, op: SplitOp, context: PlanContext): CatalogPlan<RoutesResult> {
  const draft = CatalogDraft.over(state, context);
  draft.expectVersion(op.expectedVersion);
  const route = splittable(draft, op);
  const routeIds = cut(draft, route, [op.splitKey], op.splitAtTs);
  return draft.commitRoutes('split', { version: draft.version, routeIds });
}

/** @throws CatalogError also INVALID_SPLIT_KEY */
function splittable(draft: CatalogDraft, item: SplitItem): Route {
  const route = draft.activeRoute(item.routeId, item.splitKey);
  if (route.start.equals(item.splitKey)) {
    throw new CatalogError(
      'INVALID_SPLIT_KEY',
      `route ${route.id} starts at that key already, or with the object that it lies in, which is never cut`,
    );
  }
  return route;
}

/** Replaces a route by its pieces. @param keys ascending, strictly inside */
function cut(draft: CatalogDraft, route: Route, keys: readonly Buffer[], splitAtTs: HlcTimestamp): RouteId[] {
  draft.deleteRoute(route);
  return [route.start, ...keys].map((start, at) =>
    draft.addRoute({ ...route, start, end: at < keys.length ? keys[at] : route.end, parentId: route.id, splitAtTs }),
  );
}

/**
 * All splits in one version, or none: every item is checked against the routes before the batch.
 * @throws CatalogError BATCH_INVALID, BATCH_REUSED, BATCH_REJECTED with a reason per item, VERSION_MISMATCH
 */
export function planBatchSplit(state: CatalogState, op: BatchSplitOp, context: PlanContext): CatalogPlan<RoutesResult> {
  const draft = CatalogDraft.over(state, context);
  const { items, batchId } = op;
  if (items.length === 0 || items.length > MAX_BATCH_SPLITS) {
    throw new CatalogError('BATCH_INVALID', `a batch has 1 to ${MAX_BATCH_SPLITS} splits`);
  }
  if (batchId.length !== BATCH_ID_BYTES) {
    throw new CatalogError('BATCH_INVALID', `a batch id has ${BATCH_ID_BYTES} bytes`);
  }
  // Before the version check: the answer to a repetition is that of the first time, whatever happened since. Once the
  // delta is forgotten the version check refuses the repetition.
  const earlier = state.log.deltaOfBatch(batchId);
  if (earlier !== undefined) return repeated(earlier, items);
  draft.expectVersion(op.expectedVersion);

  const refusals: ItemRefusal[] = [];
  const cuts = new Map<RouteId, { route: Route; keys: Buffer[] }>();
  for (const [index, item] of items.entries()) {
    try {
      const route = splittable(draft, item);
      const own = cuts.get(route.id) ?? { route, keys: [] };
      cuts.set(route.id, own);
      if (own.keys.some((key) => key.equals(item.splitKey))) {
        throw new CatalogError('INVALID_SPLIT_KEY', 'another item of the batch has the same key');
      }
      own.keys.push(item.splitKey);
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error;
      refusals.push({ index, code: error.code, message: error.message });
    }
  }
  if (refusals.length > 0) {
    const first = refusals[0]!;
    throw new CatalogError(
      'BATCH_REJECTED',
      `${refusals.length} of ${items.length} splits cannot be made, so none is; item ${first.index}: ${first.message}`,
      refusals,
    );
  }
  const inOrder = [...cuts.values()].sort((a, b) => Buffer.compare(a.route.start, b.route.start));
  const routeIds = inOrder.flatMap(({ route, keys }) => cut(draft, route, keys.sort(Buffer.compare), op.splitAtTs));
  return draft.commitRoutes('batchSplit', { version: draft.version, routeIds }, batchId);
}

/** The first answer to a batch. @throws CatalogError BATCH_REUSED when it was another batch */
function repeated(earlier: CatalogDelta, items: readonly SplitItem[]): CatalogPlan<RoutesResult> {
  const added = earlier.mutations.flatMap((mutation) => (mutation.kind === 'upsert' ? [mutation.route] : []));
  const parents = new Set(added.map((route) => route.parentId));
  const starts = new Set(added.map((route) => `${route.parentId}/${route.start.toString('latin1')}`));
  const isSame =
    added.length - parents.size === items.length &&
    items.every((item) => starts.has(`${item.routeId}/${item.splitKey.toString('latin1')}`));
  if (!isSame) throw new CatalogError('BATCH_REUSED', 'the batch id was used for other splits; choose a new one');
  return {
    mutations: [],
    delta: undefined,
    result: { version: earlier.version, routeIds: added.map((route) => route.id) },
  };
}

/** One route of two neighbours of one group. @throws CatalogError NOT_ADJACENT, DIFFERENT_GROUPS and those of a route */
export function planMerge(state: CatalogState, op: MergeOp, context: PlanContext): CatalogPlan<RoutesResult> {
  const draft = CatalogDraft.over(state, context);
  draft.expectVersion(op.expectedVersion);
  const { left, right } = neighbours(draft, op);
  if (left.groupId !== right.groupId) {
    throw new CatalogError(
      'DIFFERENT_GROUPS',
      `route ${left.id} is in group ${left.groupId}, route ${right.id} in group ${right.groupId}; that takes a job`,
    );
  }
  const id = join(draft, left, right);
  return draft.commitRoutes('merge', { version: draft.version, routeIds: [id] });
}

/** The two routes that a merge names. @throws CatalogError NOT_ADJACENT and those of a route */
export function neighbours(
  draft: CatalogDraft,
  op: Pick<MergeOp, 'leftId' | 'rightId' | 'boundary'>,
): { readonly left: Route; readonly right: Route } {
  const right = draft.activeRoute(op.rightId, op.boundary);
  const left = draft.state.routes.before(right.start);
  if (!right.start.equals(op.boundary) || left?.id !== op.leftId) {
    throw new CatalogError('NOT_ADJACENT', `route ${op.rightId} does not follow route ${op.leftId} at that key`);
  }
  return { left: draft.activeRoute(left.id, left.start), right };
}

/** Replaces two neighbours of one group by one route, in nobody's hands. @returns its id */
export function join(draft: CatalogDraft, left: Route, right: Route): RouteId {
  draft.deleteRoute(left);
  draft.deleteRoute(right);
  return draft.addRoute({
    ...left,
    state: 'ACTIVE',
    jobId: 0,
    end: right.end,
    parentId: left.id,
    splitAtTs: NEVER,
    minWriteTs: latest(left.minWriteTs, right.minWriteTs),
    spanEpoch: Math.max(left.spanEpoch, right.spanEpoch),
  });
}
