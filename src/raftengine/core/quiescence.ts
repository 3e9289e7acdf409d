/**
 * Rest of a group that nobody uses. A leader whose group has been settled for a while offers rest in its heartbeats; a
 * follower that holds exactly the leader's log, all of it committed, stored and applied, accepts and lets its election
 * timer stand; when every member has accepted, the leader rests too. Nothing in a resting group ticks or sends.
 *
 * Somebody else must then notice that the leader is gone: the engine, node by node. A beat of the leader's node counts as
 * a heartbeat of every group that rests under it (`RaftCore.leaderLived`). Safety never rests on that: a lease comes from
 * answered heartbeats only, so a leader at rest soon has none, and what a follower promised it keeps.
 *
 * Every input wakes. A woken leader sends heartbeats, which wake the others; a woken follower tells its leader.
 */
import { assert, type Millis, type NodeId, type Term } from '../../platform/index.ts';
import type { Election } from './election.ts';
import type { Outbox } from './outbox.ts';
import type { RaftLog } from './raft-log.ts';
import type { ReadRounds } from './read-index.ts';
import type { Replication } from './replication.ts';
import type { Transfer } from './transfer.ts';
import { type Message, type MessageOf, type PresentNodes, type RaftConfig, Role } from './types.ts';

/** What must stand still before a group rests, and what goes on when it wakes. */
export interface RestingParts {
  readonly log: RaftLog;
  readonly outbox: Outbox;
  readonly reads: ReadRounds;
  readonly election: Election;
  readonly replication: Replication;
  readonly transfer: Transfer;
}

export class Quiescence {
  private readonly quietAfterTicks: number;
  private readonly parts: RestingParts;
  isQuiet = false;
  /** A group that nobody asked anything rests soon: there may be thousands of its kind after a start or an election. */
  private readonly settleTicks: number;
  /** On a leader: ticks until it offers rest. */
  private restInTicks: number;
  /** On a leader that offers rest: since when. */
  private offeredSinceMs: Millis | undefined;
  /** On a follower: when the newest heartbeat that came in `heardTerm` was sent, on the leader's clock. */
  private heardSentAtMs: Millis = Number.NEGATIVE_INFINITY;
  private heardTerm: Term = 0;

  constructor(config: RaftConfig, parts: RestingParts) {
    this.quietAfterTicks = config.quietAfterTicks;
    this.settleTicks = Math.min(config.quietAfterTicks, 2 * config.heartbeatTicks);
    this.restInTicks = this.settleTicks;
    this.parts = parts;
  }

  /** Somebody wants something of this group. */
  noteActivity(): void {
    this.restInTicks = this.quietAfterTicks;
    this.offeredSinceMs = undefined;
  }

  /** Something is under way that nobody asked for. */
  private noteUnrest(): void {
    this.restInTicks = Math.max(this.restInTicks, this.settleTicks);
    this.offeredSinceMs = undefined;
  }

  /**
   * Counts ticks of leadership.
   * @param stays the leader is not on its way out
   * @returns whether the next heartbeats offer rest, or the group is at rest from now on
   */
  tick(count: number, stays: boolean, nowMs: Millis, present: PresentNodes): 'awake' | 'offers' | 'rests' {
    if (this.quietAfterTicks === 0) return 'awake';
    if (!stays || !this.isSettled(present)) {
      this.noteUnrest();
      return 'awake';
    }
    this.restInTicks -= count;
    if (this.restInTicks > 0) return 'awake';
    if (this.offeredSinceMs === undefined) {
      this.offeredSinceMs = nowMs;
      return 'offers';
    }
    this.isQuiet = this.parts.replication.isResting(this.offeredSinceMs, present);
    return this.isQuiet ? 'rests' : 'offers';
  }

  /** With a log that is applied to its end a leader has committed in its term, and no change of members is under way. */
  private isSettled(present: PresentNodes): boolean {
    const { log, reads, replication, transfer } = this.parts;
    return log.isSettled() && reads.isIdle() && transfer.target === 0 && replication.isSettled(present);
  }

  /** On a follower: takes a heartbeat of the current term, perhaps an offer of rest. @returns true when it rests now */
  accept(heartbeat: MessageOf<'heartbeat'>): boolean {
    // One that a later one has overtaken says nothing about now.
    if (this.isOvertaken(heartbeat)) return this.isQuiet;
    this.heardTerm = heartbeat.term;
    this.heardSentAtMs = heartbeat.sentAtMs;
    const { log } = this.parts;
    const isSame = heartbeat.commitIndex === log.lastIndex() && log.isSettled();
    this.isQuiet = this.quietAfterTicks > 0 && heartbeat.rest && isSame;
    return this.isQuiet;
  }

  private isOvertaken({ term, sentAtMs }: MessageOf<'append' | 'heartbeat'>): boolean {
    return term === this.heardTerm && sentAtMs < this.heardSentAtMs;
  }

  /**
   * False for what only repeats that the group is at rest, for what was sent before it went to rest, and for an acknowledgement
   * that a slow disk held back. @param term the current one
   */
  isDisturbedBy(message: Message, role: Role, term: Term): boolean {
    if (!this.isQuiet) return false;
    if (message.term !== term) return true;
    const { log, replication } = this.parts;
    if (message.kind === 'heartbeatResponse') {
      return role !== Role.Leader || (!message.rest && replication.isNews(message));
    }
    // All that an older one can bring is here: the offer spoke of the end of the log.
    if ((message.kind === 'append' || message.kind === 'heartbeat') && this.isOvertaken(message)) return false;
    if (message.kind === 'appendResponse') {
      return message.reject || replication.peer(message.from)?.matchIndex !== log.lastIndex();
    }
    return message.kind !== 'heartbeat' || !message.rest || message.commitIndex !== log.lastIndex();
  }

  /** @param present nodes that live; the silence of the others counts from now */
  wakeLeader(nowMs: Millis, present: PresentNodes): void {
    this.end();
    this.parts.replication.resume(present);
    this.parts.replication.heartbeat(this.parts.reads.newestRound, nowMs, false);
  }

  wakeFollower(term: Term, leader: NodeId | 0, nowMs: Millis): void {
    this.end();
    this.parts.election.resume(nowMs);
    assert(term === this.heardTerm, 'a follower rests only under a leader of the current term');
    // Dated by the newest heartbeat, so that the leader can tell it from what was said before, whichever comes first.
    if (leader !== 0) this.parts.outbox.answerHeartbeat(leader, term, this.heardSentAtMs, 0, false);
  }

  private end(): void {
    this.isQuiet = false;
    this.noteUnrest();
  }
}
