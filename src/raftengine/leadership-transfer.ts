/** The transfer of leadership that somebody waits for; a replica has at most one. */
import type { Millis, Term } from '../platform/index.ts';
import { OutcomeUnknownError } from './errors.ts';

interface Waiter {
  /** Term in which the transfer was asked for: leading no more in it is its success. */
  readonly term: Term;
  readonly deadlineMs: Millis;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Settles each transfer once: done when this node leads no more, given up at its deadline or when another takes its place. */
export class TransferWait {
  private waiter: Waiter | undefined;

  start(waiter: Waiter): void {
    this.waiter?.reject(new OutcomeUnknownError('another transfer of leadership took the place of this one'));
    this.waiter = waiter;
  }

  /** @param leadingTerm term in which this node leads now, 0 when it does not */
  leadershipEnded(leadingTerm: Term): void {
    if (this.waiter === undefined || this.waiter.term === leadingTerm) return;
    this.waiter.resolve();
    this.waiter = undefined;
  }

  tick(nowMs: Millis): void {
    if (this.waiter === undefined || nowMs < this.waiter.deadlineMs) return;
    this.waiter.reject(new OutcomeUnknownError('the transfer of leadership did not finish in time'));
    this.waiter = undefined;
  }
}
