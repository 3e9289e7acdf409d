/**
 * What the leader has written but not yet applied. An `OpenEntry` gathers the commands of a turn; sealed ones are on their
 * way through Raft. The overlay maps each key to its newest such write, so that a command reads its predecessors' effects
 * without waiting for them.
 *
 * Commands of one entry that touch a common written key are merged into one `Unit` (union-find): they become one list of
 * writes that is applied as a whole or not at all. That is what makes "key K at version T" name one value: a version that
 * an entry leaves is always the one that the overlay showed, never that of a command in the middle whose successor
 * conflicted.
 */
import { assert, FlowingMap, type HlcTimestamp, type Millis } from '../../platform/index.ts';
import type { LiveValue } from '../contract/index.ts';
import { ABSENT, BatchEncoder, expectBytes, mutationBytes, rangeBytes } from '../entry/index.ts';

/** Commands with one outcome inside one entry. */
export class Unit {
  /** Set when merged into another; `root` follows it. */
  private mergedInto: Unit | undefined;
  /** Number inside the encoded entry, -1 until then; roots only. */
  number = -1;
  /** Known once the entry was applied; roots only. */
  isConflicted = false;

  root(): Unit {
    let unit: Unit = this;
    while (unit.mergedInto !== undefined) unit = unit.mergedInto;
    if (unit !== this) this.mergedInto = unit;
    return unit;
  }

  /** @returns the root of both */
  merge(other: Unit): Unit {
    const mine = this.root();
    const theirs = other.root();
    if (mine !== theirs) theirs.mergedInto = mine;
    return mine;
  }
}

const NO_BYTES = Buffer.alloc(0);
/** Stands for the value of a delete. */
const DELETED = Buffer.alloc(0);
/** In front of a value in an entry. */
const VALUE_LENGTH_BYTES = 4;

/**
 * One key as an entry leaves it. What it says never changes once it is in the overlay, so readers may keep it as a value. As small as it can be: each is
 * on its way through Raft while V8 collects what is young, and is moved by it. So once the entry has its bytes, it holds nothing else of them.
 */
export class KeyWrite implements LiveValue {
  readonly name: string;
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
  /** Undefined once it is encoded. */
  private ownKey: Buffer | undefined;
  /** The value is this and `bytes`, one behind the other. */
  private head: Buffer;
  /** Of the value; `DELETED` for a delete; of all of the entry once it is encoded. */
  private bytes: Buffer;
  /** Set when the command that wrote it is done. */
  unit: Unit | undefined;
  entry: OpenEntry | undefined;
  /** Position in the open entry's list of writes; once it is encoded, where its value lies in `bytes`. */
  place = -1;
  /** Order of commands, for telling whether a range delete came before or after. */
  sequence = 0;

  /** @param value undefined for a delete @param head what the value begins with, if not all of it is in `value` */
  constructor(
    name: string,
    key: Buffer,
    value: Buffer | undefined,
    expireTs: HlcTimestamp,
    commitTs: HlcTimestamp,
    head: Buffer = NO_BYTES,
  ) {
    this.name = name;
    this.expireTs = expireTs;
    this.commitTs = commitTs;
    this.ownKey = key;
    this.head = head;
    this.bytes = value ?? DELETED;
  }

  get key(): Buffer {
    return this.ownKey ?? Buffer.from(this.name, 'latin1');
  }

  /** `value` is then empty. */
  get isDelete(): boolean {
    return this.bytes === DELETED;
  }

  /** Made when it is asked for: little is read while it is on its way. */
  get value(): Buffer {
    if (this.head.length > 0) {
      this.bytes = Buffer.concat([this.head, this.bytes]);
      this.head = NO_BYTES;
    }
    const { bytes, place } = this;
    if (this.ownKey !== undefined || this.isDelete) return bytes;
    const from = place + VALUE_LENGTH_BYTES;
    return bytes.subarray(from, from + bytes.readUInt32BE(place));
  }

  /** Encoded size; only before it is encoded. */
  get size(): number {
    return mutationBytes(this.key, this.isDelete ? undefined : this.head.length + this.bytes.length, this.expireTs);
  }

  /** Adds it to an entry. */
  encode(encoder: BatchEncoder, unit: number): void {
    const { key, bytes, head, expireTs } = this;
    this.ownKey = undefined;
    if (this.isDelete) encoder.delete(unit, key);
    else {
      this.place = encoder.put(unit, key, bytes, expireTs, head);
      this.head = NO_BYTES;
      this.bytes = encoder.buffer;
    }
  }
}

/** One range delete on its way. */
export interface RangeWrite {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly unit: Unit;
  readonly entry: OpenEntry;
  readonly sequence: number;
}

export const isInRange = (key: Buffer, start: Buffer, end: Buffer): boolean =>
  Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0;

/** What a command expects of a key as it was before the entry. */
class Expected {
  readonly unit: Unit;
  readonly key: Buffer;
  readonly versionTs: HlcTimestamp;
  /** What was expected of the same key before. */
  readonly before: Expected | undefined;

  constructor(unit: Unit, key: Buffer, versionTs: HlcTimestamp, before: Expected | undefined) {
    this.unit = unit;
    this.key = key;
    this.versionTs = versionTs;
    this.before = before;
  }

  get bytes(): number {
    return expectBytes(this.key, this.versionTs);
  }
}

/** So many of a key are looked at as another is added; the rest of the repetitions goes when the entry is encoded. */
const MAX_COMPARED = 4;

/** The commands of one turn on their way to becoming an entry, and then the entry until it is applied or given up. */
export class OpenEntry {
  readonly commitTs: HlcTimestamp;
  /** Rises from entry to entry of a group. */
  readonly ordinal: number;
  /** Set when its effects will not or may not come: what was read from it is worth nothing. */
  isAbandoned = false;
  /** One write per key. */
  readonly writes: KeyWrite[] = [];
  readonly ranges: RangeWrite[] = [];
  /** By name of the key, the newest of each. */
  private readonly expected = new Map<string, Expected>();
  /** Bytes of what was added, a superseded write included until it is replaced. */
  bodyBytes = 0;

  constructor(commitTs: HlcTimestamp, ordinal: number) {
    this.commitTs = commitTs;
    this.ordinal = ordinal;
  }

  get isEmpty(): boolean {
    return this.writes.length === 0 && this.ranges.length === 0;
  }

  /** A command of the unit has read the key like this; what others of the unit expect already is not added again. */
  expect(unit: Unit, name: string, key: Buffer, versionTs: HlcTimestamp): void {
    const root = unit.root();
    const newest = this.expected.get(name);
    let one = newest;
    for (let left = MAX_COMPARED; one !== undefined && left > 0; left--, one = one.before) {
      if (one.versionTs === versionTs && one.unit.root() === root) return;
    }
    const added = new Expected(unit, key, versionTs, newest);
    this.expected.set(name, added);
    this.bodyBytes += added.bytes;
  }

  /** Takes out what several commands of one unit expect, now that it is certain which commands make a unit. */
  private distinctExpected(): Expected[] {
    const distinct: Expected[] = [];
    for (const newest of this.expected.values()) {
      if (newest.before === undefined) {
        distinct.push(newest);
        continue;
      }
      const seen = new Map<Unit, HlcTimestamp[]>();
      for (let one: Expected | undefined = newest; one !== undefined; one = one.before) {
        const root = one.unit.root();
        const versions = seen.get(root);
        if (versions === undefined) seen.set(root, [one.versionTs]);
        else if (versions.includes(one.versionTs)) {
          this.bodyBytes -= one.bytes;
          continue;
        } else versions.push(one.versionTs);
        distinct.push(one);
      }
    }
    return distinct;
  }

  /**
   * Numbers the units and encodes everything; the roots in order of their numbers are the result's vocabulary.
   * @param ceilingMs what the group's ceiling rises to with this entry; 0 for none
   */
  encode(ceilingMs: Millis): { payload: Buffer; units: Unit[] } {
    const units: Unit[] = [];
    const numberOf = (unit: Unit): number => {
      const root = unit.root();
      if (root.number < 0) {
        root.number = units.length;
        units.push(root);
      }
      return root.number;
    };
    for (const write of this.writes) numberOf(write.unit!);
    for (const range of this.ranges) numberOf(range.unit);
    const mutationCount = this.writes.length + this.ranges.length;
    const expected = this.distinctExpected();
    const encoder = new BatchEncoder(units.length, expected.length, mutationCount, this.bodyBytes);
    for (const { unit, key, versionTs } of expected) encoder.expect(unit.root().number, key, versionTs);
    for (const range of this.ranges) encoder.deleteRange(range.unit.root().number, range.start, range.end);
    for (const write of this.writes) write.encode(encoder, write.unit!.root().number);
    this.expected.clear();
    return { payload: encoder.finish(this.commitTs, ceilingMs), units };
  }
}

/** Newest in-flight write of every key, over all entries that are not applied yet. */
export class Overlay {
  private readonly keys = new FlowingMap<string, KeyWrite>();
  private ranges: RangeWrite[] = [];
  private sequence = 0;

  get isEmpty(): boolean {
    return this.keys.size === 0 && this.ranges.length === 0;
  }

  /** The newest in-flight effect on a key: a write, a range delete that hides it, or undefined. */
  lookup(name: string, key: Buffer): KeyWrite | RangeWrite | undefined {
    const write = this.keys.get(name);
    if (this.ranges.length > 0) {
      for (let at = this.ranges.length - 1; at >= 0; at--) {
        const range = this.ranges[at]!;
        if (write !== undefined && range.sequence < write.sequence) break;
        if (isInRange(key, range.start, range.end)) return range;
      }
    }
    return write;
  }

  /** The newest in-flight write of a key, also one that a range delete hides. */
  written(name: string): KeyWrite | undefined {
    return this.keys.get(name);
  }

  /**
   * Adds the effects of one finished command to the open entry and to what later commands read.
   * @param unit that the command's reads put it in, else its own
   * @returns the command's unit
   */
  add(
    entry: OpenEntry,
    unit: Unit,
    writes: readonly KeyWrite[],
    ranges: readonly { readonly start: Buffer; readonly end: Buffer }[],
  ): Unit {
    let own = unit;
    this.sequence++;
    for (const { start, end } of ranges) own = this.addRange(entry, own, start, end);
    if (ranges.length > 0) this.sequence++;
    for (const write of writes) {
      const before = this.keys.get(write.name);
      write.entry = entry;
      write.unit = own;
      write.sequence = this.sequence;
      if (before !== undefined && before.entry === entry) {
        own = own.merge(before.unit!);
        this.replace(entry, before, write);
      } else {
        write.place = entry.writes.push(write) - 1;
        entry.bodyBytes += write.size;
        this.keys.set(write.name, write);
      }
    }
    return own;
  }

  private addRange(entry: OpenEntry, unit: Unit, start: Buffer, end: Buffer): Unit {
    let own = unit;
    // A range delete is applied below the entry's own timestamp, so what the entry itself wrote there is taken back here.
    for (let slot = 0; slot < entry.writes.length; slot++) {
      const before = entry.writes[slot]!;
      if (!isInRange(before.key, start, end)) continue;
      own = own.merge(before.unit!);
      const deletion = new KeyWrite(before.name, before.key, undefined, ABSENT, entry.commitTs);
      deletion.entry = entry;
      deletion.unit = own;
      deletion.sequence = this.sequence;
      this.replace(entry, before, deletion);
    }
    const range: RangeWrite = { start, end, unit: own, entry, sequence: this.sequence };
    entry.ranges.push(range);
    entry.bodyBytes += rangeBytes(start, end);
    this.ranges.push(range);
    return own;
  }

  private replace(entry: OpenEntry, before: KeyWrite, after: KeyWrite): void {
    assert(entry.writes[before.place] === before, 'an open entry holds one write per key');
    entry.writes[before.place] = after;
    after.place = before.place;
    entry.bodyBytes += after.size - before.size;
    this.keys.set(after.name, after);
  }

  /** Forgets an entry that was applied or given up; newer writes of the same keys stay. */
  remove(entry: OpenEntry): void {
    for (const write of entry.writes) {
      if (this.keys.get(write.name) === write) this.keys.delete(write.name);
    }
    if (entry.ranges.length > 0) this.ranges = this.ranges.filter((range) => range.entry !== entry);
  }
}
