/**
 * What is asked of one group at a time: conditions, what to do when they hold, what to do when they do not. Every call on
 * keys is one of these, evaluated at the group's leader in one step. Keys are storage keys here.
 */

import { type HlcTimestamp, NEVER, physicalMs, timestampOfMs } from '../../platform/index.ts';
import { TooLargeError } from '../../raftengine/index.ts';
import type { KeyView, LiveValue } from '../contract/index.ts';

/** An answer travels as one message; what would be larger is refused. */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

export type KvOperation =
  | { readonly kind: 'get'; readonly key: Buffer }
  | { readonly kind: 'put'; readonly key: Buffer; readonly value: Buffer /** 0 is for ever. */; readonly ttlMs: number }
  | { readonly kind: 'delete'; readonly key: Buffer }
  | { readonly kind: 'deleteRange'; readonly start: Buffer; readonly end: Buffer };

/** A half-open range of storage keys. */
export interface KvRange {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
}

export const COMPARISONS = ['equal', 'notEqual', 'less', 'greater'] as const;
export type Comparison = (typeof COMPARISONS)[number];

export type ConditionTarget =
  | { readonly kind: 'exists'; readonly exists: boolean }
  | { readonly kind: 'value'; readonly value: Buffer }
  | { readonly kind: 'version'; readonly version: HlcTimestamp };

/** A key without a value is not equal to any, and neither less nor greater. */
export interface KvCondition {
  readonly key: Buffer;
  readonly comparison: Comparison;
  readonly target: ConditionTarget;
}

export interface KvStep {
  readonly conditions: readonly KvCondition[];
  readonly success: readonly KvOperation[];
  readonly failure: readonly KvOperation[];
}

/** By the kind of the operation: what a get found, whether a delete found something, nothing for the others. */
export type KvResult =
  | { readonly kind: 'get'; readonly value: StoredValue | undefined }
  | { readonly kind: 'put' }
  | { readonly kind: 'delete'; readonly existed: boolean }
  | { readonly kind: 'deleteRange' };

/** A value as it is stored. */
export interface StoredValue {
  readonly value: Buffer;
  readonly version: HlcTimestamp;
  /** Unix milliseconds; 0 is never. */
  readonly expiresAtMs: number;
}

export interface KvAnswer {
  /** Which operations were done. */
  readonly succeeded: boolean;
  /** By the place of the operation. */
  readonly results: readonly KvResult[];
  /** The moment of it all: what reads are of, and the version of what was written. */
  readonly ts: HlcTimestamp;
}

/** What a session that has seen a result must not fall behind: a value may have come from a clock that is ahead. */
export const newestOf = (result: KvResult, ts: HlcTimestamp): HlcTimestamp =>
  result.kind === 'get' && result.value !== undefined && result.value.version > ts ? result.value.version : ts;

/** A value with its version, as answers have it. */
export const storedValue = ({ value, commitTs, expireTs }: LiveValue): StoredValue => ({
  value,
  version: commitTs,
  expiresAtMs: expireTs === NEVER ? 0 : physicalMs(expireTs),
});

/** When something that is written at `ts` expires. @param ttlMs 0 is never */
export const expiryOf = (ts: HlcTimestamp, ttlMs: number): HlcTimestamp =>
  ttlMs === 0 ? NEVER : timestampOfMs(physicalMs(ts) + ttlMs);

/** Whether a condition holds for what the key has. */
export function holds(condition: KvCondition, found: LiveValue | undefined): boolean {
  const { comparison, target } = condition;
  if (target.kind === 'exists') {
    const isSame = (found !== undefined) === target.exists;
    return comparison === 'equal' ? isSame : comparison === 'notEqual' && !isSame;
  }
  if (found === undefined) return comparison === 'notEqual';
  const order =
    target.kind === 'value'
      ? Buffer.compare(found.value, target.value)
      : found.commitTs < target.version
        ? -1
        : found.commitTs > target.version
          ? 1
          : 0;
  switch (comparison) {
    case 'equal':
      return order === 0;
    case 'notEqual':
      return order !== 0;
    case 'less':
      return order < 0;
    case 'greater':
      return order > 0;
  }
}

/** All keys that a step touches; range deletes by their start. */
export function keysOf({ conditions, success, failure }: KvStep): Buffer[] {
  const keyOf = (operation: KvOperation): Buffer =>
    operation.kind === 'deleteRange' ? operation.start : operation.key;
  return [...conditions.map(({ key }) => key), ...success.map(keyOf), ...failure.map(keyOf)];
}

/** True when nothing can be changed by it. */
export const isReadOnly = ({ success, failure }: KvStep): boolean =>
  success.every(({ kind }) => kind === 'get') && failure.every(({ kind }) => kind === 'get');

/** Does a step at a group's leader; may run again from the start. @throws TooLargeError for an answer that is too large */
export function evaluateStep(view: KeyView, { conditions, success, failure }: KvStep): KvAnswer {
  let succeeded = true;
  // All are looked at, so that the group vouches for all of them whichever decides.
  for (const condition of conditions) if (!holds(condition, view.get(condition.key))) succeeded = false;
  let bytes = 0;
  const results: KvResult[] = [];
  for (const operation of succeeded ? success : failure) {
    switch (operation.kind) {
      case 'get': {
        const found = view.get(operation.key);
        bytes += found?.value.length ?? 0;
        if (bytes > MAX_ANSWER_BYTES) throw new TooLargeError(`the values have more than ${MAX_ANSWER_BYTES} bytes`);
        results.push({ kind: 'get', value: found === undefined ? undefined : storedValue(found) });
        break;
      }
      case 'put':
        view.keepVersion?.(operation.key);
        view.put(operation.key, operation.value, expiryOf(view.ts, operation.ttlMs));
        results.push({ kind: 'put' });
        break;
      case 'delete': {
        const existed = view.get(operation.key) !== undefined;
        if (existed) view.delete(operation.key);
        results.push({ kind: 'delete', existed });
        break;
      }
      case 'deleteRange':
        view.deleteRange(operation.start, operation.end);
        results.push({ kind: 'deleteRange' });
        break;
    }
  }
  return { succeeded, results, ts: view.ts };
}
