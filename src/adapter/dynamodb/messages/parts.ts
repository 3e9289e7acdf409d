/** Parts of messages that may be missing. */
import type { ByteWriter } from '../../../platform/index.ts';
import type { ValueReader } from '../rows/index.ts';

/** Appends what may be missing: a flag, then what is there. */
export function writeOptional<T>(
  writer: ByteWriter,
  value: T | undefined,
  write: (writer: ByteWriter, value: T) => void,
): void {
  writer.u8(value === undefined ? 0 : 1);
  if (value !== undefined) write(writer, value);
}

/** @throws CorruptRowError */
export const readOptional = <T>(reader: ValueReader, read: (reader: ValueReader) => T): T | undefined =>
  reader.flag() ? read(reader) : undefined;
