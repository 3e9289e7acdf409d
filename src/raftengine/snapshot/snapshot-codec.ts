/**
 * What the streams of a snapshot transfer say beside the bytes. Integers are big-endian; nodes are u16, groups u48.
 *
 *   begin    1, leader, token of the snapshot as a message        frames: the manifest
 *            answer: 0 (not needed), or 1, session (u32), segments (u32), a bit for each that is missing
 *   segment  2, group, session (u32), number (u32)                 frames: its bytes        answer: 1
 *   commit   3, group, session (u32)                               no frames                answer: 1 installed, 0 not needed
 *   ask      4, group, receiver, term (u48), least index (u48)     no frames                answer: 1 delivered
 *
 * `ask` goes from a leader to another replica, which then sends in its place.
 */
import { type GroupId, groupId, type LogIndex, type NodeId, nodeId, type Term } from '../../platform/index.ts';
import type { Message, SnapshotMeta } from '../core/index.ts';
import { MalformedFrameError } from '../errors.ts';
import { decodeSnapshotHeader, encodeSnapshotHeader } from '../wire/index.ts';

const BEGIN = 1;
const SEGMENT = 2;
const COMMIT = 3;
const ASK = 4;
export const ANSWER_YES = Buffer.of(1);
export const ANSWER_NO = Buffer.of(0);
const BEGIN_HEAD_BYTES = 3;

/** The token of a snapshot, as the receiver's core takes it. */
export type SnapshotToken = Extract<Message, { kind: 'snapshot' }>;

/** First thing that each stream of a transfer says. */
export type TransferStep =
  | { readonly step: 'begin'; readonly token: SnapshotToken }
  | { readonly step: 'segment'; readonly group: GroupId; readonly session: number; readonly number: number }
  | { readonly step: 'commit'; readonly group: GroupId; readonly session: number }
  | {
      readonly step: 'ask';
      readonly group: GroupId;
      readonly to: NodeId;
      readonly term: Term;
      readonly leastIndex: LogIndex;
    };

/** @param leader whose snapshot it is, whoever sends it */
export function encodeBegin(group: GroupId, term: Term, meta: SnapshotMeta, leader: NodeId, to: NodeId): Buffer {
  const head = Buffer.alloc(BEGIN_HEAD_BYTES);
  head[0] = BEGIN;
  head.writeUInt16BE(leader, 1);
  return Buffer.concat([head, encodeSnapshotHeader({ groupId: group, term, meta }, leader, to)]);
}

/** The head of a stream that brings one segment. */
export function encodeSegment(group: GroupId, session: number, number: number): Buffer {
  const bytes = Buffer.alloc(15);
  bytes[0] = SEGMENT;
  bytes.writeUIntBE(group, 1, 6);
  bytes.writeUInt32BE(session, 7);
  bytes.writeUInt32BE(number, 11);
  return bytes;
}

/** The last stream of a transfer: everything is there. */
export function encodeCommit(group: GroupId, session: number): Buffer {
  const bytes = Buffer.alloc(11);
  bytes[0] = COMMIT;
  bytes.writeUIntBE(group, 1, 6);
  bytes.writeUInt32BE(session, 7);
  return bytes;
}

/** @param leastIndex an older copy is of no use, the leader's log goes on behind it */
export function encodeAsk(group: GroupId, to: NodeId, term: Term, leastIndex: LogIndex): Buffer {
  const bytes = Buffer.alloc(21);
  bytes[0] = ASK;
  bytes.writeUIntBE(group, 1, 6);
  bytes.writeUInt16BE(to, 7);
  bytes.writeUIntBE(term, 9, 6);
  bytes.writeUIntBE(leastIndex, 15, 6);
  return bytes;
}

/** @param self the node that hears it @throws MalformedFrameError */
export function decodeStep(bytes: Buffer, self: NodeId): TransferStep {
  try {
    const group = (): GroupId => groupId(bytes.readUIntBE(1, 6));
    switch (bytes[0]) {
      case BEGIN: {
        const leader = nodeId(bytes.readUInt16BE(1));
        return { step: 'begin', token: decodeSnapshotHeader(bytes.subarray(BEGIN_HEAD_BYTES), leader, self) };
      }
      case SEGMENT:
        return { step: 'segment', group: group(), session: bytes.readUInt32BE(7), number: bytes.readUInt32BE(11) };
      case COMMIT:
        return { step: 'commit', group: group(), session: bytes.readUInt32BE(7) };
      case ASK:
        return {
          step: 'ask',
          group: group(),
          to: nodeId(bytes.readUInt16BE(7)),
          term: bytes.readUIntBE(9, 6),
          leastIndex: bytes.readUIntBE(15, 6),
        };
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new MalformedFrameError('a step of a snapshot transfer is cut', { cause: error });
  }
  throw new MalformedFrameError(`a snapshot transfer has no step ${bytes[0]}`);
}

/** Answer to `begin` when the snapshot is wanted. */
export function encodeWanted(session: number, segments: number, missing: readonly number[]): Buffer {
  const bytes = Buffer.alloc(9 + Math.ceil(segments / 8));
  bytes[0] = 1;
  bytes.writeUInt32BE(session, 1);
  bytes.writeUInt32BE(segments, 5);
  for (const number of missing) bytes[9 + (number >>> 3)]! |= 1 << (number & 7);
  return bytes;
}

/** @returns undefined when the snapshot is not needed @throws MalformedFrameError */
export function decodeWanted(bytes: Buffer, segments: number): { session: number; missing: number[] } | undefined {
  if (bytes.length === 1 && bytes[0] === 0) return undefined;
  if (bytes.length !== 9 + Math.ceil(segments / 8) || bytes[0] !== 1 || bytes.readUInt32BE(5) !== segments) {
    throw new MalformedFrameError('the answer to the beginning of a snapshot is malformed');
  }
  const missing: number[] = [];
  for (let number = 0; number < segments; number++) {
    if ((bytes[9 + (number >>> 3)]! & (1 << (number & 7))) !== 0) missing.push(number);
  }
  return { session: bytes.readUInt32BE(1), missing };
}
