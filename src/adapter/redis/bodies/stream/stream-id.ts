/**
 * Ids of stream entries: unix milliseconds, and a number among those of the same millisecond. 16 bytes, big endian, so that their order as bytes is
 * their order.
 */

/** 16 bytes; compared with `Buffer.compare`. Never modified. */
export type StreamId = Buffer;

export const ID_BYTES = 16;
const HALF_BYTES = 8;
const MAX_U64 = (1n << 64n) - 1n;
/** High halves of 64 bits below this belong to safe integers. */
const SAFE_HIGH = 2 ** 21;
const TWO_32 = 2 ** 32;

/** @param ms and `seq`: from 0 to 2^64 - 1 */
export function streamId(ms: bigint, seq: bigint): StreamId {
  const id = Buffer.allocUnsafe(ID_BYTES);
  id.writeBigUInt64BE(ms);
  id.writeBigUInt64BE(seq, HALF_BYTES);
  return id;
}

export const MIN_ID: StreamId = Buffer.alloc(ID_BYTES);
export const MAX_ID: StreamId = Buffer.alloc(ID_BYTES, 0xff);

export const msOf = (id: StreamId): bigint => id.readBigUInt64BE();
export const seqOf = (id: StreamId): bigint => id.readBigUInt64BE(HALF_BYTES);

/** The id right above; undefined for the highest. */
export function idAfter(id: StreamId): StreamId | undefined {
  const [ms, seq] = [msOf(id), seqOf(id)];
  if (seq < MAX_U64) return streamId(ms, seq + 1n);
  return ms < MAX_U64 ? streamId(ms + 1n, 0n) : undefined;
}

/** The id right below; undefined for the lowest. */
export function idBefore(id: StreamId): StreamId | undefined {
  const [ms, seq] = [msOf(id), seqOf(id)];
  if (seq > 0n) return streamId(ms, seq - 1n);
  return ms > 0n ? streamId(ms - 1n, MAX_U64) : undefined;
}

/** As it stands on the wire: `ms-seq`. */
export const idText = (id: StreamId): string => `${unsigned(id, 0)}-${unsigned(id, HALF_BYTES)}`;

function unsigned(id: StreamId, at: number): number | bigint {
  const high = id.readUInt32BE(at);
  return high < SAFE_HIGH ? high * TWO_32 + id.readUInt32BE(at + 4) : id.readBigUInt64BE(at);
}
