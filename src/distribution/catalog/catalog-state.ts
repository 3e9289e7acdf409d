/**
 * The catalog as values: all of its rows, decoded and cross-checked. There are two ways to it and both give the same:
 * `loadCatalog` from all rows, `advanceCatalog` from the state before and the rows of one commit.
 */
import { assertNever, type GroupId, groupId, type NodeId, nodeId } from '../../platform/index.ts';
import {
  CatalogCorruptError,
  type CatalogDelta,
  type CatalogKey,
  type CatalogMeta,
  type CatalogVersion,
  type ClusterState,
  decodeDelta,
  decodeFeature,
  decodeGroup,
  decodeJob,
  decodeMeta,
  decodeNode,
  decodeRoute,
  decodeSetting,
  decodeWithdrawal,
  decodeWork,
  type FeatureRow,
  type GroupRow,
  type JobId,
  type JobRow,
  type NodeRow,
  parseCatalogKey,
  type Route,
  RouteTableError,
  type SettingRow,
  type WithdrawalRow,
  type WorkRow,
} from '../contract/index.ts';
import { RouteTable, RouteTableLoader } from '../routes/index.ts';
import { ChangeLog } from './change-log.ts';

/** One row that a commit writes, or deletes when `value` is undefined. */
export interface CatalogMutation {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}

/** A finished job, as its row in the history is found. */
export interface FinishedJob {
  readonly terminalMs: number;
  readonly job: JobRow;
}

/** Everything that the catalog holds. Immutable. */
export interface CatalogState {
  /** Undefined before the bootstrap. */
  readonly meta: CatalogMeta | undefined;
  /** The routes at `meta.version`. */
  readonly routes: RouteTable;
  readonly log: ChangeLog;
  /** Jobs that are not finished. */
  readonly jobs: ReadonlyMap<JobId, JobRow>;
  /** The newest finished jobs, oldest first. */
  readonly finished: readonly FinishedJob[];
  readonly nodes: ReadonlyMap<NodeId, NodeRow>;
  /** Removed incarnations of nodes, as `tombstoneName` spells them. */
  readonly tombstones: ReadonlySet<string>;
  /** Removed ones included. */
  readonly groups: ReadonlyMap<GroupId, GroupRow>;
  readonly settings: ReadonlyMap<string, SettingRow>;
  readonly features: ReadonlyMap<string, FeatureRow>;
  readonly work: ReadonlyMap<string, WorkRow>;
  /** Nodes that are taken out of service. */
  readonly withdrawals: ReadonlyMap<NodeId, WithdrawalRow>;
}

/** How a removed incarnation of a node is spelled in `CatalogState.tombstones`. */
export const tombstoneName = (node: number, incarnation: Buffer): string => `${node}/${incarnation.toString('hex')}`;

/** The catalog before its bootstrap. */
export const EMPTY_CATALOG: CatalogState = {
  meta: undefined,
  routes: RouteTable.empty(0),
  log: ChangeLog.empty(1),
  jobs: new Map(),
  finished: [],
  nodes: new Map(),
  tombstones: new Set(),
  groups: new Map(),
  settings: new Map(),
  features: new Map(),
  work: new Map(),
  withdrawals: new Map(),
};

/** What all nodes keep a copy of; everything in order of ids and names. */
export function clusterStateOf(state: CatalogState): ClusterState {
  const byName = (a: { readonly name: string }, b: { readonly name: string }): number => (a.name < b.name ? -1 : 1);
  return {
    revision: state.meta?.documentRevision ?? 0,
    nodes: [...state.nodes.values()].sort((a, b) => a.nodeId - b.nodeId),
    groups: [...state.groups.values()].sort((a, b) => a.id - b.id),
    settings: [...state.settings.values()].sort(byName),
    features: [...state.features.values()].sort(byName),
    work: [...state.work.values()].sort(byName),
    removed: [...state.tombstones].map((name) => {
      const [node, incarnation] = name.split('/') as [string, string];
      return { nodeId: nodeId(Number(node)), incarnation };
    }),
    withdrawals: [...state.withdrawals.values()].sort((a, b) => a.nodeId - b.nodeId),
  };
}

/** A map that is copied when the first row of it changes: a heartbeat must not cost a copy of all groups. */
class ChangedMap<Key, Row> {
  rows: ReadonlyMap<Key, Row>;
  private own: Map<Key, Row> | undefined;

  constructor(before: ReadonlyMap<Key, Row>) {
    this.rows = before;
  }

  /** Takes in one row; `value` undefined removes it. */
  put(key: Key, value: Buffer | undefined, decode: (bytes: Buffer) => Row): void {
    if (this.own === undefined) {
      this.own = new Map(this.rows);
      this.rows = this.own;
    }
    if (value === undefined) this.own.delete(key);
    else this.own.set(key, decode(value));
  }
}

/** Rows of the families that are plain maps, while a state is put together. */
class RowMaps {
  private readonly jobs: ChangedMap<JobId, JobRow>;
  private finished: readonly FinishedJob[];
  private readonly nodes: ChangedMap<NodeId, NodeRow>;
  private tombstones: ReadonlySet<string>;
  private newTombstones: Set<string> | undefined;
  private readonly groups: ChangedMap<GroupId, GroupRow>;
  private readonly settings: ChangedMap<string, SettingRow>;
  private readonly features: ChangedMap<string, FeatureRow>;
  private readonly work: ChangedMap<string, WorkRow>;
  private readonly withdrawals: ChangedMap<NodeId, WithdrawalRow>;

  constructor(state: CatalogState) {
    this.jobs = new ChangedMap(state.jobs);
    this.finished = state.finished;
    this.nodes = new ChangedMap(state.nodes);
    this.tombstones = state.tombstones;
    this.groups = new ChangedMap(state.groups);
    this.settings = new ChangedMap(state.settings);
    this.features = new ChangedMap(state.features);
    this.work = new ChangedMap(state.work);
    this.withdrawals = new ChangedMap(state.withdrawals);
  }

  /** Takes in one row; `value` undefined removes it. */
  set(parsed: Exclude<CatalogKey, { family: 'meta' | 'route' | 'delta' }>, value: Buffer | undefined): void {
    switch (parsed.family) {
      case 'job':
        this.jobs.put(parsed.id, value, decodeJob);
        break;
      case 'jobHistory': {
        const others = this.finished.filter((row) => row.job.id !== parsed.id);
        if (value !== undefined) others.push({ terminalMs: parsed.terminalMs, job: decodeJob(value) });
        this.finished = sortFinished(others);
        break;
      }
      case 'node':
        this.nodes.put(nodeId(parsed.node), value, decodeNode);
        break;
      case 'tombstone':
        this.newTombstones ??= new Set(this.tombstones);
        this.tombstones = this.newTombstones.add(tombstoneName(parsed.node, parsed.incarnation));
        break;
      case 'group':
        if (value === undefined) throw new CatalogCorruptError(`the row of group ${parsed.id} was deleted`);
        this.groups.put(groupId(parsed.id), value, decodeGroup);
        break;
      case 'setting':
        this.settings.put(parsed.name, value, decodeSetting);
        break;
      case 'feature':
        if (value === undefined) throw new CatalogCorruptError(`the row of feature '${parsed.name}' was deleted`);
        this.features.put(parsed.name, value, decodeFeature);
        break;
      case 'work':
        this.work.put(parsed.name, value, decodeWork);
        break;
      case 'withdrawal':
        this.withdrawals.put(nodeId(parsed.node), value, decodeWithdrawal);
        break;
      default:
        assertNever(parsed);
    }
  }

  /** The families as they are now. */
  result(): Omit<CatalogState, 'meta' | 'routes' | 'log'> {
    return {
      jobs: this.jobs.rows,
      finished: this.finished,
      nodes: this.nodes.rows,
      tombstones: this.tombstones,
      groups: this.groups.rows,
      settings: this.settings.rows,
      features: this.features.rows,
      work: this.work.rows,
      withdrawals: this.withdrawals.rows,
    };
  }
}

/**
 * The state after a commit.
 * @param mutations exactly the rows of one commit
 * @throws CatalogCorruptError when they do not fit the state: a version without its delta, rows that the delta does not have
 */
export function advanceCatalog(state: CatalogState, mutations: readonly CatalogMutation[]): CatalogState {
  const maps = new RowMaps(state);
  let meta = state.meta;
  let delta: CatalogDelta | undefined;
  let encodedDelta: Buffer | undefined;
  let trimmed = 0;
  let routeRows = 0;
  for (const { key, value } of mutations) {
    const parsed = parseCatalogKey(key);
    switch (parsed.family) {
      case 'meta':
        if (value === undefined) throw new CatalogCorruptError('the meta row was deleted');
        meta = decodeMeta(value);
        break;
      case 'route':
        routeRows++;
        break;
      case 'delta':
        if (value === undefined) {
          trimmed++;
          break;
        }
        if (delta !== undefined) throw new CatalogCorruptError('one commit holds two deltas');
        delta = decodeDelta(value);
        encodedDelta = value;
        break;
      default:
        maps.set(parsed, value);
    }
  }

  const kept = maps.result();
  let { routes, log } = state;
  if (delta !== undefined && encodedDelta !== undefined) {
    if (meta === undefined) throw new CatalogCorruptError('a delta without a meta row');
    if (routeRows !== delta.mutations.length) throw new CatalogCorruptError('a delta and the rows beside it differ');
    // A version never comes without its delta, so a new life of the catalog starts with its first delta.
    const base = state.meta === undefined ? RouteTable.empty(meta.incarnation) : routes;
    routes = applyStored(base, delta);
    log = log.append(delta, encodedDelta);
    for (const mutation of delta.mutations) {
      if (mutation.kind === 'upsert') checkOwner(kept.groups, mutation.route.groupId);
    }
  }
  if (meta !== undefined) {
    routes = routes.inIncarnation(meta.incarnation);
    if (meta.version !== routes.version) throw new CatalogCorruptError(`version ${meta.version} has no delta`);
    if (trimmed !== meta.deltaFloor - log.floor)
      throw new CatalogCorruptError('the floor does not match the trimmed deltas');
    log = log.trim(meta.deltaFloor);
  }
  return { meta, routes, log, ...kept };
}

/** A range without a group that is there could not be served by anybody. */
function checkOwner(groups: ReadonlyMap<GroupId, GroupRow>, owner: GroupId): void {
  if (groups.get(owner)?.state !== 'ACTIVE')
    throw new CatalogCorruptError(`a route is of group ${owner}, which is not there`);
}

/** Stored deltas were checked when they were planned: a refusal now is damage. */
function applyStored(routes: RouteTable, delta: CatalogDelta): RouteTable {
  try {
    return routes.apply(delta);
  } catch (error) {
    if (error instanceof RouteTableError) {
      throw new CatalogCorruptError(`stored delta ${delta.version} does not fit: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

const sortFinished = (rows: FinishedJob[]): FinishedJob[] =>
  rows.sort((a, b) => a.terminalMs - b.terminalMs || a.job.id - b.job.id);

/**
 * The state from all live rows of the catalog, in any order.
 * @throws CatalogCorruptError when routes do not partition the key space, or a delta at or above the floor is missing
 */
export function loadCatalog(rows: Iterable<{ readonly key: Buffer; readonly value: Buffer }>): CatalogState {
  const steps = loadCatalogSteps(rows);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Rows between two steps of a load: a fraction of a millisecond. */
const ROWS_PER_STEP = 128;

/** The same in small steps, for whoever has other things to do in between: a catalog of many routes takes long to load. */
export function* loadCatalogSteps(
  rows: Iterable<{ readonly key: Buffer; readonly value: Buffer }>,
): Generator<undefined, CatalogState, undefined> {
  let taken = 0;
  const maps = new RowMaps(EMPTY_CATALOG);
  const routes: Route[] = [];
  const deltas = new Map<CatalogVersion, Buffer>();
  const finished: FinishedJob[] = [];
  let meta: CatalogMeta | undefined;
  for (const { key, value } of rows) {
    if (++taken % ROWS_PER_STEP === 0) yield;
    const parsed = parseCatalogKey(key);
    switch (parsed.family) {
      case 'meta':
        meta = decodeMeta(value);
        break;
      case 'route':
        routes.push(decodeRoute(value));
        if (routes.at(-1)!.id !== parsed.id) throw new CatalogCorruptError(`row of route ${parsed.id} has another id`);
        break;
      case 'delta':
        deltas.set(parsed.version, value);
        break;
      case 'jobHistory':
        // Not by `set`, which looks for a row that is there already and keeps them in order.
        finished.push({ terminalMs: parsed.terminalMs, job: decodeJob(value) });
        break;
      default:
        maps.set(parsed, value);
    }
  }
  const kept = { ...maps.result(), finished: sortFinished(finished) };
  if (meta === undefined) {
    if (routes.length > 0 || deltas.size > 0) throw new CatalogCorruptError('routes or deltas without a meta row');
    return { ...EMPTY_CATALOG, ...kept };
  }
  const table = yield* loadRoutes(routes, meta);
  for (const owner of table.groups()) checkOwner(kept.groups, owner);
  return { meta, routes: table, log: yield* loadLog(deltas, meta), ...kept };
}

function* loadRoutes(rows: Route[], meta: CatalogMeta): Generator<undefined, RouteTable, undefined> {
  const loader = new RouteTableLoader();
  try {
    for (const route of rows.sort((a, b) => Buffer.compare(a.start, b.start))) {
      loader.add(route);
      if (loader.size % ROWS_PER_STEP === 0) yield;
    }
    const table = loader.finish(meta.version, meta.incarnation);
    if (table.maxRouteId >= meta.nextRouteId) throw new CatalogCorruptError('a route has an id that is still free');
    return table;
  } catch (error) {
    if (error instanceof RouteTableError)
      throw new CatalogCorruptError(`stored routes: ${error.message}`, { cause: error });
    throw error;
  }
}

function* loadLog(deltas: Map<CatalogVersion, Buffer>, meta: CatalogMeta): Generator<undefined, ChangeLog, undefined> {
  let log = ChangeLog.empty(meta.deltaFloor);
  for (let version = meta.deltaFloor; version <= meta.version; version++) {
    const encoded = deltas.get(version);
    if (encoded === undefined)
      throw new CatalogCorruptError(`delta ${version} is missing, the floor is ${meta.deltaFloor}`);
    const delta = decodeDelta(encoded);
    if (delta.version !== version)
      throw new CatalogCorruptError(`row of delta ${version} holds delta ${delta.version}`);
    log = log.append(delta, encoded);
    // One delta may hold hundreds of routes.
    yield;
  }
  if (log.count !== deltas.size) throw new CatalogCorruptError('deltas below the floor or above the version');
  return log;
}
