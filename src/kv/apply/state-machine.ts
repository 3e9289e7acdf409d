/**
 * Apply: a pure function of (state, entry). No clock, no randomness, no cache of this node takes part, so replicas that
 * applied the same entries hold the same bytes. The leader computed everything; here it is only checked whether what it
 * was computed from is still true.
 */
import type { JobId, SpanTable } from '../../distribution/index.ts';
import {
  assert,
  type GroupId,
  type HlcTimestamp,
  hlcTimestamp,
  type LogIndex,
  type Millis,
  physicalMs,
  type Term,
} from '../../platform/index.ts';
import {
  type CommittedEntry,
  type ConfState,
  type Entry,
  EntryKind,
  type LeadershipEvent,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotStage,
  type StateMachine,
} from '../../raftengine/index.ts';
import type { GroupStore, StoreWriter } from '../../store/index.ts';
import { CorruptEntryError, type ImportOutcome, type ImportState, type SpanReply } from '../contract/index.ts';
import {
  ABSENT,
  decodeAppliedMeta,
  decodeAuthority,
  decodeConf,
  EntryReader,
  encodeAppliedMeta,
  encodeAuthority,
  encodeConf,
  MetaName,
  MutationKind,
  Opcode,
  readFence,
  readImport,
  readLease,
  readMark,
  readPurge,
  readSpan,
} from '../entry/index.ts';
import { type Authority, applyFence, type FenceReply, FIRST_AUTHORITY } from '../time/index.ts';
import { openGroupSnapshot, stageGroupSnapshot } from './group-snapshot.ts';
import { nameOf } from './lock-rows.ts';
import { LockTable } from './lock-table.ts';
import { ownerOf, rangeFloor } from './ownership.ts';
import { SpanState } from './span-state.ts';
import { TxnFloor } from './txn-floor.ts';
import { type TxnAnswer, TxnState } from './txn-state.ts';
import { visibleVersion } from './visible.ts';

/**
 * Why a unit was not applied: something that it was computed from has changed; it touches a key that the group does not
 * own; its timestamp is not above what the group may commit at; a lock of a transaction stands against it.
 */
export type UnitRefusal = 'conflict' | 'notOwned' | 'belowFloor' | 'locked';

/** Numbers of the units of a batch that were not applied; undefined when all were. */
export type BatchResult = ReadonlyMap<number, UnitRefusal> | undefined;

/**
 * What an entry answers: see `BatchResult`, `SpanReply` of a span command, `ImportOutcome` of an import, `FenceReply` of a fence,
 * `TxnAnswer` of an entry of a transaction; else undefined.
 */
export type EntryResult = BatchResult | SpanReply | ImportOutcome | FenceReply | TxnAnswer;

/** Hears of what entries change, see `ChangeListener`. */
export interface EntryChanges {
  isListening(): boolean;
  changed(key: Buffer, hasExpired: boolean, commitTs: HlcTimestamp): void;
  deleted(start: Buffer, end: Buffer, commitTs: HlcTimestamp): void;
}

export interface GroupStateMachineOptions {
  readonly store: GroupStore;
  /** Membership that the group starts with; used only while nothing has been applied. */
  readonly initialConf: ConfState;
}

/** The replicated state machine of one group on its store. */
export class GroupStateMachine implements StateMachine {
  private readonly store: GroupStore;
  private readonly initialConf: ConfState;
  private index: LogIndex = 0;
  private term: Term = 0;
  private conf: ConfState;
  /** Largest commit timestamp applied. */
  private largestTs: HlcTimestamp = ABSENT;
  /** Largest timestamp that came from elsewhere; see `foreignTs`. */
  private largestForeignTs: HlcTimestamp = ABSENT;
  /** Leaders issue timestamps below it; 0 before the first was committed. Never falls. */
  private ceiling: Millis = 0;
  private authorityNow: Authority = FIRST_AUTHORITY;
  private changeListener: EntryChanges | undefined;
  private adoptionListener: ((ts: HlcTimestamp) => void) | undefined;
  private readonly spans: SpanState;
  /** Locks of transactions in force; changed by apply alone. */
  readonly locks = new LockTable();
  /** Entries of transactions. */
  readonly txns: TxnState;
  /** How old a transaction may be that asks for a lock. */
  readonly txnFloor: TxnFloor;
  private isConfStored = false;
  private leadershipListener: ((event: LeadershipEvent) => void) | undefined;
  /** The last event that nobody listened to yet. */
  private unheardLeadership: LeadershipEvent | undefined;

  constructor(options: GroupStateMachineOptions) {
    this.store = options.store;
    this.initialConf = options.initialConf;
    this.conf = options.initialConf;
    this.spans = new SpanState(options.store, this.locks);
    this.txnFloor = new TxnFloor(options.store);
    this.txns = new TxnState({
      store: options.store,
      isTooOld: (startTs) => this.txnFloor.refuses(startTs),
      spans: this.spans,
      locks: this.locks,
      largestTs: () => this.largestTs,
      adopt: (ts) => this.adopt(ts),
      changes: (key, commitTs) => this.tell(key, commitTs),
      checkAuthority: (epoch) => this.checkAuthority(epoch),
    });
    this.reload();
  }

  private loadMeta() {
    const applied = this.store.meta(MetaName.Applied);
    const conf = this.store.meta(MetaName.Conf);
    const authority = this.store.meta(MetaName.Authority);
    return {
      index: this.store.appliedIndex,
      ...(applied === undefined ? { term: 0, maxTs: ABSENT, ceilingMs: 0 } : decodeAppliedMeta(applied)),
      authority: authority === undefined ? FIRST_AUTHORITY : decodeAuthority(authority),
      conf: conf === undefined ? this.initialConf : decodeConf(conf),
      isConfStored: conf !== undefined,
    };
  }

  applied(): SnapshotMeta {
    return { index: this.index, term: this.term, conf: this.conf };
  }

  durableIndex(): LogIndex {
    return this.store.durableIndex;
  }

  /** Largest commit timestamp applied so far; a new leader's clock must be past it before it issues anything. */
  get maxTs(): HlcTimestamp {
    return this.largestTs;
  }

  /**
   * Nothing with a larger timestamp was acknowledged before it was in this group's log: transactions are when their primary is,
   * and ranges that came in were by other clocks. Not replicated: an upper bound after a restart.
   */
  get foreignTs(): HlcTimestamp {
    return this.largestForeignTs;
  }

  /** The ceiling below which leaders issue timestamps, and at which the next one begins; 0 before the first. */
  get ceilingMs(): Millis {
    return this.ceiling;
  }

  /** Which oracle the group listens to. */
  get authority(): Authority {
    return this.authorityNow;
  }

  /** How far the group's timestamps have come, and under which authority. */
  timeState(isDone: boolean): FenceReply {
    return { isDone, authority: this.authorityNow, maxTs: this.largestTs, ceilingMs: this.ceiling };
  }

  /** At apply of whatever carries timestamps of an oracle: whether they were drawn under the authority that holds here. */
  checkAuthority(epoch: number): boolean {
    return epoch === this.authorityNow.epoch;
  }

  /** Which keys the group owns as of the applied index. */
  get spanTable(): SpanTable {
    return this.spans.table;
  }

  /** Grows with every change of the span table and with every import. */
  get spanRevision(): number {
    return this.spans.revision;
  }

  /** How far the imports of a job that copies to here have come. */
  importOf(job: JobId): ImportState | undefined {
    return this.spans.importOf(job);
  }

  applyPressure(): Promise<void> | undefined {
    return this.store.pressure() ?? this.spans.pressure();
  }

  /** A span command may give the group a range that this replica is still dropping older data of. */
  endsBatch(entry: Entry): boolean {
    return entry.kind === EntryKind.Normal && entry.payload[0] === Opcode.Span;
  }

  /**
   * One `EntryResult` per entry.
   * @throws CorruptEntryError for anything unknown: the replica stops
   */
  apply(entries: readonly CommittedEntry[]): unknown[] {
    const results: unknown[] = new Array(entries.length);
    for (let at = 0; at < entries.length; at++) results[at] = this.applyOne(entries[at]!);
    return results;
  }

  private applyOne(entry: CommittedEntry): EntryResult {
    assert(entry.index === this.index + 1, `entry ${entry.index} cannot follow ${this.index}`);
    const writer = this.store.write();
    let result: EntryResult;
    if (entry.kind === EntryKind.Normal && entry.payload.length > 0) result = this.applyPayload(entry, writer);
    const isConfChanged = entry.conf !== undefined;
    if (isConfChanged) this.conf = entry.conf;
    if (isConfChanged || !this.isConfStored) {
      writer.setMeta(MetaName.Conf, encodeConf(this.conf));
      this.isConfStored = true;
    }
    this.index = entry.index;
    this.term = entry.term;
    writer.setMeta(
      MetaName.Applied,
      encodeAppliedMeta({ term: this.term, maxTs: this.largestTs, ceilingMs: this.ceiling }),
    );
    writer.commit(entry.index);
    return result;
  }

  private applyPayload({ payload, index }: CommittedEntry, writer: StoreWriter): EntryResult {
    const reader = new EntryReader(payload);
    this.spans.beginEntry();
    switch (payload[0]) {
      case Opcode.Batch:
        return this.applyBatch(reader, writer, index);
      case Opcode.HlcLease:
        this.raiseCeiling(readLease(reader));
        return undefined;
      case Opcode.TsFence:
        return this.applyFence(reader, writer);
      case Opcode.SetGc: {
        const threshold = readMark(reader);
        const isPinned = this.spans.isPinned || (this.locks.oldestMinCommitTs() ?? threshold + 1n) <= threshold;
        if (threshold > this.store.gcThreshold && !isPinned) this.store.setGcThreshold(writer, threshold);
        return undefined;
      }
      case Opcode.TxnFloor:
        this.txnFloor.raise(readMark(reader), writer);
        return undefined;
      case Opcode.PurgeExpired:
        this.applyPurge(reader, writer, index);
        return undefined;
      case Opcode.Span: {
        const { answer, maxTs } = this.spans.applyCommand(readSpan(reader), writer, this.largestTs);
        this.adopt(maxTs);
        this.txns.followSpans(writer, index);
        return answer;
      }
      case Opcode.Import: {
        const { answer, maxTs } = this.spans.applyImport(readImport(reader), writer, this.largestTs);
        this.adopt(maxTs);
        return answer;
      }
      default:
        if (TxnState.applies(payload[0]!)) return this.txns.apply(payload[0]!, reader, writer, index);
        throw new CorruptEntryError(`an entry has unknown opcode ${payload[0]}; this replica is too old to apply it`);
    }
  }

  private raiseCeiling(ceilingMs: Millis): void {
    if (ceilingMs > this.ceiling) this.ceiling = ceilingMs;
  }

  /**
   * Takes over a timestamp that this group's own clock may not have issued. Whoever leads it next begins above, with the logical
   * half too; that the ceiling is above keeps "everything of the group lies below its ceiling" true.
   */
  private adopt(ts: HlcTimestamp): void {
    if (ts > this.largestForeignTs) this.largestForeignTs = ts;
    if (ts <= this.largestTs) return;
    this.largestTs = ts;
    this.raiseCeiling(physicalMs(ts) + 1);
    this.adoptionListener?.(ts);
  }

  private applyFence(reader: EntryReader, writer: StoreWriter): FenceReply {
    const command = readFence(reader);
    const next = applyFence(this.authorityNow, command);
    if (next !== undefined) {
      if (command.kind === 'open') this.adopt(command.floor);
      this.authorityNow = next;
      writer.setMeta(MetaName.Authority, encodeAuthority(next));
    }
    return this.timeState(next !== undefined);
  }

  /**
   * Checks every unit against the state before the entry, then writes the units that passed. A unit is all or nothing.
   */
  private applyBatch(reader: EntryReader, writer: StoreWriter, index: LogIndex): BatchResult {
    this.raiseCeiling(reader.batchCeiling());
    const commitTs = reader.timestamp();
    const unitCount = reader.u32();
    const refusals = new Refusals();
    const expectCount = reader.u32();
    const mutationCount = reader.u32();
    const table = this.spans.table;
    const isLocked = this.locks.size > 0;
    const expected = new ExpectedNames();
    for (let left = expectCount; left > 0; left--) {
      const unit = reader.unit(unitCount);
      const isVersion = reader.expectKind();
      const key = reader.view();
      const name = expected.add(key);
      const versionTs = isVersion ? reader.timestamp() : ABSENT;
      if (ownerOf(table, key, 'write') === undefined) refusals.add(unit, 'notOwned');
      else if (isLocked && this.locks.againstRead(key) !== undefined) refusals.add(unit, 'locked');
      else if (!refusals.has(unit) && visibleVersion(this.store.latest(key, name), commitTs) !== versionTs)
        refusals.add(unit, 'conflict');
    }
    const keys = this.checkMutations(reader.fork(), unitCount, mutationCount, commitTs, refusals);
    const isCaptured = this.spans.isCapturing;
    const isHeard = this.changeListener?.isListening() === true;
    for (let at = 0; at < mutationCount; at++) {
      const unit = reader.unit(unitCount);
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
          if (isHeard) this.tell(key, commitTs);
          writer.put(key, value, commitTs, expireTs, expected.nameOf(key));
          if (isCaptured) this.spans.capture(writer, index, 'put', key, commitTs);
          break;
        }
        case MutationKind.Delete:
          if (isDropped) break;
          if (isHeard) this.tell(key, commitTs);
          writer.delete(key, commitTs, expected.nameOf(key));
          if (isCaptured) this.spans.capture(writer, index, 'delete', key, commitTs);
          break;
        default: {
          const end = reader.view();
          if (isDropped) break;
          if (isHeard) this.changeListener!.deleted(key, end, commitTs);
          // The timestamp before the entry's own is reserved for this: puts of the same entry stay visible.
          writer.deleteRange(key, end, hlcTimestamp(commitTs - 1n));
          if (isCaptured) this.spans.captureRange(writer, index, key, end, commitTs);
        }
      }
    }
    reader.end();
    if (commitTs > this.largestTs) this.largestTs = commitTs;
    return refusals.units;
  }

  /**
   * Which units may write what they want to. Log order is timestamp order as long as one sequencer issues both, and then one
   * comparison with the largest timestamp proves for every key that its latest version is older; otherwise each key is
   * asked. A range delete cannot be asked key by key and then counts as a conflict.
   * @param ahead stands at the mutations
   * @returns the key of each mutation
   */
  private checkMutations(
    ahead: EntryReader,
    unitCount: number,
    mutationCount: number,
    commitTs: HlcTimestamp,
    refusals: Refusals,
  ): Buffer[] {
    const keys: Buffer[] = [];
    const table = this.spans.table;
    const isInOrder = commitTs > this.largestTs;
    const isLocked = this.locks.size > 0;
    for (let left = mutationCount; left > 0; left--) {
      const unit = ahead.unit(unitCount);
      const kind = ahead.u8();
      const key = ahead.view();
      keys.push(key);
      if (kind === MutationKind.DeleteRange) {
        const end = ahead.view();
        const floor = rangeFloor(table, key, end);
        if (floor === undefined) refusals.add(unit, 'notOwned');
        else if (isLocked && this.locks.againstRangeWrite(key, end) !== undefined) refusals.add(unit, 'locked');
        else if (commitTs - 1n <= floor) refusals.add(unit, 'belowFloor');
        else if (!isInOrder) refusals.add(unit, 'conflict');
        continue;
      }
      if (kind === MutationKind.Put || kind === MutationKind.PutExpiring) {
        ahead.skipBytes();
        if (kind === MutationKind.PutExpiring) ahead.timestamp();
      } else if (kind !== MutationKind.Delete)
        throw new CorruptEntryError(`an entry has unknown mutation kind ${kind}`);
      const owner = ownerOf(table, key, 'write');
      if (owner === undefined) refusals.add(unit, 'notOwned');
      else if (isLocked && this.locks.againstWrite(key) !== undefined) refusals.add(unit, 'locked');
      else if (commitTs <= owner.minWriteTs) refusals.add(unit, 'belowFloor');
      else if (!isInOrder) {
        const latest = this.store.latest(key);
        if (latest !== undefined && latest.commitTs >= commitTs) refusals.add(unit, 'conflict');
      }
    }
    return keys;
  }

  /** What the group may not write stays for whoever owns it next. */
  private applyPurge(reader: EntryReader, writer: StoreWriter, index: LogIndex): void {
    const { commitTs, versions } = readPurge(reader);
    const purged = new Set<string>();
    for (const { key, commitTs: versionTs } of versions) {
      const latest = this.store.latest(key);
      const isSame = latest !== undefined && !latest.isTombstone && latest.commitTs === versionTs;
      if (!isSame || latest.expireTs === ABSENT || latest.expireTs > commitTs || versionTs >= commitTs) continue;
      const owner = ownerOf(this.spans.table, key, 'write');
      if (owner === undefined || commitTs <= owner.minWriteTs || this.locks.againstWrite(key) !== undefined) continue;
      const name = key.toString('latin1');
      if (purged.has(name)) continue;
      purged.add(name);
      this.tell(key, commitTs);
      writer.delete(key, commitTs);
      if (this.spans.isCapturing) this.spans.capture(writer, index, 'delete', key, commitTs);
    }
    if (commitTs > this.largestTs) this.largestTs = commitTs;
  }

  /** A key is about to be written or deleted. */
  private tell(key: Buffer, commitTs: HlcTimestamp): void {
    const listener = this.changeListener;
    if (listener?.isListening() !== true) return;
    const before = this.store.latest(key);
    const isLive = before !== undefined && !before.isTombstone;
    listener.changed(key, isLive && before.expireTs !== ABSENT && before.expireTs <= commitTs, commitTs);
  }

  /** The one who wants to know what entries change. It takes no part in what apply does. */
  listenToChanges(listener: EntryChanges): void {
    this.changeListener = listener;
  }

  /** The clock of this replica hears of timestamps that came with ranges and authorities: it must be past them. */
  listenToAdoptions(listener: (ts: HlcTimestamp) => void): void {
    this.adoptionListener = listener;
  }

  /** The one who wants to know about leadership; an event that came earlier is delivered at once. */
  listenToLeadership(listener: (event: LeadershipEvent) => void): void {
    assert(this.leadershipListener === undefined, 'leadership of a group has one listener');
    this.leadershipListener = listener;
    const unheard = this.unheardLeadership;
    this.unheardLeadership = undefined;
    if (unheard !== undefined) listener(unheard);
  }

  onLeadership(event: LeadershipEvent): void {
    if (this.leadershipListener === undefined) this.unheardLeadership = event;
    else this.leadershipListener(event);
  }

  openSnapshot(group: GroupId): Promise<SnapshotReader> {
    return openGroupSnapshot(this.store, group);
  }

  stageSnapshot(group: GroupId, manifest: Buffer): Promise<SnapshotStage> {
    return stageGroupSnapshot(this.store, group, manifest, () => this.reload());
  }

  /** Takes over what the store says: on start, and after a snapshot was installed. */
  private reload(): void {
    const loaded = this.loadMeta();
    this.index = loaded.index;
    this.term = loaded.term;
    this.conf = loaded.conf;
    this.largestTs = loaded.maxTs;
    this.largestForeignTs = loaded.maxTs;
    this.ceiling = loaded.ceilingMs;
    this.authorityNow = loaded.authority;
    this.isConfStored = loaded.isConfStored;
    this.spans.reload();
    this.txnFloor.reload();
    this.locks.reload(this.store.residentSides());
  }

  async close(): Promise<void> {
    await this.store.close();
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
