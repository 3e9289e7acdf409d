/** Messages of RawKV and TransactionalKV as they arrive and leave, checked. The names are those of the proto file in camel case. */

import {
  COMPARISONS,
  type ConditionTarget,
  type KvCondition,
  type KvOperation,
  type KvRange,
  type KvResult,
  type ScanOptions,
  type ScanRow,
  type ServedPage,
  type StoredValue,
} from '../../../kv/index.ts';
import {
  type HlcTimestamp,
  type KvorumError,
  logicalOf,
  NEVER,
  physicalMs,
  timestampOf,
} from '../../../platform/index.ts';
import { invalid, RequestError } from '../calls.ts';
import { storageKey, storageRange, userEnd, userKey } from './storage-keys.ts';

/** Keys of one batch, operations and conditions of one transaction in one step. */
export const MAX_BATCH_KEYS = 10_000;
export const MAX_STEP_PARTS = 1_024;
/** A century; what lives longer lives for ever. */
const MAX_TTL_MS = 100 * 365 * 24 * 3600 * 1000;

export interface TimestampMessage {
  readonly ms: number;
  readonly counter: number;
}

export interface ConsistencyMessage {
  readonly linearizable?: boolean;
  readonly maxStalenessMs?: number;
  readonly exact?: TimestampMessage;
  readonly sessionToken?: Buffer;
  readonly anyReplica?: boolean;
}

export interface KeyRequest {
  readonly key: Buffer;
  readonly consistency?: ConsistencyMessage | null;
}

export interface KeysRequest {
  readonly keys: readonly Buffer[];
  readonly consistency?: ConsistencyMessage | null;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly ttlMs: number;
}

export interface BatchPutRequest {
  readonly pairs: readonly PutRequest[];
}

export interface RangeRequest {
  readonly start: Buffer;
  readonly end?: Buffer;
}

export interface ScanMessage extends RangeRequest {
  readonly limit: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
  readonly consistency?: ConsistencyMessage | null;
}

export interface CompareAndSetRequest {
  readonly key: Buffer;
  readonly absent?: boolean;
  readonly value?: Buffer;
  readonly version?: TimestampMessage;
  readonly newValue?: Buffer;
  readonly ttlMs: number;
}

export interface ConditionMessage {
  readonly key: Buffer;
  readonly comparison: number;
  readonly exists?: boolean;
  readonly value?: Buffer;
  readonly version?: TimestampMessage;
}

export interface OperationMessage {
  readonly get?: { readonly key: Buffer };
  readonly put?: PutRequest;
  readonly delete?: { readonly key: Buffer };
}

export interface TxnRequest {
  readonly conditions: readonly ConditionMessage[];
  readonly success: readonly OperationMessage[];
  readonly failure: readonly OperationMessage[];
}

export const toTimestamp = ({ ms, counter }: TimestampMessage): HlcTimestamp =>
  timestampOf(Number(ms), counter & 0xffff);

export const fromTimestamp = (ts: HlcTimestamp): TimestampMessage => ({
  ms: physicalMs(ts),
  counter: logicalOf(ts),
});

/** @throws RequestError CONSISTENCY_UNSUPPORTED for what this server cannot promise */
export function checkConsistency(consistency: ConsistencyMessage | null | undefined): undefined {
  if (consistency === undefined || consistency === null) return undefined;
  const { maxStalenessMs, exact, sessionToken } = consistency;
  const isPlain = maxStalenessMs === undefined && exact === undefined && sessionToken === undefined;
  // A leader answers whatever any replica may.
  if (isPlain) return undefined;
  const level =
    maxStalenessMs !== undefined ? 'bounded staleness' : exact !== undefined ? 'an exact timestamp' : 'a session';
  const message = `this server answers linearizable reads only, not at ${level}; leave the consistency out`;
  throw new RequestError('CONSISTENCY_UNSUPPORTED', 'final', message);
}

/** @throws RequestError INVALID_ARGUMENT */
export function checkTtl(ttlMs: number): number {
  if (ttlMs <= MAX_TTL_MS) return ttlMs;
  throw invalid(`a value lives at most ${MAX_TTL_MS} ms, or for ever with 0`);
}

/** @throws RequestError INVALID_ARGUMENT */
export const putOf = ({ key, value, ttlMs }: PutRequest): Extract<KvOperation, { kind: 'put' }> => ({
  kind: 'put',
  key: storageKey(key),
  value,
  ttlMs: checkTtl(ttlMs),
});

/** @throws RequestError INVALID_ARGUMENT */
export function checkBatch(count: number): void {
  if (count > MAX_BATCH_KEYS) throw invalid(`a batch has at most ${MAX_BATCH_KEYS} keys, not ${count}`);
}

/** @throws RequestError INVALID_ARGUMENT when a key is named twice: which of the two should win? */
export function checkDistinct(keys: readonly Buffer[]): void {
  const names = new Set<string>();
  for (const key of keys) names.add(key.toString('latin1'));
  if (names.size < keys.length) throw invalid('a batch names each key once');
}

/** @throws RequestError INVALID_ARGUMENT */
export const rangeOf = ({ start, end }: RangeRequest): KvRange => storageRange(start, end);

export const scanOptionsOf = ({ limit, reverse, keysOnly }: ScanMessage): ScanOptions => ({
  limit: limit === 0 ? undefined : limit,
  reverse,
  keysOnly,
});

function targetOf(message: Pick<ConditionMessage, 'exists' | 'value' | 'version'>): ConditionTarget {
  const { exists, value, version } = message;
  if (exists !== undefined) return { kind: 'exists', exists };
  if (value !== undefined) return { kind: 'value', value };
  if (version !== undefined && version !== null) return { kind: 'version', version: toTimestamp(version) };
  throw invalid('a condition says what the key must be like: exists, value or version');
}

/** @throws RequestError INVALID_ARGUMENT */
export function conditionOf(message: ConditionMessage): KvCondition {
  const comparison = COMPARISONS[message.comparison];
  if (comparison === undefined) throw invalid(`there is no comparison ${message.comparison}`);
  return { key: storageKey(message.key), comparison, target: targetOf(message) };
}

/** What must be so for a key to be set. @throws RequestError INVALID_ARGUMENT */
export function expectationOf({ key, absent, value, version }: CompareAndSetRequest): KvCondition {
  if (absent === false) throw invalid('absent is true or left out');
  const target = targetOf({
    ...(absent === undefined ? {} : { exists: false }),
    ...(value === undefined ? {} : { value }),
    ...(version === undefined ? {} : { version }),
  });
  return { key: storageKey(key), comparison: 'equal', target };
}

/** @throws RequestError INVALID_ARGUMENT */
export function operationOf(message: OperationMessage): Exclude<KvOperation, { kind: 'deleteRange' }> {
  if (message.get) return { kind: 'get', key: storageKey(message.get.key) };
  if (message.put) return putOf(message.put);
  if (message.delete) return { kind: 'delete', key: storageKey(message.delete.key) };
  throw invalid('an operation is a get, a put or a delete');
}

/** A value as it leaves; null is none. */
export const valueMessage = (value: StoredValue | undefined): object | null =>
  value === undefined
    ? null
    : { value: value.value, version: fromTimestamp(value.version), expiresAtMs: value.expiresAtMs };

/** What an operation answers. */
export function resultMessage(result: KvResult): object {
  if (result.kind === 'get') return { value: valueMessage(result.value) };
  return result.kind === 'delete' ? { existed: result.existed } : {};
}

const rowMessage = ({ key, value, commitTs, expireTs }: ScanRow): object => ({
  key: userKey(key),
  value,
  version: fromTimestamp(commitTs),
  expiresAtMs: expireTs === NEVER ? 0 : physicalMs(expireTs),
});

/** A page as it leaves. @param token for the next read of the session, base64 */
export function pageMessage({ rows, start, end, ts, stalenessMs }: ServedPage, token: string | undefined): object {
  const servedEnd = userEnd(end);
  return {
    rows: rows.map(rowMessage),
    servedStart: userKey(start),
    ...(servedEnd === undefined ? {} : { servedEnd }),
    servedTs: fromTimestamp(ts),
    ...(stalenessMs === undefined ? {} : { stalenessMs: Math.ceil(stalenessMs) }),
    ...(token === undefined ? {} : { sessionToken: Buffer.from(token, 'base64') }),
  };
}

export const failureMessage = (index: number, { code, disposition, message }: KvorumError): object => ({
  index,
  code,
  disposition,
  message,
});
