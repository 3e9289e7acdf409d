/**
 * The words of the directory: a route says which group a half-open range of keys belongs to, a delta is the difference
 * between two consecutive versions of the catalog.
 */
import type { GroupId, HlcTimestamp } from '../../platform/index.ts';

/** Never reused; 0 names no route. */
export type RouteId = number;
/** Identity of a background job of the catalog; 0 names no job. */
export type JobId = number;
/** Number of commits that changed routes; grows by exactly one with each of them. 0 is "nothing known". */
export type CatalogVersion = number;
/** Which life of the catalog: unix milliseconds of its bootstrap or of its last restore. The greater one wins. */
export type CatalogIncarnation = number;

/** `MOVING`: a job has the route; it is neither split, merged nor moved by anybody else meanwhile. */
export type RouteState = 'ACTIVE' | 'MOVING';

/** One row of the directory. Timestamps of 0n are "never". */
export interface Route {
  readonly id: RouteId;
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive; undefined is the end of the key space. */
  readonly end: Buffer | undefined;
  readonly groupId: GroupId;
  readonly state: RouteState;
  /** The job that has a MOVING route, else 0. */
  readonly jobId: JobId;
  /** The route that this one was cut from, or the left one of those that it was merged from; 0 for the first routes. */
  readonly parentId: RouteId;
  /** When it was cut from its parent. */
  readonly splitAtTs: HlcTimestamp;
  /** Commits in the range must be above this. */
  readonly minWriteTs: HlcTimestamp;
  /** Grows with every change of owner. */
  readonly spanEpoch: number;
  readonly createdVersion: CatalogVersion;
  readonly modifiedVersion: CatalogVersion;
}

/** A deleted row is named by both its id and its start, so that a reader without an index by id finds it. */
export type RouteMutation =
  | { readonly kind: 'upsert'; readonly route: Route }
  | { readonly kind: 'delete'; readonly id: RouteId; readonly start: Buffer };

/** What a version was made for. */
export type DeltaCause = 'bootstrap' | 'split' | 'batchSplit' | 'merge' | 'moveBegin' | 'movePublish' | 'moveAbort';

/** The difference between version `version - 1` and `version`, written in the same commit as the rows. */
export interface CatalogDelta {
  readonly version: CatalogVersion;
  /** Unix milliseconds of the commit, for the retention of the change log. */
  readonly committedMs: number;
  readonly cause: DeltaCause;
  /** 16 bytes chosen by the caller of a batch split, else undefined. */
  readonly batchId: Buffer | undefined;
  readonly mutations: readonly RouteMutation[];
}
