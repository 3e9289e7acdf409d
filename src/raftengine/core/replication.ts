/**
 * The leader's sending side: one `Progress` a peer, appends gathered once per `ready()` so that all proposals of a turn
 * share a message, and what quorums of answers say (commit index, send time, read round).
 */
import { assert, type LogIndex, type Millis, type NodeId, type Term } from '../../platform/index.ts';
import { AppendRotation } from './append-rotation.ts';
import { membersOf } from './conf-changer.ts';
import type { Outbox } from './outbox.ts';
import { Progress } from './progress.ts';
import { isVoter, majority, quorumValue } from './quorum.ts';
import type { RaftLog } from './raft-log.ts';
import type { ConfState, Entry, Message, MessageOf, PeerProgress, PresentNodes, RaftConfig } from './types.ts';

const NO_ENTRIES: readonly Entry[] = [];

export class Replication {
  private readonly config: RaftConfig;
  private readonly log: RaftLog;
  private readonly outbox: Outbox;
  private term: Term = 0;
  /** Index of the no-op that opened the term. */
  private firstOwnIndex: LogIndex = 0;
  private conf: ConfState;
  /** Peers without ourselves; the array is for sending, the map for answers. */
  private peers: Progress[] = [];
  private readonly byNode = new Map<NodeId, Progress>();
  /** Something may have to be sent: new entries, a freed window, a peer that fell back. */
  private dirty = false;
  /** Entries were added since the last flush. */
  private isLonger = false;
  private readonly rotation: AppendRotation;
  /** Peers should learn the commit index even without entries to carry it. */
  private commitDue = false;
  private heartbeatElapsedTicks = 0;
  private quorumCheckElapsedTicks = 0;

  constructor(config: RaftConfig, log: RaftLog, outbox: Outbox, conf: ConfState) {
    this.config = config;
    this.log = log;
    this.outbox = outbox;
    this.conf = conf;
    this.rotation = new AppendRotation(config);
  }

  /** Starts over for a new term of leadership. @param firstOwnIndex where its no-op will be */
  start(term: Term, conf: ConfState, firstOwnIndex: LogIndex): void {
    this.term = term;
    this.firstOwnIndex = firstOwnIndex;
    this.heartbeatElapsedTicks = 0;
    this.quorumCheckElapsedTicks = 0;
    this.peers = [];
    this.byNode.clear();
    this.changeConf(conf);
  }

  stop(): void {
    this.peers = [];
    this.byNode.clear();
    this.dirty = false;
    this.commitDue = false;
  }

  /** Follows the membership: new peers start in probe, removed ones are forgotten with everything that they said. */
  changeConf(conf: ConfState): void {
    this.conf = conf;
    const members = membersOf(conf);
    for (const [node, peer] of this.byNode) {
      if (members.includes(node)) continue;
      // Its last message from us: let it know that its removal is committed.
      if (peer.state === 'replicate') this.sendCommit(peer);
      this.byNode.delete(node);
    }
    for (const node of members) {
      if (node === this.config.nodeId) continue;
      const known = this.byNode.get(node);
      if (known === undefined) {
        const peer = new Progress(node, this.log.lastIndex() + 1, !isVoter(conf, node), this.config);
        peer.recentlyActive = true;
        this.byNode.set(node, peer);
      } else {
        known.isLearner = !isVoter(conf, node);
      }
    }
    this.peers = [...this.byNode.values()];
    this.rotation.reset();
    this.dirty = true;
  }

  /** Counts ticks of leadership. @returns true when a heartbeat is due */
  tick(count: number): boolean {
    this.quorumCheckElapsedTicks += count;
    this.heartbeatElapsedTicks += count;
    for (const peer of this.peers) if (peer.commitSent < this.log.commitIndex) this.commitDue = true;
    if (this.rotation.tick(this.peers, this.log.lastIndex())) this.dirty = true;
    return this.heartbeatElapsedTicks >= this.config.heartbeatTicks;
  }

  /** Once every E: true when too few voters answered since the last time. */
  hasLostQuorum(): boolean {
    if (this.quorumCheckElapsedTicks < this.config.electionTimeoutTicks) return false;
    this.quorumCheckElapsedTicks = 0;
    return !this.takeQuorumActive();
  }

  /** True when every member that is present holds the whole log. */
  isSettled(present: PresentNodes): boolean {
    const last = this.log.lastIndex();
    for (const peer of this.peers) {
      if (peer.state === 'snapshot') return false;
      if (present !== undefined && !present.has(peer.nodeId)) continue;
      if (peer.matchIndex !== last || peer.state !== 'replicate') return false;
    }
    return true;
  }

  /** True when a quorum, and every member that is present, accepted an offer of rest since `sinceMs`. */
  isResting(sinceMs: Millis, present: PresentNodes): boolean {
    for (const peer of this.peers) {
      const isNeeded = present === undefined || present.has(peer.nodeId);
      if (isNeeded && peer.restedAtMs < sinceMs) return false;
    }
    return quorumValue(this.conf, this.restedAtOf) >= sinceMs;
  }

  /** False for what the sender said before it accepted rest. */
  isNews(answer: MessageOf<'heartbeatResponse'>): boolean {
    return answer.sentAtMs >= (this.byNode.get(answer.from)?.acceptedAtMs ?? Number.NEGATIVE_INFINITY);
  }

  /** The group wakes: whoever is absent has to show that it lives, within E. */
  resume(present: PresentNodes): void {
    this.heartbeatElapsedTicks = 0;
    this.quorumCheckElapsedTicks = 0;
    for (const peer of this.peers) {
      if (present !== undefined && !present.has(peer.nodeId)) peer.recentlyActive = false;
    }
  }

  peer(node: NodeId): Progress | undefined {
    return this.byNode.get(node);
  }

  status(): PeerProgress[] {
    return this.peers.map((peer) => peer.toStatus());
  }

  /** Leaves no voter out until there are more entries. */
  includeAll(): void {
    this.dirty = true;
  }

  /** An entry was added to the log. */
  appended(): void {
    this.dirty = true;
    this.isLonger = true;
  }

  hasWork(): boolean {
    return this.dirty || this.commitDue;
  }

  /** Sends what there is to send within each peer's window. */
  flush(nowMs: Millis): void {
    this.stamp(nowMs);
    this.rotation.assign(this.conf, this.peers, this.isLonger);
    this.isLonger = false;
    for (const peer of this.peers) {
      if (peer.waits) continue;
      this.replicate(peer);
      if (this.commitDue && peer.state === 'replicate' && peer.commitSent < this.log.commitIndex) this.sendCommit(peer);
    }
    this.dirty = false;
    this.commitDue = false;
  }

  private sentAtMs: Millis = 0;

  /** Time that the next sends are stamped with, on this node's monotonic clock. */
  stamp(nowMs: Millis): void {
    this.sentAtMs = nowMs;
  }

  /**
   * A leader's appends and heartbeats need not wait for its own disk, except the first of a term: a leader that was its own quorum and
   * forgot the term in a crash leads it a second time, with other entries and another clock.
   */
  private queue(): Message[] {
    return this.log.stableIndex >= this.firstOwnIndex ? this.outbox.atOnce : this.outbox.afterPersist;
  }

  private replicate(peer: Progress): void {
    const last = this.log.lastIndex();
    while (peer.nextIndex <= last && !peer.isPaused()) {
      const prevIndex = peer.nextIndex - 1;
      const prevTerm = this.log.term(prevIndex);
      const entries =
        prevTerm === undefined ? undefined : this.log.slice(peer.nextIndex, last + 1, this.config.maxAppendBytes);
      if (prevTerm === undefined || entries === undefined) {
        this.sendSnapshot(peer);
        return;
      }
      this.sendAppend(peer, prevIndex, prevTerm, entries);
      if (peer.state === 'probe') {
        peer.probePaused = true;
        return;
      }
      let bytes = 0;
      for (const entry of entries) bytes += entry.payload.length;
      peer.inflights.add(entries[entries.length - 1]!.index, bytes);
      peer.nextIndex += entries.length;
    }
  }

  private sendAppend(peer: Progress, prevIndex: LogIndex, prevTerm: Term, entries: readonly Entry[]): void {
    peer.commitSent = this.log.commitIndex;
    this.queue().push({
      kind: 'append',
      groupId: this.config.groupId,
      from: this.config.nodeId,
      to: peer.nodeId,
      term: this.term,
      prevIndex,
      prevTerm,
      entries,
      commitIndex: this.log.commitIndex,
      sentAtMs: this.sentAtMs,
    });
  }

  /** An append without entries: carries the commit index, and its refusal shows that earlier appends were lost. */
  private sendCommit(peer: Progress): void {
    const prevIndex = peer.nextIndex - 1;
    const prevTerm = this.log.term(prevIndex);
    if (prevTerm !== undefined) {
      this.sendAppend(peer, prevIndex, prevTerm, NO_ENTRIES);
    } else {
      // The log was truncated past what was sent and not acknowledged: only a snapshot helps now.
      peer.becomeProbe();
      this.dirty = true;
    }
  }

  /** Orders a snapshot for a peer that answers; a silent one would only pin it. */
  private sendSnapshot(peer: Progress): void {
    if (!peer.recentlyActive || this.log.appliedIndex === 0) return;
    const index = this.log.appliedIndex;
    const term = this.log.term(index);
    assert(term !== undefined, 'the term of the applied entry must be known');
    peer.becomeSnapshot(index);
    this.outbox.atOnce.push({
      kind: 'snapshot',
      groupId: this.config.groupId,
      from: this.config.nodeId,
      to: peer.nodeId,
      term: this.term,
      snapshot: { index, term, conf: this.conf },
    });
  }

  /**
   * @param readRound newest ReadIndex round, which the answers confirm
   * @param offersRest to the peers that hold everything
   */
  heartbeat(readRound: number, nowMs: Millis, offersRest: boolean): void {
    this.stamp(nowMs);
    this.heartbeatElapsedTicks = 0;
    const last = this.log.lastIndex();
    const queue = this.queue();
    for (const peer of this.peers) {
      queue.push({
        kind: 'heartbeat',
        groupId: this.config.groupId,
        from: this.config.nodeId,
        to: peer.nodeId,
        term: this.term,
        // Never beyond what is known to match: the peer may hold other entries there.
        commitIndex: Math.min(peer.matchIndex, this.log.commitIndex),
        sentAtMs: this.sentAtMs,
        readRound,
        rest: offersRest && peer.matchIndex === last,
      });
    }
  }

  onAppendResponse(peer: Progress, message: MessageOf<'appendResponse'>): void {
    peer.recentlyActive = true;
    peer.ackedSentAtMs = Math.max(peer.ackedSentAtMs, message.sentAtMs);
    if (message.reject && message.index === 0) {
      // Not even the empty log matches: the peer has no membership yet and needs a snapshot to start from.
      if (peer.matchIndex === 0 && peer.state !== 'snapshot') this.sendSnapshot(peer);
      return;
    }
    if (message.reject) {
      const candidate =
        message.hintTerm > 0
          ? this.log.findMatchCandidate(message.hintIndex, message.hintTerm).index
          : message.hintIndex;
      if (peer.refused(message.index, candidate)) this.dirty = true;
      return;
    }
    assert(message.index <= this.log.lastIndex(), 'a peer acknowledged more than there is');
    const wasPaused = peer.isPaused();
    const isNews = peer.acknowledged(message.index);
    if (isNews && !peer.isLearner) this.rotation.answered(message.index > this.log.stableIndex);
    if (peer.state === 'probe' && (isNews || peer.matchIndex === message.index)) peer.becomeReplicate();
    else if (peer.state === 'snapshot' && peer.matchIndex + 1 >= this.log.firstIndex()) peer.becomeReplicate();
    if (wasPaused || (!peer.waits && peer.nextIndex <= this.log.lastIndex())) this.dirty = true;
  }

  onHeartbeatResponse(peer: Progress, message: MessageOf<'heartbeatResponse'>): void {
    peer.recentlyActive = true;
    peer.ackedSentAtMs = Math.max(peer.ackedSentAtMs, message.sentAtMs);
    peer.ackedReadRound = Math.max(peer.ackedReadRound, message.readRound);
    peer.probePaused = false;
    if (message.rest) peer.acceptedAtMs = Math.max(peer.acceptedAtMs, message.sentAtMs);
    else peer.awakeAtMs = Math.max(peer.awakeAtMs, message.sentAtMs);
    if (peer.matchIndex >= this.log.lastIndex()) return;
    this.dirty = true;
    // Nothing new to send, and not all acknowledged: ask, so that a lost append shows, and that a peer which joined an
    // idle group is found to lack everything.
    const nothingToSend = peer.nextIndex > this.log.lastIndex() || peer.inflights.isFull();
    if (peer.state !== 'snapshot' && nothingToSend) this.sendCommit(peer);
  }

  reportUnreachable(node: NodeId): void {
    const peer = this.byNode.get(node);
    // Optimistic appends were probably lost with the connection.
    if (peer?.state !== 'replicate') return;
    peer.becomeProbe();
    this.dirty = true;
  }

  reportSnapshot(node: NodeId, ok: boolean): void {
    const peer = this.byNode.get(node);
    if (peer?.state !== 'snapshot') return;
    if (ok) {
      peer.becomeProbe();
      // The peer acknowledges once it is installed; the answer to a heartbeat wakes us otherwise.
      peer.probePaused = true;
    } else {
      peer.snapshotFailed();
    }
  }

  private readonly matchOf = (node: NodeId): number =>
    node === this.config.nodeId ? this.log.stableIndex : (this.byNode.get(node)?.matchIndex ?? 0);

  private readonly sentAtOf = (node: NodeId): number =>
    node === this.config.nodeId
      ? Number.POSITIVE_INFINITY
      : (this.byNode.get(node)?.ackedSentAtMs ?? Number.NEGATIVE_INFINITY);

  private readonly restedAtOf = (node: NodeId): number =>
    node === this.config.nodeId
      ? Number.POSITIVE_INFINITY
      : (this.byNode.get(node)?.restedAtMs ?? Number.NEGATIVE_INFINITY);

  private readonly readRoundOf = (node: NodeId): number =>
    node === this.config.nodeId ? Number.POSITIVE_INFINITY : (this.byNode.get(node)?.ackedReadRound ?? 0);

  /** Highest index that a quorum holds stable. */
  quorumMatchIndex(): LogIndex {
    return quorumValue(this.conf, this.matchOf);
  }

  /** True when a quorum holds `index` and answered a heartbeat sent at `sinceMs` or later, which told that it is committed. */
  quorumKnowsCommit(index: LogIndex, sinceMs: Millis): boolean {
    const toldAt = (node: NodeId): number => {
      const peer = this.byNode.get(node);
      return peer !== undefined && peer.matchIndex >= index ? peer.ackedSentAtMs : Number.NEGATIVE_INFINITY;
    };
    return quorumValue(this.conf, toldAt) >= sinceMs;
  }

  /** Send time of the newest round that a quorum answered; `Infinity` when this node alone is the quorum. */
  quorumSentAtMs(): Millis {
    return quorumValue(this.conf, this.sentAtOf);
  }

  /** Newest ReadIndex round that a quorum confirmed. */
  quorumReadRound(): number {
    return quorumValue(this.conf, this.readRoundOf);
  }

  /** True when a quorum answered since the last call; starts the next period. */
  private takeQuorumActive(): boolean {
    const isActive = (voters: readonly NodeId[]): boolean => {
      let active = 0;
      for (const voter of voters) {
        if (voter === this.config.nodeId || this.byNode.get(voter)?.recentlyActive === true) active++;
      }
      return active >= majority(voters.length);
    };
    const active =
      isActive(this.conf.voters) && (this.conf.votersOutgoing.length === 0 || isActive(this.conf.votersOutgoing));
    for (const peer of this.peers) peer.recentlyActive = false;
    return active;
  }
}
