/**
 * Proposals of one group between their propose and their outcome, which is one of three: applied, certainly not, or unknown.
 *
 * What the core does not take now (leadership is on its way to another node, or too much waits for a quorum) is held here, in order,
 * until it does or this node leads no more. What was in the log when leadership ended is not given up either: this replica goes
 * on applying, and the first entry of a later term that it applies at or below the place of a proposal shows that the proposal can
 * never be committed, since terms ascend in every log and a committed entry is in all that count (Raft thesis §3.6). So a change of
 * leader leaves an outcome unknown only when this replica does not hear of what came after.
 */
import { assert, KvorumError, type LogIndex, type Millis, type Term } from '../../platform/index.ts';
import type { CommittedEntry, EngineCounters, ProposalOutcome } from '../contract/index.ts';
import { BusyError, type NotLeaderError, OutcomeUnknownError } from '../errors.ts';

export type ProposalDone = (outcome: ProposalOutcome) => void;

interface Place {
  readonly index: LogIndex;
  readonly term: Term;
}

interface Pending extends Place {
  readonly done: ProposalDone;
  /** Since leadership ended: when waiting for the outcome ends too; 0 before. */
  untilMs: Millis;
}

/** What is to be proposed, and who hears of it: see `RaftGroup.propose`. */
export interface Proposal {
  readonly payload: Buffer;
  readonly done: ProposalDone;
  readonly committed?: (() => void) | undefined;
}

export interface ProposalsOptions {
  readonly counters: EngineCounters;
  /** Proposals that are held or whose outcome is open; more are refused. */
  readonly maxPending: number;
  /** How long an outcome may stay open once leadership is over. */
  readonly outcomeWaitMs: Millis;
  /** Gives an entry to the core. @throws KvorumError when it was not taken; BusyError when it may be later */
  readonly append: (payload: Buffer) => Place;
  /** What those hear whose entry will never be. */
  readonly notLeader: () => NotLeaderError;
}

/** See the top of the file. */
export class Proposals {
  private readonly options: ProposalsOptions;
  /** In the log of this leadership, in order. */
  private pending: Pending[] = [];
  private head = 0;
  /** In the log when an earlier leadership ended; by term and index. */
  private left: Pending[] = [];
  /** Not in the log yet, in order. */
  private held: Proposal[] = [];
  /** Of `pending`, those of which somebody wants to hear that they are committed, in order; of these the first `certainCount` are. */
  private awaited: (Place & { readonly committed: () => void })[] = [];
  private certainCount = 0;
  /** Outcomes that are known already but must not be told inside `propose`. */
  private refused: { readonly done: ProposalDone; readonly error: Error }[] = [];

  constructor(options: ProposalsOptions) {
    this.options = options;
  }

  /** Proposals whose outcome is open. */
  get size(): number {
    return this.pending.length - this.head + this.left.length + this.held.length;
  }

  /** Proposals of earlier leaderships among them. */
  get leftCount(): number {
    return this.left.length;
  }

  /** Proposes, or holds what cannot be proposed now. `done` is never called before this returns. */
  propose(proposal: Proposal): void {
    if (this.size >= this.options.maxPending) {
      this.refuse(proposal.done, new BusyError(`${this.options.maxPending} proposals of the group wait already`));
    } else if (this.held.length > 0 || !this.append(proposal)) this.held.push(proposal);
  }

  /** Books an outcome for `deliverRefused`. */
  refuse(done: ProposalDone, error: Error): void {
    this.refused.push({ done, error });
  }

  /** Books a proposal that is in the log. */
  push({ index, term }: Place, done: ProposalDone): void {
    const last = this.pending.at(-1);
    assert(this.pending.length === this.head || last!.index < index, 'a leader proposes at growing indexes');
    this.pending.push({ index, term, done, untilMs: 0 });
  }

  /** @returns false when the core is busy */
  private append({ payload, done, committed }: Proposal): boolean {
    try {
      const place = this.options.append(payload);
      this.push(place, done);
      if (committed !== undefined) this.awaited.push({ ...place, committed });
    } catch (error) {
      if (error instanceof BusyError) return false;
      if (!(error instanceof KvorumError)) throw error;
      this.refuse(done, error);
    }
    return true;
  }

  /** Proposes what is held, as far as the core takes it. */
  release(): void {
    while (this.held.length > 0) {
      if (!this.append(this.held[0]!)) return;
      this.held.shift();
    }
  }

  /** The next entries are committed. Those who want to hear of it do by `tellCommitted`. */
  committed(entries: readonly Place[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    while (this.certainCount < this.awaited.length) {
      const next = this.awaited[this.certainCount]!;
      if (next.term > last.term || next.index > last.index) return;
      this.certainCount++;
    }
  }

  tellCommitted(): void {
    if (this.certainCount === 0) return;
    const certain = this.awaited.splice(0, this.certainCount);
    this.certainCount = 0;
    for (const { committed } of certain) committed();
  }

  deliverRefused(): void {
    if (this.refused.length === 0) return;
    this.options.counters.proposalsRefused += this.refused.length;
    for (const { done, error } of this.refused.splice(0)) done({ kind: 'notProposed', error });
  }

  /** Tells what became of the proposals that were applied, and of those that never will be. */
  applied(entries: readonly CommittedEntry[], results: readonly unknown[]): void {
    if (this.size === 0) return;
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at]!;
      const done = this.takeLeft(entry) ?? this.take(entry);
      if (done === undefined) continue;
      this.options.counters.proposalsApplied++;
      done({ kind: 'applied', index: entry.index, result: entry.conf ?? results[at] });
    }
  }

  private takeLeft({ index, term }: Place): ProposalDone | undefined {
    if (this.left.length === 0) return undefined;
    this.dropLeftBefore(term);
    const first = this.left[0];
    if (first === undefined || first.term !== term || first.index !== index) return undefined;
    this.left.shift();
    return first.done;
  }

  /** An entry of `term` is committed, below everything that is left of earlier terms. */
  private dropLeftBefore(term: Term): void {
    let count = 0;
    while (count < this.left.length && this.left[count]!.term < term) count++;
    for (const { done } of this.left.splice(0, count)) this.refuseNow(done);
  }

  private refuseNow(done: ProposalDone): void {
    this.options.counters.proposalsRefused++;
    done({ kind: 'notProposed', error: this.options.notLeader() });
  }

  /** @returns undefined when the entry is not one of this leader's (a no-op, or another leader's) */
  private take({ index, term }: Place): ProposalDone | undefined {
    const first = this.pending[this.head];
    if (first === undefined || first.index !== index) {
      assert(first === undefined || first.index > index, 'no pending proposal is overtaken by the applied index');
      return undefined;
    }
    assert(first.term === term, 'a pending proposal has the term of its entry: what is older was set aside');
    this.head += 1;
    if (this.head === this.pending.length) {
      this.pending = [];
      this.head = 0;
    } else if (this.head > 1024 && this.head * 2 > this.pending.length) {
      this.pending = this.pending.slice(this.head);
      this.head = 0;
    }
    return first.done;
  }

  /** What is held will not be proposed; what is in the log waits for its outcome a while. */
  leadershipEnded(nowMs: Millis): void {
    for (const one of this.pending.splice(this.head)) {
      one.untilMs = nowMs + this.options.outcomeWaitMs;
      this.left.push(one);
    }
    this.pending = [];
    this.head = 0;
    this.awaited = [];
    this.certainCount = 0;
    for (const { done } of this.held.splice(0)) this.refuseNow(done);
  }

  /** The state up to (`index`, `term`) came as a whole: what was proposed below may or may not be in it. */
  restored({ index, term }: Place): void {
    const inside = this.left.filter((one) => one.index <= index);
    this.left = this.left.filter((one) => one.index > index);
    this.tellUnknown(inside);
    this.dropLeftBefore(term);
  }

  /** Gives up on outcomes that stayed open too long. */
  expire(nowMs: Millis): void {
    if (this.left.length === 0) return;
    const late = this.left.filter(({ untilMs }) => untilMs <= nowMs);
    if (late.length === 0) return;
    this.left = this.left.filter(({ untilMs }) => untilMs > nowMs);
    this.tellUnknown(late);
  }

  private tellUnknown(proposals: readonly Pending[], error?: Error): void {
    this.options.counters.proposalsUnknown += proposals.length;
    const why = error ?? new OutcomeUnknownError('leadership was lost before the outcome was known');
    for (const { done } of proposals) done({ kind: 'unknown', error: why });
  }

  /** The replica ends: nothing more will be heard of. */
  close(error: Error): void {
    const open = [...this.left.splice(0), ...this.pending.splice(this.head)];
    this.pending = [];
    this.head = 0;
    this.tellUnknown(open, error);
    for (const { done } of this.held.splice(0)) this.refuse(done, error);
    this.deliverRefused();
  }
}
