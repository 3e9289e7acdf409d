/** The one class of refusals that clients of DynamoDB see. */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';

/** Names of exceptions without the prefix that they have in `__type`. */
export type DynamoErrorType =
  | 'AccessDeniedException'
  | 'BackupNotFoundException'
  | 'ConditionalCheckFailedException'
  | 'ContinuousBackupsUnavailableException'
  | 'DuplicateItemException'
  | 'ExpiredIteratorException'
  | 'ExportNotFoundException'
  | 'GlobalTableNotFoundException'
  | 'IdempotentParameterMismatchException'
  | 'ImportNotFoundException'
  | 'IncompleteSignatureException'
  | 'IndexNotFoundException'
  | 'InternalServerError'
  | 'InvalidSignatureException'
  | 'ItemCollectionSizeLimitExceededException'
  | 'LimitExceededException'
  | 'MissingAuthenticationTokenException'
  | 'PointInTimeRecoveryUnavailableException'
  | 'PolicyNotFoundException'
  | 'ProvisionedThroughputExceededException'
  | 'ReplicaNotFoundException'
  | 'RequestLimitExceeded'
  | 'ResourceInUseException'
  | 'ResourceNotFoundException'
  | 'SerializationException'
  | 'ServiceUnavailable'
  | 'TableAlreadyExistsException'
  | 'TableInUseException'
  | 'TableNotFoundException'
  | 'ThrottlingException'
  | 'TransactionCanceledException'
  | 'TransactionConflictException'
  | 'TransactionInProgressException'
  | 'TrimmedDataAccessException'
  | 'UnknownOperationException'
  | 'UnrecognizedClientException'
  | 'ValidationException';

/** Fails an operation: nothing happened but for `InternalServerError`, and the client is told type and message as they are. */
export class DynamoError extends KvorumError {
  readonly code = 'DYNAMODB_ERROR';
  readonly disposition: ErrorDisposition = 'final';
  /** The exception's name, which SDKs branch on. */
  readonly type: DynamoErrorType;
  /** Further members of the answer beside type and message, such as `Item` and `CancellationReasons`, as JSON. */
  readonly members: Readonly<Record<string, unknown>>;

  constructor(type: DynamoErrorType, message: string, members: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.type = type;
    this.members = members;
  }
}

/** The request is well-formed JSON of the right shape, and what it asks for cannot be. */
export const validationError = (message: string): DynamoError => new DynamoError('ValidationException', message);

/** The body is no JSON, or JSON of another shape than the operation has. */
export const serializationError = (message: string): DynamoError => new DynamoError('SerializationException', message);
