/**
 * The one table from errors of the layers below to exceptions of the service. What SDKs do about an exception decides: they send the request again
 * after `InternalServerError`, `ServiceUnavailable` and throttling, and leave everything else to the program.
 */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';
import { DynamoError, type DynamoErrorType } from './dynamo-error.ts';

interface Row {
  readonly type: DynamoErrorType;
  readonly message: string;
}

const NO_LEADER: Row = {
  type: 'ServiceUnavailable',
  message: 'No leader of the data has answered in time; nothing was changed.',
};
const MOVING: Row = {
  type: 'ServiceUnavailable',
  message: 'The data is moving between groups; nothing was changed.',
};
const THROTTLED: Row = {
  type: 'ThrottlingException',
  message: 'The node has no room for more at the moment; nothing was changed.',
};
const CONFLICT: Row = { type: 'TransactionConflictException', message: 'Transaction is ongoing for the item' };
const TOO_LARGE: Row = {
  type: 'ValidationException',
  message: 'The request writes more than fits one transaction; nothing was changed.',
};
const UNKNOWN: Row = {
  type: 'InternalServerError',
  message: 'The outcome of the request is unknown: it may or may not have been done.',
};

/** By stable error code. */
const BY_CODE: Readonly<Record<string, Row>> = {
  LEADER_UNAVAILABLE: NO_LEADER,
  NOT_LEADER: NO_LEADER,
  NO_ROUTES: NO_LEADER,
  NOT_OWNER: MOVING,
  RANGE_BUSY: MOVING,
  BUSY: THROTTLED,
  WRITE_BACKPRESSURE: THROTTLED,
  KEY_VERSION_PRESSURE: THROTTLED,
  LOCKED: CONFLICT,
  CONFLICT,
  TXN_ABORTED: CONFLICT,
  OVERTAKEN: CONFLICT,
  TOO_LARGE,
  EVALUATION_TOO_LONG: TOO_LARGE,
};

const BY_DISPOSITION: { readonly [Disposition in ErrorDisposition]: Row } = {
  redirect: MOVING,
  wait: NO_LEADER,
  restart: CONFLICT,
  unknown: UNKNOWN,
  final: { type: 'InternalServerError', message: 'The request could not be done; nothing was changed.' },
};

const UNFORESEEN: Row = {
  type: 'InternalServerError',
  message: 'The request processing has failed because of an unknown error, exception or failure.',
};

const rowOf = (error: unknown): Row =>
  error instanceof KvorumError ? (BY_CODE[error.code] ?? BY_DISPOSITION[error.disposition]) : UNFORESEEN;

/** True when others were in the way, and nothing was changed. */
export const isConflict = (error: unknown): boolean => !(error instanceof DynamoError) && rowOf(error) === CONFLICT;

/** The exception for whatever an operation failed with. */
export function asDynamoError(error: unknown): DynamoError {
  if (error instanceof DynamoError) return error;
  const { type, message } = rowOf(error);
  return new DynamoError(type, message);
}

/** True for an error that nobody foresaw: the node's log is to have it. */
export const isUnforeseen = (error: unknown): boolean =>
  !(error instanceof KvorumError) ||
  (error.disposition === 'final' && !(error instanceof DynamoError) && !Object.hasOwn(BY_CODE, error.code));
