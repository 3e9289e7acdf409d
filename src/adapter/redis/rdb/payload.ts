/**
 * What DUMP answers and RESTORE takes: a value, the version of the format and a checksum of both.
 *
 *   value  version (u16, little endian)  CRC-64 of all before (8 bytes)
 */
import { crc64 } from './crc64.ts';
import { RdbFormatError } from './errors.ts';
import { RdbType, type RdbValue, readValue, type WrittenForm, writeValue } from './objects.ts';
import { RdbReader } from './rdb-reader.ts';
import { RdbWriter } from './rdb-writer.ts';

/** Of Redis 7.0. */
const VERSION = 10;
/** Of Redis 7.4, which can say when fields expire. */
const VERSION_WITH_FIELD_EXPIRIES = 12;
const CHECKSUM_BYTES = 8;
/** Behind what a payload holds. */
export const FOOTER_BYTES = 2 + CHECKSUM_BYTES;

/** A payload of a value. */
export function writePayload(value: RdbValue, form: WrittenForm): Buffer {
  const writer = new RdbWriter();
  writeValue(writer, value, form);
  return framePayload(writer.finish());
}

/** A payload of the bytes of a value, or of libraries, type first, as they are in a file. */
export function framePayload(bytes: Buffer): Buffer {
  const payload = Buffer.allocUnsafe(bytes.length + FOOTER_BYTES);
  bytes.copy(payload);
  const hasExpiries = bytes[0] === RdbType.HashMetadata || bytes[0] === RdbType.HashListpackEx;
  payload.writeUInt16LE(hasExpiries ? VERSION_WITH_FIELD_EXPIRIES : VERSION, bytes.length);
  crc64(payload.subarray(0, bytes.length + 2)).copy(payload, bytes.length + 2);
  return payload;
}

/** Whether it has the checksum of its bytes, and a version that is known here. */
export function isPayload(payload: Buffer): boolean {
  const at = payload.length - FOOTER_BYTES;
  if (at < 0 || payload.readUInt16LE(at) > VERSION_WITH_FIELD_EXPIRIES) return false;
  return crc64(payload.subarray(0, at + 2)).equals(payload.subarray(at + 2));
}

/**
 * The value of what `isPayload`.
 * @param maxDecompressedBytes of all compressed strings together
 * @throws RdbFormatError
 */
export function readPayload(payload: Buffer, maxDecompressedBytes: number): RdbValue {
  const at = payload.length - FOOTER_BYTES;
  if (at <= 0) throw new RdbFormatError('there is no value');
  return readValue(new RdbReader(payload.subarray(0, at), maxDecompressedBytes));
}
