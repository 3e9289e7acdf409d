/**
 * Bytes of the questions to an oracle and to groups about their authority, in the forwarded service `oracle`. Big-endian.
 *
 *   request := kind u8, group u32, body
 *   body    := 1 get: count u32, after u64, isShadow u8; 2 status: nothing; 3 fence: a TS_FENCE entry
 *   reply   := 1 get: isGranted u8, granted: last u64 and epoch u64; else: an authority
 *              2 status, 3 fence: isDone u8, maxTs u64, ceilingMs u64, boundMs u64, leadMs i64, an authority
 */
import { type GroupId, groupId, type HlcTimestamp, hlcTimestamp, type Millis } from '../../platform/index.ts';
import { CorruptEntryError } from '../contract/index.ts';
import { decodeAuthority, EntryReader, encodeAuthority, encodeFence, Opcode, readFence } from '../entry/index.ts';
import type { Authority, FenceCommand, FenceReply } from '../time/index.ts';

/** Name of the forwarded service. */
export const ORACLE_SERVICE = 'oracle';

/** What is asked of the leader of `group`. */
export type OracleMessage =
  | {
      readonly kind: 'get';
      readonly group: GroupId;
      readonly count: number;
      /** All of what is granted is larger; 0n asks for nothing. */
      readonly after: HlcTimestamp;
      /** Only to be measured: any group answers, whatever the authority. */
      readonly isShadow: boolean;
    }
  | { readonly kind: 'status'; readonly group: GroupId }
  | { readonly kind: 'fence'; readonly group: GroupId; readonly command: FenceCommand };

/** Consecutive timestamps of which `last` is the largest, or the authority by which somebody else is to be asked. */
export type Grant =
  | { readonly kind: 'granted'; readonly last: HlcTimestamp; readonly epoch: number }
  | { readonly kind: 'refused'; readonly authority: Authority };

/** Where a group stands in time, as its leader says. */
export interface OracleStatus extends FenceReply {
  /** The leader issues timestamps below it; 0 while it may issue none. */
  readonly boundMs: Millis;
  /** By how much the newest timestamp that the leader knows leads its wall clock; negative when it lies behind. */
  readonly leadMs: Millis;
}

const MessageKind = { Get: 1, Status: 2, Fence: 3 } as const;

const head = (kind: number, group: GroupId, bodyBytes: number): Buffer => {
  const buffer = Buffer.allocUnsafe(5 + bodyBytes);
  buffer[0] = kind;
  buffer.writeUInt32BE(group, 1);
  return buffer;
};

/** A request as bytes. */
export function encodeOracleMessage(message: OracleMessage): Buffer {
  switch (message.kind) {
    case 'get': {
      const buffer = head(MessageKind.Get, message.group, 13);
      buffer.writeUInt32BE(message.count, 5);
      buffer.writeBigUInt64BE(message.after, 9);
      buffer[17] = message.isShadow ? 1 : 0;
      return buffer;
    }
    case 'status':
      return head(MessageKind.Status, message.group, 0);
    case 'fence':
      return Buffer.concat([head(MessageKind.Fence, message.group, 0), encodeFence(message.command)]);
  }
}

/** @throws CorruptEntryError for anything that `encodeOracleMessage` cannot have written */
export function decodeOracleMessage(bytes: Buffer): OracleMessage {
  if (bytes.length < 5) throw damaged();
  const group = groupId(bytes.readUInt32BE(1));
  switch (bytes[0]) {
    case MessageKind.Get:
      expectBytes(bytes, 18);
      return {
        kind: 'get',
        group,
        count: bytes.readUInt32BE(5),
        after: hlcTimestamp(bytes.readBigUInt64BE(9)),
        isShadow: bytes[17] === 1,
      };
    case MessageKind.Status:
      expectBytes(bytes, 5);
      return { kind: 'status', group };
    case MessageKind.Fence: {
      const entry = bytes.subarray(5);
      if (entry[0] !== Opcode.TsFence) throw damaged();
      return { kind: 'fence', group, command: readFence(new EntryReader(entry)) };
    }
    default:
      throw damaged();
  }
}

/** The answer to `get` as bytes. */
export function encodeGrant(grant: Grant): Buffer {
  if (grant.kind === 'refused') return Buffer.concat([Buffer.from([0]), encodeAuthority(grant.authority)]);
  const buffer = Buffer.allocUnsafe(17);
  buffer[0] = 1;
  buffer.writeBigUInt64BE(grant.last, 1);
  buffer.writeBigUInt64BE(BigInt(grant.epoch), 9);
  return buffer;
}

/** @throws CorruptEntryError */
export function decodeGrant(bytes: Buffer): Grant {
  if (bytes[0] === 0) return { kind: 'refused', authority: decodeAuthority(bytes.subarray(1)) };
  expectBytes(bytes, 17);
  const last = hlcTimestamp(bytes.readBigUInt64BE(1));
  return { kind: 'granted', last, epoch: Number(bytes.readBigUInt64BE(9)) };
}

const STATUS_BYTES = 33;

/** The answer to `status` and `fence` as bytes. */
export function encodeOracleStatus(status: OracleStatus): Buffer {
  const buffer = Buffer.allocUnsafe(STATUS_BYTES);
  let offset = buffer.writeUInt8(status.isDone ? 1 : 0, 0);
  offset = buffer.writeBigUInt64BE(status.maxTs, offset);
  offset = buffer.writeBigUInt64BE(BigInt(status.ceilingMs), offset);
  offset = buffer.writeBigUInt64BE(BigInt(status.boundMs), offset);
  buffer.writeBigInt64BE(BigInt(status.leadMs), offset);
  return Buffer.concat([buffer, encodeAuthority(status.authority)]);
}

/** @throws CorruptEntryError */
export function decodeOracleStatus(bytes: Buffer): OracleStatus {
  if (bytes.length < STATUS_BYTES) throw damaged();
  return {
    isDone: bytes[0] === 1,
    maxTs: hlcTimestamp(bytes.readBigUInt64BE(1)),
    ceilingMs: Number(bytes.readBigUInt64BE(9)),
    boundMs: Number(bytes.readBigUInt64BE(17)),
    leadMs: Number(bytes.readBigInt64BE(25)),
    authority: decodeAuthority(bytes.subarray(STATUS_BYTES)),
  };
}

function expectBytes(bytes: Buffer, length: number): void {
  if (bytes.length !== length) throw damaged();
}

const damaged = (): CorruptEntryError =>
  new CorruptEntryError('a message of the oracle is damaged or of another version');
