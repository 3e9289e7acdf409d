/**
 * Streams: entries in the order of their ids, and groups of consumers that share them out. All of it is in rows from the first entry on: adding one
 * writes the head and the last leaf. A stream without entries exists.
 */
import { assert, type Millis, physicalMs, timestampOfMs } from '../../../../platform/index.ts';
import { ValueForm } from '../../keys/index.ts';
import { ValueType } from '../../values/index.ts';
import {
  ALARM_VALUE,
  alarmKeyOf,
  type BodyAccess,
  BodyRows,
  drawIncarnation,
  HeadPlace,
  type LargeHead,
  type NewExpiry,
  RowKind,
  readHead,
} from '../rows/index.ts';
import { ElementTree } from './element-tree.ts';
import { namedRow, StreamGroup, type StreamParts } from './stream-group.ts';
import { idAfter, MIN_ID, type StreamId } from './stream-id.ts';
import {
  decodeGroup,
  decodeLeftover,
  decodeStreamPart,
  encodeEntry,
  encodeLeftover,
  encodeName,
  encodeStreamPart,
  idIn,
  type LeftoverRow,
  NO_ALARM,
  NO_ROW,
  namePrefix,
  newStreamPart,
  noElements,
  partsIn,
  type RemovedConsumer,
  type StreamPart,
} from './stream-rows.ts';

/** An entry; buffers are views and must not be modified. */
export interface StreamEntry {
  readonly id: StreamId;
  /** Fields and values, one after the other. */
  readonly parts: readonly Buffer[];
}

export interface StreamRangeOptions {
  /** From the highest id to the lowest. */
  readonly isReverse?: boolean;
  /** Most entries. */
  readonly limit?: number;
}

/** What a trim keeps. */
export type Kept = { readonly atMost: number } | { readonly from: StreamId };

/** How far a trim goes: to the entry, or to a border between leaves and no further than so many entries (0: without a limit). */
export type TrimEffort = 'exact' | { readonly atMost: number };

/** Who takes a group apart does not know what it was called. */
const NAMELESS = Buffer.alloc(0);
/** Elements that are removed in one operation; what is more is taken apart later, in slices of so many. */
const SLICE_ELEMENTS = 1_000;
/** So many times the limit of other bodies may be removed from the front one leaf after the other, which costs a row each. */
const FRONT_FACTOR = 32;

/**
 * A command opens a stream once. Changes are to be saved before anybody else looks at the key. Buffers that it is given must not be modified
 * before it is saved.
 */
export class StreamBody {
  private readonly place: HeadPlace;
  private readonly part: StreamPart;
  private readonly parts: StreamParts;
  private readonly rows: BodyRows;
  private readonly bits: number;
  private entries: ElementTree;
  private readonly names: ElementTree;
  private readonly opened = new Map<number, StreamGroup>();
  private isRinging = false;

  constructor(place: HeadPlace, head: LargeHead) {
    const { view, bodyLimits } = place.access;
    this.place = place;
    this.bits = place.bits;
    this.part = decodeStreamPart(head.part);
    this.rows = new BodyRows(view, place.key, head.incarnation);
    this.parts = {
      rows: this.rows,
      numbers: this.part,
      limits: bodyLimits,
      leaveBehind: (removed) => this.leaveBehind({ removed }),
    };
    this.entries = new ElementTree({ count: head.count, state: this.part.entries }, this.parts);
    this.names = new ElementTree(this.part.groups, this.parts);
  }

  /** Number of entries. */
  get length(): number {
    return this.entries.count;
  }

  /** The highest id that an entry ever had, or what it was set to. */
  get lastId(): StreamId {
    return this.part.lastId;
  }

  set lastId(id: StreamId) {
    this.part.lastId = Buffer.from(id);
  }

  get maxDeletedId(): StreamId {
    return this.part.maxDeletedId;
  }

  set maxDeletedId(id: StreamId) {
    this.part.maxDeletedId = Buffer.from(id);
  }

  /** How many entries were ever added. */
  get entriesAdded(): bigint {
    return this.part.entriesAdded;
  }

  set entriesAdded(count: bigint) {
    this.part.entriesAdded = count;
  }

  /** Id of the first entry; the lowest id when there is none. */
  get firstId(): StreamId {
    const { first } = this.entries;
    return first === undefined ? MIN_ID : idIn(first);
  }

  /** Id of the last entry; undefined when there is none. */
  get lastEntryId(): StreamId | undefined {
    const { last } = this.entries;
    return last && idIn(last);
  }

  get groupCount(): number {
    return this.names.count;
  }

  /** Adds an entry. @param id above `lastId` @param parts fields and values */
  add(id: StreamId, parts: readonly Buffer[]): void {
    assert(Buffer.compare(id, this.part.lastId) > 0, 'ids of a stream rise');
    this.entries.append(encodeEntry(id, parts));
    this.lastId = id;
    // It may have been set to the highest that there is.
    this.part.entriesAdded = BigInt.asIntN(64, this.part.entriesAdded + 1n);
  }

  /** Fills a stream without entries. @param entries in order; the last id is set apart */
  fill(entries: Iterable<StreamEntry>): void {
    this.entries.fill(
      (function* () {
        for (const { id, parts } of entries) yield encodeEntry(id, parts);
      })(),
    );
  }

  has(id: StreamId): boolean {
    return this.entries.find(id) !== undefined;
  }

  get(id: StreamId): StreamEntry | undefined {
    const element = this.entries.find(id);
    return element && entryOf(element);
  }

  /** Says that these entries are about to be looked for. */
  prefetch(ids: readonly StreamId[]): void {
    if (this.place.isAfar) this.entries.prefetch(ids);
  }

  /** @returns false when there is no such entry */
  delete(id: StreamId): boolean {
    if (this.entries.remove(id) === undefined) return false;
    if (Buffer.compare(id, this.part.maxDeletedId) > 0) this.maxDeletedId = id;
    return true;
  }

  /** Entries from one id to another, both included. Nothing must be changed meanwhile. */
  *range(from: StreamId, to: StreamId, { isReverse = false, limit }: StreamRangeOptions = {}): Generator<StreamEntry> {
    let left = limit ?? Number.POSITIVE_INFINITY;
    if (left <= 0) return;
    const walk = isReverse ? this.entries.before(idAfter(to), limit) : this.entries.from(from, limit);
    for (const element of walk) {
      const id = idIn(element);
      if (isReverse ? Buffer.compare(id, from) < 0 : Buffer.compare(id, to) > 0) return;
      yield entryOf(element);
      if (--left <= 0) return;
    }
  }

  /** Removes entries from the front. @returns how many */
  trim(kept: Kept, effort: TrimEffort): number {
    const { length } = this;
    const most = effort === 'exact' || effort.atMost === 0 ? Number.POSITIVE_INFINITY : effort.atMost;
    const isMore = (size: number, last: StreamId): boolean =>
      'from' in kept ? Buffer.compare(last, kept.from) < 0 : this.length - size >= kept.atMost;
    const { rebuildAbove } = this.parts.limits;
    let isChecked = false;
    while (this.length > 0) {
      if ('atMost' in kept && this.length <= kept.atMost) break;
      const { size, last } = this.entries.firstLeaf();
      const removed = length - this.length;
      if (removed + size > most) break;
      if (isMore(size, idIn(last))) {
        // What goes on for long, without a limit, may leave so little that it is better written anew.
        if (!isChecked && most === Number.POSITIVE_INFINITY && removed > rebuildAbove * FRONT_FACTOR) {
          isChecked = true;
          if (this.keepOnly(kept)) break;
        } else this.entries.removeFirst(size);
      } else {
        if (effort === 'exact') this.entries.removeFirst(this.countBelow(kept));
        break;
      }
    }
    return length - this.length;
  }

  /** How many entries of the first leaf a trim is to remove. */
  private countBelow(kept: Kept): number {
    if ('atMost' in kept) return Math.max(0, this.length - kept.atMost);
    let count = 0;
    for (const element of this.entries.from(MIN_ID, 1)) {
      if (Buffer.compare(idIn(element), kept.from) >= 0) break;
      count++;
    }
    return count;
  }

  /** Writes what is kept anew if that is less than half. @returns false when it is not */
  private keepOnly(kept: Kept): boolean {
    const { entries } = this;
    const most = entries.count >> 1;
    const elements: Buffer[] = [];
    if ('atMost' in kept) {
      if (kept.atMost > most) return false;
      for (const element of kept.atMost === 0 ? [] : entries.before(undefined, kept.atMost))
        if (elements.push(element) === kept.atMost) break;
      elements.reverse();
    } else {
      for (const element of entries.from(kept.from)) if (elements.push(element) > most) return false;
    }
    entries.save();
    this.leaveBehind({ tree: entries.stored });
    this.entries = new ElementTree(noElements(), this.parts);
    this.entries.fill(elements);
    return true;
  }

  /** The group of a name; undefined when there is none. */
  group(name: Buffer): StreamGroup | undefined {
    const element = this.names.find(namePrefix(name));
    return element && this.openGroup(element);
  }

  /** All groups in the order of their names. */
  *groups(): Generator<StreamGroup> {
    const elements = [...this.names.all()];
    this.rows.prefetch(() => elements.map((element) => this.rows.numberedKey(RowKind.Group, namedRow(element).number)));
    for (const element of elements) yield this.openGroup(element);
  }

  /** Adds a group that is not there. */
  createGroup(name: Buffer, lastDelivered: StreamId, entriesRead: bigint): StreamGroup {
    const number = this.part.next++;
    const row = {
      lastDelivered: Buffer.from(lastDelivered),
      entriesRead,
      pending: noElements(),
      consumers: noElements(),
      orphans: 0,
    };
    const group = new StreamGroup(number, Buffer.from(name), row, this.parts);
    this.names.insert(encodeName(namePrefix(name), number));
    this.opened.set(number, group);
    return group;
  }

  /** @returns false when there is no such group */
  destroyGroup(name: Buffer): boolean {
    const group = this.group(name);
    if (group === undefined) return false;
    this.opened.delete(group.number);
    this.names.remove(namePrefix(name));
    const isEmpty = group.dismantle(SLICE_ELEMENTS) > 0;
    group.saveParts();
    group.drop();
    if (!isEmpty) this.leaveBehind({ group: group.row });
    return true;
  }

  save(expiry: NewExpiry = 'keep'): void {
    const { place, part, rows, bits, entries, names } = this;
    entries.save();
    names.save();
    for (const group of this.opened.values()) group.save();
    this.setAlarm();
    const head = { form: ValueForm.Large, type: place.type, bits, incarnation: rows.incarnation, count: entries.count };
    const after = { ...part, entries: entries.stored.state, groups: names.stored };
    place.write({ ...head, part: encodeStreamPart(after) }, expiry, rows.isChanged);
  }

  /** What the alarm calls for: takes apart some of what was left behind. To be saved. */
  ring(): void {
    this.isRinging = true;
    const { rows, part } = this;
    let work = SLICE_ELEMENTS;
    while (part.leftover !== NO_ROW && work > 0) {
      const key = rows.numberedKey(RowKind.Leftover, part.leftover);
      const row = rows.get(key);
      assert(row !== undefined, 'what a stream has left behind is there');
      const { next, what } = decodeLeftover(row);
      const rest = this.takeApart(what, work);
      work = rest.work;
      if (rest.what !== undefined) rows.put(key, encodeLeftover({ next, what: rest.what }));
      else {
        rows.delete(key);
        part.leftover = next;
      }
    }
  }

  private takeApart(
    what: LeftoverRow['what'],
    work: number,
  ): { readonly work: number; readonly what?: LeftoverRow['what'] } {
    if ('group' in what) {
      const group = new StreamGroup(NO_ROW, NAMELESS, what.group, this.parts);
      const left = group.dismantle(work);
      group.saveParts();
      return left > 0 ? { work: left } : { work: 0, what: { group: group.row } };
    }
    const state = 'tree' in what ? what.tree : what.removed.pending;
    const tree = new ElementTree(state, this.parts);
    const count = Math.min(tree.count, work);
    if ('removed' in what) this.removeOrphans(what.removed, tree, count);
    tree.removeFirst(count);
    tree.save();
    const left = tree.stored;
    if (left.count === 0) return { work: work - count };
    return { work: 0, what: 'tree' in what ? { tree: left } : { removed: { ...what.removed, pending: left } } };
  }

  /** Takes ids of a removed consumer off its group, if that is there. @param count how many, the first ones */
  private removeOrphans({ group, consumer }: RemovedConsumer, ids: ElementTree, count: number): void {
    const taken: StreamId[] = [];
    for (const id of ids.from(MIN_ID, count)) if (taken.push(id) === count) break;
    this.groupNumbered(group, NAMELESS)?.removeOrphans(consumer, taken);
  }

  /** The group of a number; undefined when it was destroyed. */
  private groupNumbered(number: number, name: Buffer): StreamGroup | undefined {
    let group = this.opened.get(number);
    if (group === undefined) {
      const row = this.rows.get(this.rows.numberedKey(RowKind.Group, number));
      if (row === undefined) return undefined;
      group = new StreamGroup(number, name, decodeGroup(row), this.parts, row);
      this.opened.set(number, group);
    }
    return group;
  }

  private leaveBehind(what: LeftoverRow['what']): void {
    const { part, rows } = this;
    const number = part.next++;
    rows.put(rows.numberedKey(RowKind.Leftover, number), encodeLeftover({ next: part.leftover, what }));
    part.leftover = number;
  }

  /** The alarm rings at once while something was left behind. */
  private setAlarm(): void {
    const { part, rows, place } = this;
    const nowMs: Millis = physicalMs(place.access.view.ts);
    if (part.leftover === NO_ROW) {
      if (part.alarmMs !== NO_ALARM) rows.delete(alarmKeyOf(rows));
      part.alarmMs = NO_ALARM;
    } else if (part.alarmMs === NO_ALARM || this.isRinging) {
      part.alarmMs = nowMs + 1;
      rows.put(alarmKeyOf(rows), ALARM_VALUE, timestampOfMs(part.alarmMs));
    }
    this.isRinging = false;
  }

  private openGroup(element: Buffer): StreamGroup {
    const { name, number } = namedRow(element);
    const group = this.groupNumbered(number, name);
    assert(group !== undefined, 'the row of a group is missing');
    return group;
  }
}

const entryOf = (element: Buffer): StreamEntry => ({ id: idIn(element), parts: partsIn(element) });

/** The stream of a key; undefined when the key does not exist. @throws RedisError WRONGTYPE */
export function openStream(access: BodyAccess, userKey: Buffer): StreamBody | undefined {
  const before = readHead(access, userKey, ValueType.Stream);
  if (before === undefined) return undefined;
  assert(before.head.form === ValueForm.Large, 'a stream is in rows');
  return new StreamBody(new HeadPlace(access, access.storageKey(userKey), ValueType.Stream, before), before.head);
}

/**
 * A stream without entries that replaces whatever the key holds when it is saved, expiry and all.
 * @throws FeatureInactiveError when not every node is known to be able to read one
 */
export function newStream(access: BodyAccess, userKey: Buffer): StreamBody {
  const head: LargeHead = {
    ...{ form: ValueForm.Large, type: ValueType.Stream, bits: 0, count: 0 },
    incarnation: drawIncarnation(access, ValueType.Stream),
    part: encodeStreamPart(newStreamPart()),
  };
  return new StreamBody(new HeadPlace(access, access.storageKey(userKey), ValueType.Stream, undefined), head);
}
