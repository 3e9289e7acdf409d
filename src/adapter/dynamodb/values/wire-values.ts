/** Parts of requests and answers as JSON has them. */

/** Bytes in base64, checked. */
export type BlobText = string;

/**
 * Values by names of users' choice. It may have an own member `__proto__`, and what is not its own is not there: walk `Object.keys`, look up
 * behind `Object.hasOwn`, and make one with a null prototype.
 */
export type JsonMap<T> = { readonly [name: string]: T };

/** An attribute value: in a correct one exactly one member is there, which the shape alone does not promise. */
export interface WireAttributeValue {
  readonly S?: string;
  /** A decimal number, unchecked. */
  readonly N?: string;
  readonly B?: BlobText;
  readonly BOOL?: boolean;
  readonly NULL?: boolean;
  readonly SS?: readonly string[];
  readonly NS?: readonly string[];
  readonly BS?: readonly BlobText[];
  readonly L?: readonly WireAttributeValue[];
  readonly M?: JsonMap<WireAttributeValue>;
}

/** An item or a key, by attribute names. */
export type WireItem = JsonMap<WireAttributeValue>;
