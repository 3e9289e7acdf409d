/**
 * Proposals of one group between the log and their outcome. A leader proposes at consecutive indexes and applies in order,
 * so the pending ones are a queue; what is applied is always at its head. When leadership ends the whole queue becomes
 * UNKNOWN: the entries may be in any log, or in none.
 */
import { assert, type LogIndex, type Term } from '../platform/index.ts';
import type { EngineCounters } from './counters.ts';
import type { ProposalOutcome } from './types.ts';

export type ProposalDone = (outcome: ProposalOutcome) => void;

interface Pending {
  readonly index: LogIndex;
  readonly term: Term;
  readonly done: ProposalDone;
}

export class ProposalQueue {
  private readonly counters: EngineCounters;
  private pending: Pending[] = [];
  private head = 0;

  /** @param counters are told of outcomes */
  constructor(counters: EngineCounters) {
    this.counters = counters;
  }

  get size(): number {
    return this.pending.length - this.head;
  }

  push(index: LogIndex, term: Term, done: ProposalDone): void {
    const last = this.pending.at(-1);
    assert(this.size === 0 || last!.index < index, 'a leader proposes at growing indexes');
    this.pending.push({ index, term, done });
  }

  /**
   * Takes the proposal that became the entry at `index`.
   * @returns undefined when the entry is not one of this leader's pending proposals (a no-op, or another leader's)
   */
  take(index: LogIndex, term: Term): ProposalDone | undefined {
    const first = this.pending[this.head];
    if (first === undefined || first.index !== index) {
      assert(first === undefined || first.index > index, 'no pending proposal is overtaken by the applied index');
      return undefined;
    }
    assert(first.term === term, 'a pending proposal has the term of its entry: leadership loss empties the queue');
    this.head += 1;
    if (this.head === this.pending.length) {
      this.pending = [];
      this.head = 0;
    } else if (this.head > 1024 && this.head * 2 > this.pending.length) {
      this.pending = this.pending.slice(this.head);
      this.head = 0;
    }
    this.counters.proposalsApplied++;
    return first.done;
  }

  /** Empties the queue, oldest first. */
  drain(): ProposalDone[] {
    const all = this.pending.slice(this.head).map((pending) => pending.done);
    this.pending = [];
    this.head = 0;
    this.counters.proposalsUnknown += all.length;
    return all;
  }
}
