/** The range that a scan asks for, as the last part of a message to another node. */
import type { ByteReader, ByteWriter } from '../../platform/index.ts';
import type { ScanRequest } from './view.ts';

/** Appends `start, end, limit u32, keysOnly u8, reverse u8`, and `maxBytes u32` when there is a bound: older programs never ask with one. */
export function writeRange(writer: ByteWriter, { start, end, limit, keysOnly, reverse, maxBytes }: ScanRequest): void {
  writer.bytes(start).bytes(end).u32(limit);
  writer.u8(keysOnly === true ? 1 : 0).u8(reverse === true ? 1 : 0);
  if (maxBytes !== undefined) writer.u32(maxBytes);
}

/** Reads what is left of a message as a range. */
export function readRange(reader: ByteReader): ScanRequest {
  const start = reader.bytes();
  const end = reader.bytes();
  const limit = reader.u32();
  const range = { start, end, limit, keysOnly: reader.flag(), reverse: reader.flag() };
  return reader.isAtEnd ? range : { ...range, maxBytes: reader.u32() };
}
