/**
 * A consumer group of a stream: how far it has read, and what was delivered to whom and not acknowledged.
 *
 * What is pending is in two trees: that of the group says to whom and when, that of the consumer which ids. Both are found by id, so an
 * acknowledgement costs a leaf of each, however much is pending.
 *
 * A consumer of which much is pending is removed at once, and what is left of it in the group's tree goes in slices: its orphans. An element is one when
 * its consumer has no row any more. While there are some, what is pending is read from the trees of the consumers, which have none.
 */
import { assert, type Millis } from '../../../../platform/index.ts';
import { type BodyRows, RowKind } from '../rows/index.ts';
import { ElementTree, type TreeParts } from './element-tree.ts';
import type { StreamId } from './stream-id.ts';
import {
  type CountedState,
  decodeConsumer,
  decodePending,
  encodeConsumer,
  encodeGroup,
  encodeName,
  encodePending,
  type GroupRow,
  idIn,
  nameIn,
  namePrefix,
  noElements,
  numberIn,
  type PendingEntry,
  type RemovedConsumer,
} from './stream-rows.ts';

/** What the parts of a stream are made with. */
export interface StreamParts extends TreeParts {
  /** Takes over a consumer of which too much is pending to be removed at once. */
  leaveBehind(removed: RemovedConsumer): void;
}

/** What removing a consumer counts for when work is cut into slices. */
const CONSUMER_WEIGHT = 8;
/** A poll that finds nothing writes when its consumer was seen, but no more often than this. */
const SEEN_SLACK_MS = 1_000;

/** A consumer of a group. */
export class StreamConsumer {
  readonly name: Buffer;
  /** Number of its row. */
  readonly number: number;
  readonly pending: ElementTree;
  seenMs: Millis;
  private stored: Buffer | undefined;
  private storedSeenMs: Millis;
  private readonly rows: BodyRows;

  constructor(number: number, name: Buffer, seenMs: Millis, pending: CountedState, parts: StreamParts) {
    this.number = number;
    this.name = name;
    this.seenMs = seenMs;
    this.storedSeenMs = seenMs;
    this.rows = parts.rows;
    this.pending = new ElementTree(pending, parts);
  }

  /** Reads the consumer of a number that is in use. */
  static read(number: number, parts: StreamParts): StreamConsumer {
    const row = parts.rows.get(parts.rows.numberedKey(RowKind.Consumer, number));
    assert(row !== undefined, 'the row of a consumer is missing');
    const { name, seenMs, pending } = decodeConsumer(row);
    const consumer = new StreamConsumer(number, name, seenMs, pending, parts);
    consumer.stored = row;
    return consumer;
  }

  save(): void {
    this.pending.save();
    const { name, pending } = this;
    const isOnlySeen =
      this.stored !== undefined &&
      this.seenMs - this.storedSeenMs < SEEN_SLACK_MS &&
      this.stored.equals(encodeConsumer({ name, seenMs: this.storedSeenMs, pending: pending.stored }));
    if (isOnlySeen) return;
    const row = encodeConsumer({ name, seenMs: this.seenMs, pending: pending.stored });
    if (this.stored?.equals(row)) return;
    this.rows.put(this.rows.numberedKey(RowKind.Consumer, this.number), row);
    this.stored = row;
    this.storedSeenMs = this.seenMs;
  }

  /** Deletes its row. What was pending of it is gone, or its tree is elsewhere. */
  drop(): void {
    if (this.stored !== undefined) this.rows.delete(this.rows.numberedKey(RowKind.Consumer, this.number));
  }
}

/** See above. Changes are written by `save`, that of the stream. */
export class StreamGroup {
  readonly name: Buffer;
  /** Number of its row. */
  readonly number: number;
  lastDelivered: StreamId;
  /** How many entries it has read since there is the stream; `UNKNOWN_READ`. */
  entriesRead: bigint;
  private readonly pending: ElementTree;
  private orphans: number;
  private readonly names: ElementTree;
  private readonly parts: StreamParts;
  private readonly opened = new Map<number, StreamConsumer>();
  private stored: Buffer | undefined;

  /** @param stored its row as it was read; undefined for a new group */
  constructor(number: number, name: Buffer, row: GroupRow, parts: StreamParts, stored?: Buffer) {
    this.number = number;
    this.name = name;
    this.lastDelivered = row.lastDelivered;
    this.entriesRead = row.entriesRead;
    this.parts = parts;
    this.stored = stored;
    this.pending = new ElementTree(row.pending, parts);
    this.orphans = row.orphans;
    this.names = new ElementTree(row.consumers, parts);
  }

  get pendingCount(): number {
    return this.pending.count - this.orphans;
  }

  get consumerCount(): number {
    return this.names.count;
  }

  /** The lowest id that is pending; undefined when nothing is. */
  get firstPending(): StreamId | undefined {
    return this.ends(({ first }) => first).at(0);
  }

  get lastPending(): StreamId | undefined {
    return this.ends(({ last }) => last).at(-1);
  }

  /** What is at an end of the tree of what is pending, or of each of the trees that it is read from, in order. */
  private ends(end: (tree: ElementTree) => Buffer | undefined): StreamId[] {
    const trees = this.orphans === 0 ? [this.pending] : Array.from(this.consumers(), ({ pending }) => pending);
    return trees
      .map((tree) => end(tree))
      .filter((element) => element !== undefined)
      .map(idIn)
      .sort(Buffer.compare);
  }

  consumer(name: Buffer): StreamConsumer | undefined {
    const element = this.names.find(namePrefix(name));
    return element && this.consumerOf(numberIn(element));
  }

  /** Adds a consumer that is not there. */
  createConsumer(name: Buffer, seenMs: Millis): StreamConsumer {
    const number = this.parts.numbers.next++;
    const consumer = new StreamConsumer(number, Buffer.from(name), seenMs, noElements(), this.parts);
    this.names.insert(encodeName(namePrefix(name), number));
    this.opened.set(number, consumer);
    return consumer;
  }

  /** The consumer of something that is pending. */
  consumerOf(number: number): StreamConsumer {
    let consumer = this.opened.get(number);
    if (consumer === undefined) {
      consumer = StreamConsumer.read(number, this.parts);
      this.opened.set(number, consumer);
    }
    return consumer;
  }

  /** All consumers in the order of their names. */
  *consumers(): Generator<StreamConsumer> {
    const numbers = [...this.names.all()].map(numberIn);
    const { rows } = this.parts;
    rows.prefetch(() => numbers.map((number) => rows.numberedKey(RowKind.Consumer, number)));
    for (const number of numbers) yield this.consumerOf(number);
  }

  /** What is known of an id that is pending; undefined when it is not. */
  pendingEntry(id: StreamId): PendingEntry | undefined {
    const element = this.pending.find(id);
    const entry = element && decodePending(element);
    return entry === undefined || this.isOrphan(entry) ? undefined : entry;
  }

  /**
   * What is pending from an id on, in order; of one consumer, or of all.
   * @param atMost how many will be taken, about
   */
  *pendingFrom(id: StreamId, atMost?: number, consumer?: StreamConsumer): Generator<PendingEntry> {
    if (consumer !== undefined) for (const own of this.pendingOf(consumer, id, atMost)) yield this.pendingEntry(own)!;
    else if (this.orphans === 0) for (const element of this.pending.from(id, atMost)) yield decodePending(element);
    else for (const own of this.pendingOfEach(id, atMost)) yield this.pendingEntry(own)!;
  }

  /** Ids pending of any consumer from one on, in order. */
  private *pendingOfEach(id: StreamId, atMost?: number): Generator<StreamId> {
    const consumers = [...this.consumers()];
    const share = atMost && Math.ceil(atMost / consumers.length);
    const walks = consumers.map((consumer) => this.pendingOf(consumer, id, share));
    yield* inOrder(walks);
  }

  /** Ids pending of a consumer from one on, in order. */
  *pendingOf(consumer: StreamConsumer, id: StreamId, atMost?: number): Generator<StreamId> {
    for (const element of consumer.pending.from(id, atMost)) yield idIn(element);
  }

  /** Says that these ids are about to be looked for. */
  prefetch(ids: readonly StreamId[]): void {
    this.pending.prefetch(ids);
  }

  /** Notes that an entry is pending of a consumer, whoever had it before. */
  assign(id: StreamId, consumer: StreamConsumer, deliveredMs: Millis, deliveries: number): void {
    const found = this.pending.find(id);
    const before = found && decodePending(found);
    const element = encodePending({ id, deliveredMs, deliveries, consumer: consumer.number });
    if (before === undefined) this.pending.insert(element);
    else this.pending.replace(id, element);
    if (before?.consumer === consumer.number) return;
    if (before !== undefined) {
      if (this.isOrphan(before)) this.orphans--;
      else this.take(before);
    }
    consumer.pending.insert(Buffer.from(id));
  }

  /** Takes an id off what is pending. @returns false when it was not there */
  release(id: StreamId): boolean {
    const entry = this.pendingEntry(id);
    if (entry === undefined) return false;
    this.pending.remove(id);
    this.take(entry);
    return true;
  }

  /** Removes a consumer and what is pending of it. @returns how much that was; undefined when there is no such consumer */
  deleteConsumer(name: Buffer): number | undefined {
    const consumer = this.consumer(name);
    if (consumer === undefined) return undefined;
    const { pending, number } = consumer;
    const removed = pending.count;
    this.names.remove(namePrefix(name));
    if (removed > this.parts.limits.rebuildAbove) {
      pending.save();
      this.parts.leaveBehind({ group: this.number, consumer: number, pending: pending.stored });
      this.orphans += removed;
      this.opened.delete(number);
      consumer.drop();
    } else {
      const ids = [...pending.all()].map(idIn);
      this.pending.prefetch(ids);
      for (const id of ids) this.pending.remove(id);
      pending.removeFirst(removed);
      this.forget(consumer);
    }
    return removed;
  }

  /** Removes orphans. @param consumer whose they were @param ids that may be some */
  removeOrphans(consumer: number, ids: readonly StreamId[]): void {
    this.pending.prefetch(ids);
    for (const id of ids) {
      const element = this.pending.find(id);
      // It may have been delivered to somebody else since.
      if (element === undefined || decodePending(element).consumer !== consumer) continue;
      this.pending.remove(id);
      this.orphans--;
    }
  }

  /** Removes what it has, as far as the work goes. @returns how much work is left; the group is empty when there is some */
  dismantle(work: number): number {
    let left = work;
    const empty = (tree: ElementTree): void => {
      const count = Math.min(tree.count, left);
      tree.removeFirst(count);
      left -= count;
    };
    empty(this.pending);
    while (left > 0) {
      const { first } = this.names;
      if (first === undefined) break;
      const consumer = this.consumerOf(numberIn(first));
      empty(consumer.pending);
      if (consumer.pending.count > 0) break;
      this.forget(consumer);
      this.names.removeFirst(1);
      left -= CONSUMER_WEIGHT;
    }
    return this.pending.count === 0 && this.names.count === 0 ? Math.max(left, 1) : 0;
  }

  /** Writes the trees and the consumers. */
  saveParts(): void {
    for (const consumer of this.opened.values()) consumer.save();
    this.names.save();
    this.pending.save();
  }

  save(): void {
    this.saveParts();
    const row = encodeGroup(this.row);
    if (this.stored?.equals(row)) return;
    this.parts.rows.put(this.parts.rows.numberedKey(RowKind.Group, this.number), row);
    this.stored = row;
  }

  /** What its row says. */
  get row(): GroupRow {
    const { lastDelivered, entriesRead, pending, names, orphans } = this;
    return { lastDelivered, entriesRead, pending: pending.stored, consumers: names.stored, orphans };
  }

  /** Deletes its row. */
  drop(): void {
    if (this.stored !== undefined) this.parts.rows.delete(this.parts.rows.numberedKey(RowKind.Group, this.number));
  }

  /** Takes an id from the consumer that has it. */
  private take({ id, consumer }: PendingEntry): void {
    const removed = this.consumerOf(consumer).pending.remove(id);
    assert(removed !== undefined, 'what is pending of a group is pending of its consumer');
  }

  private isOrphan({ consumer }: PendingEntry): boolean {
    if (this.orphans === 0 || this.opened.has(consumer)) return false;
    const { rows } = this.parts;
    return rows.get(rows.numberedKey(RowKind.Consumer, consumer)) === undefined;
  }

  /** Removes a consumer of which nothing is pending. */
  private forget(consumer: StreamConsumer): void {
    this.opened.delete(consumer.number);
    consumer.pending.save();
    consumer.drop();
  }
}

/** Ids of several walks, each of them in order, in the order of all. */
function* inOrder(walks: readonly Generator<StreamId>[]): Generator<StreamId> {
  const heads = walks.map((walk) => walk.next().value as StreamId | undefined);
  for (;;) {
    let lowest: number | undefined;
    for (const [at, head] of heads.entries())
      if (head !== undefined && (lowest === undefined || Buffer.compare(head, heads[lowest]!) < 0)) lowest = at;
    if (lowest === undefined) return;
    yield heads[lowest]!;
    heads[lowest] = walks[lowest]!.next().value as StreamId | undefined;
  }
}

/** The name in an element of a tree of names, and the number of its row. */
export const namedRow = (element: Buffer): { readonly name: Buffer; readonly number: number } => ({
  name: nameIn(element),
  number: numberIn(element),
});
