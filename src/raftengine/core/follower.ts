/** The receiving side of replication: what a follower makes of its leader's appends and snapshots. */
import type { Term } from '../../platform/index.ts';
import type { Membership } from './membership.ts';
import type { Outbox } from './outbox.ts';
import type { Quiescence } from './quiescence.ts';
import type { RaftLog } from './raft-log.ts';
import type { MessageOf, SnapshotMeta } from './types.ts';

export class Follower {
  private readonly log: RaftLog;
  private readonly membership: Membership;
  private readonly outbox: Outbox;
  /** A snapshot to hand out. */
  private pendingSnapshot: SnapshotMeta | undefined;

  constructor(log: RaftLog, membership: Membership, outbox: Outbox) {
    this.log = log;
    this.membership = membership;
    this.outbox = outbox;
  }

  /** @param term the current one, which is the message's */
  onAppend(message: MessageOf<'append'>, term: Term): void {
    const { from, prevIndex, prevTerm, entries, sentAtMs } = message;
    // Entries behind a snapshot cannot be stored before it is installed, so nothing may be said about them either. The
    // leader asks again.
    if (this.log.isRestoring()) return;
    if (this.membership.conf.voters.length === 0) {
      // A node that was told no membership cannot replay changes of it: refusing even the start asks for a snapshot.
      this.outbox.refuse(from, term, 0, { index: 0, term: 0 }, sentAtMs);
    } else if (prevIndex < this.log.commitIndex) {
      this.outbox.acknowledge(from, term, this.log.commitIndex, sentAtMs);
    } else if (this.log.term(prevIndex) === prevTerm) {
      this.log.merge(entries);
      const lastNew = prevIndex + entries.length;
      this.log.commitTo(Math.min(message.commitIndex, lastNew));
      this.outbox.acknowledge(from, term, lastNew, sentAtMs);
    } else {
      this.outbox.refuse(from, term, prevIndex, this.log.findMatchCandidate(prevIndex, prevTerm), sentAtMs);
    }
  }

  onHeartbeat(message: MessageOf<'heartbeat'>, quiescence: Quiescence): void {
    this.log.commitTo(Math.min(message.commitIndex, this.log.lastIndex()));
    const { from, term, readRound } = message;
    // A lease may rest on the echo, and only who finds a term after a crash keeps still for as long as the lease lasts. The first
    // echo of a term comes with an acknowledgement of entries, which waits for the disk.
    const sentAtMs = term <= this.log.stableTerm ? message.sentAtMs : Number.NEGATIVE_INFINITY;
    this.outbox.answerHeartbeat(from, term, sentAtMs, readRound, quiescence.accept(message));
  }

  /**
   * A refusal says what is committed, which is a fact whatever the terms are. Without it a member that missed the commit of
   * a change of members would ask those who left for their votes for ever: their logs may be longer than its own.
   */
  learnCommit(answer: MessageOf<'voteResponse' | 'preVoteResponse'>): void {
    const { commitIndex, commitTerm } = answer;
    if (commitIndex > this.log.commitIndex && this.log.term(commitIndex) === commitTerm) this.log.commitTo(commitIndex);
  }

  /** @param term the current one, which is the message's */
  onSnapshot(message: MessageOf<'snapshot'>, term: Term): void {
    const meta = message.snapshot;
    // One at a time; the sender learns from the next append how far this node came.
    if (this.log.isRestoring()) return;
    if (meta.index > this.log.commitIndex) {
      if (this.log.term(meta.index) === meta.term && this.membership.conf.voters.length > 0) {
        this.log.commitTo(meta.index);
      } else {
        this.log.restore(meta, term);
        this.pendingSnapshot = meta;
      }
    }
    this.outbox.acknowledge(message.from, term, this.log.commitIndex, Number.NEGATIVE_INFINITY);
  }

  hasSnapshot(): boolean {
    return this.pendingSnapshot !== undefined;
  }

  takeSnapshot(): SnapshotMeta | undefined {
    const taken = this.pendingSnapshot;
    this.pendingSnapshot = undefined;
    return taken;
  }
}
