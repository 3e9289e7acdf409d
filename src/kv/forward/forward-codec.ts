/**
 * Bytes of the `forward` lane. A frame carries everything that one turn sends to one node: magic u8, then messages.
 * Numbers are big-endian.
 *
 *   request := 1 u8, epoch u32, id u32, hops u8, remainingMs u32, group u32, service (u8 length), payload (u32 length)
 *   reply   := 2 u8, epoch u32, id u32, status u8, leaderHint u16 (0 none), body (u32 length)
 *
 * `epoch` is drawn at random when a node starts, so a reply to an earlier life of the node is not taken for one to this.
 */
import { type GroupId, groupId, type Millis, type NodeId, nodeId } from '../../platform/index.ts';

const MAGIC = 0x46;
const REQUEST = 1;
const REPLY = 2;
const REQUEST_BYTES = 1 + 4 + 4 + 1 + 4 + 4 + 1 + 4;
const REPLY_BYTES = 1 + 4 + 4 + 1 + 2 + 4;

/** How a forwarded request ended. Wire values: never renumber. */
export const ForwardStatus = {
  Ok: 0,
  NotLeader: 1,
  Busy: 2,
  Unavailable: 3,
  Unknown: 4,
  TooLarge: 5,
  Conflict: 6,
  /** Any other error; the body is `code NUL disposition NUL message`. */
  Other: 7,
  /** The body is the group that took the key over, u32, 0 when it is not known. */
  NotOwner: 8,
  RangeBusy: 9,
} as const;
export type ForwardStatus = (typeof ForwardStatus)[keyof typeof ForwardStatus];

export interface ForwardRequest {
  readonly kind: 'request';
  readonly epoch: number;
  readonly id: number;
  /** Nodes that the request has crossed before it was sent here. */
  readonly hops: number;
  readonly remainingMs: Millis;
  readonly group: GroupId;
  /** Latin-1, at most 255 characters. */
  readonly service: string;
  readonly payload: Buffer;
}

export interface ForwardReply {
  readonly kind: 'reply';
  readonly epoch: number;
  readonly id: number;
  readonly status: ForwardStatus;
  readonly leaderHint: NodeId | undefined;
  /** The handler's bytes, or an error's message in UTF-8. */
  readonly body: Buffer;
}

export type ForwardMessage = ForwardRequest | ForwardReply;

/** Encoded size of a message inside a frame. */
export function messageBytes(message: ForwardMessage): number {
  return message.kind === 'request'
    ? REQUEST_BYTES + message.service.length + message.payload.length
    : REPLY_BYTES + message.body.length;
}

/** Encodes messages into one frame. */
export function encodeFrame(messages: readonly ForwardMessage[]): Buffer {
  let size = 1;
  for (const message of messages) size += messageBytes(message);
  const frame = Buffer.allocUnsafe(size);
  frame[0] = MAGIC;
  let offset = 1;
  for (const message of messages) {
    frame[offset++] = message.kind === 'request' ? REQUEST : REPLY;
    offset = frame.writeUInt32BE(message.epoch, offset);
    offset = frame.writeUInt32BE(message.id, offset);
    if (message.kind === 'request') {
      frame[offset++] = message.hops;
      offset = frame.writeUInt32BE(message.remainingMs, offset);
      offset = frame.writeUInt32BE(message.group, offset);
      frame[offset++] = message.service.length;
      offset += frame.write(message.service, offset, 'latin1');
      offset = frame.writeUInt32BE(message.payload.length, offset);
      frame.set(message.payload, offset);
      offset += message.payload.length;
    } else {
      frame[offset++] = message.status;
      offset = frame.writeUInt16BE(message.leaderHint ?? 0, offset);
      offset = frame.writeUInt32BE(message.body.length, offset);
      frame.set(message.body, offset);
      offset += message.body.length;
    }
  }
  return frame;
}

/**
 * Decodes a frame; payloads are views into it.
 * @returns undefined when it is damaged in any way: nothing of it is used then
 */
export function decodeFrame(frame: Buffer): ForwardMessage[] | undefined {
  if (frame.length < 1 || frame[0] !== MAGIC) return undefined;
  const messages: ForwardMessage[] = [];
  let offset = 1;
  while (offset < frame.length) {
    const kind = frame[offset];
    if (kind === REQUEST) {
      if (offset + REQUEST_BYTES > frame.length) return undefined;
      const serviceLength = frame[offset + 18]!;
      const serviceAt = offset + 19;
      const lengthAt = serviceAt + serviceLength;
      if (lengthAt + 4 > frame.length) return undefined;
      const payloadAt = lengthAt + 4;
      const end = payloadAt + frame.readUInt32BE(lengthAt);
      if (end > frame.length) return undefined;
      messages.push({
        kind: 'request',
        epoch: frame.readUInt32BE(offset + 1),
        id: frame.readUInt32BE(offset + 5),
        hops: frame[offset + 9]!,
        remainingMs: frame.readUInt32BE(offset + 10),
        group: groupId(frame.readUInt32BE(offset + 14)),
        service: frame.toString('latin1', serviceAt, lengthAt),
        payload: frame.subarray(payloadAt, end),
      });
      offset = end;
    } else if (kind === REPLY) {
      if (offset + REPLY_BYTES > frame.length) return undefined;
      const status = frame[offset + 9]!;
      if (status > ForwardStatus.RangeBusy) return undefined;
      const hint = frame.readUInt16BE(offset + 10);
      const bodyAt = offset + REPLY_BYTES;
      const end = bodyAt + frame.readUInt32BE(offset + 12);
      if (end > frame.length) return undefined;
      messages.push({
        kind: 'reply',
        epoch: frame.readUInt32BE(offset + 1),
        id: frame.readUInt32BE(offset + 5),
        status: status as ForwardStatus,
        leaderHint: hint === 0 ? undefined : nodeId(hint),
        body: frame.subarray(bodyAt, end),
      });
      offset = end;
    } else return undefined;
  }
  return messages;
}
