/**
 * Rotates appends among the followers. A commit needs a quorum, not all voters: the voters beyond it are left out in turn, and get
 * two appends as one message, one write and one answer. What a voter was not sent leaves with the next append, or with the next
 * tick. A voter that leaves something unanswered for a tick ends the rotation, so that nothing waits for one that may be dead.
 * So does the leader's own disk where it is later than the voters' answers: all of them together are a quorum without it.
 */
import type { LogIndex } from '../../platform/index.ts';
import type { Progress } from './progress.ts';
import { isJoint, isVoter, majority } from './quorum.ts';
import type { ConfState, RaftConfig } from './types.ts';

export class AppendRotation {
  private readonly config: RaftConfig;
  /** Every voter had answered at the last tick what it was sent before the tick before. */
  private isPrompt = false;
  /** Somebody was left out at the last tick. */
  private isOwed = false;
  /** Answers of voters since the last tick, and how many of them came before the leader's own disk had the same entries. */
  private answers = 0;
  private early = 0;
  /** Most answers come before the own disk. */
  private isOwnDiskLate = false;

  constructor(config: RaftConfig) {
    this.config = config;
  }

  /** The peers are others: the rotation begins when a tick has found all of them prompt. */
  reset(): void {
    this.isPrompt = false;
  }

  /** @returns true when somebody was left out, whom the next `assign` lets in */
  tick(peers: readonly Progress[], lastIndex: LogIndex): boolean {
    this.isPrompt = true;
    this.isOwed = false;
    // Without an answer there is nothing to go by: a slow disk has one in several ticks.
    if (this.answers > 0) this.isOwnDiskLate = 2 * this.early > this.answers;
    this.answers = 0;
    this.early = 0;
    for (const peer of peers) {
      if (!peer.isLearner && (peer.state !== 'replicate' || peer.matchIndex < peer.sentAtTick)) this.isPrompt = false;
      peer.sentAtTick = peer.nextIndex - 1;
      if (peer.waits && peer.nextIndex <= lastIndex) this.isOwed = true;
    }
    return this.isOwed;
  }

  /** A voter acknowledged more than before. @param isEarly the own disk does not have it yet */
  answered(isEarly: boolean): void {
    this.answers += 1;
    if (isEarly) this.early += 1;
  }

  /** Says of every peer whether it waits. @param isLonger the log is longer than the last time */
  assign(conf: ConfState, peers: readonly Progress[], isLonger: boolean): void {
    for (const peer of peers) peer.waits = false;
    const { rotatesAppends, nodeId } = this.config;
    const mayWait = rotatesAppends && isLonger && this.isPrompt && !this.isOwed && !this.isOwnDiskLate;
    this.isOwed = false;
    if (!mayWait || isJoint(conf) || !isVoter(conf, nodeId)) return;
    for (let spare = conf.voters.length - majority(conf.voters.length); spare > 0; spare--) {
      leastBehind(peers)!.waits = true;
    }
    // Everybody else has to take it now.
    if (peers.some((peer) => !peer.isLearner && !peer.waits && peer.isPaused())) {
      for (const peer of peers) peer.waits = false;
    }
  }
}

/** The voter that was sent most, of those that do not wait yet. */
function leastBehind(peers: readonly Progress[]): Progress | undefined {
  let found: Progress | undefined;
  for (const peer of peers) {
    if (peer.isLearner || peer.waits) continue;
    if (found === undefined || peer.nextIndex > found.nextIndex) found = peer;
  }
  return found;
}
