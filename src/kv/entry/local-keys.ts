/**
 * Keys that a group keeps for itself: in the reserved part of the key space, owned by nobody, moved nowhere. Commands can
 * neither read nor write them, whatever span they seem to lie in.
 *
 *   capture row := 00 'g' 'c' job u64, index u64, position u32   what a source has written since a move began
 */

import type { JobId } from '../../distribution/index.ts';
import { type HlcTimestamp, hlcTimestamp, type LogIndex } from '../../platform/index.ts';
import { CorruptEntryError, type SideChange } from '../contract/index.ts';

/** First local key. */
export const LOCAL_START: Buffer = Buffer.from([0x00, 0x67]);
/** First key after all local ones. */
export const LOCAL_END: Buffer = Buffer.from([0x00, 0x68]);
const CAPTURE = 0x63;
const KEY_BYTES = 3 + 8 + 8 + 4;

/** True for a key that commands must not see. */
export const isLocalKey = (key: Buffer): boolean => key.length >= 2 && key[0] === 0x00 && key[1] === 0x67;

/** True when a local key lies in `[start, end)`. */
export const touchesLocal = (start: Buffer, end: Buffer | undefined): boolean =>
  Buffer.compare(start, LOCAL_END) < 0 && (end === undefined || Buffer.compare(LOCAL_START, end) < 0);

/** Key of the effect number `position` of entry `index`, as captured for a job. */
export function captureKey(job: JobId, index: LogIndex, position: number): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES);
  LOCAL_START.copy(key);
  key[2] = CAPTURE;
  let offset = key.writeBigUInt64BE(BigInt(job), 3);
  offset = key.writeBigUInt64BE(BigInt(index), offset);
  key.writeUInt32BE(position, offset);
  return key;
}

/** All capture rows of a job lie between the first and, exclusive, the second. */
export const captureBounds = (job: JobId): readonly [Buffer, Buffer] => [
  captureKey(job, 0, 0),
  captureKey(job + 1, 0, 0),
];

/** Where a capture row lies in its job's log. @throws CorruptEntryError */
export function capturePlace(key: Buffer): { readonly index: LogIndex; readonly position: number } {
  if (key.length !== KEY_BYTES) throw new CorruptEntryError('the key of a capture row has the wrong length');
  return { index: Number(key.readBigUInt64BE(11)), position: key.readUInt32BE(19) };
}

/** What a capture row names: one version of one key, or everything that a range delete hid. */
export interface CapturedEffect {
  readonly kind: 'put' | 'delete' | 'deleteRange' | 'side';
  readonly commitTs: HlcTimestamp;
  readonly key: Buffer;
  /** Exclusive end of a range delete, else undefined. */
  readonly end: Buffer | undefined;
  /** What became of a side row, when it is one; else absent. */
  readonly side?: SideChange;
}

/** Disk values: only ever append. */
const KINDS = ['put', 'delete', 'deleteRange', 'side'] as const;

/**
 * Value of a capture row: kind u8, commitTs u64, key with its length; for a range delete its end; for a side row its name
 * with its length, isSet u8, value.
 */
export function encodeCaptured({ kind, commitTs, key, end, side }: CapturedEffect): Buffer {
  const tail = side === undefined ? end : encodeSide(side);
  const buffer = Buffer.allocUnsafe(1 + 8 + 4 + key.length + (tail?.length ?? 0));
  buffer[0] = KINDS.indexOf(kind);
  let offset = buffer.writeBigUInt64BE(commitTs, 1);
  offset = buffer.writeUInt32BE(key.length, offset);
  offset += key.copy(buffer, offset);
  tail?.copy(buffer, offset);
  return buffer;
}

function encodeSide({ name, value }: SideChange): Buffer {
  const head = Buffer.allocUnsafe(4 + name.length + 1);
  const offset = head.writeUInt32BE(name.length, 0) + name.copy(head, 4);
  head[offset] = value === undefined ? 0 : 1;
  return value === undefined ? head : Buffer.concat([head, value]);
}

function decodeSide(key: Buffer, tail: Buffer): SideChange {
  const at = tail.length < 5 ? Number.POSITIVE_INFINITY : 4 + tail.readUInt32BE(0);
  if (at >= tail.length || tail[at]! > 1) throw new CorruptEntryError('a capture row of a side row is damaged');
  return { key, name: tail.subarray(4, at), value: tail[at] === 1 ? tail.subarray(at + 1) : undefined };
}

/** @throws CorruptEntryError */
export function decodeCaptured(row: Buffer): CapturedEffect {
  const kind = KINDS[row[0] ?? KINDS.length];
  const keyEnd = row.length < 13 ? Number.POSITIVE_INFINITY : 13 + row.readUInt32BE(9);
  const hasTail = kind === 'deleteRange' || kind === 'side';
  if (kind === undefined || (hasTail ? row.length <= keyEnd : row.length !== keyEnd)) {
    throw new CorruptEntryError('a capture row is damaged');
  }
  const commitTs = hlcTimestamp(row.readBigUInt64BE(1));
  const key = row.subarray(13, keyEnd);
  const tail = row.subarray(keyEnd);
  if (kind === 'side') return { kind, commitTs, key, end: undefined, side: decodeSide(key, tail) };
  return { kind, commitTs, key, end: kind === 'deleteRange' ? tail : undefined };
}
