/**
 * Bytes of the service `kv` between nodes: a step or a page for the leader of a group, and what it answers. Big-endian,
 * lists with their length first.
 *
 *   request   := codec u8, kind u8, group u32, step | page
 *   step      := conditions, operations, operations
 *   condition := key, comparison u8, target u8, exists u8 | value | version u64
 *   operation := kind u8, key | key, value, ttlMs u64 | key | start, end
 */

import { ByteReader, ByteWriter, type GroupId, groupId } from '../../platform/index.ts';
import {
  CorruptEntryError,
  readRange,
  type ScanPage,
  type ScanRequest,
  type ScanRow,
  writeRange,
} from '../contract/index.ts';
import {
  COMPARISONS,
  type ConditionTarget,
  type KvAnswer,
  type KvCondition,
  type KvOperation,
  type KvResult,
  type KvStep,
} from './operations.ts';

/** Name under which group leaders answer. */
export const KV_SERVICE = 'kv';

const CODEC = 1;
/** Wire values: only ever append. */
const KINDS = ['step', 'page'] as const;
const OPERATIONS = ['get', 'put', 'delete', 'deleteRange'] as const;
const TARGETS = ['exists', 'value', 'version'] as const;

/** One question to a group. */
export type KvMessage =
  | { readonly kind: 'step'; readonly group: GroupId; readonly step: KvStep }
  | { readonly kind: 'page'; readonly group: GroupId; readonly page: ScanRequest };

function writeOperations(writer: ByteWriter, operations: readonly KvOperation[]): void {
  writer.u32(operations.length);
  for (const operation of operations) {
    writer.u8(OPERATIONS.indexOf(operation.kind));
    if (operation.kind === 'deleteRange') {
      writer.bytes(operation.start).bytes(operation.end);
      continue;
    }
    writer.bytes(operation.key);
    if (operation.kind === 'put') writer.bytes(operation.value).u53(operation.ttlMs);
  }
}

function readOperations(reader: ByteReader): KvOperation[] {
  const operations: KvOperation[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const kind = reader.oneOf(OPERATIONS);
    const key = reader.bytes();
    if (kind === 'put') operations.push({ kind, key, value: reader.bytes(), ttlMs: reader.u53() });
    else if (kind === 'deleteRange') operations.push({ kind, start: key, end: reader.bytes() });
    else operations.push({ kind, key });
  }
  return operations;
}

function writeCondition(writer: ByteWriter, { key, comparison, target }: KvCondition): void {
  writer.bytes(key).u8(COMPARISONS.indexOf(comparison)).u8(TARGETS.indexOf(target.kind));
  if (target.kind === 'exists') writer.u8(target.exists ? 1 : 0);
  else if (target.kind === 'value') writer.bytes(target.value);
  else writer.u64(target.version);
}

function readCondition(reader: ByteReader): KvCondition {
  const key = reader.bytes();
  const comparison = reader.oneOf(COMPARISONS);
  return { key, comparison, target: readTarget(reader) };
}

function readTarget(reader: ByteReader): ConditionTarget {
  const kind = reader.oneOf(TARGETS);
  switch (kind) {
    case 'exists':
      return { kind, exists: reader.flag() };
    case 'value':
      return { kind, value: reader.bytes() };
    case 'version':
      return { kind, version: reader.timestamp() };
  }
}

/** Encodes a question. */
export function encodeMessage(message: KvMessage): Buffer {
  const writer = new ByteWriter(128).u8(CODEC).u8(KINDS.indexOf(message.kind)).u32(message.group);
  if (message.kind === 'step') {
    const { conditions, success, failure } = message.step;
    writer.u32(conditions.length);
    for (const condition of conditions) writeCondition(writer, condition);
    writeOperations(writer, success);
    writeOperations(writer, failure);
  } else {
    writeRange(writer, message.page);
  }
  return writer.finish();
}

/** @throws CorruptEntryError for bytes that `encodeMessage` cannot have written */
export function decodeMessage(bytes: Buffer): KvMessage {
  const reader = new ByteReader(bytes, 'a question about keys', CorruptEntryError);
  reader.version(CODEC);
  const kind = reader.oneOf(KINDS);
  const group = groupId(reader.u32());
  let message: KvMessage;
  if (kind === 'step') {
    const conditions: KvCondition[] = [];
    for (let left = reader.u32(); left > 0; left--) conditions.push(readCondition(reader));
    message = { kind, group, step: { conditions, success: readOperations(reader), failure: readOperations(reader) } };
  } else {
    message = { kind, group, page: readRange(reader) };
  }
  reader.end();
  return message;
}

/** Encodes what a step answers. */
export function encodeAnswer({ succeeded, results, ts }: KvAnswer): Buffer {
  const writer = new ByteWriter(128)
    .u8(CODEC)
    .u8(succeeded ? 1 : 0)
    .u64(ts)
    .u32(results.length);
  for (const result of results) {
    writer.u8(OPERATIONS.indexOf(result.kind));
    if (result.kind === 'delete') writer.u8(result.existed ? 1 : 0);
    if (result.kind !== 'get') continue;
    const { value } = result;
    writer.u8(value === undefined ? 0 : 1);
    if (value !== undefined) writer.bytes(value.value).u64(value.version).u53(value.expiresAtMs);
  }
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeAnswer(bytes: Buffer): KvAnswer {
  const reader = new ByteReader(bytes, 'an answer about keys', CorruptEntryError);
  reader.version(CODEC);
  const succeeded = reader.flag();
  const ts = reader.timestamp();
  const results: KvResult[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const kind = reader.oneOf(OPERATIONS);
    if (kind === 'get') {
      const value = reader.flag()
        ? { value: reader.bytes(), version: reader.timestamp(), expiresAtMs: reader.u53() }
        : undefined;
      results.push({ kind, value });
    } else if (kind === 'delete') results.push({ kind, existed: reader.flag() });
    else results.push({ kind });
  }
  reader.end();
  return { succeeded, results, ts };
}

/** Encodes a page. */
export function encodePage({ rows, next, readTs }: ScanPage): Buffer {
  const writer = new ByteWriter(1024)
    .u8(CODEC)
    .optional(next)
    .u64(readTs ?? 0n)
    .u32(rows.length);
  for (const { key, value, commitTs, expireTs } of rows) writer.bytes(key).bytes(value).u64(commitTs).u64(expireTs);
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodePage(bytes: Buffer): ScanPage {
  const reader = new ByteReader(bytes, 'a page of keys', CorruptEntryError);
  reader.version(CODEC);
  const next = reader.optional();
  const readTs = reader.timestamp();
  const rows: ScanRow[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const key = reader.bytes();
    const value = reader.bytes();
    rows.push({ key, value, commitTs: reader.timestamp(), expireTs: reader.timestamp() });
  }
  reader.end();
  return { rows, next, readTs };
}
