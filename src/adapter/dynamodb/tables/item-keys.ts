/** The keys of an item by a key schema: as bytes of row keys, and back. */

import { CorruptRowError } from '../rows/index.ts';
import { type AttributeValue, type Item, keyComponent, readKeyComponent, type ScalarValue } from '../values/index.ts';
import type { KeyAttribute, KeySchema } from './descriptor.ts';

/** An item's place by a key schema: encoded components, concatenated. */
export interface KeyBytes {
  readonly hashKey: Buffer;
  /** Empty where the schema has no range attributes. */
  readonly sortKey: Buffer;
}

/** Bytes that the hash attributes of a table may have together, and its range attributes. */
export const MAX_HASH_BYTES = 2048;
export const MAX_RANGE_BYTES = 1024;

const NO_BYTES = Buffer.alloc(0);

/** Why an item has no place by a key schema. */
export type KeyProblem =
  | { readonly kind: 'missing'; readonly attribute: KeyAttribute }
  | { readonly kind: 'type'; readonly attribute: KeyAttribute; readonly found: AttributeValue }
  | { readonly kind: 'empty'; readonly attribute: KeyAttribute }
  | { readonly kind: 'size'; readonly attribute: KeyAttribute; readonly isHash: boolean };

/** All key attributes of a schema in order. */
export const attributesOf = ({ hash, range }: KeySchema): readonly KeyAttribute[] =>
  range.length === 0 ? hash : [...hash, ...range];

/** Length of a scalar as limits count it: bytes of text or binary. */
function lengthOf(value: ScalarValue): number {
  if (value.type === 'N') return 1;
  return value.type === 'S' ? Buffer.byteLength(value.value) : value.value.length;
}

/** What is wrong with one attribute as part of a key. */
function problemOf(item: Item, attribute: KeyAttribute, isHash: boolean): KeyProblem | undefined {
  const value = item.get(attribute.name);
  if (value === undefined) return { kind: 'missing', attribute };
  if (value.type !== attribute.type) return { kind: 'type', attribute, found: value };
  const length = lengthOf(value as ScalarValue);
  if (length === 0) return { kind: 'empty', attribute };
  return length > (isHash ? MAX_HASH_BYTES : MAX_RANGE_BYTES) ? { kind: 'size', attribute, isHash } : undefined;
}

/** The first thing that is wrong with an item's key attributes; undefined when it has a place. */
export function keyProblem({ hash, range }: KeySchema, item: Item): KeyProblem | undefined {
  for (const attribute of hash) {
    const problem = problemOf(item, attribute, true);
    if (problem !== undefined) return problem;
  }
  for (const attribute of range) {
    const problem = problemOf(item, attribute, false);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function componentsOf(attributes: readonly KeyAttribute[], item: Item): Buffer {
  if (attributes.length === 0) return NO_BYTES;
  const parts = attributes.map(({ name }) => keyComponent(item.get(name) as ScalarValue));
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** @param item without a `keyProblem` */
export const keyBytes = ({ hash, range }: KeySchema, item: Item): KeyBytes => ({
  hashKey: componentsOf(hash, item),
  sortKey: componentsOf(range, item),
});

/**
 * Reads components one behind the other.
 * @returns where they end
 * @throws CorruptRowError
 */
export function readComponents(
  bytes: Buffer,
  from: number,
  attributes: readonly KeyAttribute[],
  into: Map<string, AttributeValue>,
): number {
  let at = from;
  for (const { name, type } of attributes) {
    const { value, end } = readKeyComponent(bytes, at, type, CorruptRowError);
    into.set(name, value);
    at = end;
  }
  return at;
}

/** Only the attributes of a key, in the order of its schema. */
export function keyOf(schema: KeySchema, item: Item): Map<string, AttributeValue> {
  const key = new Map<string, AttributeValue>();
  for (const { name } of attributesOf(schema)) {
    const value = item.get(name);
    if (value !== undefined) key.set(name, value);
  }
  return key;
}
