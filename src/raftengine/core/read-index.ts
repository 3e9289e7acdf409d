/**
 * Linearizable reads without a lease (Raft thesis §6.4): note the commit index, prove by a round of heartbeats that this
 * node still leads, then serve once the noted index is applied. All reads that arrive before a round starts share it.
 *
 * Reads that arrive before the leader has committed an entry of its own term wait: until then its commit index may lag
 * behind what an earlier leader acknowledged.
 */
import type { LogIndex } from '../../platform/index.ts';
import type { ReadState } from './types.ts';

interface ReadRound {
  readonly round: number;
  readonly index: LogIndex;
  readonly requestIds: readonly number[];
}

/** Rounds under way at once; further reads gather for the next one. */
const MAX_OPEN_ROUNDS = 8;

const NO_READS: readonly ReadState[] = [];
const NO_REQUESTS: readonly number[] = [];

export class ReadRounds {
  private waiting: number[] = [];
  private open: ReadRound[] = [];
  /** Confirmed, and given up, since they were last taken. */
  private released: ReadState[] = [];
  private aborted: number[] = [];
  /** Number of the newest round; never reused while the process lives. */
  newestRound = 0;

  add(requestId: number): void {
    this.waiting.push(requestId);
  }

  canStart(): boolean {
    return this.waiting.length > 0 && this.open.length < MAX_OPEN_ROUNDS;
  }

  /** True when nobody waits for a read. */
  isIdle(): boolean {
    return this.waiting.length === 0 && this.open.length === 0 && !this.hasResults();
  }

  hasOpen(): boolean {
    return this.open.length > 0;
  }

  /** Starts a round for every waiting read. @param commitIndex of a leader that has committed in its own term */
  start(commitIndex: LogIndex): void {
    this.newestRound++;
    this.open.push({ round: this.newestRound, index: commitIndex, requestIds: this.waiting });
    this.waiting = [];
  }

  /** Releases all reads of rounds up to `round`. */
  confirm(round: number): void {
    let count = 0;
    while (count < this.open.length && this.open[count]!.round <= round) {
      const { index, requestIds } = this.open[count]!;
      for (const requestId of requestIds) this.released.push({ requestId, index });
      count++;
    }
    if (count > 0) this.open.splice(0, count);
  }

  /** Gives up all reads: this node does not lead any more. */
  abort(): void {
    for (const { requestIds } of this.open) for (const requestId of requestIds) this.aborted.push(requestId);
    for (const requestId of this.waiting) this.aborted.push(requestId);
    this.open = [];
    this.waiting = [];
  }

  hasResults(): boolean {
    return this.released.length > 0 || this.aborted.length > 0;
  }

  takeReleased(): readonly ReadState[] {
    if (this.released.length === 0) return NO_READS;
    const taken = this.released;
    this.released = [];
    return taken;
  }

  takeAborted(): readonly number[] {
    if (this.aborted.length === 0) return NO_REQUESTS;
    const taken = this.aborted;
    this.aborted = [];
    return taken;
  }
}
