/** Attribute values: in memory, on the wire, in rows and in keys, their numbers, sizes and what they cost. Pure code. */

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
export type { BlobText, JsonMap, WireAttributeValue, WireItem } from './wire-values.ts';
