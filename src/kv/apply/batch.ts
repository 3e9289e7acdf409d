/**
 * A BATCH on its way into the state: every unit is checked against the state before the entry, then those that passed are written. What comes
 * before the writing changes nothing, so it may be done a few rows at a time while the event loop has its turns in between; nothing else
 * is applied to the group meanwhile. The writing is one step: nobody sees a part of an entry.
 */
import type { SpanTable } from '../../distribution/index.ts';
import { type HlcTimestamp, hlcTimestamp, type Millis } from '../../platform/index.ts';
import type { GroupStore, PreparedVersion, StoreWriter } from '../../store/index.ts';
import { CorruptEntryError } from '../contract/index.ts';
import { ABSENT, type EntryReader, MutationKind } from '../entry/index.ts';
import { nameOf } from './lock-rows.ts';
import type { LockTable } from './lock-table.ts';
import { ownerOf, rangeFloor } from './ownership.ts';
import { visibleVersion } from './visible.ts';

/**
 * Why a unit was not applied: something that it was computed from has changed; it touches a key that the group does not
 * own; its timestamp is not above what the group may commit at; a lock of a transaction stands against it.
 */
export type UnitRefusal = 'conflict' | 'notOwned' | 'belowFloor' | 'locked';

/** Numbers of the units of a batch that were not applied; undefined when all were. */
export type BatchResult = ReadonlyMap<number, UnitRefusal> | undefined;

/** The state before the entry. */
export interface StateBefore {
  readonly store: Pick<GroupStore, 'latest' | 'prepareVersion'>;
  readonly locks: LockTable;
  readonly table: SpanTable;
  /** Largest commit timestamp applied. */
  readonly largestTs: HlcTimestamp;
}

/** Hears of what is written, right before it is. */
export interface WriteListener {
  /** A key is put or deleted. */
  readonly key?: ((key: Buffer) => void) | undefined;
  readonly range?: ((start: Buffer, end: Buffer) => void) | undefined;
  /** The same, once it is written. */
  readonly written?: ((kind: 'put' | 'delete', key: Buffer) => void) | undefined;
  readonly rangeWritten?: ((start: Buffer, end: Buffer) => void) | undefined;
}

/** See the top of the file. */
export class BatchUnderWay {
  /** That the entry carries; 0 when it carries none. */
  readonly ceilingMs: Millis;
  readonly commitTs: HlcTimestamp;
  private readonly before: StateBefore;
  private readonly isLocked: boolean;
  /** Log order is timestamp order: see `check`. */
  private readonly isInOrder: boolean;
  /** Stands at the expectations, then at the mutations. */
  private readonly reader: EntryReader;
  /** Is ahead of it in the mutations. */
  private ahead: EntryReader | undefined;
  private readonly unitCount: number;
  private readonly mutationCount: number;
  private expectsLeft: number;
  private readonly refusals = new Refusals();
  private readonly expected = new ExpectedNames();
  private readonly keys: Buffer[] = [];
  /** Texts of the keys that were looked up beforehand. */
  private readonly names: string[] = [];
  private readonly makesVersions: boolean;
  private hasRanges = false;
  /** Goes over the mutations once more, to make versions of them. */
  private making: EntryReader | undefined;
  /** Writes that were prepared, with their units, in order; when all are, nothing is read again. */
  private readonly made: { readonly unit: number; readonly isPut: boolean; readonly version: PreparedVersion }[] = [];

  /** @param makesVersions for an entry that is to be prepared: its versions are made beforehand */
  constructor(reader: EntryReader, before: StateBefore, makesVersions = false) {
    this.reader = reader;
    this.before = before;
    this.makesVersions = makesVersions;
    this.ceilingMs = reader.batchCeiling();
    this.commitTs = reader.timestamp();
    this.unitCount = reader.u32();
    this.expectsLeft = reader.u32();
    this.mutationCount = reader.u32();
    this.isLocked = before.locks.size > 0;
    this.isInOrder = this.commitTs > before.largestTs;
  }

  /** Checks all that is left, in one go. */
  check(): void {
    this.checkSome(Number.POSITIVE_INFINITY);
  }

  /**
   * Checks some rows, then makes the versions of as many, with what the store has to know of their keys. Where that may not be, keys are looked up: they are
   * found again more quickly.
   * @returns true when nothing is left but to write
   */
  prepare(rows: number): boolean {
    let left = this.checkSome(rows);
    for (; left > 0 && this.names.length < this.keys.length; left--) this.prepareNext();
    return left > 0;
  }

  private prepareNext(): void {
    const key = this.keys[this.names.length]!;
    const name = this.expected.nameOf(key) ?? nameOf(key);
    this.names.push(name);
    if (this.mayMake) this.make(key, name);
    else this.before.store.latest(key, name);
  }

  /** What a range delete hides is decided by what lies before it in the entry, so that one is written as it comes. */
  private get mayMake(): boolean {
    return this.makesVersions && !this.hasRanges && this.before.store.prepareVersion !== undefined;
  }

  private make(key: Buffer, name: string): void {
    this.making ??= this.reader.fork();
    const { making, commitTs } = this;
    const unit = making.unit(this.unitCount);
    const kind = making.u8();
    making.skipBytes();
    const isPut = kind !== MutationKind.Delete;
    const value = isPut ? making.view() : undefined;
    const expireTs = kind === MutationKind.PutExpiring ? making.timestamp() : ABSENT;
    const version = this.before.store.prepareVersion!({ key, name, value, commitTs, expireTs });
    this.made.push({ unit, isPut, version });
  }

  /** @returns how many rows fewer than `rows` it were */
  private checkSome(rows: number): number {
    let left = rows;
    for (; left > 0 && this.expectsLeft > 0; left--) this.checkExpectation();
    if (left > 0) this.ahead ??= this.reader.fork();
    for (; left > 0 && this.keys.length < this.mutationCount; left--) this.checkMutation(this.ahead!);
    return left;
  }

  private checkExpectation(): void {
    const { reader, refusals } = this;
    const { store, locks, table } = this.before;
    this.expectsLeft--;
    const unit = reader.unit(this.unitCount);
    const isVersion = reader.expectKind();
    const key = reader.view();
    const name = this.expected.add(key);
    const versionTs = isVersion ? reader.timestamp() : ABSENT;
    if (ownerOf(table, key, 'write') === undefined) refusals.add(unit, 'notOwned');
    else if (this.isLocked && locks.againstRead(key) !== undefined) refusals.add(unit, 'locked');
    else if (!refusals.has(unit) && visibleVersion(store.latest(key, name), this.commitTs) !== versionTs)
      refusals.add(unit, 'conflict');
  }

  /**
   * Whether a unit may write what it wants to. Log order is timestamp order as long as one sequencer issues both, and then one
   * comparison with the largest timestamp proves for every key that its latest version is older; otherwise each key is
   * asked. A range delete cannot be asked key by key and then counts as a conflict.
   */
  private checkMutation(ahead: EntryReader): void {
    const { refusals, commitTs, isLocked, isInOrder } = this;
    const { store, locks, table } = this.before;
    const unit = ahead.unit(this.unitCount);
    const kind = ahead.u8();
    const key = ahead.view();
    this.keys.push(key);
    if (kind === MutationKind.DeleteRange) {
      this.hasRanges = true;
      const end = ahead.view();
      const floor = rangeFloor(table, key, end);
      if (floor === undefined) refusals.add(unit, 'notOwned');
      else if (isLocked && locks.againstRangeWrite(key, end) !== undefined) refusals.add(unit, 'locked');
      else if (commitTs - 1n <= floor) refusals.add(unit, 'belowFloor');
      else if (!isInOrder) refusals.add(unit, 'conflict');
      return;
    }
    if (kind === MutationKind.Put || kind === MutationKind.PutExpiring) {
      ahead.skipBytes();
      if (kind === MutationKind.PutExpiring) ahead.timestamp();
    } else if (kind !== MutationKind.Delete) throw new CorruptEntryError(`an entry has unknown mutation kind ${kind}`);
    const owner = ownerOf(table, key, 'write');
    if (owner === undefined) refusals.add(unit, 'notOwned');
    else if (isLocked && locks.againstWrite(key) !== undefined) refusals.add(unit, 'locked');
    else if (commitTs <= owner.minWriteTs) refusals.add(unit, 'belowFloor');
    else if (!isInOrder) {
      const latest = store.latest(key);
      if (latest !== undefined && latest.commitTs >= commitTs) refusals.add(unit, 'conflict');
    }
  }

  /** Writes the units that passed, which have all been checked. A unit is all or nothing. */
  write(writer: StoreWriter, listener: WriteListener): BatchResult {
    if (this.making !== undefined && this.made.length === this.mutationCount) return this.writeMade(writer, listener);
    const { reader, refusals, expected, commitTs, keys, names } = this;
    for (let at = 0; at < this.mutationCount; at++) {
      const unit = reader.unit(this.unitCount);
      const kind = reader.u8();
      const key = keys[at]!;
      reader.skipBytes();
      const isDropped = refusals.has(unit);
      switch (kind) {
        case MutationKind.Put:
        case MutationKind.PutExpiring: {
          const value = reader.view();
          const expireTs = kind === MutationKind.Put ? ABSENT : reader.timestamp();
          if (isDropped) break;
          listener.key?.(key);
          writer.put(key, value, commitTs, expireTs, names[at] ?? expected.nameOf(key));
          listener.written?.('put', key);
          break;
        }
        case MutationKind.Delete:
          if (isDropped) break;
          listener.key?.(key);
          writer.delete(key, commitTs, names[at] ?? expected.nameOf(key));
          listener.written?.('delete', key);
          break;
        default: {
          const end = reader.view();
          if (isDropped) break;
          listener.range?.(key, end);
          // The timestamp before the entry's own is reserved for this: puts of the same entry stay visible.
          writer.deleteRange(key, end, hlcTimestamp(commitTs - 1n));
          listener.rangeWritten?.(key, end);
        }
      }
    }
    reader.end();
    return refusals.units;
  }

  /** The same for an entry all of whose versions have been made. */
  private writeMade(writer: StoreWriter, listener: WriteListener): BatchResult {
    const { refusals, made } = this;
    this.making!.end();
    for (const { unit, isPut, version } of made) {
      if (refusals.has(unit)) continue;
      listener.key?.(version.key);
      writer.add(version);
      listener.written?.(isPut ? 'put' : 'delete', version.key);
    }
    return refusals.units;
  }
}

/** Expectations between two of keys that are written. */
const LOOKED_AT = 4;

/**
 * Texts of the keys that a batch expects something of: most are written by it too, in the same order, and a text that is made once is
 * looked up faster than one that is made again.
 */
class ExpectedNames {
  private readonly keys: Buffer[] = [];
  private readonly names: string[] = [];
  private at = 0;

  add(key: Buffer): string {
    const name = nameOf(key);
    this.keys.push(key);
    this.names.push(name);
    return name;
  }

  /** Of a key that is written; undefined when it is not among the next ones. */
  nameOf(key: Buffer): string | undefined {
    const end = Math.min(this.keys.length, this.at + LOOKED_AT);
    for (let at = this.at; at < end; at++) {
      const next = this.keys[at]!;
      if (next.length !== key.length || !next.equals(key)) continue;
      this.at = at + 1;
      return this.names[at];
    }
    return undefined;
  }
}

/** The units of one batch that are not applied, each with the first reason found. */
class Refusals {
  /** Undefined while there is none, which is the usual case. */
  units: Map<number, UnitRefusal> | undefined;

  has(unit: number): boolean {
    return this.units?.has(unit) === true;
  }

  /** A key that is not the group's outweighs a conflict: what its versions are is not for this group to say. */
  add(unit: number, reason: UnitRefusal): void {
    this.units ??= new Map();
    if (reason === 'notOwned' || !this.units.has(unit)) this.units.set(unit, reason);
  }
}
