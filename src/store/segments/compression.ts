/**
 * Compression of blocks as a constructor argument: the thread pool on a machine, in line in the simulation, where nothing may
 * take real time. Both give the same bytes, so content hashes agree.
 */
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';

const LEVEL = 1;
/** Room for the whole result, so that one trip to the thread pool is enough: each piece of it takes one. */
const chunkOf = (bytes: number): number => Math.min(64 << 20, Math.max(1024, bytes + (bytes >>> 7) + 128));

/** With the length told, the thread pool and the inline twin write the same header. */
const settingsFor = (bytes: Buffer) => ({
  params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
  pledgedSrcSize: bytes.length,
  chunkSize: chunkOf(bytes.length),
});

/** zstd, level 1. */
export interface BlockCompression {
  compress(bytes: Buffer): Promise<Buffer>;
  /** @param rawBytes the exact length of the result; fails on anything longer before it takes the memory */
  expand(bytes: Buffer, rawBytes: number): Promise<Buffer>;
}

/** In libuv's thread pool, beside the event loop. */
export const pooledCompression: BlockCompression = {
  compress: (bytes) =>
    new Promise((resolve, reject) => {
      zstdCompress(bytes, settingsFor(bytes), (error, result) => (error === null ? resolve(result) : reject(error)));
    }),
  expand: (bytes, rawBytes) =>
    new Promise((resolve, reject) => {
      zstdDecompress(
        bytes,
        { maxOutputLength: Math.max(1, rawBytes), chunkSize: chunkOf(rawBytes) },
        (error, result) => (error === null ? resolve(result) : reject(error)),
      );
    }),
};

/** On the caller's thread, for simulations. */
export const inlineCompression: BlockCompression = {
  compress: async (bytes) => zstdCompressSync(bytes, settingsFor(bytes)),
  expand: async (bytes, rawBytes) =>
    zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, rawBytes), chunkSize: chunkOf(rawBytes) }),
};
