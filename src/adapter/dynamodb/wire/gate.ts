/** From the head of a request to what it asks for and who asks: all that can be refused before the body is there. */
import type { Millis } from '../../../platform/index.ts';
import { DynamoError } from '../errors/index.ts';
import { REQUESTS, type RequestModel } from '../model/index.ts';
import type { AnyOperation } from '../operation/index.ts';
import type { CredentialSource } from './credentials.ts';
import type { RequestHead } from './head.ts';
import type { SignatureTerms, SignatureVerifier } from './signature.ts';

/** A request that may go on to its body. */
export interface Admitted {
  readonly model: RequestModel;
  readonly operation: AnyOperation;
  /** Undefined when nobody is asked for a signature. */
  readonly terms: SignatureTerms | undefined;
}

const JSON_TYPES: ReadonlySet<string> = new Set(['application/x-amz-json-1.0', 'application/json']);
export const JSON_TYPE = 'application/x-amz-json-1.0';

/** The type of a body without its parameters. */
export function contentTypeOf(head: RequestHead): string {
  const written = head.header('content-type') ?? '';
  return JSON_TYPES.has(written) ? written : written.split(';')[0]!.trim().toLowerCase();
}

/**
 * Whether a request speaks the protocol at all; others, such as CBOR, are not found here.
 * @param path without its query
 */
export const speaksJson = (head: RequestHead, path: string, contentType: string): boolean =>
  head.method === 'POST' && path === '/' && JSON_TYPES.has(contentType);

/**
 * @param credentials undefined asks nobody
 * @throws DynamoError
 */
export function admit(
  head: RequestHead,
  operations: ReadonlyMap<string, AnyOperation>,
  verifier: SignatureVerifier,
  credentials: CredentialSource | undefined,
  nowMs: Millis,
): Admitted {
  const target = head.header('x-amz-target');
  const model = target === undefined ? undefined : REQUESTS.get(target);
  const operation = model === undefined ? undefined : operations.get(model.name);
  if (model === undefined || operation === undefined) throw new DynamoError('UnknownOperationException', '');
  const terms = credentials === undefined ? undefined : verifier.terms(head, head.values, credentials, nowMs);
  return { model, operation, terms };
}

/** `Credential=key/20260131/eu-west-1/dynamodb/aws4_request`. */
const SCOPE_REGION = /\bCredential=[^/,\s]+\/\d{8}\/([a-z0-9-]{1,64})\//i;

/** The region that a client means, whether its signature counts or not. */
export const regionOf = (head: RequestHead): string | undefined =>
  SCOPE_REGION.exec(head.header('authorization') ?? '')?.[1];
