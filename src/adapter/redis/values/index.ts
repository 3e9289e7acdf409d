/**
 * What a stored value looks like and how commands read and write it: type bytes, accessors by type, expiries. A new data type gets its
 * type byte and its accessors here.
 */

export { type ExpiryUnit, expiryAt, requireOptionExpiry } from './expiry-time.ts';
export {
  expiriesOf,
  FIELD_EXPIRIES,
  FIELD_EXPIRIES_BYTES,
  rowExpiry,
  writeFieldExpiries,
} from './field-expiries.ts';
export {
  deleteKey,
  readTyped,
  readValue,
  type TypedValue,
  typeNameOf,
  type ValueAccess,
  type ValueReader,
  ValueType,
  writeExpiry,
  writeString,
  writeValueHeader,
  writtenLater,
} from './values.ts';
