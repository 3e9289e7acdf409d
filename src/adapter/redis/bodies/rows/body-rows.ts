/**
 * The sub-rows of one incarnation of a body.
 *
 *   'e'  an element by its name, of at most 256 bytes
 *   'd'  an element by the SHA-256 of its name, for longer names: keys of rows stay short
 *   'p'  page of a roster by number
 *   't'  page of a tree by number
 *   'n'  what a page of a tree counts, by the page's number
 *   'o'  bytes that are too long for where they belong, by number
 *   'c'  chunk of a string by number
 *   'x'  alarm: its own expiry calls for work on the body
 *   'g'  consumer group of a stream, by number
 *   'k'  consumer of a group, by number
 *   'l'  what a stream has left behind, to be deleted in slices, by number
 *
 * Numbers take 6 bytes, big endian. Those of trees, of long bytes and of parts of streams are drawn from one counter and never used again in an incarnation.
 */
import { createHash } from 'node:crypto';
import { type HlcTimestamp, NEVER } from '../../../../platform/index.ts';
import { INCARNATION_BYTES } from '../../keys/index.ts';
import type { Rows } from './access.ts';

/** First byte behind the head's key. Disk values: never change. */
export const RowKind = {
  Element: 0x65,
  DigestedElement: 0x64,
  RosterPage: 0x70,
  TreePage: 0x74,
  TreeCounts: 0x6e,
  Long: 0x6f,
  Chunk: 0x63,
  Alarm: 0x78,
  Group: 0x67,
  Consumer: 0x6b,
  Leftover: 0x6c,
} as const;
export type RowKind = (typeof RowKind)[keyof typeof RowKind];

/** All of them. */
export const ROW_KINDS: readonly number[] = Object.values(RowKind);

/** Longest name that is part of its row's key. Part of the format: never change. */
const NAME_BYTES_IN_KEY = 256;
const NUMBER_BYTES = 6;

/** Reads and writes the sub-rows of one incarnation, and remembers whether any was written. */
export class BodyRows {
  /** True once a row was written or deleted. */
  isChanged = false;
  readonly headKey: Buffer;
  readonly incarnation: Buffer;
  private readonly view: Rows;
  /** The head's key, room for the kind, the incarnation. */
  private readonly prefix: Buffer;

  constructor(view: Rows, headKey: Buffer, incarnation: Buffer) {
    this.view = view;
    this.headKey = headKey;
    this.incarnation = incarnation;
    this.prefix = Buffer.concat([headKey, Buffer.of(0), incarnation]);
  }

  /** Key of an element's row. */
  elementKey(name: Buffer): Buffer {
    return name.length <= NAME_BYTES_IN_KEY
      ? this.key(RowKind.Element, name)
      : this.key(RowKind.DigestedElement, createHash('sha256').update(name).digest());
  }

  /** Key of a row that is found by its number. */
  numberedKey(kind: RowKind, number: number): Buffer {
    const { prefix } = this;
    const key = Buffer.allocUnsafe(prefix.length + NUMBER_BYTES);
    prefix.copy(key);
    key[prefix.length - INCARNATION_BYTES - 1] = kind;
    key.writeUIntBE(number, prefix.length, NUMBER_BYTES);
    return key;
  }

  get(key: Buffer): Buffer | undefined {
    return this.view.get(key)?.value;
  }

  /** Whether rows come from afar, and it is worth finding out beforehand which ones will be read. */
  get isAfar(): boolean {
    return this.view.prefetch !== undefined && this.view.hasWholeObjects !== true;
  }

  /** Says that rows are about to be read, so that they come together where they come from afar. */
  prefetch(keys: () => readonly Buffer[]): void {
    if (this.isAfar) this.view.prefetch?.(keys());
  }

  /** Neither buffer must be modified afterwards. @param expireTs of the row: only an alarm has one, because bodies expire with their heads */
  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp = NEVER): void {
    this.isChanged = true;
    this.view.put(key, value, expireTs);
  }

  delete(key: Buffer): void {
    this.isChanged = true;
    this.view.delete(key);
  }

  /** The key here that a row of another body has there. @param headKey of the other body */
  keyLike(headKey: Buffer, key: Buffer): Buffer {
    return this.key(key[headKey.length] as RowKind, key.subarray(headKey.length + 1 + INCARNATION_BYTES));
  }

  private key(kind: RowKind, rest: Buffer): Buffer {
    const { prefix } = this;
    const key = Buffer.allocUnsafe(prefix.length + rest.length);
    prefix.copy(key);
    key[prefix.length - INCARNATION_BYTES - 1] = kind;
    rest.copy(key, prefix.length);
    return key;
  }
}

/** The only alarm of a body. */
const ALARM_NUMBER = 0;
/** A reader refuses nothing here: an alarm that is not understood is deleted. */
export const ALARM_VALUE: Buffer = Buffer.of(0);

/** Key of the row whose expiry is the alarm. */
export const alarmKeyOf = (rows: BodyRows): Buffer => rows.numberedKey(RowKind.Alarm, ALARM_NUMBER);
