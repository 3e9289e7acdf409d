/**
 * Attribute values: in memory, on the wire, in rows and in keys, their numbers, their order, their sizes and what they cost. Pure code.
 *
 * `attribute` is what a value is, `decimal` numbers, `compare` and `sets` order and equality, `wire` JSON with the checks of contents, `key-bytes` what keys
 * are made of, `sizes` and `capacity` the rules of the service for limits and prices.
 */

export type {
  AttributeType,
  AttributeValue,
  BinarySetValue,
  BinaryValue,
  BooleanValue,
  Item,
  ListValue,
  MapValue,
  NullValue,
  NumberSetValue,
  NumberValue,
  ScalarValue,
  SetValue,
  StringSetValue,
  StringValue,
} from './attribute.ts';
export { indexWriteUnits, type ReadKind, readUnits, writeUnits } from './capacity.ts';
export { areEqual, areEqualItems, compareScalars, compareStrings, isScalar } from './compare.ts';
export { addNumbers, canonicalNumber, compareNumbers, subtractNumbers } from './decimal.ts';
export {
  keyComponent,
  keyComponentPrefix,
  MAX_NUMBER_BYTES,
  numberBytes,
  prefixEnd,
  readKeyComponent,
  readNumberBytes,
  writeKeyComponent,
} from './key-bytes.ts';
export { differenceOf, hasMember, orderedSet, unionOf } from './sets.ts';
export { isNestedTooDeep, itemSize, MAX_ITEM_BYTES, MAX_NESTING, valueSize } from './sizes.ts';
export { MAX_NAME_BYTES, readItem, readValue, wireItem, wireValue } from './wire.ts';
export type { BlobText, JsonMap, WireAttributeValue, WireItem } from './wire-values.ts';
