/**
 * One group on this node: the pure core, its stored log and its state machine, tied together. The engine calls the two
 * halves of a turn's end: `collect` takes what the core wants stored and sent, `act` applies what is committed and
 * resolves what waits for it. Everything here is synchronous except installing a snapshot and waiting for a slow state
 * machine; while a snapshot is being installed the replica is deaf, as if its network were cut.
 */
import {
  assert,
  type GroupId,
  KvorumError,
  type LogIndex,
  type NodeId,
  type Random,
  type Term,
} from '../../platform/index.ts';
import {
  applyCounted,
  type CommittedEntry,
  type GroupLog,
  type GroupStatus,
  LeadershipNotes,
  type LogWrite,
  type Preparation,
  type RaftGroup,
  type SnapshotStage,
  type StateMachine,
} from '../contract/index.ts';
import {
  type ConfChangeStep,
  type ConfState,
  decodeConfChange,
  type Entry,
  EntryKind,
  type Message,
  type RaftConfig,
  RaftCore,
  type Ready,
  Role,
  type SnapshotMeta,
} from '../core/index.ts';
import { NotLeaderError, OutcomeUnknownError, StoppedError, TooLargeError } from '../errors.ts';
import type { Restable } from '../liveness/index.ts';
import { CommittedQueue } from './committed-queue.ts';
import { LeaderNews } from './leader-news.ts';
import { TransferWait } from './leadership-transfer.ts';
import { LogRetention } from './log-retention.ts';
import { type ProposalDone, Proposals } from './proposals.ts';
import { ReadBarriers } from './read-barriers.ts';
import type { PendingWrite, ReplicaHost } from './replica-host.ts';
import { SnapshotInstaller } from './snapshot-installer.ts';

export interface ReplicaOptions {
  readonly config: RaftConfig;
  readonly host: ReplicaHost<Replica>;
  readonly log: GroupLog;
  readonly stateMachine: StateMachine;
  readonly applied: SnapshotMeta;
  readonly random: Random;
}

export class Replica implements RaftGroup, Restable {
  readonly groupId: GroupId;
  readonly stateMachine: StateMachine;
  readonly log: GroupLog;
  private readonly host: ReplicaHost<Replica>;
  private readonly options: Pick<ReplicaOptions, 'config' | 'random'>;
  private core: RaftCore;
  private readonly proposals: Proposals;
  private readonly notes: LeadershipNotes;
  private readonly reads = new ReadBarriers();
  private readonly committed = new CommittedQueue();
  private appliedIndex: LogIndex;
  /** The newest write that is under way, for messages that must wait for it. */
  private lastWrite: PendingWrite<Replica> | undefined;
  /** Term in which this node leads, 0 when it does not. */
  private leadingTerm: Term = 0;
  /** Term in which `serving` was announced, 0 when it was not. */
  private servingTerm: Term = 0;
  private readonly snapshot: SnapshotInstaller;
  private applyParked = false;
  /** The next entry to be applied, when work on it has begun. */
  private preparing: { readonly entry: Entry; readonly work: Preparation | undefined } | undefined;
  private readonly transfer = new TransferWait();
  private jointWaiters: { readonly resolve: (conf: ConfState) => void; readonly reject: (error: Error) => void }[] = [];
  private readonly retention = new LogRetention();
  private closedBy: Error | undefined;
  /** As the engine knows it. */
  private resting = false;
  private readonly leaderNews: LeaderNews;
  readonly onLeaderChange = (listener: () => void): void => this.leaderNews.listen(listener);

  constructor(options: ReplicaOptions) {
    this.groupId = options.config.groupId;
    this.host = options.host;
    this.options = options;
    const { clock, counters, limits } = options.host;
    this.proposals = new Proposals({
      counters,
      maxPending: limits.maxPendingProposals,
      outcomeWaitMs: limits.outcomeWaitMs,
      append: (payload) => this.core.propose(payload, clock.monotonicMs()),
      notLeader: this.notLeader,
    });
    this.notes = new LeadershipNotes(options.host.counters);
    this.leaderNews = new LeaderNews(options.host.endOfTurn);
    this.log = options.log;
    this.stateMachine = options.stateMachine;
    this.appliedIndex = options.applied.index;
    this.core = this.coreOf(options.applied);
    const { groupId, log, stateMachine } = this;
    this.snapshot = new SnapshotInstaller(
      {
        groupId,
        log,
        stateMachine,
        appliedIndex: () => this.appliedIndex,
        isClosed: () => this.isClosed,
        installed: (ready, meta) => this.snapshotInstalled(ready, meta),
        beginAgain: (applied) => this.beginAgain(applied),
        failed: (error) => this.fail(error),
      },
      options.host,
    );
  }

  /** A core that begins with what is stored; everything that is applied is. */
  private coreOf(applied: SnapshotMeta): RaftCore {
    const { log, host, options } = this;
    this.stateMachine.logStable(applied.index);
    return new RaftCore({ ...options, hardState: log.hardState(), applied, log, nowMs: host.clock.monotonicMs() });
  }

  // --- the user's side -------------------------------------------------------------------------------------------

  propose(payload: Buffer, done: ProposalDone, committed?: () => void): void {
    const { maxProposalBytes } = this.host.limits;
    if (this.closedBy !== undefined) {
      this.proposals.refuse(done, this.stopped());
      this.host.endOfTurn(() => this.proposals.deliverRefused());
    } else if (payload.length > maxProposalBytes) {
      const why = `an entry of ${payload.length} bytes; the limit is ${maxProposalBytes}`;
      this.proposals.refuse(done, new TooLargeError(why));
    } else this.proposals.propose({ payload, done, committed });
    this.host.markDirty(this);
  }

  holdsLease(): boolean {
    return this.leadsByLease() && this.appliedIndex >= this.core.commitIndex;
  }

  leadsByLease(): boolean {
    // A group that is only read from its lease is in use all the same.
    this.core.noteActivity();
    return this.hasLease();
  }

  private hasLease(): boolean {
    this.host.giveUpLeasesAfterSleep();
    return this.servingTerm !== 0 && this.core.holdsLease(this.host.clock.monotonicMs());
  }

  readBarrier(): Promise<void> {
    if (this.closedBy !== undefined) return Promise.reject(this.closedBy);
    this.host.markDirty(this);
    return this.reads.join();
  }

  waitApplied(index: LogIndex, signal?: AbortSignal): Promise<void> {
    if (this.closedBy !== undefined) return Promise.reject(this.closedBy);
    if (this.appliedIndex >= index) return Promise.resolve();
    return this.reads.waitApplied(index, signal);
  }

  changeMembership(steps: readonly ConfChangeStep[], context: Buffer): Promise<ConfState> {
    return new Promise((resolve, reject) => {
      this.assertOpen();
      const place = this.core.proposeConfChange({ steps, context }, this.host.clock.monotonicMs());
      this.proposals.push(place, (outcome) => {
        if (outcome.kind !== 'applied') {
          reject(outcome.error);
          return;
        }
        const conf = outcome.result as ConfState;
        if (conf.votersOutgoing.length === 0 || !conf.autoLeave) resolve(conf);
        else if (this.leadingTerm !== 0) this.jointWaiters.push({ resolve, reject });
        else reject(new OutcomeUnknownError('leadership was lost before the change of members was through'));
      });
      this.host.markDirty(this);
    });
  }

  transferLeadership(to: NodeId): Promise<void> {
    return new Promise((resolve, reject) => {
      this.assertOpen();
      const nowMs = this.host.clock.monotonicMs();
      this.core.transferLeadership(to, nowMs);
      const deadlineMs = nowMs + 2 * this.host.limits.electionTimeoutMs;
      this.transfer.start({ term: this.core.term, deadlineMs, resolve, reject });
      this.touch();
    });
  }

  leader(): { readonly nodeId: NodeId; readonly term: Term } | undefined {
    const { leader, term } = this.core;
    return leader === 0 ? undefined : { nodeId: leader, term };
  }

  status(): GroupStatus {
    const status = this.core.status();
    const leaseMs = this.core.leaseUntilMs() - this.host.clock.monotonicMs();
    const isUpToDate = this.appliedIndex >= status.commitIndex;
    return {
      groupId: this.groupId,
      nodeId: this.host.nodeId,
      role: status.role,
      term: status.term,
      leader: this.leader()?.nodeId,
      commitIndex: status.commitIndex,
      appliedIndex: this.appliedIndex,
      firstIndex: this.log.firstIndex(),
      lastIndex: this.log.lastIndex(),
      conf: status.conf,
      leaseRemainingMs: isUpToDate && this.hasLease() ? Math.max(0, leaseMs) : 0,
      progress: status.progress,
    };
  }

  // --- inputs from the engine ------------------------------------------------------------------------------------

  get isLeading(): boolean {
    return this.core.role === Role.Leader;
  }

  /** Node that leads the group; 0 when unknown. */
  get leaderNode(): NodeId | 0 {
    return this.core.leader;
  }

  get conf(): ConfState {
    return this.core.conf;
  }

  get term(): Term {
    return this.core.term;
  }

  get applied(): LogIndex {
    return this.appliedIndex;
  }

  /** First entry that the log still holds. */
  get firstIndex(): LogIndex {
    return this.log.firstIndex();
  }

  get isClosed(): boolean {
    return this.closedBy !== undefined;
  }

  /** @param count ticks since the last call */
  tick(nowMs: number, count: number): void {
    if (this.closedBy !== undefined) return;
    this.proposals.expire(nowMs);
    if (this.snapshot.isInstalling) return;
    this.core.tick(nowMs, this.host.liveness.present, count);
    this.transfer.tick(nowMs, this.proposals.leftCount === 0);
    this.touch();
  }

  /** The engine ends the rest of the group: there was news of a node. */
  wake(nowMs: number): void {
    if (this.closedBy !== undefined) return;
    this.noteLeaderLived();
    this.core.wake(nowMs, this.host.liveness.present);
    this.touch();
  }

  /** Beats of the leader's node stand for the heartbeats that a group at rest does without. */
  private noteLeaderLived(): void {
    const { leader } = this.core;
    if (this.resting && leader !== 0) this.core.leaderLived(this.host.liveness.heardMs(leader));
  }

  /** The node itself stood still: its peers' silence proves nothing. */
  skipElectionRound(): void {
    if (this.closedBy === undefined) this.core.skipElectionRound();
  }

  step(message: Message, nowMs: number): void {
    if (this.closedBy !== undefined || this.snapshot.isInstalling) return;
    this.noteLeaderLived();
    this.core.step(message, nowMs);
    this.touch();
  }

  campaign(nowMs: number): void {
    if (this.closedBy !== undefined || this.snapshot.isInstalling) return;
    this.noteLeaderLived();
    this.core.campaign(nowMs);
    this.touch();
  }

  reportUnreachable(peer: NodeId): void {
    if (this.closedBy !== undefined) return;
    this.core.reportUnreachable(peer);
    this.touch();
  }

  reportSnapshot(peer: NodeId, delivered: boolean): void {
    if (this.closedBy !== undefined) return;
    this.core.reportSnapshot(peer, delivered);
    this.touch();
  }

  /** Holds the log after `index` until `unpin`. */
  pin(peer: NodeId, index: LogIndex): void {
    this.retention.pin(peer, index);
  }

  unpin(peer: NodeId): void {
    this.retention.unpin(peer);
  }

  /**
   * Offers a verified copy to the core. The stage is installed or discarded here.
   * @returns settles true when it was installed, false when it is of no use; rejects when it could not be installed
   */
  offerSnapshot(token: Extract<Message, { kind: 'snapshot' }>, stage: SnapshotStage, nowMs: number): Promise<boolean> {
    if (this.closedBy !== undefined || this.snapshot.isTaken) {
      return stage.discard().then(() => false);
    }
    const outcome = this.snapshot.offer(token.snapshot, stage);
    this.core.step(token, nowMs);
    this.host.markDirty(this);
    return outcome;
  }

  /** A write that this replica had a share in is stable. */
  written(write: PendingWrite<Replica>): void {
    if (this.lastWrite === write) this.lastWrite = undefined;
    // Also when the replica is closed: what it applied is still to be flushed.
    if (write.lastIndex > 0) this.stateMachine.logStable(this.core.persisted(write.lastIndex, write.lastTerm));
    if (this.closedBy !== undefined) return;
    for (const message of write.messages) this.host.send(message);
    this.host.markDirty(this);
  }

  /** Ends the replica: whatever waits is told; nothing is applied or sent any more. */
  close(error: Error): void {
    if (this.closedBy !== undefined) return;
    this.closedBy = error;
    this.stopLeading(error);
    this.proposals.close(error);
    this.reads.close(error);
    this.snapshot.discard();
  }

  // --- the end of a turn -----------------------------------------------------------------------------------------

  /**
   * First half: hands messages to the outbox and what must be stored to `add`.
   * @param add called at most once
   */
  collect(add: (write: LogWrite, share: PendingWrite<Replica>) => void): void {
    if (this.closedBy !== undefined || this.snapshot.isInstalling) return;
    this.noticeLeadership();
    if (this.reads.hasArrived) this.startReadRound();
    if (!this.core.hasReady()) {
      this.snapshot.discard();
      return;
    }
    const ready = this.core.ready();
    if (ready.snapshot !== undefined) {
      this.snapshot.install(ready, ready.snapshot);
      return;
    }
    this.snapshot.discard();
    for (const message of ready.messages) {
      if (message.kind === 'snapshot') this.host.sendSnapshot(this, message.to);
      else this.host.send(message);
    }
    this.store(ready, add);
    this.settleReads(ready);
    this.committed.push(ready.committedEntries);
    this.proposals.committed(ready.committedEntries);
  }

  /** Second half: outcomes of refused proposals, then everything that may be applied now. */
  act(): void {
    this.proposals.deliverRefused();
    if (this.closedBy !== undefined) return;
    this.proposals.release();
    this.proposals.tellCommitted();
    try {
      this.applyCommitted();
    } catch (error) {
      this.fail(error);
      return;
    }
    this.touch();
  }

  /** Drops the part of the log that neither a crash nor a slow follower within the retained window needs. */
  truncationPoint(): LogIndex | undefined {
    if (this.closedBy !== undefined || this.snapshot.isInstalling) return undefined;
    const { log, appliedIndex, host } = this;
    return this.retention.truncationPoint(log, host.limits, Math.min(this.stateMachine.durableIndex(), appliedIndex));
  }

  // --- inside ----------------------------------------------------------------------------------------------------

  private readonly notLeader = (): NotLeaderError => new NotLeaderError(this.leader()?.nodeId);

  private assertOpen(): void {
    if (this.closedBy !== undefined) throw this.stopped();
  }

  private stopped(): StoppedError {
    return new StoppedError(`the replica of group ${this.groupId} is stopped`);
  }

  private touch(): void {
    this.notes.note(this.core.role, this.core.term, this.core.leader);
    this.leaderNews.note(this.core.leader);
    if (this.core.isQuiet !== this.resting) {
      this.resting = this.core.isQuiet;
      this.host.restChanged(this, this.resting);
    }
    // What the core has ready meanwhile is taken when the snapshot is in place.
    if (this.snapshot.isInstalling) return;
    if (this.core.hasReady() || this.currentLeadingTerm() !== this.leadingTerm) this.host.markDirty(this);
  }

  private currentLeadingTerm(): Term {
    return this.isLeading ? this.core.term : 0;
  }

  private noticeLeadership(): void {
    const term = this.currentLeadingTerm();
    if (term === this.leadingTerm) return;
    if (this.leadingTerm !== 0)
      this.stopLeading(new OutcomeUnknownError('leadership was lost before the outcome was known'));
    this.leadingTerm = term;
  }

  private stopLeading(error: Error): void {
    this.proposals.leadershipEnded(this.host.clock.monotonicMs());
    for (const waiter of this.jointWaiters.splice(0)) waiter.reject(error);
    this.reads.abortRounds(this.closedBy ?? this.notLeader());
    this.transfer.leadershipEnded(this.currentLeadingTerm(), this.proposals.leftCount === 0);
    const term = this.servingTerm;
    this.servingTerm = 0;
    if (term !== 0) this.stateMachine.onLeadership({ kind: 'stopped', term });
  }

  private startReadRound(): void {
    const requestId = this.reads.startRound();
    try {
      this.core.readIndex(requestId, this.host.clock.monotonicMs());
    } catch (error) {
      if (!(error instanceof KvorumError)) throw error;
      this.reads.aborted(requestId, error);
    }
  }

  private settleReads(ready: Ready): void {
    for (const { requestId, index } of ready.readStates) this.reads.confirmed(requestId, index, this.appliedIndex);
    for (const requestId of ready.abortedReads) this.reads.aborted(requestId, this.notLeader());
  }

  private store(ready: Ready, add: (write: LogWrite, share: PendingWrite<Replica>) => void): void {
    if (ready.hardState === undefined && ready.entries.length === 0) {
      // What they acknowledge may still be on its way to the disk.
      if (this.lastWrite !== undefined) this.lastWrite.messages.push(...ready.messagesAfterPersist);
      else for (const message of ready.messagesAfterPersist) this.host.send(message);
      return;
    }
    const last = ready.entries.at(-1);
    const share: PendingWrite<Replica> = {
      replica: this,
      lastIndex: last?.index ?? 0,
      lastTerm: last?.term ?? 0,
      messages: [...ready.messagesAfterPersist],
    };
    this.lastWrite = share;
    add({ groupId: this.groupId, hardState: ready.hardState, entries: ready.entries, resetTo: undefined }, share);
  }

  /** Applies until nothing is left, the state machine pushes back, or the slice of time is used up. */
  private applyCommitted(): void {
    const { clock, limits } = this.host;
    const startMs = this.committed.isEmpty ? 0 : clock.monotonicMs();
    while (!this.committed.isEmpty && !this.applyParked && !this.snapshot.isInstalling) {
      const pressure = this.stateMachine.applyPressure();
      if (pressure !== undefined) {
        this.parkApply(pressure);
        return;
      }
      if (!this.prepareNext(startMs)) {
        this.host.markDirtyLater(this);
        return;
      }
      this.applyChunk();
      if (this.closedBy !== undefined) return;
      if (!this.committed.isEmpty && clock.monotonicMs() - startMs > limits.applySliceMs) {
        this.host.markDirtyLater(this);
        return;
      }
    }
  }

  /** Does what can be done of a large entry beforehand. @returns false when the slice of time is used up first */
  private prepareNext(startMs: number): boolean {
    const { clock, limits } = this.host;
    const next = this.committed.first!;
    if (next.payload.length < limits.prepareFromBytes) return true;
    if (this.preparing?.entry !== next) this.preparing = { entry: next, work: this.stateMachine.prepare?.(next) };
    const { work } = this.preparing;
    while (work?.step() === false) if (clock.monotonicMs() - startMs > limits.applySliceMs) return false;
    this.preparing = undefined;
    return true;
  }

  private parkApply(pressure: Promise<void>): void {
    this.applyParked = true;
    this.host.counters.applyStalls++;
    pressure.then(
      () => {
        this.applyParked = false;
        this.host.markDirty(this);
      },
      (error: unknown) => this.fail(error),
    );
  }

  private applyChunk(): void {
    const { maxApplyEntries, maxApplyBytes, prepareFromBytes } = this.host.limits;
    const isLast = (entry: Entry): boolean => this.stateMachine.endsBatch?.(entry) === true;
    const taken = this.committed.take(maxApplyEntries, maxApplyBytes, isLast, prepareFromBytes);
    const chunk = taken.map((entry, at): CommittedEntry => {
      assert(entry.index === this.appliedIndex + at + 1, 'entries are applied in order, without a gap');
      const conf = entry.kind === EntryKind.ConfChange ? this.applyConfChange(entry) : undefined;
      return { term: entry.term, index: entry.index, kind: entry.kind, payload: entry.payload, conf };
    });
    const results = applyCounted(this.stateMachine, chunk, this.host);
    assert(results.length === chunk.length, 'the state machine answers every entry');
    const last = chunk.at(-1)!;
    this.appliedIndex = last.index;
    this.stateMachine.logStable(this.core.appliedTo(last.index));
    // Before serving is announced: nothing of an earlier leadership is open in the next one.
    this.proposals.applied(chunk, results);
    if (this.leadingTerm !== 0 && this.servingTerm === 0 && last.term === this.leadingTerm) {
      this.servingTerm = this.leadingTerm;
      this.stateMachine.onLeadership({ kind: 'serving', term: this.servingTerm });
    }
    this.reads.applied(this.appliedIndex);
  }

  private applyConfChange(entry: Entry): ConfState {
    const conf = this.core.applyConfChange(entry);
    this.host.membershipApplied(conf, decodeConfChange(entry.payload).context);
    if (conf.votersOutgoing.length === 0) for (const waiter of this.jointWaiters.splice(0)) waiter.resolve(conf);
    return conf;
  }

  private snapshotInstalled(ready: Ready, meta: SnapshotMeta): void {
    this.committed.clear();
    this.preparing = undefined;
    this.appliedIndex = meta.index;
    this.core.snapshotInstalled(meta);
    this.stateMachine.logStable(meta.index);
    this.proposals.restored(meta);
    const last = ready.entries.at(-1);
    if (last !== undefined) this.core.persisted(last.index, last.term);
    this.host.membershipApplied(meta.conf, Buffer.alloc(0));
    for (const message of ready.messages) this.host.send(message);
    for (const message of ready.messagesAfterPersist) this.host.send(message);
    this.committed.push(ready.committedEntries.filter((entry) => entry.index > meta.index));
    this.settleReads(ready);
    this.reads.applied(this.appliedIndex);
    this.host.markDirty(this);
  }

  private beginAgain(applied: SnapshotMeta): void {
    this.committed.clear();
    this.preparing = undefined;
    this.core = this.coreOf(applied);
    this.touch();
    this.host.markDirty(this);
  }

  private fail(cause: unknown): void {
    if (this.closedBy !== undefined) return;
    const error = cause instanceof Error ? cause : new Error(String(cause));
    this.close(
      new OutcomeUnknownError(`the replica of group ${this.groupId} failed: ${error.message}`, { cause: error }),
    );
    this.host.replicaFailed(this, error);
  }
}
