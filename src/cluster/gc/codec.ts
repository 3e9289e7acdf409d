/** Bytes of what nodes say about collection: MessagePack, because it is small and rare; and the notes of the safepoint's rounds. */
import { Packr } from 'msgpackr';
import { type GroupId, type HlcTimestamp, hlcTimestamp, KvorumError, NEVER } from '../../platform/index.ts';
import type { Certificate, NodeGcReport, RaiseReply, SafepointNotes } from './types.ts';

/** What a group's leader is asked. */
export type GroupQuestion =
  | { readonly kind: 'certify'; readonly group: GroupId; readonly ts: HlcTimestamp }
  | { readonly kind: 'raise'; readonly group: GroupId; readonly ts: HlcTimestamp };

/** What a given node is asked. */
export type NodeQuestion = { readonly kind: 'report' } | { readonly kind: 'collect' };

export type GcAnswer = Certificate | RaiseReply | NodeGcReport | undefined;

/** Somebody said something that cannot be read: a node of another version, or damage. */
export class GcMessageError extends KvorumError {
  readonly code = 'GC_MESSAGE';
  readonly disposition = 'final';
}

/** Holders that are written down; the rest is counted in the last one. */
export const MAX_HOLDERS = 16;
/** Groups that are written down as pending: the notes must fit into a row. */
export const MAX_PENDING = 128;

// Records are an extension of the library's own; without them the bytes are plain MessagePack.
const codec = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' });

/** A question or an answer as bytes. */
export const encodeGc = (message: GroupQuestion | NodeQuestion | GcAnswer): Buffer =>
  Buffer.from(codec.pack(pack(message) ?? null));

/** @throws GcMessageError */
export function decodeQuestion(bytes: Buffer): GroupQuestion | NodeQuestion {
  const question = unpackObject(bytes);
  const { kind, group, ts } = question ?? {};
  if (kind === 'report' || kind === 'collect') return { kind };
  if ((kind === 'certify' || kind === 'raise') && typeof group === 'number' && typeof ts === 'string') {
    return { kind, group: group as GroupId, ts: tsOf(ts) };
  }
  throw new GcMessageError('a node of another version asked something about collection that is not known here');
}

/** An answer; its timestamps come back as timestamps. @throws GcMessageError */
export function decodeAnswer<Answer extends GcAnswer>(bytes: Buffer): Answer {
  return unpack(unpackObject(bytes)) as Answer;
}

/** The notes as they are stored with the unit of work. */
export function encodeNotes(notes: SafepointNotes): Buffer {
  const { holders, pending } = notes;
  const more = holders.length - MAX_HOLDERS;
  const kept = more > 0 ? [...holders.slice(0, MAX_HOLDERS - 1), { who: `${more + 1} more`, why: '' }] : holders;
  const short = kept.map(({ who, why }) => ({ who: who.slice(0, 32), why: why.slice(0, 120) }));
  return Buffer.from(codec.pack(pack({ ...notes, holders: short, pending: pending.slice(0, MAX_PENDING) })));
}

/** Before the first round. */
export const NO_NOTES: SafepointNotes = {
  publishedTs: NEVER,
  raisedAtMs: 0,
  atMs: 0,
  candidateTs: NEVER,
  holders: [],
  pending: [],
};

/** Notes of an unknown form, and none, mean that nothing is known: what was published is only ever confirmed again. */
export function decodeNotes(bytes: Buffer | undefined): SafepointNotes {
  if (bytes === undefined || bytes.length === 0) return NO_NOTES;
  try {
    return { ...NO_NOTES, ...(unpack(unpackObject(bytes)) as Partial<SafepointNotes>) };
  } catch (error) {
    if (error instanceof GcMessageError) return NO_NOTES;
    throw error;
  }
}

type Plain = Record<string, unknown>;

/** Timestamps as text: they are 64 bits without a sign, which MessagePack's readers disagree about. */
function pack(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString(16);
  if (Array.isArray(value)) return value.map(pack);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, pack(field)]));
}

function unpack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpack);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      typeof field === 'string' && (name === 'ts' || name.endsWith('Ts')) ? tsOf(field) : unpack(field),
    ]),
  );
}

function tsOf(text: string): HlcTimestamp {
  if (!/^[0-9a-f]{1,16}$/.test(text)) throw new GcMessageError(`'${text}' is no timestamp`);
  return hlcTimestamp(BigInt(`0x${text}`));
}

function unpackObject(bytes: Buffer): Plain | undefined {
  let value: unknown;
  try {
    value = codec.unpack(bytes);
  } catch (error) {
    throw new GcMessageError('a node of another version said something about collection that cannot be read', {
      cause: error,
    });
  }
  if (value === null || value === undefined) return undefined;
  if (typeof value !== 'object') throw new GcMessageError('what was said about collection is no message');
  return value as Plain;
}
