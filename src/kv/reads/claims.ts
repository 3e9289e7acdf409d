/** What a replica was told of its group's closed timestamps, and whether a key may be read here at one of them. */
import type { GroupId, HlcTimestamp, Millis, Term } from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { GroupStateMachine } from '../apply/index.ts';
import type { Claim, ClosedNotice } from '../contract/index.ts';
import { isLocalKey, LOCAL_END, LOCAL_START } from '../entry/index.ts';

/** Claims that wait for the replica to catch up. */
const MAX_WAITING = 16;
/** Older claims that tell how old a timestamp is: at five a second about ten seconds. */
const MAX_HISTORY = 64;
/** Claims that are closer together tell nothing new: reads that ask the leader bring many. */
const HISTORY_STEP_MS: Millis = 100;

/** Why a replica does not answer. */
export type Refusal = 'notReady' | 'notOwned' | 'tooOld' | 'locked';

/** A group's replica here. */
export interface ReadableReplica {
  readonly stateMachine: Pick<GroupStateMachine, 'applied' | 'spanTable' | 'locks' | 'foreignTs'>;
  readonly store: GroupStore;
  /** The highest term that the replica knows. */
  term(): Term;
}

/** The claims of one replica, and the guards that a read there has to pass. */
export class ReplicaClaims {
  private readonly replica: ReadableReplica;
  private highestTerm: Term = 0;
  /** The newest that has come, which waits for the replica to catch up; and the newest that is usable. */
  private readonly waiting: Claim[] = [];
  private usable: Claim | undefined;
  /** Claims that were usable, oldest first; timestamps and moments rise. */
  private readonly history: Claim[] = [];

  constructor(replica: ReadableReplica) {
    this.replica = replica;
  }

  /**
   * Takes a notice in.
   * @param heardMs the leader made it after this moment, elapsed time of this node
   */
  accept(notice: ClosedNotice, heardMs: Millis): void {
    this.highestTerm = Math.max(this.highestTerm, this.replica.term());
    // A leader that was replaced may say what it likes.
    if (notice.term < this.highestTerm) return;
    this.highestTerm = notice.term;
    const { term, closedTs, appliedIndex, ageMs } = notice;
    this.waiting.push({ term, closedTs, appliedIndex, coveredMs: heardMs - ageMs });
    // A replica that is far behind keeps the oldest, which it will reach first, and the newest.
    if (this.waiting.length > MAX_WAITING) this.waiting.splice(1, 1);
  }

  /** True when these are the claims of this very replica, and not of one that was here before. */
  isOf(replica: ReadableReplica): boolean {
    return replica.store === this.replica.store;
  }

  /** The newest claim that this replica has caught up with. */
  current(): Claim | undefined {
    const { index } = this.replica.stateMachine.applied();
    while (this.waiting.length > 0 && this.waiting[0]!.appliedIndex <= index) {
      const claim = this.waiting.shift()!;
      const { usable } = this;
      const isNewer = usable === undefined || claim.closedTs >= usable.closedTs;
      if (isNewer) {
        const coveredMs = Math.max(claim.coveredMs, usable?.coveredMs ?? Number.NEGATIVE_INFINITY);
        this.usable = { ...claim, coveredMs };
        this.remember(this.usable);
      }
    }
    return this.usable;
  }

  private remember(claim: Claim): void {
    const last = this.history.at(-1);
    if (last !== undefined && claim.coveredMs - last.coveredMs < HISTORY_STEP_MS) return;
    this.history.push(claim);
    if (this.history.length > MAX_HISTORY) this.history.shift();
  }

  /**
   * What was acknowledged before the answer, elapsed time, lies at or below `ts`; undefined when `ts` is older than what is
   * remembered. For transactions that were acknowledged elsewhere see `missesForeign`.
   */
  coveredAt(ts: HlcTimestamp): Millis | undefined {
    const newest = this.current();
    if (newest !== undefined && newest.closedTs <= ts) return newest.coveredMs;
    return this.history.findLast(({ closedTs }) => closedTs <= ts)?.coveredMs;
  }

  /** Why these keys may not be read here at `ts`, which is closed; undefined when they may. */
  refuseKeys(keys: readonly Buffer[], ts: HlcTimestamp): Refusal | undefined {
    const refusal = this.refuseReplica(ts);
    if (refusal !== undefined) return refusal;
    const { locks } = this.replica.stateMachine;
    for (const key of keys) {
      if (isLocalKey(key) || !this.isReadable(key, ts)) return 'notOwned';
      const lock = locks.size === 0 ? undefined : locks.againstRead(key);
      if (lock !== undefined && lock.minCommitTs <= ts) return 'locked';
    }
    return undefined;
  }

  /** Why a range may not be read here at `ts` as a whole. */
  refuseRange(start: Buffer, end: Buffer, ts: HlcTimestamp): Refusal | undefined {
    const refusal = this.refuseReplica(ts);
    if (refusal !== undefined) return refusal;
    const { spanTable, locks } = this.replica.stateMachine;
    const touchesLocal = Buffer.compare(start, LOCAL_END) < 0 && Buffer.compare(LOCAL_START, end) < 0;
    if (touchesLocal || spanTable.intersect(start, end, 'read').rest !== undefined) return 'notOwned';
    return locks.againstScan(start, end, ts) === undefined ? undefined : 'locked';
  }

  /** True when something was acknowledged elsewhere before it was in this group's log, and `ts` does not cover it. */
  missesForeign(keys: readonly Buffer[] | undefined, ts: HlcTimestamp): boolean {
    const { stateMachine, store } = this.replica;
    if (stateMachine.foreignTs <= ts) return false;
    return keys === undefined || keys.some((key) => (store.latest(key)?.commitTs ?? ts) > ts);
  }

  /** As `coveredAt`, of what is read: undefined too when something of it was acknowledged elsewhere, nobody knows when. */
  coverageOf(keys: readonly Buffer[] | undefined, ts: HlcTimestamp): Millis | undefined {
    return this.missesForeign(keys, ts) ? undefined : this.coveredAt(ts);
  }

  private refuseReplica(ts: HlcTimestamp): Refusal | undefined {
    const { stateMachine, store } = this.replica;
    // A snapshot is being swapped in: rows are of one state, locks and spans of another.
    if (store.appliedIndex !== stateMachine.applied().index) return 'notReady';
    return ts < (store.readableFrom ?? store.gcThreshold) ? 'tooOld' : undefined;
  }

  /** What was moved away can be read up to where it left, as long as it is still here. */
  private isReadable(key: Buffer, ts: HlcTimestamp): boolean {
    const { spanTable } = this.replica.stateMachine;
    if (spanTable.check(key, 'read').kind === 'owned') return true;
    const span = spanTable.spans.find(
      ({ start, end }) => Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0),
    );
    return span?.state === 'MOVED_OUT' && !span.isPurged && ts <= span.minWriteTs;
  }
}

/** The claims of all groups that have a replica on this node. */
export class NodeClaims {
  private readonly groups = new Map<GroupId, ReplicaClaims>();
  private readonly replicaOf: (group: GroupId) => ReadableReplica | undefined;

  constructor(replicaOf: (group: GroupId) => ReadableReplica | undefined) {
    this.replicaOf = replicaOf;
  }

  /** Those of the replica that is here now; undefined without one. */
  of(group: GroupId): ReplicaClaims | undefined {
    const replica = this.replicaOf(group);
    if (replica === undefined) {
      this.groups.delete(group);
      return undefined;
    }
    let claims = this.groups.get(group);
    if (claims?.isOf(replica) !== true) {
      claims = new ReplicaClaims(replica);
      this.groups.set(group, claims);
    }
    return claims;
  }

  /** See `ReplicaClaims.accept`; groups without a replica here are ignored, and forgotten. */
  accept(notice: ClosedNotice, heardMs: Millis): void {
    this.of(notice.group)?.accept(notice, heardMs);
  }
}
