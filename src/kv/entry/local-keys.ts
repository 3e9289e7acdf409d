/**
 * Keys that a group keeps for itself: in the reserved part of the key space, owned by nobody, moved nowhere. Commands can
 * neither read nor write them, whatever span they seem to lie in.
 *
 *   capture row := 00 'g' 'c' job u64, index u64, position u32   what a source has written since a move began
 */

import type { JobId } from '../../distribution/index.ts';
import { ByteReader, ByteWriter, type HlcTimestamp, type LogIndex } from '../../platform/index.ts';
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
export const captureKey = (job: JobId, index: LogIndex, position: number): Buffer =>
  new ByteWriter(KEY_BYTES).raw(LOCAL_START).u8(CAPTURE).u53(job).u53(index).u32(position).finish();

/** All capture rows of a job lie between the first and, exclusive, the second. */
export const captureBounds = (job: JobId): readonly [Buffer, Buffer] => [
  captureKey(job, 0, 0),
  captureKey(job + 1, 0, 0),
];

/** Where a capture row lies in its job's log. @throws CorruptEntryError */
export function capturePlace(key: Buffer): { readonly index: LogIndex; readonly position: number } {
  if (key.length !== KEY_BYTES) throw new CorruptEntryError('the key of a capture row has the wrong length');
  const reader = new ByteReader(key.subarray(11), 'the key of a capture row', CorruptEntryError);
  return { index: reader.u53(), position: reader.u32() };
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
  const tailBytes = side === undefined ? (end?.length ?? 0) : 4 + side.name.length + 1 + (side.value?.length ?? 0);
  const writer = new ByteWriter(1 + 8 + 4 + key.length + tailBytes).u8(KINDS.indexOf(kind)).u64(commitTs).bytes(key);
  if (side !== undefined) {
    writer.bytes(side.name).u8(side.value === undefined ? 0 : 1);
    if (side.value !== undefined) writer.raw(side.value);
  } else if (end !== undefined) writer.raw(end);
  return writer.finish();
}

/** Fields are views of the row. @throws CorruptEntryError */
export function decodeCaptured(row: Buffer): CapturedEffect {
  const reader = new ByteReader(row, 'a capture row', CorruptEntryError);
  const kind = reader.oneOf(KINDS);
  const commitTs = reader.timestamp();
  const key = reader.view();
  switch (kind) {
    case 'side': {
      const name = reader.view();
      const isSet = reader.flag();
      const value = reader.rest();
      return { kind, commitTs, key, end: undefined, side: { key, name, value: isSet ? value : undefined } };
    }
    case 'deleteRange':
      if (reader.isAtEnd) throw reader.corrupt('has no end of its range');
      return { kind, commitTs, key, end: reader.rest() };
    default:
      reader.end();
      return { kind, commitTs, key, end: undefined };
  }
}
