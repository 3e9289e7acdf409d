/**
 * Bytes of closed timestamps between two nodes. Big-endian.
 *
 *   notices  := 1 u8, hasHeard u8, heard f64, count u32, notice*
 *   notice   := group u32, term u64, closedTs u64, appliedIndex u64, ageMs f64
 *   received := 2 u8, nowMs f64
 *
 * `heard` is the `nowMs` of the receiver's last answer: notices were made after it, in the receiver's own elapsed time.
 */
import { groupId, hlcTimestamp, type Millis } from '../../platform/index.ts';
import { type ClosedNotice, CorruptEntryError } from '../contract/index.ts';

export type ClosedMessage =
  | { readonly kind: 'notices'; readonly heardMs: Millis | undefined; readonly notices: readonly ClosedNotice[] }
  | { readonly kind: 'received'; readonly nowMs: Millis };

const NOTICES = 1;
const RECEIVED = 2;
const HEAD_BYTES = 14;
const NOTICE_BYTES = 36;

/** A message as bytes. */
export function encodeClosed(message: ClosedMessage): Buffer {
  if (message.kind === 'received') {
    const bytes = Buffer.allocUnsafe(9);
    bytes[0] = RECEIVED;
    bytes.writeDoubleBE(message.nowMs, 1);
    return bytes;
  }
  const { heardMs, notices } = message;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + notices.length * NOTICE_BYTES);
  bytes[0] = NOTICES;
  bytes[1] = heardMs === undefined ? 0 : 1;
  bytes.writeDoubleBE(heardMs ?? 0, 2);
  let offset = bytes.writeUInt32BE(notices.length, 10);
  for (const { group, term, closedTs, appliedIndex, ageMs } of notices) {
    offset = bytes.writeUInt32BE(group, offset);
    offset = bytes.writeBigUInt64BE(BigInt(term), offset);
    offset = bytes.writeBigUInt64BE(closedTs, offset);
    offset = bytes.writeBigUInt64BE(BigInt(appliedIndex), offset);
    offset = bytes.writeDoubleBE(ageMs, offset);
  }
  return bytes;
}

/** @throws CorruptEntryError for anything that `encodeClosed` cannot have written */
export function decodeClosed(bytes: Buffer): ClosedMessage {
  if (bytes[0] === RECEIVED && bytes.length === 9) return { kind: 'received', nowMs: bytes.readDoubleBE(1) };
  if (bytes[0] !== NOTICES || bytes.length < HEAD_BYTES) throw damaged();
  const count = bytes.readUInt32BE(10);
  if (bytes.length !== HEAD_BYTES + count * NOTICE_BYTES) throw damaged();
  const notices: ClosedNotice[] = [];
  for (let offset = HEAD_BYTES; offset < bytes.length; offset += NOTICE_BYTES) {
    notices.push({
      group: groupId(bytes.readUInt32BE(offset)),
      term: Number(bytes.readBigUInt64BE(offset + 4)),
      closedTs: hlcTimestamp(bytes.readBigUInt64BE(offset + 12)),
      appliedIndex: Number(bytes.readBigUInt64BE(offset + 20)),
      ageMs: bytes.readDoubleBE(offset + 28),
    });
  }
  return { kind: 'notices', heardMs: bytes[1] === 1 ? bytes.readDoubleBE(2) : undefined, notices };
}

const damaged = (): CorruptEntryError =>
  new CorruptEntryError('a message about closed timestamps is damaged or of another version');
