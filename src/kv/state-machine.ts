/**
 * Apply: a pure function of (state, entry). No clock, no randomness, no cache of this node takes part, so replicas that
 * applied the same entries hold the same bytes. The leader computed everything; here it is only checked whether what it
 * was computed from is still true.
 */
import { assert, type HlcTimestamp, hlcTimestamp, type LogIndex, type Term } from '../platform/index.ts';
import {
  type CommittedEntry,
  type ConfState,
  EntryKind,
  type LeadershipEvent,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotStage,
  type StateMachine,
} from '../raftengine/index.ts';
import type { GroupStore, StoreImport, StoreWriter } from '../store/index.ts';
import { ABSENT, EntryReader, MutationKind, Opcode, readPurge } from './entry.ts';
import { CorruptEntryError } from './errors.ts';
import {
  decodeAppliedMeta,
  decodeConf,
  decodeSnapshotHeader,
  encodeAppliedMeta,
  encodeConf,
  encodeSnapshotHeader,
  MetaName,
} from './group-meta.ts';

/** Numbers of the units of a batch that conflicted; undefined when none did. */
export type BatchResult = ReadonlySet<number> | undefined;

/** How many changes of term or membership are remembered for describing an export that was taken a little earlier. */
const MAX_REMEMBERED_METAS = 64;

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
  /** Points of the log where term or membership changed, oldest first; the last one holds for `index`. */
  private changes: SnapshotMeta[] = [];
  private isConfStored = false;
  private leadershipListener: ((event: LeadershipEvent) => void) | undefined;
  /** The last event that nobody listened to yet. */
  private unheardLeadership: LeadershipEvent | undefined;

  constructor(options: GroupStateMachineOptions) {
    this.store = options.store;
    this.initialConf = options.initialConf;
    this.conf = options.initialConf;
    this.reload();
  }

  private loadMeta() {
    const applied = this.store.meta(MetaName.Applied);
    const conf = this.store.meta(MetaName.Conf);
    const { term, maxTs } = applied === undefined ? { term: 0, maxTs: ABSENT } : decodeAppliedMeta(applied);
    return {
      index: this.store.appliedIndex,
      term,
      maxTs,
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

  applyPressure(): Promise<void> | undefined {
    return this.store.pressure();
  }

  /**
   * One result per entry: a `BatchResult` for a batch, undefined for the rest.
   * @throws CorruptEntryError for anything unknown: the replica stops
   */
  apply(entries: readonly CommittedEntry[]): unknown[] {
    const results: unknown[] = new Array(entries.length);
    for (let at = 0; at < entries.length; at++) results[at] = this.applyOne(entries[at]!);
    return results;
  }

  private applyOne(entry: CommittedEntry): BatchResult {
    assert(entry.index === this.index + 1, `entry ${entry.index} cannot follow ${this.index}`);
    const writer = this.store.write();
    let result: BatchResult;
    if (entry.kind === EntryKind.Normal && entry.payload.length > 0) result = this.applyPayload(entry.payload, writer);
    const isConfChanged = entry.conf !== undefined;
    if (isConfChanged) this.conf = entry.conf;
    if (isConfChanged || !this.isConfStored) {
      writer.setMeta(MetaName.Conf, encodeConf(this.conf));
      this.isConfStored = true;
    }
    const isTermChanged = entry.term !== this.term;
    this.index = entry.index;
    this.term = entry.term;
    writer.setMeta(MetaName.Applied, encodeAppliedMeta(this.term, this.largestTs));
    writer.commit(entry.index);
    if (isTermChanged || isConfChanged) this.rememberChange();
    return result;
  }

  private rememberChange(): void {
    this.changes.push(this.applied());
    if (this.changes.length > MAX_REMEMBERED_METAS) this.changes.shift();
  }

  private applyPayload(payload: Buffer, writer: StoreWriter): BatchResult {
    const reader = new EntryReader(payload);
    switch (payload[0]) {
      case Opcode.Batch:
        return this.applyBatch(reader, writer);
      case Opcode.SetGc: {
        const threshold = reader.timestamp();
        reader.end();
        if (threshold > this.store.gcThreshold) this.store.setGcThreshold(writer, threshold);
        return undefined;
      }
      case Opcode.PurgeExpired:
        this.applyPurge(reader, writer);
        return undefined;
      default:
        throw new CorruptEntryError(`an entry has unknown opcode ${payload[0]}; this replica is too old to apply it`);
    }
  }

  /**
   * Checks every expectation against the state before the entry, then writes the units that passed. A unit is all or
   * nothing.
   */
  private applyBatch(reader: EntryReader, writer: StoreWriter): BatchResult {
    const commitTs = reader.timestamp();
    const unitCount = reader.u32();
    const expectCount = reader.u32();
    const mutationCount = reader.u32();
    let conflicts: Set<number> | undefined;
    for (let left = expectCount; left > 0; left--) {
      const unit = reader.unit(unitCount);
      const isVersion = reader.expectKind();
      const key = reader.bytes();
      const versionTs = isVersion ? reader.timestamp() : ABSENT;
      if (conflicts?.has(unit) !== true && this.versionAt(key, commitTs) !== versionTs) {
        conflicts ??= new Set();
        conflicts.add(unit);
      }
    }
    // Log order is timestamp order as long as one sequencer issues both, and then this one comparison proves for every
    // key that its latest version is older. Otherwise each key is asked.
    if (commitTs <= this.largestTs)
      conflicts = this.checkEachKey(reader, unitCount, mutationCount, commitTs, conflicts);
    for (let left = mutationCount; left > 0; left--) {
      const unit = reader.unit(unitCount);
      const kind = reader.u8();
      const key = reader.bytes();
      const isDropped = conflicts?.has(unit) === true;
      switch (kind) {
        case MutationKind.Put: {
          const value = reader.bytes();
          if (!isDropped) writer.put(key, value, commitTs, ABSENT);
          break;
        }
        case MutationKind.PutExpiring: {
          const value = reader.bytes();
          const expireTs = reader.timestamp();
          if (!isDropped) writer.put(key, value, commitTs, expireTs);
          break;
        }
        case MutationKind.Delete:
          if (!isDropped) writer.delete(key, commitTs);
          break;
        case MutationKind.DeleteRange: {
          const end = reader.bytes();
          // The timestamp before the entry's own is reserved for this: puts of the same entry stay visible.
          if (!isDropped) writer.deleteRange(key, end, hlcTimestamp(commitTs - 1n));
          break;
        }
        default:
          throw new CorruptEntryError(`an entry has unknown mutation kind ${kind}`);
      }
    }
    reader.end();
    if (commitTs > this.largestTs) this.largestTs = commitTs;
    return conflicts;
  }

  /** The version that a read at `ts` sees, ABSENT when there is none, it is a tombstone, or it has expired. */
  private versionAt(key: Buffer, ts: HlcTimestamp): HlcTimestamp {
    const latest = this.store.latest(key);
    if (latest === undefined || latest.isTombstone) return ABSENT;
    if (latest.expireTs !== ABSENT && latest.expireTs <= ts) return ABSENT;
    return latest.commitTs;
  }

  /** The slow form of the timestamp guard. A range delete cannot be asked key by key and counts as a conflict. */
  private checkEachKey(
    reader: EntryReader,
    unitCount: number,
    mutationCount: number,
    commitTs: HlcTimestamp,
    found: Set<number> | undefined,
  ): Set<number> | undefined {
    let conflicts = found;
    const ahead = reader.fork();
    for (let left = mutationCount; left > 0; left--) {
      const unit = ahead.unit(unitCount);
      const kind = ahead.u8();
      const key = ahead.bytes();
      if (kind !== MutationKind.Delete) ahead.bytes();
      if (kind === MutationKind.PutExpiring) ahead.timestamp();
      const latest = kind === MutationKind.DeleteRange ? undefined : this.store.latest(key);
      if (kind === MutationKind.DeleteRange || (latest !== undefined && latest.commitTs >= commitTs)) {
        conflicts ??= new Set();
        conflicts.add(unit);
      }
    }
    return conflicts;
  }

  private applyPurge(reader: EntryReader, writer: StoreWriter): void {
    const { commitTs, versions } = readPurge(reader);
    const purged = new Set<string>();
    for (const { key, commitTs: versionTs } of versions) {
      const latest = this.store.latest(key);
      const isSame = latest !== undefined && !latest.isTombstone && latest.commitTs === versionTs;
      if (!isSame || latest.expireTs === ABSENT || latest.expireTs > commitTs || versionTs >= commitTs) continue;
      const name = key.toString('latin1');
      if (purged.has(name)) continue;
      purged.add(name);
      writer.delete(key, commitTs);
    }
    if (commitTs > this.largestTs) this.largestTs = commitTs;
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

  async openSnapshot(): Promise<SnapshotReader> {
    const copy = await this.store.exportFrames();
    // Entries may have been applied since the copy was taken: describe the copy, not the present.
    const change = this.changes.findLast((meta) => meta.index <= copy.appliedIndex);
    if (change === undefined) {
      await copy.close();
      throw new CorruptEntryError('the copy is older than every term that is still remembered');
    }
    const meta: SnapshotMeta = { index: copy.appliedIndex, term: change.term, conf: change.conf };
    return {
      meta,
      async *frames() {
        yield encodeSnapshotHeader(meta);
        yield* copy.frames();
      },
      close: () => copy.close(),
    };
  }

  async stageSnapshot(): Promise<SnapshotStage> {
    return new StagedSnapshot(await this.store.stageImport(), () => this.reload());
  }

  /** Takes over what the store says: on start, and after a snapshot was installed. */
  private reload(): void {
    const loaded = this.loadMeta();
    this.index = loaded.index;
    this.term = loaded.term;
    this.conf = loaded.conf;
    this.largestTs = loaded.maxTs;
    this.isConfStored = loaded.isConfStored;
    this.changes = [this.applied()];
  }

  async close(): Promise<void> {
    await this.store.close();
  }
}

/** A snapshot on its way in: the header frame is ours, the rest is the store's. */
class StagedSnapshot implements SnapshotStage {
  private readonly staged: StoreImport;
  private readonly onInstalled: () => void;
  private header: SnapshotMeta | undefined;

  constructor(staged: StoreImport, onInstalled: () => void) {
    this.staged = staged;
    this.onInstalled = onInstalled;
  }

  async write(frame: Buffer): Promise<void> {
    if (this.header === undefined) this.header = decodeSnapshotHeader(frame);
    else await this.staged.write(frame);
  }

  async finish(): Promise<SnapshotMeta> {
    const header = this.header;
    if (header === undefined) throw new CorruptEntryError('a snapshot ended before its header');
    const index = await this.staged.finish();
    if (index !== header.index) {
      throw new CorruptEntryError(`a snapshot of index ${header.index} holds the state of index ${index}`);
    }
    return header;
  }

  async install(): Promise<void> {
    await this.staged.install();
    this.onInstalled();
  }

  async discard(): Promise<void> {
    await this.staged.discard();
  }
}
