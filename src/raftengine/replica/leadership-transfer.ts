/** The transfer of leadership that somebody waits for; a replica has at most one. */
import type { Millis, Term } from '../../platform/index.ts';
import { OutcomeUnknownError } from '../errors.ts';

interface Waiter {
  /** Term in which the transfer was asked for: leading no more in it is its success. */
  readonly term: Term;
  readonly deadlineMs: Millis;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Settles each transfer once: done when this node leads no more and knows what became of everything that it proposed, given up at
 * its deadline or when another takes its place.
 */
export class TransferWait {
  private waiter: Waiter | undefined;
  /** This node leads no more, in the term of the waiter. */
  private isOver = false;

  start(waiter: Waiter): void {
    this.waiter?.reject(new OutcomeUnknownError('another transfer of leadership took the place of this one'));
    this.waiter = waiter;
    this.isOver = false;
  }

  /**
   * @param leadingTerm term in which this node leads now, 0 when it does not
   * @param isSettled the outcome of everything that it proposed is known
   */
  leadershipEnded(leadingTerm: Term, isSettled: boolean): void {
    if (this.waiter === undefined || this.waiter.term === leadingTerm) return;
    this.isOver = true;
    if (isSettled) this.finish();
  }

  tick(nowMs: Millis, isSettled: boolean): void {
    if (this.waiter === undefined) return;
    const isLate = nowMs >= this.waiter.deadlineMs;
    if (this.isOver && (isSettled || isLate)) this.finish();
    else if (isLate) {
      this.waiter.reject(new OutcomeUnknownError('the transfer of leadership did not finish in time'));
      this.waiter = undefined;
    }
  }

  private finish(): void {
    this.waiter?.resolve();
    this.waiter = undefined;
  }
}
