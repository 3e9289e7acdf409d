/** An exception as the service sends it. */
import type { DynamoError, DynamoErrorType } from './dynamo-error.ts';

const SERVICE = 'com.amazonaws.dynamodb.v20120810#';
const CORAL = 'com.amazon.coral.service#';

/** Exceptions that are not the service's own but those of what it is built upon. */
const PREFIXES: ReadonlyMap<DynamoErrorType, string> = new Map([
  ['AccessDeniedException', CORAL],
  ['IncompleteSignatureException', CORAL],
  ['InvalidSignatureException', CORAL],
  ['MissingAuthenticationTokenException', CORAL],
  ['SerializationException', CORAL],
  ['ServiceUnavailable', CORAL],
  ['UnknownOperationException', CORAL],
  ['UnrecognizedClientException', CORAL],
  ['ThrottlingException', 'com.amazon.coral.availability#'],
  ['ValidationException', 'com.amazon.coral.validate#'],
]);

/** Exceptions whose text is in `Message`; all others have it in `message`. SDKs read both, but what compares bodies does not. */
const WITH_CAPITAL: ReadonlySet<DynamoErrorType> = new Set([
  'AccessDeniedException',
  'IdempotentParameterMismatchException',
  'SerializationException',
  'TransactionCanceledException',
  'TransactionInProgressException',
]);

const STATUS: ReadonlyMap<DynamoErrorType, number> = new Map([
  ['InternalServerError', 500],
  ['ServiceUnavailable', 503],
]);

/** The HTTP status of an exception. */
export const statusOf = (type: DynamoErrorType): number => STATUS.get(type) ?? 400;

/** The members of an exception's body, in the service's order. */
export function errorMembers({ type, message, members }: DynamoError): Readonly<Record<string, unknown>> {
  const text = message === '' ? {} : { [WITH_CAPITAL.has(type) ? 'Message' : 'message']: message };
  return { __type: `${PREFIXES.get(type) ?? SERVICE}${type}`, ...text, ...members };
}
