/**
 * Bytes of the entries by which ranges travel between groups. See entry.ts for the conventions.
 *
 *   SPAN    := commitTs u64, command, [activate: gcThreshold u64, imports u64]
 *   IMPORT  := job u64, attempt u32, seq u64, bookmark, count u32, version*, [count u32, side*, [follows]]
 *   side    := key, name, isSet u8, [value]
 *   version := key, commitTs u64, kind u8 (0 tombstone, 1 value, 2 value with expiry), [value], [expireTs u64]
 *   command, bookmark, follows, key, value := length u32, bytes; a command is in the codec of the span table
 */
import { decodeSpanCommand, encodeSpanCommand, type SpanCommand } from '../../distribution/index.ts';
import type { HlcTimestamp } from '../../platform/index.ts';
import type { ExportedVersion } from '../../store/index.ts';
import { CorruptEntryError, type ImportRequest, type SideChange } from '../contract/index.ts';
import { ABSENT, CODEC, type EntryReader, Opcode } from './entry.ts';

const VersionKind = { Tombstone: 0, Value: 1, ExpiringValue: 2 } as const;

/** A span command on its way through the log. */
export interface SpanEntry {
  readonly commitTs: HlcTimestamp;
  readonly command: SpanCommand;
  /** Of an `activate`: what the destination's GC threshold rises to, and the imports that must have been applied; else 0. */
  readonly gcThreshold: HlcTimestamp;
  readonly imports: number;
}

/** SPAN: changes what the group owns. `gcThreshold` and `imports` travel with an `activate` only. */
export function encodeSpan(
  commitTs: HlcTimestamp,
  command: SpanCommand,
  gcThreshold: HlcTimestamp = ABSENT,
  imports = 0,
): Buffer {
  const body = encodeSpanCommand(command);
  const isActivate = command.kind === 'activate';
  const buffer = Buffer.allocUnsafe(2 + 8 + 4 + body.length + (isActivate ? 16 : 0));
  buffer[0] = Opcode.Span;
  buffer[1] = CODEC;
  let offset = buffer.writeBigUInt64BE(commitTs, 2);
  offset = buffer.writeUInt32BE(body.length, offset);
  offset += body.copy(buffer, offset);
  if (isActivate) {
    offset = buffer.writeBigUInt64BE(gcThreshold, offset);
    buffer.writeBigUInt64BE(BigInt(imports), offset);
  }
  return buffer;
}

/** Reads the body of a SPAN entry, leaving the reader at its end. @throws CorruptEntryError */
export function readSpan(reader: EntryReader): SpanEntry {
  const commitTs = reader.timestamp();
  const command = readCommand(reader.view());
  const isActivate = command.kind === 'activate';
  const gcThreshold = isActivate ? reader.timestamp() : ABSENT;
  const imports = isActivate ? reader.u53() : 0;
  reader.end();
  return { commitTs, command, gcThreshold, imports };
}

function readCommand(body: Buffer): SpanCommand {
  try {
    return decodeSpanCommand(body);
  } catch (error) {
    throw new CorruptEntryError('an entry holds no span command that this version knows', { cause: error });
  }
}

/** Size of one version in an IMPORT. */
const versionBytes = ({ key, value, expireTs }: ExportedVersion): number =>
  4 + key.length + 8 + 1 + (value === undefined ? 0 : 4 + value.length + (expireTs === ABSENT ? 0 : 8));

/** IMPORT: versions of a range that is on its way to the group, at their own timestamps. */
export function encodeImport({ job, attempt, seq, bookmark, follows, versions, sides = [] }: ImportRequest): Buffer {
  const hasSides = sides.length > 0 || follows !== undefined;
  let size = 2 + 8 + 4 + 8 + 4 + bookmark.length + 4;
  for (const version of versions) size += versionBytes(version);
  if (hasSides) size += 4;
  if (follows !== undefined) size += 4 + follows.length;
  for (const { key, name, value } of sides)
    size += 9 + key.length + name.length + (value === undefined ? 0 : 4 + value.length);
  const buffer = Buffer.allocUnsafe(size);
  buffer[0] = Opcode.Import;
  buffer[1] = CODEC;
  let offset = buffer.writeBigUInt64BE(BigInt(job), 2);
  offset = buffer.writeUInt32BE(attempt, offset);
  offset = buffer.writeBigUInt64BE(BigInt(seq), offset);
  offset = writeBytes(buffer, bookmark, offset);
  offset = buffer.writeUInt32BE(versions.length, offset);
  for (const { key, commitTs, expireTs, value } of versions) {
    offset = writeBytes(buffer, key, offset);
    offset = buffer.writeBigUInt64BE(commitTs, offset);
    if (value === undefined) {
      offset = buffer.writeUInt8(VersionKind.Tombstone, offset);
      continue;
    }
    offset = buffer.writeUInt8(expireTs === ABSENT ? VersionKind.Value : VersionKind.ExpiringValue, offset);
    offset = writeBytes(buffer, value, offset);
    if (expireTs !== ABSENT) offset = buffer.writeBigUInt64BE(expireTs, offset);
  }
  if (hasSides) offset = buffer.writeUInt32BE(sides.length, offset);
  for (const { key, name, value } of sides) {
    offset = writeBytes(buffer, name, writeBytes(buffer, key, offset));
    offset = buffer.writeUInt8(value === undefined ? 0 : 1, offset);
    if (value !== undefined) offset = writeBytes(buffer, value, offset);
  }
  if (follows !== undefined) writeBytes(buffer, follows, offset);
  return buffer;
}

function writeBytes(buffer: Buffer, bytes: Buffer, at: number): number {
  const offset = buffer.writeUInt32BE(bytes.length, at);
  return offset + bytes.copy(buffer, offset);
}

/** Reads the body of an IMPORT entry, leaving the reader at its end. @throws CorruptEntryError */
export function readImport(reader: EntryReader): ImportRequest {
  const job = reader.u53();
  const attempt = reader.u32();
  const seq = reader.u53();
  const bookmark = reader.bytes();
  const versions: ExportedVersion[] = [];
  for (let left = reader.u32(); left > 0; left--) versions.push(readVersion(reader));
  if (reader.isAtEnd) return { job, attempt, seq, bookmark, versions };
  const sides: SideChange[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const key = reader.view();
    const name = reader.view();
    if (name.length === 0) throw new CorruptEntryError('an import holds a side row without a name');
    sides.push({ key, name, value: reader.u8() === 0 ? undefined : reader.view() });
  }
  const request = { job, attempt, seq, bookmark, versions, sides };
  if (reader.isAtEnd) return request;
  const follows = reader.view();
  reader.end();
  return { ...request, follows };
}

function readVersion(reader: EntryReader): ExportedVersion {
  const key = reader.view();
  const commitTs = reader.timestamp();
  const kind = reader.u8();
  switch (kind) {
    case VersionKind.Tombstone:
      return { key, commitTs, expireTs: ABSENT, value: undefined };
    case VersionKind.Value:
      return { key, commitTs, expireTs: ABSENT, value: reader.view() };
    case VersionKind.ExpiringValue: {
      const value = reader.view();
      return { key, commitTs, expireTs: reader.timestamp(), value };
    }
    default:
      throw new CorruptEntryError(`an import has unknown version kind ${kind}`);
  }
}
