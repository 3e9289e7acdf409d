/**
 * Errors on their way to an operator: one table of codes, the code itself in the trailing metadata, the message as one
 * sentence that says what to do. Codes that are not in the table follow their disposition.
 */
import grpc from '@grpc/grpc-js';
import { isHeldBack } from '../../kv/index.ts';
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

const { status } = grpc;

/** Trailing metadata with the stable code. */
export const CODE_KEY = 'kvorum-code';
/** Trailing metadata with what the error says about what happened; see `ErrorDisposition`. */
export const DISPOSITION_KEY = 'kvorum-disposition';
/** Trailing metadata: milliseconds after which asking again may help; only where nothing happened. */
export const RETRY_KEY = 'kvorum-retry-ms';

interface Row {
  readonly status: grpc.status;
  /** What to do, where the message alone does not say it. */
  readonly advice?: string;
}

const LOOK_AND_REPEAT = 'it may have happened: look, and say it again, which does no harm';
const TRY_AGAIN = 'try again in a moment';

/** Every code that operators meet, by the gRPC status that stands for it. */
export const ERROR_TABLE: ReadonlyMap<string, Row> = new Map<string, Row>([
  // The request itself is wrong.
  ['INVALID_ARGUMENT', { status: status.INVALID_ARGUMENT }],
  ['INVALID_SPLIT_KEY', { status: status.INVALID_ARGUMENT }],
  ['INVALID_RANGES', { status: status.INVALID_ARGUMENT }],
  ['BATCH_INVALID', { status: status.INVALID_ARGUMENT }],
  ['NOT_A_BOUNDARY', { status: status.INVALID_ARGUMENT }],
  ['INVALID_GROUP', { status: status.INVALID_ARGUMENT }],
  ['INVALID_SETTING', { status: status.INVALID_ARGUMENT }],
  ['REDIS_ERROR', { status: status.INVALID_ARGUMENT }],
  ['INVALID_WORK', { status: status.INVALID_ARGUMENT }],
  ['TOO_LARGE', { status: status.INVALID_ARGUMENT, advice: 'send it in smaller parts' }],
  ['EVALUATION_TOO_LONG', { status: status.INVALID_ARGUMENT, advice: 'send it in smaller parts' }],
  ['CROSS_GROUP', { status: status.INVALID_ARGUMENT, advice: 'use a transaction' }],
  ['INVALID_CONSISTENCY', { status: status.INVALID_ARGUMENT }],
  ['CONSISTENCY_UNSUPPORTED', { status: status.UNIMPLEMENTED }],
  ['SNAPSHOT_TOO_OLD', { status: status.OUT_OF_RANGE, advice: 'read at a later timestamp' }],
  ['READ_ONLY', { status: status.FAILED_PRECONDITION, advice: 'begin one that writes' }],
  ['RESERVED_RANGE', { status: status.PERMISSION_DENIED }],
  // Whoever asks is not known, or may not.
  ['UNAUTHENTICATED', { status: status.UNAUTHENTICATED }],
  ['ROLE_MISSING', { status: status.PERMISSION_DENIED }],
  // What it names is not there, or there already.
  ['NOT_A_MEMBER', { status: status.NOT_FOUND }],
  ['ROUTE_NOT_FOUND', { status: status.NOT_FOUND }],
  ['JOB_NOT_FOUND', { status: status.NOT_FOUND }],
  ['NODE_NOT_FOUND', { status: status.NOT_FOUND }],
  ['GROUP_NOT_FOUND', { status: status.NOT_FOUND }],
  ['FEATURE_UNKNOWN', { status: status.NOT_FOUND }],
  ['TXN_NOT_FOUND', { status: status.NOT_FOUND }],
  ['ALREADY_BOOTSTRAPPED', { status: status.ALREADY_EXISTS }],
  ['BATCH_REUSED', { status: status.ALREADY_EXISTS }],
  ['GROUP_EXISTS', { status: status.ALREADY_EXISTS, advice: 'choose another id, or none' }],
  // The cluster is not in a state for it; another request has to come first.
  ['LEARNER_BEHIND', { status: status.FAILED_PRECONDITION }],
  ['LAST_VOTER', { status: status.FAILED_PRECONDITION }],
  ['QUORUM_AT_RISK', { status: status.FAILED_PRECONDITION }],
  ['NOT_A_LEARNER', { status: status.FAILED_PRECONDITION }],
  ['NOT_A_VOTER', { status: status.FAILED_PRECONDITION }],
  ['NO_SUCCESSOR', { status: status.FAILED_PRECONDITION }],
  ['NOT_ABORTABLE', { status: status.FAILED_PRECONDITION }],
  ['NODE_ANSWERS', { status: status.FAILED_PRECONDITION }],
  ['REPLACE_CONFLICT', { status: status.FAILED_PRECONDITION }],
  ['NO_ROOM', { status: status.FAILED_PRECONDITION }],
  ['LAST_NODE', { status: status.FAILED_PRECONDITION }],
  ['NODE_WITHDRAWN', { status: status.FAILED_PRECONDITION }],
  ['QUORUM_ANSWERS', { status: status.FAILED_PRECONDITION }],
  ['NOT_RECOVERABLE', { status: status.FAILED_PRECONDITION }],
  ['TXN_OPEN', { status: status.FAILED_PRECONDITION }],
  ['BATCH_REJECTED', { status: status.FAILED_PRECONDITION }],
  ['NOT_ADJACENT', { status: status.FAILED_PRECONDITION }],
  [
    'DIFFERENT_GROUPS',
    { status: status.FAILED_PRECONDITION, advice: 'move one of them to the group of the other first' },
  ],
  ['SAME_GROUP', { status: status.FAILED_PRECONDITION }],
  ['ROUTE_BUSY', { status: status.FAILED_PRECONDITION, advice: 'wait for its job, or abort that' }],
  ['JOB_PHASE', { status: status.FAILED_PRECONDITION }],
  ['NODE_REMOVED', { status: status.FAILED_PRECONDITION }],
  ['NODE_LACKS_FEATURE', { status: status.FAILED_PRECONDITION }],
  ['FEATURE_UNSUPPORTED', { status: status.FAILED_PRECONDITION }],
  ['GROUP_REMOVED', { status: status.FAILED_PRECONDITION, advice: 'ids are never used again: create another one' }],
  ['GROUP_BUSY', { status: status.FAILED_PRECONDITION }],
  ['BACKUPS_OFF', { status: status.FAILED_PRECONDITION }],
  ['BACKUP_RUNNING', { status: status.FAILED_PRECONDITION }],
  ['WORK_HELD', { status: status.FAILED_PRECONDITION }],
  ['WORK_NOT_HELD', { status: status.FAILED_PRECONDITION }],
  ['FOUNDING_REFUSED', { status: status.FAILED_PRECONDITION, advice: 'compare the configuration of the nodes' }],
  ['CATALOG_MESSAGE', { status: status.FAILED_PRECONDITION, advice: 'upgrade the older of the nodes' }],
  ['MALFORMED', { status: status.UNKNOWN }],
  ['GROUP_LIMIT', { status: status.RESOURCE_EXHAUSTED, advice: 'remove one that owns nothing' }],
  ['WORK_LIMIT', { status: status.RESOURCE_EXHAUSTED }],
  ['JOB_LIMIT', { status: status.RESOURCE_EXHAUSTED, advice: 'wait until one of them is done' }],
  ['TRANSACTION_LIMIT', { status: status.RESOURCE_EXHAUSTED, advice: 'end some of them' }],
  // Somebody else was faster.
  ['VERSION_MISMATCH', { status: status.ABORTED, advice: 'look at the routes again' }],
  ['JOB_CHANGED', { status: status.ABORTED, advice: TRY_AGAIN }],
  ['NODE_CHANGED', { status: status.ABORTED, advice: TRY_AGAIN }],
  ['CONFLICT', { status: status.ABORTED, advice: TRY_AGAIN }],
  ['CONF_CHANGE_REFUSED', { status: status.ABORTED, advice: TRY_AGAIN }],
  ['TRANSFER_REFUSED', { status: status.ABORTED, advice: TRY_AGAIN }],
  ['SNAPSHOT_UNCOVERED', { status: status.ABORTED, advice: 'begin it again' }],
  ['TRANSACTION_OVER', { status: status.ABORTED, advice: 'begin it again' }],
  // It passes.
  ['NOT_LEADER', { status: status.UNAVAILABLE, advice: TRY_AGAIN }],
  ['LEADER_UNAVAILABLE', { status: status.UNAVAILABLE, advice: 'see whether a majority of the nodes is up' }],
  [
    'NOT_BOOTSTRAPPED',
    { status: status.UNAVAILABLE, advice: 'the cluster is still being founded; try again in a moment' },
  ],
  ['NO_ROUTES', { status: status.UNAVAILABLE }],
  ['BUSY', { status: status.UNAVAILABLE, advice: TRY_AGAIN }],
  ['RANGE_BUSY', { status: status.UNAVAILABLE, advice: TRY_AGAIN }],
  ['WRITE_BACKPRESSURE', { status: status.UNAVAILABLE }],
  ['KEY_VERSION_PRESSURE', { status: status.RESOURCE_EXHAUSTED }],
  ['STOPPED', { status: status.UNAVAILABLE, advice: 'ask another node' }],
  ['STREAM_BROKEN', { status: status.UNAVAILABLE, advice: 'see whether that node is up' }],
  ['INVALID_CURSOR', { status: status.UNAVAILABLE, advice: TRY_AGAIN }],
  // Nobody knows.
  ['OUTCOME_UNKNOWN', { status: status.UNKNOWN, advice: LOOK_AND_REPEAT }],
  ['PARTLY_DONE', { status: status.UNKNOWN, advice: 'run it again' }],
  // It is broken.
  ['CATALOG_CORRUPT', { status: status.DATA_LOSS, advice: 'stop that node and keep its folder for a look' }],
  ['ROUTE_TABLE_INVALID', { status: status.DATA_LOSS, advice: 'ask another node and restart this one' }],
]);

const BY_DISPOSITION: { readonly [Disposition in ErrorDisposition]: Row } = {
  redirect: { status: status.UNAVAILABLE, advice: TRY_AGAIN },
  wait: { status: status.UNAVAILABLE, advice: TRY_AGAIN },
  restart: { status: status.ABORTED, advice: TRY_AGAIN },
  unknown: { status: status.UNKNOWN, advice: LOOK_AND_REPEAT },
  final: { status: status.FAILED_PRECONDITION },
};

/** Pauses that callers are asked for, by what the error says. */
const RETRY_MS: { readonly [Disposition in ErrorDisposition]?: number } = { redirect: 10, wait: 50, restart: 10 };

/** What a call ends with for an error; of an error that nobody foresaw only the message is told. */
export function statusOf(error: unknown): grpc.StatusObject {
  const message = error instanceof Error ? error.message : String(error);
  const metadata = new grpc.Metadata();
  if (!(error instanceof KvorumError)) {
    metadata.set(CODE_KEY, 'INTERNAL');
    metadata.set(DISPOSITION_KEY, 'unknown');
    return { code: status.INTERNAL, details: `${message}; this should not happen: see the log of the node`, metadata };
  }
  metadata.set(CODE_KEY, error.code);
  metadata.set(DISPOSITION_KEY, error.disposition);
  const retryMs = isHeldBack(error) ? Math.ceil(error.retryAfterMs) : RETRY_MS[error.disposition];
  if (retryMs !== undefined) metadata.set(RETRY_KEY, String(retryMs));
  const row = ERROR_TABLE.get(error.code) ?? BY_DISPOSITION[error.disposition];
  // Many a message says what to do by itself.
  const details = row.advice === undefined || message.includes(row.advice) ? message : `${message}; ${row.advice}`;
  return { code: row.status, details, metadata };
}
