/** Every operation that the service knows, with the shape of its request. */
import { ITEM_REQUESTS } from './item-requests.ts';
import { OTHER_REQUESTS } from './other-requests.ts';
import type { StructureShape } from './shapes.ts';
import { STREAM_REQUESTS, TABLE_REQUESTS } from './table-requests.ts';

/** Prefixes of `X-Amz-Target`. */
export const ITEM_API = 'DynamoDB_20120810';
export const STREAM_API = 'DynamoDBStreams_20120810';

/** An operation by its target. */
export interface RequestModel {
  /** Such as `GetItem`. */
  readonly name: string;
  readonly shape: StructureShape;
}

const targets = (api: string, requests: Readonly<Record<string, StructureShape>>): [string, RequestModel][] =>
  Object.entries(requests).map(([name, shape]) => [`${api}.${name}`, { name, shape }]);

/** By what stands in `X-Amz-Target`. */
export const REQUESTS: ReadonlyMap<string, RequestModel> = new Map([
  ...targets(ITEM_API, { ...ITEM_REQUESTS, ...TABLE_REQUESTS, ...OTHER_REQUESTS }),
  ...targets(STREAM_API, STREAM_REQUESTS),
]);
