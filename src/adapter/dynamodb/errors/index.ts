/** What the service refuses, as its clients see it: the name of the exception and its text. No other room writes `__type`. */

export { DynamoError, type DynamoErrorType, serializationError, validationError } from './dynamo-error.ts';
export { errorMembers, statusOf } from './error-answer.ts';
export { asDynamoError, isConflict, isUnforeseen } from './kvorum-errors.ts';
