/**
 * Linearizable reads that ask a quorum. All that arrive in one turn share one ReadIndex round, which starts after the last
 * of them arrived; each then waits until this replica has applied the round's index. Waits for an applied index hang in
 * the same place.
 */
import type { LogIndex } from '../../platform/index.ts';
import { OutcomeUnknownError } from '../errors.ts';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface ApplyWaiter extends Waiter {
  readonly index: LogIndex;
}

/** Reads of one group that wait. */
export class ReadBarriers {
  /** Arrived in this turn; their round has not started. */
  private arrived: Waiter[] = [];
  private readonly rounds = new Map<number, Waiter[]>();
  private applying: ApplyWaiter[] = [];
  private nextRequestId = 1;

  /** True when a round has to be started. */
  get hasArrived(): boolean {
    return this.arrived.length > 0;
  }

  get waiting(): number {
    let count = this.arrived.length + this.applying.length;
    for (const waiters of this.rounds.values()) count += waiters.length;
    return count;
  }

  join(): Promise<void> {
    return new Promise((resolve, reject) => this.arrived.push({ resolve, reject }));
  }

  /** Moves all that arrived into one round. */
  startRound(): number {
    const requestId = this.nextRequestId++;
    this.rounds.set(requestId, this.arrived);
    this.arrived = [];
    return requestId;
  }

  confirmed(requestId: number, index: LogIndex, appliedIndex: LogIndex): void {
    const waiters = this.rounds.get(requestId);
    if (waiters === undefined) return;
    this.rounds.delete(requestId);
    for (const waiter of waiters) {
      if (index <= appliedIndex) waiter.resolve();
      else this.applying.push({ index, resolve: waiter.resolve, reject: waiter.reject });
    }
  }

  aborted(requestId: number, error: Error): void {
    const waiters = this.rounds.get(requestId);
    this.rounds.delete(requestId);
    for (const waiter of waiters ?? []) waiter.reject(error);
  }

  /** Settles once `applied` was called with `index` or more. */
  waitApplied(index: LogIndex, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(abortReason(signal));
        return;
      }
      const onAbort = (): void => {
        this.applying = this.applying.filter((other) => other !== waiter);
        reject(abortReason(signal!));
      };
      const waiter: ApplyWaiter = {
        index,
        resolve: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        reject: (error) => {
          signal?.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.applying.push(waiter);
    });
  }

  applied(appliedIndex: LogIndex): void {
    if (this.applying.length === 0) return;
    const due = this.applying.filter((waiter) => waiter.index <= appliedIndex);
    if (due.length === 0) return;
    this.applying = this.applying.filter((waiter) => waiter.index > appliedIndex);
    for (const waiter of due) waiter.resolve();
  }

  /** Leadership ended: rounds cannot be confirmed here any more. Waits for an applied index stay. */
  abortRounds(error: Error): void {
    const waiters = [...this.arrived, ...[...this.rounds.values()].flat()];
    this.arrived = [];
    this.rounds.clear();
    for (const waiter of waiters) waiter.reject(error);
  }

  /** The replica ends: nothing settles any more. */
  close(error: Error): void {
    this.abortRounds(error);
    const waiters = this.applying;
    this.applying = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new OutcomeUnknownError('the wait was aborted');
}
