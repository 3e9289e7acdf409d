/**
 * What a leader knows about one peer's log, and how it therefore sends to it:
 * - `probe`: where the logs match is not known; one append at a time, the next after an answer or a heartbeat's answer.
 * - `replicate`: the match is known; appends are pipelined optimistically within the inflight window.
 * - `snapshot`: the peer needs entries that are gone from the log; nothing is appended until the snapshot's fate is known.
 */
import { assert, type LogIndex, type Millis, type NodeId } from '../../platform/index.ts';
import { Inflights } from './inflights.ts';
import type { PeerProgress, RaftConfig } from './types.ts';

export class Progress {
  readonly nodeId: NodeId;
  /** Highest index known to be stable on the peer and equal to ours. */
  matchIndex: LogIndex = 0;
  /** First index of the next append; above `matchIndex` always. */
  nextIndex: LogIndex;
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  isLearner: boolean;
  /** Answered anything since the last quorum check. */
  recentlyActive = false;
  /** In `probe`: an append is out and was not answered. */
  probePaused = false;
  /** In `snapshot`: the index that the snapshot is known to cover at least. */
  pendingSnapshotIndex: LogIndex = 0;
  /** Newest commit index that an append to this peer carried. */
  commitSent: LogIndex = 0;
  /** Newest send time that the peer echoed in this term, on the leader's monotonic clock. */
  ackedSentAtMs: Millis = Number.NEGATIVE_INFINITY;
  /** Newest ReadIndex round that the peer confirmed. */
  ackedReadRound = 0;
  /** Send time of the newest offer of rest that the peer accepted. */
  acceptedAtMs: Millis = Number.NEGATIVE_INFINITY;
  /** Send time of the newest heartbeat after which the peer was awake. */
  awakeAtMs: Millis = Number.NEGATIVE_INFINITY;
  /** Left out of the last append, and to be sent it with the next. */
  waits = false;
  /** What was sent up to the last tick. */
  sentAtTick: LogIndex = 0;
  readonly inflights: Inflights;

  constructor(nodeId: NodeId, nextIndex: LogIndex, isLearner: boolean, config: RaftConfig) {
    this.nodeId = nodeId;
    this.nextIndex = nextIndex;
    this.isLearner = isLearner;
    this.inflights = new Inflights(config.maxInflightMessages, config.maxInflightBytes);
  }

  /** Send time of the newest offer of rest that the peer accepted, `-Infinity` when it does not rest; the order of its answers does not matter. */
  get restedAtMs(): Millis {
    return this.acceptedAtMs > this.awakeAtMs ? this.acceptedAtMs : Number.NEGATIVE_INFINITY;
  }

  isPaused(): boolean {
    if (this.state === 'probe') return this.probePaused;
    return this.state === 'snapshot' || this.inflights.isFull();
  }

  /** @returns true when the acknowledgement tells something new */
  acknowledged(index: LogIndex): boolean {
    this.nextIndex = Math.max(this.nextIndex, index + 1);
    if (index <= this.matchIndex) return false;
    this.matchIndex = index;
    this.probePaused = false;
    this.inflights.freeUpTo(index);
    return true;
  }

  /**
   * The peer refused an append after `refusedIndex`.
   * @param nextProbe where the logs may match, from both sides' hints
   * @returns false when the refusal is stale: it answers a message that later answers have overtaken
   */
  refused(refusedIndex: LogIndex, nextProbe: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (refusedIndex <= this.matchIndex) return false;
      this.becomeProbe();
      return true;
    }
    if (this.nextIndex - 1 !== refusedIndex) return false;
    this.nextIndex = Math.max(Math.min(refusedIndex, nextProbe + 1), this.matchIndex + 1);
    this.probePaused = false;
    return true;
  }

  becomeProbe(): void {
    const covered = this.state === 'snapshot' ? this.pendingSnapshotIndex : 0;
    this.nextIndex = Math.max(this.matchIndex, covered) + 1;
    this.enter('probe');
  }

  becomeReplicate(): void {
    this.nextIndex = this.matchIndex + 1;
    this.enter('replicate');
  }

  becomeSnapshot(index: LogIndex): void {
    this.enter('snapshot');
    this.pendingSnapshotIndex = index;
  }

  /** The snapshot did not arrive: what it covers must not be assumed. */
  snapshotFailed(): void {
    this.pendingSnapshotIndex = 0;
    this.becomeProbe();
    this.probePaused = true;
  }

  private enter(state: 'probe' | 'replicate' | 'snapshot'): void {
    this.state = state;
    this.probePaused = false;
    this.pendingSnapshotIndex = 0;
    this.inflights.clear();
    assert(this.nextIndex > this.matchIndex, 'next index must stay above match index');
  }

  toStatus(): PeerProgress {
    return {
      nodeId: this.nodeId,
      matchIndex: this.matchIndex,
      nextIndex: this.nextIndex,
      state: this.state,
      isLearner: this.isLearner,
      recentlyActive: this.recentlyActive,
    };
  }
}
