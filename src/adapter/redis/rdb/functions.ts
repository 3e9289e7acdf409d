/** What FUNCTION DUMP answers and FUNCTION RESTORE takes: libraries, the version of the format and a checksum of both. */
import { RdbFormatError } from './errors.ts';
import { FOOTER_BYTES, framePayload } from './payload.ts';
import { RdbReader } from './rdb-reader.ts';
import { RdbWriter } from './rdb-writer.ts';

/** What a library begins with, in files too; the other stood for a form that no release of Redis has. */
export const LibraryOpcode = { Function: 245, FunctionOfCandidate: 246 } as const;

/** A payload of the codes of libraries. */
export function writeFunctions(codes: readonly Buffer[]): Buffer {
  const writer = new RdbWriter();
  for (const code of codes) {
    writer.u8(LibraryOpcode.Function);
    writer.string(code);
  }
  return framePayload(writer.finish());
}

/**
 * The codes of libraries in what `isPayload`.
 * @param maxDecompressedBytes of all of them together
 * @throws RdbFormatError with Redis' words
 */
export function readFunctions(payload: Buffer, maxDecompressedBytes: number): Buffer[] {
  const reader = new RdbReader(payload.subarray(0, payload.length - FOOTER_BYTES), maxDecompressedBytes);
  const codes: Buffer[] = [];
  while (!reader.isAtEnd) {
    const type = reader.u8();
    if (type === LibraryOpcode.FunctionOfCandidate) throw new RdbFormatError('Pre-GA function format not supported');
    if (type !== LibraryOpcode.Function) throw new RdbFormatError('given type is not a function');
    codes.push(readCode(reader));
  }
  return codes;
}

function readCode(reader: RdbReader): Buffer {
  try {
    return reader.string();
  } catch (error) {
    if (!(error instanceof RdbFormatError)) throw error;
    throw new RdbFormatError('Failed loading library data', { cause: error });
  }
}
