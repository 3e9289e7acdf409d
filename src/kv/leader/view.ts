/**
 * The `KeyView` of one command: own writes, then the overlay, then the store. It notes what was read, for the
 * expectations, and keeps the writes back until the command has ended well. Keys that the group may not serve it refuses,
 * and remembers that it did. One instance serves all commands of a group, one after the other.
 */
import type { Access, SpanTable } from '../../distribution/index.ts';
import type { HlcTimestamp } from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { Lock, LockTable } from '../apply/index.ts';
import { type KeyView, type LiveValue, LockedError, NotOwnerError } from '../contract/index.ts';
import { ABSENT, expectBytes, isLocalKey, rangeBytes } from '../entry/index.ts';
import type { EvaluationBudget } from './evaluation-budget.ts';
import { isInRange, KeyWrite, type OpenEntry, type Overlay, type RangeWrite, type Unit } from './overlay.ts';
import type { SpanGate } from './span-gate.ts';

/** Hears of every key that a command reads or writes; `bytes` is the size of its value. */
export type AccessListener = (key: Buffer, isWrite: boolean, bytes: number) => void;

/** Own writes are looked up in a list up to here and in a map beyond. */
const MAX_LISTED_WRITES = 8;

// Lists are made with what comes first: most commands touch one key, and one that grows has room for sixteen from the first on.
const NO_WRITES: KeyWrite[] = [];
const NO_KEYS: Buffer[] = [];
const NO_NAMES: string[] = [];
const NO_VERSIONS: HlcTimestamp[] = [];

export class CommandView implements KeyView {
  private readonly store: GroupStore;
  private readonly overlay: Overlay;
  private readonly gate: SpanGate;
  private readonly locks: LockTable;
  private readonly budget: EvaluationBudget;
  private readonly onAccess: AccessListener | undefined;
  private table: SpanTable;
  private viewTs: HlcTimestamp = ABSENT;
  private entry: OpenEntry | undefined;
  /** Effects of the command so far; one write per key. */
  writes: KeyWrite[] = NO_WRITES;
  ranges: { start: Buffer; end: Buffer }[] = [];
  private writeByName: Map<string, number> | undefined;
  /** Keys read from the state before the open entry, with the version seen. */
  readKeys: Buffer[] = NO_KEYS;
  readNames: string[] = NO_NAMES;
  readVersions: HlcTimestamp[] = NO_VERSIONS;
  /** Unit of the open entry that the reads belong to. */
  joinedUnit: Unit | undefined;
  /** Units not applied yet that something was read from, the open entry's included. */
  dependencies: (KeyWrite | RangeWrite)[] = [];
  private isMerging = false;
  /** The key that was named last: what is read is often written next. */
  private namedKey: Buffer | undefined;
  private lastName = '';
  /** Why the command may not be served here, once it has touched a key that says so; also when the command caught it. */
  refusal: Error | undefined;
  /** The lock of a transaction that the command met; also when the command caught it. */
  lock: Lock | undefined;
  /** The command's writes must be committed above this. */
  floorTs: HlcTimestamp = ABSENT;
  /** The open entry has a value already of which this command's has to be told apart by its timestamp. */
  needsLaterEntry = false;
  /** When the first of the values expires that were read from the state before the open entry; absent: none does. */
  soonestExpireTs: HlcTimestamp = ABSENT;

  constructor(
    store: GroupStore,
    overlay: Overlay,
    gate: SpanGate,
    locks: LockTable,
    budget: EvaluationBudget,
    onAccess?: AccessListener,
  ) {
    this.store = store;
    this.overlay = overlay;
    this.gate = gate;
    this.locks = locks;
    this.budget = budget;
    this.onAccess = onAccess;
    this.table = gate.table;
  }

  /** Prepares for one command. @param entry the entry that its writes would go into */
  begin(ts: HlcTimestamp, entry: OpenEntry | undefined): void {
    this.viewTs = ts;
    this.entry = entry;
    this.table = this.gate.table;
    this.refusal = undefined;
    this.lock = undefined;
    this.floorTs = ABSENT;
    this.needsLaterEntry = false;
    this.soonestExpireTs = ABSENT;
    this.writes = NO_WRITES;
    if (this.ranges.length > 0) this.ranges = [];
    this.readKeys = NO_KEYS;
    this.readNames = NO_NAMES;
    this.readVersions = NO_VERSIONS;
    if (this.dependencies.length > 0) this.dependencies = [];
    this.writeByName = undefined;
    this.joinedUnit = undefined;
    this.isMerging = false;
  }

  get ts(): HlcTimestamp {
    return this.viewTs;
  }

  /** The command's writes cannot be committed at its timestamp. */
  get isBelowFloor(): boolean {
    return this.floorTs !== ABSENT && this.floorTs >= this.viewTs - 1n;
  }

  /** @throws NotOwnerError, RangeBusyError when the group may not serve the key */
  private checkOwnership(key: Buffer, access: Access): void {
    const verdict = this.table.check(key, access);
    if (verdict.kind !== 'owned' || !this.gate.isSettled || isLocalKey(key)) {
      this.refuse(this.gate.refuse(key, access));
    }
    if (access === 'write' && verdict.kind === 'owned' && verdict.span.minWriteTs > this.floorTs) {
      this.floorTs = verdict.span.minWriteTs;
    }
  }

  isElsewhere(key: Buffer): boolean {
    return this.gate.refuse(key, 'read') instanceof NotOwnerError;
  }

  /** @throws WriteBackpressureError, KeyVersionPressureError when writes are held back */
  private checkAdmission(key: Buffer, bytes: number): void {
    const { admission } = this.gate;
    if (admission?.isPressed === true) this.refuse(admission.refuse(key, bytes, this.writes.length === 0));
  }

  private refuse(refusal: Error | undefined): void {
    if (refusal === undefined) return;
    this.refusal ??= refusal;
    throw refusal;
  }

  /** @throws LockedError when there is a lock: the command runs again when that is gone */
  private checkLock(lock: Lock | undefined): void {
    if (lock === undefined) return;
    this.lock ??= lock;
    throw new LockedError(lock);
  }

  /** A command that writes expects what it read to be the same when it is applied, and only an owner may say so. */
  checkReadOwnership(): void {
    if (this.gate.isPlain) return;
    for (const key of this.readKeys) this.refusal ??= this.gate.refuse(key, 'write');
  }

  /** Bytes of what the command does and expects, in an entry. */
  effectBytes(): number {
    let bytes = 0;
    for (const write of this.writes) bytes += write.size;
    for (const range of this.ranges) bytes += rangeBytes(range.start, range.end);
    for (let at = 0; at < this.readKeys.length; at++) bytes += expectBytes(this.readKeys[at]!, this.readVersions[at]!);
    return bytes;
  }

  private ownWrite(name: string): number {
    const writes = this.writes;
    if (this.writeByName !== undefined) return this.writeByName.get(name) ?? -1;
    for (let at = writes.length - 1; at >= 0; at--) if (writes[at]!.name === name) return at;
    return -1;
  }

  private live(value: LiveValue): LiveValue | undefined {
    return value.expireTs !== ABSENT && value.expireTs <= this.viewTs ? undefined : value;
  }

  get(key: Buffer): LiveValue | undefined {
    this.budget.spend();
    this.checkOwnership(key, 'read');
    if (this.locks.size > 0) this.checkLock(this.locks.againstRead(key));
    const value = this.find(key);
    const bytes = value === undefined ? 0 : value.value.length;
    if (value !== undefined) this.budget.took(bytes);
    this.onAccess?.(key, false, bytes);
    return value;
  }

  works(rows: number): void {
    this.budget.works(rows);
  }

  private find(key: Buffer): LiveValue | undefined {
    const name = this.nameOf(key);
    if (this.writes.length > 0) {
      const own = this.ownWrite(name);
      if (own >= 0) {
        const write = this.writes[own]!;
        return write.isDelete ? undefined : this.live(write);
      }
    }
    for (const range of this.ranges) if (isInRange(key, range.start, range.end)) return undefined;
    const inFlight = this.overlay.isEmpty ? undefined : this.overlay.lookup(name, key);
    if (inFlight !== undefined) return this.readInFlight(name, key, inFlight);
    const latest = this.store.latest(key, name);
    const value = latest === undefined || latest.isTombstone ? undefined : this.live(latest);
    this.noteRead(name, key, value);
    return value;
  }

  private nameOf(key: Buffer): string {
    if (key !== this.namedKey) {
      this.namedKey = key;
      this.lastName = key.toString('latin1');
    }
    return this.lastName;
  }

  private noteRead(name: string, key: Buffer, value: LiveValue | undefined): void {
    const versionTs = value === undefined ? ABSENT : value.commitTs;
    if (this.readKeys.length === 0) {
      this.readKeys = [key];
      this.readNames = [name];
      this.readVersions = [versionTs];
    } else {
      this.readKeys.push(key);
      this.readNames.push(name);
      this.readVersions.push(versionTs);
    }
    if (value === undefined || value.expireTs === ABSENT) return;
    if (this.soonestExpireTs === ABSENT || value.expireTs < this.soonestExpireTs) this.soonestExpireTs = value.expireTs;
  }

  deletedAt(key: Buffer): HlcTimestamp {
    const name = key.toString('latin1');
    const { overlay } = this;
    const inFlight = overlay.isEmpty ? undefined : overlay.lookup(name, key);
    if (inFlight instanceof KeyWrite) return inFlight.isDelete ? inFlight.commitTs : ABSENT;
    const hidden = inFlight === undefined ? undefined : overlay.written(name);
    if (hidden !== undefined) return hidden.commitTs;
    const latest = this.store.latest(key, name);
    if (latest?.isOfRange === true) return latest.hiddenTs ?? ABSENT;
    return latest !== undefined && (latest.isTombstone || inFlight !== undefined) ? latest.commitTs : ABSENT;
  }

  writtenAt(key: Buffer): HlcTimestamp {
    const inFlight = this.overlay.isEmpty ? undefined : this.overlay.lookup(key.toString('latin1'), key);
    if (inFlight !== undefined) return inFlight.entry!.commitTs;
    return this.store.latest(key)?.commitTs ?? ABSENT;
  }

  private readInFlight(name: string, key: Buffer, source: KeyWrite | RangeWrite): LiveValue | undefined {
    const value = source instanceof KeyWrite && !source.isDelete ? this.live(source) : undefined;
    this.dependencies.push(source);
    if (source.entry === this.entry) {
      this.joinedUnit = this.joinedUnit === undefined ? source.unit!.root() : this.joinLater(source.unit!);
    } else this.noteRead(name, key, value);
    return value;
  }

  /** Whether reads joined several units, which become one only if the command writes. */
  private joinLater(unit: Unit): Unit {
    this.isMerging ||= unit.root() !== this.joinedUnit;
    return this.joinedUnit!;
  }

  /** The unit of the open entry that the command's writes belong to, merging what its reads connect; undefined for none. */
  settleUnit(): Unit | undefined {
    if (this.joinedUnit === undefined || !this.isMerging) return this.joinedUnit;
    let unit = this.joinedUnit.root();
    for (const source of this.dependencies) if (source.entry === this.entry) unit = unit.merge(source.unit!);
    return unit;
  }

  private addWrite(key: Buffer, value: Buffer | undefined, expireTs: HlcTimestamp, head?: Buffer): void {
    const write = new KeyWrite(this.nameOf(key), key, value, expireTs, this.viewTs, head);
    if (this.writes.length === 0) {
      this.writes = [write];
      return;
    }
    const before = this.ownWrite(write.name);
    if (before >= 0) {
      this.writes[before] = write;
      return;
    }
    this.writes.push(write);
    if (this.writeByName !== undefined) this.writeByName.set(write.name, this.writes.length - 1);
    else if (this.writes.length > MAX_LISTED_WRITES) {
      this.writeByName = new Map(this.writes.map((listed, at) => [listed.name, at]));
    }
  }

  keepVersion(key: Buffer): void {
    if (this.entry !== undefined && this.overlay.written(this.nameOf(key))?.entry === this.entry) {
      this.needsLaterEntry = true;
    }
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.mayWrite(key, value.length);
    this.addWrite(key, value, expireTs);
  }

  putJoined(key: Buffer, head: Buffer, rest: Buffer, expireTs: HlcTimestamp): void {
    this.mayWrite(key, head.length + rest.length);
    this.addWrite(key, rest, expireTs, head);
  }

  delete(key: Buffer): void {
    this.mayWrite(key, 0);
    this.addWrite(key, undefined, ABSENT);
  }

  /** What comes before each write of a key. @param bytes of the value @throws what refuses it */
  private mayWrite(key: Buffer, bytes: number): void {
    this.budget.spend();
    this.checkOwnership(key, 'write');
    this.checkAdmission(key, bytes);
    if (this.locks.size > 0) this.checkLock(this.locks.againstWrite(key));
    this.onAccess?.(key, true, bytes);
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.budget.spend();
    if (Buffer.compare(start, end) >= 0) return;
    this.onAccess?.(start, true, 0);
    this.refuse(this.gate.refuseRange(start, end));
    if (this.locks.size > 0) this.checkLock(this.locks.againstRangeWrite(start, end));
    const floor = this.gate.floorOf(start, end);
    if (floor > this.floorTs) this.floorTs = floor;
    for (const { key } of [...this.writes]) if (isInRange(key, start, end)) this.addWrite(key, undefined, ABSENT);
    this.ranges.push({ start, end });
  }
}
