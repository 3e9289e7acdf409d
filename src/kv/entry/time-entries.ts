/**
 * Bytes of the entries that are about time itself, and of what they leave behind. See entry.ts for the conventions.
 *
 *   HLC_LEASE := ceilingMs u64
 *   TS_FENCE  := kind u8 (1 fence, 2 open), epoch u64, [fence: mode u8, oracle u32 | open: floor u64]
 *   authority := epoch u64, mode u8, oracle u32, isOpen u8
 *   mode      := 0 local, 1 bridge, 2 tso
 */
import { groupId, type Millis } from '../../platform/index.ts';
import { CorruptEntryError } from '../contract/index.ts';
import type { Authority, AuthorityMode, FenceCommand } from '../time/index.ts';
import { CODEC, type EntryReader, Opcode } from './entry.ts';

const FenceKind = { Fence: 1, Open: 2 } as const;

/** In the order of their numbers. */
const MODES: readonly AuthorityMode[] = ['local', 'bridge', 'tso'];

/** HLC_LEASE: raises the ceiling below which the group's leader issues timestamps. */
export function encodeLease(ceilingMs: Millis): Buffer {
  const buffer = Buffer.allocUnsafe(10);
  buffer[0] = Opcode.HlcLease;
  buffer[1] = CODEC;
  buffer.writeBigUInt64BE(BigInt(ceilingMs), 2);
  return buffer;
}

/** Reads the body of an HLC_LEASE, leaving the reader at its end. @throws CorruptEntryError */
export function readLease(reader: EntryReader): Millis {
  const ceilingMs = reader.u53();
  reader.end();
  return ceilingMs;
}

/** TS_FENCE: one step of a change of the authority. */
export function encodeFence(command: FenceCommand): Buffer {
  const buffer = Buffer.allocUnsafe(2 + 1 + 8 + (command.kind === 'fence' ? 5 : 8));
  buffer[0] = Opcode.TsFence;
  buffer[1] = CODEC;
  buffer[2] = command.kind === 'fence' ? FenceKind.Fence : FenceKind.Open;
  buffer.writeBigUInt64BE(BigInt(command.epoch), 3);
  if (command.kind === 'fence') {
    buffer[11] = MODES.indexOf(command.mode);
    buffer.writeUInt32BE(command.oracle, 12);
  } else buffer.writeBigUInt64BE(command.floor, 11);
  return buffer;
}

/** Reads the body of a TS_FENCE, leaving the reader at its end. @throws CorruptEntryError */
export function readFence(reader: EntryReader): FenceCommand {
  const kind = reader.u8();
  const epoch = reader.u53();
  let command: FenceCommand;
  if (kind === FenceKind.Fence) {
    const mode = modeOf(reader.u8());
    command = { kind: 'fence', mode, epoch, oracle: groupId(reader.u32()) };
  } else if (kind === FenceKind.Open) command = { kind: 'open', epoch, floor: reader.timestamp() };
  else throw new CorruptEntryError(`an entry has unknown fence kind ${kind}`);
  reader.end();
  return command;
}

function modeOf(number: number): AuthorityMode {
  const mode = MODES[number];
  if (mode === undefined) throw new CorruptEntryError(`an authority has unknown mode ${number}`);
  return mode;
}

const AUTHORITY_BYTES = 14;

/** Value of `MetaName.Authority`, and part of what an oracle answers. */
export function encodeAuthority({ epoch, mode, oracle, isOpen }: Authority): Buffer {
  const buffer = Buffer.allocUnsafe(AUTHORITY_BYTES);
  let offset = buffer.writeBigUInt64BE(BigInt(epoch), 0);
  offset = buffer.writeUInt8(MODES.indexOf(mode), offset);
  offset = buffer.writeUInt32BE(oracle, offset);
  buffer.writeUInt8(isOpen ? 1 : 0, offset);
  return buffer;
}

/** @throws CorruptEntryError */
export function decodeAuthority(buffer: Buffer): Authority {
  if (buffer.length !== AUTHORITY_BYTES || buffer[13]! > 1)
    throw new CorruptEntryError('a stored authority is damaged');
  return {
    epoch: Number(buffer.readBigUInt64BE(0)),
    mode: modeOf(buffer[8]!),
    oracle: groupId(buffer.readUInt32BE(9)),
    isOpen: buffer[13] === 1,
  };
}
