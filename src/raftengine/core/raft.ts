/**
 * One Raft group as a pure state machine (Raft thesis §3, §4, §6.4, §9.6): messages, ticks and proposals in, `Ready` out.
 * No I/O, timer, promise, clock or random source of its own. The hub that turns events into calls of the parts around it:
 * `RaftLog`, `Election`, `Replication`, `Lease`, `ReadRounds`, the configuration changer.
 *
 * The caller's part: after every batch of calls take `ready()` while `hasReady()`, honour its order, store entries and
 * hard state, report `persisted` in the order of the writes, apply, report `appliedTo`.
 */
import { assert, assertNever, type LogIndex, type Millis, type NodeId, type Term } from '../../platform/index.ts';
import { BusyError, NotLeaderError } from '../errors.ts';
import { Budget } from './budget.ts';
import { encodeConfChange, LEAVE_JOINT } from './conf-codec.ts';
import { Departure } from './departure.ts';
import { Election } from './election.ts';
import { ConfChangeRefusedError } from './errors.ts';
import { Follower } from './follower.ts';
import { HandedHardState } from './hard-state.ts';
import { Lease } from './lease.ts';
import { Membership } from './membership.ts';
import type { RaftCoreOptions, RaftStatus } from './options.ts';
import { Outbox } from './outbox.ts';
import { Quiescence } from './quiescence.ts';
import { isSoleVoter, isVoter, voteOutcome } from './quorum.ts';
import { RaftLog } from './raft-log.ts';
import { ReadRounds } from './read-index.ts';
import { ReadyCollector } from './ready-collector.ts';
import { Replication } from './replication.ts';
import { Transfer } from './transfer.ts';
import {
  type ConfChange,
  type ConfState,
  type Entry,
  EntryKind,
  type Message,
  type MessageOf,
  type PresentNodes,
  type RaftConfig,
  type Ready,
  Role,
  type SnapshotMeta,
} from './types.ts';

const EMPTY_PAYLOAD = Buffer.alloc(0);

export class RaftCore {
  private readonly config: RaftConfig;
  private readonly log: RaftLog;
  private readonly outbox: Outbox;
  private readonly election: Election;
  private readonly replication: Replication;
  private readonly lease: Lease;
  private readonly reads = new ReadRounds();
  private readonly membership: Membership;
  private readonly handed: HandedHardState;
  private readonly follower: Follower;
  private readonly budget: Budget;
  private readonly transfer = new Transfer();
  private readonly departure = new Departure();
  private readonly quiescence: Quiescence;
  private readonly collector: ReadyCollector;

  private currentRole: Role = Role.Follower;
  private currentTerm: Term;
  private currentVote: NodeId | 0;
  private currentLeader: NodeId | 0 = 0;
  /** Newest time that a call brought. */
  private nowMs: Millis;
  /** On a leader: index of the no-op that opened its term. */
  private termStartIndex: LogIndex = 0;

  constructor(options: RaftCoreOptions) {
    const { config, hardState, applied } = options;
    this.config = config;
    this.nowMs = options.nowMs;
    this.log = new RaftLog(options.log, hardState, applied.index);
    this.currentTerm = hardState.term;
    this.currentVote = hardState.vote;
    this.outbox = new Outbox(config);
    this.membership = new Membership(config, this.log, applied);
    this.handed = new HandedHardState(hardState);
    this.follower = new Follower(this.log, this.membership, this.outbox);
    this.budget = new Budget(config);
    // A voter that was alone ever since and led itself has promised nobody anything and need not wait.
    const ledItself = hardState.vote === config.nodeId && this.membership.isAloneForSure();
    this.election = new Election(config, options.random, hardState.term > 0 && !ledItself, options.nowMs);
    this.replication = new Replication(config, this.log, this.outbox, applied.conf);
    this.lease = new Lease(config);
    const { log, outbox, handed, follower, budget, reads, election, replication, transfer } = this;
    this.collector = new ReadyCollector(config, { log, outbox, handed, follower, budget, reads });
    this.quiescence = new Quiescence(config, { log, outbox, reads, election, replication, transfer });
  }

  get role(): Role {
    return this.currentRole;
  }
  get term(): Term {
    return this.currentTerm;
  }
  /** Node that leads the current term; 0 when unknown. */
  get leader(): NodeId | 0 {
    return this.currentLeader;
  }
  get commitIndex(): LogIndex {
    return this.log.commitIndex;
  }
  get appliedIndex(): LogIndex {
    return this.log.appliedIndex;
  }
  get lastIndex(): LogIndex {
    return this.log.lastIndex();
  }
  get conf(): ConfState {
    return this.membership.conf;
  }

  // ---- time

  /** `count` ticks of `config.tickMs` have passed; a group at rest needs none. @param present nodes that live */
  tick(nowMs: Millis, present?: PresentNodes, count = 1): void {
    this.nowMs = nowMs;
    if (this.quiescence.isQuiet) return;
    if (this.currentRole === Role.Leader) {
      this.tickLeader(present, count);
      return;
    }
    const isDue = this.election.tick(count);
    const isSole = isSoleVoter(this.membership.conf, this.config.nodeId);
    if ((this.currentRole === Role.Follower && !isDue && !isSole) || !this.membership.mayCampaign()) return;
    if (isSole && !this.election.isBoundToLeader(nowMs)) {
      // At once, but not before the leader that shrank the group to this node can have noticed.
      this.startCampaign(false);
    } else if (isDue && !this.election.isBoundToLeader(nowMs)) {
      this.startPreVote();
    } else if (this.currentRole !== Role.Follower && this.election.elapsedTicks % this.config.heartbeatTicks < count) {
      this.requestVotes(this.currentRole === Role.PreCandidate ? 'preVote' : 'vote', false);
    }
  }

  private tickLeader(present: PresentNodes, count: number): void {
    const isHeartbeatDue = this.replication.tick(count);
    if (this.replication.hasLostQuorum()) {
      this.becomeFollower(this.currentTerm, 0);
      return;
    }
    this.transfer.tick(count, this.config.electionTimeoutTicks);
    const rest = this.quiescence.tick(count, !this.departure.isUnderWay(), this.nowMs, present);
    if (isHeartbeatDue && rest !== 'rests') {
      this.replication.heartbeat(this.reads.newestRound, this.nowMs, rest === 'offers');
    }
  }

  // ---- rest

  /** True while this group is at rest: it needs no ticks, and every input but those wakes it. */
  get isQuiet(): boolean {
    return this.quiescence.isQuiet;
  }

  /** The group is in use in a way that the core does not see: it shall not go to rest. */
  noteActivity(): void {
    this.quiescence.noteActivity();
  }

  /** On a follower at rest: the leader's node was alive at `heardMs`, which counts as a heartbeat of the leader. */
  leaderLived(heardMs: Millis): void {
    this.election.leaderLived(heardMs);
  }

  /** Ends the rest of this group. For a leader, nodes that are not `present` count as silent from now on. */
  wake(nowMs: Millis, present?: PresentNodes): void {
    if (!this.quiescence.isQuiet) return;
    this.nowMs = nowMs;
    if (this.currentRole === Role.Leader) this.quiescence.wakeLeader(nowMs, present);
    else this.quiescence.wakeFollower(this.currentTerm, this.currentLeader, nowMs);
  }

  /** The process was stalled: its silence is no evidence against the leader, and its lease may have been used late. */
  skipElectionRound(): void {
    this.election.restartTimer();
    this.lease.floorMs = this.nowMs;
    this.extendLease();
  }

  // ---- campaigns

  /**
   * Campaigns now instead of when the timer says so. Does nothing while this node is bound to a leader, is no voter, or
   * leads already; a leader whose lease is void campaigns into a new term, which gives it leases again.
   */
  campaign(nowMs: Millis): void {
    this.wake(nowMs);
    this.nowMs = nowMs;
    if (this.currentRole === Role.Leader) {
      if (this.lease.isVoid() && this.transfer.target === 0 && this.membership.mayCampaign()) this.startCampaign(true);
    } else if (this.membership.mayCampaign() && !this.election.isBoundToLeader(nowMs)) {
      if (isSoleVoter(this.membership.conf, this.config.nodeId)) this.startCampaign(false);
      else this.startPreVote();
    }
  }

  private startPreVote(): void {
    this.currentRole = Role.PreCandidate;
    this.currentLeader = 0;
    this.election.openBallot(this.config.nodeId);
    this.requestVotes('preVote', false);
  }

  /** @param transfer the leader ordered it: voters are not bound to that leader */
  private startCampaign(transfer: boolean): void {
    this.leaveRole();
    this.currentRole = Role.Candidate;
    this.currentTerm++;
    this.currentVote = this.config.nodeId;
    this.currentLeader = 0;
    this.election.openBallot(this.config.nodeId);
    if (voteOutcome(this.membership.conf, this.election.ballots) === 'won') this.becomeLeader();
    else this.requestVotes('vote', transfer);
  }

  /** Asks all voters that did not answer yet. */
  private requestVotes(kind: 'vote' | 'preVote', transfer: boolean): void {
    const term = kind === 'vote' ? this.currentTerm : this.currentTerm + 1;
    for (const to of this.election.unanswered(this.membership.conf)) {
      this.outbox.requestVote(kind, to, term, this.log.lastIndex(), this.log.lastTerm(), transfer);
    }
  }

  private becomeFollower(term: Term, leader: NodeId | 0): void {
    assert(term >= this.currentTerm, 'the term must never decrease');
    this.leaveRole();
    this.currentRole = Role.Follower;
    if (term > this.currentTerm) {
      this.currentTerm = term;
      this.currentVote = 0;
    }
    this.currentLeader = leader;
    this.election.restartTimer();
  }

  private leaveRole(): void {
    if (this.currentRole !== Role.Leader) return;
    this.replication.stop();
    this.lease.reset();
    this.reads.abort();
    this.transfer.stop();
    this.departure.stop();
    this.budget.resetProposed();
  }

  private becomeLeader(): void {
    assert(this.currentRole === Role.Candidate, 'only a candidate can win an election');
    this.currentRole = Role.Leader;
    this.currentLeader = this.config.nodeId;
    this.budget.resetProposed();
    this.lease.reset();
    this.termStartIndex = this.log.lastIndex() + 1;
    this.replication.start(this.currentTerm, this.membership.conf, this.termStartIndex);
    this.append(EntryKind.Normal, EMPTY_PAYLOAD);
    // Whatever membership change an earlier leader left in the log is settled once our own entry is applied.
    this.membership.pendingIndex = this.termStartIndex;
    this.extendLease();
  }

  // ---- messages

  /** Takes one message that was addressed to this node. @param nowMs monotonic clock */
  step(message: Message, nowMs: Millis): void {
    if (this.quiescence.isDisturbedBy(message, this.currentRole, this.currentTerm)) this.wake(nowMs);
    this.nowMs = nowMs;
    if (message.from === this.config.nodeId) return;
    if (message.kind === 'vote' || message.kind === 'preVote') {
      this.onVoteRequest(message);
      return;
    }
    if (message.kind === 'voteResponse' || message.kind === 'preVoteResponse') this.follower.learnCommit(message);
    const isFromLeader = message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot';
    if (message.term > this.currentTerm) {
      // A granted pre-vote speaks of a term that nobody is in yet.
      const isGrantedPreVote = message.kind === 'preVoteResponse' && !message.reject;
      if (!isGrantedPreVote) this.becomeFollower(message.term, isFromLeader ? message.from : 0);
    } else if (message.term < this.currentTerm) {
      // A leader of the past learns the present from this, instead of being ignored until it is cut off.
      if (isFromLeader) this.outbox.answerHeartbeat(message.from, this.currentTerm, Number.NEGATIVE_INFINITY, 0, false);
      return;
    }
    if (isFromLeader) this.acceptLeader(message.from);
    switch (message.kind) {
      case 'append':
        this.follower.onAppend(message, this.currentTerm);
        break;
      case 'heartbeat':
        this.follower.onHeartbeat(message, this.quiescence);
        break;
      case 'snapshot':
        this.follower.onSnapshot(message, this.currentTerm);
        break;
      case 'appendResponse':
        this.onAppendResponse(message);
        break;
      case 'heartbeatResponse':
        this.onHeartbeatResponse(message);
        break;
      case 'voteResponse':
        if (this.currentRole === Role.Candidate) this.onBallot(message.from, !message.reject);
        break;
      case 'preVoteResponse':
        if (this.currentRole === Role.PreCandidate && (message.reject || message.term === this.currentTerm + 1)) {
          this.onBallot(message.from, !message.reject);
        }
        break;
      case 'timeoutNow':
        if (this.currentRole !== Role.Leader && this.membership.mayCampaign()) this.startCampaign(true);
        break;
      default:
        assertNever(message.kind);
    }
  }

  private onVoteRequest(message: MessageOf<'vote' | 'preVote'>): void {
    const isPreVote = message.kind === 'preVote';
    if (message.term >= this.currentTerm) {
      // Not even the term is taken over: a node that cannot hear the leader must not depose it.
      const isBound = this.currentRole === Role.Leader || this.election.isBoundToLeader(this.nowMs);
      if (isBound && !message.transfer) return;
      if (!isPreVote && message.term > this.currentTerm) this.becomeFollower(message.term, 0);
    }
    const isVoteFree = this.currentVote === message.from || (this.currentVote === 0 && this.currentLeader === 0);
    const isFree = isVoteFree || (isPreVote && message.term > this.currentTerm);
    const mayGrant = message.term >= this.currentTerm && isFree && this.membership.isKnown();
    const granted = mayGrant && this.log.isUpToDate(message.lastTerm, message.lastIndex);
    if (granted && !isPreVote) {
      this.currentVote = message.from;
      this.election.restartTimer();
    }
    const kind = isPreVote ? 'preVoteResponse' : 'voteResponse';
    const term = granted ? message.term : this.currentTerm;
    this.outbox.answerVote(kind, message.from, term, granted ? undefined : this.log.commitPoint());
    // The leader is gone for us too, and we hold more than who asks: waiting for our own timeout would be idle.
    if (isPreVote && mayGrant && !granted && this.currentRole === Role.Follower) this.campaign(this.nowMs);
  }

  private onBallot(from: NodeId, granted: boolean): void {
    this.election.ballots.set(from, granted);
    const outcome = voteOutcome(this.membership.conf, this.election.ballots);
    // The answer may have told of a change of members: those who were asked are perhaps none any more.
    if (outcome === 'lost' || !this.membership.mayCampaign()) this.becomeFollower(this.currentTerm, 0);
    else if (outcome === 'won' && this.currentRole === Role.PreCandidate) this.startCampaign(false);
    else if (outcome === 'won') this.becomeLeader();
  }

  private acceptLeader(from: NodeId): void {
    assert(this.currentRole !== Role.Leader, 'two leaders in one term');
    if (this.currentRole !== Role.Follower || this.currentLeader !== from) this.becomeFollower(this.currentTerm, from);
    this.election.heardFromLeader(this.nowMs);
  }

  private onAppendResponse(message: MessageOf<'appendResponse'>): void {
    const peer = this.currentRole === Role.Leader ? this.replication.peer(message.from) : undefined;
    if (peer === undefined) return;
    this.replication.onAppendResponse(peer, message);
    this.advanceCommit();
    this.extendLease();
    if (this.transfer.target === message.from) this.orderCampaignWhenCaughtUp();
  }

  private onHeartbeatResponse(message: MessageOf<'heartbeatResponse'>): void {
    const peer = this.currentRole === Role.Leader ? this.replication.peer(message.from) : undefined;
    if (peer === undefined) return;
    this.replication.onHeartbeatResponse(peer, message);
    this.extendLease();
    this.confirmReads();
    if (this.departure.isDone(this.replication)) this.becomeFollower(this.currentTerm, 0);
  }

  private advanceCommit(): void {
    const candidate = this.replication.quorumMatchIndex();
    if (candidate <= this.log.commitIndex) return;
    // Only entries of the own term are committed by counting (Raft §5.4.2); earlier ones follow with them.
    if (this.log.term(candidate) !== this.currentTerm) return;
    this.log.commitTo(candidate);
  }

  private extendLease(): void {
    if (this.currentRole !== Role.Leader) return;
    const sentAtMs = this.replication.quorumSentAtMs();
    this.lease.extend(sentAtMs <= this.lease.floorMs ? Number.NEGATIVE_INFINITY : sentAtMs);
  }

  // ---- proposals

  private append(kind: EntryKind, payload: Buffer): { index: LogIndex; term: Term } {
    const index = this.log.lastIndex() + 1;
    this.log.push({ term: this.currentTerm, index, kind, payload });
    this.budget.proposed(payload.length);
    this.replication.appended();
    return { index, term: this.currentTerm };
  }

  /**
   * Appends one entry; it is sent and stored with the next `ready()`.
   * @throws NotLeaderError, or BusyError beyond `maxUncommittedBytes` and during a leadership transfer
   */
  propose(payload: Buffer, nowMs: Millis): { index: LogIndex; term: Term } {
    this.nowMs = nowMs;
    this.assertLeading();
    if (this.transfer.target !== 0) throw new BusyError('leadership is being transferred; try again');
    this.budget.assertRoom(payload.length);
    return this.append(EntryKind.Normal, payload);
  }

  /** Whatever is asked of a leader wakes its group. */
  private assertLeading(): void {
    if (this.currentRole === Role.Leader && !this.departure.isUnderWay()) {
      this.wake(this.nowMs);
      this.quiescence.noteActivity();
      return;
    }
    throw new NotLeaderError(this.currentLeader === 0 || this.departure.isUnderWay() ? undefined : this.currentLeader);
  }

  /**
   * Appends a membership change; it takes effect when it is applied.
   * @throws NotLeaderError, ConfChangeRefusedError, or BusyError beyond `maxUncommittedBytes`
   */
  proposeConfChange(change: ConfChange, nowMs: Millis): { index: LogIndex; term: Term } {
    this.nowMs = nowMs;
    this.assertLeading();
    if (this.transfer.target !== 0) {
      throw new ConfChangeRefusedError('transferring', 'leadership is being transferred; try again');
    }
    this.membership.assertAllowed(change, this.replication);
    const payload = encodeConfChange(change);
    this.budget.assertRoom(payload.length);
    this.membership.pendingIndex = this.log.lastIndex() + 1;
    return this.append(EntryKind.ConfChange, payload);
  }

  /**
   * Called for every committed membership change, in order, when it is applied.
   * @returns the membership after it; unchanged when the change does not fit it any more
   */
  applyConfChange(entry: Entry): ConfState {
    if (!this.membership.apply(entry) || this.currentRole !== Role.Leader) return this.conf;
    const { conf } = this.membership;
    this.replication.stamp(this.nowMs);
    this.replication.changeConf(conf);
    if (!isVoter(conf, this.config.nodeId)) {
      this.departure.start(entry.index, this.nowMs);
      this.lease.voidForTerm();
      this.reads.abort();
      this.transfer.stop();
      this.replication.heartbeat(this.reads.newestRound, this.nowMs, false);
      return conf;
    }
    if (this.transfer.target !== 0 && !isVoter(conf, this.transfer.target)) this.transfer.stop();
    this.advanceCommit();
    this.extendLease();
    this.confirmReads();
    return conf;
  }

  // ---- reads

  /**
   * Asks for the index that a linearizable read must wait for; the answer comes in `Ready.readStates` or
   * `Ready.abortedReads`.
   * @throws NotLeaderError
   */
  readIndex(requestId: number, nowMs: Millis): void {
    this.nowMs = nowMs;
    this.assertLeading();
    this.reads.add(requestId);
  }

  private hasCommittedInTerm(): boolean {
    return this.log.commitIndex >= this.termStartIndex;
  }

  private startReads(): void {
    if (!this.reads.canStart() || !this.hasCommittedInTerm()) return;
    this.reads.start(this.log.commitIndex);
    if (!isSoleVoter(this.membership.conf, this.config.nodeId)) {
      this.replication.heartbeat(this.reads.newestRound, this.nowMs, false);
    }
    this.confirmReads();
  }

  private confirmReads(): void {
    if (this.reads.hasOpen()) this.reads.confirm(this.replication.quorumReadRound());
  }

  /** True when applied state may be read right now as linearizable, without asking anybody. @param nowMs monotonic clock */
  holdsLease(nowMs: Millis): boolean {
    return (
      this.currentRole === Role.Leader &&
      this.log.appliedIndex >= this.termStartIndex &&
      nowMs < this.lease.untilMs(nowMs)
    );
  }

  /** End of the lease on the monotonic clock; 0 when there is none. */
  leaseUntilMs(): Millis {
    return this.currentRole === Role.Leader ? this.lease.untilMs(this.nowMs) : 0;
  }

  // ---- leadership transfer

  /**
   * Hands leadership to a voter that is nearly caught up. Proposals are refused until it leads or E has passed; this
   * node holds no lease any more in this term.
   * @throws NotLeaderError, TransferRefusedError
   */
  transferLeadership(to: NodeId, nowMs: Millis): void {
    this.nowMs = nowMs;
    this.assertLeading();
    if (this.transfer.target === to) return;
    this.transfer.assertAllowed(to, this.config, this.log, this.membership, this.replication);
    this.transfer.start(to);
    this.replication.includeAll();
    this.lease.voidForTerm();
    this.orderCampaignWhenCaughtUp();
  }

  private orderCampaignWhenCaughtUp(): void {
    const peer = this.transfer.target === 0 ? undefined : this.replication.peer(this.transfer.target);
    if (peer === undefined || peer.matchIndex < this.log.lastIndex()) return;
    assert(this.lease.isVoid(), 'a campaign must not be ordered while a lease may be used');
    this.outbox.orderCampaign(peer.nodeId, this.currentTerm);
  }

  // ---- the way out

  /** True when `ready()` would return anything. */
  hasReady(): boolean {
    return (
      this.collector.hasAny(this.currentTerm, this.currentVote) ||
      (this.currentRole === Role.Leader &&
        (this.replication.hasWork() || (this.reads.canStart() && this.hasCommittedInTerm())))
    );
  }

  /** Takes everything that is pending. Every entry and message is handed out once. */
  ready(): Ready {
    if (this.currentRole === Role.Leader) {
      this.startReads();
      if (this.replication.hasWork()) this.replication.flush(this.nowMs);
    }
    return this.collector.take(this.currentTerm, this.currentVote);
  }

  /** Entries of the write that ended in (`index`, `term`), and of all before it, are stable. @returns up to where what is committed is; never falls */
  persisted(index: LogIndex, term: Term): LogIndex {
    if (this.log.persisted(index, term) && this.currentRole === Role.Leader) this.advanceCommit();
    return this.log.stableCommitIndex;
  }

  /** Everything up to `index` is applied. @returns see `persisted` */
  appliedTo(index: LogIndex): LogIndex {
    this.log.appliedTo(index);
    if (index === this.log.applyingIndex) this.budget.allApplied();
    if (this.currentRole === Role.Leader && this.membership.isLeaveDue(index)) {
      this.membership.pendingIndex = this.append(EntryKind.ConfChange, LEAVE_JOINT).index;
    }
    return this.log.stableCommitIndex;
  }

  /** State machine and stored log were replaced by the snapshot that `ready()` handed out. */
  snapshotInstalled(meta: SnapshotMeta): void {
    this.log.restored(meta);
    // Not earlier: until now, entries before the snapshot may still be applied, with the membership of their time.
    this.membership.restore(meta);
    this.budget.allApplied();
  }

  /** The connection to a peer broke: what was sent last may be lost. A leader at rest has sent nothing. */
  reportUnreachable(peer: NodeId): void {
    if (this.currentRole === Role.Leader && !this.quiescence.isQuiet) this.replication.reportUnreachable(peer);
  }

  /** What became of the snapshot that a `snapshot` message ordered. */
  reportSnapshot(peer: NodeId, ok: boolean): void {
    if (this.currentRole === Role.Leader) this.replication.reportSnapshot(peer, ok);
  }

  status(): RaftStatus {
    return {
      role: this.currentRole,
      term: this.currentTerm,
      vote: this.currentVote,
      leader: this.currentLeader,
      commitIndex: this.log.commitIndex,
      appliedIndex: this.log.appliedIndex,
      lastIndex: this.log.lastIndex(),
      leaseUntilMs: this.leaseUntilMs(),
      transferTarget: this.transfer.target,
      conf: this.membership.conf,
      progress: this.replication.status(),
    };
  }
}
