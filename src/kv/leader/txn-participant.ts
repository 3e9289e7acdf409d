/**
 * A group's leader as coordinators see it: `TxnGroup`. Decides from applied state whether asking is worth an entry, proposes
 * it in order with the commands, and makes an answer of what apply said.
 */
import { earlierBy, type HlcTimestamp, laterBy, type Millis, type Scheduler } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import {
  decodeStatus,
  type EntryResult,
  factsOf,
  isOlder,
  type Lock,
  nameOf,
  ownerOf,
  statusName,
  type TxnAnswer,
} from '../apply/index.ts';
import {
  type CommitReply,
  type CommitRequest,
  type FinishRequest,
  type KeyAbsence,
  type KeyIntent,
  type KeyView,
  type LiveValue,
  LockedError,
  type LockFacts,
  type LockRangeRequest,
  type Operation,
  type PrepareReply,
  type PrepareRequest,
  type PushReply,
  RangeBusyError,
  type RangeIntent,
  type ScanPage,
  type ScanRequest,
  type StatusReply,
  type TxnGroup,
  type TxnIdentity,
  type TxnReadReply,
  type TxnReadRequest,
  type TxnStatus,
  type Verdict,
} from '../contract/index.ts';
import { ABSENT, encodeAbort, encodeCommit, encodePrepare, encodePush, encodeResolve } from '../entry/index.ts';
import type { GroupClock } from '../time/index.ts';
import type { ComingLocks } from './coming-locks.ts';
import type { GroupReads, GroupReadsOptions } from './group-reads.ts';
import type { LockWaits } from './lock-waits.ts';
import type { PartedOperations } from './parted-operations.ts';
import { TxnBatcher } from './txn-batcher.ts';

/** A PREPARE of a transaction that began longer ago is refused. */
export const MAX_TXN_AGE_MS: Millis = 30 * 60_000;
/** Statuses are kept for so long after the beginning of their transaction; clocks of groups may differ by half of the rest. */
export const KEEP_STATUSES_MS: Millis = 60 * 60_000;
/** Rows that are compared at once when a range is read again. */
const ROWS_AT_ONCE = 512;
/** Reads of keys that are written in the very entry that is open. */
const MAX_UNSETTLED_READS = 64;
/** Draws of a timestamp that came out below what the key may be written at. */
const MAX_DRAWS = 4;

/** What this needs of the group's executor. */
export interface LeaderTxnsOptions extends GroupReadsOptions {
  readonly clock: GroupClock;
  readonly reads: GroupReads;
  readonly waits: LockWaits;
  readonly coming: ComingLocks;
  readonly parted: PartedOperations;
  readonly scheduler: Scheduler;
  /** The present time. */
  readonly now: () => HlcTimestamp;
  /** Proposes an entry behind everything that was evaluated; `build` gets its timestamp. Urgent ones do not wait for room. */
  readonly propose: (build: (ts: HlcTimestamp) => Buffer, isUrgent: boolean) => Promise<EntryResult>;
  readonly submit: <Reply>(operation: Operation<Reply>) => void;
  /** Whether all nodes know parts of transactions that have one status between their keys. Once it is so it stays so. */
  readonly anchorsStatuses: () => boolean;
}

/** Longest life of a lock that nobody pushes on, whatever is asked for. */
const MAX_LOCK_TTL_MS: Millis = 60_000;

/** When a lock ends that an entry of this group asks for at `ts`: by the time that will tell, whatever other clocks say. */
const deadlineOf = (ts: HlcTimestamp, lockTtlMs: Millis): HlcTimestamp =>
  laterBy(ts, Math.min(lockTtlMs, MAX_LOCK_TTL_MS));

const NO_RANGES: readonly RangeIntent[] = [];

const absenceOf = (view: KeyView, key: Buffer): KeyAbsence => ({
  deletedTs: view.deletedAt?.(key) ?? ABSENT,
  writtenTs: view.writtenAt?.(key) ?? ABSENT,
});

export class LeaderTxns implements TxnGroup {
  private readonly options: LeaderTxnsOptions;
  /** PREPAREs on their way. */
  private readonly preparing = new Set<Promise<unknown>>();
  private readonly batcher: TxnBatcher;
  /** Transactions whose end here is on its way, by id, with how many questions of theirs are. */
  private readonly ending = new Map<string, number>();

  constructor(options: LeaderTxnsOptions) {
    this.options = options;
    this.batcher = new TxnBatcher(options);
  }

  /** Hears of a lock that somebody waits for, once while they do: its status should be asked for. */
  onLockMet(listener: (lock: LockFacts) => void): void {
    this.options.waits.onLockMet(listener);
  }

  // ---- reads

  async read({ keys, readTs, withAbsences }: TxnReadRequest): Promise<TxnReadReply> {
    if (readTs === undefined) return this.readNewest(keys, withAbsences === true);
    const { gate, store, clock, readTimestamp, openReads, catchUp, stillLeads } = this.options;
    const opening = clock.opening();
    if (opening !== undefined) await opening;
    const checkRead = (key: Buffer): void => {
      const refusal = gate.refuse(key, 'read');
      if (refusal !== undefined) throw refusal;
    };
    for (const key of keys) checkRead(key);
    readTimestamp(readTs);
    return openReads.during(readTs, async () => {
      await catchUp();
      await this.settlePreparing();
      await this.settle(() => this.againstReads(keys, readTs));
      const rows: (LiveValue | undefined)[] = [];
      for (const key of keys) rows.push(await store.get(key, readTs));
      // What a move took away meanwhile may have been deleted under the read.
      for (const key of keys) checkRead(key);
      await stillLeads();
      return { rows, seenTs: readTs };
    });
  }

  /**
   * A version that has the view's own timestamp may still be given another value by a later command of the same entry; it
   * would be expected and be there, and not be what was read. So it is read again when that entry is applied, and a key that is not
   * there when the PREPAREs on their way that write it are.
   */
  private async readNewest(keys: readonly Buffer[], withAbsences: boolean): Promise<TxnReadReply> {
    for (let tries = 0; tries < MAX_UNSETTLED_READS; tries++) {
      const reply = await this.readOnce(keys, withAbsences);
      if (reply !== undefined) return reply;
      await this.settlePreparing();
    }
    throw new BusyError('the keys are being written all the time; try again');
  }

  /** @returns undefined when a version is not settled */
  private readOnce(keys: readonly Buffer[], withAbsences: boolean): Promise<TxnReadReply | undefined> {
    const { coming } = this.options;
    return new Promise((resolve, reject) => {
      this.options.submit<TxnReadReply | undefined>({
        evaluate: (view) => {
          const rows = keys.map((key) => view.get(key));
          if (rows.some((row) => row !== undefined && row.commitTs >= view.ts)) return undefined;
          if (!withAbsences) return { rows, seenTs: view.ts };
          // What is on its way may be committed below this moment, and a condition that names the moment would miss it.
          const absent = keys.filter((_key, at) => rows[at] === undefined);
          if (coming.size > 0 && coming.meets({ writes: [], ranges: [], readKeys: absent })) return undefined;
          const absences = keys.map((key, at) => (rows[at] === undefined ? absenceOf(view, key) : undefined));
          if (absences.some((one) => one !== undefined && one.writtenTs >= view.ts)) return undefined;
          return { rows, absences: { keys: absences, collectedTs: this.options.store.gcThreshold }, seenTs: view.ts };
        },
        complete: (error, reply) => (error === undefined ? resolve(reply) : reject(error)),
      });
    });
  }

  private againstReads(keys: readonly Buffer[], readTs: HlcTimestamp): Lock | undefined {
    const { locks } = this.options.stateMachine;
    for (const key of keys) {
      const lock = locks.againstRead(key);
      if (lock !== undefined && lock.minCommitTs <= readTs) return lock;
    }
    return undefined;
  }

  async scan(request: ScanRequest, readTs: HlcTimestamp | undefined): Promise<ScanPage> {
    const opening = this.options.clock.opening();
    if (opening !== undefined) await opening;
    return this.options.reads.scan(request, readTs);
  }

  /** Settles when nothing of `[start, end)` can be committed at or below `readTs` any more. @throws LockedError */
  async settleLocks(start: Buffer, end: Buffer, readTs: HlcTimestamp): Promise<void> {
    const { locks } = this.options.stateMachine;
    await this.settlePreparing();
    if (locks.size > 0) await this.settle(() => locks.againstScan(start, end, readTs));
  }

  /** What is proposed from here on locks above every timestamp that was read at; what is on its way may lock below. */
  private async settlePreparing(): Promise<void> {
    if (this.preparing.size > 0) await Promise.allSettled(this.preparing);
  }

  private async settle(find: () => Lock | undefined): Promise<void> {
    const { waits } = this.options;
    const untilMs = waits.deadlineMs();
    for (let lock = find(); lock !== undefined; lock = find()) await waits.until(lock, untilMs);
  }

  // ---- PREPARE

  prepare(request: PrepareRequest): Promise<PrepareReply> {
    return this.lock(request, NO_RANGES, false);
  }

  commitOnePhase(request: PrepareRequest): Promise<PrepareReply> {
    return this.lock(request, NO_RANGES, true);
  }

  private async lock(
    request: PrepareRequest,
    ranges: readonly RangeIntent[],
    isOnePhase: boolean,
  ): Promise<PrepareReply> {
    const { txns } = this.options.stateMachine;
    const { clock, waits, parted, readTimestamp } = this.options;
    const untilMs = waits.deadlineMs();
    // The entry has to be above the snapshot that its writes come from; apply sees to it, and this makes it so at the first try.
    for (const { notAboveTs } of request.keys) if (notAboveTs !== undefined) readTimestamp(notAboveTs);
    for (let draws = 1; ; ) {
      if (parted.heldCount > 0) {
        await parted.settle({ writes: request.keys.map(({ key }) => ({ name: nameOf(key) })), ranges, readNames: [] });
      }
      this.checkAdmission(request.keys);
      this.checkOwnership(
        request.keys.map(({ key }) => key),
        ranges,
      );
      let lock = txns.conflict({ ...request, ranges });
      if (lock === undefined) {
        const answer = await this.propose(request, ranges, isOnePhase);
        if (answer.kind === 'belowFloor' && draws++ < MAX_DRAWS) {
          clock.observe(answer.floorTs);
          continue;
        }
        if (answer.kind !== 'locked') return this.replied(answer) as PrepareReply;
        lock = txns.conflict({ ...request, ranges });
        if (lock === undefined) continue;
      }
      // Who ends waits for nobody, so whoever waits for it cannot wait in a circle.
      const mayWait = isOlder(request, lock) || this.ending.has(nameOf(lock.txnId));
      if (!mayWait) return this.giveWay(request, factsOf(lock), isOnePhase);
      try {
        await waits.until(lock, untilMs);
      } catch (error) {
        if (error instanceof LockedError) return this.giveWay(request, error.lock, isOnePhase);
        throw error;
      }
    }
  }

  /**
   * A commit in one phase that was refused must not take place when the same question comes again, late or doubled. Apply writes
   * that down for what it refuses, except for locks: those an older transaction waits for.
   */
  private async giveWay(request: PrepareRequest, lock: LockFacts, isOnePhase: boolean): Promise<PrepareReply> {
    if (isOnePhase) {
      const { txnId, primary, startTs, participants } = request;
      // Its record may be forgotten.
      if (startTs <= earlierBy(this.options.now(), MAX_TXN_AGE_MS)) return { kind: 'tooOld' };
      const end = { txnId, primary, startTs, participants, isPrimary: true, writes: [], reads: [], ranges: [] };
      const status = await this.abort(end);
      if (status.kind === 'committed') return status;
    }
    return { kind: 'locked', lock };
  }

  private async propose(
    request: PrepareRequest,
    ranges: readonly RangeIntent[],
    isOnePhase: boolean,
  ): Promise<TxnAnswer> {
    let bytes = 128;
    for (const { key, value } of request.keys) bytes += key.length + value.length + 32;
    const { coming } = this.options;
    let isComing = false;
    const proposal = this.batcher.add({
      keys: ranges.length > 0 ? undefined : [request.primary, ...request.keys.map(({ key }) => key)],
      bytes,
      isUrgent: false,
      build: (ts) => {
        isComing = true;
        coming.begin(request.keys, ranges, isOnePhase);
        const times = {
          ts,
          oldestStartTs: earlierBy(ts, MAX_TXN_AGE_MS),
          deadlineTs: deadlineOf(ts, request.lockTtlMs),
        };
        const isAnchored = this.options.anchorsStatuses();
        return encodePrepare({ ...request, ...times, ranges, isAnchored }, isOnePhase);
      },
    });
    this.preparing.add(proposal);
    try {
      return await proposal;
    } finally {
      this.preparing.delete(proposal);
      if (isComing) coming.ended();
    }
  }

  async lockRange(request: LockRangeRequest): Promise<PrepareReply> {
    const { txnId, primary, startTs, authorityEpoch, lockTtlMs, start, end, readTs } = request;
    const prepare = { txnId, primary, startTs, authorityEpoch, lockTtlMs, participants: [], keys: [] };
    const reply = await this.lock(prepare, [{ start, end }], false);
    if (reply.kind !== 'prepared') return reply;
    const changed = await this.options.openReads.during(readTs, () => this.changedSince(start, end, readTs));
    return changed === undefined ? reply : { kind: 'changed', key: changed };
  }

  /** The first key of a locked range that is not what it was at `readTs`. */
  private async changedSince(start: Buffer, end: Buffer, readTs: HlcTimestamp): Promise<Buffer | undefined> {
    const { store, readTimestamp, catchUp, stillLeads } = this.options;
    const nowTs = readTimestamp();
    await catchUp();
    for (let from: Buffer | undefined = start; from !== undefined; ) {
      const then = await store.scan({ start: from, end, readTs, limit: ROWS_AT_ONCE, keysOnly: true });
      const upTo: Buffer = then.next ?? end;
      for (let at = 0, place: Buffer | undefined = from; place !== undefined; ) {
        const page = await store.scan({ start: place, end: upTo, readTs: nowTs, limit: ROWS_AT_ONCE, keysOnly: true });
        for (const row of page.rows) {
          const old = then.rows[at++];
          if (old === undefined || old.commitTs !== row.commitTs || !old.key.equals(row.key)) return row.key;
        }
        place = page.next;
        if (place === undefined && at < then.rows.length) return then.rows[at]!.key;
      }
      from = then.next;
    }
    this.checkOwnership([], [{ start, end }]);
    await stillLeads();
    return undefined;
  }

  /** @throws WriteBackpressureError, KeyVersionPressureError when writes are held back; ends of transactions do not ask */
  private checkAdmission(keys: readonly KeyIntent[]): void {
    const { admission } = this.options.gate;
    if (admission?.isPressed !== true) return;
    for (let at = 0; at < keys.length; at++) {
      const { key, value } = keys[at]!;
      const refusal = admission.refuse(key, value.length, at === 0);
      if (refusal !== undefined) throw refusal;
    }
  }

  /** @throws NotOwnerError, RangeBusyError when the group may not write these */
  private checkOwnership(keys: readonly Buffer[], ranges: readonly RangeIntent[]): void {
    const { gate } = this.options;
    for (const key of keys) {
      const refusal = gate.refuse(key, 'write');
      if (refusal !== undefined) throw refusal;
    }
    for (const { start, end } of ranges) {
      const refusal = gate.refuseRange(start, end);
      if (refusal !== undefined) throw refusal;
    }
  }

  /** @throws NotOwnerError, RangeBusyError for an answer that says so */
  private replied(answer: TxnAnswer): TxnAnswer {
    if (answer.kind !== 'notOwned' && answer.kind !== 'belowFloor') return answer;
    if (answer.kind === 'notOwned') this.checkOwnership([answer.key], NO_RANGES);
    throw new RangeBusyError('the range was on its way when the entry was applied; try again');
  }

  // ---- COMMIT, ABORT, PUSH, RESOLVE

  /** What ends locks does not wait for room: whoever has filled the log may be waiting for them. */
  private urgent(keys: readonly Buffer[] | undefined, build: (ts: HlcTimestamp) => Buffer): Promise<TxnAnswer> {
    return this.batcher.add({ keys, bytes: 64 * (1 + (keys?.length ?? 0)), isUrgent: true, build });
  }

  /** Ends locks of a transaction; whoever meets one meanwhile may wait for it. */
  private async end(
    { txnId }: TxnIdentity,
    keys: readonly Buffer[] | undefined,
    build: (ts: HlcTimestamp) => Buffer,
  ): Promise<TxnAnswer> {
    const { ending } = this;
    const name = nameOf(txnId);
    ending.set(name, (ending.get(name) ?? 0) + 1);
    try {
      return await this.urgent(keys, build);
    } finally {
      const left = ending.get(name)! - 1;
      if (left > 0) ending.set(name, left);
      else ending.delete(name);
    }
  }

  async commit(request: CommitRequest): Promise<CommitReply> {
    const { clock } = this.options;
    const keys = [...request.writes, ...request.reads];
    this.checkOwnership(keys, request.ranges);
    // Every entry that is proposed from here on is above it.
    clock.observeForeign(request.commitTs, clock.maxLeadMs);
    const answer = await this.end(request, request.ranges.length > 0 ? undefined : keys, (ts) =>
      encodeCommit({ ...request, ts, isAnchored: this.options.anchorsStatuses() }),
    );
    return this.replied(answer) as CommitReply;
  }

  async abort(request: FinishRequest): Promise<TxnStatus> {
    const keys = [...(request.isPrimary ? [request.primary] : []), ...request.writes, ...request.reads];
    this.checkOwnership(keys, request.ranges);
    const answer = await this.end(request, request.ranges.length > 0 ? undefined : keys, (ts) =>
      encodeAbort({ ...request, ts }),
    );
    return this.replied(answer) as TxnStatus;
  }

  async status(txn: TxnIdentity): Promise<StatusReply> {
    const { stateMachine, store, catchUp, stillLeads, now } = this.options;
    const { txnId, primary, startTs } = txn;
    this.checkOwnership([primary], NO_RANGES);
    await catchUp();
    const row = store.side(primary, statusName(txnId));
    const lock = stateMachine.locks.own(primary, txnId);
    const isForgotten = lock === undefined && startTs < earlierBy(now(), (KEEP_STATUSES_MS + MAX_TXN_AGE_MS) / 2);
    const isPending = lock !== undefined && lock.deadlineTs > now();
    if (row !== undefined || isForgotten || isPending) {
      await stillLeads();
      // A move may have taken what was looked for while others were asked who leads.
      this.checkOwnership([primary], NO_RANGES);
      if (row !== undefined) return decodeStatus(row).status;
      return isPending ? { kind: 'pending', deadlineTs: lock.deadlineTs } : { kind: 'forgotten' };
    }
    const participants = lock?.participants ?? [];
    return this.abort({ txnId, primary, startTs, isPrimary: true, participants, writes: [], reads: [], ranges: [] });
  }

  async push({ txnId, primary, startTs }: TxnIdentity, lockTtlMs: Millis): Promise<PushReply> {
    this.checkOwnership([primary], NO_RANGES);
    const build = (ts: HlcTimestamp): Buffer =>
      encodePush({ txnId, primary, startTs, deadlineTs: deadlineOf(ts, lockTtlMs), ts });
    return this.replied(await this.urgent([primary], build)) as PushReply;
  }

  async resolve(verdicts: readonly Verdict[]): Promise<number> {
    const { clock } = this.options;
    for (const { status } of verdicts) {
      if (status.kind === 'committed') clock.observeForeign(status.commitTs, clock.maxLeadMs);
    }
    const keys = verdicts.map(({ key }) => key);
    const answer = await this.urgent(keys, (ts) => encodeResolve({ ts, verdicts }));
    return answer.kind === 'ended' ? answer.count : 0;
  }

  expiredLocks(limit: number): readonly LockFacts[] {
    const { stateMachine, now } = this.options;
    const found: LockFacts[] = [];
    if (stateMachine.locks.size === 0) return found;
    const nowTs = now();
    for (const lock of stateMachine.locks.all()) {
      if (found.length === limit) break;
      // What a move has taken away, or is bringing in, its next owner looks after.
      if (lock.deadlineTs <= nowTs && ownerOf(stateMachine.spanTable, lock.key, 'write') !== undefined) {
        found.push(factsOf(lock));
      }
    }
    return found;
  }
}
