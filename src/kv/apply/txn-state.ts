/**
 * What entries of transactions do to a group: a pure function of (state, entry), like all of apply. Each entry is all or
 * nothing. Locks and statuses are side rows; the lock table in memory follows them.
 */

import { assertNever, END_OF_TIME, type HlcTimestamp, type LogIndex } from '../../platform/index.ts';
import type { GroupStore, SideSource, StoreWriter } from '../../store/index.ts';
import {
  type CommitReply,
  CorruptEntryError,
  type FinishRequest,
  type KeyIntent,
  type LockFacts,
  type PrepareReply,
  type PushReply,
  type RangeIntent,
  type TxnIdentity,
  type TxnStatus,
} from '../contract/index.ts';
import {
  ABSENT,
  type AbortEntry,
  anchorOf,
  type CommitEntry,
  EntryReader,
  type ForgetEntry,
  Opcode,
  type PrepareEntry,
  type PushEntry,
  type ResolveEntry,
  readAbort,
  readCommit,
  readForget,
  readPrepare,
  readPush,
  readResolve,
  readTogether,
} from '../entry/index.ts';
import {
  decodeStatus,
  encodeStatus,
  Lock,
  type LockHolder,
  type LockPlace,
  lockName,
  nameOf,
  rangeLock,
  statusName,
  type TxnStatusRow,
} from './lock-rows.ts';
import type { LockTable } from './lock-table.ts';
import { overlapping, ownerOf, rangeFloor } from './ownership.ts';
import type { SpanState } from './span-state.ts';
import { visibleVersion } from './visible.ts';

/**
 * What an entry of a transaction answers.
 * - `notOwned`: nothing happened; the group may not write the key (or the range that begins there) now.
 * - `belowFloor`: nothing happened; the entry's timestamp has to be above `floorTs`.
 * - `together`: what each part of an entry of several answers, in order.
 * - `ended`: locks that a RESOLVE ended, statuses that a FORGET removed.
 */
export type TxnAnswer =
  | PrepareReply
  | CommitReply
  | PushReply
  | { readonly kind: 'notOwned'; readonly key: Buffer }
  | { readonly kind: 'belowFloor'; readonly floorTs: HlcTimestamp }
  | { readonly kind: 'ended'; readonly count: number }
  | { readonly kind: 'together'; readonly answers: readonly TxnAnswer[] };

/** The rest of the state machine, as entries of transactions need it. */
export interface TxnHost {
  readonly store: GroupStore;
  readonly spans: SpanState;
  readonly locks: LockTable;
  /** Largest timestamp applied. */
  largestTs(): HlcTimestamp;
  /** Takes over a timestamp that was applied. */
  adopt(ts: HlcTimestamp): void;
  /** A key is about to be written or deleted. */
  changes(key: Buffer, commitTs: HlcTimestamp): void;
  checkAuthority(epoch: number): boolean;
  /** What was certified for collection may not be contradicted by a lock that comes late. */
  isTooOld(startTs: HlcTimestamp): boolean;
}

/** The key that a side row belongs to, and `nameOf` of it. */
type SidePlace = Pick<Lock, 'key' | 'keyName'>;

const ROLLED_BACK: TxnStatus = { kind: 'rolledBack' };

/** The unit of the entry that is being applied. */
interface Place {
  readonly writer: StoreWriter;
  readonly index: LogIndex;
  /** The entry's own timestamp. */
  readonly ts: HlcTimestamp;
}

export class TxnState {
  private readonly host: TxnHost;
  /** Largest timestamp applied before the present entry. */
  private floorTs: HlcTimestamp = ABSENT;
  /** Keys that parts of the present entry have written; undefined while it is one alone. */
  private touched: Set<string> | undefined;

  constructor(host: TxnHost) {
    this.host = host;
  }

  /** True for the opcodes that this applies. */
  static applies(opcode: number): boolean {
    return opcode >= Opcode.OnePhase && opcode <= Opcode.Together;
  }

  /** @throws CorruptEntryError */
  apply(opcode: number, reader: EntryReader, writer: StoreWriter, index: LogIndex): TxnAnswer {
    this.floorTs = this.host.largestTs();
    if (opcode !== Opcode.Together) return this.applyOne(opcode, reader, writer, index);
    this.touched = new Set();
    try {
      const parts = readTogether(reader);
      const answers = parts.map((part) => this.applyOne(part[0]!, new EntryReader(part), writer, index));
      return { kind: 'together', answers };
    } finally {
      this.touched = undefined;
    }
  }

  private applyOne(opcode: number, reader: EntryReader, writer: StoreWriter, index: LogIndex): TxnAnswer {
    const at = (ts: HlcTimestamp): Place => ({ writer, index, ts });
    switch (opcode) {
      case Opcode.OnePhase: {
        const entry = readPrepare(reader);
        return this.applyOnePhase(entry, at(entry.ts));
      }
      case Opcode.Prepare: {
        // Locks outlive the entry, whose memory is that of a whole frame: all that they keep lies in one copy of it.
        const entry = readPrepare(reader.copy());
        return this.applyPrepare(entry, at(entry.ts));
      }
      case Opcode.Commit: {
        const entry = readCommit(reader);
        return this.applyCommit(entry, at(entry.ts));
      }
      case Opcode.Abort: {
        const entry = readAbort(reader);
        return this.applyAbort(entry, at(entry.ts));
      }
      case Opcode.Push: {
        const entry = readPush(reader);
        return this.applyPush(entry, at(entry.ts));
      }
      case Opcode.Forget: {
        const entry = readForget(reader);
        return this.applyForget(entry, at(entry.ts));
      }
      case Opcode.Resolve: {
        const entry = readResolve(reader);
        return this.applyResolve(entry, at(entry.ts));
      }
      default:
        throw new CorruptEntryError(`opcode ${opcode} is none of a transaction's`);
    }
  }

  // ---- rows

  /** What earlier parts of an entry have written cannot be read before the whole of it is. @param keyName `nameOf` of the key */
  private assertSettled(keyName: string): void {
    if (this.touched?.has(keyName) === true) {
      throw new CorruptEntryError('two parts of an entry touch one key; whoever proposed it must keep them apart');
    }
  }

  private setSide(
    { writer, index, ts }: Place,
    { key, keyName }: SidePlace,
    name: Buffer,
    value: Buffer | SideSource | undefined,
  ): void {
    const { spans } = this.host;
    this.touched?.add(keyName);
    writer.setSide(key, name, value, keyName);
    if (!spans.isCapturing) return;
    const bytes = value === undefined || Buffer.isBuffer(value) ? value : value.encode();
    spans.captureSide(writer, index, { key, name, value: bytes }, ts);
  }

  private addLock(place: Place, lock: Lock): void {
    this.setSide(place, lock, lock.rowName, lock);
    this.host.locks.add(lock);
  }

  private endLock(place: Place, lock: Lock): void {
    this.setSide(place, lock, lock.rowName, undefined);
    this.host.locks.remove(lock);
  }

  /** @param name see `statusName` */
  private statusAt(key: Buffer, name: Buffer): TxnStatusRow | undefined {
    if (this.touched !== undefined) this.assertSettled(nameOf(key));
    const row = this.host.store.side(key, name);
    return row === undefined ? undefined : decodeStatus(row);
  }

  private setStatus(place: Place, key: Buffer, txnId: Buffer, row: TxnStatusRow): void {
    this.setSide(place, { key, keyName: nameOf(key) }, statusName(txnId), encodeStatus(row));
  }

  private putVersion(
    { writer, index }: Place,
    { key, kind, value, expireTs }: LockPlace,
    keyName: string,
    commitTs: HlcTimestamp,
  ) {
    const { spans } = this.host;
    const isPut = kind === 'put';
    this.touched?.add(keyName);
    this.host.changes(key, commitTs);
    if (isPut) writer.put(key, value, commitTs, expireTs, keyName);
    else writer.delete(key, commitTs, keyName);
    if (spans.isCapturing) spans.capture(writer, index, isPut ? 'put' : 'delete', key, commitTs);
    this.host.adopt(commitTs);
  }

  // ---- ownership

  private isOwned(key: Buffer): boolean {
    return ownerOf(this.host.spans.table, key, 'write') !== undefined;
  }

  /** The first key of these that may not be written here. */
  private foreignKey(keys: readonly Buffer[], ranges: readonly RangeIntent[]): Buffer | undefined {
    const { table } = this.host.spans;
    for (const key of keys) if (!this.isOwned(key)) return key;
    return ranges.find(({ start, end }) => rangeFloor(table, start, end) === undefined)?.start;
  }

  // ---- PREPARE

  private applyOnePhase(entry: PrepareEntry, place: Place): TxnAnswer {
    const names = namesOf(entry);
    const refused = this.refusePrepare(entry, names);
    const { txnId, primary, startTs, participants, ts } = entry;
    if (refused !== undefined) {
      if (isForGood(refused)) {
        this.setStatus(place, primary, txnId, { status: ROLLED_BACK, startTs, isPrimary: true, participants });
      }
      return refused;
    }
    this.host.adopt(ts);
    for (const [at, intent] of entry.keys.entries()) {
      if (intent.kind !== 'read') this.putVersion(place, intent, names[at]!, ts);
    }
    const status: TxnStatus = { kind: 'committed', commitTs: ts };
    this.setStatus(place, primary, txnId, { status, startTs, isPrimary: true, participants });
    return status;
  }

  /** @param entry in memory of its own */
  private applyPrepare(entry: PrepareEntry, place: Place): TxnAnswer {
    const names = namesOf(entry);
    const refused = this.refusePrepare(entry, names);
    if (refused !== undefined) return refused;
    const { locks } = this.host;
    const { txnId, primary, startTs, deadlineTs, participants, ts } = entry;
    this.host.adopt(ts);
    const rowName = lockName(txnId);
    const holder: LockHolder = { txnId, primary, startTs, minCommitTs: ts, deadlineTs, participants, rowName };
    let minCommitTs = ts;
    for (let at = 0; at < names.length; at++) {
      const intent = entry.keys[at]!;
      const own = locks.own(intent.key, txnId, names[at]);
      if (own === undefined) this.addLock(place, new Lock(holder, intent, names[at]!));
      else if (own.minCommitTs > minCommitTs) minCommitTs = own.minCommitTs;
    }
    for (const range of entry.ranges) this.lockRange(holder, range, place);
    return { kind: 'prepared', minCommitTs };
  }

  /** One lock for each span that the range touches, so that every piece travels with its span. */
  private lockRange(holder: LockHolder, { start, end }: RangeIntent, place: Place): void {
    const { locks, spans } = this.host;
    for (const span of overlapping(spans.table, start, end)) {
      const from = Buffer.compare(span.start, start) > 0 ? span.start : start;
      const to = span.end !== undefined && Buffer.compare(span.end, end) < 0 ? span.end : end;
      const isHeld = locks
        .ownRanges(from, to, holder.txnId)
        .some((lock) => lock.key.equals(from) && lock.end!.equals(to));
      if (!isHeld) this.addLock(place, rangeLock(holder, from, to));
    }
  }

  /** Why the locks are not given; the order matters: a repetition finds its outcome before it is told anything else. */
  private refusePrepare(entry: PrepareEntry, names: readonly string[]): TxnAnswer | undefined {
    const { host } = this;
    const { table } = host.spans;
    const { txnId, keys, ranges, ts } = entry;
    let keyFloorTs: HlcTimestamp | undefined;
    for (const { key } of keys) {
      const owner = ownerOf(table, key, 'write');
      if (owner === undefined) return { kind: 'notOwned', key };
      if (ts <= owner.minWriteTs) keyFloorTs ??= owner.minWriteTs;
    }
    const foreign = this.foreignKey([], ranges);
    if (foreign !== undefined) return { kind: 'notOwned', key: foreign };
    const status = this.statusBefore(entry, names);
    if (status !== undefined) return status;
    if (entry.startTs <= entry.oldestStartTs || host.isTooOld(entry.startTs)) return { kind: 'tooOld' };
    let floorTs = this.floorTs;
    for (const { notAboveTs } of keys) {
      if (notAboveTs === undefined) continue;
      // What is below the threshold may be forgotten: a delete since then too.
      if (host.isTooOld(notAboveTs)) return { kind: 'tooOld' };
      if (notAboveTs > floorTs) floorTs = notAboveTs;
    }
    if (!host.checkAuthority(entry.authorityEpoch)) return { kind: 'wrongAuthority' };
    // Above everything applied, so above every version, range delete and read of every key here.
    if (ts <= floorTs) return { kind: 'belowFloor', floorTs };
    if (keyFloorTs !== undefined) return { kind: 'belowFloor', floorTs: keyFloorTs };
    const lock = this.conflict(entry, names);
    if (lock !== undefined) return { kind: 'locked', lock: factsOf(lock) };
    for (const [at, { key, expected, notAboveTs }] of keys.entries()) {
      if (expected === undefined && notAboveTs === undefined) continue;
      const name = names[at]!;
      if (host.locks.own(key, txnId, name) !== undefined) continue;
      if (expected !== undefined && this.versionAt(key, name, ts) !== expected) return { kind: 'changed', key };
      if (notAboveTs !== undefined && this.writtenAt(key, name) > notAboveTs) return { kind: 'changed', key };
    }
    return undefined;
  }

  /** How the transaction has ended already, if it has here. All keys of the entry are owned. */
  private statusBefore(
    { txnId, primary, keys, ranges, isAnchored }: PrepareEntry,
    names: readonly string[],
  ): TxnStatus | undefined {
    const name = statusName(txnId);
    const anchor = isAnchored ? anchorOf(writesOf(keys)) : undefined;
    const candidates = anchor === undefined ? keys.map(({ key }) => key) : this.anchored(keys, names, anchor, txnId);
    const others = candidates.filter((key) => !key.equals(primary));
    const starts = ranges.map(({ start }) => start).filter((start) => this.isOwned(start));
    for (const key of [...(this.isOwned(primary) ? [primary] : []), ...others, ...starts]) {
      const status = this.statusAt(key, name)?.status;
      if (status !== undefined) return status;
    }
    return undefined;
  }

  /**
   * Which of the keys of a part may have a status. All of them are locked by one entry, and the anchor's lock never ends without one: where the anchor has
   * neither, the entry is the first. Where it has its lock still, it comes again, and what others have resolved of it meanwhile has a status each.
   */
  private anchored(
    keys: readonly KeyIntent[],
    names: readonly string[],
    anchor: Buffer,
    txnId: Buffer,
  ): readonly Buffer[] {
    const { locks } = this.host;
    for (const name of names) this.assertSettled(name);
    if (locks.size === 0 || locks.own(anchor, txnId) === undefined) return [anchor];
    const open = keys.filter(({ key }, at) => locks.own(key, txnId, names[at]) === undefined);
    return open.map(({ key }) => key);
  }

  /** A lock of another that stands against these; also for the leader, before it proposes. @param names of the keys, for whoever has them */
  conflict(
    { txnId, keys, ranges }: Pick<PrepareEntry, 'txnId' | 'keys' | 'ranges'>,
    names?: readonly string[],
  ): Lock | undefined {
    const { locks } = this.host;
    if (locks.size === 0) return undefined;
    for (const [at, { key, kind }] of keys.entries()) {
      const name = names?.[at];
      const lock = kind === 'read' ? locks.againstRead(key, txnId, name) : locks.againstWrite(key, txnId, name);
      if (lock !== undefined) return lock;
    }
    for (const { start, end } of ranges) {
      const lock = locks.againstScan(start, end, END_OF_TIME, txnId);
      if (lock !== undefined) return lock;
    }
    return undefined;
  }

  /** The live version of a key at `ts`, ABSENT when there is none. */
  private versionAt(key: Buffer, name: string, ts: HlcTimestamp): HlcTimestamp {
    this.assertSettled(name);
    return visibleVersion(this.host.store.latest(key, name), ts);
  }

  /** When a key was written last, deletes included; ABSENT when that is not known any more. */
  private writtenAt(key: Buffer, name: string): HlcTimestamp {
    this.assertSettled(name);
    return this.host.store.latest(key, name)?.commitTs ?? ABSENT;
  }

  // ---- COMMIT, ABORT

  private applyCommit(entry: CommitEntry, place: Place): TxnAnswer {
    const { locks } = this.host;
    const { txnId, startTs, commitTs, writes, reads, ranges } = entry;
    const foreign = this.foreignKey([...writes, ...reads], ranges);
    if (foreign !== undefined) return { kind: 'notOwned', key: foreign };
    const held: Lock[] = [];
    const anchor = entry.isAnchored ? anchorOf(writes) : undefined;
    let minCommitTs = ABSENT;
    for (const key of writes) {
      const lock = locks.own(key, txnId);
      if (lock !== undefined && lock.kind !== 'read') {
        held.push(lock);
        if (lock.minCommitTs > minCommitTs) minCommitTs = lock.minCommitTs;
        continue;
      }
      const other = this.disproof(entry, key, anchor);
      if (other !== undefined) return other;
    }
    if (commitTs < minCommitTs) return { kind: 'tsTooLow', minCommitTs };
    const status: TxnStatus = { kind: 'committed', commitTs };
    for (const lock of held) {
      this.putVersion(place, lock, lock.keyName, commitTs);
      const isPrimary = isRecord(entry, lock.key);
      const participants = isPrimary ? entry.participants : [];
      if (isPrimary || anchor === undefined || lock.key.equals(anchor)) {
        this.setStatus(place, lock.key, txnId, { status, startTs, isPrimary, participants });
      }
      this.endLock(place, lock);
    }
    this.release({ txnId, reads, ranges }, place);
    return status;
  }

  /** What a COMMIT is answered of whose keys one has no lock any more; undefined when there is proof that it was committed as the entry has it. */
  private disproof(entry: CommitEntry, key: Buffer, anchor: Buffer | undefined): TxnAnswer | undefined {
    const { txnId, commitTs } = entry;
    const name = statusName(txnId);
    const own = this.statusAt(key, name);
    const isShared = anchor !== undefined && !isRecord(entry, key);
    const status = (own ?? (isShared ? this.statusAt(anchor, name) : undefined))?.status;
    if (status !== undefined) return status.kind === 'rolledBack' || status.commitTs !== commitTs ? status : undefined;
    // A move may have taken the anchor elsewhere since. A delete at or below the threshold is known on some replicas and collected on others.
    const isWritten = (): boolean =>
      commitTs <= this.host.store.gcThreshold || this.writtenAt(key, nameOf(key)) >= commitTs;
    return isShared && isWritten() ? undefined : { kind: 'notFound', key };
  }

  /** Ends locks that protected what was read. */
  private release({ txnId, reads, ranges }: Pick<FinishRequest, 'txnId' | 'reads' | 'ranges'>, place: Place): void {
    const { locks } = this.host;
    for (const key of reads) {
      const lock = locks.own(key, txnId);
      if (lock?.kind === 'read') this.endLock(place, lock);
    }
    for (const { start, end } of ranges) {
      for (const lock of locks.ownRanges(start, end, txnId)) this.endLock(place, lock);
    }
  }

  private applyAbort(entry: AbortEntry, place: Place): TxnAnswer {
    const { locks } = this.host;
    const { txnId, primary, startTs, writes, reads, ranges } = entry;
    const keys = entry.isPrimary ? [primary, ...writes, ...reads] : [...writes, ...reads];
    const foreign = this.foreignKey(keys, ranges);
    if (foreign !== undefined) return { kind: 'notOwned', key: foreign };
    for (const key of keys) {
      const status = this.statusAt(key, statusName(txnId))?.status;
      if (status?.kind === 'committed') return status;
    }
    for (const key of keys) {
      const lock = locks.own(key, txnId);
      if (lock !== undefined) this.endLock(place, lock);
    }
    this.release({ txnId, reads: [], ranges }, place);
    // A PREPARE that is still on its way is refused wherever it asks for one of these.
    for (const key of [...keys, ...ranges.map(({ start }) => start)]) {
      const isPrimary = entry.isPrimary && key.equals(primary);
      const participants = isPrimary ? entry.participants : [];
      this.setStatus(place, key, txnId, { status: ROLLED_BACK, startTs, isPrimary, participants });
    }
    return ROLLED_BACK;
  }

  private applyPush({ txnId, primary, deadlineTs }: PushEntry, place: Place): TxnAnswer {
    if (!this.isOwned(primary)) return { kind: 'notOwned', key: primary };
    const lock = this.host.locks.own(primary, txnId);
    if (lock === undefined) return this.statusAt(primary, statusName(txnId))?.status ?? { kind: 'notFound' };
    if (deadlineTs > lock.deadlineTs) {
      // The same lock as before for whoever waits for it.
      lock.deadlineTs = deadlineTs;
      this.setSide(place, lock, lock.rowName, lock);
    }
    return { kind: 'pushed', deadlineTs: lock.deadlineTs };
  }

  // ---- RESOLVE, FORGET

  private applyResolve({ verdicts }: ResolveEntry, place: Place): TxnAnswer {
    const { locks } = this.host;
    let count = 0;
    for (const { key, txnId, end, status } of verdicts) {
      const lock =
        end === undefined
          ? locks.own(key, txnId)
          : locks.ownRanges(key, end, txnId).find((one) => one.key.equals(key) && one.end!.equals(end));
      // The primary's own lock ends with its record, never by hearsay.
      if (lock === undefined || lock.key.equals(lock.primary) || !this.isOwned(key)) continue;
      if (this.resolve(lock, status, place)) count++;
    }
    return { kind: 'ended', count };
  }

  private resolve(lock: Lock, status: TxnStatus, place: Place): boolean {
    const isWrite = lock.kind === 'put' || lock.kind === 'delete';
    switch (status.kind) {
      case 'committed':
        if (isWrite && status.commitTs < lock.minCommitTs) return false;
        if (isWrite) this.putVersion(place, lock, lock.keyName, status.commitTs);
        break;
      case 'rolledBack':
        break;
      default:
        assertNever(status);
    }
    if (isWrite || status.kind === 'rolledBack') {
      const row: TxnStatusRow = { status, startTs: lock.startTs, isPrimary: false, participants: [] };
      this.setStatus(place, lock.key, lock.txnId, row);
    }
    this.endLock(place, lock);
    return true;
  }

  private applyForget({ olderThanTs, statuses }: ForgetEntry, place: Place): TxnAnswer {
    let count = 0;
    for (const { key, txnId } of statuses) {
      const row = this.isOwned(key) ? this.statusAt(key, statusName(txnId)) : undefined;
      if (row === undefined || row.startTs >= olderThanTs) continue;
      this.setSide(place, { key, keyName: nameOf(key) }, statusName(txnId), undefined);
      count++;
    }
    return { kind: 'ended', count };
  }

  // ---- spans

  /** Cuts range locks where spans were cut: what leaves takes its part of the lock along. */
  followSpans(writer: StoreWriter, index: LogIndex): void {
    const { locks, spans } = this.host;
    const place: Place = { writer, index, ts: this.host.largestTs() };
    for (const lock of [...locks.rangeLocks]) {
      const pieces = overlapping(spans.table, lock.key, lock.end);
      if (pieces.length < 2) continue;
      this.endLock(place, lock);
      for (const span of pieces) {
        const key = Buffer.compare(span.start, lock.key) > 0 ? span.start : lock.key;
        const end = span.end !== undefined && Buffer.compare(span.end, lock.end!) < 0 ? span.end : lock.end;
        this.addLock(place, rangeLock(lock.holder, key, end!));
      }
    }
  }
}

/**
 * True for refusals that a coordinator takes for the end of an attempt. In two phases nothing can follow, because it does not ask for
 * the commit; in one phase the same question, late or doubled, would be the commit. What is too old stays so, and may have been
 * committed and forgotten.
 */
const isForGood = ({ kind }: TxnAnswer): boolean => kind === 'changed' || kind === 'wrongAuthority';

const namesOf = ({ keys }: PrepareEntry): string[] => keys.map(({ key }) => nameOf(key));

/** Keys that are written. */
const writesOf = (intents: readonly KeyIntent[]): Buffer[] =>
  intents.filter(({ kind }) => kind !== 'read').map(({ key }) => key);

/** True for the key at which a COMMIT writes the record. */
const isRecord = ({ isPrimary, primary }: CommitEntry, key: Buffer): boolean => isPrimary && key.equals(primary);

/** Age decides who waits for whom, so nobody waits in a circle. */
export const isOlder = (a: TxnIdentity, b: TxnIdentity): boolean =>
  a.startTs < b.startTs || (a.startTs === b.startTs && Buffer.compare(a.txnId, b.txnId) < 0);

/** What others are told of a lock. */
export const factsOf = ({ txnId, primary, startTs, key, kind, end, minCommitTs, deadlineTs }: Lock): LockFacts => ({
  txnId,
  primary,
  startTs,
  key,
  kind,
  end,
  minCommitTs,
  deadlineTs,
});
