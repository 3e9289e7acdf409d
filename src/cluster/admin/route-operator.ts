/**
 * Operators name keys; the catalog wants routes and the version that they were seen at. This finds them in the directory of
 * this node, and looks again when the directory turns out to be behind, unless the operator insisted on a version.
 */
import {
  CatalogError,
  type CatalogErrorCode,
  isReservedKey,
  MAX_BATCH_SPLITS,
  type Route,
  type RouteEngine,
  type RouteTable,
} from '../../distribution/index.ts';
import {
  type Clock,
  type GroupId,
  type HlcTimestamp,
  hasCode,
  type Millis,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import {
  type AbortJobResult,
  AdminError,
  type CatalogClient,
  type JobView,
  type MergeResult,
  type RouteRef,
  type RoutesResult,
} from '../contract/index.ts';
import { jobView } from './views.ts';

/** What the catalog takes as the id of a batch. */
const BATCH_ID_BYTES = 16;
/** How often the directory is looked at again while a newer version is on its way. */
const LOOK_AGAIN_MS: Millis = 20;
/** After a change, this node's directory is waited for so long, so that the next command here sees it. */
const SEE_OWN_MS: Millis = 2_000;
/** A search by id lets other work in after this many routes. */
const SEARCH_SLICE = 2_048;

export interface RouteOperatorOptions {
  readonly catalog: CatalogClient;
  readonly routes: RouteEngine;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly nowTs: () => HlcTimestamp;
  /** About how many bytes a range takes on its leader's disk; undefined when nobody can say. Left out: nobody can. */
  readonly rangeBytes?: (
    group: GroupId,
    start: Buffer,
    end: Buffer | undefined,
    timeoutMs: Millis,
  ) => Promise<number | undefined>;
}

const shown = (key: Buffer): string =>
  /^[\x20-\x7e]*$/.test(key.toString('latin1')) ? `'${key}'` : `hex:${key.toString('hex')}`;

/** See the top of the file. Everything throws `CatalogError` with the planner's reason, or `AdminError`. */
export class RouteOperator {
  private readonly options: RouteOperatorOptions;

  constructor(options: RouteOperatorOptions) {
    this.options = options;
  }

  /** Cuts the route that has `key`, so that the right half begins with it. */
  async split(key: Buffer, expectedVersion: number | undefined, timeoutMs: Millis): Promise<RoutesResult> {
    const result = await this.planned(expectedVersion, timeoutMs, (table, leftMs) => {
      const route = this.cuttable(table, key);
      return this.options.catalog.run(
        {
          kind: 'split',
          expectedVersion: expectedVersion ?? table.version,
          routeId: route.id,
          splitKey: key,
          splitAtTs: this.options.nowTs(),
        },
        leftMs,
      );
    });
    return this.visible(result);
  }

  /** All cuts in one version. Asking again with the same id answers the first answer. */
  async batchSplit(
    keys: readonly Buffer[],
    batchId: Buffer,
    expectedVersion: number | undefined,
    timeoutMs: Millis,
  ): Promise<RoutesResult> {
    if (batchId.length !== BATCH_ID_BYTES) {
      throw new AdminError('INVALID_ARGUMENT', `a batch id has ${BATCH_ID_BYTES} bytes, not ${batchId.length}`);
    }
    if (keys.length === 0 || keys.length > MAX_BATCH_SPLITS) {
      throw new AdminError('INVALID_ARGUMENT', `a batch has 1 to ${MAX_BATCH_SPLITS} keys; send it in parts`);
    }
    const result = await this.planned(expectedVersion, timeoutMs, async (table, leftMs) => {
      const owners = keys.map((key) => this.owner(table, key));
      // A repeated batch finds its cuts made; the catalog knows it again by the routes that were cut.
      const isRepeated = owners.every((route, at) => route.start.equals(keys[at]!));
      const items = owners.map((route, at) => ({
        routeId: isRepeated ? route.parentId : route.id,
        splitKey: keys[at]!,
      }));
      try {
        return await this.options.catalog.run(
          {
            kind: 'batchSplit',
            expectedVersion: expectedVersion ?? table.version,
            batchId,
            items,
            splitAtTs: this.options.nowTs(),
          },
          leftMs,
        );
      } catch (error) {
        if (!isRepeated || !hasCode<CatalogErrorCode>(error, 'BATCH_REJECTED')) throw error;
        throw new CatalogError(
          'INVALID_SPLIT_KEY',
          'routes start at all of these keys already; nothing is left to split',
        );
      }
    });
    return this.visible(result);
  }

  /**
   * Joins the routes left and right of `boundary`. When they are in different groups this begins a job, which moves the smaller one to
   * the other's group and joins them there.
   * @throws AdminError NOT_A_BOUNDARY
   */
  async merge(boundary: Buffer, expectedVersion: number | undefined, timeoutMs: Millis): Promise<MergeResult> {
    const result = await this.planned(expectedVersion, timeoutMs, async (table, leftMs): Promise<MergeResult> => {
      const right = this.owner(table, boundary);
      if (!right.start.equals(boundary)) {
        throw new AdminError(
          'NOT_A_BOUNDARY',
          `no route starts at ${shown(boundary)}; name the start of the right one of the two, such as ${shown(right.start)}`,
        );
      }
      const left = table.before(boundary);
      if (left === undefined) {
        throw new AdminError('NOT_A_BOUNDARY', 'the first route has none on its left; name the start of another one');
      }
      const pair = { leftId: left.id, rightId: right.id, boundary };
      const seen = { expectedVersion: expectedVersion ?? table.version };
      if (left.groupId === right.groupId) {
        return this.options.catalog.run({ kind: 'merge', ...seen, ...pair }, leftMs);
      }
      const moves = await this.smaller(left, right, leftMs / 2);
      const { job, version = 0 } = await this.options.catalog.run(
        { kind: 'createMerge', ...seen, ...pair, moves },
        leftMs / 2,
      );
      return { version, routeIds: [], job: jobView(job) };
    });
    await this.seen(result.version);
    return result;
  }

  /** The side with less to copy; the right one when that is not known. */
  private async smaller(left: Route, right: Route, timeoutMs: Millis): Promise<'left' | 'right'> {
    const { rangeBytes = async () => undefined } = this.options;
    const [leftBytes, rightBytes] = await Promise.all(
      [left, right].map(({ groupId, start, end }) => rangeBytes(groupId, start, end, timeoutMs)),
    );
    return leftBytes !== undefined && rightBytes !== undefined && leftBytes < rightBytes ? 'left' : 'right';
  }

  /** Begins a move; its driver does the rest. */
  async move(ref: RouteRef, to: GroupId, expectedVersion: number | undefined, timeoutMs: Millis): Promise<JobView> {
    const { job, version = 0 } = await this.planned(expectedVersion, timeoutMs, async (table, leftMs) => {
      const route = 'key' in ref ? this.owner(table, ref.key) : await this.byId(table, ref.id);
      return this.options.catalog.run(
        {
          kind: 'createMove',
          expectedVersion: expectedVersion ?? table.version,
          routeId: route.id,
          start: route.start,
          dst: to,
        },
        leftMs,
      );
    });
    await this.seen(version);
    return jobView(job);
  }

  /** @throws AdminError NOT_ABORTABLE once the source has released the range; CatalogError JOB_NOT_FOUND */
  async abortJob(id: number, timeoutMs: Millis): Promise<AbortJobResult> {
    const { catalog, clock } = this.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      const leftMs = deadlineMs - clock.monotonicMs();
      const job = (await catalog.jobs(leftMs)).find((each) => each.id === id);
      if (job === undefined) {
        throw new CatalogError('JOB_NOT_FOUND', `there is no job ${id}; list the jobs to see which there are`);
      }
      if (job.phase === 'ABORTING' || job.phase === 'ABORTED') return { changed: false, job: jobView(job) };
      const view = jobView(job);
      if (!view.isAbortable) {
        throw new AdminError(
          'NOT_ABORTABLE',
          view.isFinished
            ? `job ${id} is done already; to undo it, move route ${job.routeId} back to group ${job.src}`
            : `job ${id} is in ${job.phase} and only goes forward from there; wait until it is done, then move the route back`,
        );
      }
      try {
        const aborted = await catalog.run(
          { kind: 'transitionJob', jobId: id, expectedRevision: job.revision, phase: 'ABORTING' },
          deadlineMs - clock.monotonicMs(),
        );
        return { changed: true, job: jobView(aborted.job) };
      } catch (error) {
        // The driver took it one step on meanwhile: whether it can still be given up is to be seen again.
        const isOvertaken = hasCode<CatalogErrorCode>(error, 'JOB_CHANGED', 'JOB_PHASE');
        if (!isOvertaken || clock.monotonicMs() >= deadlineMs) throw error;
        await sleep(this.options.scheduler, LOOK_AGAIN_MS);
      }
    }
  }

  /** Plans against this node's directory, and again against a newer one when that was behind. */
  private async planned<Result>(
    expectedVersion: number | undefined,
    timeoutMs: Millis,
    plan: (table: RouteTable, leftMs: Millis) => Promise<Result>,
  ): Promise<Result> {
    const { clock, routes } = this.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    if (expectedVersion !== undefined) {
      await this.seen(expectedVersion);
      const { version } = routes.current;
      if (version !== expectedVersion) {
        throw new CatalogError(
          'VERSION_MISMATCH',
          `the directory is at version ${version}, not ${expectedVersion}; look again`,
        );
      }
    }
    for (;;) {
      const table = routes.current;
      try {
        return await plan(table, Math.max(1, deadlineMs - clock.monotonicMs()));
      } catch (error) {
        if (expectedVersion !== undefined || !isStale(error)) throw error;
        while (routes.current === table) {
          if (clock.monotonicMs() >= deadlineMs) throw error;
          await sleep(this.options.scheduler, LOOK_AGAIN_MS);
        }
      }
    }
  }

  private async visible(result: RoutesResult): Promise<RoutesResult> {
    await this.seen(result.version);
    return result;
  }

  /** Waits a moment until this node's directory has a version. */
  private async seen(version: number): Promise<void> {
    const { clock, routes } = this.options;
    const untilMs = clock.monotonicMs() + SEE_OWN_MS;
    while (routes.current.version < version && clock.monotonicMs() < untilMs) {
      await sleep(this.options.scheduler, LOOK_AGAIN_MS);
    }
  }

  private owner(table: RouteTable, key: Buffer): Route {
    const route = table.lookup(key);
    if (route !== undefined) return route;
    throw new AdminError('NO_ROUTES', 'this node has no directory yet; try again in a moment, or ask another node');
  }

  private cuttable(table: RouteTable, key: Buffer): Route {
    if (isReservedKey(key)) {
      throw new CatalogError('RESERVED_RANGE', "keys that begin with 0x00 are the cluster's own; choose another key");
    }
    const route = this.owner(table, key);
    if (!route.start.equals(key)) return route;
    throw new CatalogError(
      'INVALID_SPLIT_KEY',
      `a route starts at ${shown(key)} already; nothing is left to split there`,
    );
  }

  private async byId(table: RouteTable, id: number): Promise<Route> {
    let count = 0;
    for (const route of table.all()) {
      if (route.id === id) return route;
      if (++count % SEARCH_SLICE === 0) await sleep(this.options.scheduler, 0);
    }
    throw new CatalogError('ROUTE_NOT_FOUND', `there is no route ${id} in version ${table.version}; list the routes`);
  }
}

/** The catalog compares versions before anything else, so no other refusal comes from a directory that is behind. */
const isStale = (error: unknown): boolean => hasCode<CatalogErrorCode>(error, 'VERSION_MISMATCH');
