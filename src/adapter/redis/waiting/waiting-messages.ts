/**
 * What the node of a client and the leader of a group say to each other about a command that waits. The leader keeps it; the node asks what has become
 * of it, again and again, and each question stays open until there is something to say or a while has passed.
 *
 * Layout (integers big endian, `bytes` is u32 length + bytes): u8 format, u8 kind, the waiter (u16 node, 8 bytes life, u32 serial), then by kind.
 */
import { decodeError, encodeError, type KvService } from '../../../kv/index.ts';
import { ByteReader, ByteWriter, KvorumError, type Millis, type NodeId, nodeId } from '../../../platform/index.ts';
import { RedisError } from '../protocol/index.ts';
import type { WaitMode, WaitTerms } from './waiting-operation.ts';

/** The service name under which commands that wait are forwarded. */
export const WAITING_SERVICE = 'redis.waiting';

/** Raised when a layout below changes; a leader refuses what it does not know. */
const FORMAT = 1;

/** Wire values: never renumber. */
const Kind = { Begin: 1, Ask: 2, End: 3 } as const;
const MODES: readonly WaitMode[] = ['wait', 'notice', 'try'];
const Status = { Reply: 0, Waiting: 1, Nothing: 2, Ended: 3, Returned: 4, NotKnown: 5 } as const;

const LIFE_BYTES = 8;
const MAX_WAITED_MS: Millis = 0xffff_ffff;

/** Names a command that waits, among all of all nodes. */
export interface WaiterId {
  readonly node: NodeId;
  /** Drawn at random when the node started. */
  readonly life: Buffer;
  readonly serial: number;
}

/** What a leader is told. */
export type WaitMessage =
  /** A command comes. @property batch it alone, as forwarded commands travel */
  | { readonly kind: 'begin'; readonly id: WaiterId; readonly terms: WaitTerms; readonly batch: Buffer }
  /** What has become of it? */
  | { readonly kind: 'ask'; readonly id: WaiterId }
  /** It is not wanted any more. */
  | { readonly kind: 'end'; readonly id: WaiterId };

/** What a leader says. */
export type WaitAnswer =
  /** RESP bytes; the command does not wait any more. */
  | { readonly kind: 'reply'; readonly bytes: Buffer }
  /** @property args what it waits with from now on, when that is not what it came with */
  | { readonly kind: 'waiting'; readonly args: readonly Buffer[] | undefined }
  /** It was only tried, and there was nothing. */
  | { readonly kind: 'nothing' }
  /** It waited and was not wanted any more: nothing happened. */
  | { readonly kind: 'ended' }
  /** The group cannot keep it: nothing happened, and it may come again, here or elsewhere. */
  | { readonly kind: 'returned'; readonly error: KvorumError }
  /** This leader has not heard of it, or has forgotten. */
  | { readonly kind: 'notKnown' };

/** Encodes what a leader is told. */
export function encodeWaitMessage(message: WaitMessage): Buffer {
  const writer = new ByteWriter(256);
  const { id } = message;
  const kind = message.kind === 'begin' ? Kind.Begin : message.kind === 'ask' ? Kind.Ask : Kind.End;
  writer.u8(FORMAT).u8(kind).u16(id.node).u64(id.life.readBigUInt64BE(0)).u32(id.serial);
  if (message.kind !== 'begin') return writer.finishView();
  const { terms, batch } = message;
  writer.u8(MODES.indexOf(terms.mode)).u8(terms.hasWaited ? 1 : 0);
  writer.u32(Math.min(MAX_WAITED_MS, Math.max(0, Math.floor(terms.waitedMs))));
  writer.u8(terms.only === undefined ? 0 : 1);
  if (terms.only !== undefined) writeList(writer, terms.only);
  writer.bytes(batch);
  return writer.finishView();
}

/** @throws RedisError for what this node does not know, RangeError when it is cut short */
export function decodeWaitMessage(payload: Buffer): WaitMessage {
  const reader = new ByteReader(payload, 'a message about waiting', RangeError);
  const format = reader.u8();
  if (format !== FORMAT) throw new RedisError(`ERR the leader does not know format ${format} of commands that wait`);
  const kind = reader.u8();
  const node = nodeId(reader.u16());
  const life = Buffer.alloc(LIFE_BYTES);
  life.writeBigUInt64BE(reader.u64());
  const id: WaiterId = { node, life, serial: reader.u32() };
  if (kind === Kind.Ask) return { kind: 'ask', id };
  if (kind === Kind.End) return { kind: 'end', id };
  if (kind !== Kind.Begin)
    throw new RedisError(`ERR the leader does not know message kind ${kind} of commands that wait`);
  const mode = MODES[reader.u8()];
  if (mode === undefined) throw new RangeError('a message about waiting has an unknown mode');
  const hasWaited = reader.u8() === 1;
  const waitedMs = reader.u32();
  const only = reader.u8() === 1 ? readList(reader) : undefined;
  return { kind: 'begin', id, terms: { mode, hasWaited, waitedMs, only }, batch: reader.view() };
}

function writeList(writer: ByteWriter, list: readonly Buffer[]): void {
  writer.u32(list.length);
  for (const one of list) writer.bytes(one);
}

const readList = (reader: ByteReader): Buffer[] => {
  const list: Buffer[] = [];
  for (let left = reader.u32(); left > 0; left--) list.push(reader.view());
  return list;
};

/** Encodes what a leader says. */
export function encodeWaitAnswer(answer: WaitAnswer): Buffer {
  const writer = new ByteWriter(64);
  switch (answer.kind) {
    case 'reply':
      return writer.u8(Status.Reply).bytes(answer.bytes).finishView();
    case 'waiting':
      writer.u8(Status.Waiting).u8(answer.args === undefined ? 0 : 1);
      if (answer.args !== undefined) writeList(writer, answer.args);
      return writer.finishView();
    case 'returned':
      return writer.u8(Status.Returned).bytes(encodeError(answer.error)).finishView();
    case 'nothing':
      return writer.u8(Status.Nothing).finishView();
    case 'ended':
      return writer.u8(Status.Ended).finishView();
    case 'notKnown':
      return writer.u8(Status.NotKnown).finishView();
  }
}

/** @throws RangeError when it is cut short or unknown */
export function decodeWaitAnswer(bytes: Buffer): WaitAnswer {
  const reader = new ByteReader(bytes, 'an answer about waiting', RangeError);
  const status = reader.u8();
  switch (status) {
    case Status.Reply:
      return { kind: 'reply', bytes: reader.view() };
    case Status.Waiting:
      return { kind: 'waiting', args: reader.u8() === 1 ? readList(reader).map((arg) => Buffer.from(arg)) : undefined };
    case Status.Returned: {
      const error = decodeError(reader.view());
      if (error instanceof KvorumError) return { kind: 'returned', error };
      throw new RangeError('an answer about waiting has no known error');
    }
    case Status.Nothing:
      return { kind: 'nothing' };
    case Status.Ended:
      return { kind: 'ended' };
    case Status.NotKnown:
      return { kind: 'notKnown' };
    default:
      throw new RangeError(`an answer about waiting has the unknown status ${status}`);
  }
}

/** What both ends need of the data plane. */
export type WaitingKv = Pick<
  KvService,
  'nodeId' | 'forward' | 'onForward' | 'submit' | 'endWait' | 'suspendWait' | 'onPeerLost'
>;
