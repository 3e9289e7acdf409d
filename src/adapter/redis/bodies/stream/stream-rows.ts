/**
 * The bytes of a stream's rows beside the pages of its trees.
 *
 *   head      last id (16)  highest deleted id (16)  entries ever added (i64)  next number (varint)  when the alarm rings (varint)
 *             leftover (varint)  tree of entries  groups: count (varint), tree
 *   group     'g'  last delivered id (16)  entries read (i64, -1 unknown)  pending: count (varint), tree  consumers: count (varint), tree
 *             orphans (varint), left out when there are none
 *   consumer  'k'  length of its name (varint)  name  last seen (varint)  pending: count (varint), tree
 *   leftover  'l'  number of the next one (varint)  what (u8)  a tree with its count, a group, or of a consumer that was removed
 *             number of its group (varint)  its own number (varint)  what was pending of it: count (varint), tree
 *
 *   entry                  id (16)  (length (varint)  field or value)*
 *   name                   name, escaped  number of its row (6)
 *   pending of a group     id (16)  delivered at (6)  deliveries (varint)  number of the consumer (varint)
 *   pending of a consumer  id (16)
 *
 * All numbers of rows are drawn from the counter in the head. No page of these trees counts: nobody asks for ranks, and removing an element
 * somewhere writes one leaf.
 */
import type { Millis } from '../../../../platform/index.ts';
import { varintBytes, writeVarint } from '../../keys/index.ts';
import { writtenLater } from '../../values/index.ts';
import { ByteReader } from '../rows/index.ts';
import { decodeTreeState, emptyTree, encodeTreeState, type TreeState } from '../tree/index.ts';
import { ID_BYTES, MIN_ID, type StreamId } from './stream-id.ts';

/** Above every level of a tree. */
const NO_COUNTS = 0xff;
const INT64_BYTES = 8;
const TIME_BYTES = 6;
const NUMBER_BYTES = 6;

/** `entriesRead` of a group that does not know it. */
export const UNKNOWN_READ = -1n;
/** Numbers of rows begin above: 0 is none. */
export const NO_ROW = 0;
const FIRST_NUMBER = 1;
export const NO_ALARM: Millis = 0;

/** A tree and how many elements it has. */
export interface CountedState {
  readonly count: number;
  readonly state: TreeState;
}

/** What a stream's head has behind what all heads have. */
export interface StreamPart {
  lastId: StreamId;
  maxDeletedId: StreamId;
  entriesAdded: bigint;
  /** The next number that no row of the incarnation has had. */
  next: number;
  alarmMs: Millis;
  /** Number of the first leftover; `NO_ROW` for none. */
  leftover: number;
  readonly entries: TreeState;
  readonly groups: CountedState;
}

export interface GroupRow {
  readonly lastDelivered: StreamId;
  readonly entriesRead: bigint;
  readonly pending: CountedState;
  readonly consumers: CountedState;
  /** How many elements of `pending` are of consumers that were removed. */
  readonly orphans: number;
}

export interface ConsumerRow {
  readonly name: Buffer;
  readonly seenMs: Millis;
  readonly pending: CountedState;
}

/** A consumer that was removed from a group while much was pending of it. */
export interface RemovedConsumer {
  /** Number of the group's row, which may be gone. */
  readonly group: number;
  readonly consumer: number;
  /** Ids that may be in the group's list under its number. */
  readonly pending: CountedState;
}

/** What is deleted in slices. */
export interface LeftoverRow {
  /** Number of the next one. */
  readonly next: number;
  readonly what: { readonly tree: CountedState } | { readonly group: GroupRow } | { readonly removed: RemovedConsumer };
}
const LeftoverKind = { Tree: 0, Group: 1, Consumer: 2 } as const;

/** An entry of a group's list of what was delivered and not acknowledged. */
export interface PendingEntry {
  readonly id: StreamId;
  /** Number of its consumer's row. */
  readonly consumer: number;
  readonly deliveredMs: Millis;
  readonly deliveries: number;
}

const noTree = (): TreeState => emptyTree(NO_COUNTS, NO_ROW);
export const noElements = (): CountedState => ({ count: 0, state: noTree() });

export const newStreamPart = (): StreamPart => ({
  lastId: MIN_ID,
  maxDeletedId: MIN_ID,
  entriesAdded: 0n,
  next: FIRST_NUMBER,
  alarmMs: NO_ALARM,
  leftover: NO_ROW,
  entries: noTree(),
  groups: noElements(),
});

function varints(...numbers: readonly number[]): Buffer {
  let size = 0;
  for (const number of numbers) size += varintBytes(number);
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const number of numbers) at = writeVarint(bytes, at, number);
  return bytes;
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(INT64_BYTES);
  bytes.writeBigInt64BE(value);
  return bytes;
}

/** Trees of a stream have no counter of their own. */
const treeBytes = (state: TreeState): Buffer => encodeTreeState({ ...state, next: NO_ROW }, true);

/** A tree with its length in front. */
function withLength(state: TreeState): readonly Buffer[] {
  const bytes = treeBytes(state);
  return [varints(bytes.length), bytes];
}

const counted = ({ count, state }: CountedState): readonly Buffer[] => [varints(count), ...withLength(state)];

const readTree = (reader: ByteReader): TreeState => decodeTreeState(reader.take(reader.varint()), true);
const readCounted = (reader: ByteReader): CountedState => ({ count: reader.varint(), state: readTree(reader) });
const readInt64 = (reader: ByteReader): bigint => reader.take(INT64_BYTES).readBigInt64BE();

export const encodeStreamPart = (part: StreamPart): Buffer =>
  Buffer.concat([
    part.lastId,
    part.maxDeletedId,
    int64(part.entriesAdded),
    varints(part.next, part.alarmMs, part.leftover),
    ...withLength(part.entries),
    ...counted(part.groups),
  ]);

/** Reads what `encodeStreamPart` wrote; ids are views. */
export function decodeStreamPart(bytes: Buffer): StreamPart {
  const reader = new ByteReader(bytes);
  return {
    lastId: reader.take(ID_BYTES),
    maxDeletedId: reader.take(ID_BYTES),
    entriesAdded: readInt64(reader),
    next: reader.varint(),
    alarmMs: reader.varint(),
    leftover: reader.varint(),
    entries: readTree(reader),
    groups: readCounted(reader),
  };
}

export const encodeGroup = ({ lastDelivered, entriesRead, pending, consumers, orphans }: GroupRow): Buffer =>
  Buffer.concat([
    ...[lastDelivered, int64(entriesRead), ...counted(pending), ...counted(consumers)],
    ...(orphans > 0 ? [varints(orphans)] : []),
  ]);

export const decodeGroup = (bytes: Buffer): GroupRow => readGroup(new ByteReader(bytes));

const readGroup = (reader: ByteReader): GroupRow => ({
  lastDelivered: reader.take(ID_BYTES),
  entriesRead: readInt64(reader),
  pending: readCounted(reader),
  consumers: readCounted(reader),
  orphans: reader.isAtEnd ? 0 : reader.varint(),
});

export const encodeConsumer = ({ name, seenMs, pending }: ConsumerRow): Buffer =>
  Buffer.concat([varints(name.length), name, varints(seenMs), ...counted(pending)]);

/** Reads what `encodeConsumer` wrote. */
export function decodeConsumer(bytes: Buffer): ConsumerRow {
  const reader = new ByteReader(bytes);
  return { name: reader.take(reader.varint()), seenMs: reader.varint(), pending: readCounted(reader) };
}

/** The row of what was left behind. */
export function encodeLeftover({ next, what }: LeftoverRow): Buffer {
  if ('tree' in what) return Buffer.concat([varints(next, LeftoverKind.Tree), ...counted(what.tree)]);
  if ('group' in what) return Buffer.concat([varints(next, LeftoverKind.Group), encodeGroup(what.group)]);
  const { group, consumer, pending } = what.removed;
  return Buffer.concat([varints(next, LeftoverKind.Consumer, group, consumer), ...counted(pending)]);
}

/** @throws RedisError when a later program wrote it */
export function decodeLeftover(bytes: Buffer): LeftoverRow {
  const reader = new ByteReader(bytes);
  const [next, kind] = [reader.varint(), reader.byte()];
  if (kind === LeftoverKind.Tree) return { next, what: { tree: readCounted(reader) } };
  if (kind === LeftoverKind.Group) return { next, what: { group: readGroup(reader) } };
  if (kind === LeftoverKind.Consumer) {
    const [group, consumer] = [reader.varint(), reader.varint()];
    return { next, what: { removed: { group, consumer, pending: readCounted(reader) } } };
  }
  throw writtenLater();
}

/** @param parts fields and values, one after the other */
export function encodeEntry(id: StreamId, parts: readonly Buffer[]): Buffer {
  let size = ID_BYTES;
  for (const { length } of parts) size += varintBytes(length) + length;
  const bytes = Buffer.allocUnsafe(size);
  let at = id.copy(bytes);
  for (const part of parts) {
    at = writeVarint(bytes, at, part.length);
    at += part.copy(bytes, at);
  }
  return bytes;
}

/** The id that an element begins with, a view. */
export const idIn = (element: Buffer): StreamId => element.subarray(0, ID_BYTES);

/** Fields and values of an entry, views. */
export function partsIn(entry: Buffer): Buffer[] {
  const reader = new ByteReader(entry, ID_BYTES);
  const parts: Buffer[] = [];
  while (!reader.isAtEnd) parts.push(reader.take(reader.varint()));
  return parts;
}

/** The element of a group's tree of what is pending. */
export function encodePending({ id, deliveredMs, deliveries, consumer }: PendingEntry): Buffer {
  const bytes = Buffer.allocUnsafe(ID_BYTES + TIME_BYTES + varintBytes(deliveries) + varintBytes(consumer));
  let at = id.copy(bytes);
  at = bytes.writeUIntBE(deliveredMs, at, TIME_BYTES);
  at = writeVarint(bytes, at, deliveries);
  writeVarint(bytes, at, consumer);
  return bytes;
}

/** Reads what `encodePending` wrote; the id is a view. */
export function decodePending(element: Buffer): PendingEntry {
  const reader = new ByteReader(element);
  const id = reader.take(ID_BYTES);
  const deliveredMs = reader.take(TIME_BYTES).readUIntBE(0, TIME_BYTES);
  return { id, deliveredMs, deliveries: reader.varint(), consumer: reader.varint() };
}

const ESCAPE = 0x00;
const ESCAPED = 0xff;

/**
 * What the element of a name begins with. A zero byte becomes 00 ff, and 00 00 ends the name: so no name is the beginning of another one, and
 * their order stays.
 */
export function namePrefix(name: Buffer): Buffer {
  const bytes: number[] = [];
  for (const byte of name) {
    bytes.push(byte);
    if (byte === ESCAPE) bytes.push(ESCAPED);
  }
  return Buffer.from([...bytes, ESCAPE, ESCAPE]);
}

/** The element of a name. @param prefix what `namePrefix` makes of it, and the number of its row */
export function encodeName(prefix: Buffer, number: number): Buffer {
  const bytes = Buffer.allocUnsafe(prefix.length + NUMBER_BYTES);
  prefix.copy(bytes);
  bytes.writeUIntBE(number, prefix.length, NUMBER_BYTES);
  return bytes;
}

/** The number of a name's row. */
export const numberIn = (element: Buffer): number => element.readUIntBE(element.length - NUMBER_BYTES, NUMBER_BYTES);

/** The name in an element. */
export function nameIn(element: Buffer): Buffer {
  const escaped = element.subarray(0, element.length - NUMBER_BYTES - 2);
  const bytes: number[] = [];
  for (let at = 0; at < escaped.length; at++) {
    bytes.push(escaped[at]!);
    if (escaped[at] === ESCAPE) at++;
  }
  return Buffer.from(bytes);
}
