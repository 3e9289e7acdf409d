/**
 * Streams that are too large to be held, read a node, or an id, at a time. Each part is a stream by itself: entries, groups with some of their
 * consumers and some of what is pending of them. The first parts have entries only, and the last id and the counts that go with them; the later ones
 * have those of the whole.
 *
 * A group says first what is pending, and then of whom. So that much is kept of one group, in the fewest bytes.
 */
import { RdbFormatError } from './errors.ts';
import type { LargeValue } from './objects.ts';
import type { RdbReader } from './rdb-reader.ts';
import {
  ID_BYTES,
  type RdbPending,
  type RdbStream,
  type RdbStreamEntry,
  type RdbStreamGroup,
  readGroupHead,
  readMoment,
  readStreamHead,
  readStreamNode,
  type StreamForm,
  type StreamHead,
} from './streams.ts';

const NO_ID = Buffer.alloc(ID_BYTES);
const UNKNOWN_READ = -1n;

/** Of what is pending: id, when it was delivered, how often, and whether somebody has it. */
const At = { Time: ID_BYTES, Deliveries: ID_BYTES + 6, Taken: ID_BYTES + 14 } as const;
const RECORD_BYTES = At.Taken + 1;
const FIRST_RECORDS = 64;

/** What is pending of a group, before it is known of whom; by ids that rise. */
class UnownedEntries {
  private bytes = Buffer.alloc(FIRST_RECORDS * RECORD_BYTES);
  private count = 0;
  private taken = 0;
  private readonly maxBytes: number;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get areAllTaken(): boolean {
    return this.taken === this.count;
  }

  /** @throws RdbFormatError when it is not above the last one, or there is no room */
  add(id: Buffer, deliveredMs: number, deliveries: number): void {
    const at = this.count * RECORD_BYTES;
    if (at > 0 && this.bytes.compare(id, 0, ID_BYTES, at - RECORD_BYTES, at - RECORD_BYTES + ID_BYTES) >= 0)
      throw new RdbFormatError('what is pending of a group is not in order');
    if (at + RECORD_BYTES > this.maxBytes)
      throw new RdbFormatError(`more is pending of a group than ${this.maxBytes} bytes have room for`);
    if (at === this.bytes.length) this.bytes = Buffer.concat([this.bytes, Buffer.alloc(at)]);
    id.copy(this.bytes, at);
    this.bytes.writeUIntLE(deliveredMs, at + At.Time, 6);
    this.bytes.writeDoubleLE(deliveries, at + At.Deliveries);
    this.count++;
  }

  /** @throws RdbFormatError when it is not pending, or somebody has it */
  take(id: Buffer): { readonly deliveredMs: number; readonly deliveries: number } {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const from = middle * RECORD_BYTES;
      if (this.bytes.compare(id, 0, ID_BYTES, from, from + ID_BYTES) < 0) low = middle + 1;
      else high = middle;
    }
    const at = low * RECORD_BYTES;
    const isThere = low < this.count && this.bytes.compare(id, 0, ID_BYTES, at, at + ID_BYTES) === 0;
    if (!isThere || this.bytes[at + At.Taken] !== 0)
      throw new RdbFormatError('what is pending of a consumer is not pending of its group');
    this.bytes[at + At.Taken] = 1;
    this.taken++;
    return {
      deliveredMs: this.bytes.readUIntLE(at + At.Time, 6),
      deliveries: this.bytes.readDoubleLE(at + At.Deliveries),
    };
  }
}

/** A group that is being read. */
interface OpenGroup extends Pick<RdbStreamGroup, 'name' | 'lastDelivered' | 'entriesRead'> {
  /** Ids that are still to come in front of the consumers. */
  unownedLeft: number;
  readonly unowned: UnownedEntries;
  /** Undefined before it is known. */
  consumersLeft: number | undefined;
  readonly names: Set<string>;
  consumer: { readonly name: Buffer; readonly seenMs: number; left: number; last: Buffer } | undefined;
}

/** What of a group comes with the next part. */
interface GroupPart {
  readonly group: OpenGroup;
  readonly consumers: { readonly name: Buffer; readonly seenMs: number }[];
  readonly pending: RdbPending[];
}

/** See the top of the file. */
export class LargeStream implements LargeValue {
  private readonly form: StreamForm;
  private readonly maxBytes: number;
  private nodesLeft: number;
  private head: StreamHead | undefined;
  private isHeadDue = false;
  private groupsLeft = 0;
  private group: OpenGroup | undefined;
  private readonly names = new Set<string>();
  private count = 0;
  private firstId: Buffer | undefined;
  private lastId: Buffer = NO_ID;
  private entries: RdbStreamEntry[] = [];
  private parts: GroupPart[] = [];
  private collected = 0;

  /** @param maxBytes that what is pending of one group may take */
  constructor(form: StreamForm, reader: RdbReader, maxBytes: number) {
    this.form = form;
    this.maxBytes = maxBytes;
    this.nodesLeft = reader.length();
  }

  get isDone(): boolean {
    return this.head !== undefined && this.groupsLeft === 0 && this.group === undefined;
  }

  get size(): number {
    return this.collected;
  }

  read(reader: RdbReader): void {
    if (this.nodesLeft > 0) this.readNode(reader);
    else if (this.head === undefined) this.readHead(reader);
    else if (this.group === undefined) this.beginGroup(reader);
    else this.readOfGroup(reader, this.group);
  }

  take(): RdbStream | undefined {
    const { entries, parts, head, lastId } = this;
    const isAny = this.collected > 0 || this.isHeadDue || this.isDone;
    if (!isAny) return undefined;
    this.entries = [];
    this.parts = [];
    this.collected = 0;
    this.isHeadDue = false;
    const groups = parts.map(({ group: { name, lastDelivered, entriesRead }, consumers, pending }) => ({
      ...{ name, lastDelivered, entriesRead, consumers },
      pending: pending.sort((a, b) => Buffer.compare(a.id, b.id)),
    }));
    const known = head ?? { lastId, maxDeletedId: NO_ID, entriesAdded: BigInt(this.count) };
    return { type: 'stream', entries, ...known, groups };
  }

  private readNode(reader: RdbReader): void {
    const entries = readStreamNode(reader, this.lastId);
    this.nodesLeft--;
    for (const entry of entries) {
      this.firstId ??= entry.id;
      this.lastId = entry.id;
      this.entries.push(entry);
    }
    this.count += entries.length;
    this.collected += entries.length;
  }

  private readHead(reader: RdbReader): void {
    const head = readStreamHead(reader, this.form, this.count, this.lastId);
    this.groupsLeft = reader.length();
    this.head = head;
    this.isHeadDue = true;
  }

  private beginGroup(reader: RdbReader): void {
    const { name, lastDelivered, entriesRead } = readGroupHead(reader, this.form);
    const unownedLeft = reader.length();
    this.requireNew(this.names, name);
    this.groupsLeft--;
    this.group = {
      ...{ name: Buffer.from(name), lastDelivered, entriesRead: entriesRead ?? this.numberOf(lastDelivered) },
      ...{ unownedLeft, unowned: new UnownedEntries(this.maxBytes), consumersLeft: undefined },
      ...{ names: new Set<string>(), consumer: undefined },
    };
    this.partOf(this.group);
    this.collected++;
  }

  private readOfGroup(reader: RdbReader, group: OpenGroup): void {
    if (group.unownedLeft > 0) {
      const id = reader.take(ID_BYTES);
      const deliveredMs = readMoment(reader);
      group.unowned.add(id, deliveredMs, reader.length());
      group.unownedLeft--;
    } else if (group.consumersLeft === undefined) group.consumersLeft = reader.length();
    else if (group.consumer === undefined) this.beginConsumer(reader, group);
    else {
      const { consumer } = group;
      const id = Buffer.from(reader.take(ID_BYTES));
      if (Buffer.compare(id, consumer.last) <= 0 && consumer.last !== NO_ID)
        throw new RdbFormatError('what is pending of a consumer is not in order');
      const { pending } = this.partOf(group);
      pending.push({ id, ...group.unowned.take(id), consumer: consumer.name });
      this.collected++;
      consumer.last = id;
      consumer.left--;
    }
    if (group.consumer?.left === 0) group.consumer = undefined;
    if (group.consumersLeft !== 0 || group.consumer !== undefined) return;
    if (!group.unowned.areAllTaken) throw new RdbFormatError('something is pending of nobody');
    this.group = undefined;
  }

  private beginConsumer(reader: RdbReader, group: OpenGroup): void {
    const name = Buffer.from(reader.string());
    const seenMs = readMoment(reader);
    if (this.form === 3) reader.int64();
    const left = reader.length();
    this.requireNew(group.names, name);
    group.consumersLeft!--;
    group.consumer = { name, seenMs, left, last: NO_ID };
    this.partOf(group);
    this.collected++;
  }

  /** What of the group comes with the next part, the consumer that is being read included. */
  private partOf(group: OpenGroup): GroupPart {
    let part = this.parts.at(-1);
    if (part?.group !== group) {
      part = { group, consumers: [], pending: [] };
      this.parts.push(part);
    }
    const { consumer } = group;
    if (consumer !== undefined && part.consumers.at(-1)?.name !== consumer.name)
      part.consumers.push({ name: consumer.name, seenMs: consumer.seenMs });
    return part;
  }

  private requireNew(names: Set<string>, name: Buffer): void {
    const text = name.toString('latin1');
    if (names.has(text)) throw new RdbFormatError('a name is there twice');
    names.add(text);
  }

  /** How many entries a group has read that does not say it: the first form, whose streams know of no deletes. */
  private numberOf(id: Buffer): bigint {
    const { entriesAdded, lastId } = this.head!;
    const isWithin = Buffer.compare(id, lastId) <= 0;
    if (entriesAdded === 0n || (isWithin && id.equals(lastId))) return entriesAdded;
    if (!isWithin || this.firstId === undefined) return UNKNOWN_READ;
    const place = Buffer.compare(id, this.firstId);
    if (place > 0) return UNKNOWN_READ;
    return place === 0 ? 1n : 0n;
  }
}
