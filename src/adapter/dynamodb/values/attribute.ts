/**
 * Attribute values as they are in memory. They are immutable: whoever changes a document makes new containers along the path and shares the rest.
 *
 * Numbers are their canonical text: a plain decimal without exponent, without needless zeros, never `-0`. So equal numbers have equal texts, and
 * nothing is lost on the way through. Members of sets are without duplicates and in the order of their bytes (numbers: of their values), so equal
 * sets are equal member by member.
 */

export interface StringValue {
  readonly type: 'S';
  /** Well-formed: no lone surrogates. */
  readonly value: string;
}

export interface NumberValue {
  readonly type: 'N';
  /** Canonical text. */
  readonly value: string;
}

export interface BinaryValue {
  readonly type: 'B';
  readonly value: Buffer;
}

export interface BooleanValue {
  readonly type: 'BOOL';
  readonly value: boolean;
}

export interface NullValue {
  readonly type: 'NULL';
}

export interface ListValue {
  readonly type: 'L';
  readonly value: readonly AttributeValue[];
}

export interface MapValue {
  readonly type: 'M';
  readonly value: Item;
}

export interface StringSetValue {
  readonly type: 'SS';
  readonly value: readonly string[];
}

export interface NumberSetValue {
  readonly type: 'NS';
  /** Canonical texts. */
  readonly value: readonly string[];
}

export interface BinarySetValue {
  readonly type: 'BS';
  readonly value: readonly Buffer[];
}

export type SetValue = StringSetValue | NumberSetValue | BinarySetValue;

/** What a key attribute can be. */
export type ScalarValue = StringValue | NumberValue | BinaryValue;

export type AttributeValue = ScalarValue | BooleanValue | NullValue | ListValue | MapValue | SetValue;

export type AttributeType = AttributeValue['type'];

/** Attributes by their names. A `Map`, because names such as `__proto__` are names like any other. */
export type Item = ReadonlyMap<string, AttributeValue>;
