/** What a node and the thread that evaluates for it say to each other. Rows and replies change hands without a copy. */
import type { ReadRow } from '../../../kv/index.ts';
import { type HlcTimestamp, hlcTimestamp } from '../../../platform/index.ts';
import type { RowsCopy } from '../bodies/index.ts';
import type { Effect } from '../command/index.ts';

/** To the thread. */
export type EvaluationOrder =
  /** A request as it would be forwarded, at a moment. */
  | {
      readonly kind: 'begin';
      readonly id: number;
      readonly ts: bigint;
      readonly request: Uint8Array;
      readonly maxStringBytes: number;
      /** For one that writes a value aside; undefined: it only reads. */
      readonly aside: { readonly mayCreateBodies: boolean } | undefined;
    }
  /** Heads for one that writes aside: those that are there, packed, and those that are not. */
  | { readonly kind: 'heads'; readonly id: number; readonly page: Uint8Array; readonly absent: readonly Uint8Array[] }
  /** Packed, see `packRows`. */
  | { readonly kind: 'rows'; readonly id: number; readonly page: Uint8Array }
  /** Keys that were looked for, packed, see `packKeys`: those that have a row have been sent. */
  | { readonly kind: 'keys'; readonly id: number; readonly keys: Uint8Array }
  /** Heads of objects whose rows have been sent, packed. */
  | { readonly kind: 'objects'; readonly id: number; readonly heads: Uint8Array }
  | { readonly kind: 'evaluate'; readonly id: number }
  | { readonly kind: 'end'; readonly id: number };

/** From the thread, one for each `evaluate`. */
export type EvaluationReport =
  /** RESP bytes, of an error too. */
  | { readonly kind: 'reply'; readonly id: number; readonly reply: Uint8Array; readonly effects: readonly Effect[] }
  | { readonly kind: 'missing'; readonly id: number; readonly keys: readonly Uint8Array[] }
  /** It needs what no group has. */
  | { readonly kind: 'alone'; readonly id: number }
  /** The rows of a body, which one that writes aside needs. */
  | {
      readonly kind: 'missingBody';
      readonly id: number;
      readonly head: Uint8Array;
      readonly incarnation: Uint8Array;
    }
  /** What is to be written aside. */
  | {
      readonly kind: 'result';
      readonly id: number;
      readonly reply: Uint8Array;
      readonly copies: readonly { readonly [name in keyof RowsCopy]: Uint8Array }[];
      /** Packed. */
      readonly fresh: readonly Uint8Array[];
      readonly written: Uint8Array;
      readonly deleted: readonly Uint8Array[];
      readonly effects: readonly Effect[];
    }
  /** Something that no layer declares. */
  | { readonly kind: 'failed'; readonly id: number; readonly message: string };

/** The same bytes as a buffer. */
export const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Bytes of a copy that may change hands: none of them are anybody else's. */
export function ownBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const KEY_HEADER_BYTES = 4;

/** For each key: its length (u32), its bytes. */
export function packKeys(keys: readonly Buffer[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(keys.reduce((sum, { length }) => sum + KEY_HEADER_BYTES + length, 0));
  const page = bufferOf(bytes);
  let at = 0;
  for (const key of keys) {
    page.writeUInt32BE(key.length, at);
    at += KEY_HEADER_BYTES + key.copy(page, at + KEY_HEADER_BYTES);
  }
  return bytes;
}

/** The keys that `packKeys` was given. */
export function* unpackKeys(bytes: Uint8Array): Generator<Buffer> {
  const page = bufferOf(bytes);
  for (let at = 0; at < page.length; ) {
    const start = at + KEY_HEADER_BYTES;
    at = start + page.readUInt32BE(at);
    yield page.subarray(start, at);
  }
}

const ROW_HEADER_BYTES = 24;

/** For each row: length of the key (u32), length of the value (u32), when it expires (u64), when it was written (u64), key, value. */
export function packRows(rows: readonly ReadRow[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const { key, value } of rows) length += ROW_HEADER_BYTES + key.length + value.length;
  const bytes = new Uint8Array(length);
  // Of a million rows: a buffer's own methods take three times as long.
  const page = new DataView(bytes.buffer);
  let at = 0;
  for (const { key, value, expireTs, commitTs } of rows) {
    page.setUint32(at, key.length);
    page.setUint32(at + 4, value.length);
    page.setBigUint64(at + 8, expireTs);
    page.setBigUint64(at + 16, commitTs);
    bytes.set(key, at + ROW_HEADER_BYTES);
    bytes.set(value, at + ROW_HEADER_BYTES + key.length);
    at += ROW_HEADER_BYTES + key.length + value.length;
  }
  return bytes;
}

/** A row inside a page, of which nothing is read before it is asked for: there may be a million. */
class PackedRow implements ReadRow {
  private readonly page: Buffer;
  private readonly at: number;

  constructor(page: Buffer, at: number) {
    this.page = page;
    this.at = at;
  }

  private get keyEnd(): number {
    return this.at + ROW_HEADER_BYTES + this.page.readUInt32BE(this.at);
  }

  get key(): Buffer {
    return this.page.subarray(this.at + ROW_HEADER_BYTES, this.keyEnd);
  }

  get value(): Buffer {
    const start = this.keyEnd;
    return this.page.subarray(start, start + this.page.readUInt32BE(this.at + 4));
  }

  get expireTs(): HlcTimestamp {
    return hlcTimestamp(this.page.readBigUInt64BE(this.at + 8));
  }

  get commitTs(): HlcTimestamp {
    return hlcTimestamp(this.page.readBigUInt64BE(this.at + 16));
  }

  get end(): number {
    return this.keyEnd + this.page.readUInt32BE(this.at + 4);
  }
}

/** The rows that `packRows` was given. */
export function* unpackRows(bytes: Uint8Array): Generator<ReadRow> {
  const page = bufferOf(bytes);
  for (let at = 0; at < page.length; ) {
    const row = new PackedRow(page, at);
    yield row;
    at = row.end;
  }
}
