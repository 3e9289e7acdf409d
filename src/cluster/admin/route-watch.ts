/** The directory as pages, and its changes as a stream of differences between versions that this node has published. */
import type { Route, RouteEngine, RouteTable } from '../../distribution/index.ts';
import { type Millis, type Scheduler, sleep } from '../../platform/index.ts';
import type { RoutesChange, RoutesFilter, RoutesPage, RouteView } from '../contract/index.ts';
import { routeView } from './views.ts';

/** Routes in one page or one part of a change. */
export const PAGE_ROUTES = 512;
/** Several versions within this time are told as one change. */
const LOOK_MS: Millis = 100;
/** A comparison lets other work in after this many routes. */
const SLICE_ROUTES = 4_096;

/** Pages of one version, the last one maybe empty; O(log n) and then O(1) a route, except for a group's, which cost O(log n) each. */
export function* routePages(table: RouteTable, filter: RoutesFilter): Generator<RoutesPage> {
  const { version, incarnation } = table;
  const { start, end, groupId } = filter;
  const source = groupId === undefined ? table.overlap(start, end) : table.ofGroup(groupId);
  let left = filter.limit === 0 ? Number.POSITIVE_INFINITY : filter.limit;
  let routes: RouteView[] = [];
  for (const route of source) {
    if (groupId !== undefined) {
      if (route.end !== undefined && Buffer.compare(route.end, start) <= 0) continue;
      if (end !== undefined && Buffer.compare(route.start, end) >= 0) break;
    }
    if (left-- === 0) break;
    routes.push(routeView(route));
    if (routes.length < PAGE_ROUTES) continue;
    yield { version, incarnation, routes };
    routes = [];
  }
  yield { version, incarnation, routes };
}

interface Removed {
  readonly id: number;
  readonly start: Buffer;
}

/**
 * What happened between two versions: a walk over both, O(n), in slices.
 * @returns rows to write and rows to delete; a row that only has another id is both
 */
async function difference(
  before: RouteTable,
  after: RouteTable,
  breathe: () => Promise<void>,
): Promise<{ readonly upserts: readonly Route[]; readonly removed: readonly Removed[] }> {
  const upserts: Route[] = [];
  const removed: Removed[] = [];
  const old = before.all();
  let held = old.next();
  let count = 0;
  for (const route of after.all()) {
    if (++count % SLICE_ROUTES === 0) await breathe();
    while (!held.done && Buffer.compare(held.value.start, route.start) < 0) {
      removed.push({ id: held.value.id, start: held.value.start });
      held = old.next();
    }
    const same = !held.done && held.value.start.equals(route.start) ? held.value : undefined;
    if (same !== undefined) held = old.next();
    if (same?.id !== route.id) {
      if (same !== undefined) removed.push({ id: same.id, start: same.start });
      upserts.push(route);
    } else if (same.modifiedVersion !== route.modifiedVersion) upserts.push(route);
  }
  for (; !held.done; held = old.next()) removed.push({ id: held.value.id, start: held.value.start });
  return { upserts, removed };
}

/**
 * Tells the routes that there are, unless only changes are asked for, and then every change that this node learns of,
 * several versions together when they come fast. Ends when `signal` fires.
 */
export async function* watchRoutes(
  engine: RouteEngine,
  scheduler: Scheduler,
  onlyChanges: boolean,
  signal: AbortSignal,
): AsyncGenerator<RoutesChange> {
  let told: RouteTable | undefined = onlyChanges ? engine.current : undefined;
  while (!signal.aborted) {
    const table = engine.current;
    if (table.version > 0 && (told === undefined || told.incarnation !== table.incarnation)) yield* snapshot(table);
    else if (told !== undefined && table !== told) {
      const { upserts, removed } = await difference(told, table, () => sleep(scheduler, 0, signal));
      yield* inParts(table, upserts, removed);
    }
    if (table.version > 0 || onlyChanges) told = table;
    await sleep(scheduler, LOOK_MS, signal);
  }
}

function* snapshot(table: RouteTable): Generator<RoutesChange> {
  let sent = 0;
  for (const { version, incarnation, routes } of routePages(table, { start: Buffer.alloc(0), limit: 0 })) {
    if (routes.length === 0) continue;
    const isSnapshot = sent === 0;
    sent += routes.length;
    yield { version, incarnation, isSnapshot, upserts: routes, removed: [], hasMore: sent < table.size };
  }
}

function* inParts(table: RouteTable, upserts: readonly Route[], removed: readonly Removed[]): Generator<RoutesChange> {
  const { version, incarnation } = table;
  const parts = Math.max(1, Math.ceil(Math.max(upserts.length, removed.length) / PAGE_ROUTES));
  for (let part = 0; part < parts; part++) {
    const [from, to] = [part * PAGE_ROUTES, (part + 1) * PAGE_ROUTES];
    yield {
      version,
      incarnation,
      isSnapshot: false,
      upserts: upserts.slice(from, to).map(routeView),
      removed: removed.slice(from, to),
      hasMore: part < parts - 1,
    };
  }
}
