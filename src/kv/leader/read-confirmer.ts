/**
 * Lets the replies of reads go once this node is known to have been the leader after the read began: at once under a
 * lease, else after one quorum round shared by all reads of a turn. The values need not be read again: nobody else can
 * have committed anything before the moment that is confirmed.
 *
 * What is committed and not applied here may have been shown by another replica. Where it is all entries of operations, a read that came
 * here has touched nothing that they write: else it would wait for them, by the overlay or by their held keys. So it need not wait until a
 * large one is applied.
 */
import { KvorumError, type Scheduler } from '../../platform/index.ts';
import { NotLeaderError, type RaftGroup } from '../../raftengine/index.ts';
import type { Operation } from '../contract/index.ts';
import { complete } from './completion.ts';

interface Read {
  readonly operation: Operation<unknown>;
  readonly error: Error | undefined;
  readonly reply: unknown;
}

export class ReadConfirmer {
  private readonly raft: RaftGroup;
  private readonly scheduler: Scheduler;
  private readonly isForeseen: () => boolean;
  /** Reads for the round that starts at the end of this turn. */
  private gathering: Read[] = [];
  /** Reads of rounds under way. */
  private readonly rounds = new Set<Read[]>();

  /** @param isForeseen whether nothing is on its way but entries that no read gets past which touches what they write */
  constructor(raft: RaftGroup, scheduler: Scheduler, isForeseen: () => boolean) {
    this.raft = raft;
    this.scheduler = scheduler;
    this.isForeseen = isForeseen;
  }

  /** Completes a read with its outcome as soon as leadership is confirmed, or with an error that means nothing happened. */
  confirm(operation: Operation<unknown>, error: Error | undefined, reply: unknown): void {
    if (this.isForeseen() ? this.raft.leadsByLease() : this.raft.holdsLease()) {
      complete(operation, error, reply);
      return;
    }
    this.gathering.push({ operation, error, reply });
    if (this.gathering.length === 1) this.scheduler.endOfTurn(() => this.startRound());
  }

  private startRound(): void {
    const reads = this.gathering;
    if (reads.length === 0) return;
    this.gathering = [];
    this.rounds.add(reads);
    this.raft.readBarrier().then(
      () => {
        if (!this.rounds.delete(reads)) return;
        for (const { operation, error, reply } of reads) complete(operation, error, reply);
      },
      (failure: unknown) => {
        if (!this.rounds.delete(reads)) return;
        const error = readFailure(failure, this.raft);
        for (const { operation } of reads) complete(operation, error, undefined);
      },
    );
  }

  /** Leadership is over: what was read may be old. */
  failAll(error: Error): void {
    const lists = [...this.rounds, this.gathering];
    this.rounds.clear();
    this.gathering = [];
    for (const reads of lists) for (const { operation } of reads) complete(operation, error, undefined);
  }
}

/** A read has no effects, so whatever went wrong, nothing happened. */
function readFailure(failure: unknown, raft: RaftGroup): Error {
  if (failure instanceof KvorumError && failure.disposition !== 'unknown') return failure;
  return new NotLeaderError(raft.leader()?.nodeId);
}
