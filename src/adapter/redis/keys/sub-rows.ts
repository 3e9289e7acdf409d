/**
 * The rows behind a head, and how both say which body they belong to. The store asks this module, so that it can drop the rows of bodies
 * that no head names any more; commands build the keys of sub-rows with it.
 *
 *   sub-row  head  kind (u8)  incarnation (8 bytes)  rest
 *   head     type (u8)  flags (u8)  form (u8)  in the form `Large`: incarnation (8 bytes)  what the type needs
 *
 * An incarnation is drawn at random whenever a body is made anew. A sub-row whose incarnation is not in its head is unreachable.
 */
import { DATABASE_COUNT, decodeStorageKey, headLengthOf, slotOf } from './keyspace.ts';

export const INCARNATION_BYTES = 8;

/** Third byte of a stored value. Disk values: never renumber. */
export const ValueForm = {
  /** The whole value is in its head. */
  Packed: 0,
  /** The head says where the value is: in sub-rows of the incarnation that it begins with. */
  Large: 1,
} as const;
export type ValueForm = (typeof ValueForm)[keyof typeof ValueForm];

/** Where the form is in a stored value. */
const FORM_AT = 2;
/** Bytes of type, flags and form, which every stored value begins with. */
export const VALUE_HEADER_BYTES = FORM_AT + 1;
const INCARNATION_END = VALUE_HEADER_BYTES + INCARNATION_BYTES;

/** What a sub-row's key says about the body that the row belongs to. */
export interface BodyOfRow {
  /** Length of the head's key, which the sub-row's key begins with. */
  readonly headLength: number;
  /** Of the part that says which body it is; the head's key is in it. */
  readonly prefixLength: number;
  /** A view of 8 bytes of the key. */
  readonly incarnation: Buffer;
}

/**
 * The body that a stored key is a sub-row of; undefined for heads and for bytes that are no sub-row of this adapter. Nothing is taken for
 * one by mistake, because what is taken for one and has no head is collected: database and slot must fit the user's key.
 */
export function bodyOf(storageKey: Buffer): BodyOfRow | undefined {
  const headLength = headLengthOf(storageKey);
  if (headLength === undefined) return undefined;
  const prefixLength = headLength + 1 + INCARNATION_BYTES;
  if (storageKey.length < prefixLength) return undefined;
  const head = decodeStorageKey(storageKey.subarray(0, headLength))!;
  if (head.db >= DATABASE_COUNT || head.slot !== slotOf(head.userKey)) return undefined;
  return { headLength, prefixLength, incarnation: storageKey.subarray(headLength + 1, prefixLength) };
}

/** The incarnation whose sub-rows a head's value names, a view of 8 bytes; undefined for a value that has no sub-rows. */
export function incarnationIn(headValue: Buffer): Buffer | undefined {
  if (headValue.length < INCARNATION_END || headValue[FORM_AT] !== ValueForm.Large) return undefined;
  return headValue.subarray(VALUE_HEADER_BYTES, INCARNATION_END);
}

/** Whether a head has rows behind it. @param head undefined when there is none */
export const hasBody = (head: { readonly value: Buffer } | undefined): boolean =>
  head !== undefined && incarnationIn(head.value) !== undefined;
