/**
 * Values in Redis' file format: all forms that Redis 7.0 writes or reads are read, but for modules, and the hashes of 7.4 whose fields
 * expire and its streams. Each type is written in the form that Redis 7.0 would give it.
 */
import { doubleText } from '../protocol/index.ts';
import { RdbFormatError } from './errors.ts';
import { ListpackWriter, readListpack } from './listpack.ts';
import { readIntset, readZiplist, readZipmap, writeIntset } from './old-forms.ts';
import { type RdbReader, requireDouble } from './rdb-reader.ts';
import type { RdbWriter } from './rdb-writer.ts';
import { type RdbStream, readStream, writeStream } from './streams.ts';

/** First byte of a value. */
export const RdbType = {
  String: 0,
  List: 1,
  Set: 2,
  ZSet: 3,
  Hash: 4,
  ZSet2: 5,
  HashZipmap: 9,
  ListZiplist: 10,
  SetIntset: 11,
  ZSetZiplist: 12,
  HashZiplist: 13,
  ListQuicklist: 14,
  HashListpack: 16,
  StreamListpacks: 15,
  ZSetListpack: 17,
  ListQuicklist2: 18,
  StreamListpacks2: 19,
  SetListpack: 20,
  StreamListpacks3: 21,
  HashMetadata: 24,
  HashListpackEx: 25,
} as const;
export type RdbType = (typeof RdbType)[keyof typeof RdbType];

/** Forms of a node of a list. */
const NodeForm = { Plain: 1, Packed: 2 } as const;
/** Bytes of a node of a list; a value that is longer has one by itself. */
const LIST_NODE_BYTES = 8 * 1024;

/** No field of a hash expires later. */
const MAX_EXPIRY_MS = 2 ** 48 - 2;

export interface RdbField {
  readonly field: Buffer;
  readonly value: Buffer;
  /** Unix milliseconds; undefined is never. */
  readonly expiresMs?: number | undefined;
}

export interface RdbMember {
  readonly member: Buffer;
  readonly score: number;
}

/** A value whatever form it had. */
export type RdbValue =
  | { readonly type: 'string'; readonly bytes: Buffer }
  | { readonly type: 'list'; readonly values: readonly Buffer[] }
  | { readonly type: 'set'; readonly members: readonly Buffer[] }
  | { readonly type: 'hash'; readonly fields: readonly RdbField[] }
  | { readonly type: 'zset'; readonly members: readonly RdbMember[] }
  | RdbStream;

/** A value that is read in parts. */
export interface LargeValue {
  /** All of it was read. */
  readonly isDone: boolean;
  /** Elements that were read and not taken. */
  readonly size: number;
  /** Reads an element, or a node of several. Nothing is kept of one that throws. */
  read(reader: RdbReader): void;
  /** What was read since; undefined when that adds nothing. Something at the end. */
  take(): RdbValue | undefined;
}

/** Reads a value with the byte in front that says what it is. @throws RdbFormatError */
export function readValue(reader: RdbReader): RdbValue {
  const type = reader.u8();
  switch (type) {
    case RdbType.String:
      return { type: 'string', bytes: reader.string() };
    case RdbType.List:
      return listOf(strings(reader, reader.length()));
    case RdbType.ListZiplist:
      return listOf(readZiplist(reader.string()));
    case RdbType.ListQuicklist:
    case RdbType.ListQuicklist2:
      return listOf(readNodes(reader, type === RdbType.ListQuicklist2));
    case RdbType.Set:
      return setOf(strings(reader, reader.length()));
    case RdbType.SetIntset:
      return setOf(readIntset(reader.string()));
    case RdbType.SetListpack:
      return setOf(readListpack(reader.string()));
    case RdbType.Hash:
      return hashOf(strings(reader, 2 * reader.length()));
    case RdbType.HashZipmap:
      return hashOf(readZipmap(reader.string()));
    case RdbType.HashZiplist:
      return hashOf(readZiplist(reader.string()));
    case RdbType.HashListpack:
      return hashOf(readListpack(reader.string()));
    case RdbType.HashMetadata:
      return readExpiringHash(reader);
    case RdbType.HashListpackEx:
      reader.int64();
      return packedExpiringHash(readListpack(reader.string()));
    case RdbType.ZSet:
    case RdbType.ZSet2:
      return readMembers(reader, type === RdbType.ZSet2);
    case RdbType.ZSetZiplist:
      return zsetOf(readZiplist(reader.string()));
    case RdbType.ZSetListpack:
      return zsetOf(readListpack(reader.string()));
    case RdbType.StreamListpacks:
      return readStream(reader, 1);
    case RdbType.StreamListpacks2:
      return readStream(reader, 2);
    case RdbType.StreamListpacks3:
      return readStream(reader, 3);
    default:
      throw new RdbFormatError(`values of type ${type} are not read here`);
  }
}

function strings(reader: RdbReader, count: number): Buffer[] {
  const all: Buffer[] = [];
  for (let left = count; left > 0; left--) all.push(reader.string());
  return all;
}

function readNodes(reader: RdbReader, isSecond: boolean): Buffer[] {
  const values: Buffer[] = [];
  for (let left = reader.length(); left > 0; left--) for (const value of readNode(reader, isSecond)) values.push(value);
  return values;
}

/** The values in a node of a list. @param isSecond of the second form of lists @throws RdbFormatError */
export function readNode(reader: RdbReader, isSecond: boolean): Buffer[] {
  const form = isSecond ? reader.length() : undefined;
  const bytes = reader.string();
  if (form === NodeForm.Plain) return [bytes];
  if (form === undefined) return readZiplist(bytes);
  if (form === NodeForm.Packed) return readListpack(bytes);
  throw new RdbFormatError(`a node of a list has the form ${form}`);
}

function listOf(values: readonly Buffer[]): RdbValue {
  requireElements(values);
  return { type: 'list', values };
}

function setOf(members: readonly Buffer[]): RdbValue {
  requireElements(members);
  requireDifferent(members, 1);
  return { type: 'set', members };
}

/** @param parts fields and values, one after the other */
function hashOf(parts: readonly Buffer[]): RdbValue {
  requireElements(parts, 2);
  requireDifferent(parts, 2);
  const fields: RdbField[] = [];
  for (let at = 0; at < parts.length; at += 2) fields.push({ field: parts[at]!, value: parts[at + 1]! });
  return { type: 'hash', fields };
}

/** A hash whose fields expire: the first expiry of all, then each field's as a distance from it. */
function readExpiringHash(reader: RdbReader): RdbValue {
  const firstMs = Number(reader.int64());
  const fields: RdbField[] = [];
  for (let left = reader.length(); left > 0; left--) fields.push(readExpiringField(reader, firstMs));
  requireElements(fields);
  requireDifferent(
    fields.map(({ field }) => field),
    1,
  );
  return { type: 'hash', fields };
}

/** A field with its expiry. @param firstMs the first expiry of all fields @throws RdbFormatError */
export function readExpiringField(reader: RdbReader, firstMs: number): RdbField {
  const distance = reader.length();
  const expiresMs = distance === 0 ? undefined : requireTime(firstMs + distance - 1);
  const field = reader.string();
  return { field, value: reader.string(), expiresMs };
}

/** @param parts field, value, expiry, one after the other */
function packedExpiringHash(parts: readonly Buffer[]): RdbValue {
  requireElements(parts, 3);
  requireDifferent(parts, 3);
  const fields: RdbField[] = [];
  for (let at = 0; at < parts.length; at += 3) {
    const ms = requireTime(requireDouble(parts[at + 2]!));
    fields.push({ field: parts[at]!, value: parts[at + 1]!, expiresMs: ms === 0 ? undefined : ms });
  }
  return { type: 'hash', fields };
}

function requireTime(ms: number): number {
  if (!Number.isSafeInteger(ms) || ms < 0 || ms > MAX_EXPIRY_MS) throw new RdbFormatError('a field expires at no time');
  return ms;
}

function readMembers(reader: RdbReader, isBinary: boolean): RdbValue {
  const members: RdbMember[] = [];
  for (let left = reader.length(); left > 0; left--) members.push(readMember(reader, isBinary));
  return checkedMembers(members);
}

/** A member with its score. @param isBinary the score is no text @throws RdbFormatError */
export function readMember(reader: RdbReader, isBinary: boolean): RdbMember {
  const member = reader.string();
  return { member, score: isBinary ? reader.double() : reader.doubleText() };
}

/** @param parts members and scores, one after the other */
function zsetOf(parts: readonly Buffer[]): RdbValue {
  requireElements(parts, 2);
  const members: RdbMember[] = [];
  for (let at = 0; at < parts.length; at += 2) {
    members.push({ member: parts[at]!, score: requireDouble(parts[at + 1]!) });
  }
  return checkedMembers(members);
}

function checkedMembers(members: readonly RdbMember[]): RdbValue {
  requireElements(members);
  requireDifferent(
    members.map(({ member }) => member),
    1,
  );
  if (members.some(({ score }) => Number.isNaN(score))) throw new RdbFormatError('a score is no number');
  return { type: 'zset', members };
}

function requireElements(parts: readonly unknown[], step = 1): void {
  if (parts.length === 0 || parts.length % step !== 0)
    throw new RdbFormatError('a collection has elements, and all of each');
}

/** Whether every `step`-th of the parts is there once. */
function requireDifferent(parts: readonly Buffer[], step: number): void {
  const seen = new Set<string>();
  for (let at = 0; at < parts.length; at += step) seen.add(parts[at]!.toString('latin1'));
  if (seen.size * step !== parts.length) throw new RdbFormatError('an element is there twice');
}

/** How a collection is to be written: as Redis keeps it while it is small, or not. */
export interface WrittenForm {
  readonly isCompact: boolean;
}

/** Writes a value with the byte in front that says what it is. */
export function writeValue(writer: RdbWriter, value: RdbValue, { isCompact }: WrittenForm): void {
  switch (value.type) {
    case 'string':
      writer.u8(RdbType.String);
      writer.string(value.bytes);
      break;
    case 'list':
      writeList(writer, value.values);
      break;
    case 'set':
      writeSet(writer, value.members, isCompact);
      break;
    case 'hash':
      writeHash(writer, value.fields, isCompact);
      break;
    case 'zset':
      writeOrder(writer, value.members, isCompact);
      break;
    case 'stream':
      writer.u8(RdbType.StreamListpacks2);
      writeStream(writer, value);
      break;
  }
}

function writeList(writer: RdbWriter, values: readonly Buffer[]): void {
  const nodes: Buffer[] = [];
  let node = new ListpackWriter();
  for (const value of values) {
    if (!node.isEmpty && node.size + value.length > LIST_NODE_BYTES) {
      nodes.push(node.finish());
      node = new ListpackWriter();
    }
    node.add(value);
  }
  nodes.push(node.finish());
  writer.u8(RdbType.ListQuicklist2);
  writer.length(nodes.length);
  for (const bytes of nodes) {
    writer.length(NodeForm.Packed);
    writer.string(bytes);
  }
}

function writeSet(writer: RdbWriter, members: readonly Buffer[], isCompact: boolean): void {
  if (isCompact) {
    writer.u8(RdbType.SetIntset);
    writer.string(writeIntset(members.map((member) => BigInt(member.toString('latin1')))));
    return;
  }
  writer.u8(RdbType.Set);
  writer.length(members.length);
  for (const member of members) writer.string(member);
}

function writeHash(writer: RdbWriter, fields: readonly RdbField[], isCompact: boolean): void {
  const times = fields.flatMap(({ expiresMs }) => (expiresMs === undefined ? [] : [expiresMs]));
  if (times.length > 0) {
    const firstMs = times.reduce((first, ms) => Math.min(first, ms));
    writer.u8(RdbType.HashMetadata);
    writer.int64(BigInt(firstMs));
    writer.length(fields.length);
    for (const { field, value, expiresMs } of fields) {
      writer.length(expiresMs === undefined ? 0 : expiresMs - firstMs + 1);
      writer.string(field);
      writer.string(value);
    }
  } else if (isCompact) {
    const listpack = new ListpackWriter();
    for (const { field, value } of fields) {
      listpack.add(field);
      listpack.add(value);
    }
    writer.u8(RdbType.HashListpack);
    writer.string(listpack.finish());
  } else {
    writer.u8(RdbType.Hash);
    writer.length(fields.length);
    for (const { field, value } of fields) {
      writer.string(field);
      writer.string(value);
    }
  }
}

function writeOrder(writer: RdbWriter, members: readonly RdbMember[], isCompact: boolean): void {
  if (isCompact) {
    const listpack = new ListpackWriter();
    for (const { member, score } of members) {
      listpack.add(member);
      listpack.add(Buffer.from(scoreText(score)));
    }
    writer.u8(RdbType.ZSetListpack);
    writer.string(listpack.finish());
    return;
  }
  writer.u8(RdbType.ZSet2);
  writer.length(members.length);
  // From the highest to the lowest, as Redis does, for which that is the quicker way back.
  for (let at = members.length - 1; at >= 0; at--) {
    writer.string(members[at]!.member);
    writer.double(members[at]!.score);
  }
}

/** Redis keeps integers up to here as such in its compact form. */
const MAX_KEPT_INTEGER = 2 ** 62;

const scoreText = (score: number): string =>
  Number.isInteger(score) && Math.abs(score) <= MAX_KEPT_INTEGER ? BigInt(score).toString() : doubleText(score);
