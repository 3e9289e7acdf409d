/**
 * The value of a segment's fence: the version of the table by which everything in the segment is written. Whoever writes reads it in the same
 * command, so a write by another version of the table is refused when it is applied.
 */
import { ByteReader, ByteWriter } from '../../../platform/index.ts';
import { CorruptRowError } from './errors.ts';
import { TOKEN_COUNT } from './key-space.ts';

const FORMAT = 1;

export interface Fence {
  /** Of the table. */
  readonly version: number;
  /** Where the segment ends, exclusive; `TOKEN_COUNT` at the end. */
  readonly endToken: number;
}

/** Encodes a fence: a format, the version, the end, where 0 stands for the last token. */
export function encodeFence({ version, endToken }: Fence): Buffer {
  return new ByteWriter(13)
    .u8(FORMAT)
    .u53(version)
    .u32(endToken % TOKEN_COUNT)
    .finish();
}

/** @throws CorruptRowError */
export function decodeFence(bytes: Buffer): Fence {
  const reader = new ByteReader(bytes, 'a fence', CorruptRowError);
  reader.version(FORMAT);
  const fence = { version: reader.u53(), endToken: reader.u32() || TOKEN_COUNT };
  reader.end();
  return fence;
}
