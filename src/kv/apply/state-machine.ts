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
  type Preparation,
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
  Opcode,
  readFence,
  readImport,
  readLease,
  readMark,
  readPurge,
  readSpan,
} from '../entry/index.ts';
import { type Authority, applyFence, type FenceReply, FIRST_AUTHORITY } from '../time/index.ts';
import { type BatchResult, BatchUnderWay, type StateBefore } from './batch.ts';
import { openGroupSnapshot, stageGroupSnapshot } from './group-snapshot.ts';
import { LockTable } from './lock-table.ts';
import { ownerOf } from './ownership.ts';
import { SpanState } from './span-state.ts';
import { TxnFloor } from './txn-floor.ts';
import { type TxnAnswer, TxnState } from './txn-state.ts';

/**
 * What an entry answers: see `BatchResult`, `SpanReply` of a span command, `ImportOutcome` of an import, `FenceReply` of a fence,
 * `TxnAnswer` of an entry of a transaction; else undefined.
 */
export type EntryResult = BatchResult | SpanReply | ImportOutcome | FenceReply | TxnAnswer;

/** Rows that are prepared in one go, about a millisecond. */
const PREPARED_AT_ONCE = 256;

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
  /** The next entry to be applied, when work on it has begun. */
  private prepared: { readonly index: LogIndex; readonly batch: BatchUnderWay } | undefined;
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

  logStable(index: LogIndex): void {
    this.store.logStable(index);
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

  private stateBefore(): StateBefore {
    return { store: this.store, locks: this.locks, table: this.spans.table, largestTs: this.largestTs };
  }

  prepare({ index, kind, payload }: Entry): Preparation | undefined {
    if (kind !== EntryKind.Normal || payload[0] !== Opcode.Batch) return undefined;
    const batch = new BatchUnderWay(new EntryReader(payload), this.stateBefore(), true);
    this.prepared = { index, batch };
    return { step: () => batch.prepare(PREPARED_AT_ONCE) };
  }

  private applyBatch(reader: EntryReader, writer: StoreWriter, index: LogIndex): BatchResult {
    const isPrepared = this.prepared?.index === index;
    const batch = isPrepared ? this.prepared!.batch : new BatchUnderWay(reader, this.stateBefore());
    this.prepared = undefined;
    batch.check();
    this.raiseCeiling(batch.ceilingMs);
    const { commitTs } = batch;
    const isHeard = this.changeListener?.isListening() === true;
    const isCaptured = this.spans.isCapturing;
    const result = batch.write(writer, {
      key: isHeard ? (key) => this.tell(key, commitTs) : undefined,
      range: isHeard ? (start, end) => this.changeListener!.deleted(start, end, commitTs) : undefined,
      written: isCaptured ? (kind, key) => this.spans.capture(writer, index, kind, key, commitTs) : undefined,
      rangeWritten: isCaptured
        ? (start, end) => this.spans.captureRange(writer, index, start, end, commitTs)
        : undefined,
    });
    if (commitTs > this.largestTs) this.largestTs = commitTs;
    return result;
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
    this.prepared = undefined;
    this.spans.reload();
    this.txnFloor.reload();
    this.locks.reload(this.store.residentSides());
  }

  async close(): Promise<void> {
    await this.store.close();
  }
}
