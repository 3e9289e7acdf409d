/**
 * Streams in Redis' file format.
 *
 *   stream    number of nodes  (first id (16 bytes as a string)  listpack (string))*  entries  last id: ms, seq
 *             second form: first id, highest deleted id, entries ever added
 *             number of groups  group*
 *   group     name  last delivered id  second form: entries read  pending: number, (id (16 bytes)  delivered at (8 bytes)  deliveries)*
 *             number of consumers  (name  seen at (8 bytes)  third form: active at (8 bytes)  pending: number, id*)*
 *   listpack  entries  deleted ones  number of fields  field*  0  entry*
 *   entry     flags  ms and seq from the node's  (number of fields  (field  value)*, or values of the node's fields)  number of these elements
 *
 * Halves of ids and counts are lengths of up to 64 bits.
 */
import { RdbFormatError } from './errors.ts';
import { ListpackWriter, readListpack } from './listpack.ts';
import type { RdbReader } from './rdb-reader.ts';
import type { RdbWriter } from './rdb-writer.ts';

/** Bytes of an id. */
export const ID_BYTES = 16;
const EntryFlag = { Deleted: 1, SameFields: 2 } as const;
/** Of a node that is written. */
const NODE_ENTRIES = 100;
const NODE_BYTES = 4096;
/** How a group's entries read are written when they are not known. */
const UNKNOWN_READ = -1n;
/** No moment is later. */
const MAX_MS = 2 ** 48 - 1;

/** Ids have 16 bytes: milliseconds and number, big endian. */
export interface RdbStreamEntry {
  readonly id: Buffer;
  /** Fields and values, one after the other. */
  readonly parts: readonly Buffer[];
}

export interface RdbPending {
  readonly id: Buffer;
  readonly deliveredMs: number;
  readonly deliveries: number;
  /** Name of its consumer. */
  readonly consumer: Buffer;
}

export interface RdbStreamGroup {
  readonly name: Buffer;
  readonly lastDelivered: Buffer;
  /** -1 when it is not known; undefined when the form does not say it. */
  readonly entriesRead: bigint | undefined;
  readonly consumers: readonly { readonly name: Buffer; readonly seenMs: number }[];
  readonly pending: readonly RdbPending[];
}

export interface RdbStream {
  readonly type: 'stream';
  readonly entries: readonly RdbStreamEntry[];
  readonly lastId: Buffer;
  readonly maxDeletedId: Buffer;
  readonly entriesAdded: bigint;
  readonly groups: readonly RdbStreamGroup[];
}

/** What a stream says of itself behind its entries. */
export interface StreamHead {
  readonly lastId: Buffer;
  readonly maxDeletedId: Buffer;
  readonly entriesAdded: bigint;
}

/** Which of the forms a stream has. */
export type StreamForm = 1 | 2 | 3;

/** Reads a stream behind the byte that says its form. @throws RdbFormatError */
export function readStream(reader: RdbReader, form: StreamForm): RdbStream {
  const entries: RdbStreamEntry[] = [];
  for (let left = reader.length(); left > 0; left--)
    for (const entry of readStreamNode(reader, entries.at(-1)?.id)) entries.push(entry);
  const head = readStreamHead(reader, form, entries.length, entries.at(-1)?.id);
  const groups: RdbStreamGroup[] = [];
  for (let left = reader.length(); left > 0; left--) groups.push(readGroup(reader, form));
  requireDifferent(groups);
  return { type: 'stream', entries, ...head, groups };
}

/** Reads entries of a stream. @param before id of the one in front @throws RdbFormatError */
export function readStreamNode(reader: RdbReader, before: Buffer | undefined): RdbStreamEntry[] {
  const first = reader.string();
  if (first.length !== ID_BYTES) throw new RdbFormatError('a node of a stream has no id');
  const entries = [...entriesIn(first, readListpack(reader.string()))];
  let last = before;
  for (const { id } of entries) {
    if (last !== undefined && Buffer.compare(last, id) >= 0)
      throw new RdbFormatError('the entries of a stream are not in order');
    last = id;
  }
  return entries;
}

/** @param count entries in front @param last id of the last one @throws RdbFormatError */
export function readStreamHead(
  reader: RdbReader,
  form: StreamForm,
  count: number,
  last: Buffer | undefined,
): StreamHead {
  const length = reader.length();
  const lastId = readId(reader);
  if (length !== count || (last !== undefined && Buffer.compare(last, lastId) > 0))
    throw new RdbFormatError('a stream does not know its entries');
  if (form > 1) readId(reader);
  const maxDeletedId = form > 1 ? readId(reader) : Buffer.alloc(ID_BYTES);
  const entriesAdded = form > 1 ? BigInt.asIntN(64, reader.bigLength()) : BigInt(length);
  return { lastId, maxDeletedId, entriesAdded };
}

/** Of each half the lowest 64 bits count. */
function idOf(ms: bigint, seq: bigint): Buffer {
  const id = Buffer.allocUnsafe(ID_BYTES);
  id.writeBigUInt64BE(BigInt.asUintN(64, ms));
  id.writeBigUInt64BE(BigInt.asUintN(64, seq), 8);
  return id;
}

const readId = (reader: RdbReader): Buffer => idOf(reader.bigLength(), reader.bigLength());

/** Unix milliseconds. @throws RdbFormatError */
export function readMoment(reader: RdbReader): number {
  const ms = reader.int64();
  if (ms < 0n || ms > BigInt(MAX_MS)) throw new RdbFormatError('a moment is no time');
  return Number(ms);
}

/** How a group begins. @throws RdbFormatError */
export function readGroupHead(
  reader: RdbReader,
  form: StreamForm,
): Pick<RdbStreamGroup, 'name' | 'lastDelivered' | 'entriesRead'> {
  const name = reader.string();
  const lastDelivered = readId(reader);
  return { name, lastDelivered, entriesRead: form > 1 ? BigInt.asIntN(64, reader.bigLength()) : undefined };
}

function readGroup(reader: RdbReader, form: StreamForm): RdbStreamGroup {
  const head = readGroupHead(reader, form);
  const unowned = new Map<string, Omit<RdbPending, 'consumer'>>();
  for (let left = reader.length(); left > 0; left--) {
    const id = reader.take(ID_BYTES);
    const text = id.toString('latin1');
    if (unowned.has(text)) throw new RdbFormatError('an id is pending twice');
    unowned.set(text, { id, deliveredMs: readMoment(reader), deliveries: reader.length() });
  }
  const consumers: { name: Buffer; seenMs: number }[] = [];
  const pending: RdbPending[] = [];
  for (let left = reader.length(); left > 0; left--) {
    const consumer = { name: reader.string(), seenMs: readMoment(reader) };
    consumers.push(consumer);
    if (form === 3) reader.int64();
    for (let own = reader.length(); own > 0; own--) {
      const text = reader.take(ID_BYTES).toString('latin1');
      const entry = unowned.get(text);
      if (entry === undefined) throw new RdbFormatError('what is pending of a consumer is not pending of its group');
      unowned.delete(text);
      pending.push({ ...entry, consumer: consumer.name });
    }
  }
  if (unowned.size > 0) throw new RdbFormatError('something is pending of nobody');
  requireDifferent(consumers);
  pending.sort((a, b) => Buffer.compare(a.id, b.id));
  return { ...head, consumers, pending };
}

function requireDifferent(named: readonly { readonly name: Buffer }[]): void {
  if (new Set(named.map(({ name }) => name.toString('latin1'))).size !== named.length)
    throw new RdbFormatError('a name is there twice');
}

/** Takes elements of a listpack one by one. */
class Elements {
  private readonly elements: readonly Buffer[];
  private at = 0;

  constructor(elements: readonly Buffer[]) {
    this.elements = elements;
  }

  get isAtEnd(): boolean {
    return this.at >= this.elements.length;
  }

  next(): Buffer {
    const element = this.elements[this.at++];
    if (element === undefined) throw new RdbFormatError('a node of a stream ends too early');
    return element;
  }

  integer(): bigint {
    const text = this.next().toString('latin1');
    if (!/^-?[0-9]{1,20}$/.test(text)) throw new RdbFormatError('a node of a stream has no number where one must be');
    return BigInt(text);
  }

  count(): number {
    const count = this.integer();
    if (count < 0n || count > BigInt(this.elements.length))
      throw new RdbFormatError('a node of a stream has a count that cannot be');
    return Number(count);
  }
}

function* entriesIn(first: Buffer, elements: readonly Buffer[]): Generator<RdbStreamEntry> {
  const node = new Elements(elements);
  const [living, deleted] = [node.count(), node.count()];
  const fields = Array.from({ length: node.count() }, () => node.next());
  if (node.integer() !== 0n) throw new RdbFormatError('the fields of a node do not end');
  let [seen, seenDeleted] = [0, 0];
  while (!node.isAtEnd) {
    const flags = node.count();
    const id = idFrom(first, node.integer(), node.integer());
    const isSame = (flags & EntryFlag.SameFields) !== 0;
    const own = isSame ? fields.length : node.count();
    const parts: Buffer[] = [];
    for (let at = 0; at < own; at++) parts.push(isSame ? fields[at]! : node.next(), node.next());
    if (node.count() !== (isSame ? own + 3 : 2 * own + 4)) throw new RdbFormatError('an entry does not know its size');
    if ((flags & EntryFlag.Deleted) !== 0) {
      seenDeleted++;
      continue;
    }
    if (own === 0) throw new RdbFormatError('an entry has no fields');
    seen++;
    yield { id, parts };
  }
  if (seen !== living || seenDeleted !== deleted) throw new RdbFormatError('a node does not know its entries');
}

const idFrom = (first: Buffer, ms: bigint, seq: bigint): Buffer =>
  idOf(first.readBigUInt64BE() + ms, first.readBigUInt64BE(8) + seq);

/** Writes a stream in its second form, behind the byte that says so. */
export function writeStream(writer: RdbWriter, stream: RdbStream): void {
  const nodes = nodesOf(stream.entries);
  writer.length(nodes.length);
  for (const entries of nodes) {
    writer.string(entries[0]!.id);
    writer.string(listpackOf(entries));
  }
  writer.length(stream.entries.length);
  writeId(writer, stream.lastId);
  writeId(writer, stream.entries[0]?.id ?? Buffer.alloc(ID_BYTES));
  writeId(writer, stream.maxDeletedId);
  writer.bigLength(stream.entriesAdded);
  writer.length(stream.groups.length);
  for (const group of stream.groups) writeGroup(writer, group);
}

function nodesOf(entries: readonly RdbStreamEntry[]): RdbStreamEntry[][] {
  const nodes: RdbStreamEntry[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const node = nodes.at(-1);
    if (node === undefined || node.length === NODE_ENTRIES || bytes >= NODE_BYTES) {
      nodes.push([entry]);
      bytes = 0;
    } else node.push(entry);
    for (const { length } of entry.parts) bytes += length;
  }
  return nodes;
}

const fieldsOf = ({ parts }: RdbStreamEntry): Buffer[] => parts.filter((_, at) => at % 2 === 0);

function listpackOf(entries: readonly RdbStreamEntry[]): Buffer {
  const first = entries[0]!;
  const fields = fieldsOf(first);
  const listpack = new ListpackWriter();
  const number = (value: number | bigint): void => listpack.add(Buffer.from(String(value)));
  number(entries.length);
  number(0);
  number(fields.length);
  for (const field of fields) listpack.add(field);
  number(0);
  for (const entry of entries) {
    const { id, parts } = entry;
    const own = fieldsOf(entry);
    const isSame = own.length === fields.length && own.every((field, at) => field.equals(fields[at]!));
    number(isSame ? EntryFlag.SameFields : 0);
    number(BigInt.asIntN(64, id.readBigUInt64BE() - first.id.readBigUInt64BE()));
    number(BigInt.asIntN(64, id.readBigUInt64BE(8) - first.id.readBigUInt64BE(8)));
    if (!isSame) number(own.length);
    for (const [at, part] of parts.entries()) if (!isSame || at % 2 === 1) listpack.add(part);
    number(isSame ? own.length + 3 : 2 * own.length + 4);
  }
  return listpack.finish();
}

function writeId(writer: RdbWriter, id: Buffer): void {
  writer.bigLength(id.readBigUInt64BE());
  writer.bigLength(id.readBigUInt64BE(8));
}

function writeGroup(writer: RdbWriter, { name, lastDelivered, entriesRead, consumers, pending }: RdbStreamGroup): void {
  writer.string(name);
  writeId(writer, lastDelivered);
  writer.bigLength(entriesRead === undefined || entriesRead < 0n ? UNKNOWN_READ : entriesRead);
  writer.length(pending.length);
  for (const { id, deliveredMs, deliveries } of pending) {
    writer.raw(id);
    writer.int64(BigInt(deliveredMs));
    writer.length(deliveries);
  }
  const byConsumer = Map.groupBy(pending, ({ consumer }) => consumer.toString('latin1'));
  writer.length(consumers.length);
  for (const consumer of consumers) {
    const own = byConsumer.get(consumer.name.toString('latin1')) ?? [];
    writer.string(consumer.name);
    writer.int64(BigInt(consumer.seenMs));
    writer.length(own.length);
    for (const { id } of own) writer.raw(id);
  }
}
