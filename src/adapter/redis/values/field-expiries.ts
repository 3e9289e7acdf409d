/**
 * The expiry of a key whose fields expire too. A row has one expiry, and the row of such a key has the earlier one of two: what EXPIRE has said
 * of the key, and, when every field of it expires, the moment of the last field. So a hash goes as a whole with its last field, at one
 * timestamp, on every replica, without anybody looking into it. The value keeps the two apart:
 *
 *   head row   type (u8)  flags (u8, with `FIELD_EXPIRIES`)  ...  expiry of the key (8 bytes)  expiry of the last field (8 bytes)
 *
 * Both are timestamps, big endian; 0 is never. Of the second it means that some field never expires.
 */
import type { LiveValue } from '../../../kv/index.ts';
import { assert, type HlcTimestamp, hlcTimestamp, NEVER } from '../../../platform/index.ts';

/** Flag of a stored value. Disk value: never change. */
export const FIELD_EXPIRIES = 0x01;
/** Where flags are in a stored value. */
const FLAGS_AT = 1;
const TIMESTAMP_BYTES = 8;
/** Bytes at the end of a value with the flag. */
export const FIELD_EXPIRIES_BYTES = 2 * TIMESTAMP_BYTES;

/** The expiries of a key; 0n is never. */
export interface KeyExpiries {
  /** What EXPIRE and its kin have said. */
  readonly ofKey: HlcTimestamp;
  /** When the last field expires, 0n when some field does not; undefined when no field has an expiry. */
  readonly ofLastField: HlcTimestamp | undefined;
}

/** What the row of a key says of its expiries. */
export function expiriesOf({ value, expireTs }: Pick<LiveValue, 'value' | 'expireTs'>): KeyExpiries {
  if ((value[FLAGS_AT]! & FIELD_EXPIRIES) === 0) return { ofKey: expireTs, ofLastField: undefined };
  const at = value.length - FIELD_EXPIRIES_BYTES;
  assert(at > FLAGS_AT, 'a value with expiries of fields ends with two timestamps');
  return {
    ofKey: hlcTimestamp(value.readBigUInt64BE(at)),
    ofLastField: hlcTimestamp(value.readBigUInt64BE(at + TIMESTAMP_BYTES)),
  };
}

/** The expiry of the row. */
export function rowExpiry({ ofKey, ofLastField = NEVER }: KeyExpiries): HlcTimestamp {
  if (ofKey === NEVER || ofLastField === NEVER) return ofKey === NEVER ? ofLastField : ofKey;
  return ofKey < ofLastField ? ofKey : ofLastField;
}

/** Writes the last bytes of a value whose flags say that they are there. */
export function writeFieldExpiries(value: Buffer, ofKey: HlcTimestamp, ofLastField: HlcTimestamp): void {
  const at = value.length - FIELD_EXPIRIES_BYTES;
  value.writeBigUInt64BE(ofKey, at);
  value.writeBigUInt64BE(ofLastField, at + TIMESTAMP_BYTES);
}

/** A row's value and expiry when its key gets another expiry. */
export function withKeyExpiry(
  live: Pick<LiveValue, 'value' | 'expireTs'>,
  ofKey: HlcTimestamp,
): Pick<LiveValue, 'value' | 'expireTs'> {
  const { ofLastField } = expiriesOf(live);
  if (ofLastField === undefined) return { value: live.value, expireTs: ofKey };
  const value = Buffer.from(live.value);
  writeFieldExpiries(value, ofKey, ofLastField);
  return { value, expireTs: rowExpiry({ ofKey, ofLastField }) };
}
