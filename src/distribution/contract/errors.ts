/** Errors of the directory of ranges. Refusals that a caller may branch on; broken invariants of rows are `CATALOG_CORRUPT`. */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

/** A delta or a snapshot would leave a gap, an overlap or a wrong row in the route table; the table is unchanged. */
export class RouteTableError extends KvorumError {
  readonly code = 'ROUTE_TABLE_INVALID';
  readonly disposition = 'final';
}

/** Stored or received bytes cannot have been written by the codec, or rows contradict each other. Never skipped over. */
export class CatalogCorruptError extends KvorumError {
  readonly code = 'CATALOG_CORRUPT';
  readonly disposition = 'final';
}

/** A watcher's cursor is ahead of the catalog that it asks: the server lags, or was restored under the same incarnation. */
export class InvalidCursorError extends KvorumError {
  readonly code = 'INVALID_CURSOR';
  readonly disposition = 'redirect';
  readonly cursor: number;
  readonly version: number;

  constructor(cursor: number, version: number) {
    super(`cursor ${cursor} is ahead of catalog version ${version}; ask the leader of the catalog group`);
    this.cursor = cursor;
    this.version = version;
  }
}

/** Why an operation on the catalog is refused; nothing was written. */
export type CatalogErrorCode =
  | 'ALREADY_BOOTSTRAPPED'
  | 'NOT_BOOTSTRAPPED'
  | 'INVALID_RANGES'
  | 'VERSION_MISMATCH'
  | 'ROUTE_NOT_FOUND'
  | 'ROUTE_BUSY'
  | 'INVALID_SPLIT_KEY'
  | 'RESERVED_RANGE'
  | 'NOT_ADJACENT'
  | 'DIFFERENT_GROUPS'
  | 'SAME_GROUP'
  | 'BATCH_INVALID'
  | 'BATCH_REJECTED'
  | 'BATCH_REUSED'
  | 'JOB_LIMIT'
  | 'JOB_NOT_FOUND'
  | 'JOB_CHANGED'
  | 'JOB_PHASE'
  | 'NODE_NOT_FOUND'
  | 'NODE_CHANGED'
  | 'NODE_REMOVED'
  | 'NODE_LACKS_FEATURE'
  | 'NODE_WITHDRAWN'
  | 'LAST_NODE'
  | 'INVALID_GROUP'
  | 'GROUP_NOT_FOUND'
  | 'GROUP_REMOVED'
  | 'GROUP_EXISTS'
  | 'GROUP_BUSY'
  | 'GROUP_LIMIT'
  | 'INVALID_SETTING'
  | 'FEATURE_UNKNOWN'
  | 'FEATURE_UNSUPPORTED'
  | 'INVALID_WORK'
  | 'WORK_HELD'
  | 'WORK_NOT_HELD'
  | 'WORK_LIMIT';

const DISPOSITIONS: { readonly [Code in CatalogErrorCode]?: ErrorDisposition } = {
  NOT_BOOTSTRAPPED: 'wait',
  VERSION_MISMATCH: 'restart',
  ROUTE_BUSY: 'wait',
  JOB_LIMIT: 'wait',
  JOB_CHANGED: 'restart',
  NODE_CHANGED: 'restart',
  GROUP_BUSY: 'wait',
  WORK_HELD: 'wait',
  WORK_LIMIT: 'wait',
};

/** Reason for one item of a refused batch. */
export interface ItemRefusal {
  readonly index: number;
  readonly code: CatalogErrorCode;
  readonly message: string;
}

/** An operation on the catalog that was refused before anything was written. */
export class CatalogError extends KvorumError {
  readonly code: CatalogErrorCode;
  readonly disposition: ErrorDisposition;
  /** Of a refused batch: every item that cannot be done, in order of the items. */
  readonly items: readonly ItemRefusal[];

  constructor(code: CatalogErrorCode, message: string, items: readonly ItemRefusal[] = []) {
    super(message);
    this.code = code;
    this.disposition = DISPOSITIONS[code] ?? 'final';
    this.items = items;
  }
}
