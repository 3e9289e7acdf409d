/**
 * Bytes of the two-way streams of kind `redis-messages`. A node opens one to each other node and sends what its own clients listen to, and what was
 * published through it and clients there listen to. The other side answers with the number of the last frame that it took in. Numbers are
 * big-endian.
 *
 *   header      := version u8, life u64, ordinal u32
 *   frame       := magic u8 (0x4d), flags u8, number u64, item*
 *   item        := interest | message
 *   interest    := scope u8 (1 channel, 2 pattern, 3 shard), name (u32 length), clients u32 (0: nobody any more)
 *   message     := scope u8 (4 channel, 5 shard), channel (u32 length), message (u32 length)
 *   answer      := magic u8 (0x41), number u64
 *
 * `life` is drawn when a node starts; `ordinal` counts the streams of one life to one node. Bit 0 of the flags: with this frame all is told that clients
 * listened to when the stream was opened.
 *
 * A message to the channel of a slot goes to the leader of the slot's group first, as a forwarded request of the service `redis-shard-message`:
 *
 *   request     := version u8, channel (u32 length), message (u32 length)
 *   reply       := clients u32
 */
import { ByteReader, ByteWriter, type ErrorDisposition, KvorumError } from '../../../platform/index.ts';
import type { Scope } from './topics.ts';

/** Kind of the two-way streams. */
export const MESSAGE_STREAM = 'redis-messages';
/** Service of forwarded messages to shard channels. */
export const SHARD_SERVICE = 'redis-shard-message';

const VERSION = 1;
const FRAME_MAGIC = 0x4d;
const ANSWER_MAGIC = 0x41;
const COMPLETE = 1;
const FRAME_HEADER_BYTES = 10;
const INTEREST_CODES: Readonly<Record<Scope, number>> = { channel: 1, pattern: 2, shard: 3 };
const SCOPE_BY_CODE: Readonly<Record<number, Scope>> = { 1: 'channel', 2: 'pattern', 3: 'shard' };
const CHANNEL_MESSAGE = 4;
const SHARD_MESSAGE = 5;
/** Beside the bytes of a name, or of a channel and a message. */
const ITEM_BYTES = 9;

/** Bytes of another node's messages that no program of this release writes. */
export class MalformedMessageFrameError extends KvorumError {
  readonly code = 'MALFORMED_MESSAGE_FRAME';
  readonly disposition: ErrorDisposition = 'final';
}

/** What a stream begins with. */
export interface StreamHeader {
  /** Of the process, 48 bits. */
  readonly life: number;
  readonly ordinal: number;
}

/** How many clients of the sender listen to a topic now. */
export interface Interest {
  readonly scope: Scope;
  /** The name's bytes as latin1 text. */
  readonly key: string;
  readonly clients: number;
}

export interface Published {
  readonly isShard: boolean;
  readonly channel: Buffer;
  readonly message: Buffer;
}

export interface MessageFrame {
  readonly number: number;
  /** Everything is told that was so when the stream was opened. */
  readonly isComplete: boolean;
  readonly interests: readonly Interest[];
  /** Views of the frame's bytes. */
  readonly messages: readonly Published[];
}

const reader = (bytes: Buffer, what: string): ByteReader => new ByteReader(bytes, what, MalformedMessageFrameError);

/** What a stream begins with. */
export function encodeHeader({ life, ordinal }: StreamHeader): Buffer {
  return new ByteWriter(13).u8(VERSION).u53(life).u32(ordinal).finish();
}

/** @throws MalformedMessageFrameError */
export function decodeHeader(bytes: Buffer): StreamHeader {
  const from = reader(bytes, 'the header of a stream of messages');
  checkVersion(from.u8());
  const header = { life: from.u53(), ordinal: from.u32() };
  checkEnd(from);
  return header;
}

/** An item of a frame. It is the same for all nodes that it goes to. */
export function encodeMessage({ isShard, channel, message }: Published): Buffer {
  return new ByteWriter(ITEM_BYTES + channel.length + message.length)
    .u8(isShard ? SHARD_MESSAGE : CHANNEL_MESSAGE)
    .bytes(channel)
    .bytes(message)
    .finish();
}

/** Bytes that an interest takes in a frame. */
export const interestBytes = (key: string): number => ITEM_BYTES + key.length;

/** What a frame is made of, on the sending side. */
export interface FrameParts extends Pick<MessageFrame, 'number' | 'isComplete' | 'interests'> {
  /** From `encodeMessage`. */
  readonly messages: readonly Buffer[];
}

/** What one turn sends to one node. */
export function encodeFrame({ number, isComplete, interests, messages }: FrameParts): Buffer {
  let bytes = FRAME_HEADER_BYTES;
  for (const { key } of interests) bytes += interestBytes(key);
  for (const message of messages) bytes += message.length;
  const writer = new ByteWriter(bytes);
  writer
    .u8(FRAME_MAGIC)
    .u8(isComplete ? COMPLETE : 0)
    .u53(number);
  for (const { scope, key, clients } of interests) {
    writer.u8(INTEREST_CODES[scope]).bytes(Buffer.from(key, 'latin1')).u32(clients);
  }
  for (const message of messages) writer.raw(message);
  return writer.finish();
}

/** @throws MalformedMessageFrameError */
export function decodeFrame(bytes: Buffer): MessageFrame {
  const from = reader(bytes, 'a frame of messages');
  if (from.u8() !== FRAME_MAGIC) throw new MalformedMessageFrameError('these bytes are no frame of messages');
  const flags = from.u8();
  if (flags > COMPLETE) throw new MalformedMessageFrameError(`a frame of messages has the flags ${flags}`);
  const number = from.u53();
  const interests: Interest[] = [];
  const messages: Published[] = [];
  while (!from.isAtEnd) {
    const code = from.u8();
    const scope = SCOPE_BY_CODE[code];
    if (scope !== undefined) {
      interests.push({ scope, key: from.view().toString('latin1'), clients: from.u32() });
    } else if (code === CHANNEL_MESSAGE || code === SHARD_MESSAGE) {
      messages.push({ isShard: code === SHARD_MESSAGE, channel: from.view(), message: from.view() });
    } else {
      throw new MalformedMessageFrameError(`an item of a frame of messages is of kind ${code}`);
    }
  }
  return { number, isComplete: flags === COMPLETE, interests, messages };
}

/** @param number of the last frame that was taken in */
export function encodeAnswer(number: number): Buffer {
  return new ByteWriter(9).u8(ANSWER_MAGIC).u53(number).finish();
}

/** @throws MalformedMessageFrameError */
export function decodeAnswer(bytes: Buffer): number {
  const from = reader(bytes, 'an answer to a frame of messages');
  if (from.u8() !== ANSWER_MAGIC) throw new MalformedMessageFrameError('these bytes answer no frame of messages');
  const number = from.u53();
  checkEnd(from);
  return number;
}

/** A message on its way to the leader of its slot's group. */
export function encodeShardMessage(channel: Buffer, message: Buffer): Buffer {
  return new ByteWriter(ITEM_BYTES + channel.length + message.length)
    .u8(VERSION)
    .bytes(channel)
    .bytes(message)
    .finish();
}

/** @throws MalformedMessageFrameError */
export function decodeShardMessage(bytes: Buffer): { readonly channel: Buffer; readonly message: Buffer } {
  const from = reader(bytes, 'a message to a shard channel');
  checkVersion(from.u8());
  const published = { channel: from.view(), message: from.view() };
  checkEnd(from);
  return published;
}

/** @param clients that it went to */
export const encodeShardAnswer = (clients: number): Buffer => new ByteWriter(4).u32(clients).finish();

/** @throws MalformedMessageFrameError */
export function decodeShardAnswer(bytes: Buffer): number {
  const from = reader(bytes, 'the answer to a message to a shard channel');
  const clients = from.u32();
  checkEnd(from);
  return clients;
}

function checkVersion(version: number): void {
  if (version !== VERSION) throw new MalformedMessageFrameError(`version ${version} of messages, expected ${VERSION}`);
}

function checkEnd(from: ByteReader): void {
  if (!from.isAtEnd) throw new MalformedMessageFrameError('bytes are left over');
}
