/**
 * Bytes of the two-way streams of kind `redis-changes`. A node whose clients keep keys opens one to each other node, and is told there which keys
 * were changed in groups that the other node leads. Numbers are big-endian.
 *
 *   header      := version u8, flags u8, probe u64
 *   changes     := magic u8 (0x43), flags u8, number u64, probe u64, changed*
 *   changed     := key (u32 length), client u64
 *   answer      := magic u8 (0x41), flags u8, number u64, probe u64
 *
 * Flags of the header and of an answer: bit 0, some client does not want to hear of its own changes, so that writers have to be noted. Of changes:
 * bit 0, whatever was read before may have changed; bit 1, writers are noted. `client` is the number of the client that alone has changed the key, 0
 * when nobody knows of one. An answer has the number of the last changes that were taken in, 0 before the first. The probe of a header or an answer comes
 * back with the changes, so that the node that is told knows how late it is told.
 */
import { ByteReader, ByteWriter, type ErrorDisposition, KvorumError } from '../../../platform/index.ts';

/** Kind of the two-way streams. */
export const CHANGE_STREAM = 'redis-changes';

const VERSION = 1;
const CHANGES_MAGIC = 0x43;
const ANSWER_MAGIC = 0x41;
const HEADER_BYTES = 10;
const FRAME_BYTES = 18;
/** Beside the bytes of a key. */
const CHANGED_BYTES = 12;
const WANTS_WRITERS = 1;
const EVERYTHING = 1;
const NOTES_WRITERS = 2;

/** Bytes of another node's changes that no program of this release writes. */
export class MalformedChangesError extends KvorumError {
  readonly code = 'MALFORMED_CHANGES';
  readonly disposition: ErrorDisposition = 'final';
}

/** A key that was changed. */
export interface ChangedKey {
  /** The user's key as latin1 text. */
  readonly key: string;
  /** The client that alone has changed it; 0 when nobody knows of one. */
  readonly client: number;
}

/** What one turn tells one node. */
export interface ChangesFrame {
  readonly number: number;
  /** Whatever was read before may have changed. */
  readonly isEverything: boolean;
  readonly notesWriters: boolean;
  /** The last one that has arrived. */
  readonly probe: number;
  readonly keys: readonly ChangedKey[];
}

/** What the node that is told begins with. */
export interface ChangesHeader {
  readonly wantsWriters: boolean;
  /** Rises. */
  readonly probe: number;
}

/** What it says back. */
export interface ChangesAnswer extends ChangesHeader {
  readonly number: number;
}

const reader = (bytes: Buffer, what: string): ByteReader => new ByteReader(bytes, what, MalformedChangesError);

/** What a stream begins with. */
export const encodeHeader = ({ wantsWriters, probe }: ChangesHeader): Buffer =>
  new ByteWriter(HEADER_BYTES)
    .u8(VERSION)
    .u8(wantsWriters ? WANTS_WRITERS : 0)
    .u53(probe)
    .finish();

/** @throws MalformedChangesError */
export function decodeHeader(bytes: Buffer): ChangesHeader {
  const from = reader(bytes, 'the header of a stream of changes');
  const version = from.u8();
  if (version !== VERSION) throw new MalformedChangesError(`version ${version} of changes, expected ${VERSION}`);
  const header = { wantsWriters: flagsUpTo(from, WANTS_WRITERS) === WANTS_WRITERS, probe: from.u53() };
  checkEnd(from);
  return header;
}

/** Bytes that a key takes. */
export const changedBytes = ({ key }: ChangedKey): number => CHANGED_BYTES + key.length;

/** What one turn tells one node. */
export function encodeChanges({ number, isEverything, notesWriters, probe, keys }: ChangesFrame): Buffer {
  const bytes = keys.reduce((sum, one) => sum + changedBytes(one), FRAME_BYTES);
  const writer = new ByteWriter(bytes);
  writer
    .u8(CHANGES_MAGIC)
    .u8((isEverything ? EVERYTHING : 0) | (notesWriters ? NOTES_WRITERS : 0))
    .u53(number)
    .u53(probe);
  for (const { key, client } of keys) writer.bytes(Buffer.from(key, 'latin1')).u53(client);
  return writer.finish();
}

/** @throws MalformedChangesError */
export function decodeChanges(bytes: Buffer): ChangesFrame {
  const from = reader(bytes, 'changes of keys');
  if (from.u8() !== CHANGES_MAGIC) throw new MalformedChangesError('these bytes are no changes of keys');
  const flags = flagsUpTo(from, EVERYTHING | NOTES_WRITERS);
  const number = from.u53();
  const probe = from.u53();
  const keys: ChangedKey[] = [];
  while (!from.isAtEnd) keys.push({ key: from.view().toString('latin1'), client: from.u53() });
  return {
    number,
    isEverything: (flags & EVERYTHING) !== 0,
    notesWriters: (flags & NOTES_WRITERS) !== 0,
    probe,
    keys,
  };
}

export const encodeAnswer = ({ number, wantsWriters, probe }: ChangesAnswer): Buffer =>
  new ByteWriter(FRAME_BYTES)
    .u8(ANSWER_MAGIC)
    .u8(wantsWriters ? WANTS_WRITERS : 0)
    .u53(number)
    .u53(probe)
    .finish();

/** @throws MalformedChangesError */
export function decodeAnswer(bytes: Buffer): ChangesAnswer {
  const from = reader(bytes, 'an answer to changes of keys');
  if (from.u8() !== ANSWER_MAGIC) throw new MalformedChangesError('these bytes answer no changes of keys');
  const flags = flagsUpTo(from, WANTS_WRITERS);
  const answer = { number: from.u53(), wantsWriters: flags === WANTS_WRITERS, probe: from.u53() };
  checkEnd(from);
  return answer;
}

function flagsUpTo(from: ByteReader, most: number): number {
  const flags = from.u8();
  if (flags > most) throw new MalformedChangesError(`changes of keys have the flags ${flags}`);
  return flags;
}

function checkEnd(from: ByteReader): void {
  if (!from.isAtEnd) throw new MalformedChangesError('bytes are left over');
}
