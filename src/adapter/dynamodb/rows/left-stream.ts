/** The value of the row of a stream whose table was deleted: a format, the number of the table, when the stream ended. */
import { ByteReader, ByteWriter, type Millis } from '../../../platform/index.ts';
import { CorruptRowError } from './errors.ts';

const FORMAT = 1;

export interface LeftStream {
  /** Number of the table. */
  readonly table: number;
  /** Unix milliseconds. */
  readonly disabledMs: Millis;
}

/** Encodes it. */
export const encodeLeftStream = ({ table, disabledMs }: LeftStream): Buffer =>
  new ByteWriter(13).u8(FORMAT).u32(table).u53(disabledMs).finish();

/** @throws CorruptRowError */
export function decodeLeftStream(bytes: Buffer): LeftStream {
  const reader = new ByteReader(bytes, 'a stream of a deleted table', CorruptRowError);
  reader.version(FORMAT);
  const left = { table: reader.u32(), disabledMs: reader.u53() };
  reader.end();
  return left;
}
