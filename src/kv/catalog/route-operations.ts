/** Splits, merges and moves by key, for tools and tests: the version and the route are read from the node's directory. */
import {
  CatalogError,
  type JobResult,
  type Route,
  type RoutesResult,
  type RouteTable,
} from '../../distribution/index.ts';
import type { Clock, GroupId, HlcTimestamp, Millis, Scheduler } from '../../platform/index.ts';
import type { CatalogClient, CatalogRequest } from './types.ts';

const DEFAULT_TIMEOUT_MS: Millis = 10_000;
/** How often a directory that is behind is looked at. */
const LOOK_MS: Millis = 10;

/** What `RouteOperations` is made of. */
export interface RouteOperationsOptions {
  readonly client: CatalogClient;
  /** The newest directory that this node has. */
  readonly table: () => RouteTable;
  readonly nowTs: () => HlcTimestamp;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/**
 * See the top of the file. An operation that meets another version of the catalog waits for the directory to learn of it and is
 * decided again. Keys are storage keys; the caller knows where a logical object may be cut.
 */
export class RouteOperations {
  private readonly options: RouteOperationsOptions;
  /** A directory below this does not show what was done here before. */
  private leastVersion = 0;

  constructor(options: RouteOperationsOptions) {
    this.options = options;
  }

  /** Cuts the route of a key there. @throws CatalogError INVALID_SPLIT_KEY when a route starts there already, and others */
  splitAt(key: Buffer, timeoutMs: Millis = DEFAULT_TIMEOUT_MS): Promise<RoutesResult> {
    return this.decide(timeoutMs, (table) => {
      const request = {
        kind: 'split',
        expectedVersion: table.version,
        routeId: holder(table, key).id,
        splitKey: key,
        splitAtTs: this.options.nowTs(),
      } as const;
      return this.options.client.run(request, timeoutMs);
    });
  }

  /** Joins the route that starts at a key with the one before it. @throws CatalogError NOT_ADJACENT, DIFFERENT_GROUPS */
  mergeAt(key: Buffer, timeoutMs: Millis = DEFAULT_TIMEOUT_MS): Promise<RoutesResult> {
    return this.decide(timeoutMs, (table) => {
      const right = table.startingAt(key);
      const left = table.before(key);
      if (right === undefined || left === undefined) {
        throw new CatalogError('NOT_ADJACENT', `no route starts at the key '${key.toString('latin1')}'`);
      }
      const request = {
        kind: 'merge',
        expectedVersion: table.version,
        leftId: left.id,
        rightId: right.id,
        boundary: key,
      } as const;
      return this.options.client.run(request, timeoutMs);
    });
  }

  /** Plans the move of the whole route of a key; the job goes on by itself. @throws CatalogError SAME_GROUP, ROUTE_BUSY... */
  moveRange(key: Buffer, dst: GroupId, timeoutMs: Millis = DEFAULT_TIMEOUT_MS): Promise<JobResult> {
    return this.decide(timeoutMs, (table) => {
      const { id, start } = holder(table, key);
      const request = { kind: 'createMove', expectedVersion: table.version, routeId: id, start, dst } as const;
      return this.options.client.run<Extract<CatalogRequest, { kind: 'createMove' }>>(request, timeoutMs);
    });
  }

  private async decide<Result extends { readonly version: number | undefined }>(
    timeoutMs: Millis,
    attempt: (table: RouteTable) => Promise<Result>,
  ): Promise<Result> {
    const { clock, scheduler, table } = this.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    const isOver = (): boolean => clock.monotonicMs() >= deadlineMs;
    const look = (): Promise<void> => new Promise((resolve) => scheduler.after(LOOK_MS, resolve));
    while (table().version < this.leastVersion && !isOver()) await look();
    for (;;) {
      const used = table();
      try {
        const result = await attempt(used);
        this.leastVersion = Math.max(this.leastVersion, result.version ?? 0);
        return result;
      } catch (error) {
        const isStale = error instanceof CatalogError && error.code === 'VERSION_MISMATCH';
        if (!isStale || isOver()) throw error;
        while (table() === used) {
          if (isOver()) throw error;
          await look();
        }
      }
    }
  }
}

/** The route of a key. @throws CatalogError NOT_BOOTSTRAPPED while this node knows no routes */
function holder(table: RouteTable, key: Buffer): Route {
  const route = table.lookup(key);
  if (route === undefined) throw new CatalogError('NOT_BOOTSTRAPPED', 'this node has not learned of any routes yet');
  return route;
}
