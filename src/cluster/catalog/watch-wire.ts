/**
 * What a watch stream carries beside the messages of `src/distribution`: how the server says that and why it ends, and the
 * acknowledgements of the watcher. An end begins with 0, where messages have the version of their codec, which never is.
 */
import { CatalogCorruptError } from '../../distribution/index.ts';
import { type NodeId, nodeId } from '../../platform/index.ts';

/** Kind of the two-way streams in which nodes watch the catalog. */
export const WATCH_KIND = 'catalog.watch';

const REASONS = [
  'NOT_LEADER',
  'INVALID_CURSOR',
  'CATALOG_CORRUPT',
  'STALLED',
  'REPLACED',
  'BAD_REQUEST',
  'STOPPING',
] as const;

/**
 * Why the server ends a stream:
 * - `NOT_LEADER`: it does not lead the catalog group, or does not have the rows yet; `leader` may know better.
 * - `INVALID_CURSOR`: the watcher is ahead of this catalog.
 * - `CATALOG_CORRUPT`: the change log has a hole; nothing is served from it before somebody looked.
 * - `STALLED`: the watcher took nothing for too long.
 * - `REPLACED`: the node opened another stream.
 * - `BAD_REQUEST`: what the watcher said cannot be understood.
 * - `STOPPING`: the node stops.
 */
export type WatchEndReason = (typeof REASONS)[number];

/** The last message of a stream that the server ends. */
export interface WatchEnd {
  readonly reason: WatchEndReason;
  /** Who leads the catalog group, as far as the server knows. */
  readonly leader: NodeId | undefined;
}

const END_MARK = 0;
const END_BYTES = 4;
const ACK_BYTES = 8;

/** `0:u8 reason:u8 leader:u16`, leader 0 is unknown. */
export function encodeWatchEnd(end: WatchEnd): Buffer {
  const bytes = Buffer.alloc(END_BYTES);
  bytes[0] = END_MARK;
  bytes[1] = REASONS.indexOf(end.reason) + 1;
  bytes.writeUInt16BE(end.leader ?? 0, 2);
  return bytes;
}

/**
 * The end that a message of the server says, undefined when it is another message.
 * @throws CatalogCorruptError when it cannot be understood
 */
export function decodeWatchEnd(bytes: Buffer): WatchEnd | undefined {
  if (bytes[0] !== END_MARK) return undefined;
  const reason = REASONS[(bytes[1] ?? 0) - 1];
  if (reason === undefined || bytes.length !== END_BYTES)
    throw new CatalogCorruptError('a watch ends without a reason');
  const leader = bytes.readUInt16BE(2);
  return { reason, leader: leader === 0 ? undefined : nodeId(leader) };
}

/** Says that the message with this number was taken. */
export function encodeWatchAck(seq: number): Buffer {
  const bytes = Buffer.allocUnsafe(ACK_BYTES);
  bytes.writeBigUInt64BE(BigInt(seq));
  return bytes;
}

/** The acknowledged number, undefined when it cannot be one. */
export function decodeWatchAck(bytes: Buffer): number | undefined {
  if (bytes.length !== ACK_BYTES) return undefined;
  const seq = Number(bytes.readBigUInt64BE());
  return Number.isSafeInteger(seq) ? seq : undefined;
}
