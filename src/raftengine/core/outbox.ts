/** Messages on their way out of the core, kept apart by what they must wait for. */
import type { GroupId, LogIndex, Millis, NodeId, Term } from '../../platform/index.ts';
import type { Message, RaftConfig } from './types.ts';

const NO_MESSAGES: readonly Message[] = [];

const NOTHING_COMMITTED = { index: 0, term: 0 };

export class Outbox {
  private readonly groupId: GroupId;
  private readonly from: NodeId;
  /** May leave at once. */
  atOnce: Message[] = [];
  /** Leave once everything handed out to be stored so far is stable. */
  afterPersist: Message[] = [];

  constructor(config: RaftConfig) {
    this.groupId = config.groupId;
    this.from = config.nodeId;
  }

  takeAtOnce(): readonly Message[] {
    if (this.atOnce.length === 0) return NO_MESSAGES;
    const taken = this.atOnce;
    this.atOnce = [];
    return taken;
  }

  takeAfterPersist(): readonly Message[] {
    if (this.afterPersist.length === 0) return NO_MESSAGES;
    const taken = this.afterPersist;
    this.afterPersist = [];
    return taken;
  }

  /**
   * A request to vote stands for our own vote and log: it waits until they are stable. A pre-vote promises nothing.
   * @param term of the campaign
   */
  requestVote(
    kind: 'vote' | 'preVote',
    to: NodeId,
    term: Term,
    lastIndex: LogIndex,
    lastTerm: Term,
    transfer: boolean,
  ) {
    const { groupId, from } = this;
    const queue = kind === 'vote' ? this.afterPersist : this.atOnce;
    queue.push({ kind, groupId, from, to, term, lastIndex, lastTerm, transfer });
  }

  /**
   * A vote waits for the disk; what is said to a pre-vote promises nothing.
   * @param commit what a refusal tells the candidate about the log; undefined when the vote is given
   */
  answerVote(
    kind: 'voteResponse' | 'preVoteResponse',
    to: NodeId,
    term: Term,
    commit: { readonly index: LogIndex; readonly term: Term } | undefined,
  ): void {
    const { groupId, from } = this;
    const queue = kind === 'voteResponse' ? this.afterPersist : this.atOnce;
    const { index: commitIndex, term: commitTerm } = commit ?? NOTHING_COMMITTED;
    queue.push({ kind, groupId, from, to, term, reject: commit !== undefined, commitIndex, commitTerm });
  }

  /** @param rest this node's replica is at rest now */
  answerHeartbeat(to: NodeId, term: Term, sentAtMs: Millis, readRound: number, rest: boolean): void {
    const { groupId, from } = this;
    this.atOnce.push({ kind: 'heartbeatResponse', groupId, from, to, term, sentAtMs, readRound, rest });
  }

  /** Everything up to `index` is ours as it is the leader's; says so once it is stable. */
  acknowledge(to: NodeId, term: Term, index: LogIndex, sentAtMs: Millis): void {
    const { groupId, from } = this;
    this.afterPersist.push({
      kind: 'appendResponse',
      groupId,
      from,
      to,
      term,
      index,
      reject: false,
      hintIndex: 0,
      hintTerm: 0,
      sentAtMs,
    });
  }

  /** The entry at `index` is not the leader's; the logs may match at the hint. */
  refuse(to: NodeId, term: Term, index: LogIndex, hint: { index: LogIndex; term: Term }, sentAtMs: Millis): void {
    const { groupId, from } = this;
    this.afterPersist.push({
      kind: 'appendResponse',
      groupId,
      from,
      to,
      term,
      index,
      reject: true,
      hintIndex: hint.index,
      hintTerm: hint.term,
      sentAtMs,
    });
  }

  orderCampaign(to: NodeId, term: Term): void {
    this.atOnce.push({ kind: 'timeoutNow', groupId: this.groupId, from: this.from, to, term });
  }
}
