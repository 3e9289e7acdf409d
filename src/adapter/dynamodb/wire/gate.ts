/** From the head of a request to what it asks for and who asks: all that can be refused before the body is there. */
import type { IncomingMessage } from 'node:http';
import type { Millis } from '../../../platform/index.ts';
import { DynamoError } from '../errors/index.ts';
import { REQUESTS, type RequestModel } from '../model/index.ts';
import type { AnyOperation } from '../operation/index.ts';
import type { CredentialSource } from './credentials.ts';
import { readSignatureTerms, type SignatureTerms, signedValues } from './signature.ts';

/** A request that may go on to its body. */
export interface Admitted {
  readonly model: RequestModel;
  readonly operation: AnyOperation;
  /** Of its headers, by lower-case names, as they are signed. */
  readonly values: ReadonlyMap<string, string>;
  /** Undefined when nobody is asked for a signature. */
  readonly terms: SignatureTerms | undefined;
}

const JSON_TYPES: ReadonlySet<string> = new Set(['application/x-amz-json-1.0', 'application/json']);
export const JSON_TYPE = 'application/x-amz-json-1.0';

/** The type of a body without its parameters. */
export const contentTypeOf = (request: IncomingMessage): string =>
  (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();

/**
 * Whether a request speaks the protocol at all; others, such as CBOR, are not found here.
 * @param path without its query
 */
export const speaksJson = (request: IncomingMessage, path: string): boolean =>
  request.method === 'POST' && path === '/' && JSON_TYPES.has(contentTypeOf(request));

/**
 * @param credentials undefined asks nobody
 * @throws DynamoError
 */
export function admit(
  request: IncomingMessage,
  operations: ReadonlyMap<string, AnyOperation>,
  credentials: CredentialSource | undefined,
  nowMs: Millis,
): Admitted {
  const target = request.headers['x-amz-target'];
  const model = typeof target === 'string' ? REQUESTS.get(target) : undefined;
  const operation = model === undefined ? undefined : operations.get(model.name);
  if (model === undefined || operation === undefined) throw new DynamoError('UnknownOperationException', '');
  const { method = '', url = '/', rawHeaders } = request;
  const values = signedValues(rawHeaders);
  const terms =
    credentials === undefined ? undefined : readSignatureTerms({ method, url, rawHeaders }, values, credentials, nowMs);
  return { model, operation, values, terms };
}

/** `Credential=key/20260131/eu-west-1/dynamodb/aws4_request`. */
const SCOPE_REGION = /\bCredential=[^/,\s]+\/\d{8}\/([a-z0-9-]{1,64})\//i;

/** The region that a client means, whether its signature counts or not. */
export const regionOf = ({ headers }: IncomingMessage): string | undefined =>
  SCOPE_REGION.exec(headers.authorization ?? '')?.[1];
